"""Flags that are defined once, and the run configuration that a run directory keeps.

A run directory holds `config.json`: the resolved flags, the versions, the commit
and the data set's fingerprint. Test, export and notebook load it strictly.
"""
import argparse
import json
import os
import platform
import subprocess

import network
from common.errors import UserError
from common.flag_types import (decay_rate, non_negative_float,
                               non_negative_int, positive_float, positive_int,
                               share)
from dataset import descriptor
from experiment import recipes
from resnet import architecture
from runtime import tf

CONFIG_NAME = 'config.json'
# The flags of the post's code, beside its checkpoints.
POST_CONFIG_NAME = 'data.json'
FORMAT_VERSION = 2
# What runs of older versions did, for flags that did not exist yet.
ADDED_FLAGS = {1: dict(
    recipe='post', resume='auto', allow_missing=[], optimizer='adam', momentum=0.9,
    learning_rate_boundaries=None, learning_rate_decay=0.1, warmup_steps=0, accumulate_steps=1,
    freeze_batch_norm=False, best_metric='mean_iou', crop_position='random', padding='mean',
    align_scaling=True, input_normalization='mean', aspp_relu=False, log_every_steps=10,
    keep_checkpoints=2, ema_decay=0.0, patience=None, time_limit=None, num_threads=None,
    overfit=None, class_weights='none', hard_example_fraction=1.0, hard_example_steps=0)}

# A run may be continued with other values of these; all else decides its result.
FREE_ON_RESUME = ('max_steps', 'eval_every_steps', 'save_every_steps', 'summary_every_steps',
                  'gpu_id', 'model_dir', 'dataset_dir', 'recipe', 'resume', 'allow_missing',
                  'log_every_steps', 'keep_checkpoints', 'patience', 'time_limit', 'num_threads')
LEARNING_RATE_POLICIES = ('constant', 'poly', 'piecewise')
BEST_METRICS = ('mean_iou', 'running_loss')
# Flags that are True or False; --no_NAME makes them False.
SWITCHES = ('align_corners', 'aspp_relu', 'freeze_batch_norm', 'random_flip', 'color_jitter',
            'align_scaling')


def add_switch(group, name, default, help):
    """Adds --NAME and --no_NAME, so that what a recipe switches can be switched back."""
    group.add_argument('--' + name, dest=name, action='store_true', default=default,
                       help='%s (default: %s)' % (help, 'on' if default else 'off'))
    group.add_argument('--no_' + name, dest=name, action='store_false', help='the opposite')


def add_network_flags(parser):
    """Adds the flags that decide the graph; most names are the post's."""
    group = parser.add_argument_group('network')
    group.add_argument('--resnet_model', default='resnet_v2_50',
                       choices=sorted(architecture.MODELS),
                       help='the backbone')
    group.add_argument('--output_stride', type=int, default=16,
                       choices=architecture.OUTPUT_STRIDES,
                       help='input size over feature map size; 32 is without atrous convolution')
    group.add_argument('--multi_grid', type=positive_int, nargs=3, metavar='RATE',
                       help='rates of the units of block4 (default: 1 2 4; 1 1 1 at output '
                            'stride 32)')
    group.add_argument('--aspp_rates', type=positive_int, nargs=3, metavar='RATE',
                       help='rates of the 3x3 branches (default: 6 12 18 at output stride 16, '
                            '12 24 36 at 8, 3 6 9 at 32)')
    add_switch(group, 'aspp_relu', False, 'a ReLU after each batch norm of ASPP, as the paper is '
               'usually read')
    add_switch(group, 'align_corners', True, 'resize the logits with aligned corners; the post '
               'does not, and lands up to output_stride pixels too far to the upper left')
    group.add_argument('--input_normalization', default='mean',
                       choices=network.INPUT_NORMALIZATIONS,
                       help="mean: subtract it, as the post does; inception: to [-1, 1], with "
                            "which tf-slim's ImageNet weights were trained")
    group.add_argument('--number_of_classes', type=positive_int,
                       help='must be that of the data set, where it is read from by default')
    group.add_argument('--batch_norm_epsilon', type=non_negative_float, default=1e-5,
                       help='added to the variance')
    group.add_argument('--batch_norm_decay', type=decay_rate, default=0.9997,
                       help='of the moving statistics; runs of less than some 10,000 steps need '
                            'a smaller one, such as 0.99')
    group.add_argument('--l2_regularizer', type=non_negative_float, default=1e-4,
                       help='weight decay of every convolution')


