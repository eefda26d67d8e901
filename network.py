"""DeepLab v3: ResNet v2 with multi-grid, atrous spatial pyramid pooling, bilinear logits.

arXiv 1706.05587, as built by the post "Deeplab Image Semantic Segmentation
Network" (S. Silva, 2018), with its variable names.
"""
from tf_slim.nets import resnet_utils as slim_resnet_utils

from resnet import resnet_utils, resnet_v2
from runtime import slim, tf

# ImageNet means in RGB order, the values of the post.
RGB_MEAN = (123.68, 116.78, 103.94)

# What the inputs become inside the network. `mean` is the post's; tf-slim's ImageNet
# weights of ResNet v2 were trained with `inception`, inputs in [-1, 1].
INPUT_NORMALIZATIONS = ('mean', 'inception')
INCEPTION_CENTER = 127.5

# The paper doubles the rates when the feature map is twice as dense (section 3.3);
# 32 follows the same rule.
ASPP_RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}


def default_aspp_rates(output_stride):
    """Returns the three ASPP rates for an output stride (paper, section 3.3)."""
    if output_stride not in ASPP_RATES:
        raise ValueError('output_stride %r: choose one of %s.'
                         % (output_stride, tuple(sorted(ASPP_RATES))))
    return ASPP_RATES[output_stride]


def check_aspp_rates(rates):
    """Raises ValueError for rates that are not three positive whole numbers."""
    if len(rates) != 3 or any(int(rate) != rate or rate < 1 for rate in rates):
        raise ValueError('aspp_rates %s: give three positive whole numbers.' % (tuple(rates),))


def check_input_normalization(input_normalization):
    """Raises ValueError for a name that is not in `INPUT_NORMALIZATIONS`."""
    if input_normalization not in INPUT_NORMALIZATIONS:
        raise ValueError('input_normalization %r: choose one of %s.'
                         % (input_normalization, ', '.join(INPUT_NORMALIZATIONS)))


def padding_color(input_normalization):
    """The colour that becomes 0 inside the network: what images are padded with.

    Args:
      input_normalization: str, one of `INPUT_NORMALIZATIONS`.

    Returns:
      Three floats in 0..255, RGB.

    Raises:
      ValueError: another name.
    """
    check_input_normalization(input_normalization)
    return RGB_MEAN if input_normalization == 'mean' else (INCEPTION_CENTER,) * 3


def normalize(images, input_normalization):
    """Turns pixels into what the first convolution reads.

    Args:
      images: float32 [batch, height, width, 3], RGB in 0..255.
      input_normalization: 'mean' subtracts `RGB_MEAN`; 'inception' maps to [-1, 1].

    Returns:
      float32 of the same shape; `padding_color` becomes 0.

    Raises:
      ValueError: another name.
    """
    centered = images - tf.constant(padding_color(input_normalization))
    return centered if input_normalization == 'mean' else centered / INCEPTION_CENTER


