"""How images pass the network when it is used: flags of test.py and predict.py.

Free of TensorFlow, so that flags are checked before it is imported.
"""
from collections import namedtuple

from common import flag_types
from common.errors import UserError
from inference import submission
from resnet import architecture
from runtime import precision, workers

# scales: tuple of float. flip: bool. window: None, or int, the side of the squares that larger
# images are cut into. overlap: int, pixels that neighbouring squares share at least.
Passes = namedtuple('Passes', ['scales', 'flip', 'window', 'overlap'])
SINGLE_PASS = Passes((1.0,), False, None, 0)

SMALLEST_WINDOW = 33  # pixels: three features at output stride 16
# The paper's, section 4.1.
PAPER_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


_scale = flag_types.number(float, 'a number above 0 and at most 8',
                           lambda value: 0 < value <= 8)
_window = flag_types.number(int, 'a whole number of at least %d' % SMALLEST_WINDOW,
                            lambda value: value >= SMALLEST_WINDOW)


def add_checkpoint_flags(parser):
    """Adds --checkpoint, --output_stride and the GPU's flags to an `argparse.ArgumentParser`."""
    parser.add_argument('--checkpoint', required=True,
                        help="a run directory (its best checkpoint), also one of the post's "
                             'code, or a checkpoint in one')
    parser.add_argument('--output_stride', type=flag_types.whole_number,
                        choices=architecture.OUTPUT_STRIDES,
                        help='default: that of the run; the ASPP rates are adapted')
    add_gpu_flags(parser)


def add_gpu_flags(parser):
    """Adds --gpu_id and --allow_unsupported_gpu to the `argparse.ArgumentParser`."""
    parser.add_argument('--gpu_id', help='the GPUs to use; -1: none')
    parser.add_argument('--allow_unsupported_gpu', action='store_true',
                        help='go on with a GPU that this TensorFlow is not built for')


def add_speed_flags(parser):
    """Adds --mixed_precision and --xla to the `argparse.ArgumentParser`."""
    parser.add_argument('--mixed_precision', choices=precision.CHOICES, default='off',
                        help='as of train.py, whatever the run was trained with (default: '
                             '%(default)s)')
    parser.add_argument('--xla', action='store_true', help='compile with XLA, on a GPU')


def add_classes_flag(parser):
    """Adds --classes to the `argparse.ArgumentParser`."""
    parser.add_argument('--classes', metavar='FILE',
                        help='text file, one class name per line, class 0 first (default: the '
                             "names of the run's data set)")


def add_pass_flags(parser):
    """Adds --scales, --flip, --window and --overlap to the `argparse.ArgumentParser`."""
    parser.add_argument('--scales', type=_scale, nargs='+', default=[1.0], metavar='SCALE',
                        help='resize images by each of these and average the probabilities; the '
                             "paper's: %s" % ' '.join('%g' % scale for scale in PAPER_SCALES))
    parser.add_argument('--flip', action='store_true',
                        help='average with the mirrored image too')
    parser.add_argument('--window', type=_window, metavar='PIXELS',
                        help='cut images that are larger into overlapping squares of this side, '
                             'for images too large for memory')
    parser.add_argument('--overlap', type=flag_types.non_negative_int, metavar='PIXELS',
                        help='what neighbouring squares share (default: a quarter of --window)')


def add_flags(parser):
    """Adds the flags of `add_pass_flags`, and --save_submission.

    Args:
      parser: `argparse.ArgumentParser`.
    """
    add_pass_flags(parser)
    parser.add_argument('--save_submission', nargs='?', const='comp6',
                        choices=submission.COMPETITIONS,
                        help="also write what PASCAL VOC's server takes, as results/VOC2012/"
                             'Segmentation/COMPETITION_SPLIT_cls/ID.png; comp6 (default) is for '
                             'networks that saw more than VOC, comp5 for others')


def add_worker_flags(parser):
    """Adds --num_threads and --worker_timeout to the `argparse.ArgumentParser`."""
    parser.add_argument('--num_threads', type=flag_types.positive_int,
                        help='of the CPU (default: one for each core)')
    parser.add_argument('--worker_timeout', type=flag_types.positive_float, metavar='SECONDS',
                        default=workers.DEFAULT_TIMEOUT,
                        help='with several processes, as of train.py (default: %(default)g)')


def passes_of(flags):
    """Reads what `add_flags` added.

    Returns:
      `Passes`.

    Raises:
      UserError: flags that do not go together.
    """
    if flags.overlap is not None and not flags.window:
        raise UserError('--overlap %d without --window: give the side of the squares too.'
                        % flags.overlap)
    overlap = (flags.window or 0) // 4 if flags.overlap is None else flags.overlap
    if flags.window and overlap >= flags.window:
        raise UserError('--window %d --overlap %d: the overlap must be smaller.'
                        % (flags.window, overlap))
    return Passes(tuple(flags.scales), flags.flip, flags.window, overlap)
