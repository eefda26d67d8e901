"""restored.py: rounding, scales and windows."""
import numpy as np
import pytest
from scipy import ndimage, special

import network
from experiment import loading
from inference import options, restored
from runtime import tf
from tests.helpers import tiny_runs


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
        yield loading.load_run(folder)


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
