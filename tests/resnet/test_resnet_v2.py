"""The backbone against slim's, its atrous rates, and its output strides."""
import numpy as np
import pytest
from tf_slim.nets import resnet_utils as slim_resnet_utils
from tf_slim.nets import resnet_v2 as slim_resnet_v2

from resnet import architecture, resnet_v2
from resnet.architecture import Convolutions
from runtime import slim, tf
from runtime.devices import has_native_dilated_gradient
from tests.helpers import pseudo_random

TINY = 'resnet_v2_tiny'  # the name that the fixture tiny_backbone makes known


def image(height, width, seed=0):
    return np.random.RandomState(seed).uniform(-100, 100, [1, height, width, 3]).astype('float32')


def features(build, inputs, is_training=False):
    """Runs `build` (inputs, is_training) -> tensor in a graph of its own, variables by name."""
    with tf.Graph().as_default(), tf.Session() as session:
        with slim.arg_scope(slim_resnet_utils.resnet_arg_scope()):
            net = build(tf.constant(inputs), is_training)
        pseudo_random.assign(session)
        return session.run(net), sorted((v.op.name, tuple(v.shape.as_list()))
                                        for v in tf.global_variables())


def ours(model, output_stride, multi_grid):
    return lambda inputs, is_training: resnet_v2.resnet_v2(
        inputs, model, architecture.MODELS[model], is_training, output_stride, multi_grid)[0]


def relative_error(actual, expected):
    return np.abs(actual - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize('output_stride,is_training', [
    (8, False), (16, False), (32, False), (16, True)])
def test_resnet_v2_50_at_grid_111_equals_slim(output_stride, is_training):
    def slims(inputs, is_training):
        return slim_resnet_v2.resnet_v2_50(inputs, is_training=is_training, global_pool=False,
                                           output_stride=output_stride)[0]
    inputs = image(65, 49)
    expected, slim_variables = features(slims, inputs, is_training)
    actual, our_variables = features(ours('resnet_v2_50', output_stride, (1, 1, 1)), inputs,
                                     is_training)
    assert our_variables == slim_variables
    assert relative_error(actual, expected) < 1e-5


@pytest.mark.parametrize('model', ['resnet_v2_101', 'resnet_v2_152', 'resnet_v2_200'])
def test_deeper_backbones_have_slims_variables(model):
    def variables(build):
        with tf.Graph().as_default():
            with slim.arg_scope(slim_resnet_utils.resnet_arg_scope()):
                build(tf.zeros([1, 33, 33, 3]))
            return [(v.op.name, v.shape.as_list()) for v in tf.global_variables()]
    slims = getattr(slim_resnet_v2, model)
    assert variables(lambda inputs: ours(model, 16, (1, 2, 4))(inputs, False)) == \
        variables(lambda inputs: slims(inputs, is_training=False, global_pool=False))


@pytest.mark.parametrize('size', [(65, 97), (33, 33)])
@pytest.mark.parametrize('output_stride', [8, 16])
def test_atrous_equals_the_dense_computation_subsampled(tiny_backbone, output_stride, size):
    nominal, _ = features(ours(TINY, 32, (1, 1, 1)), image(*size))
    dense, _ = features(ours(TINY, output_stride, (1, 1, 1)), image(*size))
    factor = 32 // output_stride
    assert relative_error(dense[:, ::factor, ::factor], nominal) < 1e-5


def tap_distance(session, before, after):
    """The distance between the taps of the convolution that makes `after` of `before`.

    A row of ones is fed to it, and the centre's gradient shows where the taps are.
    """
    row = np.ones([1, 1, 81, before.shape[3].value], np.float32)
    gradient = session.run(tf.gradients(tf.reduce_sum(after[:, :, 40]), before)[0], {before: row})
    columns = np.flatnonzero(np.abs(gradient).sum(axis=(0, 1, 3)))
    assert len(columns) == 3 and columns[1] == 40
    return columns[1] - columns[0]


def unit_rates(output_stride, multi_grid, units, form=Convolutions.SLIM):
    """The rates at which the 3x3 convolutions of (block, unit) pairs run."""
    with tf.Graph().as_default() as graph, tf.Session() as session:
        with slim.arg_scope(slim_resnet_utils.resnet_arg_scope()):
            resnet_v2.resnet_v2(tf.placeholder(tf.float32, [None, None, None, 3]), TINY,
                                architecture.MODELS[TINY]._replace(convolutions=form), False,
                                output_stride, multi_grid)
        session.run(tf.global_variables_initializer())
        tensors = ['%s/block%d/unit_%d/bottleneck_v2/' % ((TINY,) + unit) for unit in units]
        return tuple(tap_distance(session, graph.get_tensor_by_name(scope + 'conv1/Relu:0'),
                                  graph.get_tensor_by_name(scope + 'conv2/Relu:0'))
                     for scope in tensors)


@pytest.mark.parametrize('form', [Convolutions.NATIVE, Convolutions.SLIM])
@pytest.mark.parametrize('output_stride,multi_grid,expected', [
    (16, (1, 2, 4), (2, 4, 8)), (8, (1, 2, 4), (4, 8, 16)), (16, (1, 1, 1), (2, 2, 2)),
    (32, (1, 1, 1), (1, 1, 1))])
def test_block4_rates(tiny_backbone, form, output_stride, multi_grid, expected):
    if form is Convolutions.NATIVE and not has_native_dilated_gradient():
        pytest.skip('this build has no gradient of native dilated convolutions')
    assert unit_rates(output_stride, multi_grid, [(4, 1), (4, 2), (4, 3)], form) == expected


@pytest.mark.parametrize('output_stride,expected', [(16, 1), (8, 2)])
def test_multi_grid_leaves_block3_at_its_rate(tiny_backbone, output_stride, expected):
    assert unit_rates(output_stride, (1, 2, 4), [(3, 1)]) == (expected,)


@pytest.mark.parametrize('size', [(33, 57), (1, 1), (2, 31)])
@pytest.mark.parametrize('output_stride', [8, 16, 32])
def test_output_size_is_the_ceiling(tiny_backbone, output_stride, size):
    multi_grid = (1, 1, 1) if output_stride == 32 else (1, 2, 4)
    net, _ = features(ours(TINY, output_stride, multi_grid), image(*size))
    assert net.shape == (1, -(-size[0] // output_stride), -(-size[1] // output_stride), 2048)


@pytest.mark.parametrize('model,output_stride,multi_grid,message', [
    ('resnet_v2_50', 4, (1, 2, 4), 'output_stride 4: choose one of'),
    ('resnet_v2_50', 12, (1, 2, 4), 'output_stride 12'),
    ('resnet_v2_50', 32, (1, 2, 4), 'without atrous'),
    ('resnet_v2_50', 16, (1, 2), '2 rates')])
def test_what_cannot_be_built_is_refused_before_the_graph(model, output_stride, multi_grid,
                                                          message):
    with tf.Graph().as_default() as graph:
        with pytest.raises(ValueError, match=message):
            resnet_v2.resnet_v2(None, model, architecture.MODELS[model], False, output_stride,
                                multi_grid)
        assert not graph.get_operations()
