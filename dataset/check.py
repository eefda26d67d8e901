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
import collections
import os
import random
import sys
import warnings
from concurrent import futures

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from common import command_line, flag_types, html, progress  # noqa: E402
from common.errors import UserError  # noqa: E402
from dataset import descriptor, voc  # noqa: E402
from dataset.checking import (conclusions, examination, inputs,  # noqa: E402
                              report)
from dataset.checking.duplicates import Duplicates  # noqa: E402
from dataset.checking.findings import CODES, Findings  # noqa: E402
from dataset.checking.statistics import SplitStatistics  # noqa: E402
from dataset.sources import folder, notes, views  # noqa: E402

NUM_OVERLAYS = 8


def parse_args(argv=None):
    """Returns the parsed flags; argparse exits with usage on a wrong one."""
    codes = '\n'.join('  %-26s%-9s%s' % ((code,) + meaning)
                      for code, meaning in CODES.items())
    parser = command_line.Parser(__doc__, epilog='codes of findings:\n' + codes)
    parser.add_argument('inputs', nargs='*', metavar='DIR_OR_TFRECORDS', type=flag_types.path,
                        help='one data set directory, or record files')
    _add_input_flags(parser)
    parser.add_argument('--max_images', type=flag_types.positive_int,
                        help='look only at the first so many images of each split')
    parser.add_argument('--workers', type=flag_types.positive_int, default=os.cpu_count() or 1,
                        help='threads that decode (default: %(default)s, one per core)')
    parser.add_argument('--accept', action='append', default=[], metavar='CODE',
                        choices=sorted(CODES),
                        help='findings of this code do not count; may be given several times')
    parser.add_argument('--json', metavar='FILE', type=flag_types.path,
                        help='write the report for programs; -: print it')
    parser.add_argument('--html', metavar='FILE', type=flag_types.path,
                        help='write one page with pictures')
    parser.add_argument('--num_overlays', type=flag_types.positive_int,
                        help='images shown in the page of --html (default %d)' % NUM_OVERLAYS)
    parser.add_argument('--seed', type=flag_types.whole_number,
                        help='which images that page shows (default 0)')
    args = parser.parse_args(argv)
    _check_args(args, parser)
    return args


def _add_input_flags(parser):
    parser.add_argument('--images', metavar='DIR', type=flag_types.path,
                        help='folder of images, before building')
    parser.add_argument('--masks', metavar='DIR', type=flag_types.path,
                        help='folder of their masks')
    parser.add_argument('--classes', metavar='FILE', type=flag_types.path,
                        help='one class name per line, class 0 first, where there is no '
                             'dataset.json (default: those of the palette, or the ids in the '
                             'masks)')
    parser.add_argument('--ignore_label', type=flag_types.whole_number,
                        help='value of pixels without class, where there is no dataset.json '
                             '(default %d)' % voc.IGNORE_LABEL)
    folder.add_pairing_flags(parser)
    views.add_flags(parser)
    parser.add_argument('--split', help='what --images are for (default train)')


def _check_args(args, parser):
    folders = [args.images, args.masks]
    if args.inputs and (any(folders) or args.list_file):
        parser.error('give either a data set, or --images and --masks, not both')
    if not all(folders) and not args.list_file and (any(folders) or not args.inputs):
        parser.error('give a data set directory, record files, or --images and --masks')
    if args.inputs and (args.split is not None or args.image_suffix or args.mask_suffix
                        or args.loose_names or args.palette or args.map_ids
                        or views.are_asked_for(args)):
        parser.error('--split, --palette, --map_ids, --image_suffix, --mask_suffix, '
                     '--loose_names and how files are read go with --images and --masks')
    if len(args.inputs) > 1 and any(os.path.isdir(path) for path in args.inputs):
        parser.error('give one directory at a time')
    if args.ignore_label is not None and not 0 <= args.ignore_label <= descriptor.LARGEST_LABEL:
        parser.error('--ignore_label %d: masks hold 0..%d'
                     % (args.ignore_label, descriptor.LARGEST_LABEL))
    for path in args.inputs + list(filter(None, folders + [args.classes, args.list_file])):
        if not os.path.exists(path):
            parser.error('%s does not exist' % path)
    for path in filter(None, folders):
        if not os.path.isdir(path):
            parser.error('%s is no folder' % path)
    _check_report_flags(args, parser)


