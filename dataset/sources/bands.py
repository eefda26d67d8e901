"""Images of several bands, or of more than 8 bits: which bands are shown, and in which range.

Pillow knows three bands, and four with transparency, and keeps 8 bits of each. Of a TIFF the
samples themselves are read: the bytes of its strips or tiles, whatever packs them, are a grey
image whose rows are as many times as wide as a pixel has bytes.
"""
import io
import math
import struct
import warnings

import numpy as np
from PIL import TiffImagePlugin
from PIL.ExifTags import Base

_GREY, _RGB, _YCBCR, _SEPARATE = (0, 1), 2, 6, 2
_DIFFERENCES, _OF_FLOATS = 2, 3
_LONG = 4
_TIFF, _BIG_TIFF = (b'II*\0', b'MM\0*'), b'II+\0'
_UNCOMPRESSED = 1
# Compressions of bytes, whatever these mean. Every Pillow has the first, some lack the others.
_COMMON, _RARE = (_UNCOMPRESSED, 5, 8, 32773, 32946), (34925, 50000)
_WITH_PREDICTOR = (5, 8, 32946) + _RARE
_KINDS = {1: 'u', 2: 'i', 3: 'f'}  # by sample format
_REDUCED_OR_MASK = 1 | 4
_UNSPECIFIED = 0
_GDAL_NODATA = 42113
_UNPACK = 'This makes another one: gdal_translate -co COMPRESS=DEFLATE OLD NEW'


class UnusableBandsError(ValueError):
    """Bands that cannot be shown; the message goes on after the name of the file."""


def tiff_pages(data):
    """Returns the tags of each page of a TIFF, also of those that Pillow cannot show.

    Returns:
      List of dict from number to value, empty where the bytes are no TIFF that can be read.
    """
    if data[:4] not in _TIFF + (_BIG_TIFF,):
        return []
    pages, seen, stream = [], {0}, io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of Pillow, as in opening.open_bytes
            directory = TiffImagePlugin.ImageFileDirectory_v2(
                data[:16 if data[:4] == _BIG_TIFF else 8])
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


def is_unlikely_alpha(image):
    """Whether most pixels of a `PIL.Image`, RGBA, are neither opaque nor transparent.

    GDAL calls the fourth of four bands of 8 bits transparency, whatever it is.
    """
    used = image.getchannel('A').histogram()
    return 2 * (used[0] + used[-1]) < sum(used)


def is_deep(tags):
    """Whether the samples of a TIFF are whole numbers of 16 bits without sign."""
    return set(_bits(tags)) == {16} and _sample_format(tags) == 1


def no_data(tags):
    """Returns the value, float, that a TIFF of GDAL says to mean that there is none, or None."""
    try:
        return float(tags.get(_GDAL_NODATA, '').strip('\0 '))
    except ValueError:
        return None


def is_in_samples(tags):
    """Whether bands and ranges of a TIFF are taken by `tiff_samples`: Pillow keeps not all."""
    bits = _bits(tags)
    return (unreadable(tags) is None and (len(bits) > 1 or bits[0] > 8)
            and tags.get(Base.PhotometricInterpretation) != _YCBCR)


def is_misread(data, tags):
    """Whether Pillow takes a TIFF for another picture than it is, or for a damaged one.

    So it is with bands one after another, and with compressed numbers of the other byte order.
    """
    bits = _bits(tags)
    if tags.get(Base.PlanarConfiguration) == _SEPARATE:
        return bits[0] > 8 or (
            len(bits) > 2 and tags.get(Base.PhotometricInterpretation) in _GREY)
    return (len(bits) == 1 and bits[0] in (16, 32) and data[:2] == b'MM'
            and tags.get(Base.Compression, _UNCOMPRESSED) != _UNCOMPRESSED)


