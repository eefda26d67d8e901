"""The immutable description of a data set, kept beside its records as dataset.json.

Builders write it, `train.py` and `test.py` read it: class names, the ignore
label and split sizes are written down nowhere else.
"""
import collections
import hashlib
import json
import os

from common import files
from common.errors import UserError
from common.interpreter import command
from dataset import voc
from dataset.records import raw_records
from dataset.sources import id_maps

FILE_NAME = 'dataset.json'
FORMAT_VERSION = 1

_JSON_STYLE = {'indent': 2, 'sort_keys': True, 'ensure_ascii': False}

# Label maps are stored as 8-bit images.
LARGEST_LABEL = 255

# name: str. class_names: tuple of str, position is class id. number_of_classes:
# int. ignore_label: int, outside 0..number_of_classes - 1. splits: dict from
# split name to {'num_examples': int, 'shards': [file name in the directory]}.
# colors: None, or tuple of (red, green, blue), the data set's own, by class id;
# `palette.of` gives those of any. bands, value_range: None, or what images were made RGB with, as
# in `sources.views.View`.
DatasetInfo = collections.namedtuple(
    'DatasetInfo', ['name', 'class_names', 'number_of_classes', 'ignore_label', 'splits',
                    'colors', 'bands', 'value_range'], defaults=[None] * 3)

# Not in files that do without, nor in fingerprints: a run goes on where they were added.
LATER_FIELDS = ('colors', 'bands', 'value_range')

_HOW_TO_BUILD = '''Build one first, in one of these ways:
  %s --voc_root VOCdevkit/VOC2012 --output_dir DIR
      and with --sbd_root benchmark_RELEASE/dataset the post's split
  %s EXPORT --output_dir DIR
      what a labelling tool or a public data set has in the folder EXPORT; of folders of your own
      with --images DIR --masks DIR --classes FILE --validation_fraction 0.2 in its place
  %s --output_dir DIR'''


def create(name, class_names, ignore_label, splits=None, colors=None, bands=None,
           value_range=None):
    """Makes a validated `DatasetInfo`.

    Args:
      name: str, free text shown in reports.
      class_names: sequence of str; position is class id.
      ignore_label: int, the label of pixels without class, 0..255.
      splits: dict as in `DatasetInfo`, or None for no split yet.
      colors: sequence of (red, green, blue), ints in 0..255, one a class; or None.
      bands, value_range: sequences as in `DatasetInfo`, or None.

    Returns:
      `DatasetInfo`.

    Raises:
      UserError: a value is of the wrong type or contradicts another.
    """
    _check_classes(class_names, ignore_label)
    if not isinstance(name, str) or not name:
        raise UserError('name is %r; it must be a non-empty text.' % (name,))
    splits = {} if splits is None else splits
    if not isinstance(splits, dict):
        raise UserError('splits is %r; it must map split names to shards.' % (splits,))
    for split, entry in splits.items():
        _check_split(split, entry)
    return DatasetInfo(name, tuple(class_names), len(class_names), ignore_label, splits,
                       None if colors is None else _checked_colors(colors, len(class_names)),
                       _checked_numbers('bands', bands, (1, 3)),
                       _checked_numbers('value_range', value_range, (2,)))


def _check_classes(class_names, ignore_label):
    if (not isinstance(class_names, (list, tuple)) or not class_names
            or not all(isinstance(name, str) and name for name in class_names)):
        raise UserError('class_names is %r; it must list at least one non-empty name.'
                        % (class_names,))
    repeated = sorted(name for name, count in collections.Counter(class_names).items()
                      if count > 1)
    if repeated:
        raise UserError('These class names occur more than once: %s. '
                        'Each class needs a name of its own.' % ', '.join(repeated))
    if len(class_names) > LARGEST_LABEL:
        raise UserError(
            '%d classes are too many: label maps have 8 bits, which leaves %d classes and '
            'the ignore label.' % (len(class_names), LARGEST_LABEL))
    if (not isinstance(ignore_label, int) or isinstance(ignore_label, bool)
            or not len(class_names) <= ignore_label <= LARGEST_LABEL):
        raise UserError(
            'ignore_label is %r, but class ids take 0..%d; choose a value in %d..%d.%s'
            % (ignore_label, len(class_names) - 1, len(class_names), LARGEST_LABEL,
               _advice_on_void(ignore_label, class_names)))


def _advice_on_void(label, class_names):
    if label not in range(len(class_names)):
        return ''
    is_listed = class_names[label].strip().lower() in id_maps.VOID_NAMES
    return (' If masks hold void as %d, leave out --ignore_label, give %s to build_folder.py, and '
            'have no line for void in --classes.'
            % (label, id_maps.without({label}, len(class_names) + (not is_listed))))


def _checked_colors(colors, number_of_classes):
    if (not isinstance(colors, (list, tuple)) or len(colors) != number_of_classes
            or not all(isinstance(color, (list, tuple)) and len(color) == 3
                       and all(type(channel) is int and 0 <= channel <= 255 for channel in color)
                       for color in colors)
            or len(set(map(tuple, colors))) != number_of_classes):
        raise UserError('colors is %r; it must list %d different [red, green, blue] of integers '
                        '0..255, one a class.' % (colors, number_of_classes))
    return tuple(map(tuple, colors))


def _checked_numbers(name, values, lengths):
    if values is None:
        return None
    if (not isinstance(values, (list, tuple)) or len(values) not in lengths
            or not all(type(value) in (int, float) for value in values)):
        raise UserError('%s is %r; it must list %s numbers.'
                        % (name, values, ' or '.join(map(str, lengths))))
    return tuple(values)


