"""Label Studio's JSON export: tasks with brushes, polygons, rectangles and ellipses.

Images are found by their names, with the hash that uploads get before theirs or without it; those
that were no uploads by their folders too. Of several annotations of a task the first that was not
cancelled counts. Classes are the labels that occur, sorted, after background; what comes later in
a task lies above.
"""
import collections
import json
import os
import re
import urllib.parse

from common.errors import UserError
from dataset import voc
from dataset.layouts import contract, looking, objects
from dataset.sources import decoding, file_names, folder

NAME = 'label-studio'
_JSON = '.json'
_PNG = re.compile(r'task-\d+-annotation-\d+-by-')
_UPLOAD_HASH = re.compile(r'[0-9a-f]{8}-')  # a date looks like it
_LOCAL_FILES, _UPLOADS, _IMAGES = '/data/local-files/', '/upload/', 'images'
_MIN = re.compile(rb'\s*\[.*("annotator"|labels"\s*:|"rle"\s*:)', re.DOTALL)  # of JSON-MIN


def recognize(directory):
    """See `contract`."""
    for head in looking.heads(directory, _JSON):
        if head.lstrip()[:1] == b'[' and b'"annotations"' in head and (
                b'"completed_by"' in head or b'"result"' in head) or (
                    b'"annotations"' not in head and _MIN.match(head)):
            return ("Label Studio's JSON: brushes, polygons, rectangles and ellipses are drawn in "
                    'their order, the rest is background')
    if any(_PNG.match(name) for name in os.listdir(directory)):
        return "Label Studio's brush labels as PNG or NPY"
    return None


def read(directory, args):
    """Returns `contract.Layout`; raises `UserError` on files that do not fit."""
    paths = looking.files_below(directory, _JSON)
    if not paths:
        raise UserError('%s holds no JSON. Masks as PNG or NPY (task-1-annotation-1-...) do not '
                        'say of which image they are: export "JSON" instead, and put the images '
                        'beside it.' % directory)
    tasks = [(path, task) for path in paths for task in _tasks(path)]
    examples, labels, problems, counts = {}, set(), [], collections.Counter()
    images = _Images(directory, [task['data'] for _, task in tasks])
    for path, task in tasks:
        try:
            example, names = _example(task, path, images, counts)
        except objects.WrongObjectError as error:
            problems.append('%s, task %s: %s' % (path, task.get('id'), error))
            continue
        if example is None:
            continue
        # Predictions are stored by stem.
        stem = os.path.splitext(example.filename)[0]
        if stem in examples:
            problems.append('%s, task %s: %s, or an image that differs by the extension alone, is '
                            'there twice; keep one task'
                            % (path, task.get('id'), example.filename))
            continue
        examples[stem] = example
        labels.update(names)
    looking.refuse(problems, 'tasks of Label Studio', args.skip_bad)
    for what, count in sorted(counts.items()):
        print('%d x %s.' % (count, what))
    return contract.Layout(
        looking.by_folder(directory, examples.values(), lambda example: example.image),
        [contract.BACKGROUND] + sorted(labels - {contract.BACKGROUND}), voc.IGNORE_LABEL,
        objects.read_mask)


def _tasks(path):
    """Returns the tasks of a file, list of dicts; none of another JSON.

    Raises:
      UserError: it is damaged, or JSON-MIN.
    """
    try:
        with open(path, encoding='utf-8-sig') as json_file:
            content = json.load(json_file)
    except ValueError as error:
        raise UserError('%s is no JSON (%s). Export it again from Label Studio.' % (path, error))
    entries = [entry for entry in (content if isinstance(content, list) else ())
               if isinstance(entry, dict)]
    if any('annotator' in entry and 'data' not in entry for entry in entries):
        raise UserError('%s is JSON-MIN of Label Studio, which is not read. Export "JSON" instead.'
                        % path)
    return [task for task in entries if isinstance(task.get('data'), dict)]


def _example(task, path, images, counts):
    """Returns (`decoding.Example` or None of a task without annotation, names of classes).

    Raises:
      objects.WrongObjectError: the image is missing, or a region does not fit.
    """
    annotations = [annotation for annotation in task.get('annotations') or ()
                   if not annotation.get('was_cancelled')]
    if not annotations:
        counts['task without annotation, left out'] += 1
        return None, ()
    if len(annotations) > 1:
        counts['task with several annotations, of which the first was taken'] += 1
    found, size = [], None
    for region in annotations[0].get('result') or ():
        entry = _region(region, counts)
        if entry:
            size = size or entry[:2]
            if size != entry[:2]:
                raise objects.WrongObjectError('its regions are of images of different sizes')
            found.append(entry[2:])
    image = images.find(task['data'], counts)
    return (decoding.Example(file_names.relative(image, images.directory), image,
                             objects.encode(size, found, path)),
            [entry[0] for entry in found])


