"""What a run says when it fails, and what it saves before: non-finite numbers, no memory."""
import contextlib
import os
import shutil
from typing import Dict, List, NamedTuple

import numpy as np

from common import files
from common.errors import UserError
from common.interpreter import command
from experiment import checkpoints
from losses import Losses
from preprocessing import failures as reading
from preprocessing import inputs
from runtime import tf
from runtime.devices import session_config
from training.graph import augmentation_options

DEBUG_DIR = 'debug_step_%d'
BATCH_NAME = 'batch.npz'
REPORT_NAME = 'report.json'
MEMORY_TABLE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                            'benchmarks', 'training_memory.json')
LARGE_GRADIENT_NORM = 1e6
_NORMS_SHOWN = 3
SMALLER_CROP = 321
# `config.check_resume` refuses to continue with what these messages advise.
CHANGED_FLAGS = ('Where checkpoints were written before, they are whole, and changed flags need a '
                 'new --model_dir (with --init_from %s to start from their weights).')


NO_ROOM = ('\nMake room, or give another --model_dir; checkpoints that are there '
           'are whole, and the same command goes on from the last one.')


@contextlib.contextmanager
def explained(args, paths):
    """`preprocessing.failures.explained` for training: knows what takes less memory.

    Args:
      args: the flags.
      paths: list of str, the shards that are read.
    """
    try:
        with reading.explained(paths):
            yield
    except reading.OutOfMemoryError:
        raise UserError(explain_no_memory(args))


@contextlib.contextmanager
def saving_what_is_finished(save, args):
    """Within it, what fails without touching the weights loses no finished step.

    Neither images that cannot be read nor a full disk do; of a batch in parts, earlier ones may
    have moved the batch-norm statistics.

    Args:
      save: function that saves the last finished step.
      args: the flags.
    """
    try:
        yield
    except OSError:
        save()
        raise
    except tf.errors.OpError as error:
        if args.accumulate_steps == 1 and reading.is_of_input(error):
            save()
        raise


class FailedStep(NamedTuple):
    """A step whose loss or gradients are not finite.

    Attributes:
      number: int, from 1.
      learning_rate: float.
      losses: `losses.Losses` of floats.
      gradient_norms: dict from variable name to float.
      history: list of float, the losses of the steps before.
    """
    number: int
    learning_rate: float
    losses: Losses
    gradient_norms: Dict[str, float]
    history: List[float]


def read_batch(args, info, options, step):
    """Reads the batch of a step once more: the stream depends on the step alone.

    Args:
      args, info: the flags, and the `dataset.descriptor.DatasetInfo`.
      options: `preprocessing.augmentation.Augmentation`.
      step: int, from 1.

    Returns:
      `inputs.Example` of arrays: names [batch] of bytes, images, labels.
    """
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        tf.set_random_seed(args.seed)
        dataset = inputs.train_dataset(info, args.dataset_dir, options, args.batch_size, args.seed,
                                       step - 1, num_examples=args.overfit)
        example = tf.data.make_one_shot_iterator(dataset).get_next()
        return inputs.Example(*session.run(example))


def likely_causes(failed, batch, info):
    """Lists what may have made a `FailedStep` of its batch, most likely first, as sentences."""
    causes, history = [], failed.history
    values = np.unique(batch.labels)
    bad = [int(value) for value in values
           if value != info.ignore_label and not 0 <= value < info.number_of_classes]
    if bad:
        causes.append('The labels hold %s, which are neither classes (0..%d) nor the ignore label '
                      '%d: check the data set with dataset/check.py.'
                      % (bad[:8], info.number_of_classes - 1, info.ignore_label))
    if not np.isfinite(batch.image).all():
        causes.append('The images hold numbers that are not finite.')
    finite = [norm for norm in failed.gradient_norms.values() if np.isfinite(norm)]
    rising = len(history) >= 4 and history[-1] > 2 * min(history)
    # The loss of the step before was finite, and so were the weights it was computed with.
    thrown = bool(history) and not np.isfinite(failed.losses.regularization)
    if thrown or rising or (finite and max(finite) > LARGE_GRADIENT_NORM):
        causes.append('The learning rate is too high: %s%sgive a smaller --starting_learning_rate '
                      'or --warmup_steps.'
                      % ('the loss rose from %.3g to %.3g before, ' % (min(history), history[-1])
                         if rising else '',
                         'the step before threw the weights beyond what float32 holds, '
                         if thrown else ''))
    if not history and not np.isfinite(failed.losses.regularization):
        causes.append('The weights were not finite at the first step already: they are damaged '
                      'in the checkpoint that this start began with.')
    return causes or ['Nothing conspicuous was found. Try a smaller --starting_learning_rate.']