def _check_split(split, entry):
    if not isinstance(entry, dict) or set(entry) != {'num_examples', 'shards'}:
        raise UserError('Split %r must hold num_examples and shards, not %r.'
                        % (split, entry))
    count, shards = entry['num_examples'], entry['shards']
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise UserError('Split %r: num_examples is %r; it must be a positive integer.'
                        % (split, count))
    if (not isinstance(shards, list) or not shards or len(set(map(str, shards))) != len(shards)
            or not all(isinstance(shard, str) and shard and shard == os.path.basename(shard)
                       for shard in shards)):
        raise UserError(
            'Split %r: shards is %r; it must list different file names of this directory.'
            % (split, shards))


def exists(dataset_dir):
    """Whether `dataset_dir` holds a dataset.json. Returns bool."""
    return os.path.isfile(os.path.join(dataset_dir, FILE_NAME))


def load(dataset_dir):
    """Reads and checks the dataset.json of a directory that one of the builders wrote.

    A directory without it that holds `train.tfrecords`, `validation.tfrecords` or
    `test.tfrecords` is taken for the raw records of the post's code: VOC's 21
    classes and ignore label.

    Returns:
      `DatasetInfo`.

    Raises:
      UserError: no dataset.json, no JSON, a missing or unknown key, an
        unknown format version, or values that contradict each other.
    """
    path = os.path.join(dataset_dir, FILE_NAME)
    if not exists(dataset_dir):
        if raw_records.present(dataset_dir):
            return of_raw_records(raw_records.splits(dataset_dir))
        raise UserError('There is no %s in %s. %s'
                        % (FILE_NAME, os.path.abspath(dataset_dir), _HOW_TO_BUILD % tuple(
                            command('dataset/build_%s.py' % source)
                            for source in ('voc2012', 'folder', 'shapes'))))
    try:
        values = files.read_json(path)
    except UserError as error:
        raise UserError('%s Build the data set again.' % error)
    try:
        return _from_json(values)
    except UserError as error:
        raise UserError('%s: %s' % (path, error))


def of_raw_records(splits=None):
    """Returns the `DatasetInfo` that stands for the raw records of the post's code."""
    return create('PASCAL VOC 2012, raw records of the post', voc.CLASS_NAMES, voc.IGNORE_LABEL,
                  splits)


def _from_json(values):
    if not isinstance(values, dict):
        raise UserError('it must hold one JSON object, not %r.' % (values,))
    expected = set(DatasetInfo._fields) | {'format_version'}
    missing = sorted(expected - set(values) - set(LATER_FIELDS))
    unknown = sorted(set(values) - expected)
    if missing or unknown:
        raise UserError('missing keys: %s; unknown keys: %s.'
                        % (', '.join(missing) or 'none', ', '.join(unknown) or 'none'))
    if values['format_version'] != FORMAT_VERSION:
        raise UserError(
            'format_version is %r, this code reads %d. Build the data set again.'
            % (values['format_version'], FORMAT_VERSION))
    info = create(values['name'], values['class_names'], values['ignore_label'],
                  values['splits'], *(values.get(field) for field in LATER_FIELDS))
    if info.number_of_classes != values['number_of_classes']:
        raise UserError('number_of_classes is %r, but class_names lists %d.'
                        % (values['number_of_classes'], info.number_of_classes))
    if not info.splits:
        raise UserError('it names no split. Build the data set again.')
    return info


def save(info, dataset_dir):
    """Writes `info`, with at least one split, as dataset.json; readers see the old or the new file.

    Raises:
      UserError: `info` is not valid.
    """
    values = dict(info._asdict(), class_names=list(info.class_names),
                  format_version=FORMAT_VERSION)
    for field in LATER_FIELDS:
        if values[field] is None:
            del values[field]
    _from_json(values)
    files.write_json(values, os.path.join(dataset_dir, FILE_NAME), **_JSON_STYLE)


def shard_paths(info, dataset_dir, split):
    """Lists the record files of one split of the directory that `info` was loaded from.

    Returns:
      List of str, paths of existing files, in the order they were written.

    Raises:
      UserError: unknown split, or a shard that is not there.
    """
    if split not in info.splits:
        raise UserError('%s has no split %r; it has: %s.'
                        % (os.path.abspath(dataset_dir), split,
                           ', '.join(sorted(info.splits)) or 'none'))
    paths = [os.path.join(dataset_dir, shard) for shard in info.splits[split]['shards']]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise UserError(
            '%d of the %d files of split %r are missing, the first is %s. '
            'Build the split again, or copy the whole directory.'
            % (len(missing), len(paths), split, missing[0]))
    return paths


def fingerprint(dataset_dir):
    """Hashes what identifies a built data set, for a run's config, as 64 hexadecimal digits.

    Covers the bytes of dataset.json, where there is one, less its `LATER_FIELDS`, and each
    shard's name and size, not the shards' contents: a run on 10 GB of records starts without
    reading them. Raises as `load` and `shard_paths`.
    """
    info = load(dataset_dir)
    digest = hashlib.sha256()
    if exists(dataset_dir):
        with open(os.path.join(dataset_dir, FILE_NAME), 'rb') as json_file:
            content = json_file.read()
        if any(getattr(info, field) is not None for field in LATER_FIELDS):
            values = json.loads(content.decode())
            for field in LATER_FIELDS:
                values.pop(field, None)
            content = (json.dumps(values, **_JSON_STYLE) + '\n').encode()
        digest.update(content)
    paths = {path for split in info.splits for path in shard_paths(info, dataset_dir, split)}
    for path in sorted(paths):
        digest.update(('\n%s %d' % (os.path.basename(path), os.path.getsize(path))).encode())
    return digest.hexdigest()
