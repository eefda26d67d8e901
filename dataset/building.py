"""What the builders share: from the flags to the records of each split, its table, the end."""
import os
import re
import sys

from common import command_line, flag_types, scripts
from common.interpreter import ROOT, command
from dataset import descriptor
from dataset.records import publishing, writing
from dataset.sources import decoding, value_ranges

# Where resnet/download.py puts what the recipe finetune begins with.
IMAGENET_WEIGHTS = os.path.join(ROOT, 'resnet', 'checkpoints', 'resnet_v2_50')

_ABOUT_MASKS = re.compile('--(classes|ignore_label|map_ids|palette)|the palette')


def parse_args(source, description, argv=None, made_on_the_fly=False):
    """Returns the parsed flags; argparse exits with usage on a wrong one.

    Args:
      source: a module as `dataset.sources.contract` describes it.
      description: str, what --help begins with.
      argv: list of str, or None for those of the process.
      made_on_the_fly: bool, whether the examples come from an iterator, for which the flags of
        writing have no use.
    """
    parser = command_line.Parser(description)
    source.add_flags(parser)
    if made_on_the_fly:
        parser.set_defaults(num_shards=4, num_workers=1, skip_bad=False)
    else:
        _add_writing_flags(parser)
    args = parser.parse_args(argv)
    source.check_flags(args, parser)
    return args


def _add_writing_flags(parser):
    parser.add_argument('--num_shards', type=flag_types.positive_int, default=4,
                        help='number of files to spread a split over (default %(default)s)')
    parser.add_argument('--num_workers', type=flag_types.positive_int, default=None,
                        help='processes that check and encode (default: by the cores there are)')
    parser.add_argument('--skip_bad', action='store_true',
                        help='leave out files that fail a check, and list them, instead of '
                             'stopping')


def run(source, args):
    """Builds what the flags describe; what a user can mend, or Ctrl-C, ends it with one message."""
    if hasattr(sys.stdout, 'reconfigure'):  # notebooks put something else there
        # Names of files need not be UTF-8.
        sys.stdout.reconfigure(errors='backslashreplace')
    with scripts.ending_in_one_message(
            'Stopped. The same command again goes on with the shards that are finished.'):
        _build(source.read(args), args)


def _build(source, args):
    """Writes each part of a `contract.Source` and prints its table, then the next command."""
    source = value_ranges.resolved(source, args.output_dir)
    info = descriptor.create(source.name, source.class_names, source.ignore_label,
                             None, source.colors, source.bands, source.value_range)
    names = {name for part in source.parts for name in (part.split,) + part.aliases}
    failures, palettes = [], [publishing.check_others(info, args.output_dir, names)]
    for part in source.parts:
        if part.note:
            print(part.note)
        count = len(part.examples) if part.num_examples is None else part.num_examples
        try:
            summary = writing.write_split(
                part.examples, count, info, args.output_dir, part.split, args.num_shards,
                part.aliases, part.reader, args.num_workers, args.skip_bad, bool(failures),
                palettes)
        except decoding.InvalidExampleError as error:
            # The other splits are looked at too, so that all bad files are named at once.
            failures.append(str(error))
        else:
            palettes.append(summary.notes)
            print(_advised(writing.describe(
                summary, info, ' and '.join((part.split,) + part.aliases), part.reader is None),
                source.advice))
    if failures:
        raise decoding.InvalidExampleError(_advised('\n'.join(failures), source.advice))
    splits = descriptor.load(args.output_dir).splits
    if 'train' in splits:
        print(describe_next(args.output_dir))
    else:
        print('%s holds %s: train.py needs the split train too.'
              % (args.output_dir, ', '.join(sorted(splits))))


def _advised(text, advice):
    return '%s\n%s' % (text, advice) if advice and _ABOUT_MASKS.search(text) else text


def describe_next(output_dir, weights=IMAGENET_WEIGHTS):
    """Names the command that trains on a data set, with the recipe that fits. Returns str.

    Args:
      output_dir: str, of the data set.
      weights: str, the folder of ImageNet's weights where they are installed.
    """
    recipe = 'finetune' if os.path.isdir(weights) else 'scratch'
    # To measure it here would take longer than many data sets take to be built.
    return 'Next: %s\n%s' % (
        command('train.py', '--recipe', recipe, '--dataset_dir', output_dir),
        '  --estimate: says how long that takes here. --minutes 45: trains in that time.')