def add_run_flags(parser):
    """Adds the flags of where a run reads and writes, and of how it starts."""
    group = parser.add_argument_group('run')
    group.add_argument('--recipe', default=recipes.DEFAULT, choices=list(recipes.RECIPES),
                       help='; '.join('%s: %s, %s' % (
                           name, recipes.DESCRIPTIONS[name],
                           ' '.join(recipes.as_options(flags, SWITCHES)))
                           for name, flags in recipes.RECIPES.items()))
    group.add_argument('--dataset_dir', default='dataset/tfrecords',
                       help="the folder that holds dataset.json, or the post's raw records")
    group.add_argument('--model_dir', default='runs/deeplab_v3',
                       help='the run directory; a run that is found there is continued')
    group.add_argument('--resume', default='auto', choices=('auto', 'always', 'never'),
                       help='what to do with a run in --model_dir: continue it where there is '
                            'one, insist on one, or refuse to')
    group.add_argument('--init_from', metavar='CHECKPOINT',
                       help='start from these weights, at step 0: imagenet, a run directory, or '
                            "a checkpoint of this project, of the post's code or of tf-slim; "
                            'without it, initialisation is random')
    group.add_argument('--allow_missing', nargs='+', default=[], metavar='NAME',
                       help='variables, or scopes such as DeepLab_v3, that --init_from may lack; '
                            'they are randomly initialised')
    group.add_argument('--seed', type=int, default=0,
                       help='of data order, augmentation and initialisation. Equal runs are equal '
                            'bit for bit on a CPU with --num_threads 1; with more threads, and on '
                            'GPUs, sums are added up in any order, so the last bits of the weights '
                            'differ and drift apart, while data and initialisation stay equal')
    group.add_argument('--gpu_id', help='the GPUs to use, such as 0 (default: those that '
                                        'CUDA_VISIBLE_DEVICES shows; -1: none)')
    group.add_argument('--num_threads', type=positive_int,
                       help='of the CPU (default: one for each core)')
    group.add_argument('--overfit', type=positive_int, metavar='N',
                       help='train on the first N images and evaluate on the same, to see whether '
                            'data and settings can be learned at all; TensorBoard and '
                            'metrics.jsonl name these scores "validation" all the same')
    group.add_argument('--time_limit', type=positive_float, metavar='MINUTES',
                       help='save and leave in time; the same command goes on')
    group.add_argument('--patience', type=positive_int, metavar='EVALUATIONS',
                       help='end after so many evaluations without a better one')
    group.add_argument('--max_steps', type=positive_int, default=30000,
                       help='the step at which the run ends')
    group.add_argument('--eval_every_steps', type=positive_int, default=1000,
                       help='steps between evaluations of the whole validation split')
    group.add_argument('--save_every_steps', type=positive_int, default=500,
                       help='steps between checkpoints: what a killed run loses at most')
    group.add_argument('--summary_every_steps', type=positive_int, default=50,
                       help='steps between TensorBoard summaries')
    group.add_argument('--log_every_steps', type=positive_int, default=10,
                       help='steps between lines where there is no terminal for a progress bar')
    group.add_argument('--keep_checkpoints', type=positive_int, default=2,
                       help='how many of the latest checkpoints stay, beside the best')
    group.add_argument('--best_metric', default='mean_iou', choices=BEST_METRICS,
                       help='what the best checkpoint is best in, on the validation split: mean '
                            'IoU, or as in the post the mean of all validation losses so far')


