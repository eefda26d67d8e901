"""How likely labels are wrong, by what a trained network thinks of them.

Images are scored as V. Lad and J. Mueller do ("Estimating label quality and errors in semantic
segmentation data via any model", 2023, arXiv 2307.05080): the soft minimum over the pixels of the
probability that the network gives their label. Regions are this project's own addition: connected
pixels of one given class that the network takes for others, see `find_regions`.
"""
from collections import namedtuple

import numpy as np

TEMPERATURE = 0.1  # of the soft minimum, as in the paper
# Pixels: what is smaller is the ragged edge of something else.
SMALLEST_REGION = 16
# Below it, how sure a network is says nothing more.
LEAST_PROBABILITY = 1e-3

# box: (left, top, right, bottom) in pixels, the last two outside. area: int, pixels. given,
# likely: int, class ids. score: float from 0 on, the larger the more suspicious.
Region = namedtuple('Region', ['box', 'area', 'given', 'likely', 'score'])


def of_labels(labels, probabilities, ignore_label):
    """The probability of the given label in each pixel, its self-confidence.

    Args:
      labels: integer [height, width], class ids or `ignore_label`.
      probabilities: float [height, width, classes].
      ignore_label: int.

    Returns:
      float32 [height, width]; 1 where the label is ignored: nothing is wrong there.
    """
    valid = labels != ignore_label
    given = np.where(valid, labels, 0).astype(np.int64)
    chosen = np.take_along_axis(probabilities, given[..., np.newaxis], axis=2)[..., 0]
    return np.where(valid, chosen.astype(np.float32), np.float32(1))


def image_score(self_confidences):
    """The soft minimum of self-confidences (Lad and Mueller, 2023).

    Args:
      self_confidences: float array in 0..1, of the labelled pixels of one image.

    Returns:
      float in 0..1, the lower the more suspicious: their mean, weighted by the softmax of
      (1 - confidence) / `TEMPERATURE`; NaN without a pixel.
    """
    confidences = np.asarray(self_confidences, np.float64).ravel()
    if not confidences.size:
        return float('nan')
    weights = np.exp((confidences.min() - confidences) / TEMPERATURE)
    return float((weights * confidences).sum() / weights.sum())


def find_regions(labels, probabilities, ignore_label):
    """Finds connected pixels of one given class that the network takes for others.

    A region's score is the mean over its pixels of log(largest probability / that of the given
    class), times the square root of the number of its pixels that are not at its edge. So thin
    lines along borders, where nobody labels to the pixel and networks are off by one, come behind
    what is wrong throughout, and a small object that the network is sure of before a large one
    that it doubts. The likely class is the one that most of its pixels are taken for.

    Args:
      labels, probabilities, ignore_label: as of `of_labels`.

    Returns:
      List of `Region`, the most suspicious first.
    """
    # SciPy takes 0.2 s to import; `--help` does without.
    from scipy import ndimage
    predictions = probabilities.argmax(axis=2)
    differs = (labels != ignore_label) & (predictions != labels)
    doubts = np.log((probabilities.max(axis=2).astype(np.float32) + LEAST_PROBABILITY)
                    / (of_labels(labels, probabilities, ignore_label) + LEAST_PROBABILITY))
    regions = []
    for given in np.unique(labels[differs]):
        numbers, _ = ndimage.label(differs & (labels == given))
        for number, place in enumerate(ndimage.find_objects(numbers), start=1):
            inside = numbers[place] == number
            area = int(inside.sum())
            if area < SMALLEST_REGION:
                continue
            within = ndimage.binary_erosion(inside).sum()  # the edge of the image is one, too
            rows, columns = place
            regions.append(Region(
                (columns.start, rows.start, columns.stop, rows.stop), area, int(given),
                int(np.bincount(predictions[place][inside]).argmax()),
                float(np.sqrt(within) * doubts[place][inside].mean())))
    return sorted(regions, key=lambda region: (-region.score, region.box))
