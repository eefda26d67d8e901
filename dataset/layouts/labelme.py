"""JSON files of labelme: shapes with labels, a file an image, beside it or with it inside.

Pixels of `__ignore__` have no class, `_background_` is what no shape covers. Classes are those
of labels.txt in the folder, or else the labels that occur, sorted.
"""
import base64
import os

import numpy as np

from common.errors import UserError
from dataset import voc
from dataset.layouts import contract, labelme_shapes, looking
from dataset.sources import class_lists, decoding, file_names, notes

NAME = 'labelme'
_JSON, _LIST = '.json', 'labels.txt'
_IGNORE, _BACKGROUND = '__ignore__', '_background_'
_AROUND = (contract.BACKGROUND, _BACKGROUND)


def recognize(folder):
    """See `contract`."""
    for head in looking.heads(folder, _JSON):
        if b'"shapes"' in head or b'"imageData"' in head:
            return ("labelme's JSON: shapes are drawn in their order, %s has no class, what no "
                    'shape covers is background' % _IGNORE)
    return None


def read(folder, args):
    """Returns `contract.Layout`; raises `UserError` on files that do not fit."""
    examples, labels, problems, seen = [], set(), [], {}
    for path in looking.files_below(folder, _JSON):
        try:
            content = labelme_shapes.load(path)
            example = _example(path, content, folder)
        except labelme_shapes.WrongFileError as error:
            problems.append('%s %s' % (path, error))
            continue
        stem = os.path.splitext(example.filename)[0]
        if stem in seen:
            raise UserError('%s and %s annotate the same image, %s. Keep one of them.'
                            % (seen[stem], path, example.filename))
        seen[stem] = path
        examples.append(example)
        labels.update(shape['label'] for shape in content['shapes'])
    looking.refuse(problems, 'JSON files of labelme', args.skip_bad)
    _tell_unlabelled(folder, examples)
    return contract.Layout(looking.by_folder(folder, examples, lambda example: example.mask),
                           _class_names(folder, labels), voc.IGNORE_LABEL, read_mask)


def _example(path, content, folder):
    """Finds the image: where the file says, beside it, or inside it."""
    name = content['imagePath'].replace('\\', '/')
    here = os.path.dirname(path)
    for candidate in (os.path.normpath(os.path.join(here, name)),
                      os.path.join(here, os.path.basename(name))):
        if os.path.isfile(candidate):
            filename = file_names.relative(candidate, folder)
            # Names in the records must not lead out of a folder that predictions are written to.
            filename = os.path.basename(candidate) if filename.startswith('..') else filename
            return decoding.Example(filename, candidate, path)
    stem = os.path.splitext(file_names.relative(path, folder))[0]
    if isinstance(content.get('imageData'), str):
        try:
            data = base64.b64decode(content['imageData'], validate=True)
        except ValueError:
            raise labelme_shapes.WrongFileError('holds a damaged image: save it again in labelme')
        return decoding.Example(stem + os.path.splitext(name)[1], data, path)
    raise labelme_shapes.WrongFileError(
        'is of the image %s, which is neither there nor in the file: put it beside the JSON'
        % name)


def _class_names(folder, labels):
    """Returns the classes in their order; background is the first."""
    path = os.path.join(folder, _LIST)
    labels = labels - {_IGNORE}
    if not os.path.isfile(path):
        return [contract.BACKGROUND] + sorted(labels.difference(_AROUND))
    names = class_lists.read(path)
    if names[0] not in _AROUND:
        names = [contract.BACKGROUND] + names
    unknown = sorted(labels.difference(names, _AROUND))
    if unknown:
        raise UserError('%s lacks labels that the JSON files hold: %s. Add them, or move the list '
                        'elsewhere to take all labels.' % (path, ', '.join(unknown)))
    return names


def _tell_unlabelled(folder, examples):
    """Says how many images of the folder no file annotates."""
    used = {os.path.realpath(example.image) for example in examples
            if not isinstance(example.image, bytes)}
    left = [path for path in looking.images_below(folder) if os.path.realpath(path) not in used]
    if left:
        print('%d images without JSON are left out, as %s.' % (len(left), left[0]))


def read_mask(example, info):
    """Draws the shapes of a file. Returns uint8 [height, width], see `decoding.read_labels`.

    Raises:
      decoding.InvalidExampleError: a stored mask is damaged or does not fit.
    """
    try:
        content = labelme_shapes.load(example.mask)
        height, width = content.get('imageHeight'), content.get('imageWidth')
        if not (type(height) is type(width) is int):  # labelme 2 wrote neither
            width, height = decoding.decode(example, 'image').image.size
        labels = np.zeros([height, width], np.uint8)
        for shape in content['shapes']:
            labels[labelme_shapes.draw(shape, height, width)] = (
                info.ignore_label if shape['label'] == _IGNORE else
                0 if shape['label'] in _AROUND else info.class_names.index(shape['label']))
    except labelme_shapes.WrongFileError as error:
        raise decoding.InvalidExampleError('%s %s.' % (example.mask, error), 'mask_undecodable')
    # labelme shows, and annotates, images upright.
    notes.drop('turned_image')
    return labels


read_mask.key = 'labelme'
read_mask.draws = True
