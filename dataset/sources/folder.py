"""A folder of images and a folder of masks of class ids or colours; see `contract`."""
import hashlib
import os

import numpy as np

from common import files, flag_types
from common.errors import UserError
from dataset import descriptor, voc
from dataset.sources import (class_lists, color_masks, contract, decoding,
                             id_maps, notes, pairs, parts, splits, views)


# What people call the splits that train.py and test.py look for.
_SPLIT_NAMES = {'train': ('train', 'training'), 'test': ('test', 'testing'),
                'validation': ('val', 'valid', 'validation', 'dev')}
_ADVICE_ON_LIST = ('--classes %s does not list it. Add a line VALUE void, or with its class; or '
                   'say with --map_ids what all values become')


def add_flags(parser):
    """Adds the flags of build_folder.py."""
    parser.add_argument('--images', type=flag_types.path,
                        help='folder of images, subfolders included')
    parser.add_argument('--masks', type=flag_types.path,
                        help='folder of one-channel masks whose values are class ids, or of '
                             'colour masks with --palette')
    add_pairing_flags(parser)
    views.add_flags(parser)
    parser.add_argument('--classes', type=flag_types.path,
                        help='text file, one class name per line, class 0 first, or the list of '
                             'Roboflow, labelme or CVAT; not needed with a palette that has names; '
                             'with DIR the order of its classes')
    split = parser.add_mutually_exclusive_group()
    split.add_argument('--split', type=split_name,
                       help='name of the split to write: train, validation, test')
    split.add_argument('--validation_fraction', type=flag_types.fraction,
                       help='write train and validation, this share of the images held out')
    parser.add_argument('--seed', type=flag_types.whole_number,
                        help='chooses what --validation_fraction holds out (default 0)')
    parser.add_argument('--output_dir', type=flag_types.path, required=True,
                        help='where the data set is written')
    parser.add_argument('--ignore_label', type=flag_types.whole_number,
                        help='mask value of pixels without class (default %d)' % voc.IGNORE_LABEL)
    parser.add_argument('--name', default=None,
                        help='name of the data set (default: that of --output_dir)')


def add_pairing_flags(parser):
    """Adds the flags beside --images and --masks that say what belongs together and means what."""
    parser.add_argument('--list_file', metavar='FILE', type=flag_types.path,
                        help='text file that chooses: one stem a line, or image and mask in two '
                             'columns, relative to --images and --masks or to the file itself')
    parser.add_argument('--image_suffix', default='',
                        help='what image stems have beyond those of the masks, as _leftImg8bit')
    parser.add_argument('--mask_suffix', default='',
                        help='what mask stems have beyond those of the images, as _mask')
    parser.add_argument('--loose_names', action='store_true',
                        help='match by the words and numbers that not all names of a side have; '
                             'letter case and zeros before numbers do not count')
    parser.add_argument('--palette', type=flag_types.path,
                        help='the masks are coloured: voc, or a file of JSON {"name": [r, g, b]} '
                             'or [[r, g, b], ...] or CSV name,r,g,b; void or ignore is no class')
    parser.add_argument('--zero_is_ignored', action='store_true',
                        help='0 in the masks is void, and the classes start at 1')
    parser.add_argument('--map_ids', nargs='+', type=id_maps.parse_item, metavar='VALUE:CLASS',
                        help='what each value of the masks becomes, as 0:void 1-19:0-18 30-33:19; '
                             'void is no class. Values that are not named are an error, but for '
                             'the ignore label')


def split_name(text):
    """Returns the name by which train.py and test.py look for a split, as an argparse type."""
    name = known_split(text) or text
    if text != name:
        print('Note: --split %s is written as %s, the name that train.py and test.py look for.'
              % (text, name))
    return name


def known_split(text):
    """Returns 'train', 'validation' or 'test' for what people call them, or None."""
    return next((name for name, others in _SPLIT_NAMES.items() if text.lower() in others), None)


def check_flags(args, parser):
    """Refuses flags without effect or without those that they need."""
    if args.split is None and args.validation_fraction is None:
        parser.error('one of the arguments --split --validation_fraction is required')
    check_seed(args, parser)
    if not args.list_file and not (args.images and args.masks):
        parser.error('--images and --masks are needed, or --list_file with two columns.')
    if not args.classes and not args.palette:
        parser.error('--classes is needed, or --palette with a palette that has names.')
    if args.ignore_label is None:
        args.ignore_label = voc.IGNORE_LABEL
    if not 0 <= args.ignore_label <= descriptor.LARGEST_LABEL:
        parser.error('--ignore_label %d: masks hold 0..%d.'
                     % (args.ignore_label, descriptor.LARGEST_LABEL))
    for flag in ('images', 'masks'):
        if getattr(args, flag):
            check_output_dir(args, parser, '--' + flag, getattr(args, flag))


def check_seed(args, parser):
    """Refuses a --seed that cannot be, or has no effect."""
    if args.seed is not None and args.split:
        parser.error('--seed has no effect without --validation_fraction.')
    if args.seed is not None and not 0 <= args.seed < 2 ** 32:
        parser.error('--seed %d: give 0 to 2**32 - 1.' % args.seed)


def check_output_dir(args, parser, flag, folder):
    """Refuses an --output_dir within a folder of images, which `flag` gave."""
    if _is_inside(args.output_dir, folder):
        parser.error('--output_dir %s lies in %s %s: the next build would look for images '
                     'among its records. Give a folder beside it.'
                     % (args.output_dir, flag, folder))


