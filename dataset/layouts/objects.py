"""Objects of tools that keep all images in one file: checked there, drawn by a reader later.

The mask of an example is bytes, JSON: {"size": [height, width], "objects": [[class name, kind,
numbers], ...]}; later objects lie above. Kinds, coordinates in pixels from the upper left corner:

    polygon   x, y of its corners; pixels as pycocotools gives them, which COCO and CVAT use
    ellipse   x, y of its centre, two radii, degrees clockwise; pixels whose centres it holds
    runs      left, top, width, height of a box, then the lengths of runs in its rows, by turns
              outside and inside, as CVAT writes masks
    brush     bytes of Label Studio (`brush_rle`)
"""
import json
import math

import numpy as np

from dataset.layouts import brush_rle, coco_shapes
from dataset.sources import decoding, notes


class WrongObjectError(ValueError):
    """An object that cannot be drawn; the message goes on after what calls it."""


def encode(size, objects, path):
    """Returns `decoding.Annotation` for `Example.mask`.

    Args:
      path: str, the file that holds them.
      size: (height, width), or None for that of the image.
      objects: list of (class name, kind, numbers).
    """
    return decoding.Annotation(json.dumps({'size': size, 'objects': objects}).encode(), path)


def check(kind, numbers, height, width):
    """Raises `WrongObjectError` unless an object can be drawn on an image of this size."""
    if not all(type(value) in (int, float) and math.isfinite(value) for value in numbers):
        raise WrongObjectError('holds what is no number')
    problem = kind == 'polygon' and coco_shapes.problem_of_polygon(numbers, height, width)
    if problem:
        raise WrongObjectError('is a polygon ' + problem)
    if kind == 'runs':
        left, top, box_width, box_height = numbers[:4]
        if min(left, top, box_width - 1, box_height - 1) < 0 or (
                left + box_width > width or top + box_height > height):
            raise WrongObjectError(
                'has a box of %dx%d at %d, %d (width x height at left, top), which does not fit '
                'into the image of %dx%d' % (box_width, box_height, left, top, width, height))
        if min(numbers[4:], default=0) < 0 or sum(numbers[4:]) != box_width * box_height:
            raise WrongObjectError('has an RLE of %d pixels for a box of %dx%d'
                                   % (sum(numbers[4:]), box_width, box_height))
    if kind == 'brush' and brush_rle.number_of_values(numbers) != 4 * height * width:
        raise WrongObjectError('has an RLE of %d values, and the image of %dx%d needs 4 a pixel'
                               % (brush_rle.number_of_values(numbers), width, height))


def box_corners(left, top, right, bottom, degrees=0, pivot=None):
    """Returns x, y of the corners of a box, turned clockwise about `pivot` or its centre."""
    pivot_x, pivot_y = pivot or ((left + right) / 2, (top + bottom) / 2)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = []
    for x, y in ((left, top), (right, top), (right, bottom), (left, bottom)):
        corners += [pivot_x + cosine * (x - pivot_x) - sine * (y - pivot_y),
                    pivot_y + sine * (x - pivot_x) + cosine * (y - pivot_y)]
    return corners


def draw(kind, numbers, height, width):
    """Returns bool [height, width], the pixels of an object that passed `check`.

    Raises:
      WrongObjectError: it is a damaged brush.
    """
    if kind == 'polygon':
        return coco_shapes.draw([numbers], height, width)
    if kind == 'ellipse':
        return _ellipse(*numbers, height=height, width=width)
    if kind == 'brush':
        try:
            alpha = brush_rle.decode(numbers).reshape([height, width, 4])[:, :, 3]
        except ValueError as error:
            raise WrongObjectError('has an RLE that %s' % error)
        # The edges of strokes are smooth; masks of models may hold 1 instead of 255.
        return alpha > alpha.max() // 2
    left, top, box_width, box_height = numbers[:4]
    inside = np.zeros([height, width], bool)
    inside[top:top + box_height, left:left + box_width] = np.repeat(
        np.arange(len(numbers) - 4) % 2 == 1, numbers[4:]).reshape([box_height, box_width])
    return inside


def _ellipse(x, y, radius_x, radius_y, degrees, height, width):
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows, columns = np.mgrid[:height, :width] + 0.5
    along = (columns - x) * cosine + (rows - y) * sine
    across = (rows - y) * cosine - (columns - x) * sine
    # Without a division: a radius may be 0.
    return ((along * radius_y) ** 2 + (across * radius_x) ** 2
            <= (radius_x * radius_y) ** 2) & (radius_x * radius_y > 0)


def read_mask(example, info):
    """Draws the objects of an example. Returns uint8 [height, width], class ids.

    Raises:
      decoding.InvalidExampleError: an object cannot be drawn.
    """
    content = json.loads(example.mask.decode())
    height, width = content['size'] or decoding.decode(example, 'image').image.size[::-1]
    labels = np.zeros([height, width], np.uint8)
    for number, (name, kind, numbers) in enumerate(content['objects'], 1):
        try:
            labels[draw(kind, numbers, height, width)] = info.class_names.index(name)
        except WrongObjectError as error:
            raise decoding.InvalidExampleError(
                '%s: object %d (%s) %s. Delete or draw it again in the tool, and export again.'
                % (decoding.name_of(example, 'mask'), number, name, error), 'mask_undecodable')
    # Both tools show, and annotate, images upright.
    notes.drop('turned_image')
    return labels


read_mask.key = 'objects'
read_mask.draws = True
