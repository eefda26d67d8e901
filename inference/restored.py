"""The network of a trained run, for images of any size: what predict.py and notebooks share.

    import prediction
    run = prediction.load_run('runs/deeplab_v3')
    with prediction.Predictor(run) as predictor:
        labels = predictor.predict(images).labels
"""
import os
from collections import namedtuple

import numpy as np

import network
from common.errors import UserError
from dataset import descriptor, voc
from experiment import checkpoints, config, weights
from inference import options
from runtime import slim, tf
from runtime.devices import is_out_of_memory, session_config

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


def load_run(checkpoint, output_stride=None, classes_file=None):
    """Finds a checkpoint, the settings of its run and the names of its classes.

    Args:
      checkpoint: str, as in `checkpoints.find`.
      output_stride: int or None for that of the run; the ASPP rates are adapted.
      classes_file: str or None, see `class_names_of`.

    Returns:
      `Run`.

    Raises:
      UserError: no checkpoint, no settings, or settings that cannot be built.
      UserError: `classes_file` cannot be read or does not fit.
    """
    prefix, run_dir = checkpoints.find(checkpoint)
    if run_dir is None:
        raise UserError("No config.json beside %s, and no data.json of the post's code: give a "
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
    names = descriptor.read_class_names(path)
    if len(names) != number_of_classes:
        raise UserError(
            '--classes %s holds %d names, but the checkpoint has %d classes: write one name per '
            'line, class 0 first.' % (path, len(names), number_of_classes))
    try:
        return descriptor.create(os.path.basename(path), names, ignore_label).class_names
    except UserError as error:
        raise UserError('--classes %s: %s' % (path, error))


def averaged_logits(images, network_options, scales=(1.0,), flip=False):
    """The network at several scales and mirrored; probabilities are averaged, as in the paper.

    At each scale the image is resized bilinearly, and the logits are resized from the
    feature map to the image's own size, once (paper, section 4.1;
    tests/test_prediction.py compares with single passes averaged in NumPy).

    Args:
      images: float32 [batch, height, width, 3], RGB in 0..255.
      network_options: `network.NetworkOptions`.
      scales: sequence of float above 0.
      flip: bool, whether to add the image mirrored left and right at each scale.

    Returns:
      float32 [batch, height, width, classes]: the logits of the one pass, or the
      logarithm of the mean probabilities. Softmax gives the probabilities either way.
    """
    size = tf.shape(images)[1:3]
    passes = []
    for scale in scales:
        scaled = images
        if scale != 1:
            scaled_size = tf.cast(tf.round(tf.cast(size, tf.float32) * scale), tf.int32)
            scaled = tf.image.resize_bilinear(images, tf.maximum(1, scaled_size),
                                              align_corners=network_options.align_corners)
        for mirrored in (False, True)[:1 + flip]:
            logits = network.deeplab_v3(scaled[:, :, ::-1] if mirrored else scaled, network_options,
                                        is_training=False, reuse=bool(passes) or None,
                                        output_size=size)
            passes.append(logits[:, :, ::-1] if mirrored else logits)
    if len(passes) == 1:
        return passes[0]
    return (tf.reduce_logsumexp(tf.stack([tf.nn.log_softmax(logits) for logits in passes]), axis=0)
            - np.log(len(passes)).astype(np.float32))


def label_map(logits):
    """Returns the most probable class of each pixel, uint8 without the last axis of `logits`."""
    # 8 bits hold every class id, see `dataset.descriptor`.
    return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.uint8)


def window_starts(length, window, overlap):
    """Where the windows over a line begin; the last one ends with the line.

    Args:
      length, window, overlap: int, pixels; overlap < window.

    Returns:
      List of int; neighbours share at least `overlap` pixels.
    """
    last = max(0, length - window)
    return list(range(0, last, window - overlap)) + [last]


def predict_windows(predict, image, window, overlap):
    """Predicts an image square by square; where squares overlap, probabilities are averaged.

    Args:
      predict: function of float or uint8 [1, height, width, 3] to its probabilities
        float32 [1, height, width, classes].
      image: [1, height, width, 3].
      window: int, the side of a square; smaller images pass whole.
      overlap: int, pixels that neighbours share at least.

    Returns:
      float32 [1, height, width, classes].
    """
    height, width = image.shape[1:3]
    total, num_passes = None, np.zeros([1, height, width, 1], np.float32)
    for top in window_starts(height, window, overlap):
        for left in window_starts(width, window, overlap):
            place = np.s_[:, top:top + window, left:left + window]
            probabilities = predict(image[place])
            if total is None:
                total = np.zeros([1, height, width, probabilities.shape[-1]], np.float32)
            total[place] += probabilities
            num_passes[place] += 1
    total /= num_passes
    return total


def build_predict_graph(network_options, scales=(1.0,), flip=False):
    """Builds the network in evaluation mode over a placeholder.

    Args:
      network_options: `network.NetworkOptions`.
      scales, flip: see `averaged_logits`.

    Returns:
      `PredictGraph`.

    Raises:
      ValueError: a setting that cannot be built.
    """
    graph = tf.Graph()
    with graph.as_default():
        images = tf.placeholder(tf.uint8, [None, None, None, 3], name='images')
        logits = averaged_logits(tf.cast(images, tf.float32), network_options, scales, flip)
        variables = slim.get_model_variables()
        return PredictGraph(graph, images, label_map(logits), tf.nn.softmax(logits), variables)


class Predictor:
    """A restored network that labels images; close it, or use it in a `with` statement.

    Args:
      run: `Run`.
      passes: `options.Passes`.

    Raises:
      UserError: the checkpoint does not fit its settings, or is damaged.
      ValueError: a setting that cannot be built.
    """

    def __init__(self, run, passes=options.SINGLE_PASS):
        self._passes = passes
        self._graph = build_predict_graph(network.options_of(run.args), passes.scales, passes.flip)
        with self._graph.graph.as_default():
            # The averages of --ema_decay, where the checkpoint has them.
            saver = weights.saver_for(run.checkpoint, self._graph.variables)
        self._graph.graph.finalize()
        self._session = tf.Session(graph=self._graph.graph, config=session_config())
        try:
            weights.restore(saver, self._session, run.checkpoint)
        except UserError:
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
          UserError: they do not fit into memory.
        """
        window = self._passes.window
        if window and max(images.shape[1:3]) > window:
            probabilities = np.concatenate([
                predict_windows(lambda part: self._run([self._graph.probabilities], part)[0],
                                image[np.newaxis], window, self._passes.overlap)
                for image in images])
            values = [probabilities.argmax(axis=3).astype(np.uint8), probabilities]
        else:
            values = self._run([self._graph.labels, self._graph.probabilities]
                               [:1 + with_probabilities], images)
        probabilities = _rounded(values[1], values[0]) if with_probabilities else None
        return Prediction(values[0], probabilities)

    def _run(self, fetches, images):
        try:
            return self._session.run(fetches, {self._graph.images: images})
        except tf.errors.OpError as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                '%d image(s) of %dx%d pixels do not fit into memory at once: give a smaller '
                '--batch_size or --window, or smaller images.'
                % (len(images), images[0].shape[1], images[0].shape[0]))


def _rounded(probabilities, labels):
    """Rounds to float16; where that makes a tie, the label's own goes up by one step."""
    rounded = probabilities.astype(np.float16)
    tied = np.nonzero(rounded.argmax(axis=3) != labels)
    chosen = tied + (labels[tied],)
    rounded[chosen] = np.nextafter(rounded[tied].max(axis=-1), np.float16(1))
    return rounded
