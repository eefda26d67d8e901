"""Looks for what is wrong with a data set before time is spent on training with it.

    python dataset/check.py data/mine                        a built data set
    python dataset/check.py train.tfrecords test.tfrecords   record files
    python dataset/check.py --images photos --masks masks --classes classes.txt
    python dataset/check.py data/mine --html report.html --json report.json

Every example is decoded. Takes the records of the builders and the raw ones of
the post. Exit status: 0 clean, 1 with errors or warnings, 2 when there is
nothing to look at (wrong flags or paths). Notes (info) do not count, and
--accept makes a note of a warning that is meant.
"""
import argparse
import collections
import os
import random
import re
import sys
import warnings
from concurrent import futures

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tqdm import tqdm  # noqa: E402

from common import flag_types, html  # noqa: E402
from common.errors import UserError  # noqa: E402
from dataset import build_folder, building, descriptor, voc  # noqa: E402
from dataset.checking import (check_examples, check_findings,  # noqa: E402
                              check_report)
from dataset.records import shards  # noqa: E402
from dataset.sources import pairs  # noqa: E402

RECORD_EXTENSIONS = ('.tfrecord', '.tfrecords')
NUM_OVERLAYS = 8

# title: str. info: descriptor.DatasetInfo. inferred: bool, its classes are only
# placeholders. files: list of (split, path). pairs: list of (split, image path,
# mask path). aliases: dict from split to the split that it repeats. expected:
# dict from split to the number of records that dataset.json promises. read_mask:
# as in records.write_split, of the pairs.
Inputs = collections.namedtuple(
    'Inputs', ['title', 'info', 'inferred', 'files', 'pairs', 'aliases', 'expected', 'read_mask'],
    defaults=(None,))


class UsageError(UserError):
    """Flags or paths with which there is nothing to look at."""


def parse_args(argv=None):
    """Returns the parsed flags; argparse exits with usage on a wrong one."""
    codes = '\n'.join('  %-26s%-9s%s' % ((code,) + meaning)
                      for code, meaning in check_findings.CODES.items())
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False, epilog='codes of findings:\n' + codes)
    parser.add_argument('inputs', nargs='*', metavar='DIR_OR_TFRECORDS',
                        help='one data set directory, or record files')
    _add_input_flags(parser)
    parser.add_argument('--max_images', type=flag_types.positive_int,
                        help='look only at the first so many images of each split')
    parser.add_argument('--workers', type=flag_types.positive_int, default=os.cpu_count() or 1,
                        help='threads that decode (default: %(default)s, one per core)')
    parser.add_argument('--accept', action='append', default=[], metavar='CODE',
                        choices=sorted(check_findings.CODES),
                        help='findings of this code do not count; may be given several times')
    parser.add_argument('--json', metavar='FILE', help='write the report for programs; -: print it')
    parser.add_argument('--html', metavar='FILE', help='write one page with pictures')
    parser.add_argument('--num_overlays', type=flag_types.positive_int,
                        help='images shown in the page of --html (default %d)' % NUM_OVERLAYS)
    parser.add_argument('--seed', type=int,
                        help='which images that page shows (default 0)')
    args = parser.parse_args(argv)
    try:
        _check_args(args)
    except UsageError as error:
        parser.error(str(error))
    return args


def _add_input_flags(parser):
    parser.add_argument('--images', metavar='DIR', help='folder of images, before building')
    parser.add_argument('--masks', metavar='DIR', help='folder of their masks')
    parser.add_argument('--classes', metavar='FILE',
                        help='one class name per line, class 0 first, where there is no '
                             'dataset.json (default: those of the palette, or the ids in the '
                             'masks)')
    parser.add_argument('--ignore_label', type=int,
                        help='value of pixels without class, where there is no dataset.json '
                             '(default %d)' % voc.IGNORE_LABEL)
    building.add_pairing_flags(parser)
    parser.add_argument('--split', help='what --images are for (default train)')


