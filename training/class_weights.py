"""Weights of the classes in the loss, for data sets in which some classes are rare."""
import csv
import json

import numpy as np

from common import progress
from common.errors import UserError
from dataset import descriptor
from preprocessing import inputs
from preprocessing.failures import explained
from runtime import tf
from runtime.devices import session_config

NONE = 'none'
MEDIAN_FREQUENCY = 'median_frequency'


def median_frequency(pixel_counts):
    """Median-frequency balancing (D. Eigen and R. Fergus, arXiv 1411.4734, section 6.3.2).

    A class's frequency is its share of the labelled pixels of those images in which
    it occurs; its weight is the median frequency over its own.

    Args:
      pixel_counts: int64 [images, classes].

    Returns:
      float64 [classes]; 1 for a class that occurs nowhere.
    """
    pixel_counts = np.asarray(pixel_counts, np.float64)
    totals = pixel_counts.sum(axis=1, keepdims=True)
    present = pixel_counts > 0
    own, seen = pixel_counts.sum(axis=0), (present * totals).sum(axis=0)
    found = own > 0
    weights = np.ones(len(own))
    if found.any():
        frequencies = own[found] / seen[found]
        weights[found] = np.median(frequencies) / frequencies
    return weights


def count_pixels(info, dataset_dir, split='train', num_examples=None):
    """Counts each image's pixels by class, in one pass over a split.

    Args:
      info: `dataset.descriptor.DatasetInfo`.
      dataset_dir: str.
      split: str.
      num_examples: None, or int: only so many, the first of the split.

    Returns:
      int64 [images, classes]; ignored pixels are left out.

    Raises:
      UserError: a shard is damaged.
    """
    counts, paths = [], descriptor.shard_paths(info, dataset_dir, split)
    with explained(paths), tf.Graph().as_default(), \
            tf.Session(config=session_config()) as session:
        labels = tf.data.make_one_shot_iterator(
            inputs.eval_dataset(info, dataset_dir, split, num_examples)).get_next().labels
        with progress.bar(total=inputs.epoch_size(info, split, num_examples),
                          desc='class weights', unit='image', leave=False) as bar:
            while True:
                try:
                    values = session.run(labels)
                except tf.errors.OutOfRangeError:
                    return np.array(counts)
                pixels = np.bincount(values.ravel(), minlength=info.number_of_classes)
                counts.append(pixels[:info.number_of_classes])
                bar.update()


def read(path, class_names):
    """Reads weights from a file.

    Args:
      path: str, of a JSON list in class order, a JSON object from name to weight, or
        lines of `name,weight`.
      class_names: tuple of str.

    Returns:
      List of float in class order.

    Raises:
      UserError: it cannot be read, a class is missing, unknown or there twice, a weight
        is no number of at least 0, or all are 0.
    """
    try:
        with open(path, encoding='utf-8-sig', newline='') as f:
            text = f.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError('--class_weights %s cannot be read: %s. Give none, median_frequency or '
                        'a file.' % (path, error))
    if text.lstrip().startswith(('[', '{')):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise UserError('--class_weights %s is not JSON: %s.' % (path, error))
    else:
        lines = [row for row in csv.reader(text.splitlines()) if row]
        if any(len(row) != 2 for row in lines):
            raise UserError('--class_weights %s: each line must be name,weight.' % path)
        found = {name.strip(): weight for name, weight in lines}
        if len(found) != len(lines):
            raise UserError('--class_weights %s names a class twice.' % path)
    if isinstance(found, list):
        found = dict(zip(class_names, found)) if len(found) == len(class_names) else {
            'number %d' % index: weight for index, weight in enumerate(found)}
    if set(found) != set(class_names):
        raise UserError('--class_weights %s must give each of the %d classes a weight; missing: '
                        '%s; unknown: %s.'
                        % (path, len(class_names),
                            ', '.join(sorted(set(class_names) - set(found))) or 'none',
                            ', '.join(sorted(set(found) - set(class_names))) or 'none'))
    weights = [_weight(path, name, found[name]) for name in class_names]
    if not any(weights):
        raise UserError('--class_weights %s: all weights are 0, nothing would be learned.' % path)
    return weights


def _weight(path, name, value):
    try:
        weight = float(value)
    except (TypeError, ValueError):
        weight = float('nan')
    if not 0 <= weight < float('inf'):
        raise UserError('--class_weights %s: the weight of %s is %r; it must be a number of at '
                        'least 0.' % (path, name, value))
    return weight


def resolve(choice, info, dataset_dir, num_examples=None):
    """Returns the weights that `--class_weights` means.

    Args:
      choice: 'none', 'median_frequency', or the path of a file, see `read`.
      info: `dataset.descriptor.DatasetInfo`.
      dataset_dir: str.
      num_examples: None, or int: trained on are only so many, the first of the split.

    Returns:
      None, or list of float, one for each class.

    Raises:
      UserError: as `read`.
    """
    if choice == NONE:
        return None
    if choice == MEDIAN_FREQUENCY:
        return median_frequency(
            count_pixels(info, dataset_dir, num_examples=num_examples)).tolist()
    return read(choice, info.class_names)


def describe(class_weights, info):
    """Returns a line of text with the weight of each class of a `descriptor.DatasetInfo`."""
    return 'Class weights: ' + ', '.join(
        '%s %.3g' % pair for pair in zip(info.class_names, class_weights))
