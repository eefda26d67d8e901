"""What labelme2voc.py of labelme writes: images, masks of class ids, class_names.txt.

labelme up to 4 keeps ids in SegmentationClass/NAME.npy and pictures of them in
SegmentationClassPNG; labelme 5 has the PNGs in SegmentationClass, ids in SegmentationClassNpy.
Pixels of `__ignore__` are -1 there, and 255 in the PNGs.
"""
import glob
import os

import numpy as np

from common.errors import UserError
from dataset import voc
from dataset.layouts import contract
from dataset.sources import class_lists, decoding, pairs

NAME = 'labelme-voc'
_CLASSES, _IMAGES = 'class_names.txt', 'JPEGImages'
_PNG_FOLDERS = ('SegmentationClassPNG', 'SegmentationClass')
_NPY_FOLDERS = ('SegmentationClassNpy', 'SegmentationClass')
_OWN_FOLDERS = (_PNG_FOLDERS[0], _NPY_FOLDERS[0])  # which nobody else has
_NPY = '.npy'


def recognize(folder):
    """See `contract`."""
    if not os.path.isdir(os.path.join(folder, _IMAGES)) or not any(
            os.path.exists(os.path.join(folder, name)) for name in (_CLASSES,) + _OWN_FOLDERS):
        return None
    return "labelme's VOC export: masks of class ids, classes of %s" % _CLASSES


def read(folder, args):
    """Returns `contract.Layout`; raises `UserError` where files are missing."""
    del args
    class_list = os.path.join(folder, _CLASSES)
    if not os.path.isfile(class_list):
        raise UserError('%s is missing, which names the classes. Export again with labelme2voc.py, '
                        'or write them there, one a line, _background_ first.' % class_list)
    class_names = class_lists.read(class_list)
    images_dir = os.path.join(folder, _IMAGES)
    for name in _PNG_FOLDERS:
        if glob.glob(os.path.join(glob.escape(folder), name, '*.png')):
            examples = pairs.find(images_dir, os.path.join(folder, name))
            return contract.Layout([(None, examples)], class_names, voc.IGNORE_LABEL,
                                   class_list=class_list)
    for name in _NPY_FOLDERS:
        if glob.glob(os.path.join(glob.escape(folder), name, '*' + _NPY)):
            examples = _with_arrays(images_dir, os.path.join(folder, name))
            return contract.Layout([(None, examples)], class_names, voc.IGNORE_LABEL, read_mask,
                                   class_list=class_list)
    raise UserError('%s has neither %s/*.png nor %s/*.npy: export it again with labelme2voc.py, '
                    'or build from the JSON files.' % (folder, _PNG_FOLDERS[1], _NPY_FOLDERS[0]))


def _with_arrays(images_dir, masks_dir):
    examples, missing = [], []
    for path in sorted(glob.glob(os.path.join(glob.escape(images_dir), '*'))):
        name = os.path.basename(path)
        mask = os.path.join(masks_dir, os.path.splitext(name)[0] + _NPY)
        examples.append(decoding.Example(name, path, mask))
        missing += [] if os.path.isfile(mask) else [mask]
    if missing:
        raise UserError('%d of %d images have no mask, the first lacks %s. Export again with '
                        'labelme2voc.py, or remove those images.'
                        % (len(missing), len(examples), missing[0]))
    return examples


def read_mask(example, info):
    """Reads an array of class ids, where -1 is no class. Returns integers [height, width].

    Raises:
      decoding.InvalidExampleError: it is damaged, or holds something else.
    """
    try:
        labels = np.load(example.mask, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise decoding.InvalidExampleError(
            '%s cannot be read: %s. Export it again with labelme2voc.py.'
            % (example.mask, error), 'mask_undecodable')
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.dtype.kind not in 'iu':
        raise decoding.InvalidExampleError(
            '%s is no array of integers [height, width]. Export it again with labelme2voc.py.'
            % example.mask, 'mask_undecodable')
    return np.where(labels == -1, info.ignore_label, labels)


read_mask.key = 'npy of labelme'
read_mask.draws = True  # arrays are no images, by which tiles would be cut
