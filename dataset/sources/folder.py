"""A folder of images and a folder of masks of class ids or colours; see `contract`."""
import os

from common import files, flag_types
from common.errors import UserError
from dataset import descriptor, voc
from dataset.sources import color_masks, contract, pairs, splits


def add_flags(parser):
    """Adds the flags of build_folder.py."""
    parser.add_argument('--images', help='folder of images, subfolders included')
    parser.add_argument('--masks',
                        help='folder of one-channel masks whose values are class ids, or of '
                             'colour masks with --palette')
    add_pairing_flags(parser)
    parser.add_argument('--classes', help='text file, one class name per line, class 0 first; '
                                          'not needed with a palette that has names')
    split = parser.add_mutually_exclusive_group(required=True)
    split.add_argument('--split', help='name of the split to write: train, validation, test')
    split.add_argument('--validation_fraction', type=flag_types.fraction,
                       help='write train and validation, this share of the images held out')
    parser.add_argument('--seed', type=flag_types.whole_number,
                        help='chooses what --validation_fraction holds out (default 0)')
    parser.add_argument('--output_dir', required=True, help='where the data set is written')
    parser.add_argument('--ignore_label', type=flag_types.whole_number, default=voc.IGNORE_LABEL,
                        help='mask value of pixels without class (default %(default)s)')
    parser.add_argument('--name', default=None,
                        help='name of the data set (default: that of --output_dir)')


def add_pairing_flags(parser):
    """Adds the flags beside --images and --masks that say what belongs together and means what."""
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


def check_flags(args, parser):
    """Refuses flags without effect or without those that they need."""
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


def read(args):
    """Finds the pairs that the flags name. Returns `contract.Source`; raises `UserError`."""
    class_names, reader = read_classes(args.classes, args.palette, args.ignore_label)
    examples = pairs.find(args.images, args.masks, args.list_file, args.image_suffix,
                          args.mask_suffix)
    chosen = [(args.split, examples)]
    if args.validation_fraction is not None:
        chosen = _hold_out(examples, args.validation_fraction, args.seed or 0)
    return contract.Source(
        args.name or os.path.basename(os.path.abspath(args.output_dir)), class_names,
        args.ignore_label, [contract.Part(split, part, reader=reader) for split, part in chosen])


def read_classes(classes, palette, ignore_label):
    """Reads what --classes and --palette say.

    Args:
      classes: str, the file of class names, or None with a palette that has names.
      palette: str as in `color_masks.read_palette`, or None where masks hold ids.
      ignore_label: int.

    Returns:
      (list of class names, reader as `contract` says).

    Raises:
      UserError: a file cannot be read, or they do not fit each other.
    """
    class_names = descriptor.read_class_names(classes) if classes else None
    if not palette:
        return class_names, None
    class_names, colors = color_masks.read_palette(palette, class_names, ignore_label)
    return class_names, color_masks.PaletteReader(colors)


def _hold_out(examples, validation_fraction, seed):
    """Returns [('train', examples), ('validation', examples)].

    Copies of one image file, whatever their names, are in one split
    (tests/dataset/test_builders.py).
    """
    positions = splits.hold_out(
        [_content_hash(example.image) for example in examples], validation_fraction, seed)
    return [(split, [examples[position] for position in chosen])
            for split, chosen in zip(('train', 'validation'), positions)]


def _content_hash(path):
    try:
        return files.hash_file(path)
    except OSError as error:
        raise UserError('%s cannot be read: %s' % (path, error))
