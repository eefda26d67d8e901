"""Masked softmax cross-entropy, and the total loss with the L2 that really reaches it."""
from collections import namedtuple

from runtime import slim, tf

Losses = namedtuple('Losses', ['cross_entropy', 'regularization', 'total'])


def masked_cross_entropy(logits, labels, ignore_label):
    """Mean softmax cross-entropy over the pixels whose label is not `ignore_label`.

    The gradient at ignored pixels is exactly zero, and a batch of nothing but
    ignored pixels gives 0.0 (tests/test_losses.py).

    Args:
      logits: float32 [batch, height, width, classes].
      labels: int32 [batch, height, width], 0..classes-1 or `ignore_label`.
      ignore_label: int.

    Returns:
      float32 scalar.
    """
    valid = tf.not_equal(labels, ignore_label)
    # An id outside the classes would make the loss NaN: ignored pixels borrow class 0.
    safe_labels = tf.where(valid, labels, tf.zeros_like(labels))
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=safe_labels, logits=logits)
    losses = tf.where(valid, losses, tf.zeros_like(losses))
    num_valid = tf.reduce_sum(tf.cast(valid, tf.float32))
    return tf.reduce_sum(losses) / tf.maximum(num_valid, 1.0)


def build_losses(logits, labels, ignore_label):
    """Adds the cross-entropy to the graph's L2 terms.

    Call it after the network was built: the L2 terms are those that its
    convolutions put into the graph's regularization losses.

    Args:
      logits, labels, ignore_label: as in `masked_cross_entropy`.

    Returns:
      A `Losses` of float32 scalars.
    """
    cross_entropy = masked_cross_entropy(logits, labels, ignore_label)
    regularization = tf.add_n(slim.losses.get_regularization_losses() or [tf.constant(0.0)],
                              name='regularization')
    return Losses(cross_entropy, regularization, cross_entropy + regularization)