def _check_report_flags(args, parser):
    for flag, value in (('--num_overlays', args.num_overlays), ('--seed', args.seed)):
        if value is not None and args.html is None:
            parser.error('%s has no effect without --html FILE' % flag)
    for flag, path in (('--html', args.html), ('--json', args.json)):
        if path is not None and (os.path.isdir(path) or not path or not os.path.isdir(
                os.path.dirname(os.path.abspath(path)))):
            parser.error('%s %r: give a file name in an existing folder' % (flag, path))


class Sampler:
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
        place = (self._count if self._count < self._size
                 else self._random.randrange(self._count + 1))
        self._count += 1
        return place if place < self._size else None

    def put(self, place, thing):
        """Replaces what was drawn to `place`."""
        self._drawn[place] = thing

    def drawn(self):
        """Returns what was drawn, in the order of places."""
        return [self._drawn[place] for place in sorted(self._drawn)]


def examine_all(found, args, findings):
    """Examines every example of `inputs.Inputs` and counts what there is.

    Returns:
      (dict from split to `SplitStatistics`, list of `examination.Result`s with pictures).
    """
    statistics = {split: SplitStatistics() for split, *_ in found.files + found.pairs}
    duplicates, palettes = Duplicates(), notes.Totals()
    sampler = Sampler((args.num_overlays or NUM_OVERLAYS) if args.html else 0, args.seed or 0)
    with progress.bar(total=inputs.count_images(found, args.max_images), desc='check',
                      unit='image') as bar:
        for place, result in _results(found, args, findings, sampler):
            item = result.item
            statistics[item.split].add(result)
            for code, path, text in result.problems:
                findings.add(code, text, item.split, path or item.file, item.record)
            duplicates.add(result, findings)
            palettes.add(result.notes, item.content.mask if item.record is None
                         else result.name)
            if result.picture is not None:
                # Only the name and the picture are kept, not the record.
                sampler.put(place, result._replace(item=item._replace(content=None)))
            bar.update()
    duplicates.conclude(findings)
    if palettes.differing_palettes():
        findings.add('palette_order', palettes.differing_palettes())
    return statistics, sampler.drawn()


def _results(found, args, findings, sampler):
    """Yields (place in the sampler or None, `Result`): several threads, in order, few in memory."""
    pending = collections.deque()
    with futures.ThreadPoolExecutor(args.workers) as pool:
        for item in inputs.iterate(found, args.max_images, findings):
            place = sampler.draw()
            pending.append((place, pool.submit(examination.examine, item, found.info,
                                               place is not None, found.reader)))
            if len(pending) > 2 * args.workers:
                place, future = pending.popleft()
                yield place, future.result()
        for place, future in pending:
            yield place, future.result()


def check(args):
    """Examines what the flags name. Returns `report.Report`; raises as `inputs.find`."""
    findings = Findings(args.accept)
    found = inputs.find(args, findings)
    statistics, pictures = examine_all(found, args, findings)
    info = conclusions.conclude(found, statistics, args.max_images, findings)
    return report.Report(found.title, info, found.inferred, args.max_images, statistics,
                         found.aliases, findings, pictures)


def write_reports(checked, args):
    """Prints and writes the `report.Report` in the forms that the flags ask for."""
    if args.json == '-':
        report.emit(report.as_json(checked), sys.stdout)
    elif args.json:
        html.write(report.as_json(checked), args.json)
    report.emit(report.as_text(checked), sys.stderr if args.json == '-' else sys.stdout)
    if args.html:
        html.write(report.as_html(checked), args.html)


def main(argv=None):
    """Returns the exit status."""
    args = parse_args(argv)
    try:
        with warnings.catch_warnings():
            # Pillow's notes on odd files; what matters becomes a finding.
            warnings.simplefilter('ignore')
            checked = check(args)
            write_reports(checked, args)
    except BrokenPipeError:
        # The reader of the output, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except (UserError, OSError) as error:
        report.emit('check.py: %s\n' % error, sys.stderr)
        return 2
    except KeyboardInterrupt:
        report.emit('check.py: interrupted\n', sys.stderr)
        return 130
    return 0 if checked.findings.clean() else 1


if __name__ == '__main__':
    sys.exit(main())
