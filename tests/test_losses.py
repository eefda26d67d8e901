"""losses.py: hand-computed cross-entropy, silent ignored pixels, L2 that reaches the total."""
import numpy as np
import pytest

import losses
from runtime import slim, tf

VOID = 255


def evaluate(logits, labels, ignore_label=VOID):
    """Returns (cross-entropy, its gradient by the logits) of one batch."""
    with tf.Graph().as_default(), tf.Session() as session:
        logits = tf.constant(logits, tf.float32)
        loss = losses.masked_cross_entropy(logits, tf.constant(labels, tf.int32), ignore_label)
        return session.run([loss, tf.gradients(loss, logits)[0]])


def noise(*shape):
    return np.random.RandomState(0).randn(*shape)


# Softmax of (0, log 3) is (1/4, 3/4), of (0, 0) it is (1/2, 1/2).
LOGITS = [[[[0, np.log(3)], [0, np.log(3)]], [[0, 0], [5, -5]]]]


def test_cross_entropy_is_the_mean_over_the_three_labelled_pixels():
    loss, _ = evaluate(LOGITS, [[[0, 1], [1, VOID]]])
    assert loss == pytest.approx((np.log(4) + np.log(4 / 3) + np.log(2)) / 3)


def test_gradient_is_softmax_minus_one_hot_over_the_labelled_pixels_and_zero_at_void():
    _, gradient = evaluate(LOGITS, [[[0, 1], [1, VOID]]])
    expected = np.array([[[[-3, 3], [1, -1]], [[2, -2], [0, 0]]]]) / 4 / 3
    np.testing.assert_allclose(gradient, expected, atol=1e-7)
    assert (gradient[0, 1, 1] == 0).all()


def test_gradient_is_exactly_zero_on_ignored_pixels_and_nowhere_else():
    labels = np.random.RandomState(1).choice([0, 1, 2, VOID], [2, 5, 5])
    _, gradient = evaluate(noise(2, 5, 5, 3), labels)
    np.testing.assert_array_equal((gradient != 0).all(axis=3), labels != VOID)
    np.testing.assert_array_equal((gradient == 0).all(axis=3), labels == VOID)


def test_loss_does_not_depend_on_the_logits_of_ignored_pixels():
    labels = np.array([[[0, VOID], [2, VOID]]])
    logits = noise(1, 2, 2, 3)
    changed = np.where((labels == VOID)[..., np.newaxis], 100 * logits, logits)
    assert evaluate(logits, labels)[0] == evaluate(changed, labels)[0]


def test_batch_without_a_labelled_pixel_gives_zero_loss_and_zero_gradient():
    loss, gradient = evaluate(noise(2, 3, 3, 4), np.full([2, 3, 3], VOID))
    assert loss == 0.0
    np.testing.assert_array_equal(gradient, np.zeros([2, 3, 3, 4]))


def test_pixels_of_a_batch_weigh_the_same_whatever_image_they_are_in():
    logits = np.zeros([2, 1, 2, 2])
    logits[1] = [0, np.log(3)]
    loss, _ = evaluate(logits, [[[0, VOID]], [[0, 0]]])
    assert loss == pytest.approx((np.log(2) + 2 * np.log(4)) / 3)


@pytest.mark.parametrize('ignore_label', [11, 12, 255])
def test_ignore_label_outside_the_classes_makes_no_nan(ignore_label):
    labels = np.array([[[0, ignore_label], [10, ignore_label]]])
    logits = np.zeros([1, 2, 2, 11])
    loss, gradient = evaluate(logits, labels, ignore_label)
    assert loss == pytest.approx(np.log(11))
    assert np.isfinite(gradient).all()
    assert (gradient[labels == ignore_label] == 0).all()


