"""Native and space-to-batch atrous convolutions agree; multi-grid is checked."""
import numpy as np
import pytest

from resnet import architecture, resnet_utils, resnet_v2
from runtime import slim, tf
from runtime.devices import has_native_dilated_gradient

RATES = (1, 2, 4, 18)
SIZES = ((9, 9), (5, 8), (1, 1), (33, 3))


@pytest.fixture
def native(request):
    """One of the two ways to run an atrous convolution."""
    native = request.param
    if native and not has_native_dilated_gradient():
        pytest.skip('this build has no gradient of native dilated convolutions')
    return native


def build(rate, height, width, native):
    """An atrous convolution with L2 and batch norm on a fixed random map."""
    tf.set_random_seed(1)
    inputs = tf.constant(np.random.RandomState(0).randn(2, height, width, 4), tf.float32)
    with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm,
                        weights_initializer=tf.random_normal_initializer(seed=3),
                        weights_regularizer=slim.l2_regularizer(0.5)):
        outputs = resnet_utils.atrous_conv2d(inputs, 5, 3, rate, 'conv', native)
    return inputs, outputs


def run_route(rate, height, width, native):
    with tf.Graph().as_default(), tf.Session() as session:
        inputs, outputs = build(rate, height, width, native)
        weights = tf.trainable_variables()[0]
        gradients = tf.gradients(tf.reduce_sum(outputs ** 2), [inputs, weights])
        session.run(tf.global_variables_initializer())
        values = session.run([outputs] + gradients + [slim.losses.get_regularization_losses()])
        names = [(v.op.name, v.shape.as_list()) for v in tf.global_variables()]
        return values, names, [op.type for op in session.graph.get_operations()]


@pytest.mark.parametrize('height,width', SIZES)
@pytest.mark.parametrize('rate', RATES)
def test_native_equals_space_to_batch(rate, height, width):
    if not has_native_dilated_gradient():
        pytest.skip('this build has no gradient of native dilated convolutions')
    native, native_names, native_ops = run_route(rate, height, width, True)
    fallback, fallback_names, fallback_ops = run_route(rate, height, width, False)
    assert native_names == fallback_names
    assert 'SpaceToBatchND' not in native_ops
    assert ('SpaceToBatchND' in fallback_ops) == (rate > 1)
    for ours, slims in zip(native, fallback):
        np.testing.assert_allclose(ours, slims, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('native', [True, False], indirect=True)
def test_atrous_conv2d_equals_a_hand_computed_row(native):
    # One row 1 2 3 4 5, taps (1, 10, 100) at rate 2: out[i] = x[i-2] + 10 x[i] + 100 x[i+2].
    kernel = np.zeros([3, 3, 1, 1], np.float32)
    kernel[1, :, 0, 0] = 1, 10, 100
    row = np.array([1, 2, 3, 4, 5], np.float32).reshape(1, 1, 5, 1)
    with tf.Graph().as_default(), tf.Session() as session:
        with slim.arg_scope([slim.conv2d], normalizer_fn=lambda net: net, activation_fn=None,
                            normalizer_params={},
                            weights_initializer=tf.constant_initializer(kernel)):
            outputs = resnet_utils.atrous_conv2d(tf.constant(row), 1, 3, 2, 'conv', native)
        session.run(tf.global_variables_initializer())
        assert session.run(outputs).ravel().tolist() == [310, 420, 531, 42, 53]


def test_native_atrous_conv2d_without_normalizer_is_refused():
    with tf.Graph().as_default(), pytest.raises(ValueError, match='conv: .*normalizer_fn'):
        resnet_utils.atrous_conv2d(tf.zeros([1, 4, 4, 1]), 1, 3, 2, 'conv', native=True)


def test_apply_multi_grid_changes_the_last_block_alone():
    blocks = resnet_v2.resnet_blocks(architecture.Architecture((1, 1, 1, 3)), (1, 2, 4))
    assert [unit['unit_rate'] for unit in blocks[3].args] == [1, 2, 4]
    assert all('unit_rate' not in unit for block in blocks[:3] for unit in block.args)


@pytest.mark.parametrize('multi_grid,message', [
    ((1, 2), 'has 2 rates; block4 has 3 units'), ((1, 2, 4, 8), 'has 4 rates'),
    ((1, 2, 0), 'positive whole'), ((1, 2, 1.5), 'positive whole')])
def test_apply_multi_grid_refuses_what_does_not_fit(multi_grid, message):
    with pytest.raises(ValueError, match=message):
        resnet_v2.resnet_blocks(architecture.Architecture((1, 1, 1, 3)), multi_grid)
