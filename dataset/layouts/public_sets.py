"""Published data sets of folders of images beside folders of masks of ids: a row each.

Cityscapes and KITTI: 19 classes are evaluated, all other ids are void
(cityscapesScripts, helpers/labels.py). ADE20K's scene parsing: 0 is void, 1 to 150 are the lines
of objectInfo150.txt. COCO-Stuff's stuffthingmaps: 0 to 181 are lines 1 to 182 of labels.txt,
whose line 0 is unlabelled, 255 in masks. CamVid as SegNet's authors divided it: 11 classes, 11 is
void.
"""
import os
import re
from typing import Mapping, NamedTuple, Optional, Sequence, Tuple

from common.errors import UserError
from dataset import voc
from dataset.layouts import contract
from dataset.sources import class_lists, file_names, folder, id_maps, pairs

_ADVICE = ('ids of %s are %d..%d. Fetch it again; for masks of another kind give the folders with '
           '--images, --masks and --map_ids')
_CITYSCAPES = (
    (7, 'road', (128, 64, 128)), (8, 'sidewalk', (244, 35, 232)), (11, 'building', (70, 70, 70)),
    (12, 'wall', (102, 102, 156)), (13, 'fence', (190, 153, 153)), (17, 'pole', (153, 153, 153)),
    (19, 'traffic light', (250, 170, 30)), (20, 'traffic sign', (220, 220, 0)),
    (21, 'vegetation', (107, 142, 35)), (22, 'terrain', (152, 251, 152)),
    (23, 'sky', (70, 130, 180)), (24, 'person', (220, 20, 60)), (25, 'rider', (255, 0, 0)),
    (26, 'car', (0, 0, 142)), (27, 'truck', (0, 0, 70)), (28, 'bus', (0, 60, 100)),
    (31, 'train', (0, 80, 100)), (32, 'motorcycle', (0, 0, 230)), (33, 'bicycle', (119, 11, 32)))
_CITYSCAPES_NAMES = tuple(name for _, name, _ in _CITYSCAPES)
_CITYSCAPES_COLORS = tuple(color for _, _, color in _CITYSCAPES)
_LARGEST_CITYSCAPES_ID = 33
_IDS_TO_CLASSES = {value: id_maps.VOID for value in range(_LARGEST_CITYSCAPES_ID + 1)}
_IDS_TO_CLASSES.update((value, place) for place, (value, _, _) in enumerate(_CITYSCAPES))
_CAMVID_NAMES = ('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence',
                 'Car', 'Pedestrian', 'Bicyclist')
_ADE_LIST, _ADE_CLASSES = 'objectInfo150.txt', 150
_STUFF_LIST, _STUFF_CLASSES = 'labels.txt', 182  # of which 11 were removed from COCO


def _ade_names(root):
    """Returns the first word for each class, of the table that comes with the images."""
    path = os.path.join(root, _ADE_LIST)
    if not os.path.isfile(path):
        raise UserError('%s is missing, which names the classes. It comes with the images in '
                        'ADEChallengeData2016.zip.' % path)
    names = class_lists.ids_of(path) or {}
    if sorted(names) != list(range(1, _ADE_CLASSES + 1)):
        raise UserError('%s does not list 1 to %d, a line each. Unpack ADEChallengeData2016.zip '
                        'again.' % (path, _ADE_CLASSES))
    return [re.split('[,;]', name)[0].strip() for _, name in sorted(names.items())]


def _stuff_names(root):
    """Returns the names of labels.txt, whose ids are those of the masks and one more."""
    path = os.path.join(root, _STUFF_LIST)
    if not os.path.isfile(path):
        raise UserError('%s is missing, which names the classes. It is in the repository of '
                        'COCO-Stuff, beside its README.' % path)
    mapping = id_maps.zero_is_void(_STUFF_CLASSES)
    names = class_lists.read(path, mapping)
    if len(names) != _STUFF_CLASSES:
        raise UserError('%s names %d classes; those of COCO-Stuff are %d, after 0: unlabeled. '
                        'Fetch it again.' % (path, len(names), _STUFF_CLASSES))
    return names


