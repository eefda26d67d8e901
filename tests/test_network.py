"""ASPP and the whole network: names, shapes, rates, reuse and modes."""
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

import network
from common.errors import UserError
from experiment import train_flags
from resnet import architecture
from resnet.architecture import Convolutions
from runtime import machine, slim, tf
from runtime.devices import has_native_dilated_gradient
from tests.helpers import SHARED, pseudo_random

REFERENCE = os.path.join(SHARED, 'reference')
TINY = 'resnet_v2_tiny'  # the name that the fixture tiny_backbone makes known


def make_args(**changes):
    args = dict(number_of_classes=21, l2_regularizer=1e-4, batch_norm_decay=0.9,
                batch_norm_epsilon=1e-5, resnet_model='resnet_v2_50', output_stride=16,
                multi_grid=(1, 2, 4), aspp_rates=None, aspp_relu=False, align_corners=False,
                input_normalization='mean')
    args.update(changes)
    args['architecture'] = architecture.MODELS[args['resnet_model']]
    return SimpleNamespace(**args)


@pytest.fixture
def tiny_args(tiny_backbone):
    return make_args(resnet_model=tiny_backbone, number_of_classes=5)


@pytest.mark.parametrize('model', ['resnet_v2_50', 'resnet_v2_101'])
@pytest.mark.parametrize('output_stride', [8, 16])
def test_variables_are_those_of_the_published_graph(model, output_stride):
    path = os.path.join(REFERENCE, 'variables_%s.json' % model)
    if not os.path.exists(path):
        pytest.skip('needs ../shared/reference, which is not part of a clone')
    with open(path) as f:
        published = {name: shape for name, shape in json.load(f).items()
                     if not name.startswith(model + '/logits/')}
    with tf.Graph().as_default():
        network.deeplab_v3(tf.placeholder(tf.float32, [None, None, None, 3]),
                           make_args(resnet_model=model, output_stride=output_stride), True, None)
        assert {v.op.name: v.shape.as_list() for v in tf.global_variables()} == published


@pytest.mark.parametrize('is_training', [True, False])
def test_any_size_gives_logits_of_that_size_from_one_dynamic_graph(tiny_args, is_training):
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = tf.placeholder(tf.float32, [None, None, None, 3])
        logits = network.deeplab_v3(inputs, tiny_args, is_training, None)
        session.run(tf.global_variables_initializer())
        for size in ((33, 57), (1, 1), (64, 64), (17, 2)):
            images = np.random.RandomState(0).uniform(0, 255, (2,) + size + (3,))
            values = session.run(logits, {inputs: images})
            assert values.shape == (2,) + size + (5,)
            assert np.isfinite(values).all()


@pytest.mark.parametrize('size', [(33, 57), (1, 1)])
def test_gradients_are_finite_at_odd_sizes(tiny_args, size):
    with tf.Graph().as_default(), tf.Session() as session:
        images = np.random.RandomState(0).uniform(0, 255, (2,) + size + (3,)).astype('float32')
        logits = network.deeplab_v3(tf.constant(images), tiny_args, True, None)
        used = [v for v in tf.trainable_variables() if 'postnorm' not in v.op.name]
        gradients = tf.gradients(tf.reduce_sum(logits ** 2), used)
        assert None not in gradients
        session.run(tf.global_variables_initializer())
        assert all(np.isfinite(value).all() for value in session.run(gradients))


def test_the_mean_is_subtracted_inside(tiny_args):
    with tf.Graph().as_default() as graph:
        network.deeplab_v3(tf.placeholder(tf.float32, [1, 33, 33, 3], name='images'), tiny_args,
                           False, None)
        first = graph.get_tensor_by_name(TINY + '/conv1/Conv2D:0').op.inputs[0]
        with tf.Session() as session:
            mean = np.broadcast_to(np.float32([123.68, 116.78, 103.94]), (1, 33, 33, 3))
            assert np.abs(session.run(first, {'images:0': mean})).max() == 0


