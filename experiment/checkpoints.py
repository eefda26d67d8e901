"""Finding and restoring checkpoints, shared by train, test, predict, export and notebook."""
import glob
import math
import os
import re
from collections import namedtuple

import numpy as np

from common.errors import UserError
from experiment import config
from network import HEAD_SCOPE, LOGITS_SCOPE
from resnet import download
from runtime import slim, tf

PREFIX = 'model.ckpt'
BEST_DIR = 'best'
BEST_SCORE_NAME = 'score.json'
VALIDATION_NAME = 'validation.json'
AVERAGED = '/ExponentialMovingAverage'
DAMAGED_PREFIX = 'damaged-'
# Where the post's train.py, whose run directory is its log folder, keeps its checkpoint.
POST_DIR = 'train'
IMAGENET = 'imagenet'
_EXAMPLES_SHOWN = 5

# Lists of variable names: in the network and the checkpoint; only in the network; only in
# the checkpoint; in both with different shapes.
Comparison = namedtuple('Comparison', ['matched', 'missing', 'unused', 'reshaped'])


def latest_in(directory):
    """Returns the prefix of the newest whole checkpoint of a folder, or None.

    That is the one of the latest step. Where names have none, as the post's, it is the
    one that TensorFlow's `checkpoint` file names.
    """
    numbered = all_in(directory)
    if numbered:
        return numbered[-1]
    state = tf.train.get_checkpoint_state(directory)
    paths = list(state.all_model_checkpoint_paths) if state else []
    for path in reversed(paths):
        # The state may hold paths of another place if the run was moved.
        path = os.path.join(directory, os.path.basename(path))
        if _is_whole(path):
            return path
    # A folder whose `checkpoint` file was not copied along.
    others = glob.glob(os.path.join(glob.escape(directory), PREFIX + '*.index'))
    return next(filter(_is_whole, (path[:-len('.index')] for path in sorted(others))), None)


def _is_whole(prefix):
    """Whether a checkpoint's index and all of its data files are there."""
    # A kill within a save leaves further files, '....tempstate123'.
    data = [path for path in glob.glob(glob.escape(prefix) + '.data-*')
            if re.search(r'\.data-\d+-of-\d+$', path)]
    counts = {name.rsplit('-', 1)[1] for name in data}
    return (os.path.exists(prefix + '.index') and len(counts) == 1
            and len(data) == int(counts.pop()))


def step_of(prefix):
    """Returns the step in a checkpoint's name, such as 500 of 'model.ckpt-500', or None."""
    match = re.search(r'-(\d+)$', prefix)
    return int(match.group(1)) if match else None


def all_in(directory):
    """Returns the prefixes of all whole checkpoints of a folder that name a step, oldest first."""
    indices = glob.glob(os.path.join(glob.escape(directory), PREFIX + '-*.index'))
    prefixes = [path[:-len('.index')] for path in indices
                if re.match(r'-\d+\.index$', os.path.basename(path)[len(PREFIX):])]
    return sorted(filter(_is_whole, prefixes), key=step_of)


def remove_leftovers(directory, keep):
    """Deletes what kills and full disks left: parts of checkpoints, and more than are kept.

    Call it while no other process writes there, and after `set_aside`: damaged
    checkpoints would count among those that stay.

    Args:
      directory: str.
      keep: int, how many of the newest whole checkpoints stay.
    """
    for path in glob.glob(os.path.join(glob.escape(directory), PREFIX + '-*')):
        prefix = re.sub(r'\.data-\d+-of-\d+$', '', path)
        if '.tempstate' in path or (prefix != path and not os.path.exists(prefix + '.index')):
            os.remove(path)
    for prefix in all_in(directory)[:-keep]:
        tf.train.remove_checkpoint(prefix)


def best_score(model_dir):
    """Returns the entry of `with_validation` of a run's best checkpoint, or None."""
    path = os.path.join(model_dir, BEST_DIR, BEST_SCORE_NAME)
    return config.read_json(path) if os.path.exists(path) else None


def problem_of(prefix):
    """Reads a whole checkpoint, whose checksums are compared, and looks for NaN and infinity.

    Args:
      prefix: str.

    Returns:
      None, or str that says what is wrong.
    """
    try:
        reader = tf.train.load_checkpoint(prefix)
        for name in reader.get_variable_to_shape_map():
            values = reader.get_tensor(name)
            if values.dtype.kind == 'f' and not np.isfinite(values).all():
                return name + ' holds numbers that are not finite'
    except (tf.errors.OpError, ValueError) as error:
        return getattr(error, 'message', str(error)).splitlines()[0]
    return None


