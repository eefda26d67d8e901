"""Polygons and run lengths of COCO, checked, and drawn by pycocotools.

A segmentation is a list of polygons, [x1, y1, x2, y2, ...] each, or run lengths down the columns:
{"size": [height, width], "counts": ...}, a list of int or COCO's compressed text.
"""
import math

import numpy as np
from pycocotools import mask as coco_mask

_FEWEST_NUMBERS = 6  # pycocotools takes four numbers for a box
_FARTHEST = 10  # sides of the image; pycocotools takes memory by the length of outlines, unchecked


def problem(segmentation, height, width):
    """Says what is wrong with a segmentation of an image of this size; None where nothing is."""
    if isinstance(segmentation, dict):
        return _problem_of_runs(segmentation, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        return ('has no outline, as boxes in exports for detection: export it for segmentation, or '
                'what draws boxes too, "JSON" of Label Studio and "CVAT for images 1.1"')
    for polygon in segmentation:
        if not isinstance(polygon, list) or not all(
                type(value) in (int, float) and math.isfinite(value) for value in polygon):
            return 'has a polygon that is no list of x1, y1, x2, y2, ...: export it again'
        wrong = problem_of_polygon(polygon, height, width)
        if wrong:
            return 'has a polygon %s: mend or delete it' % wrong
    return None


def problem_of_polygon(polygon, height, width):
    """Says what keeps finite numbers from being a polygon that can be drawn; None for nothing."""
    if len(polygon) < _FEWEST_NUMBERS or len(polygon) % 2:
        return ('of %d numbers; three points or more are x1, y1, x2, y2, x3, y3, ...'
                % len(polygon))
    farthest = max(polygon, key=abs)
    if abs(farthest) > _FARTHEST * max(height, width):
        return 'with the coordinate %g in an image of [%d, %d]' % (farthest, height, width)
    return None


def _problem_of_runs(segmentation, height, width):
    counts = segmentation.get('counts')
    if segmentation.get('size') != [height, width]:
        return 'has run lengths of size %s in an image of [%d, %d]: export it again' % (
            segmentation.get('size'), height, width)
    if isinstance(counts, str):
        counts = _decompress(counts)
    if not isinstance(counts, list) or not all(type(run) is int and run >= 0 for run in counts):
        return 'has run lengths that are damaged: export it again'
    if sum(counts) != height * width:
        return 'has run lengths of %d pixels in an image of %d: export it again' % (
            sum(counts), height * width)
    return None


def _decompress(text):
    """Returns the run lengths of COCO's text, list of int; None where it is no such text.

    Five bits a character and a sign, from the third run on the difference to the last but one
    (maskApi.c). pycocotools draws what does not fill the image with whatever is in memory.
    """
    runs, value, shift = [], 0, 0
    for byte in text.encode('utf-8'):
        byte -= 48
        if not 0 <= byte < 64:
            return None
        value |= (byte & 31) << shift
        shift += 5
        if not byte & 32:
            value -= (1 << shift) if byte & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift else runs


def draw(segmentation, height, width):
    """Returns bool [height, width] of a segmentation without `problem`, as annToMask draws it."""
    runs = segmentation
    if isinstance(segmentation, list):
        # One by one: pycocotools decides by the first what all of them are.
        runs = coco_mask.merge([coco_mask.frPyObjects([polygon], height, width)[0]
                                for polygon in segmentation])
    elif isinstance(segmentation['counts'], list):
        runs = coco_mask.frPyObjects(segmentation, height, width)
    return np.asarray(coco_mask.decode(runs)).astype(bool)
