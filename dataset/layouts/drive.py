"""DRIVE, vessels of the retina: 1st_manual holds the labels, mask the field of view.

Outside the field of view pixels are void, as the benchmark evaluates. Labels of the second
observer are left out.
"""
import glob
import hashlib
import os

import numpy as np

from common import files
from common.errors import UserError
from dataset import voc
from dataset.layouts import contract
from dataset.sources import decoding

NAME = 'drive'
_CLASSES = (contract.BACKGROUND, 'vessel')
_SPLITS = (('train', 'training'), ('test', 'test'))
_IMAGES, _LABELS, _VIEWS = 'images', '1st_manual', 'mask'
_WHITE = 255


def _root(folder):
    below = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    return next((root for root in [folder] + below if all(
        os.path.isdir(os.path.join(root, 'training', name)) for name in (_IMAGES, _LABELS))), None)


def recognize(folder):
    """See `contract`."""
    return ('DRIVE: vessels of 1st_manual, what lies outside the field of view is void'
            if _root(folder) else None)


def read(folder, args):
    """Returns `contract.Layout`; raises `UserError` where a file is missing."""
    del args
    root, parts, views = _root(folder), [], {}
    if root is None:
        raise UserError('Neither %s nor a folder in it holds training/%s and training/%s, as DRIVE '
                        'does. Give the folder that does.' % (folder, _IMAGES, _LABELS))
    for split, name in _SPLITS:
        here = os.path.join(root, name)
        if not os.path.isdir(os.path.join(here, _LABELS)):
            print('%s has no %s: left out.' % (here, _LABELS))
            continue
        examples = []
        for image in sorted(glob.glob(os.path.join(glob.escape(here), _IMAGES, '*.tif'))):
            number = os.path.basename(image).split('_')[0]
            label, view = [_only(os.path.join(here, part), number)
                           for part in (_LABELS, _VIEWS)]
            examples.append(decoding.Example('%s/%s' % (name, os.path.basename(image)), image,
                                             label))
            views[label] = view
        parts.append((split, examples))
    return contract.Layout(parts, _CLASSES, voc.IGNORE_LABEL, FieldOfViewReader(views))


def _only(folder, number):
    found = glob.glob(os.path.join(glob.escape(folder), number + '_*.gif'))
    if len(found) != 1:
        raise UserError('%s holds %d files %s_*.gif, and one is needed. Unpack DRIVE again.'
                        % (folder, len(found), number))
    return found[0]


class FieldOfViewReader:
    """A reader, as `dataset.sources.contract` describes it, of two black and white pictures.

    Args:
      views: dict from the path of labels to that of the field of view.
    """

    def __init__(self, views):
        self.views = views
        # Shards are known by images and labels; the fields of view belong to them.
        digests = [files.hash_file(path) for _, path in sorted(views.items())]
        self.key = 'drive ' + hashlib.sha256(repr(digests).encode()).hexdigest()

    def __call__(self, example, info):
        label, view = [_is_white(example._replace(mask=path))
                       for path in (example.mask, self.views[example.mask])]
        if label.shape != view.shape:
            raise decoding.InvalidExampleError(
                '%s and %s differ in size. Unpack DRIVE again.'
                % (example.mask, self.views[example.mask]), 'size_mismatch')
        return np.where(view, label.astype(np.uint8), np.uint8(info.ignore_label))


def _is_white(example):
    """Returns bool [height, width]; raises `decoding.InvalidExampleError` where there is grey."""
    values = np.array(decoding.decode(example, 'mask').image.convert('L'))
    if not np.isin(values, (0, _WHITE)).all():
        raise decoding.InvalidExampleError(
            '%s holds greys; pictures of DRIVE are black and white. Unpack DRIVE again.'
            % example.mask, 'label_values')
    return values == _WHITE
