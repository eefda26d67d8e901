"""The four scores of the post, in NumPy, in two definitions; boundaries and calibration.

The VOC benchmark's: one confusion matrix is summed over a whole split, and the
scores are read off it once (`scores`). The post's: scores of each image alone,
and their means over the images (`post_image_scores`). The two are not comparable.
"""
from collections import namedtuple

import numpy as np

from common.errors import UserError

BOOTSTRAP_SAMPLES = 1000
CALIBRATION_BINS = 15  # as in C. Guo et al., 2017
BOUNDARY_SHARE = 0.02  # of the image's diagonal, as in B. Cheng et al., 2021

# Four floats in 0..1, and float64 [classes].
Scores = namedtuple('Scores', ['pixel_accuracy', 'mean_accuracy', 'mean_iou',
                               'frequency_weighted_iou', 'per_class_iou'])


def confusion_matrix(labels, predictions, number_of_classes, ignore_label):
    """Counts pixels by label (rows) and prediction (columns).

    Args:
      labels: integer array of any shape, 0..number_of_classes-1 or `ignore_label`.
      predictions: integer array of the same shape, 0..number_of_classes-1.
      number_of_classes: int, at most 255.
      ignore_label: int in 0..255; pixels with this label are left out.

    Returns:
      int64 [number_of_classes, number_of_classes].

    Raises:
      UserError: shapes differ, or an id is outside the classes.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape:
        raise UserError('labels are %s and predictions %s; they must have one shape.'
                        % (labels.shape, predictions.shape))

    def outside(name, low, high):
        return UserError('%s ids run from %d to %d; with %d classes they must be 0..%d (or the '
                         'ignore label %d).' % (name, low, high, number_of_classes,
                                                number_of_classes - 1, ignore_label))

    for name, ids in (('label', labels), ('prediction', predictions)):
        if ids.dtype != np.uint8 and ids.size and (ids.min() < 0 or ids.max() > 255):
            raise outside(name, ids.min(), ids.max())
    # One histogram of pairs of bytes: a tenth of the time of masking and wide integers.
    pairs = np.left_shift(labels.astype(np.uint8), 8, dtype=np.uint16)
    pairs |= predictions.astype(np.uint8)
    counts = np.bincount(pairs.ravel(), minlength=256 ** 2).reshape(256, 256)
    counts[ignore_label] = 0
    for name, found in (('label', counts.sum(axis=1)), ('prediction', counts.sum(axis=0))):
        ids = np.flatnonzero(found)
        if ids.size and ids[-1] >= number_of_classes:
            raise outside(name, ids[0], ids[-1])
    return counts[:number_of_classes, :number_of_classes].astype(np.int64)


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
      (low, high): floats, NaN where no image has a labelled pixel; of one image a point.
    """
    image_counts = np.asarray(image_counts, np.int64)
    if not image_counts.any():
        return float('nan'), float('nan')
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


def calibration_counts(confidences, is_right):
    """Sums what the calibration error is read off; add up the sums of all images.

    Args:
      confidences: float array, the probability of the predicted class, in 0..1.
      is_right: bool array of the same shape, whether the prediction is the label.

    Returns:
      float64 [3, CALIBRATION_BINS]: pixels, sum of their confidences, and how many are
      right, by bins of equal width over the confidence.
    """
    confidences = np.asarray(confidences).ravel()
    bins = np.minimum((confidences * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    return np.stack([np.bincount(bins, weights=weights, minlength=CALIBRATION_BINS)
                     for weights in (None, confidences, np.asarray(is_right).ravel())])


def expected_calibration_error(bin_counts):
    """The mean distance of confidence and accuracy, weighted by pixels (C. Guo et al., 2017).

    Args:
      bin_counts: float64 [3, bins], see `calibration_counts`.

    Returns:
      float in 0..1, NaN without a pixel.
    """
    num_pixels, confidence_sum, num_right = np.asarray(bin_counts, np.float64)
    return float(_ratio(np.abs(confidence_sum - num_right).sum(), num_pixels.sum()))


def boundary_counts(labels, predictions, number_of_classes, ignore_label):
    """Counts what the boundary IoU is read off (B. Cheng et al., 2021); add up all images.

    A pixel is in the boundary of its class if another label, or the outside of the
    image, is no farther than 2% of the image's diagonal along both axes. Pixels of
    the ignore label count as that label in the prediction too, and are left out
    afterwards: a right prediction has the score 1 whatever is ignored.

    Args:
      labels: integer [height, width], 0..number_of_classes-1 or `ignore_label`.
      predictions: integer [height, width], 0..number_of_classes-1.
      number_of_classes: int.
      ignore_label: int.

    Returns:
      int64 [3, classes]: as `counts`, of the pixels in the boundaries.
    """
    labels, predictions = np.asarray(labels, np.uint8), np.asarray(predictions, np.uint8)
    valid = labels != ignore_label
    predictions = np.where(valid, predictions, labels)
    distance = max(1, int(round(BOUNDARY_SHARE * np.hypot(*labels.shape))))
    in_labels, in_predictions = (_boundary(ids, distance) & valid
                                 for ids in (labels, predictions))
    right = in_labels & in_predictions & (labels == predictions)
    return np.stack([np.bincount(ids[mask], minlength=number_of_classes) for ids, mask in (
        (labels, right), (labels, in_labels), (predictions, in_predictions))])


def _boundary(ids, distance):
    """Marks pixels with another id, or the image's outside, within `distance`. Returns bool."""
    # SciPy takes 0.2 s to import; `--help` does without.
    from scipy import ndimage
    size = 2 * distance + 1
    # Of a square window: another id is there where its smallest and largest id differ.
    mixed = (ndimage.maximum_filter(ids, size, mode='nearest')
             != ndimage.minimum_filter(ids, size, mode='nearest'))
    mixed[:distance] = mixed[-distance:] = True
    mixed[:, :distance] = mixed[:, -distance:] = True
    return mixed


def boundary_iou(class_counts):
    """Reads the boundary IoU of each class off the counts.

    Args:
      class_counts: int64 [3, classes], the sum of `boundary_counts` over the images.

    Returns:
      float64 [classes], NaN for a class that is neither in the labels nor predicted.
    """
    correct, in_labels, predicted = np.asarray(class_counts, np.float64)
    return _ratio(correct, in_labels + predicted - correct)
