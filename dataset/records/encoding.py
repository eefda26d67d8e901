"""Turns one pair of image and mask into a record, and many into a shard."""
import collections

import numpy as np
from PIL import Image

from common import pictures
from dataset import descriptor
from dataset.records import example_proto, manifest, shards
from dataset.sources import decoding, notes

IMAGE_ENCODED = 'image/encoded'
IMAGE_FORMAT = 'image/format'
IMAGE_FILENAME = 'image/filename'
IMAGE_HEIGHT = 'image/height'
IMAGE_WIDTH = 'image/width'
LABEL_ENCODED = 'label/encoded'
LABEL_FORMAT = 'label/format'

# file: str, name of the shard. path: str, the file to write. examples: iterable
# of `Example`. is_listed: bool, whether they are a sequence, of which a later build may keep
# the shard. info, read_mask, skip_bad: as in `writing.write_split`.
ShardTask = collections.namedtuple(
    'ShardTask', ['file', 'path', 'examples', 'is_listed', 'info', 'read_mask', 'skip_bad'])


def encode(example, info, read_mask=None):
    """Checks one `decoding.Example` and serializes it; `read_mask` as in `writing.write_split`.

    Returns:
      (bytes of a `tf.train.Example`, labels as uint8 [height, width]).

    Raises:
      InvalidExampleError: the pair fails a check.
    """
    image_data, image_format, (width, height) = decoding.read_image(example)
    labels, label_data = _read_mask(example, info, read_mask)
    if labels.shape != (height, width):
        raise decoding.InvalidExampleError(decoding.size_problem(
            example, (width, height), labels.shape[::-1], with_names=True), 'size_mismatch')
    record = example_proto.serialize({
        IMAGE_ENCODED: image_data,
        IMAGE_FORMAT: image_format.encode(),
        IMAGE_FILENAME: example.filename.encode('utf-8', 'backslashreplace'),
        IMAGE_HEIGHT: height,
        IMAGE_WIDTH: width,
        LABEL_ENCODED: label_data,
        LABEL_FORMAT: b'png',
    })
    return record, labels


def _read_mask(example, info, read_mask):
    """Calls the reader; what one from outside returns is checked like any other mask."""
    if read_mask is None:
        return decoding.read_labels_and_png(example, info)
    name = decoding.name_of(example, 'mask')
    try:
        labels = np.asarray(read_mask(example, info))
    except OSError as error:
        raise decoding.InvalidExampleError('%s cannot be read: %s.' % (name, error),
                                           'mask_undecodable')
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise decoding.InvalidExampleError(
            '%s was read as %s %s; labels must be integers [height, width].'
            % (name, labels.dtype, list(labels.shape)), 'label_values')
    labels = decoding.check_labels(labels, info, name)
    return labels, pictures.png(Image.fromarray(labels))


def build_shard(task, report):
    """Writes the shard of a `ShardTask`; goes on to check the other examples when one is bad.

    Calls `report(1)` after each example; OSErrors of writing pass.

    Returns:
      `manifest.Entry`. Where it lists skipped examples and `task.skip_bad` is
      False, the file is of no use.
    """
    pixels, good, skipped = np.zeros([descriptor.LARGEST_LABEL + 1], np.int64), 0, []
    source = manifest.Source(task.info, task.read_mask) if task.is_listed else None
    said = notes.Totals()
    with shards.ShardWriter(task.path) as writer:
        for example in task.examples:
            if source:
                # Before it is read: what changes in between is another file to the next build.
                source.add(example)
            try:
                with notes.collected() as noted:
                    record, labels = encode(example, task.info, task.read_mask)
            except decoding.InvalidExampleError as error:
                skipped.append(str(error))
            else:
                good += 1
                said.add(noted, decoding.name_of(example, 'mask'))
                pixels += np.bincount(labels.ravel(), minlength=len(pixels))
                if task.skip_bad or not skipped:
                    writer.write(record)
            report(1)
    return manifest.Entry(
        task.file, good, writer.num_bytes, writer.sha256(),
        pixels[:task.info.number_of_classes].tolist(), int(pixels[task.info.ignore_label]),
        source.fingerprint() if source else None, skipped, said.texts, said.colors)
