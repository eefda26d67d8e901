"""Flags that are defined once, and the run configuration that a run directory keeps.

A run directory holds `config.json`: the resolved flags, the versions, the commit
and the data set's fingerprint. Test, export and notebook load it strictly.
"""
import argparse
import json
import os
import platform
import subprocess

from dataset import descriptor
from network import default_aspp_rates
from resnet import resnet_v2
from runtime import tf

CONFIG_NAME = 'config.json'
FORMAT_VERSION = 1

# A run may be continued with other values of these; all else decides its result.
FREE_ON_RESUME = ('max_steps', 'eval_every_steps', 'save_every_steps', 'summary_every_steps',
                  'gpu_id', 'model_dir', 'dataset_dir')
SWITCHED_OFF = ('random_flip', 'color_jitter', 'align_corners')


def positive_int(text):
    """argparse type: an int of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError('%s is not a positive whole number' % text)
    return value


def non_negative_float(text):
    """argparse type: a float of at least 0."""
    value = float(text)
    if not value >= 0 or value == float('inf'):
        raise argparse.ArgumentTypeError('%s is not a number of at least 0' % text)
    return value


def decay_rate(text):
    """argparse type: a float in [0, 1)."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError('%s is not in [0, 1)' % text)
    return value


def add_network_flags(parser):
    """Adds the flags that decide the graph; their names are the post's."""
    group = parser.add_argument_group('network')
    group.add_argument('--resnet_model', default='resnet_v2_50', choices=sorted(resnet_v2.UNITS),
                       help='the backbone')
    group.add_argument('--output_stride', type=int, default=16,
                       choices=resnet_v2.OUTPUT_STRIDES,
                       help='input size over feature map size; 32 is without atrous convolution')
    group.add_argument('--multi_grid', type=positive_int, nargs=3, metavar='RATE',
                       help='rates of the units of block4 (default: 1 2 4; 1 1 1 at output '
                            'stride 32)')
    group.add_argument('--aspp_rates', type=positive_int, nargs=3, metavar='RATE',
                       help='rates of the 3x3 branches (default: 6 12 18 at output stride 16, '
                            '12 24 36 at 8, 3 6 9 at 32)')
    group.add_argument('--no_align_corners', dest='align_corners', action='store_false',
                       help='resize the logits as the post does, up to output_stride pixels '
                            'too far to the upper left')
    group.add_argument('--number_of_classes', type=positive_int,
                       help='must be that of the data set, where it is read from by default')
    group.add_argument('--batch_norm_epsilon', type=non_negative_float, default=1e-5,
                       help='added to the variance')
    group.add_argument('--batch_norm_decay', type=decay_rate, default=0.9997,
                       help='of the moving statistics; runs of less than some 10,000 steps need '
                            'a smaller one, such as 0.99')
    group.add_argument('--l2_regularizer', type=non_negative_float, default=1e-4,
                       help='weight decay of every convolution')


