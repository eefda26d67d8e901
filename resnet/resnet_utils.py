"""What DeepLab v3 needs of ResNet and tf-slim's `resnet_utils` does not have.

Differs from `tf_slim.nets.resnet_utils` in this, and in nothing else:

1. `conv2d_same` runs atrous convolutions natively where the build can
   differentiate them (slim goes through SpaceToBatchND);
2. `apply_multi_grid` gives every unit of the last block a rate of its own
   (arXiv 1706.05587, section 3.2.1).

Everything else (stacking of blocks, strides, padding, arg scope) is slim's.
"""
from resnet import architecture
from runtime import nets, slim, tf


def atrous_conv2d(inputs, num_outputs, kernel_size, rate, scope, native=False):
    """A stride-1 'SAME' convolution at `rate` with the variables of `slim.conv2d`.

    Takes initializer, regularizer, normalizer and activation from the arg scope
    of `slim.conv2d`. Native and space-to-batch agree to float rounding
    (tests/test_resnet_utils.py).

    Args:
      inputs: float32 [batch, height, width, channels].
      num_outputs: int, the number of filters.
      kernel_size: int, height and width of the filters.
      rate: int, the distance in pixels between neighbouring filter taps.
      scope: str, the variable scope.
      native: bool, whether it is TensorFlow's own, see `architecture.Architecture`.

    Returns:
      float32 [batch, height, width, num_outputs].
    """
    if rate == 1 or not native:
        return slim.conv2d(inputs, num_outputs, kernel_size, rate=rate, padding='SAME',
                           scope=scope)
    return _native_atrous_conv2d(inputs, num_outputs, kernel_size, rate, scope)


def _native_atrous_conv2d(inputs, num_outputs, kernel_size, rate, scope):
    """The native branch of `atrous_conv2d`; needs a normalizer, as slim then has no bias."""
    settings = slim.current_arg_scope().get(slim.arg_scope_func_key(slim.conv2d), {})
    normalizer = settings.get('normalizer_fn')
    if normalizer is None:
        raise ValueError('%s: an atrous convolution needs a normalizer_fn in its arg scope'
                         % scope)
    activation = settings.get('activation_fn', tf.nn.relu)
    with tf.variable_scope(scope, values=[inputs]) as variable_scope:
        weights = slim.model_variable(
            'weights', [kernel_size, kernel_size, inputs.shape[3].value, num_outputs],
            initializer=settings.get('weights_initializer', slim.xavier_initializer()),
            regularizer=settings.get('weights_regularizer'))
        outputs = tf.nn.conv2d(inputs, weights, strides=[1, 1, 1, 1], padding='SAME',
                               dilations=[1, rate, rate, 1])
        outputs = normalizer(outputs, **settings.get('normalizer_params', {}))
        if activation is not None:
            outputs = activation(outputs)
        return slim.utils.collect_named_outputs(
            settings.get('outputs_collections'), variable_scope.name, outputs)


def conv2d_same(inputs, num_outputs, kernel_size, stride, rate=1, scope=None, native=False):
    """slim's `conv2d_same`, with atrous convolutions through `atrous_conv2d`.

    Args:
      inputs: float32 [batch, height, width, channels].
      num_outputs: int, the number of filters.
      kernel_size: int, height and width of the filters.
      stride: int, the output stride.
      rate: int, the atrous rate.
      scope: str, the variable scope.
      native: bool, as in `atrous_conv2d`.

    Returns:
      float32 [batch, ceil(height / stride), ceil(width / stride), num_outputs].
    """
    if stride == 1:
        return atrous_conv2d(inputs, num_outputs, kernel_size, rate, scope, native)
    return nets.resnet_utils.conv2d_same(inputs, num_outputs, kernel_size, stride,
                                         rate=rate, scope=scope)


def apply_multi_grid(blocks, multi_grid):
    """Multiplies the rates of the last block's units by `multi_grid`.

    A unit's final rate is the block's rate, which the output stride decides,
    times its grid: 2 * (1, 2, 4) in block4 at output stride 16.

    Args:
      blocks: list of `tf_slim.nets.resnet_utils.Block` whose `unit_fn` takes
        `unit_rate`.
      multi_grid: sequence of positive ints, one for each unit of the last block.

    Returns:
      A new list of blocks.

    Raises:
      UserError: wrong length, or a grid that is not a positive int.
    """
    last = blocks[-1]
    architecture.check_multi_grid(multi_grid, len(last.args))
    units = [dict(unit, unit_rate=int(grid)) for unit, grid in zip(last.args, multi_grid)]
    return list(blocks[:-1]) + [last._replace(args=units)]
