"""The shapes of labelme's JSON, checked, and drawn on the pixels that labelme draws them on.

As `labelme.utils.shapes_to_label` of labelme 6.3.1, with Pillow's ImageDraw: outlines belong to
their shapes, lines are 10 pixels wide and points have a radius of 5, and what comes later in the
file lies above. tests/dataset/layouts/test_labelme_shapes.py compares them.
"""
import base64
import io
import json
import math

import numpy as np
from PIL import Image, ImageDraw

LINE_WIDTH = 10
POINT_RADIUS = 5
# How many points the shapes of a kind have, from and to.
_NUM_POINTS = {'polygon': (3, None), 'rectangle': (2, 2), 'circle': (2, 2), 'line': (2, 2),
               'linestrip': (1, None), 'point': (1, 1), 'oriented_rectangle': (4, 4),
               'mask': (2, 2)}


class WrongFileError(ValueError):
    """An annotation file that cannot be used; the message goes on after the name of the file."""


def load(path):
    """Reads a file of labelme.

    Returns:
      Its dict: 'shapes' is a list of dicts with 'label', 'points' and 'shape_type' that fit
      each other, 'imagePath' a str.

    Raises:
      WrongFileError: it cannot be read, or holds something else.
    """
    try:
        with open(path, encoding='utf-8-sig') as json_file:
            content = json.load(json_file)
    except OSError as error:
        raise WrongFileError('cannot be read: %s' % error.strerror)
    except ValueError as error:
        raise WrongFileError('is no JSON (%s): save it again in labelme' % error)
    if not isinstance(content, dict) or not isinstance(content.get('shapes'), list):
        raise WrongFileError('holds no "shapes", so labelme did not write it: move it elsewhere')
    if not isinstance(content.get('imagePath'), str):
        raise WrongFileError('names no image ("imagePath"): save it again in labelme')
    for number, shape in enumerate(content['shapes'], 1):
        problem = _problem(shape)
        if problem:
            raise WrongFileError('shape %d%s %s: mend or delete it in labelme' % (
                number, ' (%s)' % shape['label'] if isinstance(shape, dict)
                and isinstance(shape.get('label'), str) else '', problem))
    return content


def kind_of(shape):
    """Returns the 'shape_type', which labelme before version 3 did not write."""
    return shape.get('shape_type') or 'polygon'


def _problem(shape):
    if (not isinstance(shape, dict) or not isinstance(shape.get('label'), str)
            or not shape['label'].strip()):
        return 'has no label'
    points, kind = shape.get('points'), kind_of(shape)
    if kind not in _NUM_POINTS:
        return 'is of the kind %r; labelme draws %s' % (kind, ', '.join(sorted(_NUM_POINTS)))
    if not isinstance(points, list) or not all(
            isinstance(point, list) and len(point) == 2
            and all(type(value) in (int, float) and math.isfinite(value) for value in point)
            for point in points):
        return 'has points that are not [x, y]'
    fewest, most = _NUM_POINTS[kind]
    if len(points) < fewest or most and len(points) > most:
        return 'is a %s of %d points, not %s' % (
            kind, len(points), fewest if fewest == most else '%d or more' % fewest)
    return None if kind != 'mask' or isinstance(shape.get('mask'), str) else 'has no mask'


def draw(shape, height, width):
    """Returns bool [height, width], the pixels of a shape of `load`.

    Raises:
      WrongFileError: its mask is damaged, or does not fit its box or the image.
    """
    if kind_of(shape) == 'mask':
        return _mask(shape, height, width)
    canvas = Image.new('L', (width, height))
    draw_on, kind = ImageDraw.Draw(canvas), kind_of(shape)
    points = [tuple(point) for point in shape['points']]
    if kind in ('polygon', 'oriented_rectangle'):
        draw_on.polygon(points, fill=1, outline=1)
    elif kind in ('line', 'linestrip'):
        draw_on.line(points, fill=1, width=LINE_WIDTH)
    elif kind == 'rectangle':
        xs, ys = zip(*points)
        draw_on.rectangle([min(xs), min(ys), max(xs), max(ys)], fill=1, outline=1)
    else:
        x, y = points[0]
        radius = math.hypot(*np.subtract(*points)) if kind == 'circle' else POINT_RADIUS
        draw_on.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1, outline=1)
    return np.array(canvas, bool)


def _mask(shape, height, width):
    """Places the pixels that are stored as PNG; both corners of the box belong to it."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape['mask']))) as image:
            pixels = np.array(image).astype(bool)
    # As in decoding.decode: Pillow's readers raise nearly anything on damaged files.
    except Exception as error:
        raise WrongFileError('the mask of %r cannot be decoded (%s): draw it again in labelme'
                             % (shape['label'], error))
    (left, top), (right, bottom) = np.array(shape['points']).astype(int).tolist()
    inside = 0 <= top <= bottom < height and 0 <= left <= right < width
    if not inside or pixels.shape != (bottom - top + 1, right - left + 1):
        raise WrongFileError('the mask of %r, %s pixels, does not fit its box in an image of '
                             '%dx%d (width x height): draw it again in labelme'
                             % (shape['label'], 'x'.join(map(str, pixels.shape[1::-1])), width,
                                height))
    mask = np.zeros([height, width], bool)
    mask[top:bottom + 1, left:right + 1] = pixels
    return mask
