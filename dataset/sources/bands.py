"""Images of several bands, or of more than 8 bits: which bands are shown, and in which range.

Pillow knows three bands, and four with transparency, and keeps 8 bits of each. Of a TIFF the
samples themselves are read: its strips or tiles, whatever packs them, are a grey image whose
rows are as many times as wide as there are bands.
"""
import io
import math
import struct
import warnings

import numpy as np
from PIL import TiffImagePlugin
from PIL.ExifTags import Base

_RGB, _SEPARATE, _DIFFERENCES = 2, 2, 2
_LONG = 4
_CLASSIC_TIFF = (b'II*\0', b'MM\0*')
_JPEG_COMPRESSIONS = (6, 7)
_REDUCED_OR_MASK = 1 | 4
_UNSPECIFIED = 0
_ADVICE = 'Save the bands that count as TIFF of 8 or 16 bits.'


class UnusableBandsError(ValueError):
    """Bands that cannot be shown; the message goes on after the name of the file."""


def tiff_pages(data):
    """Returns the tags of each page of a TIFF, also of those that Pillow cannot show.

    Returns:
      List of dict from number to value, empty where the bytes are no TIFF that can be read.
    """
    if data[:4] not in _CLASSIC_TIFF:
        return []
    pages, seen, stream = [], {0}, io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of Pillow, as in opening.open_bytes
            directory = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
            while directory.next not in seen:
                seen.add(directory.next)
                stream.seek(directory.next)
                directory.load(stream)
                pages.append(dict(directory))
    # As in decoding.decode.
    except Exception:
        return []
    return list(filter(is_page, pages))


def is_page(tags):
    """Whether tags are those of a picture of its own: no smaller copy, no mask of another."""
    return not tags.get(Base.NewSubfileType, 0) & _REDUCED_OR_MASK


def describe(tags):
    """Returns 'N bands of M bits' for the tags of a TIFF."""
    bits = _bits(tags)
    return '%d band%s of %s%s bits' % (
        len(bits), '' if len(bits) == 1 else 's', ' and '.join(map(str, sorted(set(bits)))),
        ' floating-point' if _sample_format(tags) == 3 else '')


def _bits(tags):
    number = tags.get(Base.SamplesPerPixel, 1)
    bits = tuple(tags.get(Base.BitsPerSample, (1,)))
    return bits * number if len(bits) == 1 else bits[:number]


def _sample_format(tags):
    return tuple(tags.get(Base.SampleFormat, (1,)))[0]


def is_rgb(tags):
    """Whether a TIFF says that its first bands are red, green and blue."""
    return tags.get(Base.PhotometricInterpretation) == _RGB


def has_undeclared_band(tags):
    """Whether an RGB TIFF holds a fourth band of which it does not say that it is transparency."""
    return (is_rgb(tags)
            and tags.get(Base.SamplesPerPixel, 1) > 3
            and tuple(tags.get(Base.ExtraSamples, ()))[:1] in ((), (_UNSPECIFIED,)))


def is_deep(tags):
    """Whether the samples of a TIFF have 16 bits."""
    return set(_bits(tags)) == {16}


def is_in_samples(tags, is_shown):
    """Whether to read a TIFF by `tiff_samples`: what Pillow `is_shown` to be does not do."""
    return not is_shown or (
        len(_bits(tags)) > 1 and tags.get(Base.Compression) not in _JPEG_COMPRESSIONS)


