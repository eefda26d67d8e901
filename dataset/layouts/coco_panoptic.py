"""Panoptic masks of COCO: annotations/NAME.json beside the folder annotations/NAME of PNGs.

A pixel of the PNG is the id red + 256 green + 65536 blue of a segment, whose category the JSON
says; 0 is void, and so are crowds. Classes are the categories by ascending id: there is no
background, as whatever is seen is a segment.
"""
import json
import os

import numpy as np

from common import files
from dataset import voc
from dataset.layouts import coco_files, contract, looking
from dataset.sources import decoding

NAME = 'coco-panoptic'
_WEIGHTS = np.array([1, 256, 65536])  # of red, green and blue in ids


def recognize(folder):
    """See `contract`."""
    if not _files(folder):
        return None
    return ("COCO's panoptic PNGs: each segment has the class of its category, crowds and what "
            'belongs to no segment have none')


def _files(folder):
    return [path for path in coco_files.find(folder) if coco_files.is_panoptic(path)]


def read(folder, args):
    """Returns `contract.Layout`; raises `UserError` on files that do not fit."""
    parts, names, problems = [], [], []
    images = coco_files.Images(folder)
    for path in _files(folder):
        content = coco_files.load(path, ('images', 'annotations', 'categories'))
        name_of = coco_files.categories(content, path)
        names += [name for name in coco_files.in_order(name_of) if name not in names]
        examples, wrong = _examples(content, name_of, images, path)
        parts.append((coco_files.split_of(path, folder), examples))
        problems += wrong
    looking.refuse(problems, "parts of COCO's panoptic JSON", args.skip_bad)
    return contract.Layout(coco_files.joined(parts), names, voc.IGNORE_LABEL, read_mask)


def _examples(content, name_of, images, path):
    """Returns (examples of one file, problems)."""
    images_by_id, examples, problems = coco_files.images_by_id(content, path), [], []
    for annotation in content['annotations']:
        image = images_by_id.get(annotation.get('image_id'))
        found, issue = (images.locate(image['file_name'], path) if image else
                        (None, 'image %s is not listed' % annotation.get('image_id')))
        png = os.path.join(os.path.splitext(path)[0], str(annotation.get('file_name')))
        issue = issue or _problem(annotation.get('segments_info'), name_of)
        if not issue and not os.path.isfile(png):
            issue = '%s is missing: unpack the PNGs there' % png
        if issue:
            problems.append('%s: %s' % (path, issue))
            continue
        segments = [[segment['id'], None if segment.get('iscrowd') else
                     name_of[segment['category_id']]] for segment in annotation['segments_info']]
        # The PNG by its path from the image and its hash: shards are known by these bytes.
        mask = json.dumps([os.path.relpath(png, os.path.dirname(found)), files.hash_file(png),
                           segments])
        examples.append(decoding.Example(images.name_of(found), found,
                                         decoding.Annotation(mask.encode('utf-8'), png)))
    return examples, problems


def _problem(segments, name_of):
    if not isinstance(segments, list) or not all(
            isinstance(segment, dict) and type(segment.get('id')) is int and not isinstance(
                segment.get('category_id'), (dict, list)) for segment in segments):
        return 'an entry has no list "segments_info" with ids: export it again'
    unknown = [segment.get('category_id') for segment in segments
               if segment.get('category_id') not in name_of]
    if unknown:
        return 'a segment is of category %s, which the file does not list: add it' % unknown[0]
    return None


def read_mask(example, info):
    """Looks up the class of each segment. Returns uint8 [height, width].

    Raises:
      decoding.InvalidExampleError: the PNG is damaged, or holds an id that is no segment.
    """
    png, _, segments = json.loads(example.mask.decode('utf-8'))
    png = os.path.normpath(os.path.join(os.path.dirname(example.image), png))
    mask = decoding.decode(example._replace(mask=png), 'mask').image
    if mask.mode != 'RGB':
        raise decoding.InvalidExampleError(
            '%s has Pillow mode %s; panoptic PNGs are RGB. Fetch it again.' % (png, mask.mode),
            'mask_undecodable')
    ids = np.asarray(mask).astype(np.int64).dot(_WEIGHTS)
    class_of = {0: info.ignore_label}
    class_of.update((number, info.ignore_label if name is None else info.class_names.index(name))
                    for number, name in segments)
    values, places = np.unique(ids, return_inverse=True)
    unknown = [int(value) for value in values if value not in class_of]
    if unknown:
        raise decoding.InvalidExampleError(
            '%s holds the segment ids %s, which its JSON does not list. Fetch both again.'
            % (png, decoding.shorten(unknown)), 'label_values')
    return np.array([class_of[value] for value in values.tolist()],
                    np.uint8)[places].reshape(ids.shape)


read_mask.key = 'coco panoptic'
read_mask.draws = True
