"""The data set that a run is looked at on."""
import numpy as np

from common.errors import UserError
from dataset import descriptor
from experiment import loading


def data_set(run, dataset_dir, split):
    """Finds a data set with the classes of a run.

    Args:
      run: `loading.LoadedRun`.
      dataset_dir: str, or None for that of the run.
      split: str.

    Returns:
      (directory, `descriptor.DatasetInfo`).

    Raises:
      UserError: it has other classes, or no such split.
    """
    dataset_dir = dataset_dir or run.args.dataset_dir
    info = descriptor.load(dataset_dir)
    loading.check_data_set(run, info, dataset_dir)
    if split not in info.splits:
        raise UserError('%s has no split %r: give --split %s.'
                        % (dataset_dir, split, ' or '.join(sorted(info.splits))))
    return dataset_dir, info


def check_labels(name, labels, info):
    """Raises `UserError` where a label is neither a class nor ignored; names the image."""
    wrong = labels[(labels >= info.number_of_classes) & (labels != info.ignore_label)]
    if wrong.size:
        raise UserError('%s: label value %d is neither one of the %d classes nor the ignore label '
                        '%d. Build the data set again.' % (name, np.min(wrong),
                                                           info.number_of_classes,
                                                           info.ignore_label))
