"""dataset/layouts/coco_shapes.py: COCO's outlines cover the pixels that its own tools say."""
import re

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from dataset.layouts import coco_shapes

SQUARE = [[1, 1, 4, 1, 4, 3, 1, 3]]
PIXELS = [[0, 0, 0, 0, 0, 0],
          [0, 1, 1, 1, 0, 0],
          [0, 1, 1, 1, 0, 0],
          [0, 0, 0, 0, 0, 0],
          [0, 0, 0, 0, 0, 0]]
# Down the columns: 6 without, 2 with, 3 without, ...
COUNTS = [6, 2, 3, 2, 3, 2, 12]
TEXT = '6230009'


@pytest.mark.parametrize('segmentation', [
    SQUARE, {'size': [5, 6], 'counts': COUNTS}, {'size': [5, 6], 'counts': TEXT}])
def test_all_ways_to_write_a_square_cover_its_pixels(segmentation):
    assert coco_shapes.problem(segmentation, 5, 6) is None
    drawn = coco_shapes.draw(segmentation, 5, 6)
    assert drawn.dtype == bool and drawn.astype(int).tolist() == PIXELS


@pytest.mark.parametrize('segmentation', [
    [[0.5, 0.5, 9.3, 2.2, 4.1, 11.8]], [[2, 2, 9, 2, 9, 9], [0, 0, 3, 0, 3, 3, 0, 3]],
    [[-3.2, 4, 40, 5.5, 6, 30]], {'size': [12, 13], 'counts': [5, 100, 51]}])
def test_pixels_are_those_of_ann_to_mask(segmentation):
    coco = COCO()
    coco.imgs = {1: {'height': 12, 'width': 13}}
    expected = coco.annToMask({'image_id': 1, 'segmentation': segmentation})
    assert expected.any()
    np.testing.assert_array_equal(coco_shapes.draw(segmentation, 12, 13), expected)


def test_run_lengths_of_any_mask_are_checked_and_drawn():
    random = np.random.RandomState(0)
    for share in (0, 0.01, 0.5, 1):
        pixels = random.rand(70, 90) < share
        runs = coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
        segmentation = {'size': runs['size'], 'counts': runs['counts'].decode()}
        assert coco_shapes.problem(segmentation, 70, 90) is None
        np.testing.assert_array_equal(coco_shapes.draw(segmentation, 70, 90), pixels)


@pytest.mark.parametrize('segmentation, words', [
    ([], 'has no outline'), (None, 'has no outline'), ([[1, 1, 4, 3]], 'polygon of 4 numbers'),
    ([[1, 1, 4, 1, 4, 3, 1]], 'polygon of 7 numbers'),
    ([[1, 1, 4, 1, 4, float('nan')]], 'no list of x1'), ([[1, 1, 4, 1, 4, '3']], 'no list of x1'),
    ([[1, 1, 4, 1, 4, -1e12]], r'coordinate -1e\+12 in an image of \[5, 6\]'),
    ({'size': [6, 5], 'counts': COUNTS}, r'size \[6, 5\] in an image of \[5, 6\]'),
    ({'size': [5, 6], 'counts': COUNTS[:-1]}, '18 pixels in an image of 30'),
    ({'size': [5, 6], 'counts': TEXT[:-1]}, '18 pixels in an image of 30'),
    ({'size': [5, 6], 'counts': [31, -1]}, 'damaged'), ({'size': [5, 6]}, 'damaged'),
    ({'size': [5, 6], 'counts': TEXT[:-1] + 'X'}, 'damaged'),
    ({'size': [5, 6], 'counts': ' '}, 'damaged'),
    ({'size': [5, 6], 'counts': '\u00fc'}, 'damaged')])
def test_what_cannot_be_drawn_is_said(segmentation, words):
    assert re.search(words, coco_shapes.problem(segmentation, 5, 6))
