"""The colour of each class in pictures: the data set's own, VOC's, or a colour-blind-safe default.

The default begins with the palette of Okabe and Ito ("Color Universal Design", 2008), whose
black is a dark grey here, as the first class is often most of a picture. It goes on as Glasbey et
al. ("Colour displays for categorical images", Color Research and Application 32, 2007) propose:
the next colour is the one farthest from all before it, in CIELAB, and here also as people
without red or green cones see them (Machado, Oliveira and Fernandes, "A physiologically-based
model for simulation of color vision deficiency", IEEE TVCG 15, 2009, severity 1). How far apart
they are is in tests/dataset/test_palette.py.
"""
import functools

import numpy as np

from dataset import voc

OKABE_ITO = ((85, 85, 85), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66),
             (0, 114, 178), (213, 94, 0), (204, 121, 167))
VOID_COLOR = tuple(voc.color_map()[voc.IGNORE_LABEL].tolist())

# What is chosen from: steps of 17 per channel, neither near black nor near white.
_GRID = np.stack(np.meshgrid(*[np.arange(0, 256, 17)] * 3, indexing='ij'), -1).reshape(-1, 3)
_LIGHTNESS = (30, 92)  # L* of CIELAB
# Void has VOC's colour unless that of a class is as near as this, seen with all cones.
_NEAREST_VOID = 20

# Linear RGB as it is seen by all cones, without those for red, and without those for green.
_VISIONS = np.array([
    np.eye(3),
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
     [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
     [-0.011820, 0.042940, 0.968881]]])
# All cones tell far more colours apart: their distances count half, or 256 were too near.
_WEIGHTS = (0.5, 1, 1)
_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                    [0.0193339, 0.1191920, 0.9503041]])


def of(info):
    """The colours of a data set's label ids.

    Args:
      info: `descriptor.DatasetInfo`.

    Returns:
      uint8 [256, 3], RGB: each class in its colour, the ignore label in void's, which no class
      has, and ids that stand for nothing in VOC's.
    """
    colors = voc.color_map()
    of_classes = info.colors or default_colors(info.class_names)
    colors[:info.number_of_classes] = of_classes
    colors[info.ignore_label] = _void_color(of_classes)
    return colors


def of_classes(info):
    """The colours of a data set's classes, as a tuple of (red, green, blue), ints in 0..255."""
    return tuple(map(tuple, of(info)[:info.number_of_classes].tolist()))


def default_colors(class_names):
    """The colours of classes that have none of their own: VOC's for VOC's, else `distinct`."""
    if tuple(class_names) == voc.CLASS_NAMES:
        return tuple(map(tuple, voc.color_map(len(class_names)).tolist()))
    return distinct(len(class_names))


@functools.lru_cache(maxsize=None)
def distinct(number_of_colors):
    """The first colours of the default, as a tuple of (red, green, blue), ints in 0..255.

    Args:
      number_of_colors: int, at most 256.
    """
    chosen = list(OKABE_ITO[:number_of_colors])
    if number_of_colors > len(chosen):
        grid, seen = _candidates()
        distances = np.min([_distances(seen, color) for color in chosen + [VOID_COLOR]], axis=0)
    while len(chosen) < number_of_colors:
        chosen.append(tuple(grid[distances.argmax()].tolist()))
        distances = np.minimum(distances, _distances(seen, chosen[-1]))
    return tuple(chosen)


@functools.lru_cache(maxsize=None)
def _void_color(of_classes):
    """A colour for void that no class has: VOC's, or what is farthest from all classes."""
    seen = _seen(np.array(of_classes + (VOID_COLOR,)))[:, 0]
    if np.linalg.norm(seen[:-1] - seen[-1], axis=1).min() > _NEAREST_VOID:
        return VOID_COLOR
    grid, seen = _candidates()
    distances = np.min([_distances(seen, color) for color in of_classes], axis=0)
    return tuple(grid[distances.argmax()].tolist())


@functools.lru_cache(maxsize=None)
def _candidates():
    """Returns (colours int [n, 3], how they are seen [n, 3 visions, 3]) to choose from."""
    seen = _seen(_GRID)
    is_mid = (_LIGHTNESS[0] <= seen[:, 0, 0]) & (seen[:, 0, 0] <= _LIGHTNESS[1])
    return _GRID[is_mid], seen[is_mid]


def _seen(colors):
    """CIELAB (D65) of sRGB colours, int [n, 3], in each of the visions: float64 [n, 3, 3]."""
    values = colors / 255.
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    visible = np.clip(np.einsum('vij,nj->nvi', _VISIONS, linear), 0, 1)
    xyz = visible.dot(_TO_XYZ.T) / _TO_XYZ.sum(axis=1)
    bent = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(bent, -1, 0)
    # Rounded, so that the last bits of another processor decide nothing.
    return np.round(np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1), 3)


def _distances(seen, color):
    """How far colours of `_seen` are from (r, g, b), in the vision where they are nearest."""
    differences = np.linalg.norm(seen - _seen(np.array([color])), axis=2)
    return np.round((differences * _WEIGHTS).min(axis=1), 3)