def _check_args(args):
    for flag, value in (('--num_overlays', args.num_overlays), ('--seed', args.seed)):
        if value is not None and args.html is None:
            raise UsageError('%s has no effect without --html FILE' % flag)
    folders = [args.images, args.masks]
    if args.inputs and (any(folders) or args.list_file):
        raise UsageError('give either a data set, or --images and --masks, not both')
    if not all(folders) and not args.list_file and (any(folders) or not args.inputs):
        raise UsageError('give a data set directory, record files, or --images and --masks')
    if args.inputs and (args.split is not None or args.image_suffix or args.mask_suffix
                        or args.palette):
        raise UsageError('--split, --palette, --image_suffix and --mask_suffix go with --images '
                         'and --masks')
    if len(args.inputs) > 1 and any(os.path.isdir(path) for path in args.inputs):
        raise UsageError('give one directory at a time')
    if args.ignore_label is not None and not 0 <= args.ignore_label <= descriptor.LARGEST_LABEL:
        raise UsageError('--ignore_label %d: masks hold 0..%d'
                         % (args.ignore_label, descriptor.LARGEST_LABEL))
    for path in args.inputs + list(filter(None, folders + [args.classes, args.list_file])):
        if not os.path.exists(path):
            raise UsageError('%s does not exist' % path)
    for path in filter(None, folders):
        if not os.path.isdir(path):
            raise UsageError('%s is no folder' % path)
    for flag, path in (('--html', args.html), ('--json', args.json)):
        if path is not None and (os.path.isdir(path) or not path or not os.path.isdir(
                os.path.dirname(os.path.abspath(path)))):
            raise UsageError('%s %r: give a file name in an existing folder' % (flag, path))


def find_inputs(args, findings):
    """Decides what is to be read and by which classes it is judged.

    Args:
      args: the flags.
      findings: `check_findings.Findings`, told what is missing.

    Returns:
      `Inputs`.

    Raises:
      UsageError: there is nothing to look at.
      UserError: the flags contradict each other.
      OSError: a folder cannot be listed.
    """
    if args.list_file:
        examples = pairs.find(args.images, args.masks, args.list_file, args.image_suffix,
                              args.mask_suffix)
        return _from_pairs(args, [(example.image, example.mask) for example in examples],
                           args.list_file)
    if args.images:
        return _from_folders(args, findings)
    if not os.path.isdir(args.inputs[0]):
        return _from_files(args, args.inputs, ', '.join(args.inputs))
    directory = args.inputs[0]
    names = sorted(os.listdir(directory))
    found = [os.path.join(directory, name) for name in names
             if name.endswith(RECORD_EXTENSIONS) and is_file(os.path.join(directory, name))]
    if descriptor.exists(directory):
        info = _load(directory, findings)
        if info is not None:
            return _from_description(args, info, directory, found, findings)
    elif not found:
        raise UsageError(
            '%s holds neither %s nor record files (*%s). To look at images and masks before '
            'building, give --images and --masks.'
            % (directory, descriptor.FILE_NAME, ', *'.join(RECORD_EXTENSIONS)))
    return _from_files(args, found, directory)


def is_file(path):
    """`os.path.isfile`, False also for names that no file can have."""
    try:
        return os.path.isfile(path)
    except ValueError:
        return False


def _load(directory, findings):
    """Returns dataset.json's `DatasetInfo`, or None after reporting why there is none."""
    try:
        return descriptor.load(directory)
    except (UserError, OSError, RecursionError) as error:
        findings.add('dataset_json', 'It cannot be used, the record files are looked at alone: %s'
                     % str(error).split('\n')[0], None,
                     os.path.join(directory, descriptor.FILE_NAME))
        return None


def _from_description(args, info, directory, found, findings):
    """The inputs that dataset.json describes; reports missing and further files."""
    if args.classes or args.ignore_label is not None:
        raise UsageError('%s names the classes and the ignore label; leave out --classes and '
                         '--ignore_label' % os.path.join(directory, descriptor.FILE_NAME))
    aliases = check_findings.aliases(info.splits)
    files, expected = [], {}
    for split in sorted(set(info.splits) - set(aliases), key=check_findings.split_order):
        expected[split] = info.splits[split]['num_examples']
        for shard in info.splits[split]['shards']:
            path = os.path.join(directory, shard)
            if is_file(path):
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
        check_findings.add_same_images(findings, alias, split)
    return Inputs(directory, info, False, files, [], aliases, expected)


def _from_files(args, paths, title):
    """Record files without dataset.json, or some of those that one describes."""
    paths = sorted({os.path.realpath(path): path for path in paths}.values())
    files = [(split_of(path), path) for path in paths]
    files.sort(key=lambda entry: check_findings.split_order(entry[0]))
    info, inferred = _classes_of_files(args, paths)
    return Inputs(title, info, inferred, files, [], {}, {})


def _classes_of_files(args, paths):
    """Returns (`DatasetInfo`, inferred): of flags, a dataset.json beside them, or the post."""
    if args.classes:
        return _given_classes(args)
    directories = {os.path.dirname(os.path.abspath(path)) for path in paths}
    directory = directories.pop() if len(directories) == 1 else None
    if args.ignore_label is None and directory and descriptor.exists(directory):
        try:
            return descriptor.load(directory), False
        except (UserError, OSError, RecursionError):
            pass  # reported, or not asked for
    if args.ignore_label is None and any(check_examples.is_raw(path) for path in paths):
        return descriptor.create('PASCAL VOC 2012, raw records of the post', voc.CLASS_NAMES,
                                 voc.IGNORE_LABEL), False
    return _given_classes(args)