def latest_readable(model_dir):
    """Finds the newest checkpoint that can be read to its end, to go on from.

    Args:
      model_dir: str.

    Returns:
      (prefix str, or None where there is no checkpoint; dict from the prefixes of newer,
      damaged checkpoints to what is wrong with them).

    Raises:
      UserError: there are checkpoints, and all of them are damaged.
    """
    prefixes = all_in(model_dir)[::-1] or list(filter(None, [latest_in(model_dir)]))
    damaged = {}
    for prefix in prefixes:
        problem = problem_of(prefix)
        if problem is None:
            return prefix, damaged
        damaged[prefix] = problem
    if damaged:
        raise UserError('All checkpoints in %s are damaged: %s. Give another --model_dir%s.'
                        % (model_dir, '; '.join('%s (%s)' % pair for pair in damaged.items()),
                            _with_best(model_dir)))
    return None, {}


def _with_best(model_dir):
    """Says how to start from the best checkpoint of a run; '' where there is none."""
    best = latest_in(os.path.join(model_dir, BEST_DIR))
    return ', with --init_from %s to start from its weights' % best if best else ''


def check_best_belongs(model_dir):
    """Makes sure that a run that starts at step 0 meets no best checkpoint of another.

    Raises:
      UserError: there is one.
    """
    if latest_in(os.path.join(model_dir, BEST_DIR)):
        raise UserError('%s holds a best checkpoint, but none to go on from. Give another '
                        '--model_dir%s; or take the folder %s away.'
                        % (model_dir, _with_best(model_dir), os.path.join(model_dir, BEST_DIR)))


def set_aside(damaged):
    """Renames checkpoints, so that nothing takes them for whole again, and says so.

    Args:
      damaged: dict of `latest_readable`.
    """
    for prefix, problem in damaged.items():
        for path in glob.glob(glob.escape(prefix) + '.*'):
            os.replace(path, os.path.join(os.path.dirname(path),
                                          DAMAGED_PREFIX + os.path.basename(path)))
        print('%s is damaged (%s): it was renamed to %s*, and the checkpoint before it is used.'
              % (prefix, problem, DAMAGED_PREFIX))


def averaged_names(variables):
    """Maps the names under which --ema_decay keeps averages to the variables they are of."""
    return {variable.op.name + AVERAGED: variable for variable in variables}


def is_averaged(prefix):
    """Whether a checkpoint holds the averages of --ema_decay beside the weights."""
    return any(name.endswith(AVERAGED) for name in stored_shapes(prefix))


def names_in(prefix, variables):
    """The names under which a checkpoint keeps what an evaluation reads: averages if it has them.

    Args:
      prefix: str.
      variables: list of variables.

    Returns:
      Dict from name to variable, for a `tf.train.Saver`.

    Raises:
      UserError: some are missing or have another shape; says which, and a likely cause.
    """
    stored = stored_shapes(prefix)
    names = {v.op.name: v for v in variables}
    if is_averaged(prefix):
        names = averaged_names(variables)
    _check_complete(prefix, compare(stored, names))
    return names


def validations(model_dir):
    """Returns the entries of `with_validation` of a run, a list of dicts, oldest first."""
    path = os.path.join(model_dir, VALIDATION_NAME)
    return config.read_json(path) if os.path.exists(path) else []


def is_validated(model_dir, step):
    """Whether a run has evaluated a step. Returns bool."""
    return any(entry['step'] == step for entry in validations(model_dir))


def collapse_warning(model_dir):
    """Warns of a network that predicted a single class of several in the last two evaluations.

    Returns:
      str, or None.
    """
    last = validations(model_dir)[-2:]
    if len(last) < 2 or any(entry['num_predicted'] != 1 or entry.get('num_labelled') == 1
                            for entry in last):
        return None
    return ('Warning: a single class was predicted everywhere in the last two evaluations. Likely '
            'causes: too few steps yet, a learning rate that is too high or too low, a '
            '--batch_norm_decay too large for a short run, labels that are nearly all one class '
            '(python dataset/check.py shows them; --class_weights median_frequency helps).')


def evaluations_since_best(model_dir):
    """How many evaluations of a run came after its best one. Returns int."""
    best = best_score(model_dir)
    return sum(1 for entry in validations(model_dir) if best and entry['step'] > best['step'])


def with_validation(model_dir, step, mean_iou, loss, num_predicted=None, num_labelled=None):
    """Adds an evaluation to those of a run.

    Args:
      model_dir: str.
      step: int.
      mean_iou: float.
      loss: float.
      num_predicted, num_labelled: None, or int, how many classes were predicted at all, and
        how many the labels hold.

    Returns:
      List of dicts of step, mean_iou, loss, num_predicted, num_labelled, and running_loss: the
      mean of the finite losses of all evaluations so far, by which the post's code chooses. The
      new one is the last.
    """
    entries = validations(model_dir)
    seen = [value for value in [entry['loss'] for entry in entries] + [loss]
            if math.isfinite(value)]
    return entries + [{'step': step, 'mean_iou': mean_iou, 'loss': loss,
                       'num_predicted': num_predicted, 'num_labelled': num_labelled,
                       'running_loss': sum(seen) / len(seen) if seen else loss}]


