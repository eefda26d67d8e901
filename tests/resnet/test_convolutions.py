"""The forms of a convolution compute the same, forwards and backwards."""
import numpy as np
import pytest

from resnet import convolutions
from resnet.architecture import Convolutions
from runtime import slim, tf
from runtime.devices import has_native_dilated_gradient

# Rates from inside the map to beyond it, where a tap meets nothing but padding.
RATES = (2, 18)
SIZES = ((9, 9), (5, 8), (1, 1), (33, 3))
OWN = [form for form in Convolutions if form is not Convolutions.SLIM]


# Kernel size, rate, height, width.
CASES = [(3, rate) + size for rate in RATES for size in SIZES] + [(1, 1) + size for size in SIZES]


def skip_without_gradient(form):
    if form is Convolutions.NATIVE and not has_native_dilated_gradient():
        pytest.skip('this build has no gradient of native dilated convolutions')


def run(form, is_static, cases=tuple(CASES), **settings):
    """Runs a convolution of each case forwards and backwards, all in one graph.

    Returns:
      (list of outputs, gradient of inputs and those of variables for each case, their
      regularisation losses, names of variables, types of ops).
    """
    with tf.Graph().as_default(), tf.Session() as session:
        values, images = [], {}
        for number, (size, rate, height, width) in enumerate(cases):
            random = np.random.RandomState(number)
            inputs = tf.placeholder(tf.float32,
                                    [2, height, width, 4] if is_static else [None, None, None, 4])
            images[inputs] = random.randn(2, height, width, 4)
            with tf.variable_scope(str(number)), slim.arg_scope(
                    [slim.conv2d], weights_regularizer=slim.l2_regularizer(0.5),
                    weights_initializer=tf.constant_initializer(random.randn(size, size, 4, 5))):
                outputs = convolutions.conv2d(inputs, 5, size, 'conv', rate, form, **settings)
            assert outputs.shape.as_list() == inputs.shape.as_list()[:3] + [5]
            # Differ from pixel to pixel, so that no gradient can be right by symmetry.
            towards = tf.constant(random.randn(2, height, width, 5), tf.float32)
            values.append([outputs] + tf.gradients(
                tf.reduce_sum(outputs * towards),
                [inputs] + tf.trainable_variables('%d/' % number)))
        session.run(tf.global_variables_initializer())
        values, losses = session.run([values, slim.losses.get_regularization_losses()], images)
        names = [(v.op.name, v.shape.as_list()) for v in tf.global_variables()]
        return values, losses, names, {op.type for op in session.graph.get_operations()}


@pytest.fixture(scope='module')
def slims():
    # With a bias, in the place of a normalizer.
    return run(Convolutions.SLIM, True, activation_fn=None)


@pytest.mark.parametrize('is_static', [True, False])
@pytest.mark.parametrize('form', OWN)
def test_every_form_is_slims(form, is_static, slims):
    skip_without_gradient(form)
    values, losses, names, ops = run(form, is_static, activation_fn=None)
    assert names == slims[2] and losses == slims[1] and 'SpaceToBatchND' not in ops
    for case, ours, expected in zip(CASES, values, slims[0]):
        assert len(ours) == len(expected) == 4
        for name, one, other in zip(('outputs', 'inputs', 'weights', 'biases'), ours, expected):
            assert np.abs(one - other).max() <= 1e-6 * np.abs(other).max(), (case, name)


@pytest.mark.parametrize('form', OWN)
def test_normalizer_and_activation_follow(form):
    skip_without_gradient(form)
    case = ((3, 2, 5, 8),)
    settings = dict(normalizer_fn=slim.batch_norm)  # and a ReLU, which slim adds by default
    (ours,), _, names, _ = run(form, True, case, **settings)
    (expected,), _, expected_names, _ = run(Convolutions.SLIM, True, case, **settings)
    assert names == expected_names and names[1][0].startswith('0/conv/BatchNorm/')
    assert len(ours) == len(expected) == 4
    for one, other in zip(ours, expected):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_taps_beyond_the_map_are_left_out():
    with tf.Graph().as_default():
        weights = tf.zeros([3, 3, 4, 5])
        convolutions.convolve(tf.zeros([1, 33, 18, 4]), weights, 18, Convolutions.PRODUCTS)
        products = [op for op in tf.get_default_graph().get_operations() if op.type == 'MatMul']
    assert len(products) == 3  # those above, in and below the middle


@pytest.mark.parametrize('form', Convolutions)
def test_a_hand_computed_row(form):
    skip_without_gradient(form)
    # One row 1 2 3 4 5, taps (1, 10, 100) at rate 2: out[i] = x[i-2] + 10 x[i] + 100 x[i+2].
    kernel = np.zeros([3, 3, 1, 1], np.float32)
    kernel[1, :, 0, 0] = 1, 10, 100
    row = np.array([1, 2, 3, 4, 5], np.float32).reshape(1, 1, 5, 1)
    with tf.Graph().as_default(), tf.Session() as session:
        with slim.arg_scope([slim.conv2d], activation_fn=None,
                            weights_initializer=tf.constant_initializer(kernel)):
            outputs = convolutions.conv2d(tf.constant(row), 1, 3, 'conv', 2, form)
        session.run(tf.global_variables_initializer())
        assert session.run(outputs).ravel().tolist() == [310, 420, 531, 42, 53]
