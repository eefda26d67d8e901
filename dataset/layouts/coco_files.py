"""JSON files of COCO: where they are, the images that they name, their categories and splits."""
import collections
import json
import os
import re

from common.errors import UserError
from dataset.layouts import looking
from dataset.sources import file_names, folder

BACKGROUNDS = ('background', '_background_')
_JSON, _DIGITS = '.json', '0123456789'
# Label Studio's own JSON has annotations too, but within a list, or behind an id.
_HEAD = re.compile(rb'(\xef\xbb\xbf)?\s*\{(\s*"annotations"|.*"(images|categories|licenses)")'
                   rb'\s*:\s*\[', re.DOTALL)
_HEAD_BYTES = 4096
# So many files are looked at: a folder of more holds a file an image, of another tool.
_MOST_FILES = 50
_KEYS = {'images': ('id', 'file_name'), 'annotations': (), 'categories': ('id', 'name')}
_IDS = ('id', 'image_id', 'category_id')


def find(directory):
    """Returns the sorted paths of files under a folder whose heads look like COCO's."""
    found = []
    for path in looking.files_below(directory, _JSON)[:_MOST_FILES]:
        with open(path, 'rb') as head_file:
            if _HEAD.match(head_file.read(_HEAD_BYTES)):
                found.append(path)
    return found


def stem_of(path):
    """Returns the name of a file without folder and extension, in lower case."""
    return os.path.splitext(os.path.basename(path))[0].lower()


def is_panoptic(path):
    """Whether a file is of panoptic masks, by its name or the first of its segments."""
    with open(path, 'rb') as head_file:
        return 'panoptic' in stem_of(path) or b'"segments_info"' in head_file.read(_HEAD_BYTES)


def split_of(path, directory):
    """Returns the split that the name of a file or its folder below `directory` says, or None."""
    words = re.split(r'[^a-z]+', stem_of(path))
    words.append(os.path.basename(os.path.dirname(file_names.relative(path, directory)))
                 .rstrip(_DIGITS))
    return next(filter(None, map(folder.known_split, words)), None)


def joined(parts):
    """Returns parts as of `contract.Layout`, one a split; `UserError` on an image in two."""
    pairs = [(split, example) for split, examples in parts for example in examples]
    for name, count in collections.Counter(example.filename for _, example in pairs).items():
        if count > 1:
            raise UserError('%s is annotated %d times. Keep one of its entries in the JSON files, '
                            'or one of the files, or add the image that the other one means.'
                            % (name, count))
    return looking.by_split(pairs)


def load(path, keys):
    """Reads a file of COCO; its lists are there, and their entries have ids and names.

    Raises:
      UserError: it is damaged, or lacks a list.
    """
    try:
        with open(path, encoding='utf-8-sig') as json_file:
            content = json.load(json_file)
    except (OSError, ValueError) as error:
        raise UserError('%s cannot be read as JSON (%s). Export it again.' % (path, error))
    for key in keys:
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(
                isinstance(entry, dict) and set(_KEYS[key]) <= set(entry) and not any(
                    isinstance(entry.get(number), (dict, list)) for number in _IDS)
                for entry in entries):
            raise UserError('%s has no list %r as COCO defines it, with %s in each entry and '
                            'numbers for ids. Export it again as COCO, or move it elsewhere.'
                            % (path, key, ' and '.join(_KEYS[key]) or 'an object'))
    return content


def categories(content, path):
    """Returns a dict from the id of each category to its name; raises `UserError`."""
    name_of = {}
    for category in content['categories']:
        number, name = category['id'], category['name']
        if type(number) is not int or not isinstance(name, str) or number in name_of:
            raise UserError('%s: category %r has the id %r; each needs a name and an integer of '
                            'its own.' % (path, name, number))
        name_of[number] = name
    return name_of


def in_order(name_of):
    """Returns the different names by ascending id."""
    return list(collections.OrderedDict.fromkeys(name_of[number] for number in sorted(name_of)))


