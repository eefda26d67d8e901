"""CVAT's "Segmentation mask 1.1": coloured masks in SegmentationClass, colours in labelmap.txt.

The lists in ImageSets/Segmentation are default.txt, or one a subset of the project. Classes keep
the order of labelmap.txt.
"""
import os

from common import files
from common.errors import UserError
from dataset import voc
from dataset.layouts import contract, looking
from dataset.sources import class_lists, color_masks, decoding, file_names
from dataset.sources.folder import known_split

NAME = 'cvat-masks'
_LABEL_MAP, _MASKS, _IMAGES = 'labelmap.txt', 'SegmentationClass', 'JPEGImages'
_LISTS = os.path.join('ImageSets', 'Segmentation')


def recognize(folder):
    """See `contract`."""
    path = os.path.join(folder, _LABEL_MAP)
    if not os.path.isfile(path) or not os.path.isdir(os.path.join(folder, _MASKS)):
        return None
    try:
        is_cvat = class_lists.cvat_entries(files.read_text(path, 'The label map'))
    except UserError:
        return None
    return "CVAT's segmentation masks: colours as %s says" % _LABEL_MAP if is_cvat else None


def read(folder, args):
    """Returns `contract.Layout`; raises `UserError` on files that are missing."""
    del args
    label_map = os.path.join(folder, _LABEL_MAP)
    if not os.path.isfile(label_map):
        raise UserError('%s is missing, which says the colours of the classes. Unpack the whole '
                        'export there.' % label_map)
    if not os.path.isdir(os.path.join(folder, _IMAGES)):
        raise UserError('%s has masks and no %s. Export with "Save images", or put the images '
                        'there.' % (folder, _IMAGES))
    class_names, palette = color_masks.read_palette(label_map, None, voc.IGNORE_LABEL)
    images, masks = [file_names.group('DIR', os.path.join(folder, name)).paths
                     for name in (_IMAGES, _MASKS)]
    splits = {}
    for list_name, names in _lists(folder, masks):
        for name in names:
            splits[name] = splits.get(name) or known_split(list_name)
    reader = color_masks.PaletteReader(palette)
    return contract.Layout(
        looking.by_split((split, _example(folder, name, images, masks))
                         for name, split in splits.items()),
        class_names, voc.IGNORE_LABEL, reader,
        color_masks.colors_of(reader, len(class_names)), label_map)


def _lists(folder, masks):
    """Yields (name of a list, names of images with masks); says how many have none."""
    directory = os.path.join(folder, _LISTS)
    lists = sorted(name for name in (os.listdir(directory) if os.path.isdir(directory) else ())
                   if name.endswith('.txt'))
    if not lists:
        yield '', sorted(masks)
    for file_name in lists:
        path = os.path.join(directory, file_name)
        # Names that hold spaces are quoted.
        names = [file_names.composed(line.strip().strip('"'))
                 for line in files.read_text(path, 'The list').split('\n') if line.strip()]
        kept = [name for name in names if name in masks]
        if len(kept) < len(names):
            print('%s: %d of %d images have no mask and are left out.'
                  % (path, len(names) - len(kept), len(names)))
        yield os.path.splitext(file_name)[0], kept


def _example(folder, name, images, masks):
    if len(images.get(name, ())) != 1:
        raise UserError('%s has %d images in %s, and one is needed. Export with "Save images" '
                        'again.' % (masks[name][0], len(images.get(name, ())),
                                    os.path.join(folder, _IMAGES)))
    path = images[name][0]
    return decoding.Example(file_names.relative(path, os.path.join(folder, _IMAGES)), path,
                            masks[name][0])
