"""dataset/sources/shapes.py: pictures come from their arguments alone, labels fit them."""
import hashlib

import numpy as np
import pytest

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


@pytest.mark.parametrize('corners, expected', [
    # Centres on the left and upper sides are inside, on the right and lower sides outside.
    ([(0.5, 1.5), (2.5, 1.5), (2.5, 3.5), (0.5, 3.5)], ['....', '##..', '##..', '....']),
    ([(0, 0), (4, 0), (0, 4)], ['###.', '##..', '#...', '....']),
    # Beyond the edges of the plane on all sides, and with a notch from above.
    ([(-3, -3), (2, 2), (9, -3), (9, 9), (-3, 9)], ['....', '#..#', '####', '####']),
])
def test_a_pixel_is_inside_a_polygon_if_its_centre_is(corners, expected):
    inside = shapes.filled(np.array(corners, np.float64), 4, 4)
    assert [''.join('.#'[int(pixel)] for pixel in row) for row in inside] == expected


def test_pictures_are_the_same_bytes_with_every_version_of_the_packages():
    digest = hashlib.sha256()
    for split in shapes.SPLITS:
        for index in range(5):
            for pixels in shapes.draw(split, index, 96, 0):
                digest.update(pixels.tobytes())
    assert digest.hexdigest() == (
        '470767e98a3e8725829ee509746a8e5ea7f93fbd43e26db8a5a915c7a3349bb6')
