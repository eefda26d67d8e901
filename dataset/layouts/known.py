"""The layouts that build_folder.py knows, and which of them a folder has."""
import collections
import os

from common.errors import UserError
from dataset.layouts import (coco, coco_panoptic, cvat_masks, cvat_xml, drive, label_studio,
                             labelme, labelme_voc, public_sets, roboflow, supervisely, voc_devkit)
from dataset.sources import file_names

# In the order in which messages name them.
LAYOUTS = (labelme, labelme_voc, coco, coco_panoptic, cvat_xml, cvat_masks, label_studio, roboflow,
           supervisely, voc_devkit, public_sets.CITYSCAPES, public_sets.KITTI, public_sets.ADE20K,
           public_sets.COCO_STUFF, public_sets.CAMVID, drive)
# So many files are looked at to describe a folder of no known layout.
_MOST_LISTED = 10000
_SHOWN = 6
_TIP = ('%s holds %d images and no labels. Label them first: labelme (polygons) or CVAT (brushes '
        'and teams) are free. Save the annotations here or export them, then the same command '
        'builds the data set. Where masks lie elsewhere, give --images %s --masks DIR --classes '
        'FILE instead.')


def names():
    """Returns what --format takes."""
    return [layout.NAME for layout in LAYOUTS]


def recognize(folder, name=None):
    """Finds out which layout a folder has, and says so.

    Args:
      folder: str.
      name: str, what --format says, or None to look.

    Returns:
      A module as `contract` describes it.

    Raises:
      UserError: there is no such folder, none fits, or several do.
    """
    if not os.path.isdir(folder):
        raise UserError('%s is no folder. %s the one that the labelling tool wrote, or --images '
                        'and --masks.' % (folder, 'Unpack it, and give' if os.path.exists(folder)
                                          else 'Give'))
    if name:
        return next(layout for layout in LAYOUTS if layout.NAME == name)
    found = [(layout, line) for layout, line in (
        (layout, layout.recognize(folder)) for layout in LAYOUTS) if line]
    if not found:
        raise UserError(_describe(folder))
    if len(found) > 1:
        raise UserError('%s can be read in %d ways:\n%s\nChoose one of them.' % (
            folder, len(found), '\n'.join(
                '  --format %s: %s' % (layout.NAME, line) for layout, line in found)))
    print('%s: %s' % (folder, found[0][1]))
    return found[0][0]


def _describe(folder):
    """Says what a folder holds that has no known layout, and the ways out."""
    kinds, folders = collections.Counter(), []
    for parent, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith('.'))
        if parent == folder:
            folders = below[:]
        kinds.update(os.path.splitext(name)[1].lower() for name in files if name[0] != '.')
        if sum(kinds.values()) > _MOST_LISTED:
            break
    images = sum(count for kind, count in kinds.items() if file_names.is_image_extension(kind))
    if images and images == sum(kinds.values()) and len(folders) < 2:
        return _TIP % (folder, images, folder)
    return ('%s has none of the layouts that are known (%s). It holds %s%s. If that is one of '
            'them, choose it with --format NAME. Images and masks of one\'s own: --images DIR '
            '--masks DIR --classes FILE.' % (
                folder, ', '.join(names()),
                ', '.join('%d %s' % (count, ascii(kind)[1:-1] or 'files without extension')
                          for kind, count in kinds.most_common(_SHOWN)) or 'no file',
                ', in the folders %s' % ', '.join(folders[:_SHOWN]) if folders else ''))
