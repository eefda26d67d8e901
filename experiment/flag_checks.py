"""Which flags of `train.py` go together: what is found before any graph is built."""
import os

from common import files
from common.errors import UserError
from experiment import recipes
from resnet import architecture


def _check_model_dir(path):
    if os.path.exists(path) and not os.path.isdir(path):
        raise UserError('--model_dir %s is a file: give a folder, or a name that is free' % path)
    if files.TENSORFLOW_PATTERN & set(path):
        raise UserError('--model_dir %s: TensorFlow takes a path with * ? [ ] or \\ for a pattern '
                        'when it restores; give one without' % path)


def check_combinations(args):
    """Raises ValueError for flags that do not go together."""
    if not 0 < args.min_scale <= args.max_scale < float('inf'):
        raise UserError('--min_scale %g --max_scale %g: give 0 < min_scale <= max_scale'
                        % (args.min_scale, args.max_scale))
    _check_model_dir(args.model_dir)
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
    if args.accumulate_steps and args.batch_size % args.accumulate_steps:
        raise UserError('--batch_size %d --accumulate_steps %d: the batch must divide into equal '
                        'parts' % (args.batch_size, args.accumulate_steps))
    _check_parts(args)
    if args.hard_example_steps and args.hard_example_fraction == 1:
        raise UserError('--hard_example_steps %d without --hard_example_fraction: the share to '
                        'fall to is missing' % args.hard_example_steps)
    if args.freeze_batch_norm and args.init_from in (None, recipes.RANDOM):
        of_recipe = recipes.RECIPES[args.recipe].get('freeze_batch_norm')
        raise UserError('%s without --init_from: there are no statistics to freeze yet; give the '
                        'weights of an earlier run%s'
                        % (('--recipe %s' % args.recipe, ', such as one of --recipe paper')
                           if of_recipe else ('--freeze_batch_norm', '')))
    if args.allow_missing and start_of(args) == recipes.RANDOM:
        raise UserError('--allow_missing %s with --init_from random: nothing is restored'
                        % ' '.join(args.allow_missing))


def start_of(args):
    """Returns what --init_from is, or will be once the recipe has filled it in, a str."""
    return args.init_from or recipes.RECIPES[args.recipe].get('init_from', recipes.RANDOM)


def check_batch(args, num_workers):
    """Makes sure that a batch divides among the workers, and among the parts of each.

    Raises:
      UserError: it does not; names the nearest that do.
    """
    parts = num_workers * args.accumulate_steps
    if args.batch_size % parts:
        below = args.batch_size // parts * parts
        raise UserError('--batch_size %d --accumulate_steps %d with %d workers: the batch is that '
                        'of all together and must divide evenly. Give --batch_size %s.' % (
                            args.batch_size, args.accumulate_steps, num_workers,
                            ' or '.join(map(str, filter(None, (below, below + parts))))))
    _check_parts(args, num_workers)


def _check_parts(args, num_workers=1):
    if None in (args.crop_size, args.accumulate_steps):
        return  # looked at again when the recipe has filled them in
    if (args.crop_size <= args.output_stride and not args.freeze_batch_norm
            and args.batch_size == args.accumulate_steps * num_workers):
        raise UserError('--crop_size %d --output_stride %d with parts of one image: batch norm '
                        'needs more than one value in a feature map; give a --crop_size above %d'
                        % (args.crop_size, args.output_stride, args.output_stride))
