"""train.py as users run it, on a tiny backbone and six pictures."""
import argparse
import contextlib
import fcntl
import functools
import glob
import json
import os
import pty
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator

import metrics
import network
import train
from common import files
from common.errors import UserError
from dataset import descriptor, palette
from evaluation import loop
from experiment import (checkpoints, config, history, planning, run_dir,
                        run_log, stopping, train_flags, weights)
from inference import drawing
from losses import Losses
from preprocessing import failures as reading
from preprocessing import inputs
from runtime import slim, tf, workers
from tests.helpers import ROOT, tiny_runs
from tests.helpers.tiny_runs import TINY
from training.graph import augmentation_options, build_panels
from training.steps import Steps
from training.validation import Validation

# Makes checkpoints small and steps fast.
BASE_DEPTH = 8


def flags_of(**changes):
    """Returns the flags of a small run; keyword arguments change them."""
    # Steps that fetch the same: TensorFlow prepares each other kind of step for seconds.
    values = dict(resnet_model=TINY, crop_size=33, batch_size=2, max_steps=2, batch_norm_decay=0.9,
                  starting_learning_rate=0.001, summary_every_steps=1, init_from='random')
    values.update(changes)
    return [word for name, value in values.items() for word in ('--' + name, str(value))]


@pytest.fixture
def flags(shapes_dir, tmp_path):
    """Makes the flags of a small run in the folder `run`; keyword arguments change them."""
    with tiny_runs.tiny_network(BASE_DEPTH):
        yield functools.partial(flags_of, dataset_dir=shapes_dir, model_dir=str(tmp_path / 'run'))


@pytest.fixture(scope='module')
def trained(shapes_dir, tmp_path_factory):
    """The folder of a run of two steps, each saved and evaluated; nobody changes it."""
    folder = str(tmp_path_factory.mktemp('trained') / 'run')
    with tiny_runs.tiny_network(BASE_DEPTH):
        train.main(flags_of(dataset_dir=shapes_dir, model_dir=folder, save_every_steps=1,
                            eval_every_steps=1))
    return folder


@pytest.fixture
def two_steps(trained, tmp_path):
    """A copy of `trained` where `flags` goes on with it; returns its folder."""
    return shutil.copytree(trained, str(tmp_path / 'run'))


def weights_of(model_dir):
    reader = tf.train.load_checkpoint(checkpoints.latest_in(model_dir))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def events(model_dir):
    """All (step, tag) of a run's TensorBoard files, and the scalars by (step, tag)."""
    tags, scalars = set(), {}
    for name in sorted(os.listdir(model_dir)):
        if 'tfevents' in name:
            for event in tf.train.summary_iterator(os.path.join(model_dir, name)):
                for value in event.summary.value:
                    tags.add((event.step, value.tag))
                    scalars[event.step, value.tag] = value.simple_value
    return tags, scalars


def test_a_run_leaves_config_checkpoints_best_and_summaries(flags, tmp_path, capsys):
    train.main(flags(eval_every_steps=1, summary_every_steps=1))
    run = str(tmp_path / 'run')
    assert 'at step 0 with random weights' in capsys.readouterr().out
    with open(os.path.join(run, 'config.json')) as f:
        written = json.load(f)
    assert written['flags']['crop_size'] == 33
    assert written['flags']['number_of_classes'] == 6
    assert written['flags']['aspp_rates'] == [6, 12, 18]
    assert checkpoints.step_of(checkpoints.latest_in(run)) == 2
    best = checkpoints.latest_in(os.path.join(run, 'best'))
    with open(os.path.join(run, 'best', 'score.json')) as f:
        assert json.load(f)['step'] == checkpoints.step_of(best)
    tags, scalars = events(run)
    for step in (1, 2):
        for tag in ('loss/cross_entropy', 'loss/regularization', 'loss/total', 'learning_rate',
                    'validation/mean_iou', 'image_label_prediction_error/image/0',
                    'gradient_norm', 'speed/images_per_second', 'speed/data_wait_share',
                    'validation/confusion_matrix', 'validation_iou/background'):
            assert (step, tag) in tags
        assert scalars[step, 'loss/total'] == pytest.approx(
            scalars[step, 'loss/cross_entropy'] + scalars[step, 'loss/regularization'], rel=1e-5)
        assert scalars[step, 'loss/regularization'] > 0
    assert not [name for _, _, names in os.walk(run) for name in names if name.endswith('.tmp')]
    # The same numbers for scripts, and their picture.
    logged = {(entry['step'], tag): entry[tag] for entry in run_log.read_metrics(run)
              for tag in entry}
    for tag in ('loss/total', 'validation/mean_iou', 'validation_iou/background'):
        assert logged[2, tag] == pytest.approx(scalars[2, tag], rel=1e-5)
    assert drawing.Image.open(os.path.join(run, 'curves.png')).size > (500, 500)


@pytest.mark.parametrize('changes, slot', [
    (dict(ema_decay=0.9, warmup_steps=4, hard_example_fraction=0.5, hard_example_steps=15),
     '/Adam'),
    (dict(optimizer='momentum', accumulate_steps=2, batch_size=4, overfit=3,
          class_weights='median_frequency', learning_rate_policy='piecewise',
          learning_rate_boundaries=13), '/Momentum')])
def test_a_continued_run_equals_an_uninterrupted_one_bit_for_bit(flags, tmp_path, changes, slot):
    # In processes of their own: the number of MKL's threads is read once in each.
    for name, max_steps in (('straight', 20), ('halves', 10), ('halves', 20)):
        subprocess.check_output(script(flags(
            max_steps=max_steps, model_dir=tmp_path / name, num_threads=1, **changes), mkl=True),
            stderr=subprocess.STDOUT)
    # The checkpoints of the first half are not left behind.
    assert [checkpoints.step_of(path) for path in checkpoints.all_in(str(tmp_path / 'halves'))] \
        == [10, 20]
    assert len(checkpoints.all_in(str(tmp_path / 'halves' / 'best'))) == 1
    straight, halves = weights_of(str(tmp_path / 'straight')), weights_of(str(tmp_path / 'halves'))
    assert straight.keys() == halves.keys()
    assert halves['global_step'] == 20
    assert any(name.endswith(slot) for name in straight)
    for name in straight:
        np.testing.assert_array_equal(halves[name], straight[name])


def test_the_loss_falls_on_a_few_pictures(flags, tmp_path):
    train.main(flags(max_steps=80, summary_every_steps=1, min_scale=1, max_scale=1, batch_size=3)
               + ['--no_color_jitter', '--no_random_flip'])
    _, scalars = events(str(tmp_path / 'run'))
    losses = [scalars[step, 'loss/cross_entropy'] for step in range(1, 81)]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])


def test_steps_between_checkpoints_evaluations_and_summaries_are_as_asked(flags, tmp_path):
    train.main(flags(max_steps=5, save_every_steps=2, eval_every_steps=3, summary_every_steps=4,
                     keep_checkpoints=3))
    tags, _ = events(str(tmp_path / 'run'))
    assert {step for step, tag in tags if tag == 'validation/mean_iou'} == {3, 5}
    assert {step for step, tag in tags if tag == 'loss/total'} == {4, 5}
    state = tf.train.get_checkpoint_state(str(tmp_path / 'run'))
    kept = [checkpoints.step_of(path) for path in state.all_model_checkpoint_paths]
    assert kept == [3, 4, 5]


