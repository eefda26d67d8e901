"""The four scores of the post, in NumPy, in two definitions.

The VOC benchmark's: one confusion matrix is summed over a whole split, and the
scores are read off it once (`scores`). The post's: scores of each image alone,
and their means over the images (`post_image_scores`). The two are not comparable.
"""
from collections import namedtuple

import numpy as np

BOOTSTRAP_SAMPLES = 1000

# Four floats in 0..1, and float64 [classes].
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


def _ratio(numerator, denominator, absent=np.nan):
    """Elementwise division with `absent` where the denominator is 0."""
    numerator = np.asarray(numerator, np.float64)
    result = np.full(numerator.shape, absent)
    np.divide(numerator, denominator, out=result, where=np.asarray(denominator) > 0)
    return result


def counts(matrix):
    """The three rows that every score is read off.

    Args:
      matrix: int [classes, classes], rows are labels, columns predictions.

    Returns:
      int64 [3, classes]: pixels of each class that are predicted right, that are in
      the labels, and that are predicted.
    """
    matrix = np.asarray(matrix, np.int64)
    return np.stack([np.diag(matrix), matrix.sum(1), matrix.sum(0)])


def mean_iou(class_counts):
    """Mean IoU as in `scores`.

    Args:
      class_counts: int64 [..., 3, classes], see `counts`.

    Returns:
      float64 [...], NaN where there is no pixel.
    """
    correct, in_labels, predicted = np.moveaxis(np.asarray(class_counts, np.float64), -2, 0)
    union = in_labels + predicted - correct
    num_present = (union > 0).sum(axis=-1)
    return _ratio(_ratio(correct, union, absent=0.0).sum(axis=-1), num_present)


def bootstrap_mean_iou(image_counts, num_samples=BOOTSTRAP_SAMPLES, seed=0, confidence=0.95):
    """The interval that the benchmark's mean IoU would vary in with other images like these.

    Images are drawn with replacement, as many as there are, and each draw is scored
    as a split of its own (percentile bootstrap; B. Efron, 1979).

    Args:
      image_counts: int64 [images, 3, classes], `counts` of each image.
      num_samples: int, draws.
      seed: int.
      confidence: float in (0, 1).

    Returns:
      (low, high): floats.
    """
    image_counts = np.asarray(image_counts, np.int64)
    random = np.random.RandomState(seed)
    num_images = len(image_counts)
    draws = [mean_iou(image_counts[random.randint(num_images, size=num_images)].sum(axis=0))
             for _ in range(num_samples)]
    margin = 50.0 * (1 - confidence)
    low, high = np.nanpercentile(draws, [margin, 100 - margin])
    return float(low), float(high)


def post_image_scores(matrix):
    """The four scores of one image as the post's code defines them.

    With the classes of the image's label counted, n of them: pixel accuracy is over
    the labelled pixels; mean accuracy is the mean over the n classes; mean IoU is
    the sum over the classes that are both in the label and predicted, divided by n,
    so that a class that is predicted but absent costs nothing by itself; frequency-
    weighted IoU weighs the same terms by the pixels in the label. Pixels of the
    ignore label are left out beforehand.

    Args:
      matrix: int [classes, classes] of one image, rows are labels.

    Returns:
      float64 [4]: pixel accuracy, mean accuracy, mean IoU, frequency-weighted IoU;
      None for an image without a labelled pixel, on which the post's code fails.
    """
    correct, in_labels, predicted = counts(matrix).astype(np.float64)
    present = in_labels > 0
    if not present.any():
        return None
    iou = correct[present] / (in_labels + predicted - correct)[present]
    frequencies = in_labels[present] / in_labels.sum()
    return np.array([correct.sum() / in_labels.sum(),
                     np.mean(correct[present] / in_labels[present]),
                     np.mean(iou), np.sum(frequencies * iou)])


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
