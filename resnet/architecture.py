"""Sizes of the networks, strides and rates, and which of them can be built. No TensorFlow."""
import enum
from typing import NamedTuple, Tuple

from common.errors import UserError

OUTPUT_STRIDES = (8, 16, 32)

# The paper doubles the rates when the feature map is twice as dense (section 3.3);
# 32 follows the same rule.
ASPP_RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}


class Convolutions(enum.Enum):
    """How stride-1 convolutions run; see `resnet.convolutions`."""
    SLIM = 'slim'  # atrous ones go through SpaceToBatchND, which every build can differentiate
    NATIVE = 'native'  # atrous ones are TensorFlow's own
    PRODUCTS = 'products'  # atrous and 1x1 ones are matrix products, one for each filter tap
    TAPS = 'taps'  # atrous ones are 1x1 convolutions, one for each filter tap

    def is_own(self, kernel_size, rate):
        """Whether `slim.conv2d` does not do a convolution in this form. Returns bool."""
        return self is not Convolutions.SLIM and (
            rate > 1 or kernel_size == 1 and self is Convolutions.PRODUCTS)


class Architecture(NamedTuple):
    """The size of a DeepLab v3, and how its convolutions run.

    Attributes:
      units: ints, the units in block1 to block4.
      base_depth: int, channels inside the units of block1, doubled by each block.
      aspp_depth: int, filters of each branch of ASPP and of its projection.
      convolutions: `Convolutions`.
    """
    units: Tuple[int, ...]
    base_depth: int = 64
    aspp_depth: int = 256
    convolutions: Convolutions = Convolutions.SLIM


# Units: arXiv 1512.03385, table 1; 200: arXiv 1603.05027.
MODELS = {
    'resnet_v2_50': Architecture((3, 4, 6, 3)),
    'resnet_v2_101': Architecture((3, 4, 23, 3)),
    'resnet_v2_152': Architecture((3, 8, 36, 3)),
    'resnet_v2_200': Architecture((3, 24, 36, 3)),
}


def default_aspp_rates(output_stride):
    """Returns the three ASPP rates for an output stride (paper, section 3.3)."""
    if output_stride not in ASPP_RATES:
        raise UserError('output_stride %r: choose one of %s.' % (output_stride, OUTPUT_STRIDES))
    return ASPP_RATES[output_stride]


def check_aspp_rates(rates):
    """Raises `UserError` for rates that are not three positive whole numbers."""
    if len(rates) != 3 or any(int(rate) != rate or rate < 1 for rate in rates):
        raise UserError('aspp_rates %s: give three positive whole numbers.' % (tuple(rates),))


def check_model(model):
    """Raises `UserError` for a model that is not in `MODELS`."""
    if model not in MODELS:
        raise UserError('resnet_model %r: choose one of %s.' % (model, ', '.join(sorted(MODELS))))


def check_output_stride(output_stride, multi_grid):
    """Raises `UserError` for an output stride, or a multi-grid with it, that cannot be built."""
    if output_stride not in OUTPUT_STRIDES:
        raise UserError('output_stride %r: choose one of %s.' % (output_stride, OUTPUT_STRIDES))
    if output_stride == 32 and any(grid != 1 for grid in multi_grid):
        raise UserError('output_stride 32 is the network without atrous convolution: it takes '
                        'multi_grid (1, 1, 1), not %s.' % (tuple(multi_grid),))
    check_multi_grid(multi_grid)


def check_multi_grid(multi_grid, num_units=3):
    """Raises `UserError` unless there is one positive whole rate for each unit of block4."""
    if len(multi_grid) != num_units:
        raise UserError('multi_grid %s has %d rates; block4 has %d units, give one rate for each.'
                        % (tuple(multi_grid), len(multi_grid), num_units))
    if any(int(grid) != grid or grid < 1 for grid in multi_grid):
        raise UserError('multi_grid %s: every rate must be a positive whole number.'
                        % (tuple(multi_grid),))
