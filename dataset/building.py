"""What the builders share: the flags of writing, the call that writes, the way errors end."""
import argparse

from common import flag_types
from common.errors import UserError
from dataset import descriptor
from dataset.records import writing


def fraction(text):
    """The type of flags that are a share: a float between 0 and 1, both excluded."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError('%s is not between 0 and 1' % text)
    return value


def add_pairing_flags(parser):
    """Adds the flags beside --images and --masks that say what belongs together and means what.

    These are --list_file, --image_suffix, --mask_suffix and --palette.

    Args:
      parser: `argparse.ArgumentParser`.
    """
    parser.add_argument('--list_file', metavar='FILE',
                        help='text file that chooses: one stem a line, or image and mask in two '
                             'columns, relative to --images and --masks or to the file itself')
    parser.add_argument('--image_suffix', default='',
                        help='what image stems have beyond those of the masks, as _leftImg8bit')
    parser.add_argument('--mask_suffix', default='',
                        help='what mask stems have beyond those of the images, as _mask')
    parser.add_argument('--palette',
                        help='the masks are coloured: voc, or a file of JSON {"name": [r, g, b]} '
                             'or [[r, g, b], ...] or CSV name,r,g,b; void or ignore is no class')


def add_writing_flags(parser):
    """Adds --num_shards, --num_workers and --skip_bad, which `write` reads.

    Args:
      parser: `argparse.ArgumentParser`.
    """
    parser.add_argument('--num_shards', type=flag_types.positive_int, default=4,
                        help='number of files to spread a split over (default %(default)s)')
    parser.add_argument('--num_workers', type=flag_types.positive_int, default=None,
                        help='processes that check and encode (default: by the cores there are)')
    parser.add_argument('--skip_bad', action='store_true',
                        help='leave out files that fail a check, and list them, instead of '
                             'stopping')


def write(examples, info, args, split, aliases=(), read_mask=None):
    """Writes one split as the flags say and prints its classes' shares.

    Args:
      examples: list of `writing.Example`.
      info: `descriptor.DatasetInfo`.
      args: flags with output_dir and those of `add_writing_flags`.
      split, aliases, read_mask: as in `writing.write_split`.

    Raises:
      As `writing.write_split`.
    """
    summary = writing.write_split(
        examples, len(examples), info, args.output_dir, split, args.num_shards, aliases,
        read_mask=read_mask, num_workers=args.num_workers, skip_bad=args.skip_bad)
    print(writing.describe(summary, info, ' and '.join((split,) + tuple(aliases))))


def print_next(output_dir):
    """Prints the command that trains on a data set, or that it has nothing to train on yet.

    Args:
      output_dir: str, a directory that a builder just wrote.

    Raises:
      UserError: as `descriptor.load`.
    """
    splits = descriptor.load(output_dir).splits
    if 'train' in splits:
        print('Next: python train.py --dataset_dir %s' % output_dir)
    else:
        print('%s holds %s: train.py needs the split train too.'
              % (output_dir, ', '.join(sorted(splits))))


def run(build, args):
    """Calls `build(args)`; what is wrong with the data, or Ctrl-C, ends it with one message."""
    try:
        build(args)
    except (UserError, writing.InvalidExampleError) as error:
        raise SystemExit(str(error))
    except KeyboardInterrupt:
        raise SystemExit('Stopped. The same command again goes on with the shards that are '
                         'finished.')
