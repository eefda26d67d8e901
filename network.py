"""DeepLab v3: ResNet v2 with multi-grid, atrous spatial pyramid pooling, bilinear logits.

arXiv 1706.05587, as built by the post "Deeplab Image Semantic Segmentation
Network" (S. Silva, 2018), with its variable names.
"""
from typing import NamedTuple, Optional, Tuple

from common.errors import UserError
from resnet import architecture, resnet_utils, resnet_v2
from resnet.architecture import Architecture, Convolutions
from resnet.convolutions import conv2d
from runtime import machine, nets, slim, tf
from runtime.devices import has_native_dilated_gradient, mixed_precision

# ImageNet means in RGB order, the values of the post.
RGB_MEAN = (123.68, 116.78, 103.94)

# What the inputs become inside the network. `mean` is the post's; tf-slim's ImageNet
# weights of ResNet v2 were trained with `inception`, inputs in [-1, 1].
INPUT_NORMALIZATIONS = ('mean', 'inception')
INCEPTION_CENTER = 127.5

# Of the variables.
HEAD_SCOPE = 'DeepLab_v3'
LOGITS_SCOPE = HEAD_SCOPE + '/logits'


class NetworkOptions(NamedTuple):
    """What `deeplab_v3` reads of a run's flags, under their names.

    Attributes:
      resnet_model: str, the backbone's variable scope.
      architecture: `Architecture`.
      aspp_rates: None for those of the output stride.
      others: see the flags of `train.py`.
    """
    number_of_classes: int
    resnet_model: str
    architecture: Architecture
    output_stride: int
    multi_grid: Tuple[int, int, int]
    aspp_rates: Optional[Tuple[int, int, int]]
    aspp_relu: bool
    align_corners: bool
    input_normalization: str
    l2_regularizer: float
    batch_norm_decay: float
    batch_norm_epsilon: float


def options_of(args):
    """Picks the network's options from flags; call it before a graph is built.

    The build is asked, once, whether it differentiates native atrous convolutions.

    Args:
      args: an object with the flags of `NetworkOptions`.

    Returns:
      `NetworkOptions`.

    Raises:
      UserError: an unknown model.
    """
    architecture.check_model(args.resnet_model)
    form = Convolutions.NATIVE if has_native_dilated_gradient() else Convolutions.SLIM
    if mixed_precision() == 'bf16' and 'AMX' in machine.processor().features:
        form = Convolutions.PRODUCTS  # on other CPUs no faster: docs/precision.md
    return NetworkOptions(
        architecture=architecture.MODELS[args.resnet_model]._replace(convolutions=form),
        **{name: getattr(args, name) for name in NetworkOptions._fields if name != 'architecture'})


def check_input_normalization(input_normalization):
    """Raises ValueError for a name that is not in `INPUT_NORMALIZATIONS`."""
    if input_normalization not in INPUT_NORMALIZATIONS:
        raise UserError('input_normalization %r: choose one of %s.'
                        % (input_normalization, ', '.join(INPUT_NORMALIZATIONS)))


def padding_color(input_normalization):
    """The colour that becomes 0 inside the network: what images are padded with.

    Args:
      input_normalization: str, one of `INPUT_NORMALIZATIONS`.

    Returns:
      Three floats in 0..255, RGB.

    Raises:
      UserError: another name.
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
      UserError: another name.
    """
    centered = images - tf.constant(padding_color(input_normalization))
    return centered if input_normalization == 'mean' else centered / INCEPTION_CENTER


def atrous_spatial_pyramid_pooling(net, scope, depth=256, rates=(6, 12, 18), is_training=True,
                                   reuse=None, activation_fn=None, form=Convolutions.SLIM):
    """ASPP with image-level features (paper, section 3.3; the post's Figure of ASPP).

    One 1x1 and three atrous 3x3 convolutions and the globally pooled features
    are concatenated and projected. Batch norm follows each convolution; no ReLU
    follows it by default, as in the post's code.

    The image-level features of a batch of one image are one value for each channel, which
    has no variance and would normalise to 0 whatever it is. There alone batch norm takes the
    moving statistics in training as in evaluation, as frozen batch norm does, and leaves them
    as they are (tests/test_network.py).

    Args:
      net: float32 [batch, height, width, channels], the backbone's features. In training
        the batch has to be known when the graph is built, and more than one value for
        each channel.
      scope: str, the variable scope.
      depth: int, filters of each branch and of the projection.
      rates: three positive ints, the rates of the 3x3 branches.
      is_training: bool, whether batch norm uses the statistics of the batch.
      reuse: bool or None, whether to reuse the variables.
      activation_fn: None, or a function such as `tf.nn.relu`, which follows each
        batch norm in the usual reading of the paper.
      form: `Convolutions`, how its convolutions run.

    Returns:
      float32 [batch, height, width, depth].

    Raises:
      UserError: `rates` is not three positive ints.
    """
    architecture.check_aspp_rates(rates)
    with tf.variable_scope(scope, reuse=reuse), \
            slim.arg_scope([slim.batch_norm], is_training=is_training), \
            slim.arg_scope([slim.conv2d], activation_fn=activation_fn):
        # Axes 1 and 2 are height and width: one vector for each image.
        image_level = tf.reduce_mean(net, [1, 2], keepdims=True)
        has_variance = image_level.shape.as_list()[0] != 1 or resnet_utils.is_synced()
        with slim.arg_scope([slim.batch_norm], is_training=is_training and has_variance):
            image_level = conv2d(image_level, depth, 1, 'image_level_conv_1x1', form=form)
        image_level = tf.image.resize_bilinear(image_level, tf.shape(net)[1:3])
        branches = [image_level, conv2d(net, depth, 1, 'conv_1x1_0', form=form)]
        for index, rate in enumerate(rates, start=1):
            branches.append(conv2d(net, depth, 3, 'conv_3x3_%d' % index, int(rate), form))
        net = tf.concat(branches, axis=3, name='concat')
        return conv2d(net, depth, 1, 'conv_1x1_output', form=form)


