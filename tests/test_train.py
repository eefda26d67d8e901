"""train.py as users run it, on a tiny backbone and six pictures."""
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import checkpoints
import config
import train
from dataset import descriptor
from runtime import slim, tf

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.fixture
def flags(tiny_backbone, shapes_dir, tmp_path):
    """Makes the flags of a small run; keyword arguments change them."""
    def make(**changes):
        values = dict(resnet_model=tiny_backbone, dataset_dir=shapes_dir,
                      model_dir=str(tmp_path / 'run'), crop_size=33, batch_size=2, max_steps=2,
                      batch_norm_decay=0.9, starting_learning_rate=0.001)
        values.update(changes)
        return [word for name, value in values.items() for word in ('--' + name, str(value))]
    return make


def weights(model_dir):
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
    assert 'random initialisation' in capsys.readouterr().out
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
                    'validation/mean_iou', 'image_label_prediction/image/0'):
            assert (step, tag) in tags
        assert scalars[step, 'loss/total'] == pytest.approx(
            scalars[step, 'loss/cross_entropy'] + scalars[step, 'loss/regularization'], rel=1e-5)
        assert scalars[step, 'loss/regularization'] > 0
    assert not [name for _, _, names in os.walk(run) for name in names if name.endswith('.tmp')]


def test_a_continued_run_equals_an_uninterrupted_one(flags, tmp_path, capsys):
    for name, max_steps in (('straight', 4), ('halves', 2), ('halves', 4)):
        train.main(flags(max_steps=max_steps, model_dir=tmp_path / name,
                         starting_learning_rate=1e-5))
    assert 'at step 2' in capsys.readouterr().out
    # The checkpoints of the first half are not left behind.
    assert [checkpoints.step_of(path) for path in checkpoints.all_in(str(tmp_path / 'halves'))] \
        == [2, 4]
    assert len(checkpoints.all_in(str(tmp_path / 'halves' / 'best'))) == 1
    straight, halves = weights(str(tmp_path / 'straight')), weights(str(tmp_path / 'halves'))
    assert straight.keys() == halves.keys()
    assert halves['global_step'] == 4
    assert any(name.endswith('/Adam') for name in straight)
    # Threads add up in any order, so the last bits differ. Lost slots would show as
    # half of the slots' norm and more.
    for name, tolerance in (('DeepLab_v3/logits/weights', 1e-3),
                            ('resnet_v2_tiny/block1/unit_1/bottleneck_v2/conv1/weights', 1e-3),
                            ('optimizer_vars/DeepLab_v3/logits/weights/Adam', 0.05)):
        difference = np.linalg.norm(halves[name] - straight[name])
        assert 0 < np.linalg.norm(straight[name]) and \
            difference <= tolerance * np.linalg.norm(straight[name]), name


def test_the_loss_falls_on_a_few_pictures(flags, tmp_path):
    train.main(flags(max_steps=30, summary_every_steps=1, min_scale=1, max_scale=1, batch_size=3)
               + ['--no_color_jitter', '--no_random_flip'])
    _, scalars = events(str(tmp_path / 'run'))
    losses = [scalars[step, 'loss/cross_entropy'] for step in range(1, 31)]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])


def test_steps_between_checkpoints_evaluations_and_summaries_are_as_asked(flags, tmp_path):
    train.main(flags(max_steps=5, save_every_steps=2, eval_every_steps=3, summary_every_steps=4))
    tags, _ = events(str(tmp_path / 'run'))
    assert {step for step, tag in tags if tag == 'validation/mean_iou'} == {3, 5}
    assert {step for step, tag in tags if tag == 'loss/total'} == {4, 5}
    state = tf.train.get_checkpoint_state(str(tmp_path / 'run'))
    kept = [checkpoints.step_of(path) for path in state.all_model_checkpoint_paths]
    assert kept == [4, 5]


def test_the_best_checkpoint_is_replaced_only_by_a_better_one(flags, tmp_path, monkeypatch):
    scores = iter([0.3, 0.5, 0.4])
    real = train.metrics.scores
    monkeypatch.setattr(train.metrics, 'scores',
                        lambda matrix: real(matrix)._replace(mean_iou=next(scores)))
    train.main(flags(max_steps=3, eval_every_steps=1))
    best = checkpoints.latest_in(str(tmp_path / 'run' / 'best'))
    assert checkpoints.step_of(best) == 2
    assert checkpoints.best_score(str(tmp_path / 'run')) == 0.5


def test_init_from_takes_the_weights_and_starts_at_step_0(flags, tmp_path, capsys):
    train.main(flags(model_dir=tmp_path / 'first'))
    train.main(flags(model_dir=tmp_path / 'second', init_from=tmp_path / 'first', max_steps=1,
                     starting_learning_rate=0))
    assert 'at step 0' in capsys.readouterr().out
    first = checkpoints.find(str(tmp_path / 'first'))[0]
    reader, second = tf.train.load_checkpoint(first), weights(str(tmp_path / 'second'))
    assert second['global_step'] == 1
    for name in ('DeepLab_v3/logits/weights', 'resnet_v2_tiny/conv1/weights'):
        np.testing.assert_array_equal(second[name], reader.get_tensor(name))


