"""Reads record files and image folders for dataset/check.py, and examines one example.

Nothing here raises for what a file holds: whatever is wrong becomes a problem
with a code of `findings.CODES`.
"""
import collections
import hashlib
import itertools
import os

import numpy as np
from PIL import Image

from common.errors import UserError
from dataset import descriptor
from dataset.records import encoding, example_proto, raw_records, shards
from dataset.sources import decoding, notes, views

PICTURE_SIZE = 360  # pixels, the longer side of a picture in the HTML report
THUMBNAIL_SIZE = (128, 96)  # width, height; what images are averaged at

# What is to be examined. record: int from 0 in `file`, or None for a pair of
# files. content: bytes of a record, or `decoding.Example`.
Item = collections.namedtuple('Item', ['split', 'file', 'record', 'content'])

# What was found. kind: 'encoded', 'raw' or None. name: str. problems: list of
# (code, file or None for the item's, text). size: (height, width) of the image.
# rgb_sum: int64 [3]. label_counts: int64 [256]. *_digest: bytes. picture:
# (image uint8 [h, w, 3], labels uint8 [h, w]), made small. thumbnail: the image as
# uint8 RGB of THUMBNAIL_SIZE. notes: `notes.Notes`. None where unknown.
Result = collections.namedtuple('Result', [
    'item', 'kind', 'name', 'problems', 'size', 'rgb_sum', 'label_counts', 'image_digest',
    'label_digest', 'picture', 'thumbnail', 'notes'])

# One example taken apart. Either image and mask (bytes of files) or pixels and
# labels (arrays) are there, or neither when `problems` says why. stored_size:
# (height, width) by the record's features, or None. view: `views.View`.
_Parts = collections.namedtuple(
    '_Parts', ['kind', 'name', 'image', 'mask', 'pixels', 'labels', 'stored_size', 'problems',
               'view'])
_NO_PARTS = _Parts(None, '', None, None, None, None, None, [], views.AS_IT_IS)

# (name, type) in the order of the arguments of _encoded_parts and _raw_parts.
_ENCODED_FEATURES = ((encoding.IMAGE_ENCODED, bytes), (encoding.LABEL_ENCODED, bytes),
                     (encoding.IMAGE_FILENAME, bytes), (encoding.IMAGE_HEIGHT, int),
                     (encoding.IMAGE_WIDTH, int))
_RAW_FEATURES = ((raw_records.IMAGE_RAW, bytes), (raw_records.ANNOTATION_RAW, bytes),
                 (raw_records.HEIGHT, int), (raw_records.WIDTH, int))

_GREY, _EIGHT_BITS = 0, 8


def read_shard(path, split, limit, findings):
    """Yields the records of one file as `Item`s, checksums verified, at most `limit` or all (None).

    Where one is damaged there is no telling where the next begins, so it ends
    the file; `findings` is told why.
    """
    count = 0
    try:
        for record in itertools.islice(shards.iterate_shard(path), limit):
            yield Item(split, path, count, record)
            count += 1
    except shards.DamagedShardError as error:
        findings.add('record_damaged', '%s Neither it nor what follows it in the file was looked '
                     'at. Build or copy the file again.' % _damage(error), split, path,
                     error.record)
    except (UserError, UnicodeError) as error:
        findings.add('shard_unreadable', '%s Check its permissions.' % error, split, path)
    else:
        if not count:
            findings.add('no_records', 'It holds no record. Build or copy it again.', split, path)


def _damage(error):
    """Says in a sentence what a file that is no sound TFRecord looks like."""
    with open(error.path, 'rb') as record_file:
        start = record_file.read(256)
    if start.startswith(b'\x1f\x8b'):
        return 'The file is compressed with gzip; unpack it with gunzip.'
    if start and all(byte in b'\t\n\r' or 32 <= byte < 127 for byte in start):
        return ('The file holds text, %r: not a TFRecord but, for example, a Git LFS pointer or '
                'the error page of a download.' % start[:24].decode('ascii'))
    return 'The record, which starts at byte %d, %s.' % (error.offset, error.problem)


def is_raw(path):
    """Whether the first record of a file has the features of the post's. Returns bool."""
    try:
        record = next(shards.iterate_shard(path), b'')
        return raw_records.IMAGE_RAW in example_proto.parse(record)
    except ValueError:
        return False


