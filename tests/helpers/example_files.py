"""Small image and mask files for the tests of dataset/, and readers of masks; no TensorFlow."""
import io
import os
import signal
import struct
import time
import zlib

import numpy as np
from PIL import Image

from dataset import descriptor
from dataset.records import example_proto, shards
from dataset.sources import decoding

INFO = descriptor.create('toy', ('ground', 'cat', 'dog'), 255)


def encoded(pixels, image_format='PNG', mode=None, **options):
    """Returns the bytes of an image file holding `pixels`."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, image_format, **options)
    return buffer.getvalue()


def noise(height=6, width=8, channels=3, seed=0):
    """Returns random uint8 pixels."""
    return np.random.RandomState(seed).randint(0, 256, [height, width, channels]).astype(np.uint8)


def grid(values, height=6, width=8):
    """Returns uint8 [height, width] that repeats `values`."""
    return np.resize(np.array(values, np.uint8), [height, width])


def pair(image=None, mask=None, name='a.png'):
    """Returns a good example, or one with the given bytes."""
    return decoding.Example(name, encoded(noise()) if image is None else image,
                            encoded(grid([0, 1, 2, 255])) if mask is None else mask)


def pixels_of(data):
    """Returns what Pillow decodes."""
    return np.array(Image.open(io.BytesIO(data)))


def png_chunk(kind, content):
    """Returns a chunk of a PNG with its right CRC."""
    return (struct.pack('>I', len(content)) + kind + content
            + struct.pack('>I', zlib.crc32(kind + content)))


def png_file(pixels, depth, color_type, chunks=b'', interlaced=False):
    """Writes a PNG by hand, of kinds that Pillow does not write.

    Args:
      pixels: uint8 or big-endian uint16 [height, width] or [height, width, channels];
        with a depth under 8, bytes of packed rows.
      depth, color_type: int, as in the PNG header.
      chunks: bytes put before the image data.
      interlaced: bool.
    """
    height, width = pixels.shape[:2]
    passes = [(0, 0, 1, 1)] if not interlaced else [
        (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
        (1, 0, 2, 1)]
    parts = [pixels[row::row_step, column::column_step]
             for row, column, row_step, column_step in passes]
    rows = b''.join(b'\0' + row.tobytes() for part in parts if part.size for row in part)
    header = struct.pack('>2I5B', width * 8 // depth if depth < 8 else width, height, depth,
                         color_type, 0, 0, int(interlaced))
    return (b'\x89PNG\r\n\x1a\n' + png_chunk(b'IHDR', header) + chunks
            + png_chunk(b'IDAT', zlib.compress(rows)) + png_chunk(b'IEND', b''))


def tiff_file(samples, order='<', compression=1, planar=1, predictor=1, rows=None, bits=None,
              width=None, tile=None, big=False, absent=(), **tags):
    """Writes a TIFF by hand, of kinds that Pillow does not write.

    Args:
      samples: [height, width, bands] of whole numbers or floats; with `bits`
        and `width`, bytes of packed rows.
      order: '<' or '>'. compression: 1, none, or 8, deflate. planar: 2 for bands one by one.
        predictor: 2 for differences, 3 for those of floats. rows: per strip; all by default.
        tile: int, its side.
      big: bool, whether it is a BigTIFF, with '<'.
      absent: numbers of the strips or tiles that are left out.
      tags: by number, as t262=0; ints, or bytes of text.
    """
    height, bands = samples.shape[0], samples.shape[2]
    data = bytearray((b'II*\0' if order == '<' else b'MM\0*') + bytes(12))
    offsets, sizes = [], []
    for plane in [samples] if planar == 1 else np.split(samples, bands, axis=2):
        if tile:
            plane = np.pad(plane, [(0, -side % tile) for side in plane.shape[:2]] + [(0, 0)],
                           'edge')
        for top in range(0, height, tile or rows or height):
            for left in range(0, plane.shape[1], tile or plane.shape[1]):
                part = plane[top:top + (tile or rows or height),
                             left:left + (tile or plane.shape[1])]
                part = _predicted(part, predictor, order)
                is_absent = len(offsets) in absent
                offsets.append(0 if is_absent else len(data))
                part = zlib.compress(part) if compression == 8 else part
                sizes.append(0 if is_absent else len(part))
                data += b'' if is_absent else part
    entries = {256: width or samples.shape[1], 257: height, 259: compression,
               258: [bits or samples.dtype.itemsize * 8] * bands, 262: 1, 277: bands, 284: planar,
               317: predictor, 339: ['uif'.index(samples.dtype.kind) + 1] * bands}
    entries.update({322: tile, 323: tile, 324: offsets, 325: sizes} if tile else
                   {273: offsets, 278: rows or height, 279: sizes})
    entries.update({int(tag[1:]): value for tag, value in tags.items()})
    if big:
        header = b'II' + struct.pack('<3HQ', 43, 8, 0, len(data))
    else:
        header = data[:4] + struct.pack(order + 'I', len(data)) + bytes(8)
    return bytes(header + data[16:]) + _directory(entries, len(data), order, big)


def _predicted(values, predictor, order):
    """Returns the bytes of a strip or tile [rows, columns, bands] as the predictor leaves them."""
    if predictor == 3:
        rows, columns = values.shape[:2]
        parts = values.astype(values.dtype.newbyteorder('>')).tobytes()
        parts = np.frombuffer(parts, np.uint8).reshape(rows, -1, values.dtype.itemsize)
        values = parts.swapaxes(1, 2).reshape(rows, -1, values.shape[2])
    elif predictor == 2:
        values = values.view('u%d' % values.dtype.itemsize)
    if predictor != 1:
        values = np.concatenate([values[:, :1], np.diff(values, axis=1)], axis=1)
    return values.astype(values.dtype.newbyteorder(order)).tobytes()


def _directory(entries, start, order, big=False):
    """Returns a TIFF directory at byte `start`; values are of the type LONG, or ASCII."""
    count, offset, room = ('Q', 'Q', 8) if big else ('H', 'I', 4)
    counts = struct.pack(order + count, len(entries))
    fields, tables = [], b''
    place = start + len(counts) + (4 + 2 * room) * len(entries) + room
    for tag, value in sorted(entries.items()):
        values = value if isinstance(value, (list, tuple, bytes)) else [value]
        kind, packed = 2, value
        if not isinstance(value, bytes):
            kind, packed = 4, struct.pack('%s%dI' % (order, len(values)), *values)
        if len(packed) > room:
            tables, packed = tables + packed, struct.pack(order + offset, place + len(tables))
        fields.append(struct.pack(order + '2H' + offset, tag, kind, len(values))
                      + packed.ljust(room, b'\0'))
    return counts + b''.join(fields) + bytes(room) + tables


def turned(pixels, orientation):
    """Returns pixels upright that are stored in an EXIF orientation, as its standard says."""
    return {1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1],
            5: pixels.swapaxes(0, 1), 6: np.rot90(pixels, -1),
            7: pixels[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(pixels)}[orientation]


def with_orientation(pixels, image_format, orientation):
    """Returns the bytes of a file that names an EXIF orientation."""
    if image_format == 'TIFF':
        return encoded(pixels, 'TIFF', tiffinfo={0x0112: orientation})
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(pixels, image_format, exif=exif.tobytes())


def read_examples(directory, split='train'):
    """Returns a list of (file name, image uint8 [h, w, 3], labels uint8 [h, w]) of a data set."""
    found = []
    for path in descriptor.shard_paths(descriptor.load(str(directory)), str(directory), split):
        for record in shards.iterate_shard(path):
            features = example_proto.parse(record)
            image, labels = [pixels_of(features[part + '/encoded'][0])
                             for part in ('image', 'label')]
            found.append((features['image/filename'][0].decode(), image, labels))
    return found


def write_folders(directory, image, mask, extension):
    """Writes one pair of files in folders of their own, and a list of classes.

    Args:
      directory: `pathlib.Path`.
      image, mask: bytes.
      extension: str, of both.

    Returns:
      List of the flags of build_folder.py and check.py that name them.
    """
    for folder, data in (('images', image), ('masks', mask)):
        (directory / folder).mkdir()
        (directory / folder / ('a' + extension)).write_bytes(data)
    (directory / 'classes.txt').write_text('ground\ncat\ndog\n')
    return ['--images', str(directory / 'images'), '--masks', str(directory / 'masks'),
            '--classes', str(directory / 'classes.txt')]


def write_pairs(directory, names, masks=None):
    """Writes NAME.png and NAME_mask.png; returns their examples."""
    examples = []
    for index, name in enumerate(names):
        image, mask = (str(directory / (name + end)) for end in ('.png', '_mask.png'))
        with open(image, 'wb') as image_file:
            image_file.write(encoded(noise(seed=index)))
        with open(mask, 'wb') as mask_file:
            mask_file.write((masks or {}).get(name, encoded(grid([0, 1, 2, 255]))))
        examples.append(decoding.Example(name + '.png', image, mask))
    return examples


def all_cats(example, info):
    """A reader of masks: every pixel is class 1."""
    return np.ones([6, 8], np.uint8)


all_cats.key = 'all cats'


def out_of_range(example, info):
    """A reader of masks that is wrong."""
    return np.full([6, 8], 77)


out_of_range.key = 'out of range'


def dies(example, info):
    """A reader of masks that ends its process, as the kernel does when memory runs out."""
    os._exit(9)


dies.key = 'dies'


def crashes_at_c(example, info):
    """A reader of masks that the system stops at c.png, as damaged files do to some libraries."""
    if example.filename == 'c.png':
        os.kill(os.getpid(), signal.SIGSEGV)
    return all_cats(example, info)


crashes_at_c.may_crash = True
crashes_at_c.key = 'crashes at c'


def fails(example, info):
    """A reader of masks with a programming error."""
    raise ZeroDivisionError('in the reader of %s' % example.filename)


fails.key = 'fails'


def waits(example, info):
    """A reader of masks that waits at 'slow...' until a file is there."""
    while (example.filename.startswith('slow')
           and not os.path.exists(os.path.join(os.path.dirname(example.mask), 'go'))):
        time.sleep(0.01)
    return all_cats(example, info)


waits.key = 'waits'


def labels_by_name(directory, split='train'):
    """Returns a dict from file name to labels, uint8 [height, width], of a built split's records.

    Reads them without the code that wrote them, but for the layout of shards.
    """
    found = {}
    for path in descriptor.shard_paths(descriptor.load(str(directory)), str(directory), split):
        for record in shards.iterate_shard(path):
            features = example_proto.parse(record)
            found[features['image/filename'][0].decode()] = pixels_of(
                features['label/encoded'][0])
    return found
