"""What DeepLab v3 needs of ResNet and tf-slim's `resnet_utils` does not have.

Differs from `tf_slim.nets.resnet_utils` in this, and in nothing else:

1. `conv2d_same` runs convolutions of stride 1 in the form that it is given
   (`resnet.convolutions`; slim's atrous ones go through SpaceToBatchND);
2. `apply_multi_grid` gives every unit of the last block a rate of its own
   (arXiv 1706.05587, section 3.2.1).

Everything else (stacking of blocks, strides, padding, arg scope) is slim's.
"""
from resnet import architecture, convolutions
from runtime import nets


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
