"""Confusion matrix and the four scores of the post, in NumPy.

One matrix is summed over a whole split, and the scores are read off it once:
the VOC benchmark's definition.
"""
from collections import namedtuple

import numpy as np

Scores = namedtuple('Scores', ['pixel_accuracy', 'mean_accuracy', 'mean_iou',
                               'frequency_weighted_iou', 'per_class_iou'])


def confusion_matrix(labels, predictions, number_of_classes, ignore_label):
    """Counts pixels by label (rows) and prediction (columns).

    Args:
      labels: integer array of any shape, 0..number_of_classes-1 or `ignore_label`.
      predictions: integer array of the same shape, 0..number_of_classes-1.
      number_of_classes: int.
      ignore_label: int; pixels with this label are left out.

    Returns:
      int64 [number_of_classes, number_of_classes].

    Raises:
      ValueError: shapes differ, or an id is outside the classes.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape:
        raise ValueError('labels are %s and predictions %s; they must have one shape.'
                         % (labels.shape, predictions.shape))
    valid = labels != ignore_label
    labels = labels[valid].astype(np.int64)
    predictions = predictions[valid].astype(np.int64)
    for name, ids in (('label', labels), ('prediction', predictions)):
        if ids.size and (ids.min() < 0 or ids.max() >= number_of_classes):
            raise ValueError('%s ids run from %d to %d; with %d classes they must be 0..%d '
                             '(or the ignore label %d).'
                             % (name, ids.min(), ids.max(), number_of_classes,
                                number_of_classes - 1, ignore_label))
    counts = np.bincount(labels * number_of_classes + predictions,
                         minlength=number_of_classes ** 2)
    return counts.reshape(number_of_classes, number_of_classes)


def _ratio(numerator, denominator):
    """Elementwise division with NaN where the denominator is 0."""
    numerator = np.asarray(numerator, np.float64)
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=np.asarray(denominator) > 0)
    return result


def scores(matrix):
    """Reads the four scores off a confusion matrix.

    A class that is neither in the labels nor predicted has no IoU (NaN) and is
    left out of the mean; one that is predicted but absent from the labels has
    IoU 0 and counts. Mean accuracy is over the classes in the labels. A matrix
    without a single pixel has NaN scores.

    Args:
      matrix: int [classes, classes], rows are labels, columns predictions.

    Returns:
      `Scores`: four floats in 0..1, and float64 [classes] of per-class IoU.
    """
    matrix = np.asarray(matrix, np.float64)
    correct, in_labels, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    union = in_labels + predicted - correct
    per_class_iou = _ratio(correct, union)
    accuracies = _ratio(correct, in_labels)
    frequencies = _ratio(in_labels, in_labels.sum())
    present = in_labels > 0

    def mean(values):
        return float(np.mean(values)) if values.size else float('nan')

    return Scores(
        pixel_accuracy=float(_ratio(correct.sum(), matrix.sum())),
        mean_accuracy=mean(accuracies[present]),
        mean_iou=mean(per_class_iou[union > 0]),
        frequency_weighted_iou=(float(np.sum((frequencies * per_class_iou)[present]))
                                if present.any() else float('nan')),
        per_class_iou=per_class_iou)
