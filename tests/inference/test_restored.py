"""restored.py: names of classes whose data set may be gone, rounding, scales and windows."""
import argparse

import numpy as np
import pytest
from scipy import ndimage, special

import network
from common.errors import UserError
from dataset import descriptor, voc
from inference import options, restored
from runtime import tf
from tests.helpers import tiny_runs


def run_flags(number_of_classes, dataset_dir='/nowhere'):
    return argparse.Namespace(number_of_classes=number_of_classes, dataset_dir=str(dataset_dir))


def save_info(folder, names, ignore_label=255):
    splits = {'train': {'num_examples': 1, 'shards': ['a.tfrecord']}}
    descriptor.save(descriptor.create('toy', names, ignore_label, splits), str(folder))


def test_names_are_those_of_the_data_set_where_it_fits(tmp_path):
    save_info(tmp_path, ('ground', 'cat', 'dog'), 11)
    assert restored.class_names_of(run_flags(3, tmp_path)) == (('ground', 'cat', 'dog'), 11)
    assert restored.class_names_of(run_flags(2, tmp_path)) == (('class 0', 'class 1'), 255)


@pytest.mark.parametrize('content', [None, 'no JSON'])
def test_names_do_without_a_data_set_that_is_gone_or_damaged(tmp_path, content):
    if content:
        (tmp_path / 'dataset.json').write_text(content)
    assert restored.class_names_of(run_flags(21, tmp_path)) == (voc.CLASS_NAMES, 255)
    assert restored.class_names_of(run_flags(1, tmp_path)) == (('class 0',), 255)


def test_names_of_a_file_go_before_all_others(tmp_path):
    save_info(tmp_path, ('ground', 'cat', 'dog'), 11)
    path = tmp_path / 'classes.txt'
    path.write_text('# ours\nBoden\n\nKatze  # miau\nHund\n')
    assert restored.class_names_of(run_flags(3, tmp_path), str(path)) == (
        ('Boden', 'Katze', 'Hund'), 11)


def test_run_of_the_post_has_vocs_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # away from what the post's flags name: dataset/tfrecords
    (tmp_path / 'data.json').write_text('{"number_of_classes": 21, "output_stride": 16}')
    for extension in ('.index', '.data-00000-of-00001'):
        (tmp_path / ('model.ckpt' + extension)).write_bytes(b'')
    run = restored.load_run(str(tmp_path), 8)
    assert run.class_names == voc.CLASS_NAMES and run.ignore_label == voc.IGNORE_LABEL
    assert run.args.output_stride == 8 and run.args.align_corners is False
    assert run.checkpoint == str(tmp_path / 'model.ckpt')


def test_checkpoint_without_the_settings_of_its_run_is_refused(tmp_path):
    for extension in ('.index', '.data-00000-of-00001'):
        (tmp_path / ('model.ckpt' + extension)).write_bytes(b'')
    with pytest.raises(UserError, match='No config.json beside .*model.ckpt'):
        restored.load_run(str(tmp_path))


@pytest.mark.parametrize('content, message', [
    ('a\nb\n', 'holds 2 names, but the checkpoint has 3 classes'),
    ('a\nb\na\n', 'occur more than once: a'),
    (b'\xff\xfe\x00', 'cannot be read'),
    (None, 'cannot be read')])
def test_a_file_of_names_that_does_not_fit_is_refused(tmp_path, content, message):
    path = tmp_path / 'classes.txt'
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as error:
        restored.class_names_of(run_flags(3), str(path))
    assert str(path) in str(error.value)


def test_rounding_keeps_the_largest_probability_at_the_label():
    # Closer together than float16 can tell.
    close = [0.25, 0.37501, 0.37499, 0.0]
    probabilities = np.array([[[close, close, [0.1, 0.2, 0.3, 0.4]]]], np.float32)
    labels = np.array([[[1, 2, 3]]], np.uint8)
    rounded = restored._rounded(probabilities, labels)
    assert rounded.dtype == np.float16
    np.testing.assert_array_equal(rounded.argmax(axis=3), labels)
    np.testing.assert_allclose(rounded, probabilities, atol=2 ** -11)
    assert rounded[0, 0, 0, 1] == np.float16(0.375)


@pytest.fixture(scope='module')
def run(shapes_dir, tmp_path_factory):
    """A run of pseudo-random weights."""
    folder = str(tmp_path_factory.mktemp('run'))
    with tiny_runs.tiny_network():
        tiny_runs.write_run(folder, shapes_dir)
        yield restored.load_run(folder)


def resized(images, height, width):
    """Bilinear with aligned corners, by SciPy."""
    places = np.meshgrid(np.linspace(0, images.shape[1] - 1, height),
                         np.linspace(0, images.shape[2] - 1, width), indexing='ij')
    return np.stack([np.stack([
        ndimage.map_coordinates(image[..., channel].astype(np.float64), places, order=1)
        for channel in range(image.shape[-1])], axis=-1) for image in images])


def test_scales_and_flip_equal_single_passes_averaged_in_numpy(run):
    images = tiny_runs.pictures(48, 65, batch=2)
    scales, size = (0.5, 1.0, 1.5), (48, 65)
    expected = []
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = tf.placeholder(tf.float32, [None, None, None, 3])
        logits = network.deeplab_v3(inputs, network.options_of(run.args), False, None,
                                    output_size=size)
        tf.train.Saver().restore(session, run.checkpoint)
        for scale in scales:
            scaled = resized(images, *(int(np.round(side * scale)) for side in size))
            expected.append(special.softmax(session.run(logits, {inputs: scaled}), axis=3))
            mirrored = session.run(logits, {inputs: scaled[:, :, ::-1]})
            expected.append(special.softmax(mirrored, axis=3)[:, :, ::-1])
    with restored.Predictor(run, options.Passes(scales, True, None, 0)) as predictor:
        found = predictor.predict(images, with_probabilities=True)
    np.testing.assert_allclose(found.probabilities, np.mean(expected, axis=0), atol=2e-3)
    labels = np.mean(expected, axis=0).argmax(axis=3)
    assert (found.labels == labels).mean() > 0.999
    with restored.Predictor(run) as predictor:
        single = predictor.predict(images, with_probabilities=True)
    assert np.abs(single.probabilities - np.mean(expected, axis=0)).max() > 0.02
    np.testing.assert_allclose(single.probabilities, expected[2], atol=2e-3)


def test_a_window_as_large_as_the_image_changes_nothing_and_a_smaller_one_is_used(run):
    images = tiny_runs.pictures(64, 80, batch=2)
    with restored.Predictor(run) as predictor:
        whole = predictor.predict(images, with_probabilities=True)
        parts = predictor.predict(images[:, :48, :48], with_probabilities=True)
    for window, overlap in ((80, 20), (48, 0)):
        with restored.Predictor(run, options.Passes((1.0,), False, window, overlap)) as cut:
            found = cut.predict(images, with_probabilities=True)
            assert found.labels.dtype == np.uint8
            np.testing.assert_array_equal(found.labels,
                                          cut.predict(images).labels)
        if window == 80:
            np.testing.assert_array_equal(found.labels, whole.labels)
        else:
            # The upper left corner is seen by one window alone.
            np.testing.assert_allclose(found.probabilities[:, :16, :32],
                                       parts.probabilities[:, :16, :32], atol=1e-3)
            assert np.abs(found.probabilities[:, :16, :32].astype(float)
                          - whole.probabilities[:, :16, :32]).max() > 0.01
