"""Images of several bands, or of more than 8 bits: which bands are shown, and in which range.

Pillow knows three bands, and four with transparency, and keeps 8 bits of each. Of a TIFF the
samples themselves are read: the bytes of its strips or tiles, whatever packs them, one below the
other are a grey image whose rows are as many times as wide as a pixel has bytes.
"""
import contextlib
import io
import math
import struct
import warnings

import numpy as np
from PIL import Image, TiffImagePlugin
from PIL.ExifTags import Base

_WHITE_IS_ZERO, _GREY, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_MODES = {_GREY: 'L', _RGB: 'RGB', _CMYK: 'CMYK'}
_SEPARATE = 2
_DIFFERENCES, _OF_FLOATS = 2, 3
_LONG = 4
_TIFF, _BIG_TIFF = (b'II*\0', b'MM\0*'), b'II+\0'
_UNCOMPRESSED = 1
# Compressions of bytes, whatever these mean. Every Pillow has the first, some lack the others.
_COMMON, _RARE = (_UNCOMPRESSED, 5, 8, 32773, 32946), (34925, 50000)
_WITH_PREDICTOR = (5, 8, 32946) + _RARE
_KINDS = {1: 'u', 2: 'i', 3: 'f'}  # by sample format
_SIGNED, _FLOAT = 2, 3
_REDUCED_OR_MASK = 1 | 4
_UNSPECIFIED, _PREMULTIPLIED, _ALPHA = 0, 1, 2
_GDAL_NODATA = 42113
_UNPACK = 'This makes another one: gdal_translate -co COMPRESS=DEFLATE OLD NEW'


class UnusableBandsError(ValueError):
    """Bands that cannot be shown; the message goes on after the name of the file."""


