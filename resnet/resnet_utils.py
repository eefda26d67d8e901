"""What DeepLab v3 needs of ResNet and tf-slim's `resnet_utils` does not have.

Differs from `tf_slim.nets.resnet_utils` in this, and in nothing else:

1. `conv2d_same` runs convolutions of stride 1 in the form that it is given
   (`resnet.convolutions`; slim's atrous ones go through SpaceToBatchND);
2. `synced_batch_norm` takes its statistics over several workers;
3. `apply_multi_grid` gives every unit of the last block a rate of its own
   (arXiv 1706.05587, section 3.2.1).

Everything else (stacking of blocks, strides, padding, arg scope) is slim's.
"""
from resnet import architecture, convolutions
from runtime import nets, slim, tf


def normalizer():
    """Returns the batch norm of the arg scope of `slim.conv2d`: slim's, or the synced one."""
    settings = slim.current_arg_scope().get(slim.arg_scope_func_key(slim.conv2d), {})
    return settings.get('normalizer_fn') or slim.batch_norm


def is_synced():
    """Whether batch norm takes its statistics over several workers here. Returns bool."""
    return normalizer() is not slim.batch_norm


def synced_batch_norm(inputs, all_sum, num_workers, activation_fn=None, scope=None, **settings):
    """`slim.batch_norm` over the parts that several workers have of a batch.

    Variables are named as slim's; values and gradients are those of slim's over the whole batch
    to float rounding (tests/runtime/test_workers.py).

    Args:
      inputs: float [batch, height, width, channels], its shape known and equal on all workers.
      all_sum: function that maps a list of tensors to their sums over the workers.
      num_workers: int.
      activation_fn: None, or a function.
      scope: str or None.
      **settings: of `slim.batch_norm`, beside those of its arg scope.

    Returns:
      float of the inputs' type and shape.
    """
    settings = dict(slim.current_arg_scope().get(
        slim.arg_scope_func_key(slim.batch_norm), {}), **settings)
    if not settings['is_training']:
        return slim.batch_norm(inputs, activation_fn=activation_fn, scope=scope, **settings)
    with tf.variable_scope(scope, 'BatchNorm', [inputs]):
        zeros, ones = tf.zeros_initializer(), tf.ones_initializer()
        beta, gamma, moving_mean, moving_variance = [slim.model_variable(
            name, inputs.shape[-1:], initializer=initial, trainable=is_trained)
            for name, initial, is_trained in (
                ('beta', zeros, True), ('gamma', ones, True), ('moving_mean', zeros, False),
                ('moving_variance', ones, False))]
        mean, variance = _synced_moments(tf.stop_gradient(inputs), all_sum, num_workers)
        count = num_workers * inputs.shape[:-1].num_elements()
        for moving, value in ((moving_mean, mean),
                              # As slim's: that of the images from which the batch was drawn.
                              (moving_variance, variance * (count / max(count - 1.0, 1.0)))):
            tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, moving.assign_sub(
                (moving - value) * (1 - settings['decay'])))
        outputs = _synced_normalization(inputs, gamma, beta, mean, variance, settings['epsilon'],
                                        all_sum, count)
        return activation_fn(outputs) if activation_fn else outputs


def _synced_moments(inputs, all_sum, num_workers):
    """Returns mean and variance, float32 [channels], over the parts of all workers."""
    count = inputs.shape[:-1].num_elements()
    if count == 1:  # TensorFlow's variance would be 0 / 0
        mean = tf.cast(tf.reshape(inputs, [-1]), tf.float32)
        variance = tf.zeros_like(mean)
    else:
        ones = tf.ones(inputs.shape[-1:])
        _, mean, variance = tf.nn.fused_batch_norm(inputs, ones, tf.zeros_like(ones))
        variance *= (count - 1) / count
    # In double precision, in which the difference of squares keeps its digits.
    mean, variance = tf.cast(mean, tf.float64), tf.cast(variance, tf.float64)
    mean, square = [total / num_workers for total in all_sum([mean, variance + mean ** 2])]
    return tf.cast(mean, tf.float32), tf.cast(square - mean ** 2, tf.float32)


def _synced_normalization(inputs, gamma, beta, mean, variance, epsilon, all_sum, count):
    """Normalizes with the moments of all workers, and has their gradients pass to all of them.

    With x the normalized inputs, the gradient of the inputs is that of fixed moments less
    gamma / deviation * (sum(gradient) + x * sum(gradient * x)) / count, the sums over all workers
    (S. Ioffe and C. Szegedy, 2015). Built of TensorFlow's fused kernels: those of single steps
    are slow, and the MKL build of 1.15 ends the process in them.
    """
    def normalized(values, scale, offset):
        return tf.nn.fused_batch_norm(values, scale, offset, mean, variance, epsilon=epsilon,
                                      is_training=False)[0]

    @tf.custom_gradient
    def synced(values, scale, offset):
        outputs = normalized(values, scale, offset)

        def gradients_of(gradient):
            of_values, of_scale, of_offset = tf.gradients(
                outputs, [values, scale, offset], gradient)
            factor = -scale * tf.rsqrt(variance + epsilon) / count
            sums = all_sum([of_scale, of_offset])
            of_moments = normalized(values, *[factor * total for total in sums])
            return of_values + of_moments, of_scale, of_offset
        return outputs, gradients_of
    return synced(inputs, gamma, beta)


def conv2d_same(inputs, num_outputs, kernel_size, stride, rate=1, scope=None,
                form=architecture.Convolutions.SLIM):
    """slim's `conv2d_same`, with `convolutions.conv2d` at stride 1.

    Args:
      inputs: float32 [batch, height, width, channels].
      num_outputs: int, the number of filters.
      kernel_size: int, height and width of the filters.
      stride: int, the output stride.
      rate: int, the atrous rate.
      scope: str, the variable scope.
      form: `architecture.Convolutions`.

    Returns:
      float32 [batch, ceil(height / stride), ceil(width / stride), num_outputs].
    """
    if stride == 1:
        return convolutions.conv2d(inputs, num_outputs, kernel_size, scope, rate, form)
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
