"""The network of a trained run, for images of any size: what predict.py and notebooks share.

    from experiment import loading
    from inference import restored
    run = loading.load_run('runs/deeplab_v3')
    with restored.Predictor(run) as predictor:
        labels = predictor.predict(images).labels
"""
import contextlib
from collections import namedtuple

import numpy as np

import network
from experiment import weights
from inference import multiscale, options
from preprocessing.failures import explained
from runtime import slim, tf

# labels: uint8 [batch, height, width]. probabilities: float16
# [batch, height, width, classes], or None.
Prediction = namedtuple('Prediction', ['labels', 'probabilities'])


class Predictor:
    """A restored network that labels images; close it, or use it in a `with` statement.

    Args:
      run: `loading.LoadedRun`.
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
