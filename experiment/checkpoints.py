"""Checkpoints on the disk: found, told whole from damaged, tidied up."""
import contextlib
import glob
import os
import re
import tempfile

import numpy as np

from common import files
from common.errors import UserError
from experiment import config
from runtime import tf
from runtime.devices import first_line

PREFIX = 'model.ckpt'
BEST_DIR = 'best'
DAMAGED_PREFIX = 'damaged-'
NOT_FINITE = 'holds numbers that are not finite'
# Where the post's train.py, whose run directory is its log folder, keeps its checkpoint.
POST_DIR = 'train'


def latest_in(directory):
    """Returns the prefix of the newest whole checkpoint of a folder, or None.

    That is the one of the latest step. Where names have none, as the post's, it is the
    one that TensorFlow's `checkpoint` file names.
    """
    numbered = all_in(directory)
    if numbered:
        return numbered[-1]
    for path in _named_by_state(directory)[::-1]:
        # The state may hold paths of another place if the run was moved.
        path = os.path.join(directory, os.path.basename(path))
        if _is_whole(path):
            return path
    # A folder whose `checkpoint` file was not copied along.
    others = glob.glob(os.path.join(glob.escape(directory), PREFIX + '*.index'))
    return next(filter(_is_whole, (path[:-len('.index')] for path in sorted(others))), None)


def _named_by_state(directory):
    """Returns the paths that TensorFlow's `checkpoint` file names, oldest first."""
    try:
        state = tf.train.get_checkpoint_state(directory)
    except ValueError:  # empty, or not text: a folder tells its checkpoints without it
        return []
    return list(state.all_model_checkpoint_paths) if state else []


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


@contextlib.contextmanager
def plainly_named(prefix):
    """Gives a checkpoint a prefix that TensorFlow can read, which takes others for patterns.

    Args:
      prefix: str.

    Yields:
      str, the same prefix, or that of links to the files.
    """
    if not files.TENSORFLOW_PATTERN & set(prefix):
        yield prefix
        return
    with tempfile.TemporaryDirectory() as folder:
        plain = os.path.join(folder, PREFIX)
        # The first format is one file, which has no ending.
        for path in glob.glob(glob.escape(prefix) + '.*') + glob.glob(glob.escape(prefix)):
            os.symlink(os.path.abspath(path), plain + path[len(prefix):])
        yield plain


@contextlib.contextmanager
def reader_of(prefix):
    """Opens a checkpoint to be read without a session.

    Unlike a restore, TensorFlow writes no lines of its own about what is wrong with it.

    Args:
      prefix: str, of a checkpoint in TensorFlow's present or its first format.

    Yields:
      `tf.train.CheckpointReader`.

    Raises:
      UserError: it cannot be read, now or within the block; says why, in a line without the way
        out.
    """
    with plainly_named(prefix) as plain:
        try:
            yield tf.train.load_checkpoint(plain)
        # IndexError: TensorFlow 2's of a file that is too short.
        except (tf.errors.OpError, ValueError, IndexError) as error:
            raise UserError(first_line(error).replace(plain, prefix))


def problem_of(prefix, names=None):
    """Reads a whole checkpoint, whose checksums are compared, and looks for NaN and infinity.

    Args:
      prefix: str.
      names: the names of the variables to read; None for all.

    Returns:
      None, or str that says what is wrong.
    """
    try:
        with reader_of(prefix) as reader:
            for name in sorted(reader.get_variable_to_shape_map() if names is None else names):
                values = reader.get_tensor(name)
                if values.dtype.kind == 'f' and not np.isfinite(values).all():
                    return '%s %s' % (name, NOT_FINITE)
    except UserError as error:
        return str(error)
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
                            with_best(model_dir)))
    return None, {}


def with_best(model_dir):
    """Says how to start from the best checkpoint of a run; '' where there is none to use."""
    best = latest_in(os.path.join(model_dir, BEST_DIR))
    if not best or problem_of(best):
        return ''
    return ', with --init_from %s to start from its weights' % best


def check_best_belongs(model_dir):
    """Makes sure that a run that starts at step 0 meets no best checkpoint of another.

    Raises:
      UserError: there is one.
    """
    if latest_in(os.path.join(model_dir, BEST_DIR)):
        raise UserError('%s holds a best checkpoint, but none to go on from. Give another '
                        '--model_dir%s; or take the folder %s away.'
                        % (model_dir, with_best(model_dir), os.path.join(model_dir, BEST_DIR)))


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
