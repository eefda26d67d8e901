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


def recognize(directory):
    """See `contract`."""
    if not any(name.endswith(_MASK + '.png')
               for path in _folders(directory) for name in os.listdir(path)):
        return None
    return "Roboflow's masks beside the images, with the classes of %s" % _LIST


def _folders(directory):
    """Returns the folders with a list of classes: this one, or those within that are splits."""
    within = [os.path.join(directory, name) for name in sorted(os.listdir(directory))
              if folder.known_split(name)]
    return [path for path in [directory] + within if os.path.isfile(os.path.join(path, _LIST))]


def read(directory, args):
    """Returns `contract.Layout`; raises `UserError` on files that do not fit."""
    del args
    parts, class_names = [], None
    for path in _folders(directory):
        names = class_lists.read(os.path.join(path, _LIST))
        if names != (class_names or names):
            raise UserError('%s lists other classes (%s) than the folder before (%s). Export all '
                            'splits at once.' % (os.path.join(path, _LIST), ', '.join(names),
                                                 ', '.join(class_names)))
        class_names = names
        split = None if path == directory else folder.known_split(os.path.basename(path))
        prefix = '' if split is None else file_names.relative(path, directory) + '/'
        parts.append((split, [example._replace(filename=prefix + example.filename)
                              for example in pairs.find(path, path, mask_suffix=_MASK)]))
    return contract.Layout(parts, class_names, voc.IGNORE_LABEL)