def cut_validations(model_dir, step):
    """Forgets the evaluations of later steps: the run goes on from `step`, and meets them again."""
    entries = validations(model_dir)
    kept = [entry for entry in entries if entry['step'] <= step]
    if len(kept) < len(entries):
        save_validations(model_dir, kept)


def save_validations(model_dir, entries):
    """Writes the entries of `with_validation`: from then on their steps count as evaluated."""
    config.write_json(entries, os.path.join(model_dir, VALIDATION_NAME))


def is_better(entry, best, metric):
    """Whether an evaluation beats the best one so far.

    Args:
      entry, best: dicts of `with_validation`; `best` is None where there is none.
      metric: 'mean_iou' (higher is better) or 'running_loss' (lower is).

    Returns:
      bool.
    """
    if best is None or not math.isfinite(best[metric]):
        return True
    if metric == 'running_loss':
        return entry[metric] < best[metric]
    return entry[metric] > best[metric]


def find(path):
    """Finds the checkpoint that a user means.

    Args:
      path: str, a run directory (its best checkpoint, or the latest where there
        is no best), also one of the post's code, a folder of checkpoints, a
        checkpoint's prefix, or one of a checkpoint's files.

    Returns:
      (prefix str, run directory str or None if neither config.json nor the
      data.json of the post's code is near).

    Raises:
      UserError: nothing there.
    """
    if os.path.isdir(path):
        folders = [os.path.join(path, BEST_DIR), path, os.path.join(path, POST_DIR)]
        prefix = next(filter(None, map(latest_in, folders)), None)
    else:
        prefix = re.sub(r'\.(index|meta|data-\d+-of-\d+)$', '', path)
        prefix = prefix if _is_whole(prefix) or os.path.isfile(prefix) else None
    if prefix is None:
        raise UserError('No checkpoint at %s. Give a run directory of train.py, or a checkpoint '
                        'such as %s.' % (path, os.path.join('RUN', PREFIX + '-1000')))
    folder = os.path.dirname(os.path.abspath(prefix))
    for run_dir in (folder, os.path.dirname(folder)):
        if config.is_run_dir(run_dir):
            return prefix, run_dir
    return prefix, None


def stored_shapes(prefix):
    """Lists the variables of a checkpoint.

    Args:
      prefix: str, of a checkpoint in TensorFlow's present or its first format.

    Returns:
      Dict from name to shape, a list of int.

    Raises:
      UserError: the file is damaged or no checkpoint.
    """
    try:
        return dict(tf.train.list_variables(prefix))
    except (tf.errors.OpError, ValueError) as error:
        raise UserError('%s cannot be read as a checkpoint: %s. Give another checkpoint, or '
                        'copy it again.' % (prefix, getattr(error, 'message', error)))


def compare(stored, variables):
    """Compares a checkpoint with a network.

    Args:
      stored: dict from name to shape, see `stored_shapes`.
      variables: dict from name to variable.

    Returns:
      `Comparison`, each list sorted.
    """
    both = set(stored) & set(variables)
    reshaped = {name for name in both if variables[name].shape.as_list() != list(stored[name])}
    return Comparison(sorted(both - reshaped), sorted(set(variables) - both),
                      sorted(set(stored) - both), sorted(reshaped))


def describe(comparison):
    """Says how a checkpoint fits, with examples of what does not. Returns str of some lines."""
    lines = ['%d variables match, %d are missing in the checkpoint, %d have another shape there, '
             '%d of the checkpoint are not used.'
             % tuple(len(getattr(comparison, field))
                     for field in ('matched', 'missing', 'reshaped', 'unused'))]
    for title, names in (('missing', comparison.missing), ('another shape', comparison.reshaped),
                         ('not used', comparison.unused)):
        if names:
            lines.append('  %s: %s' % (title, _listed(names)))
    return '\n'.join(lines)


def _depth_of(names):
    """The ResNet of some variable names: (version, model such as 'resnet_v2_50'), or None."""
    match = next(filter(None, (re.match(r'resnet_(v\d)_\w+?(?=/)', name)
                               for name in sorted(names))), None)
    return (match.group(1), match.group(0)) if match else None