def examine(item, info, with_picture, reader=None):
    """Decodes one example completely and looks for what is wrong with it.

    Args:
      item: `Item`.
      info: `descriptor.DatasetInfo`; class ids beyond its classes are wrong.
      with_picture: bool, whether to return small pictures of it.
      reader: as `sources.contract` says, for the mask of a pair of files.

    Returns:
      `Result`; never raises for what the files hold.
    """
    parts = _read_pair(item) if item.record is None else _take_apart(item.content)
    pixels, problems = parts.pixels, list(parts.problems)
    with notes.collected() as noted:
        if parts.image is not None:
            pixels, found = _decode_image(parts)
            problems += found
        labels, found = _decode_labels(parts, info, reader)
    mask_file = item.content.mask if item.record is None else None
    problems += [(code, mask_file, text) for code, _, text in found]
    problems += [(code, None, text + '.') for code, text in sorted(noted.texts.items())]
    if pixels is not None and labels is not None and pixels.shape[:2] != labels.shape:
        problems.append(('size_mismatch', None, (
            _size_problem(parts, pixels, labels))))
    elif pixels is not None and labels is not None and _shows(pixels, labels):
        problems.append(('image_is_mask', None, (
            'The image has one colour for each label, and another for each: it looks like its own '
            'mask. Pair the images with their masks again, see --images and --mask_suffix.')))
    elif pixels is not None and parts.stored_size not in (None, pixels.shape[:2]):
        problems.append(('size_features', None, (
            'Its features say height %s and width %s, but the image is %d high and %d wide. '
            'Build the split again.' % (parts.stored_size + pixels.shape[:2]))))
    return _summarize(Result(item, parts.kind, parts.name, problems, *[None] * 7, noted),
                      pixels, labels, info, with_picture)


def _shows(pixels, labels):
    """Whether an image of some labels has a colour of its own for each, as a drawn mask has.

    Args:
      pixels: uint8 [height, width, 3].
      labels: uint8 [height, width].
    """
    codes = np.dot(pixels[::7, ::7].astype(np.int32), [65536, 256, 1])
    if not _one_to_one(codes, labels[::7, ::7]):
        return False
    codes = np.dot(pixels.astype(np.int32), [65536, 256, 1])
    return labels.min() < labels.max() and _one_to_one(codes, labels)


def _one_to_one(codes, labels):
    code_of = np.zeros([256], np.int32)
    code_of[labels] = codes
    present = np.unique(labels)
    return bool((code_of[labels] == codes).all()) and (
        len(np.unique(code_of[present])) == len(present))


def _size_problem(parts, pixels, labels):
    """Returns a sentence on an image and a mask of different sizes."""
    return decoding.size_problem(
        decoding.Example(parts.name, parts.image or b'', parts.mask or b'', parts.view),
        pixels.shape[1::-1], labels.shape[::-1])


def _summarize(result, pixels, labels, info, with_picture):
    """Adds counts of pixels and labels, hashes and pictures to a `Result`."""
    if pixels is not None:
        # Pillow's histogram is several times as fast as numpy's sum over two axes.
        image = Image.fromarray(pixels)
        histogram = np.array(image.histogram()).reshape(3, 256)
        result = result._replace(
            size=pixels.shape[:2], rgb_sum=histogram.dot(np.arange(256)),
            image_digest=_digest(pixels),
            thumbnail=np.array(image.resize(THUMBNAIL_SIZE, Image.BOX)))
    if labels is not None:
        counts = np.array(Image.fromarray(labels).histogram())
        if counts[info.ignore_label] == counts.sum():
            result.problems.append(('all_ignored', None, (
                'All pixels have the ignore label %d: the image teaches nothing. Label it or '
                'leave it out.' % info.ignore_label)))
        result = result._replace(label_counts=counts, label_digest=_digest(labels))
    if with_picture and pixels is not None and labels is not None and (
            pixels.shape[:2] == labels.shape):
        result = result._replace(picture=_make_small(pixels, labels))
    return result


def _digest(array):
    digest = hashlib.blake2b(np.ascontiguousarray(array), digest_size=16)
    digest.update(repr(array.shape).encode())
    return digest.digest()


def _make_small(pixels, labels):
    scale = min(1., PICTURE_SIZE / max(labels.shape))
    size = tuple(max(1, int(round(side * scale))) for side in labels.shape[::-1])
    return (np.array(Image.fromarray(pixels).resize(size, Image.LANCZOS)),
            np.array(Image.fromarray(labels).resize(size, Image.NEAREST)))


def _read_pair(item):
    """Reads the two files of an item. Returns `_Parts`."""
    image_path, mask_path = item.content.image, item.content.mask
    data, problems = [], []
    # Of a tile the paths go on, by which `opening` knows the image that it cut last.
    is_tile = item.content.view.box is not None
    for path, code in ((image_path, 'image_unusable'), (mask_path, 'mask_undecodable')):
        try:
            with open(path, 'rb') as image_file:
                data.append(path if is_tile else image_file.read())
        except OSError as error:
            data.append(None)
            problems.append((code, path, 'It cannot be read: %s. Check its permissions.'
                             % error.strerror))
    return _NO_PARTS._replace(name=os.path.basename(item.content.filename), image=data[0],
                              mask=data[1], problems=problems, view=item.content.view)


