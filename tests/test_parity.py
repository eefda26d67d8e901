"""TensorFlow 1.15 and 2.21 do the same, on a machine that has both environments.

Each works in processes of its own (tests/helpers/parity_worker.py), on the same files.
"""
import glob
import os
import subprocess

import numpy as np
import pytest

from common import files
from experiment import run_log
from runtime import tf
from tests.helpers import ROOT, SHARED, parity_worker, tiny_runs

NETWORKS = [(model, stride) for model in ('resnet_v2_50', 'resnet_v2_101') for stride in (8, 16)]
TRAIN = ['--resnet_model', tiny_runs.TINY, '--num_threads', '1', '--batch_size', '4',
         '--crop_size', '65', '--batch_norm_decay', '0.9', '--optimizer', 'momentum',
         '--starting_learning_rate', '0.001', '--summary_every_steps', '1',
         '--mixed_precision', 'off']
SIDES = ('1.15', '2.21')


def interpreters():
    """Returns dict from side to path of the environments that stand here."""
    found = {}
    for folder in ('.venv-tf2', '.venv-tf1', '.venv'):
        python = os.path.join(ROOT, folder, 'bin', 'python')
        if os.path.exists(python):
            is_37 = glob.glob(os.path.join(ROOT, folder, 'lib', 'python3.7'))
            found['1.15' if is_37 else '2.21'] = python
    return found


PYTHONS = interpreters()
pytestmark = pytest.mark.skipif(
    len(PYTHONS) < 2, reason='needs both environments: RUNTIME=tf1 make env; RUNTIME=tf2 make env')


def work(jobs_of, folder):
    """Has both runtimes do jobs of `parity_worker`, at the same time.

    Args:
      jobs_of: function from side to list of jobs.
      folder: `pathlib.Path`, for their descriptions.
    """
    # TensorFlow 2 sets it, and 1.15 would then begin as 2.
    environment = {name: value for name, value in os.environ.items() if name != 'TF2_BEHAVIOR'}
    environment['OMP_NUM_THREADS'] = '1'
    workers = {}
    for side in SIDES:
        path = str(folder / (side + '.json'))
        files.write_json(jobs_of(side), path)
        workers[side] = subprocess.Popen(
            [PYTHONS[side], parity_worker.__file__, path], cwd=ROOT,
            env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, universal_newlines=True)
    printed = {side: worker.communicate()[0] for side, worker in workers.items()}
    for side, worker in workers.items():
        assert worker.returncode == 0, '%s: %s' % (side, printed[side])


def other(side):
    return SIDES[1 - SIDES.index(side)]


@pytest.fixture(scope='module')
def done(tmp_path_factory, shapes_dir):
    """The folder in which both have done everything, each what it shares with the other first."""
    folder = tmp_path_factory.mktemp('parity')
    camvid = os.path.join(SHARED, 'data', 'camvid')
    (folder / 'start').mkdir()
    with tiny_runs.tiny_network():
        tiny_runs.write_run(str(folder / 'start'), shapes_dir)
    (folder / 'camvid.txt').write_text('\n'.join('class %d' % index for index in range(11)))
    train = TRAIN + ['--dataset_dir', shapes_dir, '--init_from', str(folder / 'start')]

    def at(name, side):
        return str(folder / (name + side))

    def logits_of(side):
        return [['logits', model, stride, str(folder / model), at('%s_%d_' % (model, stride), side)]
                for model, stride in NETWORKS]

    def first(side):
        jobs = [
            ['script', 'dataset.build_shapes', '--output_dir', at('shapes', side), '--num_train',
             '20', '--num_validation', '5', '--num_test', '5', '--image_size', '96'],
            ['script', 'test', '--checkpoint', str(folder / 'start'), '--output_dir',
             at('scores', side)],
            ['script', 'export', '--checkpoint', str(folder / 'start'), '--output_dir',
             at('export', side)],
            ['script', 'train', '--model_dir', at('run', side), '--max_steps', '20'] + train,
            ['script', 'train', '--model_dir', at('from', side), '--max_steps', '4'] + train]
        if os.path.exists(camvid):
            jobs.append(['script', 'dataset.build_folder', '--images', camvid + '/val', '--masks',
                         camvid + '/valannot', '--classes', str(folder / 'camvid.txt'),
                         '--ignore_label', '11', '--split', 'validation', '--name', 'CamVid',
                         '--output_dir', at('camvid', side)])
        return (logits_of(side) if side == '1.15' else []) + jobs

    def then(side):
        return (logits_of(side) if side == '2.21' else []) + [
            ['predictions', str(folder / 'start'), at('predictions', side)],
            ['export_answers', at('export', other(side)), at('answers', side)],
            ['script', 'train', '--model_dir', at('from', other(side)), '--max_steps', '8'] + train]

    work(first, folder)
    work(then, folder)
    return folder


