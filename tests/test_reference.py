"""The whole network against a graph that is built of tf-slim's own functions alone."""
from types import SimpleNamespace

import numpy as np
import pytest
from tf_slim.nets import resnet_utils as slim_resnet_utils
from tf_slim.nets import resnet_v2 as slim_resnet_v2

import network
from runtime import slim, tf
from tests.helpers import pseudo_random

UNITS = {'resnet_v2_50': (3, 4, 6, 3), 'resnet_v2_101': (3, 4, 23, 3)}
SIZE = 65
NUM_CLASSES = 21


def reference_units(model, output_stride, multi_grid):
    """Writes down (block, unit, depth, stride, rate) of every unit, after the paper's section 3.

    Slim's blocks subsample in their last unit; where the output stride is reached, a
    stride becomes the rate of all units that follow.
    """
    reached, rate = 4, 1
    for block, num_units in enumerate(UNITS[model], start=1):
        for unit in range(1, num_units + 1):
            wanted = 2 if unit == num_units and block < 4 else 1
            grid = multi_grid[unit - 1] if block == 4 else 1
            if reached < output_stride:
                yield block, unit, 64 * 2 ** (block - 1), wanted, rate * grid
                reached *= wanted
            else:
                yield block, unit, 64 * 2 ** (block - 1), 1, rate * grid
                rate *= wanted


def reference_logits(images, model, output_stride, aspp_rates):
    """The published graph from slim's convolutions, units and arg scope."""
    with slim.arg_scope(slim_resnet_utils.resnet_arg_scope(weight_decay=1e-4)), \
            slim.arg_scope([slim.batch_norm], is_training=False):
        with tf.variable_scope(model):
            with slim.arg_scope([slim.conv2d], activation_fn=None, normalizer_fn=None):
                net = slim_resnet_utils.conv2d_same(
                    images - [123.68, 116.78, 103.94], 64, 7, stride=2, scope='conv1')
            net = slim.max_pool2d(net, [3, 3], stride=2, scope='pool1')
            for block, unit, depth, stride, rate in reference_units(model, output_stride,
                                                                    (1, 2, 4)):
                with tf.variable_scope('block%d/unit_%d' % (block, unit)):
                    net = slim_resnet_v2.bottleneck(net, 4 * depth, depth, stride, rate=rate)
        with tf.variable_scope('DeepLab_v3'):
            size = tf.shape(net)[1:3]
            with tf.variable_scope('ASPP_layer'), \
                    slim.arg_scope([slim.conv2d], activation_fn=None):
                pooled = tf.reduce_mean(net, [1, 2], keepdims=True)
                branches = [
                    tf.image.resize_bilinear(
                        slim.conv2d(pooled, 256, 1, scope='image_level_conv_1x1'), size),
                    slim.conv2d(net, 256, 1, scope='conv_1x1_0')]
                for index, rate in enumerate(aspp_rates, start=1):
                    branches.append(slim.conv2d(net, 256, 3, rate=rate,
                                                scope='conv_3x3_%d' % index))
                net = slim.conv2d(tf.concat(branches, axis=3), 256, 1, scope='conv_1x1_output')
            net = slim.conv2d(net, NUM_CLASSES, 1, activation_fn=None, normalizer_fn=None,
                              scope='logits')
        return tf.image.resize_bilinear(net, tf.shape(images)[1:3])


def our_logits(images, model, output_stride, aspp_rates):
    args = SimpleNamespace(number_of_classes=NUM_CLASSES, l2_regularizer=1e-4,
                           batch_norm_decay=0.997, batch_norm_epsilon=1e-5, resnet_model=model,
                           output_stride=output_stride, multi_grid=(1, 2, 4),
                           aspp_rates=aspp_rates, aspp_relu=False, align_corners=False,
                           input_normalization='mean')
    return network.deeplab_v3(images, network.options_of(args), is_training=False, reuse=None)


def run(build, *args):
    """Logits on a fixed random image with weights that depend on the variables' names alone."""
    images = np.random.RandomState(0).uniform(0, 255, [1, SIZE, SIZE, 3]).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        logits = build(tf.constant(images), *args)
        pseudo_random.assign(session)
        return session.run(logits), {variable.op.name for variable in tf.global_variables()}


@pytest.mark.parametrize('model', sorted(UNITS))
@pytest.mark.parametrize('output_stride, aspp_rates', [(8, (12, 24, 36)), (16, (6, 12, 18))])
def test_logits_equal_those_of_a_graph_of_slim_alone(model, output_stride, aspp_rates):
    expected, slim_names = run(reference_logits, model, output_stride, aspp_rates)
    actual, our_names = run(our_logits, model, output_stride, aspp_rates)
    # Ours also has the backbone's last batch norm, which nothing reads.
    assert our_names - slim_names == {'%s/postnorm/%s' % (model, name) for name in (
        'beta', 'gamma', 'moving_mean', 'moving_variance')}
    assert not slim_names - our_names
    assert expected.shape == actual.shape == (1, SIZE, SIZE, NUM_CLASSES)
    assert expected.std() > 0.01
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_reference_tells_other_rates_apart():
    _, units = zip(*[(unit[:2], unit[3:]) for unit in reference_units('resnet_v2_50', 16,
                                                                      (1, 2, 4))])
    assert units[-3:] == ((1, 2), (1, 4), (1, 8))
    _, units = zip(*[(unit[:2], unit[3:]) for unit in reference_units('resnet_v2_50', 8,
                                                                      (1, 2, 4))])
    assert units[-9:] == ((1, 2),) * 6 + ((1, 4), (1, 8), (1, 16))
