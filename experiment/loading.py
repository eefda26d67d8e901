"""A trained run as test.py, predict.py, export.py and the notebook find it."""
import argparse
from typing import NamedTuple

from common.errors import UserError
from experiment import checkpoints, config


class LoadedRun(NamedTuple):
    """A checkpoint and the flags that it was trained with.

    Attributes:
      checkpoint: str, its prefix.
      run_dir: str.
      args: `argparse.Namespace`, all flags of `train.py`, at the output stride asked for.
    """
    checkpoint: str
    run_dir: str
    args: argparse.Namespace


def load_run(path, output_stride=None):
    """Finds a checkpoint and the settings of its run.

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
    return LoadedRun(checkpoint, run_dir,
                     config.with_output_stride(config.load(run_dir), output_stride))
