"""JSON of COCO as it came to be the format of many tools: outlines of objects, a file a split.

annotations/instances_train2017.json beside images/ (COCO, CVAT, Detectron),
train/_annotations.coco.json among the images (Roboflow), result.json beside images/ (Label
Studio). Classes are background and the categories by ascending id, whatever the gaps. Objects are
drawn in the order of the file, later ones above, as cocostuffhelper of COCO-Stuff does; crowds
are void, below all objects. CVAT calls each brush mask a crowd: there only one with the attribute
is_crowd is.
"""
import collections
import json

import numpy as np

from dataset import voc
from dataset.layouts import coco_files, coco_shapes, contract, looking
from dataset.sources import decoding

NAME = 'coco'
_IGNORE = '__ignore__'  # labelme's, which converters keep
# What COCO ships beside instances_*.json: without outlines, and with those of some classes alone.
_WITHOUT_OUTLINES = ('captions_', 'image_info_')
_OF_SOME_CLASSES = ('person_keypoints_', 'stuff_')


def recognize(folder):
    """See `contract`."""
    if not _files(folder):
        return None
    return ("COCO's JSON: objects are drawn in the order of the file, crowds have no class, what "
            'no object covers is background')


def _files(folder):
    found = [path for path in coco_files.find(folder) if not coco_files.is_panoptic(path)
             and not coco_files.stem_of(path).startswith(_WITHOUT_OUTLINES)]
    return [path for path in found
            if not coco_files.stem_of(path).startswith(_OF_SOME_CLASSES)] or found


def read(folder, args):
    """Returns `contract.Layout`; raises `UserError` on files that do not fit."""
    parts, names, problems, counts = [], [contract.BACKGROUND], [], collections.Counter()
    images = coco_files.Images(folder)
    for path in _files(folder):
        content = coco_files.load(path, ('images', 'annotations', 'categories'))
        categories = coco_files.categories(content, path)
        used = {annotation.get('category_id') for annotation in content['annotations']}
        name_of = {number: name for number, name in categories.items()
                   if number in used or not _is_heading(number, content['categories'])}
        names += [name for name in coco_files.in_order(name_of)
                  if name not in names + list(coco_files.BACKGROUNDS) + [_IGNORE]]
        examples, wrong = _examples(content, name_of, images, path, counts)
        parts.append((coco_files.split_of(path, folder), examples))
        problems += wrong
    looking.refuse(problems, "parts of COCO's JSON", args.skip_bad)
    for what, count in sorted((+counts).items()):
        print('%d x %s.' % (count, what))
    images.tell_others()
    return contract.Layout(coco_files.joined(parts), names, voc.IGNORE_LABEL, read_mask)


def _is_heading(number, categories):
    """Whether a category only groups all others, as the first one of Roboflow does."""
    name = next(category['name'] for category in categories if category['id'] == number)
    others = [category for category in categories if category['id'] != number]
    return bool(others) and all(category.get('supercategory') == name for category in others)


def _examples(content, name_of, images, path, counts):
    """Returns (examples of one file, problems); counts what users may not expect."""
    shapes_of, problems, wrong = {}, [], set()
    images_by_id = coco_files.images_by_id(content, path)
    for annotation in content['annotations']:
        image = images_by_id.get(annotation.get('image_id'))
        issue = _problem(annotation, image, name_of)
        if issue:
            problems.append('%s: annotation %s%s %s' % (
                path, annotation.get('id'), ' of ' + image['file_name'] if image else '', issue))
            wrong.add(annotation.get('image_id'))
            continue
        is_void = _is_crowd(annotation)
        counts['crowd: void, without class'] += is_void
        name = None if is_void else name_of[annotation['category_id']]
        shapes_of.setdefault(image['id'], []).append([name, annotation['segmentation']])
    examples = []
    for number, image in images_by_id.items():
        found, issue = images.locate(image['file_name'], path)
        if issue:
            problems.append('%s: %s' % (path, issue))
        elif number not in wrong:
            counts['image without annotation: all background, also if nobody has looked at it yet; '
                   'take those out of the JSON'] += number not in shapes_of
            shapes = sorted(shapes_of.get(number, []), key=lambda shape: shape[0] is not None)
            examples.append(decoding.Example(
                images.name_of(found), found, decoding.Annotation(json.dumps(
                    [image['height'], image['width'], shapes]).encode('utf-8'), path)))
    return examples, problems


def _problem(annotation, image, name_of):
    if image is None:
        return 'is of image %s, which the file does not list' % annotation.get('image_id')
    if annotation.get('category_id') not in name_of:
        return ('is of category %s, which the file does not list: add it or delete the annotation'
                % annotation.get('category_id'))
    return coco_shapes.problem(annotation.get('segmentation'), image['height'], image['width'])


def _is_crowd(annotation):
    attributes = annotation.get('attributes')
    if isinstance(attributes, dict):  # of CVAT
        return bool(attributes.get('is_crowd'))
    return bool(annotation.get('iscrowd'))


def read_mask(example, info):
    """Draws the objects of an image. Returns uint8 [height, width], see `decoding.read_labels`."""
    height, width, shapes = json.loads(example.mask.decode('utf-8'))
    labels = np.zeros([height, width], np.uint8)
    for name, segmentation in shapes:
        labels[coco_shapes.draw(segmentation, height, width)] = (
            info.ignore_label if name in (None, _IGNORE) else
            0 if name in coco_files.BACKGROUNDS else info.class_names.index(name))
    return labels


read_mask.key = 'coco'
read_mask.draws = True