def _take_apart(record):
    """Finds name, image and mask in a record of either kind. Returns `_Parts`."""
    try:
        features = example_proto.parse(record)
    except ValueError:
        return _unusable('It is no tf.train.Example. Build the file again.')
    encoded = encoding.IMAGE_ENCODED in features
    expected = _ENCODED_FEATURES if encoded else _RAW_FEATURES
    if not any(name in features for name, _ in expected):
        return _unusable('It has neither the features of this project nor those of the post, '
                         'but: %s. Build the file with one of the builders.'
                         % (', '.join(sorted(features)) or 'none'))
    wrong = [name for name, kind in expected
             if [type(value) for value in features.get(name, ())] != [kind]]
    if wrong:
        return _unusable('These features are missing or not of one value of their type: %s. '
                         'Build the file again.' % ', '.join(wrong))
    values = [features[name][0] for name, _ in expected]
    return _encoded_parts(*values) if encoded else _raw_parts(*values)


def _unusable(text, code='record_features'):
    return _NO_PARTS._replace(problems=[(code, None, text)])


def _encoded_parts(image, mask, name, height, width):
    return _NO_PARTS._replace(kind='encoded', name=name.decode('utf-8', 'replace'), image=image,
                              mask=mask, stored_size=(height, width))


def _raw_parts(image, labels, height, width):
    problem = _raw_size_problem(height, width, len(image), len(labels))
    if problem:
        return _unusable(problem, 'size_mismatch')._replace(kind='raw')
    return _NO_PARTS._replace(
        kind='raw', pixels=np.frombuffer(image, np.uint8).reshape(height, width, 3),
        labels=np.frombuffer(labels, np.uint8).reshape(height, width))


def _raw_size_problem(height, width, image_bytes, label_bytes):
    """Returns a sentence on bytes that do not fit height and width, or None."""
    if height < 1 or width < 1:
        return 'height is %d and width %d; both must be at least 1. Write the record again.' % (
            height, width)
    if image_bytes != height * width * 3:
        return ('image_raw holds %d bytes, but height %d x width %d x 3 channels is %d. Write '
                'the image as RGB in uint8, with its own height and width.'
                % (image_bytes, height, width, height * width * 3))
    if label_bytes != height * width:
        causes = {3: ': an RGB mask', 4: ': an RGBA mask, or ids in int32', 8: ': ids in int64'}
        share, rest = divmod(label_bytes, height * width)
        return ('annotation_raw holds %d bytes, but height %d x width %d is %d%s. Write class '
                'ids in uint8, one per pixel.'
                % (label_bytes, height, width, height * width,
                   '' if rest else causes.get(share, '')))
    return None


def _decode_image(parts):
    """Returns (uint8 [height, width, 3] or None, problems) of the image's bytes."""
    try:
        pixels, untouched = decoding.read_rgb(
            decoding.Example(parts.name, parts.image, b'', parts.view))
    except decoding.InvalidExampleError as error:
        return None, [(error.code, None, str(error))]
    if parts.kind == 'encoded' and not untouched:
        return pixels, [('image_format', None, 'image of %s is a file that TensorFlow does not '
                         'decode as Pillow shows it (turned by EXIF, transparent, more than 8 '
                         'bits, a rare kind of JPEG). Build the split again.' % parts.name)]
    return pixels, []


def _decode_labels(parts, info, reader):
    """Returns (uint8 [height, width] or None, problems) of the mask.

    Labels that are no class are returned as well, where they fit into 8 bits: one
    wrong value must not make its mask's classes look absent.
    """
    if parts.mask is None and parts.labels is None:
        return None, []
    try:
        labels = _read_labels(parts, info, reader)
    except decoding.InvalidExampleError as error:
        problems = [(error.code, None, str(error))]
        if error.code != 'label_values' or reader:
            return None, problems
        try:
            return _read_labels(parts, permissive(descriptor.LARGEST_LABEL), None), problems
        except decoding.InvalidExampleError:
            return None, problems
    if parts.kind == 'encoded' and not _is_grey_png(parts.mask):
        return labels, [('mask_format', None, 'mask of %s is not an 8-bit grey PNG, the only one '
                         'that training decodes to ids. Build the split again.' % parts.name)]
    return labels, []


def _read_labels(parts, info, reader):
    if parts.labels is not None:
        return decoding.check_labels(parts.labels, info, raw_records.ANNOTATION_RAW)
    example = decoding.Example(parts.name, b'', parts.mask, parts.view)
    return (reader or decoding.read_labels)(example, info)


def _is_grey_png(data):
    return data[1:4] == b'PNG' and (data[24], data[25]) == (_EIGHT_BITS, _GREY)


def permissive(ignore_label):
    """A `DatasetInfo` for masks without class list: all ids below the ignore label are classes.

    Raises:
      UserError: `ignore_label` leaves no class.
    """
    names = ['class %d' % class_id for class_id in range(ignore_label)]
    return descriptor.create('without list of classes', names or ['class 0'], ignore_label)