def _save_debug_bundle(model_dir, step, batch, report):
    """Writes the batch and what is known of a failing step; returns the folder."""
    folder = os.path.join(model_dir, DEBUG_DIR % step)
    temporary = folder + '.tmp'
    shutil.rmtree(temporary, ignore_errors=True)
    os.makedirs(temporary)
    np.savez_compressed(os.path.join(temporary, BATCH_NAME), image=batch.image,
                        labels=batch.labels, name=batch.name)
    files.write_json(report, os.path.join(temporary, REPORT_NAME))
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(temporary, folder)
    return folder


def describe_norms(gradient_norms):
    """Says in a sentence how large gradients are, and whose are the largest, or not finite."""
    bad = [name for name, norm in gradient_norms.items() if not np.isfinite(norm)]
    largest = sorted(set(gradient_norms) - set(bad), key=gradient_norms.get)[::-1][:_NORMS_SHOWN]
    text = 'Gradient norm %.3g' % np.linalg.norm(list(gradient_norms.values()))
    if bad:
        text += '; not finite for %d of %d variables, such as %s' % (
            len(bad), len(gradient_norms), ', '.join(bad[:_NORMS_SHOWN]))
    if largest:
        text += '; largest%s: %s' % (' finite' * bool(bad), ', '.join(
            '%.3g (%s)' % (gradient_norms[name], name) for name in largest))
    return text + '.'


def explain_non_finite(failed, args, info, batch=None):
    """Saves a debug bundle and words the message with which the run ends.

    On a full disk the message does without the bundle.

    Args:
      failed: `FailedStep`.
      args, info: as in `read_batch`.
      batch: `inputs.Example` of arrays; None to read it once more.

    Returns:
      str.
    """
    if batch is None:
        batch = read_batch(args, info, augmentation_options(args, info.ignore_label),
                           failed.number)
    # The post's raw records have no names.
    names = [name.decode() or '(unnamed %d)' % index for index, name in enumerate(batch.name)]
    values, counts = np.unique(batch.labels, return_counts=True)
    causes, losses = likely_causes(failed, batch, info), failed.losses
    report = {
        'step': failed.number, 'learning_rate': failed.learning_rate, 'images': names,
        'losses': {field: repr(float(value)) for field, value in losses._asdict().items()},
        'label_pixels': {str(value): int(count) for value, count in zip(values, counts)},
        'gradient_norms': {name: repr(float(norm))
                           for name, norm in failed.gradient_norms.items()},
        'likely_causes': causes}
    try:
        saved = 'The batch and the gradient norms are in %s.' % _save_debug_bundle(
            args.model_dir, failed.number, batch, report)
    except OSError as error:
        saved = 'The batch and the gradient norms could not be saved: %s.' % error
    what = ('The loss is %s' % losses.total if not np.isfinite(losses.total)
            else 'The gradients are not finite')
    return ('%s at step %d (learning rate %g).\nImages: %s. Label values: %s.\n%s\n'
            'Likely causes:\n%s\n%s %s'
            % (what, failed.number, failed.learning_rate, ', '.join(names),
               ', '.join(map(str, values)), describe_norms(failed.gradient_norms),
               '\n'.join('  - ' + cause for cause in causes), saved,
               CHANGED_FLAGS % args.model_dir))


