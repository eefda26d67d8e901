"""The flags of `train.py`: one row each, from which parser and run configuration are derived."""
import argparse
from typing import Any, NamedTuple, Optional, Tuple

from common import files
from common.command_line import Parser
from common.errors import UserError
from common.flag_types import (any_number, decay_rate, non_negative_float,
                               non_negative_int, positive_float, positive_int,
                               share, whole_number)
from experiment import flag_checks, recipes
from network import INPUT_NORMALIZATIONS
from resnet import architecture
from runtime import precision, workers


class Flag(NamedTuple):
    """A row of `FLAGS`.

    Attributes:
      name, default, help, type, choices, nargs, metavar: as of argparse. The type bool makes a
        switch: --NAME and --no_NAME, so that what a recipe switches can be switched back.
      since: int, the format of config.json that has it first; older runs did what the default
        says.
      is_free: bool, whether a run may be continued with another value: all else decides its
        result.
      is_posts: bool, whether the data.json of the post's code may hold it.
    """
    name: str
    default: Any
    help: Optional[str]
    type: Any = None
    choices: Optional[Tuple] = None
    nargs: Any = None
    metavar: Optional[str] = None
    since: int = 1
    is_free: bool = False
    is_posts: bool = False


def option(name, value):
    """Returns one flag as it is typed, such as '--batch_size 16' or '--no_color_jitter'."""
    if name in SWITCHES and isinstance(value, bool):
        return ('--' if value else '--no_') + name
    values = value if isinstance(value, (list, tuple)) else [value]
    return '--%s %s' % (name, ' '.join('%g' % number if isinstance(number, float) else str(number)
                                       for number in values))


def as_options(flags):
    """Returns a dict of flags as they are typed, a sorted list of str."""
    return sorted(option(name, value) for name, value in flags.items())


def of_recipe(name):
    """Returns the flags that a recipe sets, a dict: None for what `planning.resolve` fills in."""
    return {flag: None if flag == 'init_from' or callable(value) else value
            for flag, value in recipes.RECIPES[name].items()}


_RUN = (
    Flag('recipe', recipes.DEFAULT, None, choices=tuple(recipes.RECIPES), since=2, is_free=True),
    Flag('dataset_dir', 'dataset/tfrecords',
         "the folder that holds dataset.json, or the post's raw records", is_free=True),
    Flag('model_dir', 'runs/deeplab_v3',
         'the run directory; a run that is found there is continued', is_free=True),
    Flag('resume', 'auto',
         'what to do with a run in --model_dir: continue it where there is one, insist on one, or '
         'refuse to', choices=('auto', 'always', 'never'), since=2, is_free=True),
    Flag('init_from', None,
         'start from these weights, at step 0: imagenet (which is downloaded once), random, a run '
         "directory, or a checkpoint of this project, of the post's code or of tf-slim (default: "
         'by the recipe)',
         metavar='CHECKPOINT'),
    Flag('allow_missing', [],
         'variables, or scopes such as DeepLab_v3, that --init_from may lack; they are randomly '
         'initialised', nargs='+', metavar='NAME', since=2, is_free=True),
    Flag('seed', 0,
         'of data order, augmentation and initialisation. Equal runs are equal bit for bit on a '
         'CPU with --num_threads 1; with more threads, and on GPUs, sums are added up in any '
         'order, so the last bits of the weights differ and drift apart, while data and '
         'initialisation stay equal', whole_number),
    Flag('gpu_id', None,
         'the GPUs to use, such as 0 (default: those that CUDA_VISIBLE_DEVICES shows; -1: none)',
         is_free=True),
    Flag('allow_unsupported_gpu', False,
         'go on with a GPU that this TensorFlow is not built for: stock 1.15 hangs or computes NaN '
         'on those of compute capability 8.0 or later', bool, since=3, is_free=True),
    Flag('mixed_precision', 'auto',
         '16 bits where they are fast, float32 for weights, loss and statistics; auto: bf16 on '
         'CPUs that have it, of TensorFlow 2; off: float32 alone; fp16: on GPUs with tensor cores',
         choices=precision.CHOICES, since=5, is_free=True),
    Flag('xla', False, 'compile with XLA, on a GPU', bool, since=5, is_free=True),
    Flag('num_threads', None, 'of the CPU (default: one for each core)', positive_int, since=2,
         is_free=True),
    Flag('overfit', None,
         'train on the first N images and evaluate on the same, to see whether data and settings '
         'can be learned at all; TensorBoard and metrics.jsonl name these scores "validation" all '
         'the same', positive_int, metavar='N', since=2),
    Flag('worker_timeout', workers.DEFAULT_TIMEOUT,
         'with several processes (runtime/launch.py or TF_CONFIG): the job ends on all of them so '
         'long after one of them hangs or loses its connection, at once where one dies; at the '
         'start all wait %d times as long for each other' % workers.START_TIMEOUTS,
         positive_float, metavar='SECONDS', since=4, is_free=True),
    Flag('estimate', False,
         'say how long the run would take here, by a few steps, and leave: nothing is written',
         bool, since=5, is_free=True),
    Flag('time_limit', None,
         'save and leave in time, with exit status 75; the same command goes on', positive_float,
         metavar='MINUTES', since=2, is_free=True),
    Flag('patience', None, 'end after so many evaluations without a better one', positive_int,
         metavar='EVALUATIONS', since=2, is_free=True),
    Flag('max_steps', 30000, 'the step at which the run ends', positive_int, is_free=True),
    Flag('minutes', None,
         'end after so many minutes from now, in place of --max_steps: as many steps as some that '
         'are measured say, with evaluations and checkpoints; falling rates fall in that time',
         positive_float, since=5, is_free=True),
    Flag('epochs', None, 'end after so many passes over the train split, in place of --max_steps',
         positive_int, since=4, is_free=True),
    Flag('eval_every_steps', 1000, 'steps between evaluations of the whole validation split',
         positive_int, is_free=True),
    Flag('save_every_steps', 500, 'steps between checkpoints: what a killed run loses at most',
         positive_int, is_free=True),
    Flag('summary_every_steps', 50, 'steps between TensorBoard summaries', positive_int,
         is_free=True),
    Flag('log_every_steps', 10,
         'steps between lines where there is no terminal for a progress bar', positive_int,
         since=2, is_free=True),
    Flag('keep_checkpoints', 2, 'how many of the latest checkpoints stay, beside the best',
         positive_int, since=2, is_free=True),
    Flag('best_metric', 'mean_iou',
         'what the best checkpoint is best in, on the validation split: mean IoU, or as in the '
         'post the mean of all validation losses so far', choices=('mean_iou', 'running_loss'),
         since=2))

