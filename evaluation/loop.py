"""One pass over a split: what `train.py` and `test.py` read their scores off."""
import collections
import os
from collections import deque, namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import metrics
from common import progress
from evaluation import counting
from experiment import weights
from inference import multiscale
from preprocessing.failures import explained
from runtime import tf, workers

# Images whose scores and pictures wait while the network goes on with the next.
QUEUED_IMAGES = 2

# matrix: int64 [classes, classes]. image_counts: int64 [images, 3, classes], see
# `metrics.counts`. names: list of str. post_scores: float64 [images, 4], see
# `metrics.post_image_scores`, or None. mean_loss: float, the mean over images of their mean
# cross-entropy. bin_counts, boundary_counts: sums of those of `metrics` over the images, or
# None without `details`.
Evaluation = namedtuple('Evaluation', ['matrix', 'image_counts', 'names', 'post_scores',
                                       'mean_loss', 'bin_counts', 'boundary_counts'])


# What `evaluate` returns to another worker than the chief, who has the scores.
WITH_CHIEF = ()


class _Sums:
    """Adds up what `Evaluation` holds, image by image.

    Args:
      on_example: see `evaluate`.
    """

    def __init__(self, on_example):
        self.on_example, self.counted = on_example, collections.defaultdict(int)
        self.image_counts, self.names, self.post_scores, self.losses = [], [], [], []

    def add(self, counted):
        """Adds one image, a dict of `counting.count`."""
        for name in ('matrix', 'bin_counts', 'boundary_counts'):
            if name in counted:
                self.counted[name] = self.counted[name] + counted[name]
        self.image_counts.append(metrics.counts(counted['matrix']))
        self.names.append(str(counted['name']))
        self.losses.append(counted['loss'])
        if 'crop_matrix' in counted:
            self.post_scores.append(metrics.post_image_scores(counted['crop_matrix']))
        if self.on_example:
            self.on_example(self.names[-1], *[counted[name] for name in (
                'image', 'labels', 'predictions', 'matrix')])

    def result(self):
        """Returns the `Evaluation` of the images so far."""
        post_scores = [scores for scores in self.post_scores if scores is not None]
        return Evaluation(self.counted['matrix'], np.stack(self.image_counts), self.names,
                          np.array(post_scores) if post_scores else None,
                          float(np.mean(self.losses)), self.counted.get('bin_counts'),
                          self.counted.get('boundary_counts'))


def evaluate(eval_graph, checkpoint, info, split, on_example=None, should_stop=None,
             details=False, group=workers.ALONE):
    """Sums one confusion matrix over a whole split, each image at its own size.

    Scores and `on_example` run in a thread of their own, beside the network. Of several workers
    each runs the network on its share of the images, and the chief adds up, in the order of the
    split, what all have counted: the sums are those of one process to the last bit.

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
      group: `workers.Alone` or `workers.Workers`, whose share the graph reads.

    Returns:
      `Evaluation`, or None where `should_stop` said so; `WITH_CHIEF` on another worker.

    Raises:
      UserError: a label is neither a class nor ignored; a shard or the checkpoint is damaged.
      OutOfMemoryError: an image does not fit into memory.
    """
    sums = _Sums(on_example)
    gathering = counting.Gathering(group, eval_graph.num_examples, sums.add)

    def take(values):
        gathering.take(counting.count(values, info, details, bool(on_example)))
    no_memory = ('An image in %s does not fit into memory: test.py --window 513 cuts larger images.'
                 % os.path.dirname(eval_graph.paths[0]))
    quiet = {} if group.is_chief else {'disable': True}
    with explained(eval_graph.paths, no_memory), \
            weights.restored_session(eval_graph.graph, eval_graph.saver, checkpoint) as session, \
            ThreadPoolExecutor(max_workers=1) as executor:
        session.run(eval_graph.initializer)
        # position: on the line of the bar of training, where there is one.
        is_stopped = _take_all(progress.bar(
            _examples(session, eval_graph, info, details), total=gathering.num_own,
            desc=split, unit='image', leave=False, position=0, **quiet), take, executor,
            should_stop)
    if not gathering.finish(is_stopped):
        return None
    return sums.result() if group.is_chief else WITH_CHIEF


def _take_all(examples, take, executor, should_stop):
    """Has a thread take the examples one after another; returns bool, whether it was stopped."""
    waiting, is_stopped = deque(), False
    for values in examples:
        is_stopped = bool(should_stop and should_stop())
        if is_stopped:
            break
        waiting.append(executor.submit(take, values))
        if len(waiting) > QUEUED_IMAGES:
            waiting.popleft().result()
    for taken in waiting:
        taken.result()
    return is_stopped


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