def test_the_best_checkpoint_is_replaced_only_by_a_better_one(flags, tmp_path, monkeypatch):
    scores = iter([0.3, 0.5, 0.4])
    real = metrics.scores
    monkeypatch.setattr(metrics, 'scores',
                        lambda matrix: real(matrix)._replace(mean_iou=next(scores)))
    train.main(flags(max_steps=3, eval_every_steps=1))
    best = checkpoints.latest_in(str(tmp_path / 'run' / 'best'))
    assert checkpoints.step_of(best) == 2
    assert history.best_score(str(tmp_path / 'run'))['mean_iou'] == 0.5


def test_the_posts_way_keeps_the_checkpoint_of_the_lowest_running_loss(flags, tmp_path,
                                                                       monkeypatch):
    losses = iter([4.0, 1.0, 3.0])
    real = loop.evaluate
    monkeypatch.setattr(loop, 'evaluate', lambda *args, **kwargs: real(
        *args, **kwargs)._replace(mean_loss=next(losses)))
    train.main(flags(max_steps=3, eval_every_steps=1, best_metric='running_loss'))
    run = str(tmp_path / 'run')
    # Running means: 4, 2.5, 2.67.
    assert history.best_score(run)['step'] == 2
    assert history.best_score(run)['running_loss'] == 2.5
    tags, scalars = events(run)
    assert scalars[3, 'validation/running_loss'] == pytest.approx(8 / 3.0)
    assert scalars[3, 'validation/loss'] == 3


def test_resume_is_refused_or_insisted_on_as_asked(flags, tmp_path, capsys):
    with pytest.raises(SystemExit, match='--resume always: there is no checkpoint in '):
        train.main(flags(max_steps=1, resume='always'))
    train.main(flags(max_steps=1, resume='never'))
    with pytest.raises(SystemExit, match='--resume never: .*run holds a run already .model.ckpt-1'):
        train.main(flags(max_steps=2, resume='never'))
    stopped_with(75, flags(max_steps=2, resume='always', time_limit=1e-4))
    assert 'at step 1 (--resume): weights, optimizer' in capsys.readouterr().out


def test_padding_and_crop_flags_reach_the_augmentation():
    def options(*flags):
        return augmentation_options(train_flags.parse(list(flags)), 255)
    default = options()
    assert default.padding_color == (123.68, 116.78, 103.94)
    assert default.center_crop is False and default.align_scaling is True
    assert options('--input_normalization', 'inception').padding_color == (127.5,) * 3
    post = options('--recipe', 'post_code')
    assert post.padding_color == (0, 0, 0)
    assert post.center_crop is True and post.align_scaling is False


def test_init_from_takes_the_weights_and_starts_at_step_0(flags, tmp_path, trained, capsys):
    train.main(flags(init_from=trained, max_steps=1, starting_learning_rate=0))
    assert 'at step 0' in capsys.readouterr().out
    first = checkpoints.find(trained)[0]
    reader, second = tf.train.load_checkpoint(first), weights_of(str(tmp_path / 'run'))
    assert second['global_step'] == 1
    for name in ('DeepLab_v3/logits/weights', 'resnet_v2_tiny/conv1/weights'):
        np.testing.assert_array_equal(second[name], reader.get_tensor(name))


def test_init_from_a_run_of_other_classes_or_bands_says_so_and_makes_new_logits(
        flags, tmp_path, trained, shapes_dir, capsys):
    data = shutil.copytree(shapes_dir, str(tmp_path / 'data'))
    path = os.path.join(data, 'dataset.json')
    values = files.read_json(path)
    values['class_names'][1:3] = values['class_names'][2:0:-1]
    files.write_json(dict(values, bands=[8, 3, 2]), path)
    train.main(flags(init_from=trained, dataset_dir=data, max_steps=1, starting_learning_rate=0))
    out, err = capsys.readouterr()
    assert re.search(r'randomly initialised: DeepLab_v3/logits/biases, DeepLab_v3/logits/weights '
                     r'\(class 1 is "circle" in the run and "\w+" in the data, class 2 is', out)
    assert 'Warning: %s was trained on images read with neither' % trained in err
    reader = tf.train.load_checkpoint(checkpoints.find(trained)[0])
    second = weights_of(str(tmp_path / 'run'))
    np.testing.assert_array_equal(second['resnet_v2_tiny/conv1/weights'],
                                  reader.get_tensor('resnet_v2_tiny/conv1/weights'))
    name = 'DeepLab_v3/logits/weights'
    assert not np.array_equal(second[name], reader.get_tensor(name))


def build(flags_list, loss_weights=None):
    args = train_flags.parse(flags_list)
    info = descriptor.load(args.dataset_dir)
    config.resolve_classes(args, info)
    return train.build_train_graph(args, info, network.options_of(args),
                                   loss_weights=loss_weights)


def test_network_flags_reach_the_graph(flags):
    graph = build(flags(l2_regularizer=0.25, batch_norm_epsilon=0.5,
                        batch_norm_decay=0.75)).graph
    constants = {op.name: tf.make_ndarray(op.get_attr('value')) for op in graph.get_operations()
                 if op.type == 'Const'}
    assert {float(value) for name, value in constants.items()
            if name.endswith('l2_regularizer/scale')} == {0.25}
    assert {op.get_attr('epsilon') for op in graph.get_operations()
            if op.type.startswith('FusedBatchNorm') and 'Grad' not in op.type} == {0.5}
    one_minus_decay = graph.get_tensor_by_name(
        'resnet_v2_tiny/block1/unit_1/bottleneck_v2/preact/AssignMovingAvg/sub:0')
    with tf.Session(graph=graph) as session:
        assert session.run(one_minus_decay) == 0.25


def test_the_learning_rate_is_constant_or_falls_as_in_the_paper(flags, tmp_path):
    policy = dict(max_steps=4, starting_learning_rate=0.01, summary_every_steps=1)
    train.main(flags(learning_rate_policy='poly', **policy))
    _, scalars = events(str(tmp_path / 'run'))
    assert [scalars[step, 'learning_rate'] for step in (1, 2, 3)] == pytest.approx(
        [0.01 * (1 - done / 4.0) ** 0.9 for done in (0, 1, 2)])
    constant = build(flags(learning_rate_policy='constant', **policy))
    with tf.Session(graph=constant.graph) as session:
        for done in (0, 1, 2):
            constant.global_step.load(done, session)
            assert session.run(constant.learning_rate) == pytest.approx(0.01)


def test_a_poly_run_keeps_its_last_step(flags, capsys):
    for _ in range(2):
        train.main(flags(learning_rate_policy='poly', max_steps=1))
    assert 'has come to its end there: give another --model_dir' in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r'--max_steps 2 \(was: 1\)'):
        train.main(flags(learning_rate_policy='poly', max_steps=2))


