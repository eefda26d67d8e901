"""Two evaluations of one split, image by image: how far they differ, and how surely."""
import heapq
import os
from collections import namedtuple

import numpy as np
from PIL import Image

import metrics
from common import files
from common.errors import UserError
from evaluation import results
from inference import drawing

SHOWN_IMAGES = 16

# mean, low, high: floats, the second less the first; NaN where there is none.
Difference = namedtuple('Difference', ['mean', 'low', 'high'])
# image_counts: pair of int64 [images, 3, classes], see `metrics.counts`. names: list of str.
# changed: list of (difference of the image's mean IoU, name, pair of `PIL.Image` of
# `drawing.comparison`), the largest change first.
Pairs = namedtuple('Pairs', ['image_counts', 'names', 'changed'])


def load(folder):
    """Reads the scores.json of a folder of results.

    Raises:
      UserError: it is of an earlier commit, which did not say on which data.
    """
    path = os.path.join(folder, results.SCORES_NAME)
    scores = files.read_json(path)
    if 'data' not in scores:
        raise UserError('%s does not say which data it is of, as an earlier commit wrote it: run '
                        'test.py again, or give the run in its place.' % path)
    return scores


def check_classes(folders, names):
    """Raises `UserError` where two results, whose class names are listed, differ in them."""
    if names[0] != names[1]:
        raise UserError('%s and %s cannot be compared, their class names differ: %s and %s. Give '
                        'two of the same classes; where names alone differ, --dataset_dir scores '
                        'both runs by its own.' % (tuple(folders) + tuple(names)))


def check_alike(folders, scores):
    """Raises `UserError` where two results (dicts of `load`) are not of the same thing."""
    for what, values in (
            ('split', [one['split'] for one in scores]),
            ('ignore label', [one['data']['ignore_label'] for one in scores]),
            ('definition', [one['benchmark']['definition'] for one in scores]),
            ('data', ['%(dataset_dir)s (fingerprint %(fingerprint).12s)' % one['data']
                      for one in scores])):
        is_same = (scores[0]['data']['fingerprint'] == scores[1]['data']['fingerprint']
                   if what == 'data' else values[0] == values[1])
        if not is_same:
            raise UserError('%s and %s cannot be compared, their %s differ: %s and %s. Score both '
                            'on the same with test.py.' % (tuple(folders) + (what,)
                                                           + tuple(values)))


def read(folders, scores, split_examples, info):
    """Counts the predictions of two folders of results against the labels.

    Args:
      folders: pair of str.
      scores: their dicts of `load`.
      split_examples: iterable of (name, image, labels), see `examples.read`.
      info: `dataset.descriptor.DatasetInfo`.

    Returns:
      `Pairs`.

    Raises:
      UserError: a prediction is missing, or they are not those that were scored.
    """
    counts, names, changed = ([], []), [], []
    for name, image, labels in split_examples:
        predictions = [_prediction(folder, name) for folder in folders]
        for of_run, ids in zip(counts, predictions):
            of_run.append(metrics.counts(metrics.confusion_matrix(
                labels, ids, info.number_of_classes, info.ignore_label)))
        change = float(metrics.mean_iou(counts[1][-1]) - metrics.mean_iou(counts[0][-1]))
        if change == change and change:
            smaller = [drawing.shrink(image, labels, ids) for ids in predictions]
            heapq.heappush(changed, (abs(change), -len(names), change, name, smaller))
            if len(changed) > SHOWN_IMAGES:
                heapq.heappop(changed)
        names.append(name)
    for folder, of_run, one in zip(folders, counts, scores):
        found, written = metrics.mean_iou(sum(of_run)), one['benchmark']['mean_iou']
        if written is not None and abs(found - written) > 1e-9:
            raise UserError('The predictions in %s have the mean IoU %.6f, but its %s says %.6f: '
                            'run test.py again.' % (folder, found, results.SCORES_NAME, written))
    return Pairs(tuple(map(np.stack, counts)), names, [
        (change, name, [drawing.comparison(*small, info) for small in smaller])
        for _, _, change, name, smaller in sorted(changed, reverse=True)])


def _prediction(folder, name):
    path = results.prediction_path(folder, name)
    if not os.path.exists(path):
        raise UserError('%s is missing, the predictions of an image that was scored: run test.py '
                        'again.' % path)
    with Image.open(path) as picture:
        return np.array(picture)


def bootstrap(image_counts, num_samples=metrics.BOOTSTRAP_SAMPLES, seed=0, confidence=0.95):
    """Paired percentile bootstrap over images (B. Efron, 1979): both runs on the same draws.

    What makes an image hard is hard for both, so that the interval of a difference is narrower
    than those of the two scores suggest.

    Args:
      image_counts: pair of int64 [images, 3, classes].
      num_samples: int, draws.
      seed: int.
      confidence: float in (0, 1).

    Returns:
      (`Difference` of the mean IoU, list of `Difference` of each class's IoU).
    """
    num_images = len(image_counts[0])
    random = np.random.RandomState(seed)
    times = np.stack([np.bincount(random.randint(num_images, size=num_images),
                                  minlength=num_images) for _ in range(num_samples)])
    means, classes = [], []
    for weights in (np.ones([1, num_images]), times):
        summed = [np.tensordot(weights, np.asarray(one, np.float64), 1) for one in image_counts]
        means.append(metrics.mean_iou(summed[1]) - metrics.mean_iou(summed[0]))
        classes.append(_iou(summed[1]) - _iou(summed[0]))
    margin = 50.0 * (1 - confidence)
    return (_difference(means[0][0], means[1], margin),
            [_difference(classes[0][0, label], classes[1][:, label], margin)
             for label in range(classes[0].shape[1])])


def _iou(counts):
    """IoU float64 [draws, classes], NaN where a class is absent."""
    correct, in_labels, predicted = np.moveaxis(counts, 1, 0)
    union = in_labels + predicted - correct
    return np.divide(correct, union, out=np.full(union.shape, np.nan), where=union > 0)


def _difference(mean, draws, margin):
    draws = draws[~np.isnan(draws)]
    low, high = np.percentile(draws, [margin, 100 - margin]) if draws.size else (np.nan, np.nan)
    return Difference(float(mean), float(low), float(high))
