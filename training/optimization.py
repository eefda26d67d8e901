"""Learning rates, optimizers and the training step, with frozen batch norm and split batches."""
from collections import namedtuple

import losses
from runtime import slim, tf

POLY_POWER = 0.9  # paper, section 4.1
# The post's scope: its checkpoints keep the optimizer's slots here.
SCOPE = 'optimizer_vars'

# accumulate_op: None, or the op that adds one part of the batch to the sums; all parts
# but the last go through it. train_op: takes the last part, and changes the weights.
# losses: `losses.Losses` of the whole batch, to be fetched with `train_op`.
# gradient_norms: float32 [variables]. variable_names: list of str.
TrainStep = namedtuple('TrainStep', ['accumulate_op', 'train_op', 'losses', 'gradient_norms',
                                     'variable_names'])


def build_learning_rate(args, global_step):
    """The learning rate of the step that follows `global_step` finished ones.

    constant: `starting_learning_rate`. poly: starting * (1 - step / max_steps) ^ 0.9.
    piecewise: starting * `learning_rate_decay` ^ n once n of the
    `learning_rate_boundaries` are reached. With `warmup_steps` W, the first W
    steps run at 1/W, 2/W, ... of that.

    Args:
      args: the flags.
      global_step: int64 scalar tensor.

    Returns:
      float32 scalar tensor.
    """
    start = args.starting_learning_rate
    if args.learning_rate_policy == 'poly':
        rate = tf.train.polynomial_decay(start, global_step, args.max_steps,
                                         end_learning_rate=0.0, power=POLY_POWER)
    elif args.learning_rate_policy == 'piecewise':
        passed = tf.reduce_sum(tf.cast(
            tf.cast(global_step, tf.int64) >= tf.constant(args.learning_rate_boundaries, tf.int64),
            tf.float32))
        rate = start * tf.pow(args.learning_rate_decay, passed)
    else:
        rate = tf.constant(start)
    if args.warmup_steps:
        finished = tf.cast(global_step, tf.float32)
        rate *= tf.minimum(1.0, (finished + 1.0) / args.warmup_steps)
    return rate


def build_optimizer(args, learning_rate):
    """Returns the `tf.train.Optimizer` of `args.optimizer`: 'adam' or 'momentum'."""
    if args.optimizer == 'momentum':
        return tf.train.MomentumOptimizer(learning_rate, args.momentum)
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


def build_hard_fraction(args, global_step):
    """The share of pixels that count, falling evenly from 1 over `hard_example_steps`.

    Returns:
      float32 scalar tensor, or None where all pixels count.
    """
    if args.hard_example_fraction == 1:
        return None
    if not args.hard_example_steps:
        return tf.constant(args.hard_example_fraction)
    progress = tf.cast(global_step, tf.float32) / args.hard_example_steps
    return 1.0 - (1.0 - args.hard_example_fraction) * tf.minimum(1.0, progress)


def _norms(gradients):
    return tf.stack([tf.norm(gradient) for gradient in gradients])


def build_train_step(logits, labels, ignore_label, args, global_step, learning_rate,
                     class_weights=None):
    """Adds loss, gradients and update to a graph that holds the network.

    Args:
      logits: float32 [part, height, width, classes], where part is
        `batch_size` / `accumulate_steps` images.
      labels: int32 [part, height, width].
      ignore_label: int.
      args: the flags.
      global_step: the variable that counts steps.
      learning_rate: float32 scalar tensor.
      class_weights: None, or float [classes].

    Returns:
      `TrainStep`.
    """
    variables = variables_to_train(args.freeze_batch_norm)
    entropy, weight = losses.summed_cross_entropy(
        logits, labels, ignore_label, class_weights, build_hard_fraction(args, global_step))
    with tf.variable_scope(SCOPE):
        optimizer = build_optimizer(args, learning_rate)
        if args.accumulate_steps > 1:
            return _build_accumulating_step(entropy, weight, optimizer, variables, global_step)
        loss = losses.sum_losses(tf.div_no_nan(entropy, weight), losses.regularization())
        pairs = []

        def keep(gradients_and_variables):
            # Unused variables, such as the backbone's postnorm, have no gradient.
            pairs.extend(pair for pair in gradients_and_variables if pair[0] is not None)
            with tf.control_dependencies([loss.total]):  # that of the weights before the step
                return [(tf.identity(gradient), variable) for gradient, variable in pairs]

        # Also runs the updates of the batch-norm statistics.
        train_op = slim.training.create_train_op(
            loss.total, optimizer, global_step=global_step, variables_to_train=variables,
            transform_grads_fn=keep, check_numerics=False)
        return TrainStep(None, train_op, loss, _norms([gradient for gradient, _ in pairs]),
                         [variable.op.name for _, variable in pairs])


def _sum_variable(shape, name):
    """A variable that lives within a step; no checkpoint holds it."""
    return tf.get_variable(name, shape, initializer=tf.zeros_initializer(), trainable=False,
                           use_resource=True, collections=[tf.GraphKeys.LOCAL_VARIABLES])


def _build_accumulating_step(entropy, weight, optimizer, variables, global_step):
    """The step whose batch comes in parts.

    Cross-entropy and its gradients are summed, and divided by the weight of the
    pixels of all parts at the end: parts with few valid pixels count for little, as
    they would in one large batch.
    """
    gradients = tf.gradients(entropy, variables)
    pairs = [(gradient, variable) for gradient, variable in zip(gradients, variables)
             if gradient is not None]
    with tf.variable_scope('accumulated'):
        sums = [_sum_variable(variable.shape, variable.op.name) for _, variable in pairs]
        entropy_sum, weight_sum = _sum_variable([], 'entropy'), _sum_variable([], 'weight')
    additions = [total.assign_add(value, read_value=False) for total, value in
                 zip(sums + [entropy_sum, weight_sum],
                     [gradient for gradient, _ in pairs] + [entropy, weight])]
    # The updates of the batch-norm statistics run with every part.
    accumulate_op = tf.group(*(additions + tf.get_collection(tf.GraphKeys.UPDATE_OPS)))
    with tf.control_dependencies([accumulate_op]):
        whole = weight_sum.read_value()
        decay = losses.regularization()
        loss = losses.sum_losses(tf.div_no_nan(entropy_sum.read_value(), whole), decay)
        decay_gradients = tf.gradients(decay, [variable for _, variable in pairs])
        means = [tf.div_no_nan(total.read_value(), whole) for total in sums]
        means = [mean if extra is None else mean + extra
                 for mean, extra in zip(means, decay_gradients)]
        norms = _norms(means)
        with tf.control_dependencies([loss.total]):  # that of the weights before the step
            apply_op = optimizer.apply_gradients(
                list(zip(means, [variable for _, variable in pairs])), global_step=global_step)
    with tf.control_dependencies([apply_op, loss.total, norms]):
        resets = [total.assign(tf.zeros_like(total), read_value=False)
                  for total in sums + [entropy_sum, weight_sum]]
    return TrainStep(accumulate_op, tf.group(*resets), loss, norms,
                     [variable.op.name for _, variable in pairs])
