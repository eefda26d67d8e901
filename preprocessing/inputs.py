"""tf.data pipelines: records in, batches of images and labels out."""
import os
from collections import namedtuple

from common.errors import UserError
from dataset import descriptor
from dataset.records import encoding, raw_records, shards
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

# What one of several workers takes of a stream: of every `size * count` examples, the `size` at
# its `rank`.
Share = namedtuple('Share', ['rank', 'count', 'size'])


def _plain(function):
    """Keeps AutoGraph from a function of a pipeline: it takes 1.15 seconds, and finds nothing."""
    return tf.autograph.experimental.do_not_convert(function)


def share_of(rank, count, batch_size):
    """Returns the `Share` of one of `count` workers in batches, or None where it is alone."""
    return Share(rank, count, batch_size // count) if count > 1 else None


def parse_raw_example(serialized):
    """Decodes one record of the post's code; such a record has no name.

    Args:
      serialized: string scalar, with the features of `dataset.records.raw_records`.

    Returns:
      An `Example` as `parse_example` does, its name empty.
    """
    features = tf.io.parse_single_example(serialized, {
        raw_records.HEIGHT: tf.io.FixedLenFeature([], tf.int64),
        raw_records.WIDTH: tf.io.FixedLenFeature([], tf.int64),
        raw_records.IMAGE_RAW: tf.io.FixedLenFeature([], tf.string),
        raw_records.ANNOTATION_RAW: tf.io.FixedLenFeature([], tf.string)})
    size = tf.stack([features[raw_records.HEIGHT], features[raw_records.WIDTH]])
    image = tf.io.decode_raw(features[raw_records.IMAGE_RAW], tf.uint8)
    labels = tf.io.decode_raw(features[raw_records.ANNOTATION_RAW], tf.uint8)
    return Example(tf.constant(''), tf.reshape(image, tf.concat([size, [3]], axis=0)),
                   tf.cast(tf.reshape(labels, size), tf.int32))


def parse_example(serialized):
    """Decodes one record.

    Args:
      serialized: string scalar, a record written by `dataset.records.encoding`.

    Returns:
      An `Example`: name string scalar, image uint8 [height, width, 3],
      labels int32 [height, width].
    """
    features = tf.io.parse_single_example(serialized, {
        key: tf.io.FixedLenFeature([], tf.string)
        for key in (encoding.IMAGE_FILENAME, encoding.IMAGE_ENCODED, encoding.LABEL_ENCODED)})
    # The kernel tells JPEG and PNG apart by itself. The accurate transform is the
    # one Pillow uses, so that training and other tools see the same pixels.
    image = tf.image.decode_jpeg(features[encoding.IMAGE_ENCODED], channels=3,
                                 dct_method='INTEGER_ACCURATE')
    labels = tf.image.decode_png(features[encoding.LABEL_ENCODED], channels=1)[:, :, 0]
    return Example(features[encoding.IMAGE_FILENAME], image, tf.cast(labels, tf.int32))


def _open_split(info, dataset_dir, split):
    """Returns (paths, parser) of a split, after counting the records of its shards.

    TensorFlow itself takes a shard for whole that ends within a record's header.
    """
    paths = descriptor.shard_paths(info, dataset_dir, split)
    count, expected = sum(map(shards.count_records, paths)), info.splits[split]['num_examples']
    if count != expected:
        raise UserError('Split %r of %s holds %d records, but %d are announced: build it again.'
                        % (split, dataset_dir, count, expected))
    return paths, _parser(paths)


def _parser(paths):
    """`parse_example`, or `parse_raw_example` where the first record has its features."""
    try:
        first = next(tf.compat.v1.io.tf_record_iterator(paths[0]))
    except (StopIteration, tf.errors.DataLossError) as error:
        raise UserError('%s: its first record cannot be read (%s). Build it again.'
                        % (paths[0], error))
    features = tf.train.Example.FromString(first).features.feature
    if encoding.IMAGE_ENCODED in features:
        return parse_example
    if raw_records.IMAGE_RAW in features:
        return parse_raw_example
    raise UserError('%s holds neither the records of this project nor those of the post; its '
                    'features are: %s. Build it again.' % (paths[0], ', '.join(sorted(features))))


def epoch_size(info, split, num_examples=None):
    """Returns int, the images of one pass over a split, or over its first `num_examples`.

    Raises:
      UserError: there is no such split.
    """
    if split not in info.splits:
        raise UserError('The data set %s has the splits %s and needs %s too: build that split into '
                        'the same folder.' % (info.name, ', '.join(sorted(info.splits)), split))
    in_split = info.splits[split]['num_examples']
    return in_split if num_examples is None else min(num_examples, in_split)


def _epoch(paths, seed, num_examples=None):
    """The serialized records of one pass over the shards, in the order that `seed` gives."""
    if num_examples is not None:
        return tf.data.TFRecordDataset(paths).take(num_examples).shuffle(num_examples, seed=seed)
    shards = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths), seed=seed)
    serialized = shards.interleave(tf.data.TFRecordDataset, cycle_length=INTERLEAVED_SHARDS)
    return serialized.shuffle(SHUFFLE_BUFFER_RECORDS, seed=seed)


