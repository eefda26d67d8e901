"""Writes one split of a data set as TFRecord shards, after checking every pair.

Shards grow in a hidden directory and get their final names only when the whole
split is there; dataset.json is updated last. A build that stops half-way leaves
what was there before.
"""
import collections
import io
import os
import re
import shutil
import struct

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from dataset import descriptor, voc
from runtime import tf

IMAGE_ENCODED = 'image/encoded'
IMAGE_FORMAT = 'image/format'
IMAGE_FILENAME = 'image/filename'
IMAGE_HEIGHT = 'image/height'
IMAGE_WIDTH = 'image/width'
LABEL_ENCODED = 'label/encoded'
LABEL_FORMAT = 'label/format'

# filename: str, stored in the record. image, mask: each the path of a file
# (str) or the bytes of one.
Example = collections.namedtuple('Example', ['filename', 'image', 'mask'])

# num_examples: int. class_pixels: int64 [number_of_classes]. ignored_pixels: int.
SplitSummary = collections.namedtuple(
    'SplitSummary', ['num_examples', 'class_pixels', 'ignored_pixels'])

_MASK_MODES = ('1', 'L', 'P', 'I', 'I;16', 'I;16B', 'I;16L')
_DEEP_IMAGE_MODES = ('I', 'F', 'I;16', 'I;16B', 'I;16L')
_EXIF_ORIENTATION = 0x0112
# What Pillow raises on files that are damaged, no image, or absurdly large.
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error,
                  Image.DecompressionBombError)


class InvalidExampleError(ValueError):
    """An image or mask that cannot be trained on; the message names the file."""


def write_split(examples, num_examples, info, output_dir, split, num_shards=4, aliases=()):
    """Checks the examples and writes them as `split` of the data set in `output_dir`.

    Replaces an earlier `split` and keeps all others. Shards hold consecutive
    examples; no more than one example is in memory.

    Args:
      examples: iterable of `Example`.
      num_examples: int, how many `examples` yields.
      info: `descriptor.DatasetInfo`; its splits are not looked at.
      output_dir: str, made when absent.
      split: str of letters, digits, '_' and '-'.
      num_shards: int, lowered to `num_examples` when larger.
      aliases: further split names that list the same shards.

    Returns:
      `SplitSummary`.

    Raises:
      InvalidExampleError: a pair fails a check.
      descriptor.DatasetError: `output_dir` holds other classes or another
        ignore label, or a name or number is unusable.
    """
    _check_request(num_examples, split, num_shards, aliases)
    _present_splits(info, output_dir)
    num_shards = min(num_shards, num_examples)
    shards = ['%s-%05d-of-%05d.tfrecord' % (split, index, num_shards)
              for index in range(num_shards)]
    partial_dir = os.path.join(output_dir, '.partial-' + split)
    # What a killed build left behind.
    shutil.rmtree(partial_dir, ignore_errors=True)
    os.makedirs(partial_dir)
    try:
        paths = [os.path.join(partial_dir, shard) for shard in shards]
        summary = _write_shards(examples, num_examples, info, paths, split)
        _publish(summary, info, output_dir, partial_dir, split, shards, aliases)
    finally:
        shutil.rmtree(partial_dir, ignore_errors=True)
    return summary


def _check_request(num_examples, split, num_shards, aliases):
    for name in (split,) + tuple(aliases):
        if not re.match(r'[A-Za-z0-9_-]+\Z', name):
            raise descriptor.DatasetError(
                'Split name %r: use letters, digits, "_" and "-" only.' % name)
    if num_shards < 1 or num_examples < 1:
        raise descriptor.DatasetError(
            'Split %r: %d examples in %d shards; both must be at least 1.'
            % (split, num_examples, num_shards))


def _write_shards(examples, num_examples, info, paths, split):
    pixels = np.zeros([descriptor.LARGEST_LABEL + 1], np.int64)
    writer, shard, count = None, -1, 0
    try:
        for example in tqdm(examples, total=num_examples, desc=split, unit='image'):
            if count * len(paths) // num_examples > shard:
                shard += 1
                if writer:
                    writer.close()
                writer = tf.io.TFRecordWriter(paths[min(shard, len(paths) - 1)])
            record, labels = encode(example, info)
            pixels += np.bincount(labels.ravel(), minlength=len(pixels))
            writer.write(record)
            count += 1
    finally:
        if writer:
            writer.close()
    if count != num_examples:
        raise descriptor.DatasetError('Split %r was announced with %d examples but has %d.'
                                      % (split, num_examples, count))
    summary = SplitSummary(count, pixels[:info.number_of_classes],
                           int(pixels[info.ignore_label]))
    _check_not_only_background(summary, info, split)
    return summary


