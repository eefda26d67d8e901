"""Roboflow's "Semantic Segmentation Masks": NAME_mask.png beside NAME.jpg, in train, valid, test.

Each folder has a _classes.csv of the values of its masks; background is among them.
"""
import os

from common.errors import UserError
from dataset import voc
from dataset.layouts import contract
from dataset.sources import class_lists, file_names, folder, pairs

NAME = 'roboflow'
_LIST, _MASK = '_classes.csv', '_mask'
_ANNOTATIONS = ('.json', '.xml')


def recognize(directory):
    """See `contract`."""
    folders = _folders(directory)
    names = [name for path in {directory}.union(folders) for name in os.listdir(path)]
    # Without a list they may be pictures that another tool keeps beside its annotations.
    if not any(map(_is_mask, names)) or _LIST not in names and any(
            name.lower().endswith(_ANNOTATIONS) for name in names):
        return None
    return "Roboflow's masks beside the images, with the classes of %s" % _LIST


def _folders(directory):
    """Returns the folders with masks: those within that are named for splits, or else this."""
    within = [os.path.join(directory, name) for name in sorted(os.listdir(directory))
              if folder.known_split(name)]
    found = [path for path in [directory] + within
             if os.path.isdir(path) and any(map(_is_mask, os.listdir(path)))]
    return found or [directory]


def _is_mask(name):
    return name.endswith(_MASK + '.png')


def read(directory, args):
    """Returns `contract.Layout`; raises `UserError` on files that do not fit."""
    del args
    parts, class_names, folders = [], None, _folders(directory)
    if len(folders) > 1 and directory in folders:
        raise UserError('%s holds masks beside %s: move them into one of the splits.'
                        % (directory, ' and '.join(folders[1:])))
    for path in folders:
        class_list = os.path.join(path, _LIST)
        if not os.path.isfile(class_list):
            class_list = os.path.join(directory, _LIST)
        if not os.path.isfile(class_list):
            raise UserError('%s is missing, which names the classes. Export "Semantic Segmentation '
                            'Masks" again, or copy the file of another split there. Masks of '
                            "one's own: --images %s --masks %s --mask_suffix %s --classes FILE "
                            '--validation_fraction 0.2.'
                            % (os.path.join(path, _LIST), path, path, _MASK))
        names = class_lists.read(class_list)
        if names != (class_names or names):
            raise UserError('%s lists other classes (%s) than the folder before (%s). Export all '
                            'splits at once.' % (class_list, ', '.join(names),
                                                 ', '.join(class_names)))
        class_names = names
        split = None if path == directory else folder.known_split(os.path.basename(path))
        prefix = '' if split is None else file_names.relative(path, directory) + '/'
        parts.append((split, [example._replace(filename=prefix + example.filename)
                              for example in pairs.find(path, path, mask_suffix=_MASK)]))
    return contract.Layout(parts, class_names, voc.IGNORE_LABEL, class_list=class_list)