def explain_weights(step, names, num_variables, args):
    """Says which variables a step left not finite.

    Args:
      step: int.
      names: list of str, the variables.
      num_variables: int, how many were looked at.
      args: the flags.

    Returns:
      str.
    """
    return ('%d of %d variables are not finite after step %d, such as %s: it is not saved.\n'
            'Give a smaller --starting_learning_rate or --warmup_steps. %s'
            % (len(names), num_variables, step, ', '.join(names[:_NORMS_SHOWN]),
               CHANGED_FLAGS % args.model_dir))


def explain_evaluation(args, step, split, loss):
    """Says how to go on from weights whose loss on a whole split is not finite. Returns str."""
    return ('The loss of the evaluation of step %d on split "%s" is %s, though the weights are '
            'finite: the logits are not. The step is not kept as the best.\nGive another '
            '--model_dir and a smaller --starting_learning_rate or --warmup_steps%s.'
            % (step, split, loss, checkpoints.with_best(args.model_dir)))


def explain_no_memory(args):
    """Names the next cheaper settings, with their measured share of the memory. Returns str."""
    lines = []
    part = args.batch_size // args.accumulate_steps
    if part > 1:
        lines.append('--accumulate_steps %d: the same batch in smaller parts'
                     % (args.accumulate_steps * _smallest_factor(part)))
        smaller = args.accumulate_steps * (part // 2)
        lines.append('--batch_size %d%s' % (smaller, _measured(args, 'batch_size', smaller)
                                            if args.accumulate_steps == 1 else ''))
    if args.output_stride == 8:
        lines.append('--output_stride 16%s' % _measured(args, 'output_stride', 16))
    if args.crop_size > SMALLER_CROP:
        lines.append('--crop_size %d%s' % (SMALLER_CROP,
                                           _measured(args, 'crop_size', SMALLER_CROP)))
    if args.resnet_model != 'resnet_v2_50':
        lines.append('--resnet_model resnet_v2_50%s'
                     % _measured(args, 'resnet_model', 'resnet_v2_50'))
    return ('Out of memory at --crop_size %d --batch_size %d --accumulate_steps %d --output_stride '
            '%d --resnet_model %s. Cheaper, in the order to try:\n%s\n%s'
            % (args.crop_size, args.batch_size, args.accumulate_steps, args.output_stride,
               args.resnet_model, '\n'.join('  ' + line for line in lines) or '  (none is known)',
               CHANGED_FLAGS % args.model_dir))


def explain_no_memory_evaluating(args, step, split):
    """Says how a run goes on whose images are too large to be evaluated whole. Returns str."""
    checkpoint = '%s-%d' % (os.path.join(args.model_dir, checkpoints.PREFIX), step)
    lines = ['%s: scores it, and cuts large images' % command(
        'test.py', '--checkpoint', checkpoint, '--split', split, '--window', '513')]
    if step < args.max_steps:
        lines.append('the same command with --eval_every_steps %d: goes on, and evaluates only at '
                     'the last step, once that is saved' % args.max_steps)
    lines.append('a data set of smaller images, with a new --model_dir')
    return ('Out of memory in the evaluation of step %d, which takes the images of split "%s" '
            'whole. The checkpoint is saved. Ways on:\n%s'
            % (step, split, '\n'.join('  ' + line for line in lines)))


def _smallest_factor(number):
    return next(factor for factor in range(2, number + 1) if number % factor == 0)


def _measured(args, flag, cheaper):
    """What benchmarks/training_memory.py measured for a flag's value and a cheaper one, as text."""
    if not os.path.exists(MEMORY_TABLE):
        return ''
    rows = files.read_json(MEMORY_TABLE)['rows']
    for row in rows:
        other = next((candidate for candidate in rows if candidate[flag] == cheaper
                      and all(candidate[name] == row[name] for name in row
                              if name not in (flag, 'peak_mib'))), None)
        if row[flag] == getattr(args, flag) and other:
            return ' (measured: %.2f of the memory)' % (other['peak_mib'] / row['peak_mib'])
    return ''
