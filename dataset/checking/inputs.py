"""What dataset/check.py is to look at, and by which classes it is judged."""
import collections
import os
import re

from common.errors import UserError
from dataset import descriptor, voc
from dataset.checking import examination
from dataset.checking.duplicates import add_same_images, repeated_splits
from dataset.checking.statistics import split_order
from dataset.records import shards
from dataset.sources import (color_masks, decoding, file_names, folder, pairs, parts,
                             value_ranges, views)

RECORD_EXTENSIONS = ('.tfrecord', '.tfrecords')

# title: str. info: descriptor.DatasetInfo. inferred: bool, its classes are only
# placeholders. files: list of (split, path). pairs: list of (split, `decoding.Example`
# of files). aliases: dict from split to the split that it repeats. expected:
# dict from split to the number of records that dataset.json promises. reader: as
# `sources.contract` says, of the pairs.
Inputs = collections.namedtuple(
    'Inputs', ['title', 'info', 'inferred', 'files', 'pairs', 'aliases', 'expected', 'reader'],
    defaults=([], [], {}, {}, None))


def find(args, findings):
    """Decides what is to be read; tells `findings` what is missing. Returns `Inputs`.

    Raises:
      UserError: there is nothing to look at, or the flags contradict each other.
      OSError: a folder cannot be listed.
    """
    if args.list_file:
        examples = pairs.find(args.images, args.masks, args.list_file, args.image_suffix,
                              args.mask_suffix, args.loose_names)
        return _from_pairs(args, examples, args.list_file)
    if args.images:
        return _from_folders(args, findings)
    if not os.path.isdir(args.inputs[0]):
        return _from_files(args, args.inputs, ', '.join(args.inputs))
    directory = args.inputs[0]
    found = [os.path.join(directory, name) for name in sorted(os.listdir(directory))
             if name.endswith(RECORD_EXTENSIONS) and _is_file(os.path.join(directory, name))]
    if descriptor.exists(directory):
        try:
            info = descriptor.load(directory)
        except (UserError, OSError, RecursionError) as error:
            findings.add('dataset_json', 'It cannot be used, the record files are looked at '
                         'alone: %s' % str(error).split('\n')[0], None,
                         os.path.join(directory, descriptor.FILE_NAME))
        else:
            return _from_description(args, info, directory, found, findings)
    elif not found:
        raise UserError(
            '%s holds neither %s nor record files (*%s). To look at images and masks before '
            'building, give --images and --masks.'
            % (directory, descriptor.FILE_NAME, ', *'.join(RECORD_EXTENSIONS)))
    return _from_files(args, found, directory)


def _is_file(path):
    """`os.path.isfile`, False also for names that no file can have."""
    try:
        return os.path.isfile(path)
    except ValueError:
        return False


def _from_description(args, info, directory, found, findings):
    """The inputs that dataset.json describes; reports missing and further files."""
    if args.classes or args.ignore_label is not None:
        raise UserError('%s names the classes and the ignore label; leave out --classes and '
                        '--ignore_label' % os.path.join(directory, descriptor.FILE_NAME))
    aliases = repeated_splits(info.splits)
    files, expected = [], {}
    for split in sorted(set(info.splits) - set(aliases), key=split_order):
        expected[split] = info.splits[split]['num_examples']
        for shard in info.splits[split]['shards']:
            path = os.path.join(directory, shard)
            if _is_file(path):
                files.append((split, path))
                continue
            expected.pop(split, None)
            findings.add('shard_missing', 'dataset.json lists it, but it is not there. Build the '
                         'split again, or copy the whole directory.', split, path)
    listed = {shard for entry in info.splits.values() for shard in entry['shards']}
    for path in found:
        if os.path.basename(path) not in listed:
            findings.add('shard_unlisted', 'dataset.json does not list it, so nothing reads it. '
                         'Remove it, or build its split again.', None, path)
    for alias, split in sorted(aliases.items()):
        add_same_images(findings, alias, split)
    return Inputs(directory, info, False, files, aliases=aliases, expected=expected)


def _from_files(args, paths, title):
    """Record files without dataset.json, or some of those that one describes."""
    paths = sorted({os.path.realpath(path): path for path in paths}.values())
    # Of train-00000-of-00004.tfrecord the split is train.
    files = [(re.sub(r'-\d{5}-of-\d{5}\Z', '', os.path.splitext(os.path.basename(path))[0]), path)
             for path in paths]
    files.sort(key=lambda entry: split_order(entry[0]))
    info, inferred = _classes_of_files(args, paths)
    return Inputs(title, info, inferred, files)


