"""Folders in the layout of VOC that are not VOC 2012, or lie elsewhere than was said."""
import glob
import os

from common.errors import UserError
from common.interpreter import command
from dataset import voc
from dataset.sources import class_lists

_LISTS = os.path.join('ImageSets', 'Segmentation')
# Files in which tools that write VOC's layout name the classes, and the flag that reads each.
_CLASS_FILES = (('labelmap.txt', '--palette'), ('class_names.txt', '--classes'),
                ('labels.txt', '--classes'))
_MASK_FOLDERS = ('SegmentationClassPNG', 'SegmentationClass')
_DEEPEST = 3


def find_root(root, parts):
    """Returns a folder up to three levels below, or one above, that has all `parts`, or None."""
    patterns = [os.path.join(glob.escape(root), *['*'] * depth)
                for depth in range(1, _DEEPEST + 1)] + [glob.escape(os.path.dirname(root) or '.')]
    for pattern in patterns:
        for folder in sorted(glob.glob(pattern)) if parts else ():
            if all(os.path.isdir(os.path.join(folder, part)) for part in parts):
                return folder
    return None


def advice_on_other_data(root):
    """Advises on a root that labelme or CVAT wrote, whose classes are not VOC's.

    Returns str, the command that builds it, or None where it may be VOC 2012.
    """
    for name, flag in _CLASS_FILES:
        path = os.path.join(root, name)
        if os.path.isfile(path) and not _names_voc(path):
            return _command(root, (flag, path), '%s names its classes' % path)
    if (os.path.isdir(os.path.join(root, 'JPEGImages')) and _masks_of(root)
            and not glob.glob(os.path.join(glob.escape(root), 'ImageSets', '*', '*.txt'))):
        return _command(root, ('--classes', 'FILE'), '%s is missing' % os.path.join(root, _LISTS))
    return None


def _names_voc(path):
    try:
        names = class_lists.read(path)
    except UserError:
        return False
    return [name.strip('_') for name in names[:len(voc.CLASS_NAMES)]] == list(voc.CLASS_NAMES)


def _masks_of(root):
    found = [os.path.join(root, name) for name in _MASK_FOLDERS
             if glob.glob(os.path.join(glob.escape(root), name, '*.png'))]
    return found[0] if found else None


def _command(root, classes, reason):
    lists = sorted(glob.glob(os.path.join(glob.escape(root), _LISTS, '*.txt')))
    return '%s has the layout of VOC, but is other data: %s. Build it with\n  %s' % (
        root, reason, command(
            'dataset/build_folder.py', '--images', os.path.join(root, 'JPEGImages'), '--masks',
            _masks_of(root) or os.path.join(root, _MASK_FOLDERS[1]), *classes,
            *(('--list_file', lists[0]) if len(lists) == 1 else ()),
            '--validation_fraction', '0.2', '--output_dir', 'DIR'))