@pytest.mark.parametrize('model, stride', NETWORKS)
def test_a_checkpoint_has_the_same_logits(model, stride, done):
    old, new = [np.load(str(done / ('%s_%d_%s.npy' % (model, stride, side)))) for side in SIDES]
    assert old.std() > 0.01
    assert np.abs(old - new).max() <= 1e-5 * np.abs(old).max()


def test_a_checkpoint_has_the_same_scores(done):
    old, new = [files.read_json(str(done / ('scores' + side) / 'scores.json')) for side in SIDES]
    assert old['benchmark']['pixel_accuracy'] > 0
    assert old['benchmark'] == new['benchmark'] and old['post'] == new['post']
    assert old['boundary_iou'] == new['boundary_iou']


@pytest.mark.parametrize('name', ['shapes', 'camvid'])
def test_a_data_set_has_the_same_bytes(name, done):
    folders = [done / (name + side) for side in SIDES]
    if not folders[0].exists():
        pytest.skip('needs ../shared/data/camvid')
    old, new = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert len(old) > 2 and old == new


def test_twenty_steps_from_one_start_agree(done):
    losses, weights = [], []
    for side in SIDES:
        run = str(done / ('run' + side))
        losses.append([entry['loss/total'] for entry in run_log.read_metrics(run)
                       if 'loss/total' in entry])
        weights.append(trainable_values(os.path.join(run, 'model.ckpt-20')))
    start = trainable_values(str(done / 'start' / 'model.ckpt-7'))
    assert len(losses[0]) == 20
    # What float32 rounds otherwise grows with every step.
    np.testing.assert_allclose(losses[0][:8], losses[1][:8], rtol=1e-4)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    moved = distance(weights[0], start)
    assert moved > 0 and distance(weights[0], weights[1]) < 0.01 * moved


@pytest.mark.parametrize('side', SIDES)
def test_a_run_begun_on_one_goes_on_on_the_other(side, done):
    """To where one that was never interrupted would have been."""
    run = str(done / ('from' + side))
    logged = {entry['step']: entry['loss/total'] for entry in run_log.read_metrics(run)
              if 'loss/total' in entry}
    alone = {entry['step']: entry['loss/total']
             for entry in run_log.read_metrics(str(done / ('run' + side)))
             if 'loss/total' in entry}
    assert sorted(logged) == list(range(1, 9))
    np.testing.assert_allclose([logged[step] for step in range(1, 9)],
                               [alone[step] for step in range(1, 9)], rtol=1e-4)


@pytest.mark.parametrize('side', SIDES)
def test_an_export_of_one_answers_on_the_other(side, done):
    with np.load(str(done / ('answers%s.npz' % side))) as answers, \
            np.load(str(done / ('predictions%s.npz' % side))) as predictions:
        assert len(answers.files) == 9
        for key in answers.files:
            expected = predictions[key.split('/')[1]].astype(np.float32)
            assert np.abs(answers[key] - expected).max() < 0.001  # stored as float16


def trainable_values(prefix):
    reader = tf.train.load_checkpoint(prefix)
    return np.concatenate([
        reader.get_tensor(name).ravel()
        for name, shape in sorted(reader.get_variable_to_shape_map().items())
        if shape and name.endswith(('weights', 'biases', 'gamma', 'beta', 'mean', 'variance'))])


def distance(one, another):
    return np.linalg.norm(one - another)