def _check_not_only_background(summary, info, split):
    """A folder of 0/255 masks passes pixel by pixel when 255 is the ignore label."""
    if (info.number_of_classes > 1 and summary.ignored_pixels
            and not summary.class_pixels[1:].any()):
        raise InvalidExampleError(
            'All masks of split %r hold nothing but 0 and the ignore label %d. If %d stands '
            'for an object, give its pixels the class id instead (1 for %r).'
            % (split, info.ignore_label, info.ignore_label, info.class_names[1]))


def _publish(summary, info, output_dir, partial_dir, split, shards, aliases):
    """Gives the shards their final names and enters them in dataset.json."""
    others = _present_splits(info, output_dir)
    # A split that lists this one's files (VOC's test lists validation's) lists
    # the new ones from now on.
    followers = [name for name, entry in others.items()
                 if any(_belongs_to([split], shard) for shard in entry['shards'])]
    names = {split} | set(aliases) | set(followers)
    others = {name: entry for name, entry in others.items() if name not in names}
    # While files are being exchanged no dataset.json may promise this split.
    _save_or_remove(info._replace(splits=others), output_dir)
    kept = {shard for entry in others.values() for shard in entry['shards']}
    for file_name in os.listdir(output_dir):
        if _belongs_to(names, file_name) and file_name not in kept:
            os.remove(os.path.join(output_dir, file_name))
    for shard in shards:
        os.replace(os.path.join(partial_dir, shard), os.path.join(output_dir, shard))
    entry = {'num_examples': summary.num_examples, 'shards': shards}
    splits = dict(others, **{name: entry for name in names})
    descriptor.save(info._replace(splits=splits), output_dir)


def _belongs_to(splits, file_name):
    pattern = r'(%s)-\d{5}-of-\d{5}\.tfrecord\Z' % '|'.join(map(re.escape, splits))
    return re.match(pattern, file_name) is not None


def _present_splits(info, output_dir):
    """Returns a copy of all splits in `output_dir`, after checking that they fit `info`."""
    if not descriptor.exists(output_dir):
        return {}
    present = descriptor.load(output_dir)
    for field in ('class_names', 'ignore_label'):
        ours, theirs = getattr(info, field), getattr(present, field)
        if ours != theirs:
            raise descriptor.DatasetError(
                '%s already holds splits with %s %s; this build has %s. Give the same ones, '
                'or another --output_dir.' % (output_dir, field, theirs, ours))
    return dict(present.splits)


def _save_or_remove(info, output_dir):
    if info.splits:
        descriptor.save(info, output_dir)
    elif descriptor.exists(output_dir):
        os.remove(os.path.join(output_dir, descriptor.FILE_NAME))


def encode(example, info):
    """Checks one pair and serializes it.

    Args:
      example: `Example`.
      info: `descriptor.DatasetInfo`.

    Returns:
      (bytes of a `tf.train.Example`, labels as uint8 [height, width]).

    Raises:
      InvalidExampleError: a pair fails a check.
    """
    image_data, image_format, (width, height) = read_image(example)
    labels = read_labels(example, info)
    if labels.shape != (height, width):
        raise InvalidExampleError(
            '%s is %dx%d but its mask %s is %dx%d (width x height, image upright as its '
            'EXIF orientation says). Export both at one size, masks with nearest neighbour.'
            % (_name(example, 'image'), width, height,
               _name(example, 'mask'), labels.shape[1], labels.shape[0]))
    features = {
        IMAGE_ENCODED: _bytes_feature(image_data),
        IMAGE_FORMAT: _bytes_feature(image_format.encode()),
        IMAGE_FILENAME: _bytes_feature(example.filename.encode('utf-8')),
        IMAGE_HEIGHT: _int64_feature(height),
        IMAGE_WIDTH: _int64_feature(width),
        LABEL_ENCODED: _bytes_feature(_png(Image.fromarray(labels))),
        LABEL_FORMAT: _bytes_feature(b'png'),
    }
    record = tf.train.Example(features=tf.train.Features(feature=features))
    return record.SerializeToString(), labels


def read_image(example):
    """Reads the image as bytes that `tf.io.decode_image` turns into upright RGB.

    RGB JPEG and PNG files pass untouched; all else is converted to RGB PNG.

    Args:
      example: `Example`.

    Returns:
      (bytes, 'jpeg' or 'png', (width, height)).

    Raises:
      InvalidExampleError: the file is damaged, no image, or deeper than 8 bits.
    """
    data, image = _decode(example, 'image')
    if image.mode in _DEEP_IMAGE_MODES:
        # Pillow's conversion would clip all above 255 to white.
        raise InvalidExampleError('%s has more than 8 bits per channel (Pillow mode %s); '
                                  'convert it to 8 bits first.'
                                  % (_name(example, 'image'), image.mode))
    upright = image.getexif().get(_EXIF_ORIENTATION, 1) == 1
    if upright and image.mode == 'RGB' and image.format in ('JPEG', 'PNG'):
        return data, image.format.lower(), image.size
    image = ImageOps.exif_transpose(image).convert('RGB')
    return _png(image), 'png', image.size


