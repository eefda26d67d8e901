"""test.py as users run it: scores, pictures and errors."""
import json
import os

import numpy as np
import pytest
from PIL import Image

import checkpoints
import config
import evaluation
import metrics
import network
import test
import train
from dataset import descriptor
from preprocessing import inputs
from runtime import tf


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory, shapes_dir):
    """A run of two steps on a tiny backbone that the scripts can load."""
    from resnet import resnet_v2
    resnet_v2.UNITS['resnet_v2_tiny'] = (1, 1, 1, 3)
    folder = str(tmp_path_factory.mktemp('runs') / 'run')
    train.main(['--resnet_model', 'resnet_v2_tiny', '--dataset_dir', shapes_dir, '--model_dir',
                folder, '--crop_size', '33', '--batch_size', '2', '--max_steps', '2',
                '--batch_norm_decay', '0.5', '--starting_learning_rate', '0.001'])
    yield folder
    del resnet_v2.UNITS['resnet_v2_tiny']


def labels_by_name(shapes_dir, split):
    with tf.Graph().as_default(), tf.Session() as session:
        example = tf.data.make_one_shot_iterator(inputs.eval_dataset(
            descriptor.load(shapes_dir), shapes_dir, split)).get_next()
        found = {}
        while True:
            try:
                name, labels = session.run([example.name, example.labels])
            except tf.errors.OutOfRangeError:
                return found
            found[name[0].decode()] = labels[0]


def test_scores_json_is_what_the_written_predictions_score(run_dir, shapes_dir, tmp_path, capsys):
    test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path)])
    with open(str(tmp_path / 'scores.json')) as f:
        written = json.load(f)
    matrix = 0
    for name, labels in labels_by_name(shapes_dir, 'test').items():
        picture = Image.open(str(tmp_path / 'predictions' / name))
        assert picture.mode == 'P' and picture.size == labels.shape[::-1]
        matrix = matrix + metrics.confusion_matrix(labels, np.array(picture), 6, 255)
    expected = metrics.scores(matrix)
    for name in ('pixel_accuracy', 'mean_accuracy', 'mean_iou', 'frequency_weighted_iou'):
        assert written['benchmark'][name] == pytest.approx(getattr(expected, name))
    classes = descriptor.load(shapes_dir).class_names
    assert set(written['benchmark']['per_class_iou']) == set(classes)
    for name, iou in zip(classes, expected.per_class_iou):
        assert written['benchmark']['per_class_iou'][name] == (
            None if np.isnan(iou) else pytest.approx(iou))
    assert written['num_images'] == 3 and written['step'] == 2
    assert written['checkpoint'].endswith('model.ckpt-2')
    printed = capsys.readouterr().out
    for word in classes + ('mean IoU', '%.4f' % expected.mean_iou):
        assert word in printed
    sheet = Image.open(str(tmp_path / 'contact_sheet.png'))
    assert sheet.size[0] > sheet.size[1] / 3


def test_post_scores_are_those_of_center_crops_padded_with_black(run_dir, shapes_dir, tmp_path,
                                                                 capsys):
    test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path)])
    assert 'center crops of 33x33 padded with black' in capsys.readouterr().out
    with open(str(tmp_path / 'scores.json')) as f:
        written = json.load(f)
    args = config.load(run_dir)
    expected = []
    with tf.Graph().as_default(), tf.Session() as session:
        example = tf.data.make_one_shot_iterator(inputs.eval_dataset(
            descriptor.load(shapes_dir), shapes_dir, 'test')).get_next()
        images = tf.placeholder(tf.float32, [1, 33, 33, 3])
        logits = network.deeplab_v3(images, args, False, None)
        tf.train.Saver().restore(session, checkpoints.find(run_dir)[0])
        for _ in range(3):
            image, labels = session.run([example.image, example.labels])
            # Pictures of 48 pixels or so: crops only, no padding.
            top, left = [(side - 33) // 2 for side in labels.shape[1:]]
            window = np.s_[:, top:top + 33, left:left + 33]
            predictions = session.run(logits, {images: image[window]}).argmax(axis=3)
            expected.append(metrics.post_image_scores(metrics.confusion_matrix(
                labels[window], predictions, 6, 255)))
    names = ('pixel_accuracy', 'mean_accuracy', 'mean_iou', 'frequency_weighted_iou')
    np.testing.assert_allclose([written['post'][name] for name in names],
                               np.mean(expected, axis=0), rtol=1e-6)
    assert written['post']['crop_size'] == 33 and written['post']['num_images'] == 3


def test_center_crop_pads_images_with_black_and_labels_with_ignore():
    image = np.random.RandomState(0).uniform(1, 255, [1, 5, 8, 3]).astype(np.float32)
    labels = np.arange(40, dtype=np.int32).reshape(1, 5, 8)
    with tf.Graph().as_default(), tf.Session() as session:
        crop, crop_labels = session.run(evaluation.center_crop(
            tf.constant(image), tf.constant(labels), 7, 255))
    assert crop.shape == (1, 7, 7, 3) and crop_labels.shape == (1, 7, 7)
    np.testing.assert_array_equal(crop[:, 1:6], image[:, :, :7])
    np.testing.assert_array_equal(crop_labels[:, 1:6], labels[:, :, :7])
    for row in (0, 6):
        assert (crop[:, row] == 0).all() and (crop_labels[:, row] == 255).all()


def test_interval_surrounds_the_benchmark_miou_and_post_scores_can_be_left_out(run_dir, tmp_path):
    test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path), '--no_post_scores'])
    with open(str(tmp_path / 'scores.json')) as f:
        written = json.load(f)
    low, high = written['benchmark']['mean_iou_95_interval']
    assert 0 <= low <= high <= 1
    assert written['post'] is None


def test_the_default_output_directory_is_in_the_run(run_dir):
    test.main(['--checkpoint', run_dir, '--split', 'validation'])
    assert os.path.exists(os.path.join(run_dir, 'results_validation', 'scores.json'))


def test_output_stride_can_be_another_and_the_rates_follow(run_dir, tmp_path):
    test.main(['--checkpoint', run_dir, '--output_stride', '8', '--output_dir', str(tmp_path)])
    with open(str(tmp_path / 'scores.json')) as f:
        written = json.load(f)
    assert written['output_stride'] == 8 and written['aspp_rates'] == [12, 24, 36]


@pytest.mark.parametrize('more,message', [
    (['--split', 'minival'], 'minival.*test'),
    (['--dataset_dir', '/nowhere'], '/nowhere'),
    (['--output_stride', '32'], 'without atrous')])
def test_bad_input_ends_in_one_message(run_dir, more, message):
    with pytest.raises(SystemExit) as stopped:
        test.main(['--checkpoint', run_dir] + more)
    assert stopped.value.code != 0
    stopped.match('(?s)' + message)


def test_no_checkpoint_is_said_with_the_way_out(tmp_path):
    with pytest.raises(SystemExit, match='No checkpoint at .*Give a run directory'):
        test.main(['--checkpoint', str(tmp_path)])


def test_a_data_set_with_other_classes_is_refused(run_dir, shapes_dir, tmp_path):
    info = descriptor.load(shapes_dir)
    other = descriptor.create('other', ('a', 'b'), info.ignore_label, info.splits)
    for shard in info.splits['test']['shards']:
        os.symlink(os.path.join(shapes_dir, shard), str(tmp_path / shard))
    descriptor.save(other._replace(splits={'test': info.splits['test']}), str(tmp_path))
    with pytest.raises(SystemExit, match='has 2 classes.*trained on 6'):
        test.main(['--checkpoint', run_dir, '--dataset_dir', str(tmp_path)])
