"""Checkpoints, flags and records as the post's code writes them, read by the scripts here."""
import json
import os
import test

import numpy as np
import pytest

import metrics
import network
import train
from common.errors import UserError
from dataset import descriptor
from experiment import checkpoints, config
from preprocessing import inputs
from runtime import tf
from tests.helpers import pseudo_random, tiny_runs
from tests.helpers.tiny_runs import TINY

BASE_DEPTH = 8
FEATURES = 32 * BASE_DEPTH  # channels that block4 returns
NUM_CLASSES = 21
SIZES = ((40, 37), (33, 51), (20, 20))


@pytest.fixture(scope='module')
def tiny():
    with tiny_runs.tiny_network(BASE_DEPTH):
        yield TINY


def example(index):
    """Returns image uint8 [height, width, 3] and label ids uint8 [height, width]."""
    random = np.random.RandomState(index)
    height, width = SIZES[index % len(SIZES)]
    return (random.randint(0, 256, [height, width, 3]).astype(np.uint8),
            random.choice([0, 3, 20, 255], [height, width]).astype(np.uint8))


def write_raw_records(path, count, ids_of=lambda labels: labels):
    def int64(value):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    def pixels(array):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[array.tobytes()]))

    with tf.io.TFRecordWriter(str(path)) as writer:
        for index in range(count):
            image, labels = example(index)
            labels = ids_of(labels)
            writer.write(tf.train.Example(features=tf.train.Features(feature={
                'height': int64(labels.shape[0]), 'width': int64(labels.shape[1]),
                'image_raw': pixels(image), 'annotation_raw': pixels(labels)})).SerializeToString())


@pytest.fixture(scope='module')
def raw_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tfrecords')
    for split, count in (('train', 4), ('validation', 2), ('test', 3)):
        write_raw_records(folder / (split + '.tfrecords'), count)
    return str(folder)


@pytest.fixture(scope='module')
def post_run(tiny, tmp_path_factory):
    """The log folder of a run of the post's train.py: train/model.ckpt.* and train/data.json.

    The step is a bare variable and the Adam slots stand under optimizer_vars/; the
    backbone has a classifier that nothing trains.
    """
    folder = tmp_path_factory.mktemp('tboard_logs') / '16645' / 'train'
    folder.mkdir(parents=True)
    flags = dict(batch_norm_epsilon=1e-5, batch_norm_decay=0.9997, number_of_classes=NUM_CLASSES,
                 l2_regularizer=0.0001, starting_learning_rate=1e-5, multi_grid=[1, 2, 4],
                 output_stride=16, gpu_id=0, crop_size=33, resnet_model=tiny,
                 current_best_val_loss='0.31', accumulated_validation_miou=0, batch_size=8)
    (folder / 'data.json').write_text(json.dumps(flags, sort_keys=True, indent=4))
    with tf.Graph().as_default(), tf.Session() as session:
        network.deeplab_v3(tf.zeros([1, 33, 33, 3]),
                           network.options_of(config.load(str(folder))), False, None)
        model = tf.trainable_variables()
        tf.get_variable(tiny + '/logits/weights', [1, 1, FEATURES, NUM_CLASSES])
        tf.get_variable(tiny + '/logits/biases', [NUM_CLASSES])
        tf.Variable(0, trainable=False, name='optimizer_vars/Variable')
        for name in ('beta1_power', 'beta2_power'):
            tf.Variable(0.9, trainable=False, name='optimizer_vars/' + name)
        for variable in model:
            for slot in ('Adam', 'Adam_1'):
                tf.Variable(tf.zeros(variable.shape), trainable=False,
                            name='optimizer_vars/%s/%s' % (variable.op.name, slot))
        pseudo_random.assign(session)
        tf.train.Saver().save(session, str(folder / 'model.ckpt'))
    return str(folder.parent)


def test_raw_records_are_vocs_classes_and_counted_without_a_dataset_json(raw_dir):
    info = descriptor.load(raw_dir)
    assert info.number_of_classes == 21 and info.ignore_label == 255
    assert info.class_names[15] == 'person'
    assert {split: entry['num_examples'] for split, entry in info.splits.items()} == {
        'train': 4, 'validation': 2, 'test': 3}