_NETWORK = (
    Flag('resnet_model', 'resnet_v2_50', 'the backbone', is_posts=True),
    Flag('output_stride', 16,
         'input size over feature map size; 32 is without atrous convolution', whole_number,
         choices=architecture.OUTPUT_STRIDES, is_posts=True),
    Flag('multi_grid', None,
         'rates of the units of block4 (default: 1 2 4; 1 1 1 at output stride 32)', positive_int,
         nargs=3, metavar='RATE'),
    Flag('aspp_rates', None,
         'rates of the 3x3 branches (default: 6 12 18 at output stride 16, 12 24 36 at 8, 3 6 9 '
         'at 32)', positive_int, nargs=3, metavar='RATE'),
    Flag('aspp_relu', False,
         'a ReLU after each batch norm of ASPP, as the paper is usually read', bool, since=2),
    Flag('align_corners', True,
         'resize the logits with aligned corners; the post does not, and lands up to '
         'output_stride pixels too far to the upper left', bool),
    Flag('input_normalization', 'mean',
         "mean: subtract it, as the post does; inception: to [-1, 1], with which tf-slim's "
         'ImageNet weights were trained', choices=INPUT_NORMALIZATIONS, since=2),
    Flag('number_of_classes', None,
         'must be that of the data set, where it is read from by default', positive_int,
         is_posts=True),
    Flag('batch_norm_epsilon', 1e-5, 'added to the variance', positive_float, is_posts=True),
    Flag('batch_norm_decay', 0.9997,
         'of the moving statistics; runs of less than some 10,000 steps need a smaller one, such '
         'as 0.99', decay_rate, is_posts=True),
    Flag('l2_regularizer', 1e-4, 'weight decay of every convolution', non_negative_float,
         is_posts=True))

