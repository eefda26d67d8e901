"""Projects of Supervisely: meta.json, and DATASET/ann/NAME.json for each DATASET/img/NAME.

Figures are drawn in their order, later ones above, as its SDK draws them: both borders of a
rectangle belong to it, outlines to their polygons and holes to themselves, lines and points are a
pixel wide. Classes are background and those of meta.json, in its order.
"""
import base64
import io
import json
import os
import zlib

import numpy as np
from PIL import Image, ImageDraw

from common import files
from common.errors import UserError
from dataset import voc
from dataset.layouts import contract, looking
from dataset.sources import decoding, file_names, notes

NAME = 'supervisely'
_META = 'meta.json'
_ANN, _IMG, _JSON = 'ann', 'img', '.json'
_FEWEST_POINTS = {'polygon': 3, 'rectangle': 2, 'line': 2, 'point': 1}


class _WrongFigureError(ValueError):
    """A figure that cannot be drawn; the message goes on after the name of the file."""


def recognize(folder):
    """See `contract`."""
    path = os.path.join(folder, _META)
    if not os.path.isfile(path) or not any(_annotations(folder)):
        return None
    return ("Supervisely's project: figures are drawn in their order, what none covers is "
            'background')


def _annotations(folder):
    for path in file_names.walk(folder):
        if path.endswith(_JSON) and os.path.basename(os.path.dirname(path)) == _ANN:
            yield path


def read(folder, args):
    """Returns `contract.Layout`; raises `UserError` on files that do not fit."""
    names = _class_names(os.path.join(folder, _META))
    examples, problems = [], []
    for path in _annotations(folder):
        try:
            image = _image(path)
            for figure in _load(path)['objects']:
                _check(figure, names)
        except _WrongFigureError as error:
            problems.append('%s %s' % (path, error))
            continue
        examples.append(decoding.Example(file_names.relative(image, folder), image, path))
    looking.refuse(problems, 'annotation files of Supervisely', args.skip_bad)
    return contract.Layout(looking.by_folder(folder, examples, lambda example: example.mask),
                           names, voc.IGNORE_LABEL, read_mask)


def _class_names(path):
    if not os.path.isfile(path):
        raise UserError('%s is missing, which lists the classes. Give the folder of the project '
                        'that Supervisely made.' % path)
    content = files.read_json(path)
    classes = content.get('classes') if isinstance(content, dict) else None
    if not isinstance(classes, list) or not all(
            isinstance(entry, dict) and isinstance(entry.get('title'), str) for entry in classes):
        raise UserError('%s has no "classes" with a title each. Download the project again.'
                        % path)
    titles = [entry['title'] for entry in classes]
    return [contract.BACKGROUND] + [title for title in titles if title != contract.BACKGROUND]


def _image(path):
    """Returns the image of an annotation file: a.jpg of a.jpg.json, or of a.json as once."""
    name = os.path.basename(path)[:-len(_JSON)]
    folder = os.path.join(os.path.dirname(os.path.dirname(path)), _IMG)
    if os.path.isfile(os.path.join(folder, name)):
        return os.path.join(folder, name)
    found = [other for other in (sorted(os.listdir(folder)) if os.path.isdir(folder) else ())
             if os.path.splitext(other)[0] == name]
    if len(found) != 1:
        raise _WrongFigureError('is of the image %s, which is not there: download the project '
                                'with its images' % os.path.join(folder, name))
    return os.path.join(folder, found[0])


def _load(path):
    """Returns the dict of an annotation file; its 'objects' are dicts, its 'size' two int."""
    try:
        with open(path, encoding='utf-8-sig') as json_file:
            content = json.load(json_file)
    except (OSError, ValueError) as error:
        raise _WrongFigureError('cannot be read as JSON (%s): download it again' % error)
    objects = content.get('objects') if isinstance(content, dict) else None
    size = content.get('size') if isinstance(content, dict) else None
    if not isinstance(objects, list) or not all(isinstance(figure, dict) for figure in objects):
        raise _WrongFigureError('has no list "objects": download it again')
    if not isinstance(size, dict) or not all(
            type(size.get(side)) is int and size[side] > 0 for side in ('height', 'width')):
        raise _WrongFigureError('has no "size" with height and width: download it again')
    return content


