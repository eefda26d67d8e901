"""Learning rates, optimizers and the training step, with frozen batch norm and split batches."""
from collections import namedtuple
from typing import List, NamedTuple, Optional

import losses
from runtime import tf
from runtime.devices import loss_scale

POLY_POWER = 0.9  # paper, section 4.1
# The post's scope: its checkpoints keep the optimizer's slots here.
SCOPE = 'optimizer_vars'


class OptimizerOptions(NamedTuple):
    """What the training step reads of the flags of `train.py`, under their names."""
    optimizer: str
    momentum: float
    starting_learning_rate: float
    learning_rate_policy: str
    learning_rate_boundaries: Optional[List[int]]
    learning_rate_decay: float
    warmup_steps: int
    max_steps: int
    accumulate_steps: int
    freeze_batch_norm: bool
    hard_example_fraction: float
    hard_example_steps: int


# accumulate_op: None, or the op that adds one part of the batch to the sums; all parts
# but the last go through it. train_op: takes the last part, and changes the weights.
# losses: `losses.Losses` of the whole batch, to be fetched with `train_op`.
# gradient_norms: float32 [variables]. variable_names: list of str.
TrainStep = namedtuple('TrainStep', ['accumulate_op', 'train_op', 'losses', 'gradient_norms',
                                     'variable_names'])


def build_learning_rate(options, global_step):
    """The learning rate of the step that follows `global_step` finished ones.

    constant: `starting_learning_rate`. poly: starting * (1 - step / max_steps) ^ 0.9.
    piecewise: starting * `learning_rate_decay` ^ n once n of the
    `learning_rate_boundaries` are reached. With `warmup_steps` W, the first W
    steps run at 1/W, 2/W, ... of that.

    Args:
      options: `OptimizerOptions`.
      global_step: int64 scalar tensor.

    Returns:
      float32 scalar tensor.
    """
    start = options.starting_learning_rate
    if options.learning_rate_policy == 'poly':
        rate = tf.train.polynomial_decay(start, global_step, options.max_steps,
                                         end_learning_rate=0.0, power=POLY_POWER)
    elif options.learning_rate_policy == 'piecewise':
        passed = tf.reduce_sum(tf.cast(
            tf.cast(global_step, tf.int64)
            >= tf.constant(options.learning_rate_boundaries, tf.int64),
            tf.float32))
        rate = start * tf.pow(options.learning_rate_decay, passed)
    else:
        rate = tf.constant(start)
    if options.warmup_steps:
        finished = tf.cast(global_step, tf.float32)
        rate *= tf.minimum(1.0, (finished + 1.0) / options.warmup_steps)
    return rate


def build_optimizer(options, learning_rate):
    """Returns the `tf.train.Optimizer` of `options.optimizer`: 'adam' or 'momentum'."""
    if options.optimizer == 'momentum':
        return tf.train.MomentumOptimizer(learning_rate, options.momentum)
    return tf.train.AdamOptimizer(learning_rate)


def variables_to_train(freeze_batch_norm):
    """The variables that the optimizer changes.

    Args:
      freeze_batch_norm: bool, whether to leave out every batch norm's gamma and beta.

    Returns:
      List of variables.
    """
    variables = tf.trainable_variables()
    if not freeze_batch_norm:
        return variables
    return [variable for variable in variables
            if variable.op.name.rsplit('/', 1)[-1] not in ('gamma', 'beta')]


def build_hard_fraction(options, global_step):
    """The share of pixels that count, falling evenly from 1 over `hard_example_steps`.

    Returns:
      float32 scalar tensor, or None where all pixels count.
    """
    if options.hard_example_fraction == 1:
        return None
    if not options.hard_example_steps:
        return tf.constant(options.hard_example_fraction)
    progress = tf.cast(global_step, tf.float32) / options.hard_example_steps
    return 1.0 - (1.0 - options.hard_example_fraction) * tf.minimum(1.0, progress)


def _gradients(loss, variables, scale):
    """Gradients, by way of a scaled loss so that small ones do not become 0 in 16 bits.

    Args:
      loss: float32 scalar tensor.
      variables: list.
      scale: float32 scalar tensor or number; None for a loss as it is.

    Returns:
      List of (gradient, variable). Unused variables, such as the backbone's postnorm, have none.
    """
    # Gated, so that no weight changes while another gradient still reads it.
    gradients = tf.gradients(loss if scale is None else loss * scale, variables,
                             gate_gradients=True)
    return [(gradient if scale is None else gradient / scale, variable)
            for gradient, variable in zip(gradients, variables) if gradient is not None]


