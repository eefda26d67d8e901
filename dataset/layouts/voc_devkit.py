"""Data in the layout of VOC's devkit: JPEGImages, SegmentationClass, ImageSets/Segmentation.

Masks hold class ids as VOC's palette PNGs do, 255 is void. Classes are VOC's, unless --classes
names others. build_voc2012.py knows more of VOC 2012 itself, as its lists and SBD.
"""
import os

from PIL import Image

from common.errors import UserError
from dataset import voc
from dataset.layouts import contract, looking
from dataset.sources import class_lists, decoding, file_names, splits

NAME = 'voc'
_LISTS = 'ImageSets/Segmentation'
_FOLDERS = ('JPEGImages', 'SegmentationClass', _LISTS)
# Of other tools, which name their classes in them.
_OTHERS = ('labelmap.txt', 'class_names.txt')
_DEEPEST = 2


def _roots(folder):
    """Returns the folders with the layout: this, or those one or two below."""
    level = [folder]
    for _ in range(_DEEPEST + 1):
        found = [root for root in level
                 if all(os.path.isdir(os.path.join(root, name)) for name in _FOLDERS)]
        if found:
            return found
        level = [os.path.join(parent, name) for parent in level if os.path.isdir(parent)
                 for name in sorted(os.listdir(parent)) if not name.startswith('.')]
    return []


def recognize(folder):
    """See `contract`."""
    roots = _roots(folder)
    if not roots or any(os.path.isfile(os.path.join(roots[0], name)) for name in _OTHERS):
        return None
    return ("VOC's devkit: class ids of SegmentationClass by the lists of %s; VOC's classes "
            'unless --classes names others' % _LISTS)


def read(folder, args):
    """Returns `contract.Layout`; raises `UserError` where a list or file is missing."""
    roots = _roots(folder)
    if len(roots) != 1:
        raise UserError('%s %s. Give the folder that holds one JPEGImages and its lists.' % (
            folder, 'holds several: %s' % ', '.join(roots) if roots
            else 'holds no folder with %s' % ', '.join(_FOLDERS)))
    root = roots[0]
    _refuse_colors(root)
    class_names = class_lists.read(args.classes) if args.classes else voc.CLASS_NAMES
    return contract.Layout(
        [(split, _examples(root, split, ids)) for split, ids in _ids_by_split(root)],
        class_names, voc.IGNORE_LABEL, class_list=args.classes)


def _refuse_colors(root):
    """Raises `UserError` where the first mask is no picture of ids, as those of CVAT are none."""
    masks = os.path.join(root, 'SegmentationClass')
    for path in looking.images_below(masks)[:1]:
        try:
            with Image.open(path) as mask:
                mode = mask.mode
        except OSError:  # it is damaged: the build says so
            return
        if mode in ('RGB', 'RGBA'):
            raise UserError(
                '%s is coloured, and masks of VOC hold class ids. If CVAT wrote it, put its '
                'labelmap.txt into %s, and give that folder as DIR; else give --images %s --masks '
                '%s --palette FILE --validation_fraction 0.2 in the place of DIR.'
                % (path, root, os.path.join(root, 'JPEGImages'), masks))


def _ids_by_split(root):
    """Returns a list of (split or None, ids), by the lists that are there and have masks."""
    paths = {name: os.path.join(root, _LISTS, name + '.txt')
             for name in ('train', 'val', 'trainval', 'test')}
    lists = {name: splits.read_ids(path) for name, path in paths.items() if os.path.isfile(path)}
    train = lists.get('train') or [name for name in lists.get('trainval', ())
                                   if name not in lists.get('val', ())]
    if not train and 'val' not in lists:
        raise UserError('%s is missing, and trainval.txt. Write the images to train on there, an '
                        'id a line.' % paths['train'])
    # VOC keeps the labels of its own test images to itself.
    has_masks = any(os.path.isfile(os.path.join(root, 'SegmentationClass', name + '.png'))
                    for name in lists.get('test', ()))
    found = [(split, ids) for split, ids in (
        ('train', train), ('validation', lists.get('val')),
        ('test', has_masks and lists['test'])) if ids]
    return [(None, train)] if train and len(found) == 1 else found


def _examples(root, split, ids):
    images, masks = [file_names.group('DIR', os.path.join(root, name)).paths
                     for name in _FOLDERS[:2]]
    missing = [name for name in ids if name not in images or name not in masks]
    if missing:
        raise UserError('%d of the %d images of %s in %s lack an image or a mask, the first is '
                        '%s. Add the files, or take the names off the list.'
                        % (len(missing), len(ids), split or 'train',
                           os.path.join(root, _LISTS), missing[0]))
    return [decoding.Example(os.path.basename(images[name][0]), images[name][0], masks[name][0])
            for name in splits.drop_repeats(ids)]
