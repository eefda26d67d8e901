"""tf.data pipelines: records in, batches of images and labels out."""
import os
from collections import namedtuple

from dataset import descriptor, records
from preprocessing import augmentation
from runtime import tf

# Serialized records, not decoded images, are shuffled: some 130 MB for VOC, and
# the same for a data set of any size.
SHUFFLE_BUFFER_RECORDS = 1000
INTERLEAVED_SHARDS = 4
# Not AUTOTUNE: with a consumer as slow as a network on a CPU, TensorFlow 1.15's
# tuning takes some 300 MiB more for every image that passes.
PARALLEL_CALLS = os.cpu_count() or 1
# Keeps the epochs of runs with neighbouring seeds apart.
SEED_STRIDE = 1000003

Example = namedtuple('Example', ['name', 'image', 'labels'])


def parse_example(serialized):
    """Decodes one record.

    Args:
      serialized: string scalar, a record written by `dataset.records`.

    Returns:
      An `Example`: name string scalar, image uint8 [height, width, 3],
      labels int32 [height, width].
    """
    features = tf.io.parse_single_example(serialized, {
        key: tf.io.FixedLenFeature([], tf.string)
        for key in (records.IMAGE_FILENAME, records.IMAGE_ENCODED, records.LABEL_ENCODED)})
    # The kernel tells JPEG and PNG apart by itself. The accurate transform is the
    # one Pillow uses, so that training and other tools see the same pixels.
    image = tf.image.decode_jpeg(features[records.IMAGE_ENCODED], channels=3,
                                 dct_method='INTEGER_ACCURATE')
    labels = tf.image.decode_png(features[records.LABEL_ENCODED], channels=1)[:, :, 0]
    return Example(features[records.IMAGE_FILENAME], image, tf.cast(labels, tf.int32))


def _epoch(paths, seed):
    """The serialized records of one pass over the shards, in the order that `seed` gives."""
    shards = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths), seed=seed)
    serialized = shards.interleave(tf.data.TFRecordDataset, cycle_length=INTERLEAVED_SHARDS)
    return serialized.shuffle(SHUFFLE_BUFFER_RECORDS, seed=seed)


def train_dataset(info, dataset_dir, options, batch_size, seed, start_step=0, split='train'):
    """An endless stream of augmented batches.

    The order of epoch e depends on (seed, e) and the distortion of example k on
    (seed, k) alone, so a run resumed at `start_step` sees what an uninterrupted
    one would have seen (tests/test_inputs.py).

    Args:
      info: `dataset.descriptor.DatasetInfo`.
      dataset_dir: str, the folder that holds dataset.json.
      options: `augmentation.Augmentation`.
      batch_size: int.
      seed: int.
      start_step: int, the number of batches that were already trained on.
      split: str.

    Returns:
      A `tf.data.Dataset` of `Example`: name string [batch],
      image float32 [batch, crop_size, crop_size, 3] in 0..255,
      labels int32 [batch, crop_size, crop_size].

    Raises:
      ValueError: no such split, or a shard is not there.
    """
    paths = descriptor.shard_paths(info, dataset_dir, split)
    start_example = start_step * batch_size
    start_epoch, skipped = divmod(start_example, info.splits[split]['num_examples'])
    epochs = tf.data.experimental.Counter(start_epoch, dtype=tf.int64)
    first_seed = seed * SEED_STRIDE
    serialized = epochs.flat_map(lambda epoch: _epoch(paths, first_seed + epoch)).skip(skipped)
    indices = tf.data.experimental.Counter(start_example, dtype=tf.int64)

    def augmented(record, index):
        example = parse_example(record)
        image, labels = augmentation.augment(example.image, example.labels,
                                             tf.stack([tf.cast(seed, tf.int64), index]), options)
        return Example(example.name, image, labels)

    dataset = tf.data.Dataset.zip((serialized, indices))
    dataset = dataset.map(augmented, num_parallel_calls=PARALLEL_CALLS)
    return dataset.batch(batch_size, drop_remainder=True).prefetch(2)


def eval_dataset(info, dataset_dir, split):
    """One pass over a split: whole images at their own size, one a batch, undistorted.

    Args:
      info, dataset_dir, split: as in `train_dataset`.

    Returns:
      A `tf.data.Dataset` of `Example`: name string [1],
      image float32 [1, height, width, 3] in 0..255, labels int32 [1, height, width].

    Raises:
      ValueError: no such split, or a shard is not there.
    """
    def undistorted(record):
        example = parse_example(record)
        return example._replace(image=tf.cast(example.image, tf.float32))

    dataset = tf.data.TFRecordDataset(descriptor.shard_paths(info, dataset_dir, split))
    dataset = dataset.map(undistorted, num_parallel_calls=PARALLEL_CALLS)
    return dataset.batch(1).prefetch(2)
