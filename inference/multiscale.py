"""From images to label maps: at several scales, mirrored, and square by square."""
import numpy as np

import network
from runtime import tf


def averaged_logits(images, network_options, passes):
    """The network at several scales and mirrored; probabilities are averaged, as in the paper.

    At each scale the image is resized bilinearly, and the logits are resized to the image's own
    size (paper, section 4.1; tests/inference/test_restored.py compares with single passes averaged
    in NumPy).

    Args:
      images: float32 [batch, height, width, 3], RGB in 0..255.
      network_options: `network.NetworkOptions`.
      passes: `options.Passes`, whose scales and flip count here.

    Returns:
      float32 [batch, height, width, classes]: the logits of the one pass, or the
      logarithm of the mean probabilities. Softmax gives the probabilities either way.
    """
    size = tf.shape(images)[1:3]
    outputs = []
    for scale in passes.scales:
        scaled = images
        if scale != 1:
            scaled_size = tf.cast(tf.round(tf.cast(size, tf.float32) * scale), tf.int32)
            scaled = tf.image.resize_bilinear(images, tf.maximum(1, scaled_size),
                                              align_corners=network_options.align_corners)
        for mirrored in (False, True)[:1 + passes.flip]:
            logits = network.deeplab_v3(scaled[:, :, ::-1] if mirrored else scaled, network_options,
                                        is_training=False, reuse=bool(outputs) or None,
                                        output_size=None if scale == 1 else size)
            outputs.append(logits[:, :, ::-1] if mirrored else logits)
    if len(outputs) == 1:
        return outputs[0]
    return (tf.reduce_logsumexp(tf.stack([tf.nn.log_softmax(logits) for logits in outputs]), axis=0)
            - np.log(len(outputs)).astype(np.float32))


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