def test_slots_stand_in_the_scope_of_the_post(flags):
    with build(flags()).graph.as_default():
        model = set(slim.get_model_variables())
        others = {v.op.name for v in tf.global_variables() if v not in model}
    assert 'global_step' in others
    assert all(name.startswith('optimizer_vars/') for name in others - {'global_step'})


def test_the_seed_decides_initialisation_and_data(flags):
    def first_step(seed):
        graph = build(flags(seed=seed))
        with graph.graph.as_default(), tf.Session() as session:
            session.run([tf.global_variables_initializer(), graph.initializer])
            kernel = graph.graph.get_tensor_by_name('resnet_v2_tiny/conv1/weights:0')
            return session.run([kernel, graph.step.losses.total])
    (a, loss_a), (b, loss_b), (c, loss_c) = (first_step(seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert loss_a == pytest.approx(loss_b, rel=1e-3)
    assert np.abs(a - c).max() > 0.01


@pytest.fixture
def train_only(tmp_path, shapes_dir):
    """The shapes without a validation split; returns the folder."""
    info = descriptor.load(shapes_dir)
    folder = tmp_path / 'train_only'
    folder.mkdir()
    for shard in info.splits['train']['shards']:
        os.symlink(os.path.join(shapes_dir, shard), str(folder / shard))
    descriptor.save(info._replace(splits={'train': info.splits['train']}), str(folder))
    return str(folder)


def test_a_split_without_validation_trains_and_says_so(flags, tmp_path, train_only, capsys):
    train.main(flags(dataset_dir=train_only, max_steps=1))
    printed = capsys.readouterr().out
    assert 'no split "validation"' in printed
    assert re.search('Score it with: .*--split train$', printed.strip())
    assert checkpoints.latest_in(str(tmp_path / 'run'))


def test_patience_without_a_validation_split_is_refused(flags, tmp_path, train_only):
    with pytest.raises(SystemExit, match='--patience 3: .*no split "validation", so nothing is'):
        train.main(flags(dataset_dir=train_only, patience=3))
    assert not os.path.exists(str(tmp_path / 'run'))


def test_overfit_needs_no_validation_split_and_misses_no_evaluation(flags, tmp_path, train_only,
                                                                    capsys):
    run = str(tmp_path / 'run')
    for _ in range(2):  # the second time as if it was killed within the evaluation
        train.main(flags(dataset_dir=train_only, max_steps=1, overfit=2))
        assert 'step 1: the 2 images trained on: mIoU' in capsys.readouterr().out
        assert history.is_validated(run, 1)
        os.remove(os.path.join(run, history.VALIDATION_NAME))


@pytest.mark.parametrize('changes,message', [
    (dict(dataset_dir='/nowhere'), r'/nowhere(.|\n)*build_voc2012(.|\n)*build_folder'
                                   r'(.|\n)*build_shapes'),
    (dict(number_of_classes=21), r'--number_of_classes 21.*6 classes'),
    (dict(init_from='/nowhere'), 'No checkpoint at /nowhere')])
def test_bad_input_ends_in_one_message_and_no_run_directory(flags, tmp_path, changes, message):
    with pytest.raises(SystemExit) as stopped:
        train.main(flags(**changes))
    stopped.match(message)
    assert not os.path.exists(str(tmp_path / 'run'))


def test_a_finished_run_is_left_alone_and_a_different_one_not_continued(flags, two_steps, capsys):
    before = contents(two_steps)
    train.main(flags())
    assert 'at step 2 already' in capsys.readouterr().out and contents(two_steps) == before
    with pytest.raises(SystemExit, match=r'--crop_size 49 \(was: 33\)'):
        train.main(flags(crop_size=49))


def test_a_loss_that_is_no_number_stops_the_run_with_its_causes_and_its_batch(flags, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        train.main(flags(starting_learning_rate=1e30, max_steps=9))
    stopped.match(r'(loss|gradients) .*at step [2-4] \(learning rate 1e\+30\)')
    stopped.match('(?s)Images: .*Label values: .*0.*Likely causes:.*  - ')
    run = tmp_path / 'run'
    folder, = [path for path in run.iterdir() if path.name.startswith('debug_step_')]
    step = int(folder.name.rsplit('_', 1)[1])
    report = json.loads((folder / 'report.json').read_text())
    assert report['step'] == step and len(report['images']) == 2
    assert any(norm in ('nan', 'inf') for norm in list(report['gradient_norms'].values())
               + list(report['losses'].values()))
    batch = np.load(str(folder / 'batch.npz'))
    # The batch of that very step.
    args = train_flags.parse(flags())
    info = descriptor.load(args.dataset_dir)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(args.seed)
        example = tf.data.make_one_shot_iterator(inputs.train_dataset(
            info, args.dataset_dir, augmentation_options(args, info.ignore_label), 2,
            0)).get_next()
        for _ in range(step):
            expected = session.run(example)
    np.testing.assert_array_equal(batch['image'], expected.image)
    np.testing.assert_array_equal(batch['labels'], expected.labels)
    assert [name.decode() for name in expected.name] == report['images']


def test_a_prediction_of_one_class_is_warned_about_the_second_time(flags, monkeypatch, capsys):
    real = loop.evaluate

    def collapsed(*args, **kwargs):
        evaluated = real(*args, **kwargs)
        matrix = np.zeros_like(evaluated.matrix)
        matrix[:, 2] = evaluated.matrix.sum(axis=1)
        return evaluated._replace(matrix=matrix)
    monkeypatch.setattr(loop, 'evaluate', collapsed)
    train.main(flags(max_steps=3, eval_every_steps=1))
    assert capsys.readouterr().out.count('Warning: a single class was predicted') == 2


def test_patience_ends_a_run_without_better_evaluations(flags, tmp_path, monkeypatch, capsys):
    scores = iter([0.3, 0.5, 0.4, 0.2, 0.6])
    real = metrics.scores
    monkeypatch.setattr(metrics, 'scores',
                        lambda matrix: real(matrix)._replace(mean_iou=next(scores)))
    train.main(flags(max_steps=9, eval_every_steps=1, patience=2))
    assert 'Stopped at step 4: no better evaluation in 2' in capsys.readouterr().out
    assert checkpoints.step_of(checkpoints.latest_in(str(tmp_path / 'run'))) == 4


def test_patience_and_the_best_score_outlast_a_restart(flags, tmp_path, monkeypatch, capsys):
    scores = iter([0.5, 0.4, 0.3])
    real = metrics.scores
    monkeypatch.setattr(metrics, 'scores',
                        lambda matrix: real(matrix)._replace(mean_iou=next(scores)))
    for max_steps in (2, 9):
        train.main(flags(max_steps=max_steps, eval_every_steps=1, patience=2))
    assert 'Stopped at step 3: no better evaluation in 2' in capsys.readouterr().out
    assert history.best_score(str(tmp_path / 'run'))['step'] == 1


def after_step(monkeypatch, number, act):
    """Calls `act` once a step is done."""
    real = Steps.run

    def run(steps, step, with_panels):
        result = real(steps, step, with_panels)
        if step == number:
            act()
        return result
    monkeypatch.setattr(Steps, 'run', run)


def stopped_with(status, arguments):
    """Runs train.py, which has to be stopped with this exit status."""
    with pytest.raises(SystemExit) as stopped:
        train.main(arguments)
    assert stopped.value.code == status


def test_a_time_limit_reached_within_a_run_saves_before_it_leaves(flags, tmp_path, monkeypatch,
                                                                  capsys):
    run, in_time = str(tmp_path / 'run'), flags(max_steps=4, time_limit=60, save_every_steps=100)
    with monkeypatch.context() as patched:
        # As if one more step took longer than what is left.
        stop = stopping.StopRequest(60)
        after_step(patched, 3, lambda: stop.took('step', 3600))
        assert train.train(train_flags.parse(in_time), stop, workers.ALONE) == 75
    assert 'Stopped at step 3: the time limit of 60 minutes' in capsys.readouterr().out
    # The first is saved too, so that the time of a checkpoint is known.
    assert [checkpoints.step_of(path) for path in checkpoints.all_in(run)] == [1, 3]
    train.main(in_time)
    printed = capsys.readouterr().out
    assert 'at step 3 (--resume)' in printed and 'Done' in printed


def test_a_signal_within_an_evaluation_ends_it_and_the_next_start_repeats_it(flags, tmp_path,
                                                                             monkeypatch, capsys):
    real = loop.evaluate

    def interrupted(*args, should_stop, **kwargs):
        should_stop.__self__.ask('SIGTERM', 143)
        return real(*args, should_stop=should_stop, **kwargs)
    with monkeypatch.context() as patched:
        patched.setattr(loop, 'evaluate', interrupted)
        stopped_with(143, flags(max_steps=2, eval_every_steps=1))
        assert 'Stopped at step 1: SIGTERM' in capsys.readouterr().out
        assert not history.is_validated(str(tmp_path / 'run'), 1)
        # No start would get beyond it.
        stopped_with(143, flags(max_steps=2, eval_every_steps=1))
        assert re.search('Stopped at step 1: SIGTERM, before the evaluation of step 1 was through.'
                         '.*give a larger --time_limit or --eval_every_steps',
                         capsys.readouterr().out)
    train.main(flags(max_steps=2, eval_every_steps=1))
    assert 'step 1: validation mIoU' in capsys.readouterr().out


def test_a_signal_after_the_last_step_leaves_a_run_that_is_done(flags, monkeypatch, capsys):
    real, stop = history.save_validations, stopping.StopRequest()

    def interrupted(*args):
        stop.ask('SIGTERM', 143)
        real(*args)
    monkeypatch.setattr(history, 'save_validations', interrupted)
    assert train.train(train_flags.parse(flags(max_steps=1)), stop, workers.ALONE) == 0
    assert re.search('Done: .*test.py --checkpoint .*/run$', capsys.readouterr().out.strip())


def test_time_limit_saves_leaves_and_goes_on(flags, tmp_path, capsys):
    stopped_with(75, flags(max_steps=3, time_limit=1e-4, save_every_steps=100))
    assert 'Stopped at step 0: the time limit of 0.0001 minutes' in capsys.readouterr().out
    train.main(flags(max_steps=3, save_every_steps=100))
    assert 'Done' in capsys.readouterr().out


def test_overfit_trains_and_evaluates_on_the_same_first_images(flags, tmp_path, monkeypatch):
    seen, real = [], loop.evaluate

    def remember(*args, **kwargs):
        return real(*args, on_example=lambda name, *_: seen.append(name), **kwargs)
    monkeypatch.setattr(loop, 'evaluate', remember)
    train.main(flags(max_steps=1, overfit=2))
    assert len(seen) == 2
    args = train_flags.parse(flags(overfit=2))
    info = descriptor.load(args.dataset_dir)
    trained_on = set()
    with tf.Graph().as_default(), tf.Session() as session:
        example = tf.data.make_one_shot_iterator(inputs.train_dataset(
            info, args.dataset_dir, augmentation_options(args, 255), 2, 0,
            num_examples=2)).get_next()
        for _ in range(4):
            trained_on.update(name.decode() for name in session.run(example.name))
    assert trained_on == set(seen)


def test_average_of_the_weights_is_evaluated_and_kept_as_the_best(flags, tmp_path):
    train.main(flags(max_steps=3, ema_decay=0.5, starting_learning_rate=0.01))
    run = str(tmp_path / 'run')
    latest = tf.train.load_checkpoint(checkpoints.latest_in(run))
    best = tf.train.load_checkpoint(checkpoints.latest_in(os.path.join(run, 'best')))
    name = 'DeepLab_v3/logits/weights'
    average = latest.get_tensor(name + weights.AVERAGED)
    np.testing.assert_array_equal(best.get_tensor(name), average)
    assert np.abs(latest.get_tensor(name) - average).max() > 1e-4
    assert not [key for key in best.get_variable_to_shape_map()
                if key.endswith(weights.AVERAGED)]
    assert weights.is_averaged(checkpoints.latest_in(run))


def damage(prefix):
    """Overwrites a part of a checkpoint's data."""
    data = prefix + '.data-00000-of-00001'
    with open(data, 'r+b') as f:
        f.seek(os.path.getsize(data) // 2)
        f.write(b'damage' * 100)


def contents(folder):
    """The bytes of all files of a folder by path, without the lock."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            if name != run_dir.LOCK_NAME:
                with open(os.path.join(parent, name), 'rb') as f:
                    found[os.path.join(parent, name)] = f.read()
    return found


@pytest.mark.parametrize('keep', [1, 2])
def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_used(flags, two_steps, capsys,
                                                                         keep):
    run = two_steps
    damage(os.path.join(run, 'model.ckpt-2'))
    train.main(flags(max_steps=3, save_every_steps=1, keep_checkpoints=keep))
    printed = capsys.readouterr().out
    assert 'model.ckpt-2 is damaged' in printed and 'model.ckpt-1 at step 1 (--resume)' in printed
    assert os.path.exists(os.path.join(run, 'damaged-model.ckpt-2.index'))
    assert [checkpoints.step_of(path) for path in checkpoints.all_in(run)] == [2, 3][-keep:]


def test_a_best_checkpoint_of_an_earlier_run_is_in_the_way(flags, two_steps):
    for path in glob.glob(os.path.join(two_steps, 'model.ckpt-*')):
        os.remove(path)
    with pytest.raises(SystemExit, match=r'a best checkpoint, but none to go on from.*--init_from '
                                         r'.*best/model.ckpt-\d .*take the folder .*best away'):
        train.main(flags(max_steps=1))
    shutil.rmtree(os.path.join(two_steps, 'best'))
    train.main(flags(max_steps=1))


def test_a_refused_start_changes_no_file(flags, tmp_path):
    run, path = str(tmp_path / 'run'), tmp_path / 'weights.json'
    path.write_text('[1, 1, 1, 1, 1, 1]')
    train.main(flags(max_steps=3, save_every_steps=1, keep_checkpoints=3, class_weights=path))
    damage(os.path.join(run, 'model.ckpt-3'))
    before = contents(run)
    # The run is the same for each, or one has changed it.
    for changes, weights_now, message in (
            (dict(resume='never'), 1, '--resume never'), (dict(crop_size=17), 1, '--crop_size 17'),
            ({}, 2, '--class_weights')):
        path.write_text('[1, 1, 1, 1, 1, %d]' % weights_now)
        with pytest.raises(SystemExit, match=message):
            train.main(flags(max_steps=4, keep_checkpoints=1, class_weights=path, **changes))
        assert contents(run) == before


def test_evaluated_is_the_checkpoint_of_the_step_whatever_the_state_file_names(flags, two_steps,
                                                                               monkeypatch):
    run = two_steps
    # As a kill leaves it between a checkpoint and the file that names the newest.
    tf.train.update_checkpoint_state(run, 'model.ckpt-1', ['model.ckpt-1'])
    os.remove(os.path.join(run, history.VALIDATION_NAME))
    evaluated, real = [], loop.evaluate

    def remember(graph, checkpoint, *args, **kwargs):
        evaluated.append(os.path.basename(checkpoint))
        return real(graph, checkpoint, *args, **kwargs)
    monkeypatch.setattr(loop, 'evaluate', remember)
    train.main(flags(save_every_steps=1))
    assert evaluated == ['model.ckpt-2']


def test_evaluations_of_steps_that_are_trained_again_are_forgotten(flags, two_steps, monkeypatch):
    run = two_steps
    damage(os.path.join(run, 'model.ckpt-2'))

    def killed(*_, **__):
        raise KeyboardInterrupt
    with monkeypatch.context() as patched:
        patched.setattr(Validation, 'run', killed)
        with pytest.raises(SystemExit, match='130'):
            train.main(flags(max_steps=2, eval_every_steps=1))
    assert checkpoints.latest_in(run).endswith('model.ckpt-2')
    assert history.is_validated(run, 1) and not history.is_validated(run, 2)


@pytest.mark.parametrize('error', [
    tf.errors.ResourceExhaustedError(None, None, 'OOM when allocating tensor'),
    tf.errors.InternalError(None, None, 'Dst tensor is not initialized.')])
def test_out_of_memory_ends_with_the_next_cheaper_settings(flags, monkeypatch, error):
    def full(*_):
        raise error
    monkeypatch.setattr(Steps, 'run', full)
    with pytest.raises(SystemExit, match='(?s)Out of memory at --crop_size 33 .*--batch_size 1'):
        train.main(flags())


def test_out_of_memory_in_an_evaluation_says_how_to_go_on_without(flags, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        def full(*_, **__):
            raise reading.OutOfMemoryError('no room')
        patched.setattr(loop, 'evaluate', full)
        with pytest.raises(SystemExit, match='(?s)in the evaluation of step 1.*"validation" whole'
                                             '.*test.py --checkpoint .*run/model.ckpt-1 --split '
                                             'validation --window 513.*--eval_every_steps 3: '):
            train.main(flags(max_steps=3, eval_every_steps=1))
        assert checkpoints.latest_in(str(tmp_path / 'run')).endswith('model.ckpt-1')
        # What was advised gets to the last step.
        with pytest.raises(SystemExit, match='in the evaluation of step 3') as stopped:
            train.main(flags(max_steps=3, eval_every_steps=3))
        assert '--eval_every_steps' not in str(stopped.value)
    assert checkpoints.latest_in(str(tmp_path / 'run')).endswith('model.ckpt-3')


def steps_of(args, start_step, **values):
    """Makes `Steps` whose session returns `values` in place of running a graph."""
    built = argparse.Namespace(
        train_op=None, learning_rate=None, data_wait=None, step=argparse.Namespace(
            losses=None, gradient_norms=None, variable_names=['a', 'b']))
    session = argparse.Namespace(run=lambda _: values)
    return Steps(session, built, args, start_step,
                 lambda failed: 'norms %r' % {
                     name: float(norm) for name, norm in failed.gradient_norms.items()})


def test_gradients_that_are_not_finite_stop_a_run_whose_loss_is():
    values = {'losses': Losses(1.0, 1.0, 2.0), 'learning_rate': 0.5, 'wait': 0.0}
    args = train_flags.parse([])
    steps_of(args, 4, norms=np.array([1.0, 2.0]), **values).run(5, False)
    with pytest.raises(UserError, match="norms {'a': 1.0, 'b': inf}"):
        steps_of(args, 4, norms=np.array([1.0, np.inf]), **values).run(5, False)


def test_one_image_at_a_time_trains_with_finite_statistics_and_a_smaller_loss(flags, tmp_path):
    run = str(tmp_path / 'run')
    # What the message about too little memory leads to.
    train.main(flags(batch_size=2, accumulate_steps=2, overfit=2, max_steps=30, min_scale=1,
                     max_scale=1, summary_every_steps=1) + ['--no_color_jitter',
                                                            '--no_random_flip'])
    values, scope = weights_of(run), 'DeepLab_v3/ASPP_layer/image_level_conv_1x1/'
    assert all(np.isfinite(value).all() for value in values.values())
    np.testing.assert_array_equal(values[scope + 'BatchNorm/moving_variance'], 1)
    assert np.abs(values['DeepLab_v3/ASPP_layer/conv_1x1_0/BatchNorm/moving_variance']
                  - 1).max() > 0.01
    # Its gradient reaches the image-level features too, whose batch norm would give 0 for all.
    slot, = [value for name, value in values.items() if name.endswith(scope + 'weights/Adam')]
    assert np.abs(slot).max() > 0
    losses = [entry['loss/cross_entropy'] for entry in run_log.read_metrics(run)
              if 'loss/cross_entropy' in entry]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])


def poisoned(monkeypatch, name, number):
    """Makes one value of a variable NaN once a step is done."""
    real = Steps.run

    def run(steps, step, with_panels):
        result = real(steps, step, with_panels)
        if step == number:
            variable, = [v for v in steps.graph.graph.get_collection('variables')
                         if v.op.name == name]
            value = steps.session.run(variable)
            value.flat[0] = np.nan
            variable.load(value, steps.session)
        return result
    monkeypatch.setattr(Steps, 'run', run)


@pytest.mark.parametrize('name', ['resnet_v2_tiny/conv1/weights',
                                  'DeepLab_v3/ASPP_layer/conv_1x1_0/BatchNorm/moving_variance'])
def test_variables_that_are_not_finite_are_neither_saved_nor_best(flags, tmp_path, monkeypatch,
                                                                  name):
    run = str(tmp_path / 'run')
    poisoned(monkeypatch, name, 2)
    with pytest.raises(SystemExit, match=r'(?s)^1 of \d+ variables are not finite after step 2, '
                                         'such as %s: it is not saved.*--init_from' % name):
        train.main(flags(max_steps=2, eval_every_steps=2, save_every_steps=1))
    assert checkpoints.latest_in(run).endswith('model.ckpt-1')
    assert checkpoints.problem_of(checkpoints.latest_in(run)) is None
    assert checkpoints.latest_in(os.path.join(run, 'best')) is None


def test_a_validation_loss_that_is_not_finite_ends_the_run_and_is_not_best(flags, tmp_path,
                                                                           monkeypatch, capsys):
    run, real = str(tmp_path / 'run'), loop.evaluate
    monkeypatch.setattr(loop, 'evaluate', lambda graph, prefix, *args, **kwargs: real(
        graph, prefix, *args, **kwargs)._replace(
            mean_loss=float('nan') if prefix.endswith('-2') else 1.0))
    for _ in range(2):  # the same command again finds it before it trains
        with pytest.raises(SystemExit) as stopped:
            train.main(flags(max_steps=3, eval_every_steps=1))
        stopped.match('evaluation of step 2 on split "validation" is nan')
        stopped.match('--init_from %s' % os.path.join(run, 'best', 'model.ckpt-1'))
        assert checkpoints.latest_in(run).endswith('model.ckpt-2')
    assert history.best_score(run)['step'] == 1 and 'Done' not in capsys.readouterr().out


def test_a_score_that_is_none_is_not_best_and_said(flags, tmp_path, monkeypatch, capsys):
    real = loop.evaluate

    def nothing_labelled(*args, **kwargs):
        evaluated = real(*args, **kwargs)
        return evaluated._replace(matrix=np.zeros_like(evaluated.matrix), mean_loss=0.0)
    monkeypatch.setattr(loop, 'evaluate', nothing_labelled)
    train.main(flags(max_steps=1))
    assert 'No pixel of split "validation" is labelled' in capsys.readouterr().out
    assert checkpoints.latest_in(str(tmp_path / 'run' / 'best')) is None


def test_a_feature_map_of_one_value_is_refused_with_the_crop_that_is_not(flags):
    for changes in (dict(batch_size=1), dict(batch_size=2, accumulate_steps=2)):
        with pytest.raises(SystemExit):
            train_flags.parse(flags(crop_size=16, **changes))
    train_flags.parse(flags(crop_size=17, batch_size=1))
    train_flags.parse(flags(crop_size=16, batch_size=2))


def spoil(path, content):
    with open(path, 'wb') as damaged:
        damaged.write(content)


DAMAGES = [b'', b'{"st', b'\xff\xfe\0', b'null', b'[{}]', b'{"step": 1}']


def test_damaged_small_files_are_found_before_a_step_with_a_way_out_that_works(
        flags, two_steps, monkeypatch, capsys):
    run, command = two_steps, flags(max_steps=3, eval_every_steps=1)
    best = history.best_score(run)
    trained, real = [], Steps.run
    monkeypatch.setattr(Steps, 'run', lambda steps, step, panels: (
        trained.append(step), real(steps, step, panels))[1])
    score = os.path.join(run, 'best', 'score.json')
    validation = os.path.join(run, 'validation.json')
    for path in (score, validation, os.path.join(run, 'metrics.jsonl')):
        for content in DAMAGES:
            before = contents(run)
            if path.endswith('.jsonl'):
                content = b'{"step": 1}{\n'
            spoil(path, content)
            with pytest.raises(SystemExit, match=path + '.*(Take the file|or the file) away'):
                train.main(command)
            os.remove(path)
            if path == score:  # its numbers are those of the evaluation
                assert history.best_score(run) == best
            for name, data in before.items():
                spoil(name, data)
    assert trained == []
    for path in (score, os.path.join(run, 'metrics.jsonl'), validation):
        os.remove(path)
    files.write_json(best, score)
    capsys.readouterr()
    train.main(command)
    assert trained == [3] and 'step 3: validation' in capsys.readouterr().out


def test_a_damaged_config_is_put_back_as_its_message_says(flags, two_steps, tmp_path):
    run, command = two_steps, flags(max_steps=3, eval_every_steps=1)
    path = os.path.join(run, 'config.json')
    for content in DAMAGES[:4] + [b'{}', b'{"format_version": 2, "flags": {}, "dataset": {}}']:
        spoil(path, content)
        with pytest.raises(SystemExit) as stopped:
            train.main(command)
        stopped.match(path)
        if content != b'{}':  # that is of no version
            stopped.match('Put a copy of it back: .*--model_dir and --time_limit 0.001. Or give '
                          'train.py another --model_dir, with --init_from ' + run)
    elsewhere = command + ['--model_dir', str(tmp_path / 'other')]
    stopped_with(75, elsewhere + ['--time_limit', '0.001'])
    shutil.copy(str(tmp_path / 'other' / 'config.json'), path)
    train.main(command)
    assert checkpoints.latest_in(run).endswith('model.ckpt-3')
    spoil(path, b'')
    stopped_with(75, command + ['--model_dir', str(tmp_path / 'third'), '--init_from', run,
                                '--time_limit', '0.001'])


def test_averages_begin_with_the_weights_of_init_from(flags, tmp_path, trained):
    train.main(flags(init_from=trained, max_steps=1, ema_decay=0.9, starting_learning_rate=0))
    second = weights_of(str(tmp_path / 'run'))
    name = 'DeepLab_v3/logits/weights'
    np.testing.assert_allclose(second[name + weights.AVERAGED], second[name], rtol=1e-6)


def first_loss(graph):
    """The cross-entropy of the first batch."""
    with graph.graph.as_default(), tf.Session() as session:
        session.run([tf.global_variables_initializer(), graph.initializer])
        return session.run(graph.step.losses.cross_entropy)


def test_class_weights_and_hard_examples_reach_the_loss(flags, tmp_path):
    path = tmp_path / 'weights.json'
    path.write_text('[0, 0, 0, 0, 1, 0]')  # a class far from the average
    train.main(flags(max_steps=1, class_weights=path))
    first = events(str(tmp_path / 'run'))[1][1, 'loss/cross_entropy']
    plain = first_loss(build(flags()))
    assert first_loss(build(flags(), [1] * 6)) == pytest.approx(plain, rel=1e-4)
    assert first_loss(build(flags(), [0, 0, 0, 0, 1, 0])) == pytest.approx(first, rel=1e-4)
    assert abs(first - plain) > 0.01 * plain
    assert first_loss(build(flags(hard_example_fraction=0.1))) > 1.2 * plain


def test_panels_show_image_label_prediction_and_error():
    ignore = 255
    info = descriptor.create('toy', ('a', 'b', 'c'), ignore,
                             colors=((7, 8, 9), (200, 50, 1), (3, 30, 200)))
    labels = np.array([[[0, 1], [2, ignore]]], np.int32)
    logits = np.float32([[[[9, 0, 0], [9, 0, 0]], [[0, 0, 9], [0, 9, 0]]]])  # 0 0 / 2 1
    image = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3) * 20
    with tf.Graph().as_default(), tf.Session() as session:
        panels = build_panels(inputs.Example(
            tf.constant(['name']), tf.constant(image), tf.constant(labels)), tf.constant(logits),
            info)
        summary = tf.Summary.FromString(session.run(panels))
        picture = session.run(tf.image.decode_png(summary.value[0].image.encoded_image_string))
    colors = palette.of(info)
    assert tuple(colors[2]) == (3, 30, 200)
    expected = np.concatenate(
        [image[0], colors[labels[0]], colors[np.array([[0, 0], [2, 1]])],
         255 * np.repeat([[[0], [1]], [[0], [0]]], 3, axis=2)], axis=1)
    np.testing.assert_array_equal(picture, expected)


def test_on_a_terminal_the_bar_stays_one_line(flags):
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 100, 0, 0))
    process = subprocess.Popen(script(flags(max_steps=4, eval_every_steps=2,
                                            class_weights='median_frequency')),
                               stdin=child, stdout=child, stderr=child)
    os.close(child)
    output = b''
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while True:
            output += os.read(parent, 65536)
    os.close(parent)
    assert process.wait() == 0
    assert b'\x1b[A' not in output  # the cursor never leaves the line
    lines = [re.split(r' *\r', line.rstrip('\r'))[-1]
             for line in output.decode().split('\n')[:-1]]
    evaluated, last = [line.startswith('step ') for line in lines], lines[-2]
    assert sum(evaluated) == 2 and 'step 4/4, loss' in last and '8/8' in last
    # Of all the bars only the last state of the last one stays.
    assert [line for line in lines if '%|' in line] == [last]
    assert all(lines) and lines[-1].startswith('Done')


@contextlib.contextmanager
def files_of_at_most(num_bytes):
    """Within it no file can grow further, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_is_full_while_saving_leaves_older_checkpoints_whole(flags, two_steps, capsys):
    run, command = two_steps, flags(max_steps=3, save_every_steps=1)
    size = os.path.getsize(os.path.join(run, 'model.ckpt-2.data-00000-of-00001'))
    with files_of_at_most(size // 2), pytest.raises(
            SystemExit, match='The checkpoint of step 3 cannot be written to'):
        train.main(command)
    assert checkpoints.latest_in(run).endswith('model.ckpt-2')
    assert checkpoints.problem_of(checkpoints.latest_in(run)) is None
    train.main(command)
    assert 'Done' in capsys.readouterr().out


@pytest.mark.parametrize('damaged, message', [
    ('train', r'train-00001-of-\d+.tfrecord: record 0 '),
    ('validation', r'validation-00001-of-\d+.tfrecord: record 0 ')])
def test_a_damaged_shard_stops_the_run_naming_shard_record_and_remedy(flags, tmp_path, shapes_dir,
                                                                      damaged, message):
    folder = tmp_path / 'data'
    shutil.copytree(shapes_dir, str(folder))
    shard = sorted(folder.glob(damaged + '-00001-of-*.tfrecord'))[0]
    data = bytearray(shard.read_bytes())
    data[len(data) // 4] ^= 1  # within the first record; the shard before it is whole
    shard.write_bytes(bytes(data))
    with pytest.raises(SystemExit) as stopped:
        train.main(flags(dataset_dir=folder, max_steps=4))
    stopped.match(message)
    stopped.match('Run the dataset builder again with the same flags')


def test_a_shard_found_damaged_within_a_run_loses_no_step(flags, tmp_path, monkeypatch):
    error = tf.errors.DataLossError(None, argparse.Namespace(type='IteratorGetNext'), 'corrupted')
    run, real = str(tmp_path / 'run'), Steps.run

    def damaged(steps, step, with_panels):
        if step == 4:
            raise error
        return real(steps, step, with_panels)
    monkeypatch.setattr(Steps, 'run', damaged)
    with pytest.raises(SystemExit, match='TensorFlow found damaged data'):
        train.main(flags(max_steps=9))
    assert checkpoints.latest_in(run).endswith('model.ckpt-3')


def test_what_of_the_input_fails_is_told_from_the_rest(tmp_path):
    path = tmp_path / 'gone.tfrecord'
    with tf.Graph().as_default(), tf.Session() as session:
        example = tf.data.make_one_shot_iterator(tf.data.TFRecordDataset([str(path)])).get_next()
        for fetched, of_input in ((tf.identity(example), True),
                                  (tf.debugging.assert_equal(tf.constant(1), tf.zeros([2], tf.int32)
                                                             + tf.placeholder_with_default(2, [])),
                                   False)):
            with pytest.raises(tf.errors.OpError) as caught:
                session.run(fetched)
            assert reading.is_of_input(caught.value) is of_input


def test_a_full_disk_for_the_log_loses_no_step(flags, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(run_log.RunLog, 'add', full)
    with pytest.raises(SystemExit, match='(?s)No space left.*Make room'):
        train.main(flags(max_steps=9, summary_every_steps=2))
    assert checkpoints.latest_in(str(tmp_path / 'run')).endswith('model.ckpt-2')


def script(arguments, mkl=False):
    """A command line that runs train.py with the tiny backbone.

    Without MKL, which takes a third of the time of a run of few steps to look up each node among
    all kernels, where the test is of the process and not of what it computes.
    """
    return [sys.executable, '-c',
            'import os, sys; sys.path[:0] = %r; os.environ["TF_DISABLE_MKL"] = "%d"\n'
            'import train; from tests.helpers import tiny_runs\n'
            'with tiny_runs.tiny_network(%d): train.main(sys.argv[1:])'
            % ([ROOT], not mkl, BASE_DEPTH)] + arguments


def test_a_run_asked_to_end_saves_leaves_with_the_signals_status_and_goes_on(flags, tmp_path,
                                                                             capsys):
    run, step = str(tmp_path / 'run'), 0
    for name, status in (('SIGTERM', 143), ('SIGINT', 130), ('SIGHUP', 129)):
        process = subprocess.Popen(script(flags(max_steps=10000, save_every_steps=10000,
                                                log_every_steps=1)),
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = b''
        while b'step %d/' % (step + 2) not in output:
            line = process.stdout.readline()
            assert line, output
            output += line
        process.send_signal(getattr(signal, name))
        output += process.communicate()[0]
        assert process.returncode == status, output
        assert (name + ': saving, then leaving').encode() in output, output
        before, step = step, checkpoints.step_of(checkpoints.latest_in(run))
        assert step >= before + 2 and b'Stopped at step %d: %s' % (step, name.encode()) in output
        # It went on where the one before had stopped.
        assert not before or b'at step %d (--resume)' % before in output, output
    train.main(flags(max_steps=step + 1))
    assert 'at step %d (--resume)' % step in capsys.readouterr().out


def test_ctrl_c_that_ends_the_reader_of_the_output_first_loses_no_step(flags, tmp_path):
    process = subprocess.Popen(script(flags(max_steps=1000, save_every_steps=1000,
                                            log_every_steps=1)),
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while b'step 2/' not in process.stdout.readline():
        assert process.poll() is None
    process.stdout.close()  # as when Ctrl-C ends tee
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert checkpoints.step_of(checkpoints.latest_in(str(tmp_path / 'run'))) >= 2


# More of them: TEST_KILLS=50 python -m pytest tests/test_train.py -k killed
KILLS = int(os.environ.get('TEST_KILLS', 8))


def kill_at_random(command, run, chance):
    """Starts a run and kills it: at any moment, or in the steps behind its next checkpoint."""
    latest = checkpoints.latest_in(run)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.time() + (300 if chance.random() < 0.7 else chance.uniform(0, 12))
    while time.time() < deadline and checkpoints.latest_in(run) == latest:
        assert process.poll() is None, process.communicate()[0].decode()
        time.sleep(0.01)
    # Of the next steps, writing checkpoints is a good part.
    time.sleep(chance.uniform(0, 0.5))
    assert process.poll() is None  # else the run is too short for so many kills
    process.send_signal(signal.SIGKILL)
    return process.communicate()[0].decode()


def test_a_run_killed_again_and_again_ends_whole_at_its_last_step(flags, tmp_path):
    run, last_step, save_every, chance = str(tmp_path / 'run'), 24 * KILLS, 2, random.Random(0)
    command = script(flags(max_steps=last_step, save_every_steps=save_every, eval_every_steps=16,
                           summary_every_steps=1, crop_size=17))
    step = 0
    for _ in range(KILLS):
        output = kill_at_random(command, run, chance)
        assert 'Traceback' not in output and 'damaged' not in output
        if '(--resume)' in output:
            assert 'at step %d (--resume)' % step in output
        before, whole = step, checkpoints.all_in(run)
        step = checkpoints.step_of(whole[-1]) if whole else 0
        assert step >= before
        for prefix in whole + checkpoints.all_in(os.path.join(run, checkpoints.BEST_DIR)):
            assert checkpoints.problem_of(prefix) is None
        # Repeated is at most what came after the last checkpoint.
        logged = [entry['step'] for entry in run_log.read_metrics(run)]
        assert logged == sorted(logged) and (not logged or logged[-1] <= step + save_every)
    assert 'Done' in subprocess.check_output(command, stderr=subprocess.STDOUT).decode()
    assert [checkpoints.step_of(path) for path in checkpoints.all_in(run)] == [
        last_step - save_every, last_step]
    assert weights_of(run)['global_step'] == last_step
    assert not [name for name in os.listdir(run) if 'tempstate' in name]
    steps = [entry['step'] for entry in run_log.read_metrics(run) if 'loss/total' in entry]
    assert steps == list(range(1, last_step + 1))
    scalars = event_accumulator.EventAccumulator(run).Reload().Scalars('loss/total')
    assert [scalar.step for scalar in scalars] == sorted({scalar.step for scalar in scalars})


def test_of_two_processes_on_a_new_run_directory_one_is_refused(flags, tmp_path):
    command = script(flags(max_steps=1000, log_every_steps=1))
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                 for _ in range(2)]
    while all(process.poll() is None for process in processes):
        time.sleep(0.1)
    refused, other = sorted(processes, key=lambda process: process.poll() is None)
    text = refused.communicate()[0].decode()
    assert refused.returncode == 1 and str(tmp_path / 'run') in text
    assert 'is in use: process %d' % other.pid in text or 'begun by another process' in text
    other.kill()
    other.communicate()


def test_a_signal_before_the_first_step_ends_the_run_with_its_status(flags):
    process = subprocess.Popen(script(flags(max_steps=9)), stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    output = b''
    while b'Recipe' not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    process.send_signal(signal.SIGINT)
    output += process.communicate()[0]
    assert process.returncode == 130 and b'Stopped at step 0: SIGINT' in output, output


def test_a_disk_that_is_full_from_the_start_is_said_without_a_traceback(flags, monkeypatch):
    def full(*_, **__):
        raise OSError(28, 'No space left on device', 'runs/x/config.json.tmp')
    monkeypatch.setattr(files, 'write_json', full)
    with pytest.raises(SystemExit, match='(?s)No space left.*runs/x/config.json.*Make room'):
        train.main(flags())


def test_a_best_checkpoint_that_could_not_be_kept_is_evaluated_again(flags, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        def killed(*_):
            raise KeyboardInterrupt
        patched.setattr(history, 'save_validations', killed)
        with pytest.raises(SystemExit, match='130'):
            train.main(flags(max_steps=1))
    assert not history.is_validated(str(tmp_path / 'run'), 1)
    train.main(flags(max_steps=1))
    assert history.is_validated(str(tmp_path / 'run'), 1)
    assert history.best_score(str(tmp_path / 'run'))['step'] == 1
    # Its numbers are there once.
    logged = [entry for entry in run_log.read_metrics(str(tmp_path / 'run'))
              if 'validation/mean_iou' in entry]
    assert len(logged) == 1
    shown = event_accumulator.EventAccumulator(str(tmp_path / 'run')).Reload()
    assert [scalar.step for scalar in shown.Scalars('validation/mean_iou')] == [1]
    assert [scalar.step for scalar in shown.Scalars('loss/total')] == [1]


def test_class_weights_that_changed_in_their_file_are_noticed_on_resume(flags, tmp_path):
    path = tmp_path / 'weights.json'
    path.write_text('[1, 1, 1, 1, 1, 1]')
    train.main(flags(max_steps=1, class_weights=path))
    train.main(flags(max_steps=2, class_weights=path))
    path.write_text('[1, 1, 1, 1, 1, 2]')
    with pytest.raises(SystemExit, match='--class_weights are .*2.0.* was begun with'):
        train.main(flags(max_steps=3, class_weights=path))


def test_speed_leaves_out_the_first_step_of_a_process():
    steps, speeds = steps_of(argparse.Namespace(batch_size=6), 5), []
    for step, seconds in ((6, 100.0), (7, 2.0), (8, 4.0)):
        steps.note_time(step, seconds, seconds / 4)
        speeds.append(steps.speed()['speed/images_per_second'])
    assert speeds == [0.06, 3.0, 2.0]
    assert steps.speed()['speed/data_wait_share'] == 0.25


def test_the_recipe_scratch_trains_in_the_minutes_that_are_given(shapes_dir, tmp_path, capsys,
                                                                 monkeypatch):
    # 97% of 6 seconds, less an evaluation and two checkpoints' share.
    monkeypatch.setattr(train.pace, 'measure', lambda *_, **__: planning.Pace(0, 0, 1, 0.5, 0.1))
    command = ['--recipe', 'scratch', '--minutes', '0.1', '--resnet_model', TINY, '--dataset_dir',
               shapes_dir, '--model_dir', str(tmp_path / 'run')]
    with tiny_runs.tiny_network(BASE_DEPTH):
        train.main(command)
        saved = vars(config.load(str(tmp_path / 'run')))
        assert (saved['minutes'], saved['max_steps'], saved['init_from']) == (0.1, 5, 'random')
        assert saved['crop_size'] == 33 and saved['batch_norm_decay'] == 0.9
        assert checkpoints.step_of(checkpoints.latest_in(str(tmp_path / 'run'))) == 5
        capsys.readouterr()
        train.main(command)  # as it is through, nothing is measured or trained
    said = capsys.readouterr().out
    assert 'is at step 5 already' in said and ' steps of ' not in said


def test_an_estimate_trains_and_writes_nothing(flags, tmp_path, capsys):
    train.main(flags(max_steps=3) + ['--estimate'])
    assert re.search(r'3 steps of .* s, with evaluations and checkpoints about \d+ seconds',
                     capsys.readouterr().out)
    assert not os.path.exists(str(tmp_path / 'run'))
