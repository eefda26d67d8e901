"""One pass over a split: what `train.py` and `test.py` read their scores off."""
import os
from collections import deque, namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import metrics
from common import progress
from common.errors import UserError
from experiment import weights
from inference import multiscale
from preprocessing.failures import explained
from runtime import tf

# Images whose scores and pictures wait while the network goes on with the next.
QUEUED_IMAGES = 2

# matrix: int64 [classes, classes]. image_counts: int64 [images, 3, classes], see
# `metrics.counts`. names: list of str. post_scores: float64 [images, 4], see
# `metrics.post_image_scores`, or None. mean_loss: float, the mean over images of their mean
# cross-entropy. bin_counts, boundary_counts: sums of those of `metrics` over the images, or
# None without `details`.
Evaluation = namedtuple('Evaluation', ['matrix', 'image_counts', 'names', 'post_scores',
                                       'mean_loss', 'bin_counts', 'boundary_counts'])


class _Sums:
    """Adds up what `Evaluation` holds, image by image.

    Args:
      info: `dataset.descriptor.DatasetInfo`.
      details: bool, see `evaluate`.
      on_example: see `evaluate`.
    """

    def __init__(self, info, details, on_example):
        self.info, self.details, self.on_example = info, details, on_example
        self.matrix, self.bin_counts, self.boundary_counts = 0, 0, 0
        self.image_counts, self.names, self.post_scores, self.losses = [], [], [], []

    def add(self, values):
        """Adds one image; `values` is a dict of arrays by the fields of `EvalGraph`."""
        matrix = _matrix(values, 'labels', 'predictions', self.info)
        self.matrix = self.matrix + matrix
        self.image_counts.append(metrics.counts(matrix))
        self.names.append(values['name'][0].decode())
        self.losses.append(values['loss'])
        if 'crop_labels' in values:
            self.post_scores.append(metrics.post_image_scores(
                _matrix(values, 'crop_labels', 'crop_predictions', self.info)))
        labels, predictions = values['labels'][0], values['predictions'][0]
        if self.details:
            valid = labels != self.info.ignore_label
            self.bin_counts = self.bin_counts + metrics.calibration_counts(
                values['confidences'][0][valid], (labels == predictions)[valid])
            self.boundary_counts = self.boundary_counts + metrics.boundary_counts(
                labels, predictions, self.info.number_of_classes, self.info.ignore_label)
        if self.on_example:
            self.on_example(self.names[-1], values['image'][0].astype('uint8'), labels,
                            predictions, matrix)

    def result(self):
        """Returns the `Evaluation` of the images so far."""
        post_scores = [scores for scores in self.post_scores if scores is not None]
        return Evaluation(self.matrix, np.stack(self.image_counts), self.names,
                          np.array(post_scores) if post_scores else None,
                          float(np.mean(self.losses)),
                          self.bin_counts if self.details else None,
                          self.boundary_counts if self.details else None)


def evaluate(eval_graph, checkpoint, info, split, on_example=None, should_stop=None,
             details=False):
    """Sums one confusion matrix over a whole split, each image at its own size.

    Scores and `on_example` run in a thread of their own, beside the network.

    Args:
      eval_graph: `EvalGraph`.
      checkpoint: str, the prefix to restore.
      info: `dataset.descriptor.DatasetInfo`.
      split: str, the split that the graph reads.
      on_example: None, or a function that is called with name str, image uint8
        [height, width, 3], labels and predictions [height, width], and the image's
        confusion matrix, in the order of the split.
      should_stop: None, or a function that is asked before each image.
      details: bool, whether to count calibration and boundaries too.

    Returns:
      `Evaluation`, or None where `should_stop` said so.

    Raises:
      UserError: a label is neither a class nor ignored; a shard or the checkpoint is damaged.
      OutOfMemoryError: an image does not fit into memory.
    """
    sums, waiting = _Sums(info, details, on_example), deque()
    no_memory = ('An image in %s does not fit into memory: test.py --window 513 cuts larger images.'
                 % os.path.dirname(eval_graph.paths[0]))
    with explained(eval_graph.paths, no_memory), \
            weights.restored_session(eval_graph.graph, eval_graph.saver, checkpoint) as session, \
            ThreadPoolExecutor(max_workers=1) as executor:
        session.run(eval_graph.initializer)
        # position: on the line of the bar of training, where there is one.
        for values in progress.bar(
                _examples(session, eval_graph, info, details), total=eval_graph.num_examples,
                desc=split, unit='image', leave=False, position=0):
            if should_stop and should_stop():
                return None
            waiting.append(executor.submit(sums.add, values))
            if len(waiting) > QUEUED_IMAGES:
                waiting.popleft().result()
        for added in waiting:
            added.result()
    return sums.result()


def _examples(session, eval_graph, info, details):
    """Yields a dict of arrays for each example of the split."""
    fields = ['name', 'image', 'labels', 'crop_labels', 'crop_predictions']
    predicted = ['predictions', 'loss'] + ['confidences'] * details
    window = eval_graph.passes.window
    fetches = {field: getattr(eval_graph, field)
               for field in fields + ([] if window else predicted)
               if getattr(eval_graph, field) is not None}
    while True:
        try:
            values = session.run(fetches)
        except tf.errors.OutOfRangeError:
            return
        if window:
            values.update(_predicted_by_windows(session, eval_graph, values, info))
        yield values


def _predicted_by_windows(session, eval_graph, values, info):
    """Returns a dict of predictions, confidences and loss, from windows of the image.

    The feeds take the place of what the split would give.
    """
    passes = eval_graph.passes
    if max(values['image'].shape[1:3]) <= passes.window:
        return session.run(
            {field: getattr(eval_graph, field) for field in ('predictions', 'confidences', 'loss')},
            {eval_graph.image: values['image'], eval_graph.labels: values['labels']})
    probabilities = multiscale.predict_windows(
        lambda part: session.run(eval_graph.probabilities, {eval_graph.image: part}),
        values['image'], passes.window, passes.overlap)
    valid = values['labels'] != info.ignore_label
    # A label outside the classes is complained of where it is counted.
    safe_labels = np.where(valid, values['labels'], 0).clip(0, info.number_of_classes - 1)
    of_labels = np.take_along_axis(probabilities, safe_labels[..., np.newaxis], axis=3)[..., 0]
    entropies = -np.log(np.maximum(of_labels, np.finfo(np.float32).tiny))[valid]
    return {'predictions': probabilities.argmax(axis=3).astype(np.uint8),
            'confidences': probabilities.max(axis=3),
            'loss': entropies.mean() if entropies.size else 0.0}


def _matrix(values, labels, predictions, info):
    try:
        return metrics.confusion_matrix(values[labels], values[predictions],
                                        info.number_of_classes, info.ignore_label)
    except UserError as error:
        raise UserError('%s: %s' % (values['name'][0].decode(), error))