def add_training_flags(parser):
    """Adds the flags of `train.py` alone."""
    group = parser.add_argument_group('training')
    group.add_argument('--dataset_dir', default='dataset/tfrecords',
                       help='the folder that holds dataset.json')
    group.add_argument('--model_dir', default='runs/deeplab_v3',
                       help='the run directory; a run that is found there is continued')
    group.add_argument('--init_from', metavar='CHECKPOINT',
                       help='start from these weights, at step 0 (a checkpoint, or a run '
                            'directory); without it, initialisation is random')
    group.add_argument('--starting_learning_rate', type=non_negative_float, default=1e-5,
                       help='of Adam')
    group.add_argument('--learning_rate_policy', choices=('constant', 'poly'), default='constant',
                       help='poly: falls to 0 at --max_steps, with the power 0.9 of the paper')
    group.add_argument('--batch_size', type=positive_int, default=8, help='images in a step')
    group.add_argument('--max_steps', type=positive_int, default=30000,
                       help='the step at which the run ends')
    group.add_argument('--eval_every_steps', type=positive_int, default=1000,
                       help='steps between evaluations of the whole validation split')
    group.add_argument('--save_every_steps', type=positive_int, default=500,
                       help='steps between checkpoints: what a killed run loses at most')
    group.add_argument('--summary_every_steps', type=positive_int, default=50,
                       help='steps between TensorBoard summaries')
    group.add_argument('--seed', type=int, default=0,
                       help='of data order, augmentation and initialisation')
    group.add_argument('--gpu_id', help='the GPUs to use, such as 0 (default: those that '
                                        'CUDA_VISIBLE_DEVICES shows; -1: none)')
    group = parser.add_argument_group('augmentation')
    group.add_argument('--crop_size', type=positive_int, default=513,
                       help='height and width of a training crop in pixels')
    group.add_argument('--min_scale', type=float, default=0.5, help='smallest random scale')
    group.add_argument('--max_scale', type=float, default=2.0, help='largest random scale')
    group.add_argument('--no_random_flip', dest='random_flip', action='store_false',
                       help='never mirror left and right')
    group.add_argument('--no_color_jitter', dest='color_jitter', action='store_false',
                       help='leave the colours as they are')


