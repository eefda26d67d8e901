"""What dataset/check.py counts over the images of each split."""
import collections

import numpy as np

from dataset import descriptor


class SplitStatistics:
    """What is counted over the images of one split; does not grow with their number."""

    def __init__(self):
        self.num_records = 0
        self.num_images = 0
        self.num_masks = 0
        self.class_pixels = np.zeros([descriptor.LARGEST_LABEL + 1], np.int64)
        self.class_images = np.zeros([descriptor.LARGEST_LABEL + 1], np.int64)
        self.heights = collections.Counter()
        self.widths = collections.Counter()
        self.record_kinds = set()
        self._rgb_sum = np.zeros([3], np.int64)
        self._thumbnail_sum = 0
        self._num_pixels = 0

    def add(self, result):
        """Counts one `examination.Result`."""
        self.num_records += 1
        self.record_kinds |= {result.kind} - {None}
        if result.size is not None:
            height, width = result.size
            self.num_images += 1
            self.heights[height] += 1
            self.widths[width] += 1
            self._rgb_sum += result.rgb_sum
            self._num_pixels += height * width
            self._thumbnail_sum += result.thumbnail.astype(np.int64)
        if result.label_counts is not None:
            self.num_masks += 1
            self.class_pixels += result.label_counts
            self.class_images += result.label_counts > 0

    def mean_rgb(self):
        """Returns the mean of all pixels as [R, G, B] in 0..255, or None without an image."""
        if not self._num_pixels:
            return None
        return [round(float(value), 3) for value in self._rgb_sum / self._num_pixels]

    def mean_image(self):
        """Returns the mean of all images, made small, as uint8 [height, width, 3], or None."""
        if not self.num_images:
            return None
        return np.rint(self._thumbnail_sum / self.num_images).astype(np.uint8)

    def unknown_pixels(self, info):
        """Returns the number of pixels whose label is neither class id nor ignore label."""
        return int(np.delete(self.class_pixels, info.ignore_label)[info.number_of_classes:].sum())

    def ignored_share(self, ignore_label):
        """Returns the share of ignored pixels in 0..1, or None without a mask."""
        total = int(self.class_pixels.sum())
        return float(self.class_pixels[ignore_label]) / total if total else None


def size_range(counter):
    """Returns {'min', 'median', 'max'} of a `Counter` of lengths, or None of an empty one."""
    if not counter:
        return None
    values = sorted(counter)
    ends = np.cumsum([counter[value] for value in values])
    middle = [values[int(np.searchsorted(ends, rank, side='right'))]
              for rank in ((ends[-1] - 1) // 2, ends[-1] // 2)]
    return {'min': values[0], 'median': sum(middle) / 2., 'max': values[-1]}


def is_training(split):
    """Whether a split is for training, by its name: train, trainval, train_aug."""
    return split.startswith('train')


def split_order(split):
    """Sort key that puts train before validation before test before all others."""
    ranks = [rank for rank, start in enumerate(('train', 'val', 'test'))
             if split.startswith(start)]
    return (ranks[0] if ranks else 3, split)