def guess_cause(comparison):
    """Guesses why a checkpoint does not fit. Returns str, a sentence that says what to do."""
    stored = _depth_of(comparison.matched + comparison.unused + comparison.reshaped)
    wanted = _depth_of(comparison.matched + comparison.missing + comparison.reshaped)
    if not comparison.missing and not comparison.reshaped:
        return 'It fits.'
    if stored and wanted and stored[0] != wanted[0]:
        return ('It is a ResNet %s; this network is built on %s, whose units differ: its weights '
                'cannot be used.' % (stored[0], wanted[0]))
    if stored and wanted and stored[1] != wanted[1]:
        return 'It was trained with another depth: give --resnet_model %s.' % stored[1]
    wrong = comparison.missing + comparison.reshaped
    if all(name.startswith(LOGITS_SCOPE + '/') for name in wrong):
        return 'It was trained on another number of classes.'
    if stored and all(name.startswith(HEAD_SCOPE + '/') for name in wrong):
        return ('It holds a backbone alone, such as ImageNet weights: give --allow_missing %s to '
                'start with a random head.' % HEAD_SCOPE)
    if any('.ATTRIBUTES/' in name for name in comparison.unused):
        return 'It was written by Keras or TensorFlow 2, which name variables otherwise.'
    if not comparison.matched:
        return 'It belongs to another network: not one variable has a name of this one.'
    return 'It was written by other code, or is incomplete.'


def _listed(names):
    names = sorted(names)
    more = len(names) - _EXAMPLES_SHOWN
    return ', '.join(names[:_EXAMPLES_SHOWN]) + (' and %d more' % more if more > 0 else '')


def check_complete(prefix, variables):
    """Makes sure that a checkpoint has all variables of a network.

    Args:
      prefix: str.
      variables: list of variables that will be restored.

    Raises:
      UserError: some are missing or have another shape; says which, and a likely cause.
    """
    _check_complete(prefix, compare(stored_shapes(prefix), {v.op.name: v for v in variables}))


def _check_complete(prefix, comparison):
    if comparison.missing or comparison.reshaped:
        raise UserError('%s does not fit this network. %s\n%s'
                        % (prefix, guess_cause(comparison), describe(comparison)))


def restore(saver, session, prefix):
    """`saver.restore` with an error that names the file.

    Raises:
      UserError: the checkpoint's data are damaged or cut short.
    """
    try:
        saver.restore(session, prefix)
    except (tf.errors.DataLossError, tf.errors.OutOfRangeError) as error:
        raise UserError('%s is damaged: %s. Give another checkpoint, or copy it again.'
                        % (prefix, error.message))


def _is_in(name, scopes):
    return any(name == scope or name.startswith(scope.rstrip('/') + '/') for scope in scopes)


def init_from(path, resnet_model, allow_missing=()):
    """Makes the function that starts a run from the weights of a checkpoint, at step 0.

    Where the checkpoint holds averages of --ema_decay, they are the weights. Logits of
    another number of classes are randomly initialised, and this is said; so is what
    `allow_missing` names, and the head where `path` is 'imagenet'. Nothing else may be
    missing or have another shape.

    Args:
      path: str, as in `find`, or 'imagenet'.
      resnet_model: str, whose ImageNet weights 'imagenet' means.
      allow_missing: list of str, variables or scopes.

    Returns:
      (function of a session that restores the weights, str that says what it does).

    Raises:
      UserError: no checkpoint, or it does not fit.
    """
    allowed = list(allow_missing)
    if path == IMAGENET:
        try:
            prefix = download.ensure(resnet_model)
        except download.DownloadError as error:
            raise UserError(str(error))
        allowed.append(HEAD_SCOPE)
    else:
        prefix, _ = find(path)
    variables = {variable.op.name: variable for variable in slim.get_model_variables()}
    stored, suffix = stored_shapes(prefix), ''
    if is_averaged(prefix):
        suffix = AVERAGED
        stored = {name[:-len(suffix)]: shape for name, shape in stored.items()
                  if name.endswith(suffix)}
    comparison = compare(stored, variables)
    fresh = {name for name in comparison.missing + comparison.reshaped if _is_in(name, allowed)}
    fresh |= {name for name in comparison.reshaped if _is_in(name, [LOGITS_SCOPE])}
    wrong = set(comparison.missing + comparison.reshaped) - fresh
    if wrong or not comparison.matched:
        raise UserError('--init_from %s does not fit this network. %s\n%s\nWhat may be missing '
                        'can be named in --allow_missing.'
                        % (prefix, guess_cause(comparison), describe(comparison)))
    saver = tf.train.Saver({name + suffix: variables[name] for name in comparison.matched})
    message = ('at step 0 with the %sweights of %s (--init_from); its optimizer, step and learning '
               'rate are not used. %s'
               % ('averaged ' if suffix else '', prefix, describe(comparison)))
    if fresh:
        message += '\n  randomly initialised: ' + _listed(fresh)
        if all(_is_in(name, [LOGITS_SCOPE]) for name in fresh):
            message += ' (another number of classes)'
    return (lambda session: restore(saver, session, prefix)), message