def unreadable(tags):
    """Says why `tiff_samples` cannot read a page of a TIFF, and what helps; None where it can."""
    bits, kind = _bits(tags), _KINDS.get(_sample_format(tags))
    if len(set(bits)) > 1 or bits[0] not in (8, 16, 32, 64) or kind is None or (
            kind == 'f' and bits[0] == 8):
        return ('is a TIFF of %s%s, which cannot be read. This makes another one: gdal_translate '
                '-ot %s OLD NEW' % (
                    describe(tags), '' if kind else ' that are no plain numbers',
                    'UInt16 -co NBITS=16' if kind == 'u' and max(bits) < 16 else 'Float32'))
    compression = tags.get(Base.Compression, _UNCOMPRESSED)
    if compression not in _COMMON + _RARE:
        return ('is a TIFF of %s in the compression %s, whose bands cannot be told apart. %s'
                % (describe(tags), _compression(tags), _UNPACK))
    if (tags.get(Base.Predictor, 1) not in (1, _DIFFERENCES, _OF_FLOATS)[:3 if kind == 'f' else 2]
            or tags.get(Base.FillOrder, 1) != 1):
        return ('is a TIFF of %s with a predictor or an order of bits that is not known here. %s'
                % (describe(tags), _UNPACK))
    return None


def explain(tags, is_mask):
    """Says of a TIFF that has no one way to be shown what it is and what helps."""
    if is_mask:
        advice = 'Export a mask of one band, as PNG.'
    elif unreadable(tags):
        return unreadable(tags) + '.'
    else:
        number = len(_bits(tags))
        which = 'Say' if number == 1 else 'Choose bands with --bands %s, or other ones, and' % (
            '1' if number == 2 else '1 2 3' if is_rgb(tags) else '3 2 1')
        advice = ('%s what becomes black and white with --value_range LOW HIGH (build_folder.py, '
                  'predict.py), or 2%% 98%% (build_folder.py).' % which)
    return 'is a TIFF of %s, which has no one way to be shown. %s' % (describe(tags), advice)


def _compression(tags):
    number = tags[Base.Compression]
    return TiffImagePlugin.COMPRESSION_INFO.get(number, 'number %d' % number)


def load(image, tags):
    """Decodes a `PIL.Image` of a file with the TIFF tags `tags`; errors name the compression.

    Raises:
      OSError: it is damaged, or compressed as this Pillow cannot read.
    """
    try:
        image.load()
    except OSError as error:
        if tags.get(Base.Compression, _UNCOMPRESSED) in _COMMON:
            raise
        raise OSError('%s. It is damaged, or Pillow lacks its compression, %s. %s'
                      % (error, _compression(tags), _UNPACK))


