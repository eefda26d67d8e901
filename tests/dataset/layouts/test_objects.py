"""Objects that readers draw, on pixels worked out by hand."""
import numpy as np
import pytest

from dataset.layouts import objects
from dataset.sources import decoding
from tests.helpers.example_files import INFO, encoded, noise


def test_a_box_turned_by_a_right_angle():
    np.testing.assert_allclose(objects.box_corners(0, 0, 4, 2), [0, 0, 4, 0, 4, 2, 0, 2])
    np.testing.assert_allclose(objects.box_corners(0, 0, 4, 2, 90, (0, 0)),
                               [0, 0, 0, 4, -2, 4, -2, 0], atol=1e-12)


def test_runs_fill_the_rows_of_their_box_and_begin_outside():
    drawn = objects.draw('runs', [1, 0, 3, 2, 1, 2, 0, 0, 2, 1], 3, 5)
    assert drawn.astype(int).tolist() == [[0, 0, 1, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]


def test_ellipses_hold_the_centres_of_their_pixels_and_no_radius_holds_none():
    drawn = objects.draw('ellipse', [2.5, 1.5, 2, 1, 0], 3, 5)
    assert drawn.astype(int).tolist() == [[0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]]
    assert not objects.draw('ellipse', [2.5, 1.5, 2, 0, 0], 3, 5).any()


def test_later_objects_lie_above_and_without_a_size_it_is_that_of_the_image():
    mask = objects.encode(None, [('cat', 'runs', [0, 0, 4, 1, 0, 4]),
                                 ('dog', 'runs', [3, 0, 2, 1, 0, 2])], 'a.json')
    labels = objects.read_mask(decoding.Example('a.png', encoded(noise(2, 6)), mask), INFO)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[1, 1, 1, 2, 2, 0], [0, 0, 0, 0, 0, 0]]


def test_a_polygon_far_outside_is_refused_before_its_outline_fills_the_memory():
    objects.check('polygon', [-40, 0, 3, 0, 3, 3], 5, 5)
    with pytest.raises(objects.WrongObjectError, match=r'coordinate 1e\+09 in an image of \[5, 5'):
        objects.check('polygon', [1e9, 0, 3, 0, 3, 3], 5, 5)


def test_what_is_no_finite_number_is_refused():
    for value in (float('nan'), float('inf'), '1', None, True):
        with pytest.raises(objects.WrongObjectError, match='no number'):
            objects.check('polygon', [0, 0, 1, 0, 1, value], 5, 5)
