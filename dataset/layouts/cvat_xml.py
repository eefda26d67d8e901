"""CVAT's own XML, "CVAT for images 1.1": annotations.xml, with the images in images/ or beside.

Objects are drawn as CVAT's "Segmentation mask" does (tests/dataset/layouts/test_cvat_xml.py):
polygons and boxes by pycocotools, by z_order and then in the file's order; ellipses differ from
OpenCV's in some pixels of their edges (200 random ones: 1.3 % of the area). Polylines, points,
cuboids, skeletons and tags are left out there, and so here. Classes keep the order of the labels;
`background`, which all other pixels are, is the first.

The standard library's parser opens no external entity. It expands internal ones, with which a
tiny file can fill the memory: CVAT writes no DOCTYPE, and a file that has one is refused before
it is parsed.
"""
import collections
import math
import os
from xml.etree import ElementTree

from common.errors import UserError
from dataset import voc
from dataset.layouts import contract, looking, objects
from dataset.sources import decoding, file_names, folder

NAME = 'cvat'
_XML = '.xml'
_IMAGE_FOLDER = 'images'
_NOT_DRAWN = ('polyline', 'points', 'cuboid', 'skeleton', 'tag')


def recognize(directory):
    """See `contract`."""
    for head in looking.heads(directory, _XML):
        if b'<annotations>' in head and b'<meta>' in head:
            return ("CVAT's XML: polygons, boxes, ellipses and masks are drawn by z_order, the "
                    'rest is background')
    return None


def read(directory, args):
    """Returns `contract.Layout`; raises `UserError` on files that do not fit."""
    colors, examples, problems, counts = None, {}, [], collections.Counter()
    splits = {}
    for path in looking.files_below(directory, _XML):
        root = _parse(path)
        if root is None:
            continue
        labels = _labels(root, path)
        if list(colors or labels) != list(labels):
            raise UserError('%s has other labels than the file before it: %s, not %s. Export the '
                            'whole project at once.' % (path, ', '.join(labels), ', '.join(colors)))
        colors = colors or labels
        for element in root.iter('image'):
            name = element.get('name', '')
            try:
                example = _example(element, directory, path, labels, counts)
            except objects.WrongObjectError as error:
                problems.append('%s, image %s: %s' % (path, name, error))
                continue
            if example is None:
                counts['image without a shape'] += 1
                continue
            # Predictions are stored by stem.
            stem = os.path.splitext(example.filename)[0]
            if stem in examples:
                problems.append('%s, image %s: it, or one that differs by the extension alone, is '
                                'there twice; keep one' % (path, name))
            else:
                examples[stem] = example
                splits[stem] = folder.known_split(element.get('subset', ''))
    if colors is None:
        raise UserError('%s holds no XML of CVAT. Export "CVAT for images 1.1" again, and unpack '
                        'it there.' % directory)
    looking.refuse(problems, 'images in XML of CVAT', args.skip_bad)
    _tell(counts)
    return contract.Layout(
        looking.by_split((splits[stem], example) for stem, example in examples.items()),
        list(colors), voc.IGNORE_LABEL, objects.read_mask, _usable_colors(colors))


def _parse(path):
    """Returns the root of a file of CVAT, None of another XML."""
    with open(path, 'rb') as xml_file:
        data = xml_file.read()
    if b'<annotations>' not in data:
        return None
    if b'<!DOCTYPE' in data or b'<!ENTITY' in data:
        raise UserError('%s has a DOCTYPE, which CVAT does not write. Export it again.' % path)
    try:
        root = ElementTree.fromstring(data)
    # LookupError, ValueError: an encoding that Python or the parser does not know.
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise UserError('%s is damaged (%s). Export "CVAT for images 1.1" again.' % (path, error))
    if root.find('track') is not None:
        raise UserError('%s is "CVAT for video", whose frames hold no shapes of their own. Export '
                        '"CVAT for images 1.1" instead.' % path)
    return root if root.find('meta') is not None else None


