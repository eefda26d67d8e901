"""The training lists of PASCAL VOC 2012 with SBD, derived from the official files.

Neither list is shipped: each is made of the lists that come with VOC 2012 and SBD,
and checked by count and fingerprint.
"""
import collections
import hashlib
import os
import re

import numpy as np

from common import files
from common.errors import UserError
from dataset import voc

_IMAGE_FILE = re.compile(r'(?:.*/)?(.+)\.(?:jpe?g|png)\Z', re.IGNORECASE)

# what: str, for messages. count: int, lines. sha256: str, see `fingerprint`, or
# None where no copy of the official file was at hand to compute it.
Official = collections.namedtuple('Official', ['what', 'count', 'sha256'])

OFFICIAL = {
    'voc_train': Official('VOC 2012 train', voc.SPLIT_SIZES['train'], None),
    'voc_val': Official('VOC 2012 val', voc.SPLIT_SIZES['val'],
                        '6f8edc37993764f6e212237d39546fb595246244147e8a050813c520aac0ade1'),
    'sbd_train': Official('SBD train', voc.SPLIT_SIZES['sbd_train'], None),
    'sbd_val': Official('SBD val', voc.SPLIT_SIZES['sbd_val'], None),
    'sbd_train_noval': Official(
        'SBD train_noval', voc.SPLIT_SIZES['sbd_train_noval'],
        'd8bc1441f65a8f21483562bc1ab56bc4c564e80e37b542549a5065328656a050'),
}

# What the derived lists take from files without a fingerprint of their own, which
# checks these files as far as they matter.
SBD_VAL_PART = Official(
    'SBD val without VOC 2012 val', 2299,
    'bc927acf640fe85f71e75407eb61890f0d4502b9e2f50239834db73db016da79')
VOC_TRAIN_PART = Official(
    'VOC 2012 train in neither SBD part', 330,
    'ed0eaa7ab7ef95d15565b2a1f7103217556248d02c76407d0f11a8709d595f05')

# Of the 8,233 different ids; 19 more lines repeat some of them.
POST_SHA256 = '23fb9430bfde80e1a77ffc87485744995ea0e3be59edc0c45068154f74c27f9b'

# ids: list of str, image ids. problems: list of str, one per file that is not the
# official one; empty when all are.
DerivedList = collections.namedtuple('DerivedList', ['ids', 'problems'])


def list_paths(voc_root, sbd_root):
    """Returns where the official lists lie: a dict from each key of `OFFICIAL` to a path.

    Args:
      voc_root: str, VOCdevkit/VOC2012.
      sbd_root: str, benchmark_RELEASE/dataset.
    """
    folder = os.path.join(voc_root, 'ImageSets', 'Segmentation')
    paths = {'voc_' + name: os.path.join(folder, name + '.txt') for name in ('train', 'val')}
    paths.update({'sbd_' + name: os.path.join(sbd_root, name + '.txt')
                  for name in ('train', 'val', 'train_noval')})
    return paths


def read_ids(path):
    """Returns a list of image ids: the first word of each line, blank lines skipped.

    Of a file, as in `/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png`, that is
    the name without folder and extension.

    Raises:
      UserError: the file cannot be read or names no image.
    """
    lines = files.read_text(path, 'The list').split('\n')
    words = [line.split()[0] for line in lines if line.strip()]
    ids = [_IMAGE_FILE.sub(r'\1', word) for word in words]
    if not ids:
        raise UserError('%s names no image.' % path)
    return ids


def fingerprint(ids):
    """Hashes ids in any order: sha256 of the sorted ids joined by newlines. Returns str."""
    return hashlib.sha256('\n'.join(sorted(ids)).encode()).hexdigest()


def post_list(paths):
    """Derives the 8,252-line list behind the post.

    In this order: what of VOC 2012 train is in neither other part (330); SBD val
    without VOC 2012 val (2,299); SBD train_noval (5,623). 19 ids are in both SBD
    parts and so occur twice (tests/dataset/sources/test_splits.py compares line by line).

    Args:
      paths: dict as `list_paths` returns it; SBD train is not read.

    Returns:
      `DerivedList`; raises `UserError` where a list cannot be read.
    """
    lists, problems = _read_official(
        paths, ('voc_train', 'voc_val', 'sbd_val', 'sbd_train_noval'))
    train_noval = lists['sbd_train_noval']
    val_part = _without(lists['sbd_val'], lists['voc_val'])
    train_part = _without(lists['voc_train'], val_part + train_noval)
    ids = train_part + val_part + train_noval
    # Each check relies on those before it: a part differs because its own file does.
    for path, part, official in ((paths['sbd_val'], val_part, SBD_VAL_PART),
                                 (paths['voc_train'], train_part, VOC_TRAIN_PART)):
        problems = problems or _part_problems(path, part, official)
    if not problems and fingerprint(set(ids)) != POST_SHA256:
        problems = ['All lists are the official ones, but sha256 of the derived list is %s, '
                    'not %s.' % (fingerprint(set(ids)), POST_SHA256)]
    return DerivedList(ids, problems)