def _is_inside(path, folder):
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath([path, folder]) == folder


def read(args):
    """Finds the pairs that the flags name. Returns `contract.Source`; raises `UserError`."""
    class_names, reader = read_classes(args, args.ignore_label)
    if isinstance(reader, MappedIdsReader) and not args.map_ids:
        print('Masks hold the ids of --classes %s, as with %s.'
              % (args.classes, id_maps.spell(reader.mapping)))
    examples = pairs.find(args.images, args.masks, args.list_file, args.image_suffix,
                          args.mask_suffix, args.loose_names)
    chosen = [(args.split, examples)]
    if args.validation_fraction is not None:
        chosen = hold_out(examples, args.validation_fraction, args.seed or 0)
    view = views.of_args(args)
    return contract.Source(
        args.name or os.path.basename(os.path.abspath(args.output_dir)), class_names,
        args.ignore_label, [
            contract.Part(split, parts.divide(part, view, args.pages, args.tile), reader=reader)
            for split, part in chosen],
        color_masks.colors_of(reader, len(class_names)), view.bands, view.value_range)


def read_classes(args, ignore_label):
    """Reads what --classes, --palette and --map_ids say.

    Args:
      args: parsed flags. classes: str, the file of class names, or None. palette: str as in
        `color_masks.read_palette`, or None where masks hold values. map_ids: list of
        what `id_maps.parse_item` returns, or None.
      ignore_label: int.

    Returns:
      (list of class names or None, reader as `contract` says).

    Raises:
      UserError: a file cannot be read, or they do not fit each other.
    """
    if args.palette and (args.map_ids or args.zero_is_ignored):
        raise UserError('--palette and %s both say what masks mean; give one. The palette '
                        'file can name a colour void, and give several to one class.'
                        % ('--map_ids' if args.map_ids else '--zero_is_ignored'))
    if args.palette:
        class_names = class_lists.read(args.classes) if args.classes else None
        class_names, colors = color_masks.read_palette(args.palette, class_names, ignore_label)
        return class_names, color_masks.PaletteReader(colors)
    if args.map_ids and not args.zero_is_ignored:
        mapping = id_maps.merge(args.map_ids)
        class_names = class_lists.read(args.classes, mapping) if args.classes else None
        if class_names:
            id_maps.check(mapping, class_names)
        return class_names, MappedIdsReader(mapping)
    if args.zero_is_ignored and (args.map_ids or not args.classes):
        raise UserError('--zero_is_ignored %s.' % (
            'and --map_ids both say what values become; give --map_ids 0:void too instead'
            if args.map_ids else 'needs --classes, whose first line is class 1 of the masks'))
    if not args.classes:
        return None, None
    mapping = _ids_of_list(args.classes, args.zero_is_ignored)
    class_names = class_lists.read(args.classes, mapping)
    if not mapping and args.zero_is_ignored:
        mapping = id_maps.zero_is_void(len(class_names))
    return class_names, mapping and MappedIdsReader(mapping, _ADVICE_ON_LIST % args.classes)


def _ids_of_list(path, zero_is_void):
    """Returns what the ids of a list become where they are not 0, 1, 2 and so on, or None.

    Those that are called void have no class, and neither has 0 where that is asked for.
    """
    names = class_lists.ids_of(path)
    if not names or not zero_is_void and sorted(names) == list(range(len(names))):
        return None
    void = {value for value, name in names.items() if name.lower() in id_maps.VOID_NAMES}
    void |= {0} if zero_is_void else set()
    left = iter(range(len(names)))
    return {value: id_maps.VOID if value in void else next(left)
            for value in sorted(void | set(names))}


class MappedIdsReader:
    """A reader, as `contract` describes it, of masks whose values are translated.

    Args:
      mapping: dict as of `id_maps.merge`.
      advice: str, the way out of a VALUE without place in it.
    """

    def __init__(self, mapping, advice='--map_ids does not say what becomes of it. Add '
                                       'VALUE:void, or its class'):
        self.mapping, self.advice = mapping, advice

    def __call__(self, example, info):
        labels, unknown = id_maps.apply(self.mapping, decoding.read_values(example)[0],
                                        info.ignore_label)
        if unknown:
            raise decoding.InvalidExampleError(
                '%s holds %s, and %s.' % (decoding.name_of(example, 'mask'),
                                          decoding.shorten(unknown),
                                          self.advice.replace('VALUE', str(unknown[0]))
                                          if id_maps.can_name(unknown) else
                                          id_maps.unnamed(info.ignore_label)),
                'label_values')
        notes.map_colors(lambda value: int(id_maps.apply(
            self.mapping, np.array([[value]]), info.ignore_label)[0][0, 0]))
        return labels

    @property
    def key(self):
        return 'ids and colours by ' + id_maps.spell(self.mapping)


def hold_out(examples, validation_fraction, seed):
    """Returns [('train', examples), ('validation', examples)].

    Copies of one image file, whatever their names, are in one split
    (tests/dataset/test_builders.py).
    """
    positions = splits.hold_out(
        [_content_hash(example.image) for example in examples], validation_fraction, seed)
    return [(split, [examples[position] for position in chosen])
            for split, chosen in zip(('train', 'validation'), positions)]


def _content_hash(source):
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    try:
        return files.hash_file(source)
    except OSError as error:
        raise UserError('%s cannot be read: %s' % (source, error))