def test_inception_normalization_maps_to_one_and_minus_one(tiny_args):
    tiny_args.input_normalization = 'inception'
    with tf.Graph().as_default() as graph:
        network.deeplab_v3(tf.placeholder(tf.float32, [1, 33, 33, 3], name='images'), tiny_args,
                           False, None)
        first = graph.get_tensor_by_name(TINY + '/conv1/Conv2D:0').op.inputs[0]
        with tf.Session() as session:
            for pixel, expected in ((0, -1), (127.5, 0), (255, 1)):
                images = np.full([1, 33, 33, 3], pixel, np.float32)
                values = session.run(first, {'images:0': images})
                # Slim pads the image by 3 zeros.
                np.testing.assert_allclose(values[0, 5, 5], [expected] * 3, atol=1e-6)


def test_unknown_normalization_is_refused(tiny_args):
    tiny_args.input_normalization = 'none'
    with tf.Graph().as_default(), pytest.raises(ValueError, match="'none': choose one of mean"):
        network.deeplab_v3(tf.zeros([1, 33, 33, 3]), tiny_args, False, None)


def test_aspp_relu_follows_each_batch_norm_of_aspp(tiny_args):
    def relus(graph):
        return [op.name for op in graph.get_operations()
                if op.type == 'Relu' and op.name.startswith('DeepLab_v3/')]
    counts = []
    for tiny_args.aspp_relu in (False, True):
        with tf.Graph().as_default() as graph:
            network.deeplab_v3(tf.zeros([1, 33, 33, 3]), tiny_args, False, None)
            counts.append(len(relus(graph)))
            assert not [name for name in relus(graph) if '/logits' in name]
    assert counts == [0, 6]


def aspp_rates_seen(args):
    """The distance of the filter taps of the three 3x3 branches, from their gradients."""
    with tf.Graph().as_default() as graph, tf.Session() as session:
        network.deeplab_v3(tf.placeholder(tf.float32, [None, None, None, 3]), args, False, None)
        session.run(tf.global_variables_initializer())
        scope = 'DeepLab_v3/ASPP_layer/'
        # The tensor that all branches read, replaced by a row of ones.
        net = graph.get_operation_by_name(scope + 'conv_1x1_0/Conv2D').inputs[0]
        row = np.ones([1, 1, 81, 2048], np.float32)
        rates = []
        for index in (1, 2, 3):
            batch_norm = [op for op in graph.get_operations() if op.type.startswith('FusedBatch')
                          and op.name.startswith(scope + 'conv_3x3_%d/' % index)][0]
            gradient = tf.gradients(batch_norm.inputs[0][0, 0, 40, 0], net)[0]
            columns = np.flatnonzero(
                np.abs(session.run(gradient, {net: row})).sum(axis=(0, 1, 3)))
            assert len(columns) == 3 and columns[1] == 40
            rates.append(columns[1] - columns[0])
        return tuple(rates)


@pytest.mark.parametrize('output_stride,given,expected', [
    (16, None, (6, 12, 18)), (8, None, (12, 24, 36)), (16, (2, 3, 5), (2, 3, 5))])
def test_aspp_runs_at_the_rates_of_the_output_stride_or_the_given(tiny_args, output_stride, given,
                                                                  expected):
    tiny_args.output_stride, tiny_args.aspp_rates = output_stride, given
    assert aspp_rates_seen(tiny_args) == expected


@pytest.mark.parametrize('multi_grid,expected', [((1, 2, 4), (2, 4, 8)), ((1, 3, 2), (2, 6, 4))])
def test_multi_grid_of_the_args_decides_the_rates_of_block4(tiny_args, multi_grid, expected):
    tiny_args.multi_grid = multi_grid
    with tf.Graph().as_default() as graph, tf.Session() as session:
        network.deeplab_v3(tf.placeholder(tf.float32, [None, None, None, 3]), tiny_args, False,
                           None)
        session.run(tf.global_variables_initializer())
        for unit, rate in enumerate(expected, start=1):
            scope = TINY + '/block4/unit_%d/bottleneck_v2/' % unit
            before, after = [graph.get_tensor_by_name(scope + name + '/Relu:0')
                             for name in ('conv1', 'conv2')]
            # The taps of conv2 for the middle of a row of ones.
            gradient = tf.gradients(tf.reduce_sum(after[:, :, 40]), before)[0]
            row = np.ones([1, 1, 81, before.shape[3].value], np.float32)
            columns = np.flatnonzero(
                np.abs(session.run(gradient, {before: row})).sum(axis=(0, 1, 3)))
            assert columns.tolist() == [40 - rate, 40, 40 + rate]