def _labels(root, path):
    """Returns an OrderedDict from the class names, background first, to (r, g, b) or None."""
    colors = collections.OrderedDict([(contract.BACKGROUND, (0, 0, 0))])
    for label in root.iterfind('meta//labels/label'):
        name, color = label.findtext('name'), label.findtext('color') or ''
        if not name:
            raise UserError('%s: a label in <meta> has no name. Export it again.' % path)
        if label.find('parent') is None:  # else it is a point of a skeleton
            try:
                colors[name] = tuple(bytes.fromhex(color[1:]))
            except ValueError:
                colors[name] = None
    if len(colors) == 1:
        raise UserError('%s names no label in <meta>. Export it again, from a task with labels.'
                        % path)
    return colors


def _usable_colors(colors):
    values = list(colors.values())
    whole = all(value and len(value) == 3 for value in values)
    return values if whole and len(set(values)) == len(values) else None


def _example(element, directory, path, labels, counts):
    """Returns the `decoding.Example` of an <image>, or None where it has no shape.

    Raises:
      objects.WrongObjectError: the image is missing, or a shape does not fit.
    """
    name = element.get('name', '')
    height, width = [int(_number(element, key)) for key in ('height', 'width')]
    found = []
    for shape in element:
        if shape.tag in _NOT_DRAWN:
            counts[shape.tag] += 1
            continue
        label = shape.get('label')
        if label not in labels:
            raise objects.WrongObjectError('the label %r of a %s is not among those of <meta>: %s'
                                           % (label, shape.tag, ', '.join(labels)))
        try:
            kind, numbers = _numbers(shape)
            objects.check(kind, numbers, height, width)
        except objects.WrongObjectError as error:
            raise objects.WrongObjectError('a %s of %s %s' % (shape.tag, label, error))
        found.append((_number(shape, 'z_order', 0), label, kind, numbers))
    if not found:
        return None
    image = _find_image(directory, os.path.dirname(path), name, element.get('subset', ''))
    found.sort(key=lambda entry: entry[0])
    return decoding.Example(file_names.relative(image, directory), image,
                            objects.encode((height, width), [entry[1:] for entry in found], path))


def _number(element, key, default=None):
    try:
        value = float(element.get(key, default))
        if math.isfinite(value):
            return value
    except (TypeError, ValueError):
        pass
    raise objects.WrongObjectError('has %r as %s' % (element.get(key), key))


def _numbers(shape):
    """Returns (kind, list of numbers) of a shape, as `objects` has them."""
    if shape.tag == 'polygon':
        return 'polygon', _split(shape.get('points', '').replace(';', ','), float)
    if shape.tag == 'box':
        sides = [_number(shape, key) for key in ('xtl', 'ytl', 'xbr', 'ybr')]
        return 'polygon', objects.box_corners(*sides, degrees=_number(shape, 'rotation', 0))
    if shape.tag == 'ellipse':
        # CVAT has OpenCV draw on whole numbers, where pixel n reaches from n - 0.5 to n + 0.5.
        x, y, radius_x, radius_y = [round(_number(shape, key)) for key in ('cx', 'cy', 'rx', 'ry')]
        return 'ellipse', [x + 0.5, y + 0.5, radius_x + 0.5, radius_y + 0.5,
                           _number(shape, 'rotation', 0)]
    if shape.tag == 'mask':
        box = [int(_number(shape, key)) for key in ('left', 'top', 'width', 'height')]
        return 'runs', box + _split(shape.get('rle', ''), int)
    raise objects.WrongObjectError('is of a kind that is not known: delete it in CVAT, or draw it '
                                   'as a polygon')


def _split(text, number):
    try:
        return [number(part) for part in text.split(',')]
    except ValueError:
        raise objects.WrongObjectError('has numbers that cannot be read: %.40s' % text)


def _find_image(directory, here, name, subset):
    for parent in (here, directory):
        for part in (os.path.join(_IMAGE_FOLDER, subset), _IMAGE_FOLDER, ''):
            path = os.path.normpath(os.path.join(parent, part, name))
            # Names in the records must not lead out of a folder that predictions are written to.
            if os.path.isfile(path) and not file_names.relative(path, directory).startswith('..'):
                return path
    raise objects.WrongObjectError('the image is missing. Export with "Save images", or put it '
                                   'into %s' % os.path.join(here, _IMAGE_FOLDER))


def _tell(counts):
    for what, count in sorted(counts.items()):
        print('%d x %s: left out%s.' % (count, what, {
            'image without a shape': ', as nobody may have looked at them yet; draw background '
            'on those that hold nothing else', 'tag': ''}.get(
                what, ", as in CVAT's own mask export")))