def test_raw_records_are_read_pixel_by_pixel_and_named_by_number(raw_dir):
    with tf.Graph().as_default(), tf.Session() as session:
        batch = tf.data.make_one_shot_iterator(
            inputs.eval_dataset(descriptor.load(raw_dir), raw_dir, 'test')).get_next()
        for index in range(3):
            name, image, labels = session.run(batch)
            expected_image, expected_labels = example(index)
            assert name[0].decode() == 'test-%06d' % index
            np.testing.assert_array_equal(image[0], expected_image)
            np.testing.assert_array_equal(labels[0], expected_labels)


def test_one_file_of_raw_records_is_enough_and_dataset_json_goes_before(tmp_path, shapes_dir):
    write_raw_records(tmp_path / 'test.tfrecords', 1)
    assert set(descriptor.load(str(tmp_path)).splits) == {'test'}
    before = descriptor.fingerprint(str(tmp_path))
    write_raw_records(tmp_path / 'test.tfrecords', 2)
    assert descriptor.fingerprint(str(tmp_path)) != before
    info = descriptor.load(shapes_dir)
    for shard in info.splits['test']['shards']:
        os.symlink(os.path.join(shapes_dir, shard), str(tmp_path / shard))
    descriptor.save(info._replace(splits={'test': info.splits['test']}), str(tmp_path))
    assert descriptor.load(str(tmp_path)).name == 'shapes'


@pytest.mark.parametrize('damage, message', [
    (lambda data: data[:-9], r'damaged: record 1 \(counted from 0\), .* is cut short'),
    (lambda data: data + b'more', r'damaged: record 2 \(counted from 0\), .* is cut short'),
    (lambda data: b'\1' + data[1:], 'damaged: record 0 .* has a damaged length'),
    (lambda data: b'', 'is empty')])
def test_damaged_raw_records_are_refused_naming_file_and_record(tmp_path, damage, message):
    path = tmp_path / 'train.tfrecords'
    write_raw_records(path, 2)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=message) as error:
        descriptor.load(str(tmp_path))
    assert str(error.value).startswith(str(path))


def test_records_of_other_features_are_refused_listing_them(tmp_path):
    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))
    with tf.io.TFRecordWriter(str(tmp_path / 'test.tfrecords')) as writer:
        writer.write(tf.train.Example(features=tf.train.Features(
            feature={'label': feature})).SerializeToString())
    info = descriptor.load(str(tmp_path))
    with pytest.raises(ValueError, match='features are: label'):
        inputs.eval_dataset(info, str(tmp_path), 'test')


def test_first_record_that_cannot_be_read_is_refused(tmp_path):
    path = tmp_path / 'test.tfrecords'
    write_raw_records(path, 1)
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match='test.tfrecords: its first record cannot be read'):
        inputs.eval_dataset(descriptor.load(str(tmp_path)), str(tmp_path), 'test')


@pytest.mark.parametrize('split, message', [
    ('train', r'The loss is nan at step 1 .*\n.*\n.*\nLikely causes:\n  - The labels hold \[220\], '
              r'which are neither classes \(0..20\)'),
    ('validation', 'validation-000000: label ids run from 0 to 220; with 21 classes they must')])
def test_ids_that_are_no_class_stop_training_with_the_cause(tmp_path, tiny, split, message):
    for name in ('train', 'validation'):
        write_raw_records(tmp_path / (name + '.tfrecords'), 2, ids_of=lambda labels: np.where(
            labels == 255, 220 if name == split else 255, labels).astype(np.uint8))
    with pytest.raises(SystemExit, match=message):
        train.main(['--dataset_dir', str(tmp_path), '--model_dir', str(tmp_path / 'run'),
                    '--resnet_model', tiny, '--crop_size', '33', '--batch_size', '2',
                    '--max_steps', '1', '--init_from', 'random'])


