"""The raw records of the post's code: one file per split and no dataset.json.

Their features are `height` and `width` (int64), `image_raw` (uint8 RGB pixels)
and `annotation_raw` (uint8 label ids), in PASCAL VOC's classes. They are read as
they are.
"""
import os

from common.errors import UserError
from dataset.records import shards

SPLIT_FILES = {'train': 'train.tfrecords', 'validation': 'validation.tfrecords',
               'test': 'test.tfrecords'}

HEIGHT = 'height'
WIDTH = 'width'
IMAGE_RAW = 'image_raw'
ANNOTATION_RAW = 'annotation_raw'


def present(dataset_dir):
    """Whether `dataset_dir` holds a file of raw records. Returns bool."""
    return any(os.path.isfile(os.path.join(dataset_dir, name)) for name in SPLIT_FILES.values())


def splits(dataset_dir):
    """Lists the splits of a directory of raw records as `descriptor.DatasetInfo` does.

    Raises:
      UserError: a file is empty, damaged or cut short, as far as the records'
        lengths tell: they themselves are not read.
    """
    found = {}
    for split, name in SPLIT_FILES.items():
        path = os.path.join(dataset_dir, name)
        if not os.path.isfile(path):
            continue
        try:
            count = shards.count_records(path)
        except shards.DamagedShardError as error:
            raise UserError('%s is damaged: %s. Build or copy it again.'
                            % (path, error.description))
        if not count:
            raise UserError('%s is empty. Build or copy it again.' % path)
        found[split] = {'num_examples': count, 'shards': [name]}
    return found
