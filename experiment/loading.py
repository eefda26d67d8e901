"""A trained run as test.py, predict.py, export.py and the notebook find it."""
import argparse
import contextlib
from typing import NamedTuple, Optional

from common.errors import UserError
from experiment import checkpoints, config, history


class Progress(NamedTuple):
    """How far a run has come, whichever of its checkpoints is looked at.

    Attributes:
      steps_done: int, the step of the latest checkpoint.
      max_steps: int, the step at which the run ends.
      is_finished: bool, whether it ended there, or by --patience.
    """
    steps_done: int
    max_steps: int
    is_finished: bool


class LoadedRun(NamedTuple):
    """A checkpoint and the flags that it was trained with.

    Attributes:
      checkpoint: str, its prefix.
      run_dir: str.
      args: `argparse.Namespace`, all flags of `train.py`, at the output stride asked for.
      progress: `Progress`, or None where it cannot be told.
    """
    checkpoint: str
    run_dir: str
    args: argparse.Namespace
    progress: Optional[Progress]


def progress_of(run_dir, args):
    """Tells a finished run from one that was stopped, or still trains.

    Args:
      run_dir: str.
      args: its flags.

    Returns:
      `Progress`, or None where the latest checkpoint is not there, as in a copy of the best one,
      or does not name its step, as those of the post's code.
    """
    latest = checkpoints.latest_in(run_dir)
    step = checkpoints.step_of(latest) if latest else None
    if step is None:
        return None
    is_finished = step >= args.max_steps
    # A damaged history does not keep anybody from scoring the weights.
    with contextlib.suppress(UserError):
        is_finished = is_finished or (
            args.patience is not None
            and history.evaluations_since_best(run_dir) >= args.patience)
    return Progress(step, args.max_steps, is_finished)


def load_run(path, output_stride=None):
    """Finds a checkpoint and the settings of its run; says so where the run is unfinished.

    Args:
      path: str, as in `checkpoints.find`.
      output_stride: int, or None for that of the run; the ASPP rates are adapted.

    Returns:
      `LoadedRun`.

    Raises:
      UserError: no checkpoint, no settings, or settings that cannot be built.
    """
    checkpoint, run_dir = checkpoints.find(path)
    if run_dir is None:
        raise UserError("No config.json beside %s, and no data.json of the post's code: give a "
                        'checkpoint in the run directory that train.py wrote.' % checkpoint)
    args = config.with_output_stride(config.load(run_dir), output_stride)
    progress = progress_of(run_dir, args)
    if progress and not progress.is_finished:
        print('%s is unfinished: %d of %d steps. The command that began it goes on.'
              % (run_dir, progress.steps_done, progress.max_steps))
    return LoadedRun(checkpoint, run_dir, args, progress)