class Folders(NamedTuple):
    """A layout as `contract` describes it.

    what: str, what is found. parts: (split or None, folder of images, folder of masks) each.
    suffixes: pairs of what the stems of images and masks end with beyond what they share; the
    first is taken that all masks have. mappings: for each of them what `id_maps.apply` takes, or
    None for class ids. class_names: names, or a function of the folder.
    """
    NAME: str
    what: str
    parts: Sequence[Tuple[Optional[str], str, str]]
    mappings: Sequence[Optional[Mapping]]
    class_names: object
    suffixes: Sequence[Tuple[str, str]] = (('', ''),)
    colors: Optional[Sequence[Tuple[int, int, int]]] = None

    def recognize(self, directory):
        """See `contract`."""
        return self.what if self._find(directory) else None

    def _find(self, directory):
        """Returns the folder that holds both folders of the first part: this, or one below."""
        _, images, masks = self.parts[0]
        below = [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
        for root in [directory] + below:
            if all(os.path.isdir(os.path.join(root, name)) for name in (images, masks)):
                return root
        return None

    def read(self, directory, args):
        """See `contract`."""
        del args
        root = self._find(directory)
        if root is None:
            raise UserError('Neither %s nor a folder in it holds %s and %s, as %s does. Give the '
                            'folder that does.' % ((directory,) + tuple(self.parts[0][1:])
                                                   + (self.NAME,)))
        there = []
        for split, *names in self.parts:
            images, masks = [os.path.join(root, name) for name in names]
            if os.path.isdir(masks):
                there.append((split, images, masks))
            elif os.path.isdir(images):
                print('%s is missing: the images of %s are left out.' % (masks, images))
        (image_suffix, mask_suffix), mapping = self._kind(there[0][2])
        class_names = (self.class_names(root) if callable(self.class_names)
                       else self.class_names)
        return contract.Layout(
            [(split, pairs.find(images, masks, None, image_suffix, mask_suffix))
             for split, images, masks in there], class_names, voc.IGNORE_LABEL,
            mapping and folder.MappedIdsReader(mapping, _ADVICE % (
                self.NAME, min(mapping), max(mapping))), self.colors)

    def _kind(self, masks):
        """Returns (suffixes, mapping), the first of which there are masks."""
        for suffixes, mapping in zip(self.suffixes, self.mappings):
            if file_names.group('DIR', masks, suffixes[1]).paths:
                return suffixes, mapping
        raise UserError('%s holds no mask%s. Unpack it again.' % (
            masks, ' named ' + ' or '.join('*%s.png' % suffix for _, suffix in self.suffixes)
            if self.suffixes[0][1] else ''))


CITYSCAPES = Folders(
    'cityscapes', "Cityscapes: its 19 classes of gtFine, all other ids are void; its test split, "
    'whose labels are not public, is left out',
    [('train', 'leftImg8bit/train', 'gtFine/train'),
     ('validation', 'leftImg8bit/val', 'gtFine/val')],
    [_IDS_TO_CLASSES, None], _CITYSCAPES_NAMES,
    [('_leftImg8bit', '_gtFine_labelIds'), ('_leftImg8bit', '_gtFine_labelTrainIds')],
    _CITYSCAPES_COLORS)
KITTI = Folders(
    'kitti', "KITTI's semantics: ids of Cityscapes, whose 19 classes are taken, all others are "
    'void', [(None, 'training/image_2', 'training/semantic')], [_IDS_TO_CLASSES],
    _CITYSCAPES_NAMES, colors=_CITYSCAPES_COLORS)
ADE20K = Folders(
    'ade20k', "ADE20K's scene parsing: 0 is void, 150 classes of " + _ADE_LIST,
    [('train', 'images/training', 'annotations/training'),
     ('validation', 'images/validation', 'annotations/validation')],
    [id_maps.zero_is_void(_ADE_CLASSES)], _ade_names)
COCO_STUFF = Folders(
    'coco-stuff', "COCO-Stuff's masks of things and stuff: 182 classes of %s, 255 is void"
    % _STUFF_LIST, [('train', 'images/train2017', 'annotations/train2017'),
                    ('validation', 'images/val2017', 'annotations/val2017')], [None],
    _stuff_names)
CAMVID = Folders(
    'camvid', "CamVid as SegNet's authors divided it: 11 classes, 11 is void",
    [('train', 'train', 'trainannot'), ('validation', 'val', 'valannot'),
     ('test', 'test', 'testannot')],
    [{value: value if value < len(_CAMVID_NAMES) else id_maps.VOID
      for value in range(len(_CAMVID_NAMES) + 1)}], _CAMVID_NAMES)