@pytest.mark.parametrize('rates', [(6, 12), (0, 1, 2), (1, 2, 2.5)])
def test_aspp_refuses_other_rates(rates):
    with tf.Graph().as_default(), pytest.raises(ValueError, match='aspp_rates'):
        network.atrous_spatial_pyramid_pooling(tf.zeros([1, 4, 4, 8]), 'ASPP', rates=rates)


def test_aspp_has_the_asked_depth_and_no_activation():
    with tf.Graph().as_default(), tf.Session() as session:
        net = tf.random_normal([2, 5, 7, 8], seed=1)
        with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm):
            net = network.atrous_spatial_pyramid_pooling(net, 'ASPP', depth=16, rates=(1, 2, 3))
        session.run(tf.global_variables_initializer())
        values = session.run(net)
        assert values.shape == (2, 5, 7, 16) and values.min() < 0


def image_level_of(batch, is_training):
    """Image-level features of maps of 2x2 pixels, one channel: 0..3, 10..13, ...

    Returns:
      (their batch norm's output, its moving mean and variance after its updates), each [batch].
    """
    pixels = np.float32([[index * 10 + np.arange(4)] for index in range(batch)])
    with tf.Graph().as_default() as graph, tf.Session() as session:
        with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm,
                            weights_initializer=tf.ones_initializer()), \
                slim.arg_scope([slim.batch_norm], decay=0.75, epsilon=0.0, scale=True):
            network.atrous_spatial_pyramid_pooling(
                tf.constant(pixels.reshape(batch, 2, 2, 1)), 'ASPP', depth=1, rates=(1, 2, 3),
                is_training=is_training)
        session.run(tf.global_variables_initializer())
        scope = 'ASPP/image_level_conv_1x1/BatchNorm/'
        output = session.run(graph.get_tensor_by_name(scope + 'FusedBatchNormV3:0'))
        session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope))
        moving = [session.run(graph.get_tensor_by_name(scope + name)) for name in (
            'moving_mean:0', 'moving_variance:0')]
        return output.ravel(), np.concatenate(moving).tolist()


@pytest.mark.parametrize('is_training', [True, False])
def test_features_of_a_single_image_are_normalised_by_moving_statistics_that_stay(is_training):
    output, moving = image_level_of(1, is_training)
    # The mean of 0, 1, 2, 3; by the mean 0 and the variance 1 that they begin with, and the
    # 0.00001 that the op adds at least.
    np.testing.assert_allclose(output, [1.5], rtol=1e-5)
    assert moving == [0.0, 1.0]


def test_features_of_two_images_move_the_statistics_by_their_unbiased_variance():
    output, moving = image_level_of(2, True)
    # 1.5 and 11.5: mean 6.5, standard deviation 5, unbiased variance 50; a quarter of it is new.
    np.testing.assert_allclose(output, [-1.0, 1.0], rtol=1e-6)
    assert moving == pytest.approx([0.25 * 6.5, 0.75 + 0.25 * 50], rel=1e-6)


def test_image_level_features_reach_every_pixel(tiny_args):
    # Far beyond every rate a pixel can only matter through the global average.
    with tf.Graph().as_default(), tf.Session() as session:
        net = tf.Variable(tf.random_normal([1, 3, 60, 8], seed=1))
        with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm):
            output = network.atrous_spatial_pyramid_pooling(net, 'ASPP', depth=4, rates=(1, 2, 3),
                                                            is_training=False)
        gradient = tf.gradients(tf.reduce_sum(output[0, 0, 0]), net)[0]
        session.run(tf.global_variables_initializer())
        values = session.run(gradient)[0, 0]
        assert np.abs(values[59]).max() > 0
        np.testing.assert_allclose(values[30], values[59])