def parse_train_flags(argv=None, description=None):
    """Parses and checks the flags of `train.py`.

    Returns:
      `argparse.Namespace`; `number_of_classes` may still be None.

    Raises:
      SystemExit: an unknown flag, a wrong type, or an impossible combination.
    """
    parser = argparse.ArgumentParser(
        description=description, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_network_flags(parser)
    add_training_flags(parser)
    args = parser.parse_args(argv)
    if args.multi_grid is None:
        args.multi_grid = [1, 1, 1] if args.output_stride == 32 else [1, 2, 4]
    if args.aspp_rates is None:
        args.aspp_rates = list(default_aspp_rates(args.output_stride))
    if not 0 < args.min_scale <= args.max_scale < float('inf'):
        parser.error('--min_scale %g --max_scale %g: give 0 < min_scale <= max_scale'
                     % (args.min_scale, args.max_scale))
    if set(args.model_dir) & set('*?[]'):
        parser.error('--model_dir %s: TensorFlow cannot restore from a path with * ? [ or ]'
                     % args.model_dir)
    try:
        resnet_v2.check_output_stride(args.output_stride, args.multi_grid)
    except ValueError as error:
        parser.error('--output_stride %d --multi_grid %s: %s'
                     % (args.output_stride, ' '.join(map(str, args.multi_grid)), error))
    return args


def resolve_classes(args, info):
    """Fills in `args.number_of_classes` from the data set, or checks it against it.

    Raises:
      SystemExit: the flag and the data set disagree.
    """
    if args.number_of_classes not in (None, info.number_of_classes):
        raise SystemExit('--number_of_classes %d, but the data set "%s" in %s has %d classes (%s). '
                         'Leave the flag out to take the number from the data set.'
                         % (args.number_of_classes, info.name, args.dataset_dir,
                            info.number_of_classes, ', '.join(info.class_names)))
    args.number_of_classes = info.number_of_classes


def with_output_stride(args, output_stride):
    """Returns a copy of `args` for another output stride, with the ASPP rates that fit.

    The rates are measured on the feature map: at half the stride they double
    (paper, section 3.3).

    Raises:
      SystemExit: a rate would not be whole, or the stride cannot be built.
    """
    scaled = argparse.Namespace(**vars(args))
    if output_stride in (None, args.output_stride):
        return scaled
    products = [rate * args.output_stride for rate in args.aspp_rates]
    try:
        resnet_v2.check_output_stride(output_stride, args.multi_grid)
        if any(product % output_stride for product in products):
            raise ValueError('the ASPP rates %s at stride %d have no whole equivalent.'
                             % (args.aspp_rates, args.output_stride))
    except ValueError as error:
        raise SystemExit('--output_stride %s for a run trained at %d: %s'
                         % (output_stride, args.output_stride, error))
    scaled.output_stride = output_stride
    scaled.aspp_rates = [product // output_stride for product in products]
    return scaled


def _commit():
    """The commit of this code, '-dirty' behind it where files differ, or None outside git."""
    command = ['git', 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']
    try:
        return subprocess.check_output(command, cwd=os.path.dirname(os.path.abspath(__file__)),
                                       stderr=subprocess.DEVNULL).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def write_json(value, path):
    """Writes JSON to a temporary name and renames it."""
    temporary = path + '.tmp'
    with open(temporary, 'w') as f:
        json.dump(value, f, indent=2, sort_keys=True)
        f.write('\n')
    os.replace(temporary, path)


def save(args, model_dir):
    """Writes config.json: flags, versions, commit and the fingerprint of the data.

    Args:
      args: the resolved flags.
      model_dir: str, an existing folder.
    """
    write_json({
        'format_version': FORMAT_VERSION,
        'flags': vars(args),
        'versions': {'python': platform.python_version(), 'tensorflow': tf.__version__},
        'commit': _commit(),
        'dataset': {'fingerprint': descriptor.fingerprint(args.dataset_dir)},
    }, os.path.join(model_dir, CONFIG_NAME))


def load(run_dir):
    """Reads the flags of a run.

    Args:
      run_dir: str.

    Returns:
      `argparse.Namespace` with exactly the flags that `train.py` has.

    Raises:
      SystemExit: no config.json, one of another version, or missing or unknown flags.
    """
    return argparse.Namespace(**_read(run_dir)['flags'])


def _read(run_dir):
    path = os.path.join(run_dir, CONFIG_NAME)
    if not os.path.exists(path):
        raise SystemExit('%s is not there: %s is not a run directory of train.py.'
                         % (path, run_dir))
    with open(path) as f:
        try:
            config = json.load(f)
        except ValueError as error:
            raise SystemExit('%s is not JSON (%s).' % (path, error))
    if not isinstance(config, dict):
        raise SystemExit('%s is not a run configuration.' % path)
    if config.get('format_version') != FORMAT_VERSION:
        raise SystemExit('%s has format_version %r; this code reads %d.'
                         % (path, config.get('format_version'), FORMAT_VERSION))
    if not isinstance(config.get('flags'), dict) or not isinstance(config.get('dataset'), dict):
        raise SystemExit('%s has no "flags" or no "dataset": it is damaged.' % path)
    known = set(vars(parse_train_flags([])))
    difference = known.symmetric_difference(config['flags'])
    if difference:
        raise SystemExit('%s: flags missing or unknown to this code: %s. It was written by '
                         'commit %s.' % (path, ', '.join(sorted(difference)),
                                         config.get('commit')))
    return config


def _option(name):
    """The option as typed: a switch that turns something off has 'no_' in its name."""
    return ('--no_' if name in SWITCHED_OFF else '--') + name


def check_resume(args, model_dir):
    """Makes sure that a run is continued as it was begun.

    Raises:
      SystemExit: a flag that decides the result, or the data set, is another one.
    """
    config = _read(model_dir)
    flags = vars(args)
    free = set(FREE_ON_RESUME)
    if args.learning_rate_policy == 'poly':
        free.remove('max_steps')  # the whole schedule hangs on it
    changed = ['%s %s (was %s)' % (_option(name), flags[name], value)
               for name, value in sorted(config['flags'].items())
               if name not in free and flags[name] != value]
    if changed:
        raise SystemExit('%s holds a run with other flags: %s.\nContinue it with its own flags, '
                         'or give another --model_dir (with --init_from %s to start from its '
                         'weights).' % (model_dir, ', '.join(changed), model_dir))
    if config['dataset']['fingerprint'] != descriptor.fingerprint(args.dataset_dir):
        raise SystemExit('%s was trained on another data set than %s now holds. Give the '
                         '--dataset_dir it was begun with, or another --model_dir (with '
                         '--init_from %s to start from its weights).'
                         % (model_dir, args.dataset_dir, model_dir))