def tiff_samples(data, tags):
    """Returns all samples of a page of a TIFF as stored.

    Args:
      data: bytes of the file.
      tags: dict, one of `tiff_pages`.

    Returns:
      uint8, uint16, their signed kinds, or 32 bits of any kind, [height, width, bands].

    Raises:
      UnusableBandsError: they are of a kind that cannot be read here.
    """
    bits, sample_format = _bits(tags), _sample_format(tags)
    if len(set(bits)) > 1 or bits[0] not in (8, 16, 32):
        raise UnusableBandsError('holds %s, which cannot be read. %s' % (describe(tags), _ADVICE))
    if bits[0] == 32 and data[:2] == b'MM' and tags.get(Base.Compression, 1) != 1:
        # Pillow 9.5 and 13 confuse the order of their bytes.
        raise UnusableBandsError('holds 32-bit values that are compressed and big-endian, which '
                                 'cannot be read. ' + _ADVICE)
    number = 1 if tags.get(Base.PlanarConfiguration) == _SEPARATE else len(bits)
    planes = []
    for plane in range(len(bits) // number):
        values = _plane(data, tags, plane, number)
        values = values.reshape(len(values), -1, number)
        if tags.get(Base.Predictor, 1) == _DIFFERENCES:
            values = np.cumsum(values, axis=1, dtype=values.dtype)
        planes.append(values)
    values = np.concatenate(planes, axis=2)
    return values.view('i%d' % (bits[0] // 8)) if sample_format == 2 else values


def _plane(data, tags, plane, number):
    """Decodes the samples of one plane, [height, width * number], as a grey image of that width."""
    width, height, bits = tags[Base.ImageWidth], tags[Base.ImageLength], _bits(tags)[0]
    is_tiled = Base.TileOffsets in tags
    places = ((Base.TileOffsets, Base.TileByteCounts) if is_tiled else
              (Base.StripOffsets, Base.StripByteCounts))
    grey = {Base.ImageLength: height, Base.BitsPerSample: bits, Base.SamplesPerPixel: 1,
            Base.PhotometricInterpretation: 1, Base.Compression: tags.get(Base.Compression, 1),
            # Pillow knows 32 bits of either byte order with a sign alone.
            Base.SampleFormat: 2 if bits == 32 else 1}
    if is_tiled:
        tile_width, tile_height = tags[Base.TileWidth], tags[Base.TileLength]
        across, down = math.ceil(width / tile_width), math.ceil(height / tile_height)
        parts = across * down
        # A tile reaches over the edge; so does the grey image.
        grey[Base.ImageWidth] = across * tile_width * number
        grey[Base.TileWidth], grey[Base.TileLength] = tile_width * number, tile_height
    else:
        rows = min(tags.get(Base.RowsPerStrip, height), height)
        parts = math.ceil(height / rows)
        grey[Base.ImageWidth], grey[Base.RowsPerStrip] = width * number, rows
    chosen = slice(plane * parts, (plane + 1) * parts)
    grey.update((tag, tuple(tags[tag])[chosen]) for tag in places)
    # Not by Image.open, which would count bands as pixels against its limit.
    image = TiffImagePlugin.TiffImageFile(io.BytesIO(_with_directory(data, grey)))
    image.load()
    kind = 'f4' if _sample_format(tags) == 3 else 'u%d' % (bits // 8)
    values = np.array(image)
    return (values.astype(kind) if bits < 32 else values.view(kind))[:, :width * number]


def _with_directory(data, tags):
    """Returns a TIFF of the strips or tiles of another, with other tags (dict to int or ints)."""
    order = '<' if data[:2] == b'II' else '>'
    entries, tables = [], b''
    start = len(data) + len(data) % 2
    tables_start = start + 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        values = value if isinstance(value, tuple) else (value,)
        packed = struct.pack('%s%dI' % (order, len(values)), *values)
        if len(values) > 1:
            place, tables = tables_start + len(tables), tables + packed
            packed = struct.pack(order + 'I', place)
        entries.append(struct.pack(order + '2HI', tag, _LONG, len(values)) + packed)
    directory = struct.pack(order + 'H', len(tags)) + b''.join(entries) + bytes(4) + tables
    return (data[:4] + struct.pack(order + 'I', start) + data[8:] + bytes(len(data) % 2)
            + directory)


def shown(values, bands, value_range):
    """Makes RGB of samples.

    Args:
      values: [height, width, bands], of any numeric dtype.
      bands: tuple of 1 or 3 int from 1, or None for the first three, or the only one.
      value_range: (low, high), or None for all that the dtype can hold.

    Returns:
      uint8 [height, width, 3].

    Raises:
      UnusableBandsError: there is no such band, or no range.
    """
    number = values.shape[2]
    bands = bands or ((1, 2, 3) if number >= 3 else (1,))
    if max(bands) > number:
        raise UnusableBandsError('has no band %d, only %d: give others to --bands.'
                                 % (max(bands), number))
    chosen = values[:, :, [band - 1 for band in bands]]
    if value_range is None:
        if chosen.dtype == np.uint8:
            return np.repeat(chosen, 3 // len(bands), axis=2)
        if chosen.dtype != np.uint16:
            raise UnusableBandsError(
                'holds values of type %s, here %g to %g, which have no agreed range: give '
                '--value_range LOW HIGH.' % (chosen.dtype, np.nanmin(chosen), np.nanmax(chosen)))
        value_range = (0, 65535)
    low, high = value_range
    scaled = np.nan_to_num((chosen.astype(np.float64) - low) * (255. / (high - low)))
    scaled = np.clip(np.floor(scaled + 0.5), 0, 255).astype(np.uint8)
    return np.repeat(scaled, 3 // len(bands), axis=2)