def _check(figure, names):
    """Raises `_WrongFigureError` on what can be seen without drawing."""
    kind, title = figure.get('geometryType'), figure.get('classTitle')
    if title not in names:
        raise _WrongFigureError('has a figure of class %r, which %s lacks: download the project '
                                'again' % (title, _META))
    if kind == 'bitmap':
        _bitmap_data(figure)
        return
    if kind not in _FEWEST_POINTS:
        raise _WrongFigureError(
            'has a figure of class %r and kind %r; bitmap, %s are read: convert it in Supervisely'
            % (title, kind, ', '.join(sorted(_FEWEST_POINTS))))
    points = figure.get('points')
    exterior = points.get('exterior') if isinstance(points, dict) else None
    interior = points.get('interior') or [] if isinstance(points, dict) else None
    if not isinstance(interior, list) or not all(map(_are_points, [exterior] + interior)):
        raise _WrongFigureError('has a figure of class %r without points [x, y]: mend it in '
                                'Supervisely' % title)
    if len(exterior) < _FEWEST_POINTS[kind] or any(len(hole) < 3 for hole in interior):
        raise _WrongFigureError('has a %s of class %r with too few points: delete it in '
                                'Supervisely' % (kind, title))


def _are_points(points):
    return isinstance(points, list) and all(
        isinstance(point, list) and len(point) == 2
        and all(type(value) in (int, float) and abs(value) < 2 ** 31 for value in point)
        for point in points)


def _bitmap_data(figure):
    """Returns (bytes of the PNG, left, top)."""
    bitmap = figure.get('bitmap')
    try:
        left, top = bitmap['origin']
        return (zlib.decompress(base64.b64decode(bitmap['data'], validate=True)), int(left),
                int(top))
    except (TypeError, KeyError, ValueError, zlib.error) as error:
        raise _WrongFigureError('has a bitmap of class %r that is damaged (%s): download it again'
                                % (figure.get('classTitle'), error))


def _draw(figure, height, width):
    """Returns bool [height, width], the pixels of a figure that was checked."""
    if figure['geometryType'] == 'bitmap':
        return _draw_bitmap(figure, height, width)
    canvas = Image.new('L', (width, height))
    draw, kind = ImageDraw.Draw(canvas), figure['geometryType']
    exterior, *interior = [
        [(int(round(x)), int(round(y))) for x, y in points]
        for points in [figure['points']['exterior']] + (figure['points'].get('interior') or [])]
    if kind == 'rectangle':
        xs, ys = zip(*exterior)
        draw.rectangle([min(xs), min(ys), max(xs), max(ys)], fill=1)
    elif kind == 'point':
        draw.point(exterior, fill=1)
    elif kind == 'line':
        draw.line(exterior, fill=1, width=1)
    else:
        draw.polygon(exterior, fill=1, outline=1)
        for hole in interior:
            draw.polygon(hole, fill=0, outline=0)
    return np.array(canvas, bool)


def _draw_bitmap(figure, height, width):
    data, left, top = _bitmap_data(figure)
    try:
        with Image.open(io.BytesIO(data)) as image:
            is_transparent = image.mode in ('RGBA', 'LA') or 'transparency' in image.info
            pixels = np.array(image.convert('RGBA').getchannel('A') if is_transparent else
                              image.convert('L')).astype(bool)
    # As in decoding.decode: Pillow's readers raise nearly anything on damaged files.
    except Exception as error:
        raise _WrongFigureError('has a bitmap of class %r that cannot be decoded (%s): download '
                                'it again' % (figure['classTitle'], error))
    bottom, right = top + pixels.shape[0], left + pixels.shape[1]
    if not (0 <= top and bottom <= height and 0 <= left and right <= width):
        raise _WrongFigureError(
            'has a bitmap of class %r at x %d to %d, y %d to %d, outside of the image of %dx%d '
            '(width x height): mend it in Supervisely'
            % (figure['classTitle'], left, right, top, bottom, width, height))
    mask = np.zeros([height, width], bool)
    mask[top:bottom, left:right] = pixels
    return mask


def read_mask(example, info):
    """Draws the figures of a file. Returns uint8 [height, width], see `decoding.read_labels`.

    Raises:
      decoding.InvalidExampleError: a bitmap is damaged or lies outside.
    """
    try:
        content = _load(example.mask)
        height, width = content['size']['height'], content['size']['width']
        labels = np.zeros([height, width], np.uint8)
        for figure in content['objects']:
            labels[_draw(figure, height, width)] = info.class_names.index(figure['classTitle'])
    except _WrongFigureError as error:
        raise decoding.InvalidExampleError('%s %s.' % (example.mask, error), 'mask_undecodable')
    # Supervisely shows, and annotates, images upright.
    notes.drop('turned_image')
    return labels


read_mask.key = 'supervisely'
read_mask.draws = True
