"""dataset/sources/shapes.py: pictures come from their arguments alone, labels fit them."""
import numpy as np

from dataset import voc
from dataset.sources import shapes


def test_pictures_depend_on_seed_split_and_index_only():
    image, labels = shapes.draw('train', 3, 64, 5)
    again, labels_again = shapes.draw('train', 3, 64, 5)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(labels, labels_again)
    for other in (('train', 3, 64, 6), ('test', 3, 64, 5), ('train', 4, 64, 5)):
        different = shapes.draw(*other)[0]
        assert different.shape != image.shape or (different != image).any()


def test_labels_are_in_range_with_void_between_classes():
    seen = set()
    for index in range(30):
        image, labels = shapes.draw('train', index, 96, 0)
        assert image.shape == labels.shape + (3,) and image.dtype == labels.dtype == np.uint8
        assert 70 <= min(labels.shape) and max(labels.shape) <= 96
        seen |= set(np.unique(labels))
        # Two classes never touch: between each pair of neighbours lies the void border.
        for first, second in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
            touching = (first != second) & (first != voc.IGNORE_LABEL)
            assert not (touching & (second != voc.IGNORE_LABEL)).any()
    assert seen == set(range(len(shapes.CLASS_NAMES))) | {voc.IGNORE_LABEL}