def train_aug_list(paths):
    """Derives the paper's train_aug list: VOC 2012 train and all of SBD, without VOC 2012 val.

    Args:
      paths: dict as `list_paths` returns it; SBD train_noval is not read.

    Returns:
      `DerivedList`, ids sorted, 10,582 of the official lists; raises as `post_list`.
    """
    lists, problems = _read_official(paths, ('voc_train', 'voc_val', 'sbd_train', 'sbd_val'))
    val_part = _without(lists['sbd_val'], lists['voc_val'])
    problems = problems or _part_problems(paths['sbd_val'], val_part, SBD_VAL_PART)
    ids = sorted(set(_without(lists['voc_train'] + lists['sbd_train'] + lists['sbd_val'],
                              lists['voc_val'])))
    expected = voc.SPLIT_SIZES['train_aug']
    if not problems and len(ids) != expected:
        # SBD val and VOC val were checked by fingerprint, these two only by count.
        problems = ['Without VOC 2012 val the lists hold %d different ids, not %d, although '
                    'each has the official length: %s or %s names other images.'
                    % (len(ids), expected, paths['voc_train'], paths['sbd_train'])]
    return DerivedList(ids, problems)


def _without(ids, others):
    others = set(others)
    return [image_id for image_id in ids if image_id not in others]


def _read_official(paths, keys):
    """Returns (dict from key to ids, list of problems) of the files named by `keys`."""
    lists = {key: read_ids(paths[key]) for key in keys}
    problems = []
    for key in keys:
        problems += _file_problems(paths[key], lists[key], OFFICIAL[key])
    return lists, problems


def _file_problems(path, ids, official):
    if len(ids) != official.count:
        return ['%s lists %d images; the official %s lists %d.'
                % (path, len(ids), official.what, official.count)]
    if official.sha256 and fingerprint(ids) != official.sha256:
        return ['%s lists %d images as the official %s does, but other ones: sha256 of its '
                'sorted ids is %s, not %s.'
                % (path, len(ids), official.what, fingerprint(ids), official.sha256)]
    return []


def _part_problems(path, part, official):
    if len(part) != official.count:
        return ['%s has the official number of lines, but names other images: %s is %d '
                'images, not %d.' % (path, official.what, len(part), official.count)]
    if fingerprint(part) != official.sha256:
        return ['%s has the official number of lines, but names other images: sha256 of the '
                'sorted ids of %s is %s, not %s.'
                % (path, official.what, fingerprint(part), official.sha256)]
    return []


def drop_repeats(ids):
    """Returns the ids without second copies, in the order of the first ones."""
    return list(collections.OrderedDict.fromkeys(ids))


def hold_out(keys, fraction, seed):
    """Chooses at random what is held out for validation; equal keys stay together.

    The choice depends on the keys and the seed, not on the keys' order.

    Args:
      keys: list of str, one per example; what shares a key is never torn apart.
      fraction: float between 0 and 1. This share of the examples, rounded, is held
        out; somewhat fewer where only groups too large are left, but at least one.
      seed: int.

    Returns:
      (training positions, validation positions), two ascending lists of int
      that together are 0..len(keys) - 1; neither is empty.

    Raises:
      UserError: fewer than two different keys.
    """
    groups = collections.defaultdict(list)
    for position, key in enumerate(keys):
        groups[key].append(position)
    if len(groups) < 2:
        raise UserError(
            '%d images of which %d differ cannot be split into training and validation; two '
            'different ones are needed. With --split train (build_folder.py) all are trained on.'
            % (len(keys), len(groups)))
    wanted = min(len(keys) - 1, max(1, int(round(fraction * len(keys)))))
    order = sorted(groups)
    np.random.RandomState(seed).shuffle(order)
    held = []
    for key in order:
        if len(held) + len(groups[key]) <= wanted:
            held += groups[key]
    # All groups are larger than what was wanted: the smallest is the nearest.
    held = set(held or min((groups[key] for key in order), key=len))
    return ([position for position in range(len(keys)) if position not in held], sorted(held))
