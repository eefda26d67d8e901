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
    parser.add_argument('--bands', type=flag_types.positive_int, nargs='+', metavar='BAND',
                        help='one band, or three for red, green and blue, counted from 1, of '
                             'images of several (satellites, microscopes)')
    parser.add_argument('--value_range', type=float, nargs=2, metavar=('LOW', 'HIGH'),
                        help='values of images that become black and white, as 0 4095 for data '
                             'of 12 bits (default: all that 8 or 16 bits can hold)')
    parser.add_argument('--pages', action='store_true',
                        help='make a record of each page of files of several (TIFF stacks)')
    parser.add_argument('--tile', type=flag_types.positive_int, metavar='SIDE',
                        help='cut larger images and their masks into tiles of so many pixels a '
                             'side, a record each')


def are_asked_for(args):
    """Whether the flags ask for anything but files as they are."""
    return of_args(args) != AS_IT_IS or args.pages or args.tile is not None


def of_args(args):
    """Returns the `View` that the flags ask for.

    Raises:
      UserError: they ask for what there is not.
    """
    if args.bands and len(args.bands) not in (1, 3):
        raise UserError('--bands %s: give one band, or three for red, green and blue.'
                        % ' '.join(map(str, args.bands)))
    if args.value_range and not args.value_range[0] < args.value_range[1]:
        raise UserError('--value_range %g %g: the first becomes black, the second white; give '
                        'the lower one first.' % tuple(args.value_range))
    return View(args.ignore_exif, tuple(args.bands) if args.bands else None,
                tuple(args.value_range) if args.value_range else None)