def add_optimization_flags(parser):
    """Adds the flags of optimizer, learning rate and batch."""
    group = parser.add_argument_group('optimization')
    group.add_argument('--optimizer', default='adam', choices=('adam', 'momentum'))
    group.add_argument('--momentum', type=decay_rate, default=0.9, help='of that optimizer')
    group.add_argument('--starting_learning_rate', type=non_negative_float, default=1e-5,
                       help='the learning rate before its policy lowers it')
    group.add_argument('--learning_rate_policy', default='constant',
                       choices=LEARNING_RATE_POLICIES,
                       help='poly: falls to 0 at --max_steps, with the power 0.9 of the paper; '
                            'piecewise: times --learning_rate_decay at each of '
                            '--learning_rate_boundaries')
    group.add_argument('--learning_rate_boundaries', type=positive_int, nargs='+', metavar='STEP',
                       help='of the policy piecewise, in rising order')
    group.add_argument('--learning_rate_decay', type=non_negative_float, default=0.1,
                       help='of the policy piecewise')
    group.add_argument('--warmup_steps', type=non_negative_int, default=0,
                       help='steps over which the learning rate rises from almost 0')
    group.add_argument('--batch_size', type=positive_int, default=8, help='images in a step')
    group.add_argument('--accumulate_steps', type=positive_int, default=1,
                       help='parts in which the batch is computed, to save memory; batch norm '
                            'sees the parts one by one, and --hard_example_fraction chooses '
                            'within each')
    group.add_argument('--ema_decay', type=decay_rate, default=0.0,
                       help='average the weights with this decay, such as 0.999, and evaluate and '
                            'keep the average (0: do not)')
    group.add_argument('--class_weights', default='none', metavar='none|median_frequency|FILE',
                       help='weights of the classes in the loss; a file gives them as JSON (list, '
                            'or object by name) or as lines of name,weight')
    group.add_argument('--hard_example_fraction', type=share, default=1.0,
                       help='only this share of the pixels, those with the largest losses in the '
                            'batch (or its part, with --accumulate_steps), counts')
    group.add_argument('--hard_example_steps', type=non_negative_int, default=0,
                       help='steps over which that share falls from 1')
    add_switch(group, 'freeze_batch_norm', False, 'use the statistics of --init_from and leave '
               'them, and the scales and offsets of batch norm, as they are')


def add_augmentation_flags(parser):
    """Adds the flags of `preprocessing.augmentation`."""
    group = parser.add_argument_group('augmentation')
    group.add_argument('--crop_size', type=positive_int, default=513,
                       help='height and width of a training crop in pixels')
    group.add_argument('--min_scale', type=float, default=0.5, help='smallest random scale')
    group.add_argument('--max_scale', type=float, default=2.0, help='largest random scale')
    add_switch(group, 'align_scaling', True, 'scale with aligned corners; the post does not, and '
               'moves labels by up to half a pixel')
    group.add_argument('--crop_position', default='random', choices=('random', 'center'),
                       help='where crops lie; the post takes the center')
    group.add_argument('--padding', default='mean', choices=('mean', 'zero'),
                       help='what small images are padded with: the colour that becomes 0 in the '
                            'network, or black as in the post')
    add_switch(group, 'random_flip', True, 'mirror left and right half of the time')
    add_switch(group, 'color_jitter', True, 'change brightness, saturation, hue and contrast')


