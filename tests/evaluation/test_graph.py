"""graph.py: the post's crops."""
import numpy as np

from evaluation import graph
from runtime import tf


def test_center_crop_pads_images_with_black_and_labels_with_ignore():
    image = np.random.RandomState(0).uniform(1, 255, [1, 5, 8, 3]).astype(np.float32)
    labels = np.arange(40, dtype=np.int32).reshape(1, 5, 8)
    with tf.Graph().as_default(), tf.Session() as session:
        crop, crop_labels = session.run(graph.center_crop(
            tf.constant(image), tf.constant(labels), 7, 255))
    assert crop.shape == (1, 7, 7, 3) and crop_labels.shape == (1, 7, 7)
    np.testing.assert_array_equal(crop[:, 1:6], image[:, :, :7])
    np.testing.assert_array_equal(crop_labels[:, 1:6], labels[:, :, :7])
    for row in (0, 6):
        assert (crop[:, row] == 0).all() and (crop_labels[:, row] == 255).all()