def _classes_of_files(args, paths):
    """Returns (`DatasetInfo`, inferred): of flags, a dataset.json beside them, or the post."""
    if not args.classes and args.ignore_label is None:
        directories = {os.path.dirname(os.path.abspath(path)) for path in paths}
        directory = directories.pop() if len(directories) == 1 else None
        if directory and descriptor.exists(directory):
            try:
                return descriptor.load(directory), False
            except (UserError, OSError, RecursionError):
                pass  # reported, or not asked for
        if any(examination.is_raw(path) for path in paths):
            return descriptor.of_raw_records(), False
    return _classes_and_reader(args)[:2]


def _classes_and_reader(args):
    """Returns (`DatasetInfo`, inferred, reader) by --classes, --palette and --ignore_label."""
    ignore_label = voc.IGNORE_LABEL if args.ignore_label is None else args.ignore_label
    class_names, reader = folder.read_classes(args, ignore_label)
    if class_names is None:
        return examination.permissive(ignore_label), True, reader
    title = 'classes of ' + os.path.basename(args.classes or args.palette)
    colors = color_masks.colors_of(reader, len(class_names))
    return descriptor.create(title, class_names, ignore_label, colors=colors), False, reader


def _from_folders(args, findings):
    """Pairs images and masks as build_folder.py does; reports what has no partner."""
    split = args.split or 'train'
    images, masks = [
        _by_stem(side, split, findings) for side in file_names.both_sides(
            args.images, args.masks, args.image_suffix, args.mask_suffix)]
    if args.loose_names:
        image_of = file_names.match_loosely(images, masks)
        masks = {image_of[stem]: path for stem, path in masks.items()}
    for stem in sorted(set(images) - set(masks)):
        findings.add('image_without_mask', 'There is no %s.* in %s. Add the mask, or leave the '
                     'image out.' % (stem + args.mask_suffix, args.masks), split, images[stem])
    for stem in sorted(set(masks) - set(images)):
        findings.add('mask_without_image', 'There is no %s.* in %s. Add the image, or leave the '
                     'mask out.' % (stem + args.image_suffix, args.images), split, masks[stem])
    stems = sorted(set(images) & set(masks))
    if not stems:
        raise UserError('no image in %s has the name of a mask in %s; they are matched by path '
                        'and name without extension. %s' % (
                            args.images, args.masks, images and masks and pairs.hint(
                                images, masks, args.image_suffix, args.mask_suffix)
                            or 'See --image_suffix, --mask_suffix and --loose_names.'))
    return _from_pairs(args, [decoding.Example(os.path.basename(images[stem]), images[stem],
                                               masks[stem]) for stem in stems],
                       '%s, %s' % (args.images, args.masks))


def _from_pairs(args, examples, title):
    """The inputs that are given as a list of `decoding.Example`."""
    info, inferred, reader = _classes_and_reader(args)
    view = views.of_args(args)
    examples = parts.divide(examples, view, args.pages, args.tile)
    if examples and views.has_percentiles(view.value_range):
        value_range, text = value_ranges.measure(examples)
        title, examples = '%s, %s' % (title, text), value_ranges.with_range(examples, value_range)
    return Inputs(title, info, inferred, reader=reader,
                  pairs=[(args.split or 'train', example) for example in examples])


def _by_stem(side, split, findings):
    """Maps stems to paths; unlike the builder, reports stems that several files share."""
    if side.no_images:
        findings.add('no_image', '%s are left out.'
                     % file_names.describe_left_out(side.no_images), split, side.folder)
    for stem, same in sorted(side.paths.items()):
        if len(same) > 1:
            findings.add('ambiguous_name', '%s share a name, so their partner is ambiguous; the '
                         'first was taken. Keep one of them.' % ' and '.join(
                             os.path.basename(path) for path in same), split, same[0])
    return {stem: same[0] for stem, same in side.paths.items()}


def iterate(inputs, limit, findings):
    """Yields every `examination.Item` in a fixed order, `limit` (or None) per split."""
    left = collections.defaultdict(lambda: float('inf') if limit is None else limit)
    for split, example in inputs.pairs[:limit]:
        yield examination.Item(split, example.image, None, example)
    for split, path in inputs.files:
        if left[split] > 0:
            most = None if limit is None else left[split]
            for item in examination.read_shard(path, split, most, findings):
                left[split] -= 1
                yield item


def count_images(inputs, limit):
    """Returns how many images there will be, or None where a file does not say."""
    totals = collections.Counter(split for split, _ in inputs.pairs)
    try:
        for split, path in inputs.files:
            totals[split] += shards.count_records(path)
    except (UserError, UnicodeError):
        return None
    return sum(total if limit is None else min(total, limit) for total in totals.values())