def test_reuse_shares_all_variables_and_gives_equal_logits(tiny_args):
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.random_uniform([1, 33, 33, 3], 0, 255, seed=1)
        images = tf.constant(session.run(images))
        first = network.deeplab_v3(images, tiny_args, False, None)
        variables = tf.global_variables()
        second = network.deeplab_v3(images, tiny_args, False, True)
        assert tf.global_variables() == variables
        session.run(tf.global_variables_initializer())
        np.testing.assert_array_equal(*session.run([first, second]))
        with pytest.raises(ValueError, match='already exists'):
            network.deeplab_v3(images, tiny_args, False, None)


def test_training_updates_batch_norm_with_the_given_decay_and_evaluation_does_not(tiny_args):
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.constant(np.random.RandomState(0).uniform(0, 255, (2, 33, 33, 3)), tf.float32)
        network.deeplab_v3(images, tiny_args, False, None)
        assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        network.deeplab_v3(images, tiny_args, True, True)
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        mean = [v for v in tf.global_variables() if v.op.name.endswith('block1/unit_1/'
                'bottleneck_v2/preact/moving_mean')][0]
        batch_mean = tf.reduce_mean(tf.get_default_graph().get_tensor_by_name(
            TINY + '_1/pool1/MaxPool:0'), [0, 1, 2])
        session.run(tf.global_variables_initializer())
        expected = 0.1 * session.run(batch_mean)
        session.run(updates)
        np.testing.assert_allclose(session.run(mean), expected, rtol=1e-3, atol=1e-4)


def test_l2_covers_every_convolution_and_nothing_else(tiny_args):
    with tf.Graph().as_default(), tf.Session() as session:
        network.deeplab_v3(tf.zeros([1, 33, 33, 3]), tiny_args, True, None)
        weights = [v for v in tf.trainable_variables() if v.op.name.endswith('/weights')]
        terms = slim.losses.get_regularization_losses()
        assert len(terms) == len(weights)
        session.run(tf.global_variables_initializer())
        expected = sum(1e-4 * np.sum(value ** 2) / 2 for value in session.run(weights))
        assert session.run(tf.add_n(terms)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('align_corners', [False, True])
def test_aligned_corners_keep_logits_on_their_pixels(tiny_args, align_corners):
    # A 2x2 map for 17x17 pixels: its second row was computed at pixel row 16.
    if align_corners:
        tiny_args.align_corners = True
    with tf.Graph().as_default() as graph, tf.Session() as session:
        logits = network.deeplab_v3(tf.zeros([1, 17, 17, 3]), tiny_args, False, None)
        small = graph.get_operation_by_name('DeepLab_v3/upsampled_logits').inputs[0]
        assert small.shape.as_list() == [1, 2, 2, 5]
        values = np.zeros([1, 2, 2, 5])
        values[:, 1] = 16
        column = session.run(logits, {small: values})[0, :, 3, 0]
        # Unaligned, as in the post, row 16 is reached at pixel 8.5 already.
        expected = np.arange(17) if align_corners else np.minimum(np.arange(17) * 32 / 17., 16)
        np.testing.assert_allclose(column, expected, rtol=1e-5)


@pytest.mark.parametrize('output_stride', [8, 16])
@pytest.mark.parametrize('shape', [(1, 38, 50, 3), (1, None, None, 3)])
def test_logits_of_any_size_stay_on_their_pixels(tiny_args, output_stride, shape):
    """Feature i is computed around pixel i * output_stride, and so its logits have to lie there."""
    tiny_args.align_corners, tiny_args.output_stride = True, output_stride
    with tf.Graph().as_default() as graph, tf.Session() as session:
        images = tf.placeholder(tf.float32, shape)
        logits = network.deeplab_v3(images, tiny_args, False, None)
        small = graph.get_operation_by_name('DeepLab_v3/upsampled_logits').inputs[0]
        rows, columns = (np.arange(0, length - 1 + output_stride, output_stride)
                         for length in (38, 50))
        values = np.broadcast_to(columns[:, None], [1, len(rows), len(columns), 5])
        found = session.run(logits, {small: values, images: np.zeros([1, 38, 50, 3])})
    assert found.shape == (1, 38, 50, 5)
    np.testing.assert_allclose(found, np.broadcast_to(np.arange(50.)[:, None], found.shape),
                               rtol=1e-5, atol=1e-5)


def logits_of(args, batches):
    """The logits of each batch from one graph, with weights that depend on the names alone."""
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [1, None, None, 3])
        logits = network.deeplab_v3(images, args, False, None)
        pseudo_random.assign(session)
        return [session.run(logits, {images: batch}) for batch in batches]