def atrous_spatial_pyramid_pooling(net, scope, depth=256, rates=(6, 12, 18), is_training=True,
                                   reuse=None, activation_fn=None):
    """ASPP with image-level features (paper, section 3.3; the post's Figure of ASPP).

    One 1x1 and three atrous 3x3 convolutions and the globally pooled features
    are concatenated and projected. Batch norm follows each convolution; no ReLU
    follows it by default, as in the post's code.

    Args:
      net: float32 [batch, height, width, channels], the backbone's features.
      scope: str, the variable scope.
      depth: int, filters of each branch and of the projection.
      rates: three positive ints, the rates of the 3x3 branches.
      is_training: bool, whether batch norm uses the statistics of the batch.
      reuse: bool or None, whether to reuse the variables.
      activation_fn: None, or a function such as `tf.nn.relu`, which follows each
        batch norm in the usual reading of the paper.

    Returns:
      float32 [batch, height, width, depth].

    Raises:
      ValueError: `rates` is not three positive ints.
    """
    check_aspp_rates(rates)
    with tf.variable_scope(scope, reuse=reuse), \
            slim.arg_scope([slim.batch_norm], is_training=is_training), \
            slim.arg_scope([slim.conv2d], activation_fn=activation_fn):
        # Axes 1 and 2 are height and width: one vector for each image.
        image_level = tf.reduce_mean(net, [1, 2], keepdims=True)
        image_level = slim.conv2d(image_level, depth, 1, scope='image_level_conv_1x1')
        image_level = tf.image.resize_bilinear(image_level, tf.shape(net)[1:3])
        branches = [image_level, slim.conv2d(net, depth, 1, scope='conv_1x1_0')]
        for index, rate in enumerate(rates, start=1):
            branches.append(resnet_utils.atrous_conv2d(
                net, depth, 3, int(rate), scope='conv_3x3_%d' % index))
        net = tf.concat(branches, axis=3, name='concat')
        return slim.conv2d(net, depth, 1, scope='conv_1x1_output')


def deeplab_v3(inputs, args, is_training, reuse, output_size=None):
    """Builds DeepLab v3.

    Args:
      inputs: float32 [batch, height, width, 3], RGB in 0..255; height and width
        may be unknown when the graph is built. `normalize` is applied here.
      args: an object with `number_of_classes`, `l2_regularizer`,
        `batch_norm_decay`, `batch_norm_epsilon`, `resnet_model`, `output_stride`,
        `multi_grid`, and these, which may be absent: `aspp_rates` (None:
        `default_aspp_rates`), `align_corners` (False, as in the post),
        `aspp_relu` (False) and `input_normalization` ('mean').
      is_training: bool, whether batch norm uses the statistics of the batch and
        adds its updates to `tf.GraphKeys.UPDATE_OPS`.
      reuse: bool or None, whether to reuse the variables.
      output_size: None for the inputs' size, or int32 [2], height and width.

    Returns:
      float32 [batch, height, width, number_of_classes], the logits, bilinearly
      resized to `output_size`.

    Raises:
      ValueError: an option that cannot be built, before any op is made.
    """
    resnet_v2.checked_blocks(args.resnet_model, args.output_stride, args.multi_grid)
    aspp_rates = getattr(args, 'aspp_rates', None) or default_aspp_rates(args.output_stride)
    check_aspp_rates(aspp_rates)
    input_normalization = getattr(args, 'input_normalization', 'mean')
    check_input_normalization(input_normalization)
    aspp_activation = tf.nn.relu if getattr(args, 'aspp_relu', False) else None
    with slim.arg_scope(slim_resnet_utils.resnet_arg_scope(
            weight_decay=args.l2_regularizer, batch_norm_decay=args.batch_norm_decay,
            batch_norm_epsilon=args.batch_norm_epsilon)):
        _, end_points = resnet_v2.resnet_v2(
            normalize(inputs, input_normalization), args.resnet_model, is_training,
            output_stride=args.output_stride, multi_grid=args.multi_grid, reuse=reuse)
        with tf.variable_scope('DeepLab_v3', reuse=reuse):
            # Before 'postnorm', the backbone's last batch norm and ReLU, as the post does.
            net = end_points[args.resnet_model + '/block4']
            net = atrous_spatial_pyramid_pooling(net, 'ASPP_layer', rates=aspp_rates,
                                                 is_training=is_training, reuse=reuse,
                                                 activation_fn=aspp_activation)
            net = slim.conv2d(net, args.number_of_classes, 1, activation_fn=None,
                              normalizer_fn=None, scope='logits')
            # A feature stands on every output_stride-th pixel, first and last included:
            # only with aligned corners do the logits land where they were computed.
            size = tf.shape(inputs)[1:3] if output_size is None else output_size
            return tf.image.resize_bilinear(net, size, name='upsampled_logits',
                                            align_corners=getattr(args, 'align_corners', False))