def _endless(paths, seed, in_epoch, num_examples, start_own, share):
    """The serialized records of a stream, or of a worker's `share`, behind its first `start_own`.

    Workers add no op to the graph itself: initial weights depend on the number of ops before.
    """
    start_epoch, skipped = divmod(start_own * (share.count if share else 1), in_epoch)
    if share:
        skipped = start_own - _num_own(start_epoch * in_epoch, share)
    epochs = tf.data.experimental.Counter(start_epoch, dtype=tf.int64)
    first_seed = seed * SEED_STRIDE

    @_plain
    def records_of(epoch):
        records = _epoch(paths, first_seed + epoch, num_examples)
        return _own(records, epoch * in_epoch, share) if share else records
    return epochs.flat_map(records_of).skip(skipped)


def _own(dataset, first, share):
    """Keeps of a dataset, whose first example has the number `first`, what falls to a worker."""
    return dataset.enumerate().filter(
        lambda place, _: tf.equal((first + place) // share.size % share.count, share.rank)).map(
            lambda _, record: record)


def _num_own(num_examples, share):
    """Returns int, how many of the first examples of a stream fall to a worker."""
    whole, rest = divmod(num_examples, share.size * share.count)
    return whole * share.size + min(max(rest - share.rank * share.size, 0), share.size)


def train_dataset(info, dataset_dir, options, batch_size, seed, start_step=0, split='train',
                  num_examples=None, share=None):
    """An endless stream of augmented batches.

    The order of epoch e depends on (seed, e) and the distortion of example k on
    (seed, k) alone, so a run resumed at `start_step` sees what an uninterrupted
    one would have seen, whatever the number of workers (tests/test_inputs.py). Each worker
    reads all records, and decodes its own.

    Args:
      info: `dataset.descriptor.DatasetInfo`.
      dataset_dir: str, the folder that holds dataset.json.
      options: `augmentation.Augmentation`.
      batch_size: int.
      seed: int.
      start_step: int, the number of batches that were already trained on.
      split: str.
      num_examples: None, or int: only so many, the first of the split.
      share: None, or the `Share` of one of several workers, whose batches these are.

    Returns:
      A `tf.data.Dataset` of `Example`: name string [batch],
      image float32 [batch, crop_size, crop_size, 3] in 0..255,
      labels int32 [batch, crop_size, crop_size].

    Raises:
      UserError: no such split, or a shard is not there, damaged or cut short.
    """
    paths, parse = _open_split(info, dataset_dir, split)
    start_own = start_step * batch_size
    serialized = _endless(paths, seed, epoch_size(info, split, num_examples), num_examples,
                          start_own, share)
    indices = tf.data.experimental.Counter(start_own, dtype=tf.int64)

    @_plain
    def augmented(record, index):
        if share:
            index += (index // share.size * (share.count - 1) + share.rank) * share.size
        example = parse(record)
        image, labels = augmentation.augment(example.image, example.labels,
                                             tf.stack([tf.cast(seed, tf.int64), index]), options)
        return Example(example.name, image, labels)

    dataset = tf.data.Dataset.zip((serialized, indices))
    dataset = dataset.map(augmented, num_parallel_calls=PARALLEL_CALLS)
    return dataset.batch(batch_size, drop_remainder=True).prefetch(2)


def eval_dataset(info, dataset_dir, split, num_examples=None, share=None):
    """One pass over a split: whole images at their own size, one a batch, undistorted.

    Args:
      info, dataset_dir, split, num_examples, share: as in `train_dataset`.

    Returns:
      A `tf.data.Dataset` of `Example`: name string [1], '<split>-<index>' where the
      records are raw,
      image float32 [1, height, width, 3] in 0..255, labels int32 [1, height, width].

    Raises:
      UserError: no such split, or a shard is not there, damaged or cut short.
    """
    paths, parse = _open_split(info, dataset_dir, split)

    def undistorted(index, record):
        example = parse(record)
        name = example.name
        if parse is parse_raw_example:
            name = split + '-' + tf.strings.as_string(index, width=6, fill='0')
        return Example(name, tf.cast(example.image, tf.float32), example.labels)

    dataset = tf.data.TFRecordDataset(paths).enumerate()
    if num_examples is not None:
        dataset = dataset.take(num_examples)
    if share:
        dataset = _own(dataset, 0, share)
    dataset = dataset.map(undistorted, num_parallel_calls=PARALLEL_CALLS)
    return dataset.batch(1).prefetch(2)