def build_parser(description=None):
    """Returns the `argparse.ArgumentParser` of `train.py`, with the default recipe's values."""
    parser = argparse.ArgumentParser(
        description=description, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    for add_flags in (add_run_flags, add_network_flags, add_optimization_flags,
                      add_augmentation_flags):
        add_flags(parser)
    return parser


def parse_train_flags(argv=None, description=None):
    """Parses and checks the flags of `train.py`.

    The recipe decides the defaults, what is typed decides over it.

    Returns:
      `argparse.Namespace`; `number_of_classes` may still be None.

    Raises:
      UserError: an unknown flag, a wrong type, or an impossible combination.
    """
    parser = build_parser(description)
    recipe = parser.parse_args(argv).recipe
    parser.set_defaults(**recipes.RECIPES[recipe])
    args = parser.parse_args(argv)
    if args.multi_grid is None:
        args.multi_grid = [1, 1, 1] if args.output_stride == 32 else [1, 2, 4]
    if args.aspp_rates is None:
        args.aspp_rates = list(architecture.default_aspp_rates(args.output_stride))
    try:
        _check_combinations(args)
    except ValueError as error:
        parser.error(str(error))
    return args


def _check_combinations(args):
    """Raises ValueError for flags that do not go together."""
    if not 0 < args.min_scale <= args.max_scale < float('inf'):
        raise UserError('--min_scale %g --max_scale %g: give 0 < min_scale <= max_scale'
                        % (args.min_scale, args.max_scale))
    if set(args.model_dir) & set('*?[]'):
        raise UserError('--model_dir %s: TensorFlow cannot restore from a path with * ? [ or ]'
                        % args.model_dir)
    try:
        architecture.check_output_stride(args.output_stride, args.multi_grid)
    except ValueError as error:
        raise UserError('--output_stride %d --multi_grid %s: %s'
                        % (args.output_stride, ' '.join(map(str, args.multi_grid)), error))
    boundaries = args.learning_rate_boundaries
    if (args.learning_rate_policy == 'piecewise') != (boundaries is not None):
        raise UserError('--learning_rate_policy %s with%s --learning_rate_boundaries: piecewise '
                        'needs them, and no other policy takes them'
                        % (args.learning_rate_policy, '' if boundaries else 'out'))
    if boundaries and any(a >= b for a, b in zip(boundaries, boundaries[1:])):
        raise UserError('--learning_rate_boundaries %s: give them in rising order'
                        % ' '.join(map(str, boundaries)))
    if args.batch_size % args.accumulate_steps:
        raise UserError('--batch_size %d --accumulate_steps %d: the batch must divide into equal '
                        'parts' % (args.batch_size, args.accumulate_steps))
    if args.hard_example_steps and args.hard_example_fraction == 1:
        raise UserError('--hard_example_steps %d without --hard_example_fraction: the share to '
                        'fall to is missing' % args.hard_example_steps)
    if args.freeze_batch_norm and not args.init_from:
        raise UserError('--freeze_batch_norm without --init_from: there are no statistics to '
                        'freeze yet; give the weights of an earlier run')
    if args.allow_missing and not args.init_from:
        raise UserError('--allow_missing %s without --init_from: nothing is restored'
                        % ' '.join(args.allow_missing))


def describe_recipe(args):
    """Says which flags the recipe set, and which of them were overridden. Returns str."""
    flags = recipes.RECIPES[args.recipe]
    overridden = {name: getattr(args, name) for name, value in flags.items()
                  if getattr(args, name) != value}
    text = 'Recipe %s: %s' % (args.recipe, ' '.join(recipes.as_options(flags, SWITCHES)))
    if overridden:
        text += '\n  overridden: %s' % ' '.join(recipes.as_options(overridden, SWITCHES))
    return text


def resolve_classes(args, info):
    """Fills in `args.number_of_classes` from the data set, or checks it against it.

    Raises:
      UserError: the flag and the data set disagree.
    """
    if args.number_of_classes not in (None, info.number_of_classes):
        raise UserError('--number_of_classes %d, but the data set "%s" in %s has %d classes (%s). '
                        'Leave the flag out to take the number from the data set.'
                        % (args.number_of_classes, info.name, args.dataset_dir,
                            info.number_of_classes, ', '.join(info.class_names)))
    args.number_of_classes = info.number_of_classes


def with_output_stride(args, output_stride):
    """Returns a copy of `args` for another output stride, with the ASPP rates that fit.

    The rates are measured on the feature map: at half the stride they double
    (paper, section 3.3).

    Raises:
      UserError: a rate would not be whole, or the stride cannot be built.
    """
    scaled = argparse.Namespace(**vars(args))
    if output_stride in (None, args.output_stride):
        return scaled
    products = [rate * args.output_stride for rate in args.aspp_rates]
    try:
        architecture.check_output_stride(output_stride, args.multi_grid)
        if any(product % output_stride for product in products):
            raise UserError('the ASPP rates %s at stride %d have no whole equivalent.'
                            % (args.aspp_rates, args.output_stride))
    except ValueError as error:
        raise UserError('--output_stride %s for a run trained at %d: %s'
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


def save(args, model_dir, class_weights=None):
    """Writes config.json: flags, versions, commit and the fingerprint of the data.

    Args:
      args: the resolved flags.
      model_dir: str, an existing folder.
      class_weights: None, or list of float, what --class_weights came to.
    """
    write_json({
        'format_version': FORMAT_VERSION,
        'flags': vars(args),
        'class_weights': class_weights,
        'versions': {'python': platform.python_version(), 'tensorflow': tf.__version__},
        'commit': _commit(),
        'dataset': {'fingerprint': descriptor.fingerprint(args.dataset_dir)},
    }, os.path.join(model_dir, CONFIG_NAME))


def load(run_dir):
    """Reads the flags of a run, of `train.py` or of the post's code.

    Args:
      run_dir: str.

    Returns:
      `argparse.Namespace` with exactly the flags that `train.py` has.

    Raises:
      UserError: no config.json, one of another version, or missing or unknown flags.
    """
    if is_post_run(run_dir):
        return _load_post(os.path.join(run_dir, POST_CONFIG_NAME))
    return argparse.Namespace(**_read(run_dir)['flags'])


def is_run_dir(folder):
    """Whether a folder holds a run's flags, of `train.py` or of the post's code."""
    return os.path.exists(os.path.join(folder, CONFIG_NAME)) or is_post_run(folder)


def is_post_run(folder):
    """Whether a folder holds the flags of a run of the post's code, and none of `train.py`."""
    return (os.path.exists(os.path.join(folder, POST_CONFIG_NAME))
            and not os.path.exists(os.path.join(folder, CONFIG_NAME)))


def _load_post(path):
    """Reads a data.json: its flags, and what the post's code builds whatever they say."""
    flags = read_json(path)
    required = ('number_of_classes', 'output_stride')
    if not isinstance(flags, dict) or any(name not in flags for name in required):
        raise UserError("%s does not hold the flags of the post's train.py: %s must be there."
                        % (path, ' and '.join(required)))
    args = vars(parse_train_flags(['--recipe', 'post_code']))
    # Earlier versions of that code have neither --crop_size nor --resnet_model.
    for name in ('number_of_classes', 'output_stride', 'resnet_model', 'batch_norm_epsilon',
                 'batch_norm_decay', 'l2_regularizer', 'starting_learning_rate', 'crop_size',
                 'batch_size'):
        args[name] = flags.get(name, args[name])
    # --multi_grid and the rates at other strides never reach its network.
    args.update(multi_grid=[1, 2, 4], aspp_rates=[6, 12, 18])
    try:
        architecture.check_model(args['resnet_model'])
        architecture.check_output_stride(args['output_stride'], args['multi_grid'])
    except ValueError as error:
        raise UserError('%s: %s' % (path, error))
    return argparse.Namespace(**args)


def read_json(path):
    """Reads JSON.

    Raises:
      UserError: the file holds something else.
    """
    with open(path) as f:
        try:
            return json.load(f)
        except ValueError as error:
            raise UserError('%s is not JSON (%s).' % (path, error))


def _read(run_dir):
    path = os.path.join(run_dir, CONFIG_NAME)
    if not os.path.exists(path):
        raise UserError('%s is not there: %s is not a run directory of train.py.'
                        % (path, run_dir))
    config = read_json(path)
    if not isinstance(config, dict):
        raise UserError('%s is not a run configuration.' % path)
    version = config.get('format_version')
    if version != FORMAT_VERSION and version not in ADDED_FLAGS:
        raise UserError('%s has format_version %r; this code reads %d and older.'
                        % (path, version, FORMAT_VERSION))
    if not isinstance(config.get('flags'), dict) or not isinstance(config.get('dataset'), dict):
        raise UserError('%s has no "flags" or no "dataset": it is damaged.' % path)
    config['flags'] = dict(ADDED_FLAGS.get(version, {}), **config['flags'])
    known = set(vars(parse_train_flags([])))
    difference = known.symmetric_difference(config['flags'])
    if difference:
        raise UserError('%s: flags missing or unknown to this code: %s. It was written by '
                        'commit %s.' % (path, ', '.join(sorted(difference)),
                                        config.get('commit')))
    return config


def check_resume(args, model_dir):
    """Makes sure that a run is continued as it was begun.

    Raises:
      UserError: a flag that decides the result, or the data set, is another one.
    """
    config = _read(model_dir)
    flags = vars(args)
    free = set(FREE_ON_RESUME)
    if args.learning_rate_policy == 'poly':
        free.remove('max_steps')  # the whole schedule hangs on it
    changed = ['%s (was: %s)' % (recipes.option(name, flags[name], SWITCHES), value)
               for name, value in sorted(config['flags'].items())
               if name not in free and flags[name] != value]
    if changed:
        raise UserError('%s holds a run with other flags: %s.\nContinue it with its own flags, '
                        'or give another --model_dir (with --init_from %s to start from its '
                        'weights).' % (model_dir, ', '.join(changed), model_dir))
    if config['dataset']['fingerprint'] != descriptor.fingerprint(args.dataset_dir):
        raise UserError('%s was trained on another data set than %s now holds. Give the '
                        '--dataset_dir it was begun with, or another --model_dir (with '
                        '--init_from %s to start from its weights).'
                        % (model_dir, args.dataset_dir, model_dir))


def check_class_weights(class_weights, model_dir):
    """Makes sure that a run is continued with the class weights it was begun with.

    Args:
      class_weights: None, or list of float.
      model_dir: str.

    Raises:
      UserError: the file of --class_weights was changed.
    """
    before = _read(model_dir).get('class_weights', class_weights)
    if before != class_weights:
        raise UserError('--class_weights are %s now, but %s was begun with %s. Continue it with '
                        'those, or give another --model_dir (with --init_from %s).'
                        % (class_weights, model_dir, before, model_dir))
