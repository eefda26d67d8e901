"""What a recipe leaves to data set, weights, machine and time: found out where a run begins."""
import argparse
import os
from typing import NamedTuple

import numpy as np

from common.errors import UserError
from experiment import checkpoints, config, flag_checks, recipes, train_flags, weights
from preprocessing import inputs
from preprocessing.failures import explained
from resnet import imagenet
from runtime import machine, tf, workers
from runtime.devices import session_config

IMAGES_LOOKED_AT = 200
GIB = 2.0 ** 30
# Of the time that is given: how long the evaluations may take together.
EVALUATION_SHARE = 0.15
# A machine is not always equally fast.
SPARE_SHARE = 0.03


class Pace(NamedTuple):
    """How long the parts of a run take here, in seconds, as `training.pace` measures them.

    Attributes:
      spent: from the start of the process until this was known.
      start: to build the graph and to set up its first step.
      step: a step.
      evaluation: an evaluation of the whole split; 0 where there is none.
      save: a checkpoint.
    """
    spent: float
    start: float
    step: float
    evaluation: float
    save: float


def look_at(info, args, group):
    """Finds out what the recipes for own images look at, from the first images of the train split.

    Args:
      info: `dataset.descriptor.DatasetInfo`.
      args: the flags, `init_from` among them.
      group: `workers.Alone` or `workers.Workers`.

    Returns:
      `recipes.Facts`.

    Raises:
      UserError: no train split, or a shard is damaged.
    """
    num_examples = inputs.epoch_size(info, 'train', args.overfit)
    sizes, paths = [], []
    with explained(paths), tf.Graph().as_default(), \
            tf.Session(config=session_config()) as session:
        size = tf.shape(tf.data.make_one_shot_iterator(inputs.eval_dataset(
            info, args.dataset_dir, 'train', min(num_examples, IMAGES_LOOKED_AT))
        ).get_next().labels)[1:]
        for _ in range(min(num_examples, IMAGES_LOOKED_AT)):
            sizes.append(session.run(size))
    return recipes.Facts(num_examples, tuple(int(side) for side in np.median(sizes, axis=0)),
                         memory_for(group), group.count, flags_of_start(args.init_from))


def memory_for(group):
    """Returns the GiB that the processes of this machine have for training, or None."""
    try:
        gpus = machine.visible(machine.gpus(), os.environ.get('CUDA_VISIBLE_DEVICES'))
    except machine.NvidiaSmiError:
        gpus = []
    if gpus and tf.test.is_built_with_cuda():
        smallest = min((gpu.memory_mib for gpu in gpus if gpu.memory_mib), default=None)
        return smallest and smallest / 1024.0 * group.count
    available = machine.memory().available
    return available and available / GIB


def values_of(args, facts, is_filled):
    """Calls the functions of the recipe for the flags that are still open.

    Args:
      args: the flags; None for what is open.
      facts: `recipes.Facts`.
      is_filled: function of a recipe's value, whether it is to be called now.

    Returns:
      Dict from flag to value, in the order of the recipe.
    """
    found, flags = {}, argparse.Namespace(**vars(args))
    for name, value in recipes.RECIPES[args.recipe].items():
        if callable(value) and is_filled(value) and getattr(args, name) is None:
            found[name] = value(facts, flags)
            setattr(flags, name, found[name])
    return found


def resolve(args, info, group=workers.ALONE, measure=None):
    """Fills in what is open: as it was in a run that goes on, else by the recipe and the time.

    ImageNet's weights are fetched here, so that no other work is lost where they cannot be had.

    Args:
      args: the flags.
      info, group: as in `look_at`.
      measure: function of flags and facts that returns a `Pace`; for --minutes and --estimate.

    Raises:
      UserError: the flags do not fit the data set or each other; no weights; --minutes is not that
        of the run that goes on, or leaves no time for a step.
    """
    config.resolve_classes(args, info)
    config.resolve_steps(args, info)
    stored = group.of_chief(lambda: flags_to_go_on_with(args))
    if args.init_from is None:
        args.init_from = stored['init_from'] if stored else flag_checks.start_of(args)
    if stored:
        _take(args, stored)
    else:
        group.of_chief(lambda: weights.check_start(args.init_from, args.resnet_model))
        _compute(args, info, group, measure)


def flags_to_go_on_with(args):
    """Returns the flags of the run in --model_dir, a dict, or None where none is continued."""
    path = args.model_dir
    if (args.estimate or not config.is_run_dir(path) or config.is_post_run(path)
            or not checkpoints.all_in(path)):
        return None
    return vars(config.load(path))


def flags_of_start(path):
    """Returns the flags of the run that --init_from names, a dict; empty where it names none."""
    if path == recipes.RANDOM:
        return {}
    prefix, run_dir = (None, None) if path == recipes.IMAGENET else checkpoints.find(path)
    if prefix is None or imagenet.is_installed(prefix):
        return {'input_normalization': 'inception'}  # tf-slim trained them on [-1, 1]
    return vars(config.load(run_dir)) if run_dir else {}