@pytest.mark.parametrize('wrong', [3, 38, 254, -1])
def test_label_outside_the_classes_makes_the_loss_nan_instead_of_ending_the_process(wrong):
    loss, gradient = evaluate(noise(1, 2, 2, 3), [[[0, wrong], [2, VOID]]])
    assert np.isnan(loss)
    assert np.isfinite(gradient).all()


def test_ignore_label_inside_the_classes_is_left_out_too():
    loss, gradient = evaluate([[[[0, 0], [0, np.log(3)]]]], [[[0, 1]]], ignore_label=0)
    assert loss == pytest.approx(np.log(4 / 3))
    assert (gradient[0, 0, 0] == 0).all()


def convolution_losses(l2_rate, labels):
    """Returns (values of the `Losses`, the weights, gradient of total by the weights)."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(0)
        images = tf.constant(noise(1, 4, 4, 2), tf.float32)
        logits = slim.conv2d(images, 3, 3, activation_fn=None, scope='logits',
                             weights_regularizer=slim.l2_regularizer(l2_rate) if l2_rate else None)
        loss = losses.sum_losses(
            losses.masked_cross_entropy(logits, tf.constant(labels, tf.int32), VOID),
            losses.regularization())
        weights = slim.get_model_variables('logits/weights')[0]
        session.run(tf.global_variables_initializer())
        return session.run([loss, weights, tf.gradients(loss.total, weights)[0]])


def test_total_is_cross_entropy_plus_l2_of_the_convolution():
    values, weights, _ = convolution_losses(0.1, np.ones([1, 4, 4]))
    l2 = 0.1 * np.sum(weights ** 2) / 2
    assert l2 > 0.01
    assert values.regularization == pytest.approx(l2, rel=1e-5)
    assert values.total == pytest.approx(values.cross_entropy + l2, rel=1e-5)


def test_l2_pulls_at_the_weights_even_where_cross_entropy_does_not():
    _, weights, gradient = convolution_losses(0.1, np.full([1, 4, 4], VOID))
    np.testing.assert_allclose(gradient, 0.1 * weights, rtol=1e-5)
    assert np.abs(gradient).max() > 0


def test_total_is_the_cross_entropy_alone_without_a_regularizer():
    values, _, _ = convolution_losses(None, np.ones([1, 4, 4]))
    assert values.regularization == 0
    assert values.total == values.cross_entropy > 0


def weighted(labels, class_weights=None, hard_fraction=None):
    with tf.Graph().as_default(), tf.Session() as session:
        if hard_fraction is not None:
            hard_fraction = tf.constant(hard_fraction)
        loss = losses.masked_cross_entropy(tf.constant(LOGITS, tf.float32),
                                           tf.constant(labels, tf.int32), VOID, class_weights,
                                           hard_fraction)
        return session.run(loss)


def test_class_weights_weigh_pixels_and_the_mean():
    # Losses log 4 (class 0), log 4/3 and log 2 (class 1).
    expected = (5 * np.log(4) + 2 * np.log(4 / 3) + 2 * np.log(2)) / 9
    assert weighted([[[0, 1], [1, VOID]]], [5, 2]) == pytest.approx(expected)


def test_class_of_weight_zero_alone_gives_zero_not_nan():
    assert weighted([[[0, 0], [VOID, VOID]]], [0, 2]) == 0


@pytest.mark.parametrize('fraction, expected', [
    (1.0, (np.log(4) + np.log(4 / 3) + np.log(2)) / 3),
    (0.6, (np.log(4) + np.log(2)) / 2),  # 1.8 pixels are 2
    (0.3, np.log(4)), (0.01, np.log(4))])
def test_hard_fraction_keeps_the_pixels_of_the_largest_losses(fraction, expected):
    assert weighted([[[0, 1], [1, VOID]]], None, fraction) == pytest.approx(expected)


def test_hard_fraction_of_nothing_but_void_is_zero():
    assert weighted([[[VOID] * 2] * 2], None, 0.5) == 0
    assert weighted([[[VOID] * 2] * 2], [1, 2], 0.5) == 0
