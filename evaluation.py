"""Evaluation of a whole split, shared by `train.py` and `test.py`."""
from collections import namedtuple

import numpy as np
from tqdm import tqdm

import checkpoints
import losses
import metrics
import network
from dataset import descriptor, shards
from preprocessing import inputs
from runtime import session_config, slim, tf

# labels, predictions: of whole images. crop_labels, crop_predictions: of the post's
# center crops, or None.
EvalGraph = namedtuple('EvalGraph', ['graph', 'initializer', 'name', 'image', 'labels',
                                     'predictions', 'loss', 'crop_labels', 'crop_predictions',
                                     'variables', 'saver', 'paths'])

# matrix: int64 [classes, classes]. image_counts: int64 [images, 3, classes], see
# `metrics.counts`. post_scores: float64 [images, 4], see `metrics.post_image_scores`, or
# None. mean_loss: float, the mean over images of their mean cross-entropy.
Evaluation = namedtuple('Evaluation', ['matrix', 'image_counts', 'post_scores', 'mean_loss'])

TITLES = (('pixel_accuracy', 'pixel accuracy'), ('mean_accuracy', 'mean accuracy'),
          ('mean_iou', 'mean IoU'), ('frequency_weighted_iou', 'frequency-weighted IoU'))
BENCHMARK_DEFINITION = 'one confusion matrix over the split, whole images (the VOC benchmark)'


def post_definition(crop_size):
    """Says what the post's scores are. Returns str."""
    return ('means over images of the scores of each, on center crops of %dx%d padded with black '
            '(the post)' % (crop_size, crop_size))


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


def build_eval_graph(args, info, dataset_dir, split, post_scores=False, num_examples=None,
                     averaged=False):
    """Builds the network in evaluation mode over one pass of a split.

    Args:
      args: the run's flags, see `network.deeplab_v3`.
      info: `dataset.descriptor.DatasetInfo`.
      dataset_dir: str.
      split: str.
      post_scores: bool, whether to predict the post's crops of `args.crop_size` too.
      num_examples: None, or int: only the first of the split.
      averaged: bool, whether to restore the averages of --ema_decay.

    Returns:
      `EvalGraph`: the graph; the initializer of its data; name string [1]; image
      float32 [1, height, width, 3]; labels int32 and predictions int64
      [1, height, width]; loss float32 scalar; the same two of the crops; the model's
      variables, and a Saver of them; the shards' paths.

    Raises:
      ValueError: no such split, or a shard is not there.
    """
    graph = tf.Graph()
    with graph.as_default():
        iterator = tf.data.make_initializable_iterator(
            inputs.eval_dataset(info, dataset_dir, split, num_examples))
        example = iterator.get_next()
        logits = network.deeplab_v3(example.image, args, is_training=False, reuse=None)
        loss = losses.masked_cross_entropy(logits, example.labels, info.ignore_label)
        crop_labels = crop_predictions = None
        if post_scores:
            crop, crop_labels = center_crop(example.image, example.labels, args.crop_size,
                                            info.ignore_label)
            crop_predictions = tf.argmax(
                network.deeplab_v3(crop, args, is_training=False, reuse=True), axis=3)
        variables = slim.get_model_variables()
        return EvalGraph(graph, iterator.initializer, example.name, example.image,
                         example.labels, tf.argmax(logits, axis=3), loss, crop_labels,
                         crop_predictions, variables,
                         tf.train.Saver(checkpoints.averaged_names(variables) if averaged
                                        else variables),
                         descriptor.shard_paths(info, dataset_dir, split))


def evaluate(eval_graph, checkpoint, info, split, on_example=None, should_stop=None):
    """Sums one confusion matrix over a whole split, each image at its own size.

    Args:
      eval_graph: `EvalGraph`.
      checkpoint: str, the prefix to restore.
      info: `dataset.descriptor.DatasetInfo`.
      split: str, the split that the graph reads.
      on_example: None, or a function that is called with name str, image uint8
        [height, width, 3], labels and predictions [height, width].
      should_stop: None, or a function that is asked before each image.

    Returns:
      `Evaluation`, or None where `should_stop` said so.

    Raises:
      ValueError: a label is neither a class nor ignored, or a shard is damaged.
      SystemExit: the checkpoint is damaged.
    """
    num_examples = info.splits[split]['num_examples']
    matrix, image_counts, post_scores, image_losses = 0, [], [], []
    eval_graph.graph.finalize()
    with tf.Session(graph=eval_graph.graph, config=session_config()) as session:
        checkpoints.restore(eval_graph.saver, session, checkpoint)
        session.run(eval_graph.initializer)
        for values in tqdm(_examples(session, eval_graph), total=num_examples, desc=split,
                           unit='image', leave=False, disable=None):
            if should_stop and should_stop():
                return None
            image_matrix = _matrix(values, 'labels', 'predictions', info)
            matrix = matrix + image_matrix
            image_counts.append(metrics.counts(image_matrix))
            image_losses.append(values['loss'])
            if 'crop_labels' in values:
                post_scores.append(metrics.post_image_scores(
                    _matrix(values, 'crop_labels', 'crop_predictions', info)))
            if on_example:
                on_example(values['name'][0].decode(), values['image'][0].astype('uint8'),
                           values['labels'][0], values['predictions'][0])
    post_scores = [scores for scores in post_scores if scores is not None]
    return Evaluation(matrix, np.stack(image_counts), np.array(post_scores) if post_scores
                      else None, float(np.mean(image_losses)))


def _examples(session, eval_graph):
    """Yields a dict of arrays for each example of the split."""
    fetches = {field: getattr(eval_graph, field)
               for field in ('name', 'image', 'labels', 'predictions', 'loss', 'crop_labels',
                             'crop_predictions')
               if getattr(eval_graph, field) is not None}
    while True:
        try:
            yield session.run(fetches)
        except tf.errors.OutOfRangeError:
            return
        except tf.errors.DataLossError:
            raise ValueError(shards.explain_data_loss(eval_graph.paths))


def _matrix(values, labels, predictions, info):
    try:
        return metrics.confusion_matrix(values[labels], values[predictions],
                                        info.number_of_classes, info.ignore_label)
    except ValueError as error:
        raise ValueError('%s: %s' % (values['name'][0].decode(), error))


def report(scores, class_names, interval=None, post_scores=None, crop_size=None):
    """Formats per-class IoU and the scores, in both definitions, as lines of text.

    Args:
      scores: `metrics.Scores`, the benchmark's.
      class_names: tuple of str.
      interval: None, or the (low, high) of `metrics.bootstrap_mean_iou`.
      post_scores: None, or float64 [images, 4] of `Evaluation`.
      crop_size: int, of the post's crops.

    Returns:
      str.
    """
    width = max(map(len, class_names + ('frequency-weighted IoU',)))
    lines = ['%-*s %s' % (width, name, 'absent' if iou != iou else '%.4f' % iou)
             for name, iou in zip(class_names, scores.per_class_iou)]
    lines.append('-' * (width + 7))
    lines.append('Benchmark: ' + BENCHMARK_DEFINITION)
    for field, title in TITLES:
        line = '%-*s %.4f' % (width, title, getattr(scores, field))
        if field == 'mean_iou' and interval:
            line += '  (95%% interval over images: %.4f to %.4f)' % interval
        lines.append(line)
    if post_scores is not None:
        lines.append('Post: ' + post_definition(crop_size))
        lines += ['%-*s %.4f' % (width, title, value)
                  for (_, title), value in zip(TITLES, post_scores.mean(axis=0))]
    return '\n'.join(lines)
