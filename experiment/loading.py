"""A trained run as test.py, predict.py, export.py and the notebook find it."""
import argparse
import contextlib
import os
import sys
from typing import NamedTuple, Optional

from common.errors import UserError
from dataset import descriptor, voc
from dataset.sources import class_lists, views
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
    """A checkpoint, the flags that it was trained with, and its classes.

    Attributes:
      checkpoint: str, its prefix.
      run_dir: str.
      args: `argparse.Namespace`, all flags of `train.py`, at the output stride asked for.
      info: `descriptor.DatasetInfo` of what it was trained on, without splits: names, ignore
        label and colours; None where the run does not know them, see `named`.
      progress: `Progress`, or None where it cannot be told.
    """
    checkpoint: str
    run_dir: str
    args: argparse.Namespace
    info: Optional[descriptor.DatasetInfo]
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
    return LoadedRun(checkpoint, run_dir, args, config.load_classes(run_dir), progress)


def named(run, classes_file=None):
    """Makes sure that the classes of a run have names; says so in one line where they are a guess.

    In this order: those of `classes_file`; those that the run knows; those of its data set, where
    it is at hand and has as many classes; else 'class 0', 'class 1' and so on.

    Args:
      run: `LoadedRun`.
      classes_file: str, a text file as `class_lists.read` reads it, or None.

    Returns:
      `LoadedRun` whose `info` is not None.

    Raises:
      UserError: `classes_file` cannot be read, repeats a name, or holds another number of names
        than the run has classes.
    """
    info = run.info or _of_its_data_set(run, is_told=classes_file is None)
    if info is None:
        info = descriptor.create('unknown', ['class %d' % label for label in
                                             range(run.args.number_of_classes)], voc.IGNORE_LABEL)
        if classes_file is None:
            _warn('%s does not know the names of its %d classes: they are called %s to %s. '
                  '--classes FILE names them.' % (run.run_dir, info.number_of_classes,
                                                  info.class_names[0], info.class_names[-1]))
    if classes_file is not None:
        info = _with_names(info, classes_file)
    return run._replace(info=info)


def _warn(text):
    print('Warning: ' + text, file=sys.stderr, flush=True)


def _of_its_data_set(run, is_told):
    """The classes of a run of an earlier commit by its data set, or None where it does not fit."""
    dataset_dir = run.args.dataset_dir
    if config.is_post_run(run.run_dir):
        return None  # data.json does not say on what
    info, is_same = None, False
    with contextlib.suppress(UserError, OSError):  # trained elsewhere, or deleted since
        info = descriptor.load(dataset_dir)
        is_same = config.is_trained_on(run.run_dir, dataset_dir)
    if info is None or info.number_of_classes != run.args.number_of_classes:
        return None
    if is_told and not is_same:
        _warn('%s does not know the names of its classes; they are those of %s (%s, ...), which '
              'was changed since. --classes FILE gives others.'
              % (run.run_dir, dataset_dir, ', '.join(info.class_names[:3])))
    return info._replace(splits={})


def _with_names(info, path):
    names = class_lists.read(path)
    if len(names) != info.number_of_classes:
        raise UserError(
            '--classes %s holds %d names, but the checkpoint has %d classes: write one name per '
            'line, class 0 first.' % (path, len(names), info.number_of_classes))
    try:
        return descriptor.create(os.path.basename(path), names, info.ignore_label, None,
                                 info.colors, info.bands, info.value_range)
    except UserError as error:
        raise UserError('--classes %s: %s' % (path, error))


def other_names(known, info):
    """Lists (class id, its name in a run, its name in a data set) where the names differ.

    Args:
      known, info: `descriptor.DatasetInfo` of as many classes, of the run and of the data set.
    """
    return [(label, ours, theirs) for label, (ours, theirs) in enumerate(
        zip(known.class_names, info.class_names)) if ours != theirs]


def in_words(others):
    """Returns the first of `other_names` as a str."""
    return ', '.join('class %d is "%s" in the run and "%s" in the data' % other
                     for other in others[:3]) + ', ...' * (len(others) > 3)


def warn_of_bands(known, run, info, dataset_dir):
    """Says in one line where a data set has images of other bands or range than a run learned.

    Args:
      known, info: `descriptor.DatasetInfo` of the run and of the data set.
      run, dataset_dir: str, what they are called.
    """
    ours, theirs = [(one.bands or (1, 2, 3), one.value_range) for one in (known, info)]
    if ours != theirs:
        flags = [views.spell(one) or 'neither --bands nor --value_range' for one in (known, info)]
        _warn('%s was trained on images read with %s, and %s holds images read with %s: to the '
              'network they look otherwise.' % (run, flags[0], dataset_dir, flags[1]))


def check_data_set(run, info, dataset_dir):
    """Makes sure that the labels of a data set mean what a run was trained on.

    Other names for the classes, which may be another language, are said in a line, and so are
    images of other bands or another range of values.

    Args:
      run: `LoadedRun`.
      info: `descriptor.DatasetInfo` of the data set in `dataset_dir`.
      dataset_dir: str.

    Raises:
      UserError: it has another number of classes, or a class of the run under another id.
    """
    if info.number_of_classes != run.args.number_of_classes:
        raise UserError('%s has %d classes, but %s was trained on %d. Give the --dataset_dir '
                        'that fits.' % (dataset_dir, info.number_of_classes, run.checkpoint,
                                        run.args.number_of_classes))
    if run.info is None:
        return
    others = other_names(run.info, info)
    what = '%s was trained on %s, and %s has other names: %s.' % (
        run.checkpoint, run.info.name, dataset_dir, in_words(others))
    if {ours for _, ours, _ in others} & {theirs for _, _, theirs in others}:
        raise UserError(what + ' Give the --dataset_dir that fits, or build the data set with the '
                        'classes in the order of the run.')
    if others:
        _warn(what + ' Scores are right only where they mean the same.')
    warn_of_bands(run.info, run.checkpoint, info, dataset_dir)