def _given_classes(args):
    """Returns (`DatasetInfo`, inferred) by --classes and --ignore_label."""
    return _classes_and_reader(args)[:2]


def _classes_and_reader(args):
    """Returns (`DatasetInfo`, inferred, read_mask) by --classes, --palette and --ignore_label."""
    ignore_label = voc.IGNORE_LABEL if args.ignore_label is None else args.ignore_label
    class_names, read_mask = build_folder.read_classes(args.classes, args.palette, ignore_label)
    if class_names is None:
        return check_examples.permissive(ignore_label), True, None
    title = 'classes of ' + os.path.basename(args.classes or args.palette)
    return descriptor.create(title, class_names, ignore_label), False, read_mask


def split_of(path):
    """Returns the split that a record file is named after: train of train-00000-of-00004."""
    stem = os.path.splitext(os.path.basename(path))[0]
    return re.sub(r'-\d{5}-of-\d{5}\Z', '', stem)


def _from_folders(args, findings):
    """Pairs images and masks as build_folder.py does; reports what has no partner."""
    split = args.split or 'train'
    images = _by_stem(args.images, args.image_suffix, split, findings)
    masks = _by_stem(args.masks, args.mask_suffix, split, findings)
    for stem in sorted(set(images) - set(masks)):
        findings.add('image_without_mask', 'There is no %s.* in %s. Add the mask, or leave the '
                     'image out.' % (stem + args.mask_suffix, args.masks), split, images[stem])
    for stem in sorted(set(masks) - set(images)):
        findings.add('mask_without_image', 'There is no %s.* in %s. Add the image, or leave the '
                     'mask out.' % (stem + args.image_suffix, args.images), split, masks[stem])
    stems = sorted(set(images) & set(masks))
    if not stems:
        raise UsageError('no image in %s has the name of a mask in %s; they are matched by path '
                         'and name without extension, see --image_suffix and --mask_suffix'
                         % (args.images, args.masks))
    return _from_pairs(args, [(images[stem], masks[stem]) for stem in stems],
                       '%s, %s' % (args.images, args.masks))


def _from_pairs(args, paths, title):
    """The inputs that are given as a list of (image path, mask path)."""
    info, inferred, read_mask = _classes_and_reader(args)
    split = args.split or 'train'
    return Inputs(title, info, inferred, [], [(split,) + pair for pair in paths], {}, {},
                  read_mask)


def _by_stem(folder, suffix, split, findings):
    """Maps stems to paths; unlike the builder, reports stems that several files share."""
    paths, _ = pairs.group_by_stem(folder, suffix)
    for stem, same in sorted(paths.items()):
        if len(same) > 1:
            findings.add('ambiguous_name', '%s share a name, so their partner is ambiguous; the '
                         'first was taken. Keep one of them.' % ' and '.join(
                             os.path.basename(path) for path in same), split, same[0])
    return {stem: same[0] for stem, same in paths.items()}


def items(inputs, limit, findings):
    """Yields every `check_examples.Item` in a fixed order, `limit` (or None) per split."""
    left = collections.defaultdict(lambda: float('inf') if limit is None else limit)
    for split, image_path, mask_path in inputs.pairs[:limit]:
        yield check_examples.Item(split, image_path, None, (image_path, mask_path))
    for split, path in inputs.files:
        if left[split] > 0:
            most = None if limit is None else left[split]
            for item in check_examples.read_shard(path, split, most, findings):
                left[split] -= 1
                yield item


def total_images(inputs, limit):
    """Returns how many images there will be, or None where a file does not say."""
    totals = collections.Counter(split for split, _, _ in inputs.pairs)
    try:
        for split, path in inputs.files:
            totals[split] += shards.count_records(path)
    except (UserError, UnicodeError):
        return None
    return sum(total if limit is None else min(total, limit) for total in totals.values())


class Sampler(object):
    """Draws `size` of a stream of unknown length, each with the same chance.

    Args:
      size: int, 0 to draw none.
      seed: int.
    """

    def __init__(self, size, seed):
        self._size, self._count, self._random = size, 0, random.Random(seed)
        self._drawn = {}

    def draw(self):
        """Returns the place that the next of the stream takes, or None."""
        place = self._count if self._count < self._size else self._random.randrange(
            self._count + 1) if self._size else None
        self._count += 1
        return place if place is not None and place < self._size else None

    def put(self, place, thing):
        """Replaces what was drawn to `place`."""
        self._drawn[place] = thing

    def drawn(self):
        """Returns what was drawn, in the order of places."""
        return [self._drawn[place] for place in sorted(self._drawn)]


