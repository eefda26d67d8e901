"""The network of a trained run, for images of any size: what predict.py and notebooks share.

    from inference import restored
    run = restored.load_run('runs/deeplab_v3')
    with restored.Predictor(run) as predictor:
        labels = predictor.predict(images).labels
"""
import contextlib
import os
from collections import namedtuple

import numpy as np

import network
from common.errors import UserError
from dataset import descriptor, voc
from dataset.sources import class_lists
from experiment import loading, weights
from inference import multiscale, options
from preprocessing.failures import explained
from runtime import slim, tf

# checkpoint: str, the prefix. args: the run's flags. class_names: tuple of str, position is
# class id. ignore_label: int.
Run = namedtuple('Run', ['checkpoint', 'args', 'class_names', 'ignore_label'])

# labels: uint8 [batch, height, width]. probabilities: float16
# [batch, height, width, classes], or None.
Prediction = namedtuple('Prediction', ['labels', 'probabilities'])


def load_run(checkpoint, output_stride=None, classes_file=None):
    """Finds a checkpoint, the settings of its run and the names of its classes.

    Args:
      checkpoint, output_stride: as in `loading.load_run`.
      classes_file: str or None, see `class_names_of`.

    Returns:
      `Run`.

    Raises:
      UserError: as `loading.load_run` and `class_names_of`.
    """
    prefix, _, args = loading.load_run(checkpoint, output_stride)
    return Run(prefix, args, *class_names_of(args, classes_file))


def class_names_of(args, classes_file=None):
    """Names the classes of a run, whose data set may be gone.

    In this order: `classes_file`; the data set, where it is at hand and has as many
    classes; VOC's where there are as many; else 'class 0', 'class 1' and so on.

    Args:
      args: the run's flags.
      classes_file: str, a text file of one name per line, class 0 first, blank lines
        and `#` comments skipped; or None.

    Returns:
      (tuple of str, ignore label int).

    Raises:
      UserError: `classes_file` cannot be read, repeats a name, or holds another
        number of names than the run has classes.
    """
    ignore_label = voc.IGNORE_LABEL
    names = tuple('class %d' % label for label in range(args.number_of_classes))
    if args.number_of_classes == len(voc.CLASS_NAMES):
        names = voc.CLASS_NAMES
    try:
        info = descriptor.load(args.dataset_dir)
    except (UserError, OSError):
        info = None  # trained elsewhere, or deleted since
    if info is not None and info.number_of_classes == args.number_of_classes:
        names, ignore_label = info.class_names, info.ignore_label
    if classes_file is not None:
        names = _read_class_names(classes_file, args.number_of_classes, ignore_label)
    return names, ignore_label


def _read_class_names(path, number_of_classes, ignore_label):
    names = class_lists.read(path)
    if len(names) != number_of_classes:
        raise UserError(
            '--classes %s holds %d names, but the checkpoint has %d classes: write one name per '
            'line, class 0 first.' % (path, len(names), number_of_classes))
    try:
        return descriptor.create(os.path.basename(path), names, ignore_label).class_names
    except UserError as error:
        raise UserError('--classes %s: %s' % (path, error))


class Predictor:
    """A restored network that labels images; close it, or use it in a `with` statement.

    Args:
      run: `Run`.
      passes: `options.Passes`.

    Raises:
      UserError: the checkpoint does not fit its settings, or is damaged.
    """

    def __init__(self, run, passes=options.SINGLE_PASS):
        self._passes, network_options = passes, network.options_of(run.args)
        with tf.Graph().as_default() as graph:
            self._images = tf.placeholder(tf.uint8, [None, None, None, 3], name='images')
            logits = multiscale.averaged_logits(tf.cast(self._images, tf.float32),
                                                network_options, passes)
            self._labels = multiscale.label_map(logits)
            self._probabilities = tf.nn.softmax(logits)
            # The averages of --ema_decay, where the checkpoint has them.
            saver = weights.saver_for(run.checkpoint, slim.get_model_variables())
        self._closing = contextlib.ExitStack()
        self._session = self._closing.enter_context(
            weights.restored_session(graph, saver, run.checkpoint))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Frees the session."""
        self._closing.close()

    def predict(self, images, with_probabilities=False):
        """Labels images of one size, at that size.

        Args:
          images: uint8 [batch, height, width, 3], RGB.
          with_probabilities: bool.

        Returns:
          `Prediction`. Probabilities are rounded to float16 so that the largest one of
          a pixel is that of its label.

        Raises:
          UserError: they do not fit into memory.
        """
        window = self._passes.window
        if window and max(images.shape[1:3]) > window:
            probabilities = np.concatenate([
                multiscale.predict_windows(
                    lambda part: self._run([self._probabilities], part)[0],
                    image[np.newaxis], window, self._passes.overlap)
                for image in images])
            values = [probabilities.argmax(axis=3).astype(np.uint8), probabilities]
        else:
            values = self._run([self._labels, self._probabilities]
                               [:1 + with_probabilities], images)
        probabilities = _rounded(values[1], values[0]) if with_probabilities else None
        return Prediction(values[0], probabilities)

    def _run(self, fetches, images):
        num_images, height, width = images.shape[:3]
        with explained(no_memory='%d image(s) of %dx%d pixels do not fit into memory at once: give '
                                 'a smaller --batch_size or --window, or smaller images.'
                                 % (num_images, width, height)):
            return self._session.run(fetches, {self._images: images})


def _rounded(probabilities, labels):
    """Rounds to float16; where that makes a tie, the label's own goes up by one step."""
    rounded = probabilities.astype(np.float16)
    tied = np.nonzero(rounded.argmax(axis=3) != labels)
    chosen = tied + (labels[tied],)
    rounded[chosen] = np.nextafter(rounded[tied].max(axis=-1), np.float16(1))
    return rounded
