"""The evaluations of a run: validation.json, and the best checkpoint's score. No TensorFlow."""
import math
import os

from common import files
from common.errors import UserError
from experiment import checkpoints

BEST_SCORE_NAME = 'score.json'
VALIDATION_NAME = 'validation.json'


def best_score(model_dir):
    """Reads the score of a run's best checkpoint.

    Where its file is gone, the evaluation of the checkpoint's step is it.

    Returns:
      Dict, an entry of `with_validation`, or None where there is no best checkpoint.

    Raises:
      UserError: the file is damaged.
    """
    folder = os.path.join(model_dir, checkpoints.BEST_DIR)
    best = checkpoints.latest_in(folder)
    evaluated = next((entry for entry in validations(model_dir)
                      if best and entry['step'] == checkpoints.step_of(best)), None)
    path = os.path.join(folder, BEST_SCORE_NAME)
    if not os.path.exists(path):
        return evaluated
    way_out = ('Take the file away: validation.json knows that score too.' if evaluated else
               'Take the file away, and keep a copy of %s: the next evaluation replaces it.'
               % folder)
    return _read(path, _is_entry, way_out)


def validations(model_dir):
    """Reads the evaluations of a run.

    Returns:
      The entries of `with_validation`, a list of dicts, oldest first.

    Raises:
      UserError: the file is damaged.
    """
    path = os.path.join(model_dir, VALIDATION_NAME)
    if not os.path.exists(path):
        return []
    return _read(path, lambda value: isinstance(value, list) and all(map(_is_entry, value)),
                 'Take the file away: the run goes on, and --patience and the running loss count '
                 'anew.')


def _read(path, is_right, way_out):
    try:
        value = files.read_json(path)
    except UserError as error:
        raise UserError('%s %s' % (error, way_out))
    if not is_right(value):
        raise UserError('%s does not hold what a run writes. %s' % (path, way_out))
    return value


def _is_entry(value):
    return isinstance(value, dict) and all(
        isinstance(value.get(name), (int, float))
        for name in ('step', 'mean_iou', 'loss', 'running_loss'))


def check(model_dir):
    """Reads what a run knows of its evaluations, before it trains on.

    Raises:
      UserError: a file is damaged.
    """
    validations(model_dir)
    best_score(model_dir)


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
            '(dataset/check.py shows them; --class_weights median_frequency helps).')


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
    files.write_json(entries, os.path.join(model_dir, VALIDATION_NAME))


def is_better(entry, best, metric):
    """Whether an evaluation beats the best one so far.

    Args:
      entry, best: dicts of `with_validation`; `best` is None where there is none.
      metric: 'mean_iou' (higher is better) or 'running_loss' (lower is).

    Returns:
      bool, False where there is no score, as on a split without a labelled pixel.
    """
    if not math.isfinite(entry[metric]):
        return False
    if best is None or not math.isfinite(best[metric]):
        return True
    if metric == 'running_loss':
        return entry[metric] < best[metric]
    return entry[metric] > best[metric]