def _region(region, counts):
    """Returns (height, width, class name, kind, numbers), or None of what has no area."""
    value = region.get('value') or {}
    names = next((value[key] for key in value if key.endswith('labels')), None)
    if not names:  # the shape of a region whose labels are an entry of their own, or a choice
        return None
    what = 'region %s (%s)' % (region.get('id'), ', '.join(map(str, names)))
    if len(names) > 1:
        raise objects.WrongObjectError('%s has several labels: keep one' % what)
    if region.get('image_rotation'):
        raise objects.WrongObjectError('%s was drawn on an image turned by %s degrees: turn the '
                                       'file itself, and label it again'
                                       % (what, region['image_rotation']))
    height, width = region.get('original_height'), region.get('original_width')
    if not (type(height) is type(width) is int and min(height, width) > 0):
        raise objects.WrongObjectError('%s does not say the size of its image: export again'
                                       % what)
    try:
        kind, numbers = _numbers(value, height, width)
        if kind:
            objects.check(kind, numbers, height, width)
    except objects.WrongObjectError as error:
        raise objects.WrongObjectError('%s %s' % (what, error))
    except (KeyError, TypeError, ValueError) as error:
        raise objects.WrongObjectError('%s cannot be read (%s: %s)'
                                       % (what, type(error).__name__, error))
    if not kind:
        counts['%s, which has no area, left out' % region.get('type')] += 1
        return None
    return height, width, names[0], kind, numbers


def _numbers(value, height, width):
    """Returns (kind or None, list of numbers) as `objects` has them; `value` is in percent."""
    def across(number):
        return number * width / 100

    def down(number):
        return number * height / 100

    if 'rle' in value:
        return 'brush', list(value['rle'])
    if 'points' in value:
        return 'polygon', [number for x, y in value['points'] for number in (across(x), down(y))]
    degrees = value.get('rotation') or 0
    if 'radiusX' in value:
        return 'ellipse', [across(value['x']), down(value['y']), across(value['radiusX']),
                           down(value['radiusY']), degrees]
    if 'height' not in value:
        return None, ()
    left, top = across(value['x']), down(value['y'])
    # Label Studio turns a rectangle about its upper left corner.
    return 'polygon', objects.box_corners(
        left, top, left + across(value['width']), top + down(value['height']), degrees,
        (left, top))


def _texts_of(data):
    """Returns what names images in a task's data, a list of str."""
    if isinstance(data.get('image'), str):
        return [data['image']]
    return [text for _, text in sorted(data.items()) if isinstance(text, str) and (
        file_names.is_image_extension(
            os.path.splitext(urllib.parse.urlsplit(text).path)[1].lower())
        or text.startswith(_LOCAL_FILES))]


def _path_in(text):
    """Returns (the path that a text names, whether it was uploaded)."""
    parts = urllib.parse.urlsplit(text)
    path = parts.path
    if path.startswith(_LOCAL_FILES):
        path = urllib.parse.parse_qs(parts.query).get('d', [''])[0]
    path = file_names.composed(urllib.parse.unquote(path).replace('\\', '/')).strip('/')
    return path, _UPLOADS in '/' + parts.path


class _Images:
    """The images under a folder, found by what tasks call them; `data` is that of all tasks."""

    def __init__(self, directory, data):
        self.directory, self._by_name = directory, looking.images_by_name(directory)
        self._folders = {os.path.basename(os.path.dirname(path))
                         for paths in self._by_name.values() for path in paths}
        self._asked = collections.Counter(os.path.basename(path) for path in {
            _path_in(text)[0] for entry in data for text in _texts_of(entry)})
        # As uploads are stored, which is get_valid_filename of Django.
        self._by_stored_name = collections.defaultdict(list)
        for name, paths in self._by_name.items():
            self._by_stored_name[re.sub(r'[^-\w.]', '', name.replace(' ', '_'))] += paths

    def find(self, data, counts):
        """Returns the path of a file; raises `objects.WrongObjectError` unless there is one."""
        texts = _texts_of(data)
        if len(texts) != 1:
            raise objects.WrongObjectError('its data names %d images, and one is needed'
                                           % len(texts))
        path, is_upload = _path_in(texts[0])
        name = os.path.basename(path)
        found = there = self._by_name.get(name, ())
        if is_upload:
            found = found or self._by_stored_name.get(_UPLOAD_HASH.sub('', name, 1), ())
        else:
            found = self._in_its_folders(found, path)
            if not found and len(there) == self._asked[name] == 1 and (
                    os.path.basename(os.path.dirname(path)) not in self._folders):
                counts['image of another folder than its task says, taken by its name'] += 1
                found = there
        if len(found) > 1:
            raise objects.WrongObjectError('%s is there several times: %s; keep one'
                                           % (name, ', '.join(found)))
        if found:
            return found[0]
        raise objects.WrongObjectError('the image %s is missing: put it beside the JSON%s' % (
            name if is_upload else path, ', or into folders of these names: %s is of others'
            % there[0] if there else ''))

    def _in_its_folders(self, found, path):
        """Returns the files that have the most folders of a path, and none that it lacks."""
        wanted, scores = path.split('/')[::-1], {}
        for candidate in found:
            below = file_names.relative(candidate, self.directory).split('/')
            while len(below) > 1 and (below[0] == _IMAGES or folder.known_split(below[0])):
                below = below[1:]
            whole = file_names.composed(os.path.abspath(candidate)).split(os.sep)[::-1]
            shared = len(os.path.commonprefix([whole, wanted]))
            # Without a folder a name that is asked for twice may mean either.
            if shared >= min(len(below), len(wanted)) and (
                    shared > 1 or self._asked[wanted[0]] == 1 or below == wanted):
                scores[candidate] = shared
        return [candidate for candidate in scores if scores[candidate] == max(scores.values())]