def examine_all(inputs, args, findings):
    """Examines every example on several threads, in order, with few in memory at a time.

    Args:
      inputs: `Inputs`.
      args: the flags.
      findings: `check_findings.Findings` to add to.

    Returns:
      (dict from split to `SplitStatistics`, list of `Result`s with pictures).
    """
    statistics = {split: check_findings.SplitStatistics()
                  for split, *_ in inputs.files + inputs.pairs}
    duplicates = check_findings.Duplicates()
    sampler = Sampler((args.num_overlays or NUM_OVERLAYS) if args.html else 0, args.seed or 0)

    def take(place, result):
        item = result.item
        statistics[item.split].add(result)
        for code, path, text in result.problems:
            findings.add(code, text, item.split, path or item.file, item.record)
        duplicates.add(result, findings)
        if result.picture is not None:
            # Only the name and the picture are kept, not the record.
            sampler.put(place, result._replace(item=item._replace(content=None)))

    pending = collections.deque()
    with futures.ThreadPoolExecutor(args.workers) as pool, tqdm(
            total=total_images(inputs, args.max_images), desc='check', unit='image') as progress:
        for item in items(inputs, args.max_images, findings):
            place = sampler.draw()
            pending.append((place, pool.submit(check_examples.examine, item, inputs.info,
                                               place is not None, inputs.read_mask)))
            while len(pending) > 2 * args.workers:
                place, future = pending.popleft()
                take(place, future.result())
                progress.update()
        for place, future in pending:
            take(place, future.result())
            progress.update()
    duplicates.conclude(findings)
    return statistics, sampler.drawn()


def _check_counts(inputs, statistics, findings):
    """Compares the number of records with dataset.json's, where all were read."""
    for split, expected in sorted(inputs.expected.items()):
        found = statistics[split].num_records if split in statistics else 0
        unread = any(findings.concern(code, split)
                     for code in ('record_damaged', 'shard_unreadable'))
        if found != expected and not unread:
            findings.add('record_count', 'The files hold %d records, but dataset.json says %d. '
                         'Build the split again, or copy the whole directory.'
                         % (found, expected), split)


def check(args):
    """Examines what the flags name.

    Args:
      args: the flags.

    Returns:
      `check_report.Report`.

    Raises:
      UsageError, UserError, OSError: as `find_inputs`.
    """
    findings = check_findings.Findings(args.accept)
    inputs = find_inputs(args, findings)
    statistics, pictures = examine_all(inputs, args, findings)
    partial = args.max_images is not None
    if partial:
        findings.add('partial_look', 'Looked at no more than the first %d images of each split: '
                     'the number of records and classes without pixels were not judged, and '
                     'damage further on was not seen.' % args.max_images)
    else:
        _check_counts(inputs, statistics, findings)
    info = inputs.info
    if inputs.inferred:
        info = _as_seen(info, statistics)
        findings.add('classes_inferred', 'No list of classes was given: the masks are taken to '
                     'have %d. Give --classes to have their ids checked.'
                     % info.number_of_classes)
    check_findings.conclude(statistics, info, inputs.inferred, partial, findings)
    return check_report.Report(inputs.title, info, inputs.inferred, args.max_images, statistics,
                               inputs.aliases, findings, pictures)


def _as_seen(info, statistics):
    """`info` with as many classes as the largest id in the masks asks for."""
    largest = 0
    for counts in statistics.values():
        seen = [int(label) for label in counts.class_pixels.nonzero()[0]
                if label != info.ignore_label]
        largest = max(seen + [largest])
    return descriptor.create(info.name, info.class_names[:largest + 1], info.ignore_label)


def write_reports(report, args):
    """Prints and writes the report in the forms that the flags ask for."""
    if args.json == '-':
        check_report.emit(check_report.as_json(report), sys.stdout)
        check_report.emit(check_report.as_text(report), sys.stderr)
    else:
        check_report.emit(check_report.as_text(report), sys.stdout)
    if args.json and args.json != '-':
        html.write(check_report.as_json(report), args.json)
    if args.html:
        html.write(check_report.as_html(report), args.html)


def main(argv=None):
    """Returns the exit status."""
    args = parse_args(argv)
    try:
        with warnings.catch_warnings():
            # Pillow's notes on odd files; what matters becomes a finding.
            warnings.simplefilter('ignore')
            report = check(args)
            write_reports(report, args)
    except BrokenPipeError:
        # The reader of the output, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except (UsageError, UserError, OSError) as error:
        check_report.emit('check.py: %s\n' % error, sys.stderr)
        return 2
    except KeyboardInterrupt:
        check_report.emit('check.py: interrupted\n', sys.stderr)
        return 130
    return 0 if report.findings.clean() else 1


if __name__ == '__main__':
    sys.exit(main())
