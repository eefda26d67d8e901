"""The network in evaluation mode over a split, as `train.py` and `test.py` run it."""
from collections import namedtuple
from typing import NamedTuple, Optional

import losses
import network
from dataset import descriptor
from experiment import weights
from inference import multiscale, options
from preprocessing import inputs
from runtime import slim, tf

# labels, predictions: of whole images. confidences: of the predictions. crop_labels,
# crop_predictions: of the post's center crops, or None. passes: `options.Passes`.
# num_examples: int, how many the data hold, of all workers.
EvalGraph = namedtuple('EvalGraph', [
    'graph', 'initializer', 'name', 'image', 'labels', 'predictions', 'confidences',
    'probabilities', 'loss', 'crop_labels', 'crop_predictions', 'variables', 'saver', 'paths',
    'passes', 'num_examples'])


class EvaluationOptions(NamedTuple):
    """What `build_eval_graph` evaluates, and how.

    Attributes:
      split: str.
      crop_size: None, or int: predict the post's crops of this size too.
      num_examples: None, or int: only the first of the split.
      checkpoint: None, or str, the prefix of the one that will be restored, with the averages
        of --ema_decay where it has them; it must fit.
      averaged: bool, whether checkpoints that are still to come have averages.
      passes: `options.Passes`, of the whole images; the post's crops pass once.
      share: None, or the `inputs.Share` of one of several workers.
    """
    split: str
    crop_size: Optional[int] = None
    num_examples: Optional[int] = None
    checkpoint: Optional[str] = None
    averaged: bool = False
    passes: options.Passes = options.SINGLE_PASS
    share: Optional[inputs.Share] = None


def center_crop(images, labels, crop_size, ignore_label):
    """The post's crops of images for its evaluation: centred, padded with black and ignore.

    Args:
      images: float32 [batch, height, width, 3] in 0..255.
      labels: int32 [batch, height, width].
      crop_size: int.
      ignore_label: int.

    Returns:
      images float32 [batch, crop_size, crop_size, 3], labels int32
      [batch, crop_size, crop_size].
    """
    def cropped(values):
        return tf.image.resize_image_with_crop_or_pad(values, crop_size, crop_size)

    # What is padded becomes 0: ids are moved up by one and back.
    padded = cropped(labels[..., tf.newaxis] + 1)[..., 0]
    return cropped(images), tf.where(tf.equal(padded, 0), tf.fill(tf.shape(padded), ignore_label),
                                     padded - 1)


def build_eval_graph(network_options, info, dataset_dir, chosen):
    """Builds the network in evaluation mode over one pass of a split.

    Args:
      network_options: `network.NetworkOptions`.
      info: `dataset.descriptor.DatasetInfo`.
      dataset_dir: str.
      chosen: `EvaluationOptions`.

    Returns:
      `EvalGraph`: name string [1]; image float32 [1, height, width, 3]; labels int32,
      predictions uint8 and confidences float32 [1, height, width]; probabilities float32
      [1, height, width, classes]; loss float32 scalar; labels and predictions of the crops
      alike; variables, the model's, and saver, of them; paths, the shards'.

    Raises:
      UserError: no such split, a shard is not there, or the checkpoint does not fit.
    """
    graph = tf.Graph()
    with graph.as_default():
        iterator = tf.data.make_initializable_iterator(
            inputs.eval_dataset(info, dataset_dir, chosen.split, chosen.num_examples,
                                chosen.share))
        example = iterator.get_next()
        logits = multiscale.averaged_logits(example.image, network_options, chosen.passes)
        crop_labels = crop_predictions = None
        if chosen.crop_size:
            crop, crop_labels = center_crop(example.image, example.labels, chosen.crop_size,
                                            info.ignore_label)
            crop_predictions = multiscale.label_map(
                network.deeplab_v3(crop, network_options, is_training=False, reuse=True))
        variables = slim.get_model_variables()
        saver = (weights.saver_for(chosen.checkpoint, variables) if chosen.checkpoint
                 else weights.saver_of(variables, chosen.averaged))
        return EvalGraph(
            graph=graph, initializer=iterator.initializer, name=example.name, image=example.image,
            labels=example.labels, predictions=multiscale.label_map(logits),
            confidences=tf.exp(tf.reduce_max(tf.nn.log_softmax(logits), axis=3)),
            probabilities=tf.nn.softmax(logits),
            loss=losses.masked_cross_entropy(logits, example.labels, info.ignore_label),
            crop_labels=crop_labels, crop_predictions=crop_predictions, variables=variables,
            saver=saver, paths=descriptor.shard_paths(info, dataset_dir, chosen.split),
            passes=chosen.passes,
            num_examples=inputs.epoch_size(info, chosen.split, chosen.num_examples))