def images_by_id(content, path):
    """Returns a dict from id to image, in the order of the file; says what is left out.

    Raises:
      UserError: an image with annotations has no size, or two share an id.
    """
    by_id, num_unknown = collections.OrderedDict(), 0
    annotated = {annotation.get('image_id') for annotation in content['annotations']}
    for image in content['images']:
        if not isinstance(image['file_name'], str) or not isinstance(image['id'], (int, str)):
            raise UserError('%s: the image %s has the file name %r; each needs an id and a name. '
                            'Export it again.' % (path, image['id'], image['file_name']))
        size = [image.get(key) for key in ('height', 'width')]
        if size == [None, None] and image['id'] not in annotated:
            num_unknown += 1  # Label Studio's tasks without labels
            continue
        if not all(type(side) is int and side > 0 for side in size):
            raise UserError('%s: image %s has the height and width %s; give those of its file.'
                            % (path, image['file_name'], size))
        if image['id'] in by_id:
            raise UserError('%s: %s and %s share the image id %s. Export it again.' % (
                path, by_id[image['id']]['file_name'], image['file_name'], image['id']))
        by_id[image['id']] = image
    if num_unknown:
        print('%s: %d x image without size and annotation: left out.' % (path, num_unknown))
    return by_id


class Images:
    """The images under a folder, found by what JSON files call them.

    Args:
      directory: str.
    """

    def __init__(self, directory):
        self._directory, self._by_name = directory, looking.images_by_name(directory)
        self._found = set()

    def name_of(self, path):
        """Returns the path below the folder."""
        return file_names.relative(path, self._directory)

    def locate(self, name, json_path):
        """Finds the image that a file names. Returns (its path or None, what is wrong or None).

        None of another split, and none whose path does not end so, unless the name leads out of
        the folder, as that of another machine. Of several: the one whose path ends so, that lies
        beside the file, whose folder the name of the file says, or that is nearest to it.
        """
        name = file_names.composed(name.replace('\\', '/'))
        is_foreign = name.startswith(('../', '/')) or name[1:2] == ':'
        ends = '/' + (name if is_foreign else os.path.normpath(name)).lstrip('./')
        found = [path for path in self._by_name.get(os.path.basename(name), [])
                 if (is_foreign or file_names.composed(path).endswith(ends))
                 and self._is_of_split(path, split_of(json_path, self._directory))]
        subset, beside = stem_of(json_path).split('_')[-1], os.path.normpath(
            os.path.join(os.path.dirname(json_path), name))

        def nearness(path):
            return len(os.path.commonpath([path, json_path]))

        for fits in (lambda path: file_names.composed(path).endswith(ends),
                     lambda path: os.path.normpath(path) == beside,
                     lambda path: subset in path.lower().split(os.sep),
                     lambda path: nearness(path) == max(map(nearness, found))):
            if len(found) > 1:
                found = [path for path in found if fits(path)] or found
        if len(found) == 1:
            self._found.add(found[0])
            return found[0], None
        if not found:
            others = self._by_name.get(os.path.basename(name))
            return None, ('image %s is not under %s%s: give the folder that holds both, images and '
                          'JSON' % (name, self._directory, ', but for others of that name, as %s'
                                    % others[0] if others else ''))
        return None, ('image %s may be %s: keep one of them'
                      % (name, ' or '.join(sorted(found)[:2])))

    def tell_others(self):
        """Says how many images no call of `locate` found."""
        left = sorted(set().union(*self._by_name.values()) - self._found)
        if left:
            print('%d images that no JSON names are left out, as %s.' % (len(left), left[0]))

    def _is_of_split(self, path, split):
        """Whether no folder of an image is named for splits, or one for this one."""
        named = [folder.known_split(word.rstrip(_DIGITS))
                 for word in self.name_of(path).split('/')[:-1]]
        return split is None or split in named or not any(named)