def read_labels(example, info):
    """Reads the mask as class ids; a palette mask gives its indices, not its colours.

    Args:
      example: `Example`.
      info: `descriptor.DatasetInfo`.

    Returns:
      uint8 [height, width], each a class id or the ignore label.

    Raises:
      InvalidExampleError: the mask is damaged, has colours instead of ids, or
        holds a value that is neither a class id nor the ignore label.
    """
    data, mask = _decode(example, 'mask')
    if mask.mode not in _MASK_MODES:
        raise InvalidExampleError(
            '%s has Pillow mode %s; masks must hold class ids in one channel (modes L, P, '
            '1 or I). Replace each colour by its class id and save as PNG.'
            % (_name(example, 'mask'), mask.mode))
    if mask.format == 'JPEG':
        raise InvalidExampleError('%s is a JPEG, whose compression invents class ids around '
                                  'borders; export masks as PNG.' % _name(example, 'mask'))
    labels = np.array(mask).astype(np.int64) // _grey_scaling(data, mask)
    values = np.unique(labels)
    bad = [int(value) for value in values
           if value != info.ignore_label and not 0 <= value < info.number_of_classes]
    if bad:
        raise InvalidExampleError(
            '%s holds %s; with %d classes labels are 0..%d, or the ignore label %d. '
            'Likely cause: %s.'
            % (_name(example, 'mask'), _shorten(bad), info.number_of_classes,
               info.number_of_classes - 1, info.ignore_label, _likely_cause(bad, info)))
    return labels.astype(np.uint8)


def _grey_scaling(data, mask):
    """Pillow stretches 2- and 4-bit grey PNGs to 0..255; returns the factor to undo."""
    bit_depth, color_type = (data[24], data[25]) if mask.format == 'PNG' else (8, 0)
    return {2: 85, 4: 17}.get(bit_depth, 1) if color_type == 0 else 1


def _likely_cause(bad, info):
    luma = voc.color_map(len(voc.CLASS_NAMES)).dot([0.299, 0.587, 0.114])
    if bad == [descriptor.LARGEST_LABEL]:
        return ('a void label that is not the --ignore_label (%d), or an object drawn as 255'
                % info.ignore_label)
    if bad == [info.number_of_classes]:
        return 'ids that start at 1 instead of 0, or a void label that is not the --ignore_label'
    if set(bad) <= {127, 128, 254, 255}:
        return 'a mask of 0/128/255 made for viewing; store class ids instead'
    if set(bad) <= set(np.floor(luma)) | set(np.rint(luma)) | {descriptor.LARGEST_LABEL}:
        return 'palette colours that were decoded as grey; keep the palette indices'
    return 'more classes in the masks than in the class list, or a mask resized with blending'


def _decode(example, part):
    """Returns (bytes, Pillow image with its pixels loaded) of one part of the example."""
    source = getattr(example, part)
    try:
        if not isinstance(source, bytes):
            with open(source, 'rb') as image_file:
                source = image_file.read()
        image = Image.open(io.BytesIO(source))
        image.load()
    except _DECODE_ERRORS as error:
        raise InvalidExampleError('%s cannot be decoded: %s. Fetch or export it again, or '
                                  'leave it out.' % (_name(example, part), error))
    return source, image


def _name(example, part):
    source = getattr(example, part)
    return '%s of %s' % (part, example.filename) if isinstance(source, bytes) else source


def _shorten(values):
    text = ', '.join(str(value) for value in values[:8])
    return text + (' and %d more values' % (len(values) - 8) if len(values) > 8 else '')


def _png(image):
    buffer = io.BytesIO()
    image.save(buffer, 'PNG')
    return buffer.getvalue()


def _bytes_feature(value):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _int64_feature(value):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def describe(summary, info, split):
    """Writes the table that the builders print: pixel share per class.

    Args:
      summary: `SplitSummary`.
      info: `descriptor.DatasetInfo`.
      split: str.

    Returns:
      str of several lines. A class without pixels is pointed out.
    """
    labelled = int(summary.class_pixels.sum())
    total = labelled + summary.ignored_pixels
    lines = ['%s: %d images, %d classes, pixel shares:'
             % (split, summary.num_examples, info.number_of_classes)]
    for class_id, (name, count) in enumerate(zip(info.class_names, summary.class_pixels)):
        lines.append('  %3d %-16s %6.2f %%%s' % (class_id, name, 100. * count / total,
                                                 '' if count else '  <- no pixel in this split'))
    lines.append('  %3d %-16s %6.2f %%' % (info.ignore_label, '(ignored)',
                                           100. * summary.ignored_pixels / total))
    return '\n'.join(lines)
