"""Finding, writing and restoring checkpoints, shared by train, test and notebook."""
import glob
import json
import os
import re

import config
from runtime import slim, tf

PREFIX = 'model.ckpt'
BEST_DIR = 'best'
BEST_SCORE_NAME = 'score.json'
NUM_LATEST_KEPT = 2
_EXAMPLES_SHOWN = 5


def latest_in(directory):
    """Returns the prefix of the newest whole checkpoint of a folder, or None.

    TensorFlow's `checkpoint` file is written after the data and before older
    ones are deleted, so what it names is whole; when that is gone all the same,
    the one before it is taken.
    """
    state = tf.train.get_checkpoint_state(directory)
    paths = list(state.all_model_checkpoint_paths) if state else []
    for path in reversed(paths):
        # The state may hold paths of another place if the run was moved.
        path = os.path.join(directory, os.path.basename(path))
        if _is_whole(path):
            return path
    return None


def _is_whole(prefix):
    """Whether a checkpoint's index and all of its data files are there."""
    data = glob.glob(glob.escape(prefix) + '.data-*')
    counts = {name.rsplit('-', 1)[1] for name in data}
    return (os.path.exists(prefix + '.index') and len(counts) == 1
            and len(data) == int(counts.pop()))


def step_of(prefix):
    """Returns the step in a checkpoint's name, such as 500 of 'model.ckpt-500', or None."""
    match = re.search(r'-(\d+)$', prefix)
    return int(match.group(1)) if match else None


def all_in(directory):
    """Returns the prefixes of all whole checkpoints of a folder, oldest first."""
    indices = glob.glob(os.path.join(glob.escape(directory), PREFIX + '-*.index'))
    return sorted(filter(_is_whole, (path[:-len('.index')] for path in indices)), key=step_of)


def best_score(model_dir):
    """Returns the mIoU of the best checkpoint of a run, or None where there is none."""
    path = os.path.join(model_dir, BEST_DIR, BEST_SCORE_NAME)
    if not os.path.exists(path):
        return None
    with open(path) as f:
        return json.load(f)['mean_iou']


def find(path):
    """Finds the checkpoint that a user means.

    Args:
      path: str, a run directory (its best checkpoint, or the latest where there
        is no best), a folder with a `checkpoint` file, a checkpoint's prefix, or
        one of a checkpoint's files.

    Returns:
      (prefix str, run directory str or None if no config.json is near).

    Raises:
      SystemExit: nothing there.
    """
    if os.path.isdir(path):
        prefix = latest_in(os.path.join(path, BEST_DIR)) or latest_in(path)
    else:
        prefix = re.sub(r'\.(index|meta|data-\d+-of-\d+)$', '', path)
        prefix = prefix if _is_whole(prefix) else None
    if prefix is None:
        raise SystemExit('No checkpoint at %s. Give a run directory of train.py, or a checkpoint '
                         'such as %s.' % (path, os.path.join('RUN', PREFIX + '-1000')))
    folder = os.path.dirname(os.path.abspath(prefix))
    for run_dir in (folder, os.path.dirname(folder)):
        if os.path.exists(os.path.join(run_dir, config.CONFIG_NAME)):
            return prefix, run_dir
    return prefix, None


def _listed(names):
    names = sorted(names)
    more = len(names) - _EXAMPLES_SHOWN
    return ', '.join(names[:_EXAMPLES_SHOWN]) + (' and %d more' % more if more > 0 else '')


def init_from(path):
    """Makes the function that starts a run from the weights of a checkpoint, at step 0.

    Two things may be missing, and are said aloud: the whole of DeepLab_v3/ (a
    checkpoint of the backbone alone), and logits of another number of classes.

    Args:
      path: str, as in `find`.

    Returns:
      (function of a session that restores the weights, str that says what it does).

    Raises:
      SystemExit: other model variables are missing or have another shape.
    """
    prefix, _ = find(path)
    stored = dict(tf.train.list_variables(prefix))
    variables = {variable.op.name: variable for variable in slim.get_model_variables()}
    missing = {name for name in variables if name not in stored}
    reshaped = {name for name, variable in variables.items()
                if name in stored and variable.shape.as_list() != stored[name]}
    fresh = {name for name in reshaped if name.startswith('DeepLab_v3/logits/')}
    head = {name for name in variables if name.startswith('DeepLab_v3/')}
    if head <= missing:
        fresh |= head
    wrong = (missing | reshaped) - fresh
    if wrong:
        raise SystemExit(
            '%s does not fit this network: of %d variables %d are missing and %d have another '
            'shape: %s.\nGive the --resnet_model that it was trained with.'
            % (prefix, len(variables), len(missing - fresh), len(reshaped - fresh),
               _listed(wrong)))
    saver = tf.train.Saver({name: variable for name, variable in variables.items()
                            if name not in fresh})
    message = 'weights from %s, at step 0' % prefix
    if fresh:
        message += '; randomly initialised: ' + _listed(fresh)
    return (lambda session: saver.restore(session, prefix)), message
