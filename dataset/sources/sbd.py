"""SBD, the annotations that make VOC 2012's training set seven times as large.

`benchmark_RELEASE/dataset` holds `img/ID.jpg`, `cls/ID.mat` and lists of ids. A
.mat holds the struct GTcls, whose field Segmentation is uint8 [height, width]:
VOC class ids, no boundary label.
"""
import struct
import zlib

import numpy as np

from dataset.sources import decoding

SUFFIX = '.mat'
# What SciPy raises on files that are cut off, overwritten in places or no .mat.
_READ_ERRORS = (OSError, EOFError, ValueError, TypeError, KeyError, IndexError, MemoryError,
                NotImplementedError, OverflowError, struct.error, zlib.error)


def read_mask(example, info):
    """Reads labels, uint8 [height, width], from a .mat of SBD, or as `decoding.read_labels`.

    Raises:
      decoding.InvalidExampleError: the mask is damaged or holds no label map.
    """
    if example.mask.endswith(SUFFIX):
        return read_mat(example.mask)
    return decoding.read_labels(example, info)


# A file that was overwritten in places can end SciPy's process with a segmentation
# fault. In a process of their own, that is an error which names the file.
read_mask.may_crash = True
# What a shard is known by; and what earlier builds hashed, this function's name as a pickle.
read_mask.key = 'sbd'
read_mask.earlier_key = (b'\x80\x04\x95\x1d\0\0\0\0\0\0\0\x8c\x0bdataset.sbd\x94'
                         b'\x8c\tread_mask\x94\x93\x94.')


def read_mat(path):
    """Returns GTcls.Segmentation of one .mat as uint8 [height, width].

    Raises:
      decoding.InvalidExampleError: the file is damaged or of another layout.
    """
    # SciPy takes 0.2 s to import, without which --help answers.
    from scipy.io import loadmat, matlab
    try:
        content = loadmat(path, appendmat=False, variable_names=['GTcls'])
        labels = content['GTcls']['Segmentation'][0, 0]
    except _READ_ERRORS + (matlab.miobase.MatReadError,) as error:
        raise decoding.InvalidExampleError(
            '%s cannot be read as SBD annotation (struct GTcls, field Segmentation): %s: %s. '
            'Unpack benchmark.tgz again, or leave the image out.'
            % (path, type(error).__name__, error), 'mask_undecodable')
    if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8 or labels.ndim != 2:
        raise decoding.InvalidExampleError(
            '%s: GTcls.Segmentation is %s %s; SBD has uint8 [height, width].'
            % (path, getattr(labels, 'dtype', type(labels).__name__),
               list(getattr(labels, 'shape', []))), 'mask_undecodable')
    return labels
