"""Masked softmax cross-entropy, and the total loss with the L2 that really reaches it."""
from collections import namedtuple

from runtime import slim, tf

Losses = namedtuple('Losses', ['cross_entropy', 'regularization', 'total'])


def summed_cross_entropy(logits, labels, ignore_label, class_weights=None, hard_fraction=None):
    """Softmax cross-entropy summed over the pixels whose label is not `ignore_label`.

    A label that is neither a class nor `ignore_label` makes the sum NaN, for the caller
    to explain; TensorFlow's op ends the process on a CPU and gives NaN on a GPU alone
    (tests/test_losses.py).

    Args:
      logits, labels, ignore_label: as in `masked_cross_entropy`.
      class_weights: None, or float [classes], by which pixels count.
      hard_fraction: None, or float32 scalar tensor in (0, 1]: only this share of the
        valid pixels, those with the largest losses, counts.

    Returns:
      (float32 scalar, the sum; float32 scalar, the sum of the weights of its pixels:
      their number without `class_weights`).
    """
    valid = tf.not_equal(labels, ignore_label)
    is_class = (labels >= 0) & (labels < tf.shape(logits)[-1])
    fault = tf.where(tf.reduce_all(is_class | ~valid), 0.0, float('nan'))
    # The op takes classes only: all other pixels borrow class 0.
    safe_labels = tf.where(valid & is_class, labels, tf.zeros_like(labels))
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=safe_labels, logits=logits)
    weights = tf.cast(valid, tf.float32)
    if class_weights is not None:
        weights *= tf.gather(tf.constant(class_weights, tf.float32), safe_labels)
    losses = tf.where(valid, losses * weights, tf.zeros_like(losses))
    if hard_fraction is not None:
        num_valid = tf.reduce_sum(tf.cast(valid, tf.float32))
        num_hard = tf.maximum(1, tf.cast(tf.ceil(hard_fraction * num_valid), tf.int32))
        losses, hardest = tf.nn.top_k(tf.reshape(losses, [-1]), num_hard, sorted=False)
        weights = tf.gather(tf.reshape(weights, [-1]), hardest)
    return tf.reduce_sum(losses) + fault, tf.reduce_sum(weights)


def masked_cross_entropy(logits, labels, ignore_label, class_weights=None, hard_fraction=None):
    """Mean softmax cross-entropy over the pixels whose label is not `ignore_label`.

    The gradient at ignored pixels is exactly zero, and a batch of nothing but
    ignored pixels gives 0.0 (tests/test_losses.py).

    Args:
      logits: float32 [batch, height, width, classes].
      labels: int32 [batch, height, width], 0..classes-1 or `ignore_label`.
      ignore_label: int.
      class_weights, hard_fraction: as in `summed_cross_entropy`.

    Returns:
      float32 scalar.
    """
    return tf.div_no_nan(*summed_cross_entropy(logits, labels, ignore_label, class_weights,
                                               hard_fraction))


def regularization():
    """Adds up the L2 terms that the network's convolutions put into the graph.

    Call it after the network was built.

    Returns:
      float32 scalar, 0 where there are none.
    """
    return tf.add_n(slim.losses.get_regularization_losses() or [tf.constant(0.0)],
                    name='regularization')


def sum_losses(cross_entropy, regularization_loss):
    """Returns the `Losses` of the two parts."""
    return Losses(cross_entropy, regularization_loss, cross_entropy + regularization_loss)