@pytest.mark.parametrize('output_stride, larger', [(8, (41, 57)), (16, (49, 65))])
def test_images_between_two_sizes_are_read_as_those_of_the_larger(tiny_args, output_stride, larger):
    """Else the features move: 'SAME' pooling pads even sizes on one side alone."""
    tiny_args.align_corners, tiny_args.output_stride = True, output_stride
    image = np.random.RandomState(0).uniform(0, 255, [1, 38, 50, 3])
    behind = [(0, 0), (0, larger[0] - 38), (0, larger[1] - 50), (0, 0)]
    whole, extended = logits_of(tiny_args, [image, np.pad(image, behind, 'edge')])
    assert extended.shape[1:3] == larger and extended.std() > 0
    np.testing.assert_allclose(whole, extended[:, :38, :50], rtol=1e-5, atol=1e-5)
    tiny_args.align_corners = False  # the post's code reads images as they are
    posts, _ = logits_of(tiny_args, [image, image])
    assert np.abs(posts - whole).max() > 0.01 * whole.std()


@pytest.mark.parametrize('crop_size', [17, 513])
def test_the_posts_crops_pass_as_they_are(tiny_args, crop_size):
    with tf.Graph().as_default() as graph:
        images = tf.placeholder(tf.float32, [2, crop_size, crop_size, 3])
        assert network.on_grid(images, 16) is images
        assert len(graph.get_operations()) == 1


@pytest.mark.parametrize('changes', [
    dict(output_stride=4), dict(output_stride=32),
    dict(multi_grid=(1, 2)), dict(aspp_rates=(6, 12))])
def test_what_cannot_be_built_is_refused_before_the_graph(changes):
    with tf.Graph().as_default() as graph:
        images = tf.placeholder(tf.float32, [1, 33, 33, 3])
        with pytest.raises(ValueError):
            network.deeplab_v3(images, make_args(**changes), True, None)
        assert not tf.global_variables()
        assert len(graph.get_operations()) == 1


def test_options_are_picked_from_the_flags_and_an_unknown_model_is_refused(tiny_backbone,
                                                                           monkeypatch):
    args = train_flags.parse(['--resnet_model', tiny_backbone, '--aspp_relu'])
    options = network.options_of(args)
    assert options.aspp_relu and options.output_stride == 16 and options.aspp_rates == [6, 12, 18]
    assert options.architecture == architecture.MODELS[tiny_backbone]._replace(
        convolutions=Convolutions.NATIVE if has_native_dilated_gradient() else Convolutions.SLIM)
    plain = options.architecture.convolutions
    monkeypatch.setattr(network, 'mixed_precision', lambda: 'bf16')
    for features, form in ((['AMX', 'bf16'], Convolutions.PRODUCTS), (['bf16'], plain)):
        monkeypatch.setattr(network.machine, 'processor',
                            lambda features=features: machine.Processor('', 2, frozenset(features)))
        assert network.options_of(args).architecture.convolutions is form
    args.resnet_model = 'resnet_v1_50'
    with pytest.raises(UserError, match='resnet_v1_50.*choose one of.*resnet_v2_101'):
        network.options_of(args)
