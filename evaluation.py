"""Evaluation of a whole split, shared by `train.py` and `test.py`."""
from collections import namedtuple

from tqdm import tqdm

import metrics
import network
from preprocessing import inputs
from runtime import session_config, slim, tf

EvalGraph = namedtuple('EvalGraph', ['graph', 'initializer', 'name', 'image', 'labels',
                                     'predictions', 'saver'])


def build_eval_graph(args, info, dataset_dir, split):
    """Builds the network in evaluation mode over one pass of a split.

    Args:
      args: the run's flags, see `network.deeplab_v3`.
      info: `dataset.descriptor.DatasetInfo`.
      dataset_dir: str.
      split: str.

    Returns:
      `EvalGraph`: the graph; the initializer of its data; name string [1]; image
      float32 [1, height, width, 3]; labels int32 and predictions int64
      [1, height, width]; a Saver of the model's variables.

    Raises:
      ValueError: no such split, or a shard is not there.
    """
    graph = tf.Graph()
    with graph.as_default():
        iterator = tf.data.make_initializable_iterator(
            inputs.eval_dataset(info, dataset_dir, split))
        example = iterator.get_next()
        logits = network.deeplab_v3(example.image, args, is_training=False, reuse=None)
        return EvalGraph(graph, iterator.initializer, example.name, example.image,
                         example.labels, tf.argmax(logits, axis=3),
                         tf.train.Saver(slim.get_model_variables()))


def evaluate(eval_graph, checkpoint, info, split, on_example=None):
    """Sums one confusion matrix over a whole split, each image at its own size.

    Args:
      eval_graph: `EvalGraph`.
      checkpoint: str, the prefix to restore.
      info: `dataset.descriptor.DatasetInfo`.
      split: str, the split that the graph reads.
      on_example: None, or a function that is called with name str, image uint8
        [height, width, 3], labels and predictions [height, width].

    Returns:
      int64 [classes, classes], rows are labels, columns predictions.

    Raises:
      ValueError: the records hold another number of examples than dataset.json says.
    """
    num_examples = info.splits[split]['num_examples']
    matrix, count = 0, 0
    eval_graph.graph.finalize()
    with tf.Session(graph=eval_graph.graph, config=session_config()) as session:
        eval_graph.saver.restore(session, checkpoint)
        session.run(eval_graph.initializer)
        with tqdm(total=num_examples, desc=split, unit='image', leave=False) as bar:
            while True:
                try:
                    name, image, labels, predictions = session.run(
                        [eval_graph.name, eval_graph.image, eval_graph.labels,
                         eval_graph.predictions])
                except tf.errors.OutOfRangeError:
                    break
                matrix = matrix + metrics.confusion_matrix(
                    labels, predictions, info.number_of_classes, info.ignore_label)
                if on_example:
                    on_example(name[0].decode(), image[0].astype('uint8'), labels[0],
                               predictions[0])
                count += 1
                bar.update()
    if count != num_examples:
        raise ValueError('Split %s holds %d records, but dataset.json says %d: build it again.'
                         % (split, count, num_examples))
    return matrix


def report(scores, class_names):
    """Formats per-class IoU and the four scores as lines of text."""
    width = max(map(len, class_names + ('frequency-weighted IoU',)))
    lines = ['%-*s %s' % (width, name, 'absent' if iou != iou else '%.4f' % iou)
             for name, iou in zip(class_names, scores.per_class_iou)]
    lines.append('-' * (width + 7))
    lines += ['%-*s %.4f' % (width, title, value) for title, value in (
        ('pixel accuracy', scores.pixel_accuracy), ('mean accuracy', scores.mean_accuracy),
        ('mean IoU', scores.mean_iou), ('frequency-weighted IoU', scores.frequency_weighted_iou))]
    return '\n'.join(lines)
