"""Parts of the training graph that are not the method: pictures, waiting times, averages."""
import functools
from collections import namedtuple

import network
from dataset import palette
from preprocessing import augmentation
from resnet import resnet_utils
from runtime import slim, tf

PANELS_SHOWN = 3

# step: `optimization.TrainStep`. data_wait: float64 scalar, seconds that a run of the
# graph waited for its images. averages: dict from the model's variables to those of
# --ema_decay, or empty. are_finite: dict from name to bool scalar, of all that checkpoints keep.
# paths: list of str, the shards that are read. copy_op: None, or the op that gives all workers the
# chief's variables.
TrainGraph = namedtuple('TrainGraph', ['graph', 'initializer', 'step', 'train_op', 'global_step',
                                       'learning_rate', 'data_wait', 'panels', 'averages',
                                       'are_finite', 'saver', 'best_saver', 'paths', 'copy_op'])


def augmentation_options(args, ignore_label):
    """Returns the `augmentation.Augmentation` that the flags describe."""
    color = (0.0, 0.0, 0.0)
    if args.padding == 'mean':
        color = network.padding_color(args.input_normalization)
    return augmentation.Augmentation(
        args.crop_size, args.min_scale, args.max_scale, args.random_flip, args.color_jitter,
        ignore_label, color, args.crop_position == 'center', args.align_scaling)


def batch_norm_of(args, group):
    """Returns the batch norm of --sync_batch_norm for `workers.Workers`, or None for slim's."""
    if not args.sync_batch_norm or group.count == 1:
        return None
    return functools.partial(resnet_utils.synced_batch_norm, all_sum=group.all_sum,
                             num_workers=group.count)


def timed_next(iterator):
    """Takes the next batch, and measures how long it had to be waited for.

    Returns:
      (`inputs.Example` of tensors, float64 scalar tensor, seconds).
    """
    before = tf.timestamp()
    with tf.control_dependencies([before]):
        example = iterator.get_next()
    with tf.control_dependencies([example.image]):
        return example, tf.timestamp() - before


def build_panels(example, logits, info):
    """Pictures of image, label, prediction and error (white: wrong) side by side.

    Args:
      example: `inputs.Example` of tensors.
      logits: float32 [batch, height, width, classes].
      info: `dataset.descriptor.DatasetInfo`, whose colours they have.

    Returns:
      string scalar, a serialized summary.
    """
    colors, ignore_label = tf.constant(palette.of(info)), info.ignore_label
    predictions = tf.argmax(logits, axis=3, output_type=tf.int32)
    wrong = tf.not_equal(predictions, example.labels) & tf.not_equal(example.labels, ignore_label)
    panels = tf.concat([tf.cast(tf.round(example.image), tf.uint8),
                        tf.gather(colors, example.labels), tf.gather(colors, predictions),
                        tf.tile(255 * tf.cast(wrong, tf.uint8)[..., tf.newaxis], [1, 1, 1, 3])],
                       axis=2)
    return tf.summary.image('image_label_prediction_error', panels, max_outputs=PANELS_SHOWN)


def build_averages(train_op, decay, global_step):
    """Adds the averages of --ema_decay, which follow each step.

    Args:
      train_op: the op that changes the weights.
      decay: float; 0 for none.
      global_step: the variable that counts steps.

    Returns:
      (op that changes weights and averages, dict from the model's variables to their averages).
    """
    if not decay:
        return train_op, {}
    model = slim.get_model_variables()
    # Early steps average over few: the decay rises to its value.
    average = tf.train.ExponentialMovingAverage(decay, num_updates=global_step)
    with tf.control_dependencies([train_op]):
        return average.apply(model), {variable: average.average(variable) for variable in model}


def build_finite_checks():
    """Returns a dict from the name of each variable of a checkpoint to a bool scalar tensor."""
    return {variable.op.name: tf.reduce_all(tf.math.is_finite(variable))
            for variable in tf.global_variables() if variable.dtype.is_floating}


def build_savers(averages, global_step, keep_checkpoints):
    """Returns (`tf.train.Saver` of all variables, that of the best checkpoint)."""
    best = {variable.op.name: averages.get(variable, variable)
            for variable in slim.get_model_variables()}
    return (tf.train.Saver(max_to_keep=keep_checkpoints),
            tf.train.Saver(dict(best, global_step=global_step), max_to_keep=1))
