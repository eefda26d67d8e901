"""What one image adds to an evaluation, and how the workers of a job bring it to the chief."""
import io

import numpy as np

import metrics
from common.errors import UserError

# Behind the last image of a worker.
_END = b''


def count(values, info, details, with_pictures):
    """Counts all that an evaluation keeps of an image.

    Args:
      values: dict of arrays by the fields of `graph.EvalGraph`, of one image.
      info: `dataset.descriptor.DatasetInfo`.
      details: bool, whether to count calibration and boundaries too.
      with_pictures: bool, whether image, labels and predictions are wanted too.

    Returns:
      Dict of arrays: name, loss, matrix; crop_matrix of the post's crops, where they are there;
      bin_counts and boundary_counts with `details`; image uint8 [height, width, 3], labels and
      predictions [height, width] with pictures.

    Raises:
      UserError: a label is neither a class nor ignored.
    """
    labels, predictions = values['labels'][0], values['predictions'][0]
    counted = {'name': np.array(values['name'][0].decode()), 'loss': np.asarray(values['loss']),
               'matrix': _matrix(values, 'labels', 'predictions', info)}
    if 'crop_labels' in values:
        counted['crop_matrix'] = _matrix(values, 'crop_labels', 'crop_predictions', info)
    if details:
        valid = labels != info.ignore_label
        counted['bin_counts'] = metrics.calibration_counts(
            values['confidences'][0][valid], (labels == predictions)[valid])
        counted['boundary_counts'] = metrics.boundary_counts(
            labels, predictions, info.number_of_classes, info.ignore_label)
    if with_pictures:
        counted.update(image=values['image'][0].astype('uint8'), labels=labels,
                       predictions=predictions)
    return counted


def _matrix(values, labels, predictions, info):
    try:
        return metrics.confusion_matrix(values[labels], values[predictions],
                                        info.number_of_classes, info.ignore_label)
    except UserError as error:
        raise UserError('%s: %s' % (values['name'][0].decode(), error))


class Gathering:
    """Brings what workers counted to the chief, in the order of the split.

    Image i falls to worker i modulo their number. Alone, or on another worker than the chief,
    nothing is received.

    Args:
      group: `workers.Alone` or `workers.Workers`.
      num_examples: int, of the split.
      add: function that takes a dict of `count`; the chief calls it for each image.

    Attributes:
      num_own: int, the images that fall to this worker.
      is_cut: bool, whether a worker broke off.
    """

    def __init__(self, group, num_examples, add):
        self._group, self._num_examples, self._add = group, num_examples, add
        self.num_own = len(range(group.rank, num_examples, group.count))
        self._num_taken, self._running, self.is_cut = 0, set(range(1, group.count)), False

    def take(self, counted):
        """Takes the next image of this worker, and on the chief those that follow it."""
        if not self._group.is_chief:
            content = io.BytesIO()
            np.savez_compressed(content, **counted)
            self._group.channel.send(0, content.getvalue())
            return
        self._add(counted)
        for rank in range(1, self._group.count):
            if self._num_taken * self._group.count + rank < self._num_examples:
                self._receive(rank)
        self._num_taken += 1

    def _receive(self, rank):
        if rank not in self._running:
            return
        content = self._group.channel.receive(rank)
        if content == _END:
            self._running.discard(rank)
            self.is_cut = True
            return
        with np.load(io.BytesIO(content)) as arrays:  # without pickles
            self._add({name: arrays[name] for name in arrays.files})

    def finish(self, is_stopped):
        """Ends the evaluation on all workers; returns bool, whether all images were seen."""
        if not self._group.is_chief:
            self._group.channel.send(0, _END)
        elif self._group.count > 1:
            for rank in sorted(self._running):
                while self._group.channel.receive(rank) != _END:
                    pass
        return self._group.of_chief(lambda: not is_stopped and not self.is_cut)
