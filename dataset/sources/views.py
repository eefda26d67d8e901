"""Which part of a file is read, and how: flags of build_folder.py and check.py."""
import collections

from common import flag_types
from common.errors import UserError

# ignore_exif: bool, whether pixels stay as they are stored, whatever orientation the file names.
# bands: tuple of 1 or 3 int from 1, those that become grey or red, green and blue, or None.
# value_range: (low, high), the values that become black and white, or None; either may be a
# `Percentile` until `value_ranges` has measured it. page: int from 0, or None for the first of a
# file that may hold several. box: (left, upper, right, lower) of the upright image, or None for
# all of it.
View = collections.namedtuple('View', ['ignore_exif', 'bands', 'value_range', 'page', 'box'],
                              defaults=(False, None, None, None, None))
AS_IT_IS = View()


class Percentile(float):
    """The value below which so many percent of the values of all images lie."""


_percent = flag_types.number(float, 'a number of percent from 0 to 100',
                             lambda value: 0 <= value <= 100)


def _range_end(text):
    return Percentile(_percent(text[:-1])) if text[-1:] == '%' else flag_types.any_number(text)


def add_flags(parser):
    """Adds the flags that say how image and mask files are read."""
    parser.add_argument('--ignore_exif', action='store_true',
                        help='take pixels as they are stored, where images hold an orientation '
                             'that their masks were drawn without')
    add_band_flags(parser, '', _range_end)
    parser.add_argument('--pages', action='store_true',
                        help='make a record of each page of files of several (TIFF stacks)')
    parser.add_argument('--tile', type=flag_types.positive_int, metavar='SIDE',
                        help='cut larger images and their masks into tiles of so many pixels a '
                             'side, a record each')


def add_band_flags(parser, default=" (default: those of the run's data set)",
                   range_type=flag_types.any_number):
    """Adds --bands and --value_range, of a type of flags; `default` ends the help."""
    parser.add_argument('--bands', type=flag_types.positive_int, nargs='+', metavar='BAND',
                        help='one band, or three for red, green and blue, counted from 1, of '
                             'images of several (satellites, microscopes)' + default)
    parser.add_argument('--value_range', type=range_type, nargs=2,
                        metavar=('LOW', 'HIGH'),
                        help='values of images that become black and white, as 0 4095 for data '
                             'of 12 bits' + (default or ', or percentiles of all images, as 2%% '
                                             '98%% (default: all that 8 or 16 bits can hold)'))


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
    low, high = info.value_range or (0, 1)
    if type(low) is type(high) and not low < high:
        raise UserError('--value_range %s: the first becomes black, the second white; give '
                        'the lower one first.' % spell_range(info.value_range))
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


def has_percentiles(value_range):
    """Whether a range, as in `View`, is not two numbers yet."""
    return any(isinstance(value, Percentile) for value in value_range or ())


def spell_range(value_range):
    """Returns a range as --value_range takes it."""
    return ' '.join('%g%s' % (value, '%' * isinstance(value, Percentile)) for value in value_range)