def build(flags_list):
    args = config.parse_train_flags(flags_list)
    info = descriptor.load(args.dataset_dir)
    config.resolve_classes(args, info)
    return train.build_train_graph(args, info, 0)


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
    for policy, expected in (('constant', [0.01] * 3),
                             ('poly', [0.01 * (1 - done / 4.0) ** 0.9 for done in (0, 1, 2)])):
        run = str(tmp_path / policy)
        train.main(flags(model_dir=run, learning_rate_policy=policy, max_steps=4,
                         starting_learning_rate=0.01, summary_every_steps=1))
        _, scalars = events(run)
        assert [scalars[step, 'learning_rate'] for step in (1, 2, 3)] == pytest.approx(expected)


def test_a_poly_run_keeps_its_last_step(flags):
    train.main(flags(learning_rate_policy='poly', max_steps=1))
    with pytest.raises(SystemExit, match=r'--max_steps 2 \(was 1\)'):
        train.main(flags(learning_rate_policy='poly', max_steps=2))


def test_slots_stand_in_the_scope_of_the_post(flags):
    with build(flags()).graph.as_default():
        model = set(slim.get_model_variables())
        others = {v.op.name for v in tf.global_variables() if v not in model}
    assert 'global_step' in others
    assert all(name.startswith('optimizer_vars/') for name in others - {'global_step'})


def test_the_seed_decides_initialisation_and_data(flags, tmp_path):
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        train.main(flags(model_dir=tmp_path / name, seed=seed, max_steps=1,
                         starting_learning_rate=0))
    a, b, c = (weights(str(tmp_path / name)) for name in 'abc')
    kernel, mean = 'resnet_v2_tiny/conv1/weights', 'resnet_v2_tiny/postnorm/moving_mean'
    np.testing.assert_array_equal(a[kernel], b[kernel])
    np.testing.assert_allclose(a[mean], b[mean], rtol=1e-3, atol=1e-5)
    assert np.abs(a[kernel] - c[kernel]).max() > 0.01


def test_a_split_without_validation_trains_and_says_so(flags, tmp_path, shapes_dir, capsys):
    info = descriptor.load(shapes_dir)
    folder = tmp_path / 'train_only'
    folder.mkdir()
    for shard in info.splits['train']['shards']:
        os.symlink(os.path.join(shapes_dir, shard), str(folder / shard))
    descriptor.save(info._replace(splits={'train': info.splits['train']}), str(folder))
    train.main(flags(dataset_dir=folder, max_steps=1))
    assert 'no split "validation"' in capsys.readouterr().out
    assert checkpoints.latest_in(str(tmp_path / 'run'))


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


def test_a_finished_run_is_left_alone_and_a_different_one_not_continued(flags, capsys):
    train.main(flags(max_steps=1))
    train.main(flags(max_steps=1))
    assert 'at step 1 already' in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r'--crop_size 49 \(was 33\)'):
        train.main(flags(crop_size=49))


def test_a_loss_that_is_no_number_stops_the_run(flags):
    with pytest.raises(SystemExit, match='loss is .*at step 2 .*starting_learning_rate'):
        train.main(flags(starting_learning_rate=1e30, max_steps=3))


def test_a_killed_run_continues_from_its_last_checkpoint(flags, tmp_path):
    run, last_step, chance = str(tmp_path / 'run'), 12, random.Random(0)
    command = [sys.executable, '-c',
               'import sys; sys.path.insert(0, %r)\n'
               'from resnet import resnet_v2; resnet_v2.UNITS["resnet_v2_tiny"] = (1, 1, 1, 3)\n'
               'import train; train.main(sys.argv[1:])' % ROOT]
    command += flags(max_steps=last_step, save_every_steps=1, eval_every_steps=100)
    reached = []
    for _ in range(3):
        before = reached[-1] if reached else 0
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        deadline = time.time() + 300
        while process.poll() is None and time.time() < deadline:
            latest = checkpoints.latest_in(run)
            if latest and checkpoints.step_of(latest) > before:
                break
            time.sleep(0.01)
        # Anywhere in the next steps, of which writing checkpoints is a good part.
        time.sleep(chance.uniform(0, 1))
        process.send_signal(signal.SIGKILL)
        output = process.communicate()[0].decode()
        reached.append(checkpoints.step_of(checkpoints.latest_in(run)))
        assert reached[-1] > before, output
        assert ('at step %d' % before in output) == (before > 0)
    output = subprocess.check_output(command, stderr=subprocess.STDOUT).decode() \
        if reached[-1] < last_step else ''
    assert not output or 'at step %d' % reached[-1] in output
    assert weights(run)['global_step'] == last_step