def build_train_step(logits, labels, ignore_label, options, global_step, learning_rate,
                     class_weights=None, all_sum=None):
    """Adds loss, gradients and update to a graph that holds the network.

    Args:
      logits: float32 [part, height, width, classes], where part is
        `batch_size` / `accumulate_steps` images, or a worker's share of them.
      labels: int32 [part, height, width].
      ignore_label: int.
      options: `OptimizerOptions`.
      global_step: the variable that counts steps.
      learning_rate: float32 scalar tensor.
      class_weights: None, or float [classes].
      all_sum: None, or as of `workers.Alone`: loss and gradients are those of all workers.

    Returns:
      `TrainStep`.
    """
    variables = variables_to_train(options.freeze_batch_norm)
    entropy, weight = losses.summed_cross_entropy(
        logits, labels, ignore_label, class_weights, build_hard_fraction(options, global_step))
    with tf.variable_scope(SCOPE):
        optimizer = build_optimizer(options, learning_rate)
        if options.accumulate_steps > 1 or all_sum:
            accumulate_op, loss, pairs, sums = _of_parts(entropy, weight, variables, options,
                                                         all_sum)
        else:
            loss = losses.sum_losses(tf.div_no_nan(entropy, weight), losses.regularization())
            accumulate_op, sums = None, []
            pairs = _gradients(loss.total, variables, loss_scale())
        # Here, for both, is the place of all that is done to gradients before they are applied.
        norms = tf.stack([tf.norm(gradient) for gradient, _ in pairs])
        with tf.control_dependencies([loss.total]):  # that of the weights before the step
            pairs = [(tf.identity(gradient), variable) for gradient, variable in pairs]
        apply_op = optimizer.apply_gradients(pairs, global_step=global_step)
        with tf.control_dependencies([apply_op, loss.total, norms]):
            resets = [total.assign(tf.zeros_like(total), read_value=False) for total in sums]
        train_op = tf.group(apply_op, *(resets + tf.get_collection(tf.GraphKeys.UPDATE_OPS)))
        return TrainStep(accumulate_op, train_op, loss, norms,
                         [variable.op.name for _, variable in pairs])


def _sum_variable(shape, name):
    """A variable that lives within a step; no checkpoint holds it."""
    return tf.get_variable(name, shape, initializer=tf.zeros_initializer(), trainable=False,
                           use_resource=True, collections=[tf.GraphKeys.LOCAL_VARIABLES])


def _of_parts(entropy, weight, variables, options, all_sum):
    """Loss and gradients of a batch that comes in parts, one after another or on several workers.

    Cross-entropy and its gradients are summed, and divided by the weight of the
    pixels of all parts at the end: parts with few valid pixels count for little, as
    they would in one large batch.

    Returns:
      (op that adds a part or None, `losses.Losses`, list of (gradient, variable), list of the
      variables to be set back to 0).
    """
    scale = loss_scale()
    # The sum over the pixels of a part is as much larger than their mean.
    pairs = _gradients(entropy, variables, scale and scale / tf.maximum(weight, 1.0))
    variables = [variable for _, variable in pairs]
    for gradient, variable in pairs:
        gradient.set_shape(variable.shape)
    totals = [gradient for gradient, _ in pairs] + [entropy, weight]
    accumulate_op, sums = None, []
    if options.accumulate_steps > 1:
        names = [variable.op.name for variable in variables] + ['entropy', 'weight']
        accumulate_op, sums, totals = _accumulated(totals, names)
    if all_sum:
        totals = all_sum(totals)
    # Read after the last part was added.
    with tf.control_dependencies([accumulate_op] if accumulate_op is not None else []):
        *gradients, entropy, whole = totals
        decay = losses.regularization()
        loss = losses.sum_losses(tf.div_no_nan(entropy, whole), decay)
        means = [tf.div_no_nan(gradient, whole) for gradient in gradients]
        means = [mean if extra is None else mean + extra
                 for mean, extra in zip(means, tf.gradients(decay, variables))]
    return accumulate_op, loss, list(zip(means, variables)), sums


def _accumulated(values, names):
    """Adds up tensors over the parts of a step.

    Returns:
      (op that adds a part, the variables that hold the sums, the sums behind that op).
    """
    with tf.variable_scope('accumulated'):
        sums = [_sum_variable(value.shape, name) for value, name in zip(values, names)]
    additions = [total.assign_add(value, read_value=False) for total, value in zip(sums, values)]
    # The updates of the batch-norm statistics run with every part.
    accumulate_op = tf.group(*(additions + tf.get_collection(tf.GraphKeys.UPDATE_OPS)))
    with tf.control_dependencies([accumulate_op]):
        return accumulate_op, sums, [total.read_value() for total in sums]
