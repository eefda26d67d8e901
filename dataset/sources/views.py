"""Which part of a file is read, and how: flags of build_folder.py and check.py."""
import collections

from common import flag_types
from common.errors import UserError

# ignore_exif: bool, whether pixels stay as they are stored, whatever orientation the file names.
# bands: tuple of 1 or 3 int from 1, those that become grey or red, green and blue, or None.
# value_range: (low, high), the values that become black and white, or None. page: int from 0,
# or None for the first of a file that may hold several. box: (left, upper, right, lower) of the
# upright image, or None for all of it.
View = collections.namedtuple('View', ['ignore_exif', 'bands', 'value_range', 'page', 'box'],
                              defaults=(False, None, None, None, None))
AS_IT_IS = View()


def add_flags(parser):
    """Adds the flags that say how image and mask files are read."""
    parser.add_argument('--ignore_exif', action='store_true',
                        help='take pixels as they are stored, where images hold an orientation '
                             'that their masks were drawn without')
    add_band_flags(parser, '')
    parser.add_argument('--pages', action='store_true',
                        help='make a record of each page of files of several (TIFF stacks)')
    parser.add_argument('--tile', type=flag_types.positive_int, metavar='SIDE',
                        help='cut larger images and their masks into tiles of so many pixels a '
                             'side, a record each')


def add_band_flags(parser, default=" (default: those of the run's data set)"):
    """Adds --bands and --value_range; `default` ends the help."""
    parser.add_argument('--bands', type=flag_types.positive_int, nargs='+', metavar='BAND',
                        help='one band, or three for red, green and blue, counted from 1, of '
                             'images of several (satellites, microscopes)' + default)
    parser.add_argument('--value_range', type=flag_types.any_number, nargs=2,
                        metavar=('LOW', 'HIGH'),
                        help='values of images that become black and white, as 0 4095 for data '
                             'of 12 bits' + (default or ' (default: all that 8 or 16 bits can '
                                             'hold)'))


def are_asked_for(args):
    """Whether the flags ask for anything but files as they are."""
    return bool(args.ignore_exif or args.bands or args.value_range or args.pages or args.tile)


def of_args(args):
    """Returns the `View` that the flags ask for.

    Raises:
      UserError: they ask for what there is not.
    """
    return of_info(args)._replace(ignore_exif=args.ignore_exif)


def of_info(info):
    """Returns the `View` by the `bands` and the `value_range` of a `descriptor.DatasetInfo`.

    Raises:
      UserError: there are none such.
    """
    if info.bands and len(info.bands) not in (1, 3):
        raise UserError('--bands %s: give one band, or three for red, green and blue.'
                        % ' '.join(map(str, info.bands)))
    if info.value_range and not info.value_range[0] < info.value_range[1]:
        raise UserError('--value_range %g %g: the first becomes black, the second white; give '
                        'the lower one first.' % tuple(info.value_range))
    return View(bands=tuple(info.bands) if info.bands else None,
                value_range=tuple(info.value_range) if info.value_range else None)


def chosen(info, args):
    """Returns a `descriptor.DatasetInfo` with what the flags of `add_band_flags` choose.

    Says how pictures are read where it is not as they are shown. Raises as `of_info`.
    """
    info = info._replace(bands=args.bands or info.bands,
                         value_range=args.value_range or info.value_range)
    of_info(info)
    if spell(info):
        print('Pictures are read with %s%s.' % (
            spell(info), '' if args.bands or args.value_range else ', as the data set was'))
    return info


def spell(info):
    """Returns the flags that give the bands and the range of a `DatasetInfo`, '' for none."""
    return ' '.join('--%s %s' % (name, ' '.join('%g' % value for value in getattr(info, name)))
                    for name in ('bands', 'value_range') if getattr(info, name))
