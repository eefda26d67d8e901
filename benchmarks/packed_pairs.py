"""Pairs of images and labels in one .npz, which NumPy alone reads, for trials on other machines.

Photographs are stored as differences of neighbouring pixels, which compress to about the size of
PNGs.
"""
from typing import NamedTuple, Tuple

import numpy as np

from common import files
from common.errors import UserError

IGNORE_LABEL = 255  # whatever it was in the data set
SPLITS = ('train', 'validation')


class Pairs(NamedTuple):
    """The pairs of one split, each in the upper left corner of the largest.

    Attributes:
      images: uint8 [pairs, height, width, 3].
      labels: uint8 [pairs, height, width], `IGNORE_LABEL` outside of the pair too.
      sizes: int64 [pairs, 2], the heights and widths of the pairs.
    """
    images: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray


class Packed(NamedTuple):
    """A data set.

    Attributes:
      class_names: tuple of str.
      class_weights: float64 [classes], as `training.class_weights.median_frequency`.
      train, validation: `Pairs`.
    """
    class_names: Tuple[str, ...]
    class_weights: np.ndarray
    train: Pairs
    validation: Pairs


def join(pairs):
    """Returns `Pairs` of a list of (uint8 [height, width, 3], uint8 [height, width])."""
    sizes = np.array([labels.shape for _, labels in pairs], np.int64)
    height, width = sizes.max(axis=0)
    images = np.zeros([len(pairs), height, width, 3], np.uint8)
    joined = np.full([len(pairs), height, width], IGNORE_LABEL, np.uint8)
    for index, (image, labels) in enumerate(pairs):
        images[index, :labels.shape[0], :labels.shape[1]] = image
        joined[index, :labels.shape[0], :labels.shape[1]] = labels
    return Pairs(images, joined, sizes)


def save(packed, path):
    """Writes a `Packed`."""
    arrays = {'class_names': np.array(packed.class_names), 'class_weights': packed.class_weights}
    for split in SPLITS:
        pairs = getattr(packed, split)
        arrays.update({split + '_images': _differences(pairs.images),
                       split + '_labels': pairs.labels, split + '_sizes': pairs.sizes})
    with files.replacing(path, 'wb') as handle:
        np.savez_compressed(handle, **arrays)


def load(path):
    """Reads what `save` wrote. Returns `Packed`.

    Raises:
      UserError: the file is something else.
    """
    try:
        with np.load(path) as arrays:
            splits = [Pairs(_sums(arrays[split + '_images']), arrays[split + '_labels'],
                            arrays[split + '_sizes']) for split in SPLITS]
            return Packed(tuple(arrays['class_names'].tolist()), arrays['class_weights'], *splits)
    except (OSError, ValueError, KeyError) as error:
        raise UserError('--data %s cannot be read: %s. Give what benchmarks/pack_pairs.py wrote.'
                        % (path, error))


def _differences(images):
    """Red and blue less green, and each pixel less those above and to the left, modulo 256."""
    images = images.copy()
    images[..., ::2] -= images[..., 1:2]
    for axis in (1, 2):
        images = np.diff(images, axis=axis, prepend=np.uint8(0))
    return images


def _sums(differences):
    """Undoes `_differences`."""
    images = differences
    for axis in (2, 1):
        images = np.cumsum(images, axis=axis, dtype=np.uint8)
    images[..., ::2] += images[..., 1:2]
    return images