_OPTIMIZATION = (
    Flag('optimizer', 'adam', None, choices=('adam', 'momentum'), since=2),
    Flag('momentum', 0.9, 'of that optimizer', decay_rate, since=2),
    Flag('starting_learning_rate', 1e-5, 'the learning rate before its policy lowers it',
         non_negative_float, is_posts=True),
    Flag('learning_rate_policy', 'constant',
         'poly: falls to 0 at --max_steps, with the power 0.9 of the paper; piecewise: times '
         '--learning_rate_decay at each of --learning_rate_boundaries',
         choices=('constant', 'poly', 'piecewise')),
    Flag('learning_rate_boundaries', None, 'of the policy piecewise, in rising order',
         positive_int, nargs='+', metavar='STEP', since=2),
    Flag('learning_rate_decay', 0.1, 'of the policy piecewise', non_negative_float, since=2),
    Flag('warmup_steps', 0, 'steps over which the learning rate rises from almost 0',
         non_negative_int, since=2),
    Flag('batch_size', 8, 'images in a step, of all workers together', positive_int,
         is_posts=True),
    Flag('accumulate_steps', 1,
         'parts in which the batch, or the share of a worker, is computed, to save memory; batch '
         'norm sees the parts one by '
         'one, and --hard_example_fraction chooses within each. In parts of one image, that of '
         'the image-level features, which needs two values, uses its moving statistics as they '
         'are', positive_int, since=2),
    Flag('ema_decay', 0.0,
         'average the weights with this decay, such as 0.999, and evaluate and keep the average '
         '(0: do not)', decay_rate, since=2),
    Flag('class_weights', 'none',
         'weights of the classes in the loss; a file gives them as JSON (list, or object by name) '
         'or as lines of name,weight', metavar='none|median_frequency|FILE', since=2),
    Flag('hard_example_fraction', 1.0,
         'only this share of the pixels, those with the largest losses in the batch (or its part, '
         'with --accumulate_steps), counts', share, since=2),
    Flag('hard_example_steps', 0, 'steps over which that share falls from 1', non_negative_int,
         since=2),
    Flag('freeze_batch_norm', False,
         'use the statistics of --init_from and leave them, and the scales and offsets of batch '
         'norm, as they are', bool, since=2),
    Flag('sync_batch_norm', False,
         'batch norm takes mean and variance over the parts of all workers; without it each has '
         'those of its own part, and the moving statistics are the chief\'s', bool, since=4))

_AUGMENTATION = (
    Flag('crop_size', 513, 'height and width of a training crop in pixels', positive_int,
         is_posts=True),
    Flag('min_scale', 0.5, 'smallest random scale', any_number),
    Flag('max_scale', 2.0, 'largest random scale', any_number),
    Flag('align_scaling', True,
         'scale with aligned corners; the post does not, and moves labels by up to half a pixel',
         bool, since=2),
    Flag('crop_position', 'random', 'where crops lie; the post takes the center',
         choices=('random', 'center'), since=2),
    Flag('padding', 'mean',
         'what small images are padded with: the colour that becomes 0 in the network, or black '
         'as in the post', choices=('mean', 'zero'), since=2),
    Flag('random_flip', True, 'mirror left and right half of the time', bool),
    Flag('color_jitter', True, 'change brightness, saturation, hue and contrast', bool))

GROUPS = {'run': _RUN, 'network': _NETWORK, 'optimization': _OPTIMIZATION,
          'augmentation': _AUGMENTATION}
FLAGS = tuple(flag for flags in GROUPS.values() for flag in flags)
SWITCHES = frozenset(flag.name for flag in FLAGS if flag.type is bool)
# What --config leaves alone: where a run reads and writes, and on what machine.
_OF_PLACE = {'dataset_dir', 'model_dir', 'resume', 'gpu_id', 'allow_unsupported_gpu', 'num_threads',
             'mixed_precision', 'xla', 'worker_timeout', 'time_limit', 'minutes', 'estimate',
             'number_of_classes'}


def pick(options, args):
    """Returns a NamedTuple class `options` filled with the flags of its fields' names."""
    return options(**{name: getattr(args, name) for name in options._fields})


def _add(group, flag):
    """Adds a flag to a group of an `argparse.ArgumentParser`."""
    name, text = '--' + flag.name, flag.help
    if flag.name == 'recipe':
        text = '; '.join('%s: %s, %s' % (recipe, recipes.DESCRIPTIONS[recipe], described_flags(
            recipes.RECIPES[recipe])) for recipe in recipes.RECIPES)
    if flag.type is bool:
        group.add_argument(name, dest=flag.name, action='store_true', default=flag.default,
                           help='%s (default: %s)' % (text, 'on' if flag.default else 'off'))
        group.add_argument('--no_' + flag.name, dest=flag.name, action='store_false',
                           help='the opposite')
        return
    # Looked up late, so that what is added to the models can be chosen.
    choices = sorted(architecture.MODELS) if flag.name == 'resnet_model' else flag.choices
    group.add_argument(name, default=flag.default, type=flag.type, choices=choices,
                       nargs=flag.nargs, metavar=flag.metavar, help=text)


