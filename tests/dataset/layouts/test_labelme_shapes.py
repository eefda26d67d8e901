"""Shapes on the pixels on which labelme.utils.shape_to_mask of labelme 6.3.1 draws them.

The pictures below are its answers. With Pillow 13, 4,000 random shapes of all kinds agreed too;
Pillow 9.5 draws a few slanted edges of polygons otherwise, for labelme as here.
"""
import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from dataset.layouts import labelme_shapes

DRAWN = [
    ('polygon', [[1, 1], [6, 1], [6, 4]], '........ .######. ...####. ....###. ......#. ........'),
    (None, [[0.6, 0.4], [4.5, 0.5], [0.5, 4.5]], '#####... ####.... ###..... ##...... #.......'),
    ('rectangle', [[5.6, 3.2], [1.4, 0.8]], '.#####.. .#####.. .#####.. .#####.. ........'),
    ('circle', [[3, 2], [4, 3.5]], '..##.... .####... .####... ..##.... ........'),
    ('point', [[3.0, 2.0]], '#########. #########. #########. #########. #########. ########.. '
                            '#######... .#####.... ..........'),
    ('oriented_rectangle', [[3, 0], [6, 3], [3, 6], [0, 3]],
     '...#.... ..###... .#####.. #######. .#####.. ..###... ...#....'),
    ('line', [[2, 8], [5, 8]], ' '.join(4 * ['........'] + 10 * ['..####..'] + 2 * ['........'])),
    ('linestrip', [[3, 3], [3, 15], [14, 15]], ' '.join(
        3 * ['................'] + 8 * ['#########.......'] + 5 * ['###############.']
        + 4 * ['...############.'])),
]


@pytest.mark.parametrize('kind, points, drawn', DRAWN)
def test_shapes_are_drawn_as_labelme_draws_them(kind, points, drawn):
    rows = drawn.split(' ')
    mask = labelme_shapes.draw({'label': 'cat', 'points': points, 'shape_type': kind},
                               len(rows), len(rows[0]))
    assert [''.join('.#'[pixel] for pixel in row) for row in mask.astype(int)] == rows


def stored(pixels):
    data = io.BytesIO()
    Image.fromarray(np.array(pixels, np.uint8) * 255).convert('1').save(data, 'PNG')
    return base64.b64encode(data.getvalue()).decode()


def mask_shape(points, pixels):
    return {'label': 'cat', 'shape_type': 'mask', 'points': points, 'mask': stored(pixels)}


def test_both_corners_of_the_box_of_a_stored_mask_belong_to_it():
    shape = mask_shape([[1.0, 0.0], [3.0, 1.0]], [[1, 0, 1], [0, 1, 0]])
    assert labelme_shapes.draw(shape, 3, 4).astype(int).tolist() == [
        [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize('shape, words', [
    (mask_shape([[1, 0], [3, 1]], [[1, 1]]), '2x1 pixels, does not fit its box'),
    (mask_shape([[2, 0], [4, 0]], [[1, 0, 1]]), '3x1 pixels, does not fit.* 4x3'),
    (dict(mask_shape([[0, 0], [1, 0]], [[1, 1]]), mask='AAAA'), 'cannot be decoded'),
])
def test_a_stored_mask_that_does_not_fit_is_refused(shape, words):
    with pytest.raises(labelme_shapes.WrongFileError, match=words):
        labelme_shapes.draw(shape, 3, 4)


def content(**changes):
    shape = {'label': 'cat', 'points': [[0, 0], [3, 0], [3, 3]], 'shape_type': 'polygon'}
    return {'shapes': [dict(shape, **changes)], 'imagePath': 'a.jpg'}


@pytest.mark.parametrize('text, words', [
    ('{"shapes": [', 'is no JSON.*save it again'),
    ('[]', 'holds no "shapes"'),
    ('{"shapes": []}', 'names no image'),
    (json.dumps(content(label=None)), 'shape 1 has no label'),
    (json.dumps(content(label=' ')), 'has no label: mend or delete it in labelme'),
    (json.dumps(content(points=[[0, 0], [1, 1]])),
     r'shape 1 \(cat\) is a polygon of 2 points, not 3 or more: mend or delete it in labelme'),
    (json.dumps(content(shape_type='circle')), 'is a circle of 3 points, not 2'),
    (json.dumps(content(points=[[0, 0], [3, 0], [3, None]])), r'points that are not \[x, y\]'),
    (json.dumps(content(points=[[0, 0], [3, 0], [3, float('nan')]])), r'that are not \[x, y\]'),
    (json.dumps(content(shape_type='points')), "of the kind 'points'; labelme draws circle, line"),
    (json.dumps(content(shape_type='mask', points=[[0, 0], [3, 0]])), 'has no mask'),
])
def test_what_labelme_cannot_draw_is_named(tmp_path, text, words):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(labelme_shapes.WrongFileError, match=words):
        labelme_shapes.load(str(tmp_path / 'a.json'))
