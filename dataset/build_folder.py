"""Builds a data set from a folder of images and a folder of masks.

    python dataset/build_folder.py --images photos --masks masks \
        --classes classes.txt --validation_fraction 0.2 --output_dir data/mine

Or call it once per split with --split. Image and mask belong together by path and
file name without extension; classes.txt holds one name per line, the first is
class 0. Masks hold class ids, or with --palette colours.
"""
import argparse
import hashlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from common.errors import UserError  # noqa: E402
from dataset import building, descriptor, voc  # noqa: E402
from dataset.sources import color_masks, pairs, splits  # noqa: E402


def parse_args(argv=None):
    """Returns the parsed flags; argparse exits with usage on a wrong one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', help='folder of images, subfolders included')
    parser.add_argument('--masks',
                        help='folder of one-channel masks whose values are class ids, or of '
                             'colour masks with --palette')
    building.add_pairing_flags(parser)
    parser.add_argument('--classes', help='text file, one class name per line, class 0 first; '
                                          'not needed with a palette that has names')
    split = parser.add_mutually_exclusive_group(required=True)
    split.add_argument('--split', help='name of the split to write: train, validation, test')
    split.add_argument('--validation_fraction', type=building.fraction,
                       help='write train and validation, this share of the images held out')
    parser.add_argument('--seed', type=int,
                        help='chooses what --validation_fraction holds out (default 0)')
    parser.add_argument('--output_dir', required=True, help='where the data set is written')
    parser.add_argument('--ignore_label', type=int, default=voc.IGNORE_LABEL,
                        help='mask value of pixels without class (default %(default)s)')
    parser.add_argument('--name', default=None,
                        help='name of the data set (default: that of --output_dir)')
    building.add_writing_flags(parser)
    args = parser.parse_args(argv)
    _check(args, parser)
    return args


def _check(args, parser):
    if args.seed is not None and args.validation_fraction is None:
        parser.error('--seed has no effect without --validation_fraction.')
    if args.seed is not None and not 0 <= args.seed < 2 ** 32:
        parser.error('--seed %d: give 0 to 2**32 - 1.' % args.seed)
    if not args.list_file and not (args.images and args.masks):
        parser.error('--images and --masks are needed, or --list_file with two columns.')
    if not args.classes and not args.palette:
        parser.error('--classes is needed, or --palette with a palette that has names.')
    if not 0 <= args.ignore_label <= descriptor.LARGEST_LABEL:
        parser.error('--ignore_label %d: masks hold 0..%d.'
                     % (args.ignore_label, descriptor.LARGEST_LABEL))


def read_classes(classes, palette, ignore_label):
    """Reads what --classes and --palette say.

    Args:
      classes: str, the file of class names, or None with a palette that has names.
      palette: str as in `color_masks.read_palette`, or None where masks hold ids.
      ignore_label: int.

    Returns:
      (list of class names, `read_mask` of `writing.write_split`).

    Raises:
      UserError: a file cannot be read, or they do not fit each other.
    """
    class_names = descriptor.read_class_names(classes) if classes else None
    if not palette:
        return class_names, None
    class_names, colors = color_masks.read_palette(palette, class_names, ignore_label)
    return class_names, color_masks.PaletteReader(colors)


def choose_splits(examples, validation_fraction, seed):
    """Splits the examples into training and validation.

    Args:
      examples: list of `writing.Example`.
      validation_fraction: float, share of the validation images.
      seed: int.

    Returns:
      List of (split, list of `writing.Example`). Copies of one image file, whatever
      their names, are in one split (tests/test_dataset_builders.py).

    Raises:
      UserError: fewer than two different images.
    """
    train, validation = splits.hold_out(
        [_content_hash(example.image) for example in examples], validation_fraction, seed)
    return [('train', [examples[position] for position in train]),
            ('validation', [examples[position] for position in validation])]


def _content_hash(path):
    try:
        with open(path, 'rb') as image_file:
            return hashlib.sha256(image_file.read()).hexdigest()
    except OSError as error:
        raise UserError('%s cannot be read: %s' % (path, error))


def build(args):
    """Writes the splits that the flags describe. Returns None; raises as `write_split`."""
    class_names, read_mask = read_classes(args.classes, args.palette, args.ignore_label)
    name = args.name or os.path.basename(os.path.abspath(args.output_dir))
    info = descriptor.create(name, class_names, args.ignore_label)
    examples = pairs.find(args.images, args.masks, args.list_file, args.image_suffix,
                          args.mask_suffix)
    chosen = [(args.split, examples)]
    if args.validation_fraction is not None:
        chosen = choose_splits(examples, args.validation_fraction, args.seed or 0)
    for split, part in chosen:
        building.write(part, info, args, split, read_mask=read_mask)
    building.print_next(args.output_dir)


def main(argv=None):
    building.run(build, parse_args(argv))


if __name__ == '__main__':
    main()
