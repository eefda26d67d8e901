"""ResNet v2 (full pre-activation, arXiv 1603.05027) with multi-grid in block4.

The generator is `tf_slim.nets.resnet_v2.resnet_v2`; only the unit is written
here, because it must take a rate of its own and the form of its convolutions.
Variable names are slim's, so slim's ImageNet checkpoints fit.
"""
from resnet import architecture, convolutions, resnet_utils
from resnet.architecture import Convolutions
from runtime import nets, tf


def bottleneck(inputs, depth, depth_bottleneck, stride, rate=1, unit_rate=1,
               form=Convolutions.SLIM, scope=None):
    """A pre-activation bottleneck unit whose 3x3 convolution runs at rate * unit_rate.

    Args:
      inputs: float32 [batch, height, width, depth_in].
      depth: int, channels of the output.
      depth_bottleneck: int, channels inside.
      stride: int, by which the unit subsamples.
      rate: int, the block's atrous rate, decided by the output stride.
      unit_rate: int, the unit's place in the multi-grid.
      form: `Convolutions`.
      scope: str, the variable scope.

    Returns:
      float32 [batch, ceil(height / stride), ceil(width / stride), depth].
    """
    linear = dict(normalizer_fn=None, activation_fn=None)
    with tf.variable_scope(scope, 'bottleneck_v2', [inputs]):
        preact = resnet_utils.normalizer()(inputs, activation_fn=tf.nn.relu, scope='preact')
        if inputs.shape[3].value == depth:
            shortcut = nets.resnet_utils.subsample(inputs, stride, 'shortcut')
        else:
            shortcut = convolutions.conv2d(nets.resnet_utils.subsample(preact, stride), depth, 1,
                                           'shortcut', form=form, **linear)
        residual = convolutions.conv2d(preact, depth_bottleneck, 1, 'conv1', form=form)
        residual = resnet_utils.conv2d_same(residual, depth_bottleneck, 3, stride,
                                            rate=rate * unit_rate, form=form, scope='conv2')
        residual = convolutions.conv2d(residual, depth, 1, 'conv3', form=form, **linear)
        return shortcut + residual


def resnet_blocks(size, multi_grid):
    """Makes the four blocks of a ResNet v2.

    Args:
      size: `architecture.Architecture`.
      multi_grid: ints, the grid of block4's units.

    Returns:
      List of `tf_slim.nets.resnet_utils.Block`.
    """
    blocks = []
    for index, num_units in enumerate(size.units):
        # Slim's convention: a block subsamples in its last unit, block4 not at all.
        block = nets.resnet_v2.resnet_v2_block(
            'block%d' % (index + 1), base_depth=size.base_depth * 2 ** index,
            num_units=num_units, stride=2 if index < 3 else 1)
        blocks.append(block._replace(unit_fn=bottleneck, args=[
            dict(unit, form=size.convolutions) for unit in block.args]))
    return resnet_utils.apply_multi_grid(blocks, multi_grid)


def resnet_v2(inputs, scope, size, is_training, output_stride=16, multi_grid=(1, 2, 4), reuse=None):
    """Builds a ResNet v2 without its classifier head.

    Equals `tf_slim.nets.resnet_v2` at multi_grid (1, 1, 1); block4 runs at rates
    (2, 4, 8) at output stride 16 and (4, 8, 16) at 8 with multi_grid (1, 2, 4)
    (tests/test_resnet_v2.py). Build it inside slim's `resnet_arg_scope`.

    Args:
      inputs: float32 [batch, height, width, 3], mean already subtracted.
      scope: str, the variable scope, such as 'resnet_v2_50'.
      size: `architecture.Architecture`.
      is_training: bool, whether batch norm uses the statistics of the batch.
      output_stride: int, 8, 16 or 32, the input's size over the output's.
      multi_grid: three ints, the grid of block4's units.
      reuse: bool or None, whether to reuse the variables.

    Returns:
      net: float32 [batch, ceil(height / output_stride), ceil(width / output_stride),
        2048], after the last batch norm and ReLU ('postnorm').
      end_points: dict of str to tensor; '<scope>/block4' is before 'postnorm'.

    Raises:
      UserError: an output stride or multi-grid that cannot be built, before an op is made.
    """
    architecture.check_output_stride(output_stride, multi_grid)
    return nets.resnet_v2.resnet_v2(
        inputs, resnet_blocks(size, multi_grid), num_classes=None, is_training=is_training,
        global_pool=False, output_stride=output_stride, reuse=reuse, scope=scope)
