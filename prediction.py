"""The network of a trained run, for images of any size: what predict.py and notebooks share.

    import prediction
    run = prediction.load_run('runs/deeplab_v3')
    with prediction.Predictor(run) as predictor:
        labels = predictor.predict(images).labels
"""
import os
from collections import namedtuple

import numpy as np

import checkpoints
import config
import network
from dataset import descriptor, voc
from runtime import session_config, slim, tf

# checkpoint: str, the prefix. args: the run's flags. class_names: tuple of str, position is
# class id. ignore_label: int.
Run = namedtuple('Run', ['checkpoint', 'args', 'class_names', 'ignore_label'])

# images: uint8 placeholder [batch, height, width, 3], RGB. labels: uint8
# [batch, height, width]. probabilities: float32 [batch, height, width, classes].
PredictGraph = namedtuple('PredictGraph', ['graph', 'images', 'labels', 'probabilities',
                                           'variables'])

# labels: uint8 [batch, height, width]. probabilities: float16
# [batch, height, width, classes], or None.
Prediction = namedtuple('Prediction', ['labels', 'probabilities'])


class PredictionError(ValueError):
    """Images that the network cannot be run on."""


def load_run(checkpoint, output_stride=None, classes_file=None):
    """Finds a checkpoint, the settings of its run and the names of its classes.

    Args:
      checkpoint: str, as in `checkpoints.find`.
      output_stride: int or None for that of the run; the ASPP rates are adapted.
      classes_file: str or None, see `class_names_of`.

    Returns:
      `Run`.

    Raises:
      SystemExit: no checkpoint, no settings, or settings that cannot be built.
      DatasetError: `classes_file` cannot be read or does not fit.
    """
    prefix, run_dir = checkpoints.find(checkpoint)
    if run_dir is None:
        raise SystemExit("No config.json beside %s, and no data.json of the post's code: give a "
                         'checkpoint in the run directory that train.py wrote.' % prefix)
    args = config.with_output_stride(config.load(run_dir), output_stride)
    class_names, ignore_label = class_names_of(args, classes_file)
    return Run(prefix, args, class_names, ignore_label)


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
      DatasetError: `classes_file` cannot be read, repeats a name, or holds another
        number of names than the run has classes.
    """
    ignore_label = voc.IGNORE_LABEL
    names = tuple('class %d' % label for label in range(args.number_of_classes))
    if args.number_of_classes == len(voc.CLASS_NAMES):
        names = voc.CLASS_NAMES
    try:
        info = descriptor.load(args.dataset_dir)
    except (descriptor.DatasetError, OSError):
        info = None  # trained elsewhere, or deleted since
    if info is not None and info.number_of_classes == args.number_of_classes:
        names, ignore_label = info.class_names, info.ignore_label
    if classes_file is not None:
        names = _read_class_names(classes_file, args.number_of_classes, ignore_label)
    return names, ignore_label


def _read_class_names(path, number_of_classes, ignore_label):
    try:
        with open(path, encoding='utf-8-sig') as classes_file:
            names = [line.split('#')[0].strip() for line in classes_file]
    except (OSError, UnicodeDecodeError) as error:
        raise descriptor.DatasetError('--classes %s cannot be read: %s' % (path, error))
    names = [name for name in names if name]
    if len(names) != number_of_classes:
        raise descriptor.DatasetError(
            '--classes %s holds %d names, but the checkpoint has %d classes: write one name per '
            'line, class 0 first.' % (path, len(names), number_of_classes))
    try:
        return descriptor.create(os.path.basename(path), names, ignore_label).class_names
    except descriptor.DatasetError as error:
        raise descriptor.DatasetError('--classes %s: %s' % (path, error))


def build_predict_graph(args):
    """Builds the network in evaluation mode over a placeholder.

    Args:
      args: the run's flags, see `network.deeplab_v3`.

    Returns:
      `PredictGraph`.

    Raises:
      ValueError: a setting that cannot be built.
    """
    graph = tf.Graph()
    with graph.as_default():
        images = tf.placeholder(tf.uint8, [None, None, None, 3], name='images')
        logits = network.deeplab_v3(tf.cast(images, tf.float32), args, is_training=False,
                                    reuse=None)
        # 8 bits hold every class id, see `dataset.descriptor`.
        labels = tf.cast(tf.argmax(logits, axis=3, output_type=tf.int32), tf.uint8)
        variables = slim.get_model_variables()
        return PredictGraph(graph, images, labels, tf.nn.softmax(logits), variables)


class Predictor:
    """A restored network that labels images; close it, or use it in a `with` statement.

    Args:
      run: `Run`.

    Raises:
      SystemExit: the checkpoint does not fit its settings, or is damaged.
      ValueError: a setting that cannot be built.
    """

    def __init__(self, run):
        self._graph = build_predict_graph(run.args)
        with self._graph.graph.as_default():
            # The averages of --ema_decay, where the checkpoint has them.
            saver = tf.train.Saver(checkpoints.names_in(run.checkpoint, self._graph.variables))
        self._graph.graph.finalize()
        self._session = tf.Session(graph=self._graph.graph, config=session_config())
        try:
            checkpoints.restore(saver, self._session, run.checkpoint)
        except SystemExit:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Frees the session."""
        self._session.close()

    def predict(self, images, with_probabilities=False):
        """Labels images of one size, at that size.

        Args:
          images: uint8 [batch, height, width, 3], RGB.
          with_probabilities: bool.

        Returns:
          `Prediction`. Probabilities are rounded to float16 so that the largest one of
          a pixel is that of its label.

        Raises:
          PredictionError: they do not fit into memory.
        """
        fetches = [self._graph.labels]
        if with_probabilities:
            fetches.append(self._graph.probabilities)
        try:
            values = self._session.run(fetches, {self._graph.images: images})
        except tf.errors.ResourceExhaustedError:
            raise PredictionError(
                '%d image(s) of %dx%d pixels do not fit into memory at once: give a smaller '
                '--batch_size, or smaller images.' % (len(images), images[0].shape[1],
                                                      images[0].shape[0]))
        probabilities = _rounded(values[1], values[0]) if with_probabilities else None
        return Prediction(values[0], probabilities)


def _rounded(probabilities, labels):
    """Rounds to float16; where that makes a tie, the label's own goes up by one step."""
    rounded = probabilities.astype(np.float16)
    tied = np.nonzero(rounded.argmax(axis=3) != labels)
    chosen = tied + (labels[tied],)
    rounded[chosen] = np.nextafter(rounded[tied].max(axis=-1), np.float16(1))
    return rounded