def tiff_samples(data, tags):
    """Returns all samples of a page of a TIFF as stored.

    Args:
      data: bytes of the file.
      tags: dict, one of `tiff_pages`.

    Returns:
      Integers of 8 to 64 bits with or without sign, or floats of 16 to 64, [height, width, bands].

    Raises:
      UnusableBandsError: they are of a kind that cannot be read here.
      OSError: as `load`.
    """
    problem = unreadable(tags)
    if problem:
        raise UnusableBandsError(problem + '.')
    bits = _bits(tags)
    number = 1 if tags.get(Base.PlanarConfiguration) == _SEPARATE else len(bits)
    dtype = np.dtype('%s%s%d' % ('<' if data[:2] == b'II' else '>', _KINDS[_sample_format(tags)],
                                 bits[0] // 8))
    planes = [_plane(data, tags, plane, number, dtype) for plane in range(len(bits) // number)]
    return np.concatenate(planes, axis=2)


def _plane(data, tags, plane, number, dtype):
    """Decodes the samples of one plane of `number` bands, [height, width, number]."""
    width, height = tags[Base.ImageWidth], tags[Base.ImageLength]
    compression = tags.get(Base.Compression, _UNCOMPRESSED)
    grey = {Base.ImageLength: height, Base.BitsPerSample: 8, Base.SamplesPerPixel: 1,
            Base.PhotometricInterpretation: 1, Base.Compression: compression}
    is_tiled = Base.TileOffsets in tags
    part_width = tags[Base.TileWidth] if is_tiled else width
    rows = tags[Base.TileLength] if is_tiled else min(tags.get(Base.RowsPerStrip, height), height)
    across, line = math.ceil(width / part_width), part_width * number * dtype.itemsize
    # A tile reaches over the edge; so does the grey image.
    grey[Base.ImageWidth] = across * line
    if is_tiled:
        grey.update({Base.TileWidth: line, Base.TileLength: rows})
        places = Base.TileOffsets, Base.TileByteCounts
    else:
        grey[Base.RowsPerStrip] = rows
        places = Base.StripOffsets, Base.StripByteCounts
    parts = across * math.ceil(height / rows)
    chosen = slice(plane * parts, (plane + 1) * parts)
    grey.update((tag, tuple(tags[tag])[chosen]) for tag in places)
    # Not by Image.open, which would count bytes as pixels against its limit.
    image = TiffImagePlugin.TiffImageFile(io.BytesIO(_with_directory(data, grey)))
    load(image, grey)
    predictor = tags.get(Base.Predictor, 1) if compression in _WITH_PREDICTOR else 1
    values = _unpredicted(np.array(image).reshape(height, across, line), predictor, number, dtype)
    return values.reshape(height, -1, number)[:, :width]


def _unpredicted(lines, predictor, number, dtype):
    """Makes numbers of the bytes in strips or tiles, uint8 [height, across, bytes of a row].

    Returns [height, across, width of one, number], of `dtype` in the order of this machine.
    """
    if predictor == _OF_FLOATS:
        # The first bytes of all numbers of a row, then the second ones; differences of bytes.
        lines = np.cumsum(lines.reshape(lines.shape[:2] + (-1, number)), axis=2, dtype=np.uint8)
        lines = lines.reshape(lines.shape[:2] + (dtype.itemsize, -1)).swapaxes(2, 3).copy()
        dtype = dtype.newbyteorder('>')
    values = lines.reshape(lines.shape[:2] + (-1,)).view(dtype)
    values = values.reshape(values.shape[:2] + (-1, number)).astype(dtype.newbyteorder('='))
    if predictor == _DIFFERENCES:
        whole = 'u%d' % dtype.itemsize
        values = np.cumsum(values.view(whole), axis=2, dtype=whole).view(values.dtype)
    return values


def _with_directory(data, tags):
    """Returns a TIFF of the strips or tiles of another, with other tags (dict to int or ints)."""
    entries, tables = [], b''
    start = len(data) + len(data) % 2
    tables_start = start + 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        values = value if isinstance(value, tuple) else (value,)
        packed = struct.pack('<%dI' % len(values), *values)
        if len(values) > 1:
            place, tables = tables_start + len(tables), tables + packed
            packed = struct.pack('<I', place)
        entries.append(struct.pack('<2HI', tag, _LONG, len(values)) + packed)
    directory = struct.pack('<H', len(tags)) + b''.join(entries) + bytes(4) + tables
    return b''.join([_TIFF[0], struct.pack('<I', start), data[8:], bytes(len(data) % 2), directory])


def choose(values, bands):
    """Returns [height, width, 1 or 3] of samples; arguments and `Raises` are those of `shown`."""
    number = values.shape[2]
    bands = bands or ((1, 2, 3) if number >= 3 else (1,))
    if max(bands) > number:
        raise UnusableBandsError('has no band %d, only %d: give others to --bands.'
                                 % (max(bands), number))
    return values[:, :, [band - 1 for band in bands]]


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
    chosen = choose(values, bands)
    times = 3 // chosen.shape[2]
    if value_range is None:
        if chosen.dtype == np.uint8:
            return np.repeat(chosen, times, axis=2)
        if chosen.dtype != np.uint16:
            raise UnusableBandsError(
                'holds values of type %s, here %g to %g, which have no agreed range: give '
                '--value_range LOW HIGH, or 2%% 98%% (build_folder.py).'
                % (chosen.dtype, np.nanmin(chosen), np.nanmax(chosen)))
        value_range = (0, 65535)
    low, high = value_range
    scaled = np.nan_to_num((chosen.astype(np.float64) - low) * (255. / (high - low)))
    scaled = np.clip(np.floor(scaled + 0.5), 0, 255).astype(np.uint8)
    return np.repeat(scaled, times, axis=2)