def parse(argv=None, description=None):
    """Parses and checks the flags of `train.py`.

    The recipe or the file of --config decides the defaults, what is typed decides over it.

    Args:
      argv: list of str, or None for those of the process.
      description: str, what --help begins with.

    Returns:
      `argparse.Namespace`; `number_of_classes` may still be None, and so may `init_from` and what
      a recipe sets by data, machine or time, until `planning.resolve`.

    Raises:
      SystemExit: an unknown flag, a wrong type, or an impossible combination.
    """
    parser = Parser(description)
    for title, flags in GROUPS.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            _add(group, flag)
    parser.add_argument('--config', metavar='FILE',
                        help='the config.json of a run: its flags become the defaults, but for '
                             'those of folders, machine and time')
    # What is not typed stays None in a namespace that has it already.
    typed = {name: value for name, value in vars(parser.parse_args(argv, argparse.Namespace(
        config=None, **{flag.name: None for flag in FLAGS}))).items() if value is not None}
    try:
        parser.set_defaults(**_defaults(typed))
    except UserError as error:
        parser.error(str(error))
    args = parser.parse_args(argv)
    del args.config
    _follow_stride(args)
    try:
        flag_checks.check_combinations(args)
    except UserError as error:
        parser.error(str(error))
    return args


def _defaults(typed):
    """Returns the defaults of flags, a dict, by the flags that are typed; raises `UserError`."""
    for flags in (('config', 'recipe'), ('max_steps', 'epochs'), ('max_steps', 'minutes'),
                  ('epochs', 'minutes')):
        if all(flag in typed for flag in flags):
            raise UserError('--%s and --%s both say the same; give one of them' % flags)
    if 'config' not in typed:
        defaults = of_recipe(typed.get('recipe', recipes.DEFAULT))
    else:
        defaults = _defaults_of_run(typed)
    if 'epochs' in typed or 'minutes' in typed:
        defaults['max_steps'] = None
    return defaults


def _defaults_of_run(typed):
    """`_defaults` by the file of --config."""
    defaults = _flags_of(typed['config'])
    if 'max_steps' in typed or 'minutes' in typed:
        defaults['epochs'] = None
    of_stride = argparse.Namespace(output_stride=defaults['output_stride'], multi_grid=None,
                                   aspp_rates=None)
    _follow_stride(of_stride)
    for name, value in vars(of_stride).items():
        if name != 'output_stride' and defaults[name] == value:
            defaults[name] = None
    return defaults


def _follow_stride(args):
    """Fills in the rates that hang on the output stride, where they are not given."""
    if args.multi_grid is None:
        args.multi_grid = [1, 1, 1] if args.output_stride == 32 else [1, 2, 4]
    if args.aspp_rates is None:
        args.aspp_rates = list(architecture.default_aspp_rates(args.output_stride))


def _flags_of(path):
    """Returns the flags of a config.json, a dict, but those of the place; raises `UserError`."""
    try:
        config = files.read_json(path)
    except OSError as error:
        raise UserError('--config %s cannot be read (%s): give the config.json of a run'
                        % (path, error.strerror))
    flags = config.get('flags') if isinstance(config, dict) else None
    if not isinstance(flags, dict):
        raise UserError('--config %s has no "flags": give the config.json of a run' % path)
    unknown = sorted(set(flags) - {flag.name for flag in FLAGS})
    if unknown:
        raise UserError('--config %s has flags that this code does not know: %s'
                        % (path, ', '.join(unknown)))
    # What an older file lacks is as the default says.
    return with_start({flag.name: flags.get(flag.name, flag.default) for flag in FLAGS
                       if flag.name not in _OF_PLACE})


def with_start(flags):
    """Returns flags of a config.json; in older ones --init_from is null where it is random."""
    return dict(flags, init_from=flags.get('init_from') or recipes.RANDOM)


def described_flags(flags):
    """Returns a recipe's flags as they are typed, a str, or what decides their values."""
    return ' '.join(as_options({
        name: '(by %s)' % value.decided_by if callable(value) else value
        for name, value in flags.items()}))


def describe_recipe(args):
    """Says which flags the recipe set, and which of them were overridden. Returns str."""
    flags = of_recipe(args.recipe)
    overridden = {name: getattr(args, name) for name, value in flags.items()
                  if value not in (None, getattr(args, name))}
    text = 'Recipe %s: %s' % (args.recipe, described_flags(recipes.RECIPES[args.recipe]))
    if overridden:
        text += '\n  overridden: %s' % ' '.join(as_options(overridden))
    return text
