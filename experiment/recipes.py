"""Recipes: named sets of defaults for the flags of `train.py`, each of which can be overridden.

Free of TensorFlow. What hangs on data set, machine or time is a function, which `planning.resolve`
calls once, at the start of a run.
"""
from typing import Any, Dict, NamedTuple, Optional, Tuple

# What --init_from takes beside runs and checkpoints.
IMAGENET = 'imagenet'
RANDOM = 'random'

# The post's defaults. Its code downloads the weights of ImageNet by itself.
_POST = {
    'init_from': IMAGENET,
    'optimizer': 'adam',
    'learning_rate_policy': 'constant',
    'starting_learning_rate': 0.00001,
    'batch_size': 8,
    'batch_norm_decay': 0.9997,
    'color_jitter': True,
}

# The paper's, section 4.1. Weight decay is that of the public re-implementations.
_PAPER = {
    'optimizer': 'momentum',
    'momentum': 0.9,
    'learning_rate_policy': 'poly',
    'starting_learning_rate': 0.007,
    'batch_size': 16,
    'max_steps': 30000,
    'batch_norm_decay': 0.9997,
    'l2_regularizer': 0.0001,
    'color_jitter': False,
}


class Facts(NamedTuple):
    """What the recipes for own images look at, when data set and weights are known.

    Attributes:
      num_images: int, of one pass over what is trained on.
      size: (height, width) of the images in pixels, the median of each.
      memory: float, GiB that this machine, or its GPUs, has for training; None where unknown.
      num_workers: int, processes that share each batch.
      start: dict of the flags that the weights of --init_from were trained with, as far as known.
    """
    num_images: int
    size: Tuple[int, int]
    memory: Optional[float]
    num_workers: int
    start: Dict[str, Any]


def _by(what):
    """Marks a function of `Facts` and flags, that returns a flag's value, with what decides it."""
    def mark(function):
        function.decided_by = what
        return function
    return mark


def _crop_of(share):
    """Crops of a share of the shorter side of the images: large ones show few places in a step."""
    @_by('image size')
    def crop_size(facts, flags):
        side = min(LARGEST_CROP, int(share * min(facts.size)))
        return max(SMALLEST_CROP, (side - 1) // CROP_UNIT * CROP_UNIT + 1)
    return crop_size


@_by('memory')
def _accumulate_steps(facts, flags):
    """The batch in as few parts as the memory holds, by what benchmarks/training_memory.py found.

    A batch in parts learns as a whole one does, but for its batch norm.
    """
    stride = 2.5 if flags.output_stride == 8 else 1.0
    depth = {'resnet_v2_50': 1.0, 'resnet_v2_101': 1.5}.get(flags.resnet_model, 2.0)
    image = GIB_OF_AN_IMAGE * (flags.crop_size / 513.0) ** 2 * stride * depth
    possible = [parts for parts in range(1, flags.batch_size + 1)
                if flags.batch_size % (parts * facts.num_workers) == 0] or [1]
    fitting = [parts for parts in possible if facts.memory is None or (
        GIB_OF_WEIGHTS * depth + image * flags.batch_size / parts <= facts.memory)]
    return (fitting or possible[-1:])[0]


@_by('weights')
def _input_normalization(facts, flags):
    """Weights want what they were trained with."""
    return facts.start.get('input_normalization', 'mean')


@_by('weights')
def _aspp_relu(facts, flags):
    return facts.start.get('aspp_relu', False)


def _passes(epochs, at_least):
    """So many passes over the images, within what learns and the steps of the paper."""
    @_by('number of images')
    def max_steps(facts, flags):
        steps = -(-epochs * facts.num_images // flags.batch_size)
        return min(_PAPER['max_steps'], max(at_least, steps))
    return max_steps


@_by('steps')
def _warmup_steps(facts, flags):
    return min(500, flags.max_steps // 20)


def _decay(smallest, largest):
    """A moving average over some 5% of the steps."""
    @_by('steps')
    def decay(facts, flags):
        return round(min(largest, max(smallest, 1.0 - 20.0 / flags.max_steps)), 4)
    return decay


@_by('steps')
def _eval_every_steps(facts, flags):
    return -(-flags.max_steps // EVALUATIONS)


LARGEST_CROP, SMALLEST_CROP, CROP_UNIT = 513, 33, 32
EVALUATIONS = 10
# At 513x513 and output stride 16, ResNet-50; larger than measured, for what else needs memory.
GIB_OF_AN_IMAGE, GIB_OF_WEIGHTS = 0.8, 2.5

# For images of one's own: what docs/recipes.md found to help, and nothing that it did not. The
# order is that in which values are computed: a function may look at the flags above it.
_OWN = {
    'optimizer': 'adam',
    'learning_rate_policy': 'poly',
    'batch_size': 8,
    'accumulate_steps': _accumulate_steps,
    'color_jitter': False,
    'min_scale': 0.75,
    'max_scale': 1.5,
    'batch_norm_decay': _decay(0.9, 0.9997),
    'eval_every_steps': _eval_every_steps,
}

RECIPES = {
    'post': _POST,
    # What the post's code does where this project deviates from it by default: see the
    # table in README.md.
    'post_code': dict(_POST, l2_regularizer=0.0, aspp_rates=[6, 12, 18], align_corners=False,
                      align_scaling=False, crop_position='center', padding='zero',
                      best_metric='running_loss', mixed_precision='off'),
    'paper': dict(_PAPER, init_from=IMAGENET),
    'paper_stage2': dict(_PAPER, freeze_batch_norm=True, output_stride=8,
                         starting_learning_rate=0.001),
    'scratch': dict(init_from=RANDOM, starting_learning_rate=0.0005, crop_size=_crop_of(0.75),
                    aspp_relu=True,
                    max_steps=_passes(100, at_least=1000), **_OWN),
    # The post's constant 0.00001 hardly moves the random head within so few steps.
    'finetune': dict(init_from=IMAGENET, input_normalization=_input_normalization,
                     aspp_relu=_aspp_relu, starting_learning_rate=0.0001, crop_size=_crop_of(1.0),
                     max_steps=_passes(40, at_least=400), warmup_steps=_warmup_steps, **_OWN),
}
DEFAULT = 'post'

DESCRIPTIONS = {
    'post': "the post's training",
    'post_code': 'what its code does where this project deviates by default',
    'paper': "the paper's stage one",
    'paper_stage2': 'its stage two, from the weights of stage one (--init_from)',
    'scratch': 'own images from random weights',
    'finetune': 'few own images from the weights of ImageNet, or of a run (--init_from)',
}


def is_by_steps(value):
    """Whether a recipe's value hangs on the number of steps, which is known last."""
    return getattr(value, 'decided_by', '') in ('steps', 'number of images')
