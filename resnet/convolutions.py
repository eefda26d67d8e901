"""One convolution in forms that compute the same and differ in speed.

`conv2d` makes the variables of `slim.conv2d`, whatever the form, and takes initializer,
regularizer, normalizer and activation from its arg scope. That the forms agree in outputs and
both gradients, down to maps of 1x1 and at rates beyond the map, is tested in
tests/resnet/test_convolutions.py; which is fast where, benchmarks/RESULTS.md shows.
"""
import itertools

from resnet.architecture import Convolutions
from runtime import slim, tf


def conv2d(inputs, num_outputs, kernel_size, scope, rate=1, form=Convolutions.SLIM, **settings):
    """A stride-1 'SAME' convolution with the variables of `slim.conv2d`.

    Args:
      inputs: float32 [batch, height, width, channels].
      num_outputs: int, the number of filters.
      kernel_size: odd int, height and width of the filters.
      scope: str, the variable scope.
      rate: int, the distance in pixels between neighbouring filter taps.
      form: `Convolutions`.
      settings: normalizer_fn and activation_fn, where they are not the arg scope's.

    Returns:
      float32 [batch, height, width, num_outputs].
    """
    if not form.is_own(kernel_size, rate):
        return slim.conv2d(inputs, num_outputs, kernel_size, rate=rate, padding='SAME',
                           scope=scope, **settings)
    settings = dict(slim.current_arg_scope().get(slim.arg_scope_func_key(slim.conv2d), {}),
                    **settings)
    normalizer, activation = settings.get('normalizer_fn'), settings.get('activation_fn',
                                                                         tf.nn.relu)
    with tf.variable_scope(scope, values=[inputs]) as variable_scope:
        weights = slim.model_variable(
            'weights', [kernel_size, kernel_size, inputs.shape[3].value, num_outputs],
            initializer=settings.get('weights_initializer', slim.xavier_initializer()),
            regularizer=settings.get('weights_regularizer'))
        outputs = convolve(inputs, weights, rate, form)
        if normalizer is None:
            outputs += slim.model_variable('biases', [num_outputs],
                                           initializer=tf.zeros_initializer())
        else:
            outputs = normalizer(outputs, **settings.get('normalizer_params', {}))
        if activation is not None:
            outputs = activation(outputs)
        return slim.utils.collect_named_outputs(
            settings.get('outputs_collections'), variable_scope.name, outputs)


def convolve(inputs, weights, rate, form):
    """Convolves with stride 1 and padding 'SAME'.

    Args:
      inputs: float32 [batch, height, width, channels].
      weights: float32 [size, size, channels, filters], size odd.
      rate: int.
      form: `Convolutions`, other than SLIM.

    Returns:
      float32 [batch, height, width, filters].
    """
    height, width = [static.value for static in inputs.shape[1:3]]
    is_static = height is not None and width is not None
    # Where nothing is known when the graph is built, a tap may meet nothing of the map, which
    # matrix products understand and convolutions do not.
    if form is Convolutions.NATIVE or form is Convolutions.TAPS and not is_static:
        return tf.nn.conv2d(inputs, weights, strides=[1, 1, 1, 1], padding='SAME',
                            dilations=[1, rate, rate, 1])
    if not is_static:
        height, width = tf.unstack(tf.shape(inputs)[1:3])
    product = _matrix_product if form is Convolutions.PRODUCTS else _pointwise
    # What a tap adds is its product with the part of the map that it meets.
    middle = weights.shape[0].value // 2
    terms = [product(inputs, weights[middle, middle])]
    for row, column in itertools.product(range(2 * middle + 1), repeat=2):
        (top, rows, above, below), (left, columns, before, behind) = [
            _overlap(length, (tap - middle) * rate)
            for length, tap in ((height, row), (width, column))]
        is_beyond = any(isinstance(length, int) and not length for length in (rows, columns))
        if is_beyond or row == column == middle:
            continue
        part = tf.slice(inputs, [0, top, left, 0], [-1, rows, columns, -1])
        terms.append(tf.pad(product(part, weights[row, column]),
                            [[0, 0], [above, below], [before, behind], [0, 0]]))
    outputs = tf.add_n(terms)
    # Unknown to TensorFlow after the slices.
    outputs.set_shape(inputs.shape[:3].concatenate(outputs.shape[3:]))
    return outputs


def _overlap(length, shift):
    """Where a map meets itself, moved.

    Args:
      length: int, or int32 scalar tensor.
      shift: int, pixels.

    Returns:
      (start in the map, length of the overlap, zeros before it, zeros behind it), ints or tensors
      as `length`; together they are as long as the map.
    """
    smallest = min if isinstance(length, int) else tf.minimum
    shared = length - smallest(length, abs(shift))
    start, before = [length - shared if moved > 0 else 0 for moved in (shift, -shift)]
    return start, shared, before, length - shared - before


def _matrix_product(part, weights):
    channels, filters = weights.shape.as_list()
    shape = tf.shape(part)
    rows = tf.matmul(tf.reshape(part, [-1, channels]), weights)
    return tf.reshape(rows, [shape[0], shape[1], shape[2], filters])


def _pointwise(part, weights):
    return tf.nn.conv2d(part, weights[tf.newaxis, tf.newaxis], strides=[1, 1, 1, 1],
                        padding='VALID')
