"""config.json, what a run directory keeps of how it was begun, and the post's data.json.

Test, predict, export and the notebook load it strictly: only evaluation settings can be
overridden.
"""
import argparse
import os
import platform
import subprocess

from common import files
from common.errors import UserError
from dataset import descriptor, palette, voc
from experiment import recipes, train_flags
from experiment.train_flags import FLAGS
from resnet import architecture
from runtime import devices, tf

CONFIG_NAME = 'config.json'
# For a file that is gone or damaged.
_WAY_OUT = ('Put a copy of it back: the command that the run was begun with writes an equal one '
            'with another --model_dir and --time_limit 0.001. Or give train.py another '
            '--model_dir, with --init_from %s to start from the weights.')
# The flags of the post's code, beside its checkpoints.
POST_CONFIG_NAME = 'data.json'
FORMAT_VERSION = 5


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


def resolve_steps(args, info):
    """Fills in `args.max_steps` where --epochs is given: so many passes over the train split."""
    if args.epochs:
        num_examples = info.splits['train']['num_examples']
        if args.overfit:
            num_examples = min(args.overfit, num_examples)
        args.max_steps = -(-args.epochs * num_examples // args.batch_size)
        print('%d epochs of %d images in batches of %d: %d steps.'
              % (args.epochs, num_examples, args.batch_size, args.max_steps))


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
    except UserError as error:
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


def save(args, model_dir, class_weights=None):
    """Writes config.json: flags, versions, commit, the classes and the fingerprint of the data.

    --mixed_precision auto is kept as what it came to here.

    Args:
      args: the resolved flags.
      model_dir: str, an existing folder.
      class_weights: None, or list of float, what --class_weights came to.
    """
    info = descriptor.load(args.dataset_dir)
    files.write_json({
        'format_version': FORMAT_VERSION,
        'flags': dict(vars(args), mixed_precision=devices.mixed_precision() or 'off'),
        'class_weights': class_weights,
        'versions': {'python': platform.python_version(), 'tensorflow': tf.__version__},
        'commit': _commit(),
        'dataset': {'fingerprint': descriptor.fingerprint(args.dataset_dir), 'name': info.name,
                    'class_names': info.class_names, 'ignore_label': info.ignore_label,
                    'colors': palette.of_classes(info), 'bands': info.bands,
                    'value_range': info.value_range},
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


def load_classes(run_dir):
    """Reads what a run knows of its classes.

    Args:
      run_dir: str.

    Returns:
      `descriptor.DatasetInfo` without splits, or None: runs of earlier commits do not know, nor
      do those of the post's code unless they have as many classes as VOC, which it is for.

    Raises:
      UserError: as `load`, or the classes contradict each other.
    """
    args = load(run_dir)
    if is_post_run(run_dir):
        is_voc = args.number_of_classes == len(voc.CLASS_NAMES)
        return descriptor.of_raw_records() if is_voc else None
    path, dataset = os.path.join(run_dir, CONFIG_NAME), _read(run_dir)['dataset']
    if 'class_names' not in dataset:
        return None
    try:
        info = descriptor.create(dataset['name'], dataset['class_names'],
                                 dataset['ignore_label'], None, dataset['colors'],
                                 # Runs of earlier commits do not know.
                                 dataset.get('bands'), dataset.get('value_range'))
    except (KeyError, UserError) as error:
        raise UserError('%s: the classes in "dataset" are damaged: %s' % (path, error))
    if info.number_of_classes != args.number_of_classes:
        raise UserError('%s names %d classes, but number_of_classes is %d: it is damaged.'
                        % (path, info.number_of_classes, args.number_of_classes))
    return info


def is_trained_on(run_dir, dataset_dir):
    """Whether a data set is just as it was when a run of `train.py` last began. Returns bool."""
    return _read(run_dir)['dataset'].get('fingerprint') == descriptor.fingerprint(dataset_dir)


def is_run_dir(folder):
    """Whether a folder holds a run's flags, of `train.py` or of the post's code."""
    return os.path.exists(os.path.join(folder, CONFIG_NAME)) or is_post_run(folder)


def is_post_run(folder):
    """Whether a folder holds the flags of a run of the post's code, and none of `train.py`."""
    return (os.path.exists(os.path.join(folder, POST_CONFIG_NAME))
            and not os.path.exists(os.path.join(folder, CONFIG_NAME)))


def _load_post(path):
    """Reads a data.json: its flags, and what the post's code builds whatever they say."""
    try:
        flags = files.read_json(path)
    except UserError as error:
        raise UserError("%s Put a copy of it back, or write what the post's train.py was given: "
                        '{"number_of_classes": N, "output_stride": 16}.' % error)
    required = ('number_of_classes', 'output_stride')
    if not isinstance(flags, dict) or any(name not in flags for name in required):
        raise UserError("%s does not hold the flags of the post's train.py: %s must be there."
                        % (path, ' and '.join(required)))
    args = vars(train_flags.parse(['--recipe', 'post_code', '--init_from', recipes.IMAGENET]))
    # Earlier versions of that code have neither --crop_size nor --resnet_model.
    args.update((flag.name, flags[flag.name]) for flag in FLAGS
                if flag.is_posts and flag.name in flags)
    # --multi_grid and the rates at other strides never reach its network.
    args.update(multi_grid=[1, 2, 4], aspp_rates=[6, 12, 18])
    try:
        architecture.check_model(args['resnet_model'])
        architecture.check_output_stride(args['output_stride'], args['multi_grid'])
    except UserError as error:
        raise UserError('%s: %s' % (path, error))
    return argparse.Namespace(**args)


def _read(run_dir):
    path = os.path.join(run_dir, CONFIG_NAME)
    way_out = _WAY_OUT % run_dir
    try:
        config = files.read_json(path)
    except FileNotFoundError:
        raise UserError('%s is not there: %s is not a run directory of train.py. %s'
                        % (path, run_dir, way_out))
    except UserError as error:
        raise UserError('%s %s' % (error, way_out))
    if not isinstance(config, dict):
        raise UserError('%s is not a run configuration. %s' % (path, way_out))
    version = config.get('format_version')
    if version not in range(1, FORMAT_VERSION + 1):
        raise UserError('%s has format_version %r; this code reads %d and older.'
                        % (path, version, FORMAT_VERSION))
    if not all(isinstance(config.get(part), dict) for part in ('flags', 'dataset')) \
            or 'fingerprint' not in config['dataset']:
        raise UserError('%s has no "flags" or no "dataset": it is damaged. %s' % (path, way_out))
    config['flags'] = train_flags.with_start(dict(
        {flag.name: flag.default for flag in FLAGS if flag.since > version}, **config['flags']))
    difference = {flag.name for flag in FLAGS}.symmetric_difference(config['flags'])
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
    free = {flag.name for flag in FLAGS if flag.is_free}
    if args.learning_rate_policy == 'poly':
        free.remove('max_steps')  # the whole schedule hangs on it
    changed = ['%s (was: %s)' % (train_flags.option(name, flags[name]), value)
               for name, value in sorted(config['flags'].items())
               if name not in free and flags[name] != value]
    if changed:
        raise UserError('%s holds a run with other flags: %s.\nContinue it with its own flags, '
                        'or give another --model_dir (with --init_from %s to start from its '
                        'weights).' % (model_dir, ', '.join(changed), model_dir))
    if not is_trained_on(model_dir, args.dataset_dir):
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