@contextlib.contextmanager
def any_size():
    """A context in which Pillow opens images of any number of pixels."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


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
        {_SIGNED: ' signed', _FLOAT: ' floating-point'}.get(_sample_format(tags), ''))


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
    return (is_rgb(tags) and tags.get(Base.SamplesPerPixel, 1) > 3
            and _extra(tags) in (None, _UNSPECIFIED))


def _extra(tags):
    """Returns what a TIFF says of the first band that is no colour, or None."""
    return (tuple(tags.get(Base.ExtraSamples, ())) or (None,))[0]


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
    except (ValueError, TypeError, AttributeError):  # also of a tag that is no text
        return None


def is_in_samples(tags):
    """Whether bands and ranges of a TIFF are taken by `tiff_samples`: Pillow keeps not all."""
    bits, kind = _bits(tags), tags.get(Base.PhotometricInterpretation)
    return unreadable(tags) is None and kind != _YCBCR and (
        len(bits) > 1 or bits[0] > 8 or _sample_format(tags) == _SIGNED or kind == _WHITE_IS_ZERO)


def is_misread(data, tags):
    """Whether some Pillow takes a TIFF for another picture than it is, or for a damaged one.

    So it is with parts that are left out, bands one after another, two bands or more than four,
    and numbers of the other byte order, with a sign or of more than 16 bits.
    """
    bits, kind = _bits(tags), tags.get(Base.PhotometricInterpretation)
    is_separate, is_wide = tags.get(Base.PlanarConfiguration) == _SEPARATE, bits[0] > 8
    if not _present(tags).all():
        return True
    if len(bits) == 1:
        if not is_wide:
            return _sample_format(tags) == _SIGNED
        return is_separate or data[:2] == b'MM' or (
            bits[0] > 16 and _sample_format(tags) != _FLOAT)
    if kind in (_WHITE_IS_ZERO, _GREY, _PALETTE):
        return is_separate or is_wide or _extra(tags) != _ALPHA
    if is_separate:
        return is_wide or kind in _MODES and unreadable(tags) is None
    return kind == _RGB and len(bits) > 4 or kind == _CMYK and is_wide


def color_mode(tags):
    """Returns the mode of Pillow that shows a TIFF of several bands, or None."""
    bits, kind = _bits(tags), tags.get(Base.PhotometricInterpretation)
    mode = _MODES.get(kind)
    if mode is None or set(bits) not in ({8}, {16}) or _sample_format(tags) != 1:
        return None
    if kind != _CMYK and len(bits) > len(mode) and _extra(tags) not in (None, _UNSPECIFIED):
        mode += 'a' if _extra(tags) == _PREMULTIPLIED else 'A'
    return None if kind == _GREY and len(bits) != len(mode) else mode


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
        advice = 'Export a mask of one band, of whole numbers from 0 to 65535, as PNG.'
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
      Parts that the file leaves out hold the value that stands for none, or 0, as for GDAL.

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


def _present(tags):
    """Returns whether the file holds each strip or tile; GDAL leaves out empty ones."""
    offsets, sizes = _parts(tags)
    # Some writers name no sizes of what is not compressed.
    return (offsets != 0) & (
        (sizes != 0) | (tags.get(Base.Compression, _UNCOMPRESSED) == _UNCOMPRESSED))


def _parts(tags):
    """Returns where the strips or tiles of a TIFF begin, and their bytes, int64 [2, number]."""
    places = (Base.TileOffsets, Base.TileByteCounts) if Base.TileOffsets in tags else (
        Base.StripOffsets, Base.StripByteCounts)
    offsets, sizes = [tags.get(place, ()) for place in places]
    return np.array([offsets, sizes if len(sizes) == len(offsets) else offsets], np.int64)


def _plane(data, tags, plane, number, dtype):
    """Decodes the samples of one plane of `number` bands, [height, width, number]."""
    width, height = tags[Base.ImageWidth], tags[Base.ImageLength]
    is_tiled = Base.TileOffsets in tags
    part_width = tags[Base.TileWidth] if is_tiled else width
    rows = tags[Base.TileLength] if is_tiled else min(tags.get(Base.RowsPerStrip, height), height)
    across, down = math.ceil(width / part_width), math.ceil(height / rows)
    chosen = slice(plane * across * down, (plane + 1) * across * down)
    present = _present(tags)[chosen]
    # Of the rows of all parts, one below the other. Tiles reach over the edge, strips do not.
    is_held = np.repeat(present, rows)[:None if is_tiled else height]
    values = np.zeros((0, part_width, number), dtype.newbyteorder('='))
    if is_held.any():
        offsets, sizes = _parts(tags)[:, chosen][:, present].tolist()
        values = _decoded(data, tags, {
            Base.ImageWidth: part_width * number * dtype.itemsize,
            Base.ImageLength: int(is_held.sum()), Base.RowsPerStrip: rows,
            Base.StripOffsets: tuple(offsets), Base.StripByteCounts: tuple(sizes)}, number, dtype)
    if not is_held.all():
        held = values
        values = np.full((len(is_held),) + held.shape[1:], _filling(tags, held.dtype), held.dtype)
        values[is_held] = held
    if is_tiled:
        values = values.reshape(down, across, rows, part_width, number).swapaxes(1, 2)
        values = values.reshape(down * rows, across * part_width, number)
    return values[:height, :width]


def _filling(tags, dtype):
    """Returns what a part that is not there holds: GDAL's value for none, if it fits, or 0."""
    value = no_data(tags) or 0
    if dtype.kind == 'f':
        return value
    limits = np.iinfo(dtype)
    return int(value) if limits.min <= value <= limits.max else 0


def _decoded(data, tags, grey, number, dtype):
    """Decodes the bytes of a grey image, its tags as a dict, to [height, width, number]."""
    compression = tags.get(Base.Compression, _UNCOMPRESSED)
    grey.update({Base.BitsPerSample: 8, Base.SamplesPerPixel: 1, Base.Compression: compression,
                 Base.PhotometricInterpretation: _GREY})
    with any_size():  # Its bytes would count as pixels.
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(_with_directory(data, grey)))
        load(image, grey)
    predictor = tags.get(Base.Predictor, 1) if compression in _WITH_PREDICTOR else 1
    return _unpredicted(np.array(image), predictor, number, dtype)


def _unpredicted(lines, predictor, number, dtype):
    """Makes numbers of the bytes in strips or tiles, uint8 [height, bytes of a row].

    Returns [height, width of one, number], of `dtype` in the order of this machine.
    """
    height = len(lines)
    if predictor == _OF_FLOATS:
        # The first bytes of all numbers of a row, then the second ones; differences of bytes.
        lines = np.cumsum(lines.reshape(height, -1, number), axis=1, dtype=np.uint8)
        lines = lines.reshape(height, dtype.itemsize, -1).swapaxes(1, 2).copy()
        dtype = dtype.newbyteorder('>')
    values = lines.reshape(height, -1).view(dtype)
    values = values.reshape(height, -1, number).astype(dtype.newbyteorder('='))
    if predictor == _DIFFERENCES:
        whole = 'u%d' % dtype.itemsize
        values = np.cumsum(values.view(whole), axis=1, dtype=whole).view(values.dtype)
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