def on_grid(images, output_stride):
    """Repeats the last row and column until a feature stands on the last pixel, too.

    Feature i is computed around pixel `i * output_stride` where height and width are multiples of
    the output stride plus 1, as the post's crops of 513 are. Of other sizes, 'SAME' padding moves
    the features by up to some pixels, and what aligned corners spread over the image ends before
    it does: logits would land up to `output_stride - 1` pixels too far to the lower right
    (tests/test_network.py).

    Args:
      images: float32 [batch, height, width, channels], of known or unknown size.
      output_stride: int.

    Returns:
      float32 [batch, height, width, channels] of the next such size, the same for such a size.
    """
    for axis in (1, 2):
        length = images.shape.as_list()[axis] or tf.shape(images)[axis]
        last = (length + output_stride - 2) // output_stride * output_stride
        if not isinstance(length, int) or last + 1 != length:
            images = tf.gather(images, tf.minimum(tf.range(last + 1), length - 1), axis=axis)
    return images


def upsample(net, images, inputs, output_size, align_corners):
    """Resizes the logits of the features to the pixels, bilinearly.

    Args:
      net: float32 [batch, feature height, feature width, classes].
      images: what the backbone read, the inputs or what `on_grid` made of them.
      inputs: float32 [batch, height, width, channels].
      output_size: None for the inputs' height and width, or int32 [2].
      align_corners: bool.

    Returns:
      float32 [batch, height, width, classes].
    """
    size = tf.shape(inputs)[1:3]
    name = 'upsampled_logits'
    if images is inputs:
        return tf.image.resize_bilinear(net, size if output_size is None else output_size,
                                        name=name, align_corners=align_corners)
    logits = tf.image.resize_bilinear(net, tf.shape(images)[1:3], name=name, align_corners=True)
    logits = logits[:, :size[0], :size[1]]
    if output_size is None:
        return logits
    return tf.image.resize_bilinear(logits, output_size, align_corners=True)


def deeplab_v3(inputs, args, is_training, reuse, output_size=None, batch_norm=None):
    """Builds DeepLab v3.

    Args:
      inputs: float32 [batch, height, width, 3], RGB in 0..255; height and width
        may be unknown when the graph is built. `on_grid`, where corners are aligned, and
        `normalize` are applied here.
      args: `NetworkOptions`.
      is_training: bool, whether batch norm uses the statistics of the batch and
        adds its updates to `tf.GraphKeys.UPDATE_OPS`.
      reuse: bool or None, whether to reuse the variables.
      output_size: None for the inputs' size, or int32 [2], height and width.
      batch_norm: None for slim's, or a function like it.

    Returns:
      float32 [batch, height, width, number_of_classes], the logits, bilinearly
      resized to `output_size`.

    Raises:
      UserError: an option that cannot be built, before any op is made.
    """
    architecture.check_output_stride(args.output_stride, args.multi_grid)
    aspp_rates = args.aspp_rates or architecture.default_aspp_rates(args.output_stride)
    architecture.check_aspp_rates(aspp_rates)
    check_input_normalization(args.input_normalization)
    size = args.architecture
    # With aligned corners alone logits land where they were computed.
    images = on_grid(inputs, args.output_stride) if args.align_corners else inputs
    with slim.arg_scope(nets.resnet_utils.resnet_arg_scope(
            weight_decay=args.l2_regularizer, batch_norm_decay=args.batch_norm_decay,
            batch_norm_epsilon=args.batch_norm_epsilon)), slim.arg_scope(
                [slim.conv2d], normalizer_fn=batch_norm or slim.batch_norm):
        _, end_points = resnet_v2.resnet_v2(
            normalize(images, args.input_normalization), args.resnet_model, size, is_training,
            output_stride=args.output_stride, multi_grid=args.multi_grid, reuse=reuse)
        with tf.variable_scope(HEAD_SCOPE, reuse=reuse):
            # Before 'postnorm', the backbone's last batch norm and ReLU, as the post does.
            net = end_points[args.resnet_model + '/block4']
            net = atrous_spatial_pyramid_pooling(
                net, 'ASPP_layer', size.aspp_depth, aspp_rates, is_training, reuse,
                tf.nn.relu if args.aspp_relu else None, size.convolutions)
            net = conv2d(net, args.number_of_classes, 1, 'logits', form=size.convolutions,
                         activation_fn=None, normalizer_fn=None)
            return upsample(net, images, inputs, output_size, args.align_corners)
