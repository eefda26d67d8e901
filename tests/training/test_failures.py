"""failures.py: what a failing run says names the cause and the way out."""
import json

import numpy as np
import pytest

import losses
from dataset import descriptor
from experiment import train_flags
from preprocessing import augmentation, inputs
from runtime import tf
from training import failures

NAN = float('nan')
FINITE = losses.Losses(total=NAN, cross_entropy=NAN, regularization=1.0)


@pytest.fixture
def info(shapes_dir):
    return descriptor.load(shapes_dir)


def causes(info, labels=0, image=1.0, loss=FINITE, norms=(1.0,), history=(1.0,)):
    batch = inputs.Example(np.array([b'a']), np.full([1, 2, 2, 3], image, np.float32),
                           np.full([1, 2, 2], labels, np.int32))
    failed = failures.FailedStep(
        3, 0.1, loss, {'v%d' % index: norm for index, norm in enumerate(norms)}, list(history))
    return failures.likely_causes(failed, batch, info)


def test_labels_that_are_no_classes_are_listed_first(info):
    found = causes(info, labels=38, history=(1.0, 1.0, 1.0, 9.0))
    assert 'The labels hold [38]' in found[0] and 'dataset/check.py' in found[0]
    assert len(found) == 2


def test_images_that_are_not_finite_are_named(info):
    assert causes(info, image=NAN) == ['The images hold numbers that are not finite.']


@pytest.mark.parametrize('changes, said', [
    (dict(norms=(NAN, 1e7)), 'too high: give'),
    (dict(history=(2.0, 1.0, 1.5, 2.5)), 'too high: the loss rose from 1 to 2.5 before, give'),
    # One step at a rate of 1e20: the squares of the weights are beyond float32.
    (dict(loss=FINITE._replace(regularization=float('inf'))),
     'too high: the step before threw the weights beyond what float32 holds, give')])
def test_a_learning_rate_that_is_too_high_is_recognized(info, changes, said):
    cause, = causes(info, **changes)
    assert said in cause and '--starting_learning_rate or --warmup_steps' in cause


def test_weights_of_the_start_are_blamed_at_the_first_step_alone(info):
    cause, = causes(info, loss=FINITE._replace(regularization=NAN), history=())
    assert 'damaged in the checkpoint' in cause


def test_without_a_finding_the_first_thing_to_try_is_said(info):
    assert causes(info) == [
        'Nothing conspicuous was found. Try a smaller --starting_learning_rate.']


def test_the_batch_in_parts_is_read_as_it_was_trained_on(info, shapes_dir):
    args = train_flags.parse(['--batch_size', '4', '--accumulate_steps', '2', '--dataset_dir',
                              shapes_dir])
    options = augmentation.Augmentation(17, 0.5, 2.0, True, True, info.ignore_label, (0.0,) * 3)
    found = failures.read_batch(args, info, options, step=3)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(args.seed)
        parts = tf.data.make_one_shot_iterator(inputs.train_dataset(
            info, shapes_dir, options, 2, args.seed)).get_next()
        expected = [session.run(parts) for _ in range(6)][4:]
    for field in inputs.Example._fields:
        np.testing.assert_array_equal(
            getattr(found, field), np.concatenate([getattr(part, field) for part in expected]))


def test_norms_name_what_is_not_finite_and_the_largest():
    norms = {'a': 3.0, 'b': 4.0, 'c': 0.0, 'd': 0.5}
    assert failures.describe_norms(norms) == (
        'Gradient norm 5.02; largest: 4 (b), 3 (a), 0.5 (d).')
    assert failures.describe_norms(dict(norms, e=NAN)) == (
        'Gradient norm nan; not finite for 1 of 5 variables, such as e; largest finite: 4 (b), '
        '3 (a), 0.5 (d).')


@pytest.mark.parametrize('loss, said', [(NAN, 'The loss is nan at step 3 '),
                                        (1.5, 'The gradients are not finite at step 3 ')])
def test_a_full_disk_hides_no_explanation(info, tmp_path, loss, said):
    (tmp_path / 'run').write_text('')  # no folder can be made in it
    args = train_flags.parse([])
    args.model_dir = str(tmp_path / 'run')
    batch = inputs.Example(np.array([b'', b'b.jpg']), np.ones([2, 2, 2, 3], np.float32),
                           np.zeros([2, 2, 2], np.int32))
    failed = failures.FailedStep(3, 0.25, losses.Losses(loss, 1.0, loss), {'v': NAN}, [1.0])
    text = failures.explain_non_finite(failed, args, info, batch)
    assert text.startswith(said + '(learning rate 0.25).\nImages: (unnamed 0), b.jpg. Label ')
    assert 'not finite for 1 of 1 variables, such as v.\n' in text
    assert '  - Nothing conspicuous' in text
    assert 'could not be saved: [Errno' in text


def memory(*flags):
    return failures.explain_no_memory(train_flags.parse(list(flags))).split('\n')


def suggested(lines):
    return [line.split(':')[0].split(' (')[0].strip() for line in lines[1:-1]]


def test_cheaper_settings_are_named_in_order_with_what_was_measured(tmp_path, monkeypatch):
    base = {'crop_size': 513, 'batch_size': 8, 'output_stride': 8, 'resnet_model': 'resnet_v2_101'}
    changes = [({}, 1000), ({'batch_size': 4}, 600), ({'output_stride': 16}, 500),
               ({'crop_size': 321}, 400), ({'resnet_model': 'resnet_v2_50'}, 700)]
    table = tmp_path / 'table.json'
    table.write_text(json.dumps({'rows': [dict(base, peak_mib=peak, **change) if not change
                                          else dict(dict(base, **change), peak_mib=peak)
                                          for change, peak in changes]}))
    monkeypatch.setattr(failures, 'MEMORY_TABLE', str(table))
    lines = memory('--output_stride', '8', '--resnet_model', 'resnet_v2_101', '--model_dir', 'R')
    assert '--crop_size 513 --batch_size 8 --accumulate_steps 1 --output_stride 8' in lines[0]
    assert lines[1:-1] == [
        '  --accumulate_steps 2: the same batch in smaller parts',
        '  --batch_size 4 (measured: 0.60 of the memory)',
        '  --output_stride 16 (measured: 0.50 of the memory)',
        '  --crop_size 321 (measured: 0.40 of the memory)',
        '  --resnet_model resnet_v2_50 (measured: 0.70 of the memory)']
    assert '--init_from R' in lines[-1]
    # Nothing is quoted for what was not measured.
    assert 'measured' not in '\n'.join(memory('--crop_size', '769', '--batch_size', '6'))


def test_cheaper_settings_go_together(monkeypatch):
    lines = memory('--batch_size', '6', '--accumulate_steps', '2', '--crop_size', '65')
    assert suggested(lines) == ['--accumulate_steps 6', '--batch_size 2']
    for flags in suggested(lines):
        train_flags.parse(['--batch_size', '6', '--accumulate_steps', '2'] + flags.split())


def test_where_nothing_is_cheaper_this_is_said():
    lines = memory('--batch_size', '1', '--crop_size', '65')
    assert lines[1:-1] == ['  (none is known)']