@pytest.mark.parametrize('split', ['train', 'validation'])
def test_raw_records_of_the_wrong_length_point_to_what_finds_them(tmp_path, tiny, split):
    for name in ('train', 'validation'):
        path = tmp_path / (name + '.tfrecords')
        write_raw_records(path, 2)
        if name == split:
            record = next(tf.compat.v1.io.tf_record_iterator(str(path)))
            cut = tf.train.Example.FromString(record)
            values = cut.features.feature['image_raw'].bytes_list.value
            values[0] = values[0][:-7]
            with tf.io.TFRecordWriter(str(path)) as writer:
                writer.write(cut.SerializeToString())
    with pytest.raises(SystemExit) as stopped:
        train.main(['--resnet_model', tiny, '--dataset_dir', str(tmp_path), '--model_dir',
                    str(tmp_path / 'run'), '--crop_size', '33', '--batch_size', '1',
                    '--max_steps', '1', '--init_from', 'random'])
    stopped.match('(?s)A record in %s .%s.tfrecords. cannot be used: Input to reshape.*check.py %s'
                  % (tmp_path, split, tmp_path))


@pytest.mark.parametrize('given', ['', 'train', 'train/model.ckpt', 'train/model.ckpt.index'])
def test_checkpoint_of_the_post_is_found_by_every_name(post_run, given):
    prefix, run_dir = checkpoints.find(os.path.join(post_run, given))
    assert os.path.relpath(prefix, post_run) == 'train/model.ckpt'
    assert os.path.relpath(run_dir, post_run) == 'train'
    assert checkpoints.step_of(prefix) is None


def test_run_of_the_post_is_scored_on_its_own_records(post_run, raw_dir, tmp_path, capsys):
    test.main(['--checkpoint', post_run, '--dataset_dir', raw_dir, '--output_dir', str(tmp_path)])
    assert 'Post: means over images' in capsys.readouterr().out
    with open(str(tmp_path / 'scores.json')) as f:
        written = json.load(f)
    assert written['aspp_rates'] == [6, 12, 18] and written['align_corners'] is False
    assert written['post']['crop_size'] == 33 and written['step'] is None
    matrix = 0
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [1, None, None, 3])
        options = network.options_of(config.load(os.path.join(post_run, 'train')))
        logits = network.deeplab_v3(images, options, False, None)
        pseudo_random.assign(session)
        for index in range(3):
            image, labels = example(index)
            predictions = session.run(logits, {images: image[np.newaxis]}).argmax(axis=3)[0]
            matrix = matrix + metrics.confusion_matrix(labels, predictions, 21, 255)
    assert written['benchmark']['mean_iou'] == pytest.approx(metrics.scores(matrix).mean_iou)


def test_training_starts_from_the_posts_weights_on_its_records(post_run, raw_dir, tmp_path,
                                                               capsys, tiny):
    model_dir = str(tmp_path / 'run')
    train.main(['--init_from', post_run, '--dataset_dir', raw_dir, '--model_dir', model_dir,
                '--resnet_model', tiny, '--crop_size', '33', '--batch_size', '2', '--max_steps',
                '1', '--starting_learning_rate', '0'])
    printed = capsys.readouterr().out
    assert '0 are missing in the checkpoint, 0 have another shape' in printed
    assert 'at step 0 with the weights of' in printed and 'optimizer_vars/Variable' not in printed
    reader = tf.train.load_checkpoint(checkpoints.latest_in(model_dir))
    assert reader.get_tensor('global_step') == 1
    name = 'DeepLab_v3/ASPP_layer/conv_3x3_2/weights'
    shape = [3, 3, FEATURES, tiny_runs.ASPP_DEPTH]
    np.testing.assert_allclose(reader.get_tensor(name), pseudo_random.value(name, shape),
                               rtol=1e-6)


def test_run_of_the_post_cannot_be_continued_but_started_from(post_run, raw_dir, tiny):
    with pytest.raises(SystemExit, match='cannot be continued.*--init_from'):
        train.main(['--dataset_dir', raw_dir, '--model_dir', os.path.join(post_run, 'train'),
                    '--resnet_model', tiny, '--init_from', 'random'])