def _compute(args, info, group, measure):
    """Fills in what the recipe computes: first by data, weights and machine, then by the time."""
    facts = pace = None
    if None in values_of_recipe(args).values() or args.minutes or args.estimate:
        facts = recipes.Facts(*group.of_chief(lambda: list(look_at(info, args, group))))
    vars(args).update(values_of(args, facts, lambda value: not recipes.is_by_steps(value)))
    flag_checks.check_combinations(args)
    flag_checks.check_batch(args, group.count)
    if args.minutes or args.estimate:
        pace = measure(_complete(args, facts), facts)
        pace = Pace(*group.of_chief(lambda: list(pace)))
    if args.minutes:
        args.max_steps = steps_in(args, pace)
        if args.eval_every_steps is None:
            args.eval_every_steps = -(-args.max_steps // evaluations_in(args, pace))
    vars(args).update(values_of(args, facts, recipes.is_by_steps))
    if values_of_recipe(args):
        print(describe(args, facts))
    if pace:
        print(describe_time(args, pace), flush=True)


def values_of_recipe(args):
    """Returns what the flags say that the recipe computes, a dict; None for what is open."""
    return {name: getattr(args, name) for name, value in recipes.RECIPES[args.recipe].items()
            if callable(value)}


def _take(args, stored):
    """Takes what is open from the run that goes on."""
    for name, value in values_of_recipe(args).items():
        if value is None and (name != 'max_steps' or not args.epochs):
            setattr(args, name, stored[name])
    if args.minutes:
        if args.minutes != stored['minutes']:
            raise UserError('--minutes %g: %s was begun %s, by which its steps are counted. Leave '
                            'the flag as it was, or give another --model_dir.' % (
                                args.minutes, args.model_dir, 'with --minutes %g'
                                % stored['minutes'] if stored['minutes'] else 'without'))
        args.max_steps = stored['max_steps']


def _complete(args, facts):
    """Returns a copy of the flags with some number of steps, where it is not known yet."""
    flags = argparse.Namespace(**vars(args))
    if flags.max_steps is None and args.minutes:
        flags.max_steps = 10000
    vars(flags).update(values_of(flags, facts, recipes.is_by_steps))
    return flags


def evaluations_in(args, pace):
    """Returns how many evaluations --minutes has room for, an int, where no flag says it."""
    if not pace.evaluation:
        return 1
    room = EVALUATION_SHARE * 60 * args.minutes / (pace.evaluation + pace.save)
    return int(min(recipes.EVALUATIONS, max(1, room)))


def steps_in(args, pace):
    """Returns how many steps fit into --minutes, an int, with evaluations and checkpoints.

    Raises:
      UserError: none does.
    """
    left = (1 - SPARE_SHARE) * 60 * args.minutes - pace.spent - pace.start
    evaluated = pace.evaluation + pace.save
    a_step = pace.step + pace.save / args.save_every_steps
    if args.eval_every_steps is None:
        left -= evaluations_in(args, pace) * evaluated
    else:
        left -= evaluated  # that of the last step
        a_step += evaluated / args.eval_every_steps
    steps = int(left / a_step)
    if steps < 1:
        raise UserError('--minutes %g is too short: of a run here, a step takes %.1f s, an '
                        'evaluation %.1f s, and what comes before the first step %.1f s. Give more.'
                        % (args.minutes, pace.step, pace.evaluation, pace.spent + pace.start))
    return steps


def seconds_of(args, pace):
    """Returns how long a run takes from its start, a float, as `steps_in` counts."""
    evaluations = -(-args.max_steps // args.eval_every_steps) if pace.evaluation else 0
    saves = -(-args.max_steps // args.save_every_steps) + evaluations
    return (pace.start + args.max_steps * pace.step + evaluations * pace.evaluation
            + saves * pace.save)


def describe(args, facts):
    """Says what the recipe's functions came to, and by what. Returns str."""
    seen = 'for %d images of %dx%d' % ((facts.num_images,) + tuple(facts.size)) if facts else 'here'
    return '  %s: %s' % (seen, ' '.join(train_flags.option(name, value) for name, value
                                        in values_of_recipe(args).items()))


def describe_time(args, pace):
    """Says how many steps a run has, and how long it takes. Returns str."""
    seconds = seconds_of(args, pace)
    return '%d steps of %.3g s, with evaluations and checkpoints %s.' % (
        args.max_steps, pace.step, 'about %s' % in_words(seconds))


def in_words(seconds):
    """Returns a time as people say it, such as '45 minutes' or '3.5 hours'."""
    if seconds < 90:
        return '%d seconds' % max(1, round(seconds))
    if seconds < 90 * 60:
        return '%d minutes' % round(seconds / 60)
    return '%.1f hours' % (seconds / 3600)
