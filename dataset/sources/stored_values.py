"""The values that a mask holds, where Pillow gives those that it shows.

Pillow stretches grey of few bits to 0..255 and turns it round where 0 is white. A class id is
what the file holds.
"""
import collections

import numpy as np
from PIL.ExifTags import Base

from dataset.sources import jpeg_png

_WHITE_IS_ZERO = 0
# Numbers of the TIFF tag; of each, some or all files are not what was saved.
_LOSSY_COMPRESSIONS = {6: 'old JPEG', 7: 'JPEG', 34712: 'JPEG 2000', 34892: 'lossy JPEG',
                       50001: 'WebP', 50002: 'JPEG XL'}
_WHITE = 255


def lossy_compression(opened):
    """Returns what a mask is, if its compression may have changed its values, or None."""
    if opened.format in ('JPEG', 'MPO'):
        return 'JPEG'
    if opened.format == 'JPEG2000':
        # Which does not say whether it is lossless.
        return 'JPEG 2000'
    if opened.format == 'TIFF' and opened.tags.get(Base.Compression) in _LOSSY_COMPRESSIONS:
        return 'TIFF with the compression ' + _LOSSY_COMPRESSIONS[opened.tags[Base.Compression]]
    return None


def unclear_black(opened):
    """Says why it is open whether 0 is the black or the white of a mask, or returns None."""
    image = opened.image
    if image.mode == '1' and opened.format == 'PPM':
        return 'a PBM, whose 1 is black'
    if image.mode == '1' and is_white_zero(opened):
        return 'a 1-bit TIFF, whose 1 is black (photometric interpretation MinIsWhite)'
    if image.mode == 'P':
        if (image.getpalette() or [])[:3] != [_WHITE] * 3:
            return None
        used, palette = _used(image)
        if len(used) > 1 and used[0] == 0 and (palette[used] == palette[used, :1]).all():
            return 'of greys whose palette begins with white'
    return None


def _used(image):
    """Returns (indices that a palette image uses, ascending, its palette, int [entries, 3])."""
    palette = np.array(image.getpalette() or [], int).reshape(-1, 3)
    # Pillow's histogram takes a tenth of the time of np.bincount.
    return np.flatnonzero(image.histogram()[:len(palette)]), palette


def unique_colors(image):
    """Returns a dict from the colours (0xRRGGBB) that a palette image shows to their indices.

    Colours that several entries of the palette have are left out: entries that are not used are
    black in many palettes.
    """
    used, palette = _used(image)
    codes = palette.dot([65536, 256, 1])
    times = collections.Counter(codes.tolist())
    return {int(codes[index]): int(index) for index in used if times[codes[index]] == 1}


def is_white_zero(opened):
    """Whether 0 is white in a TIFF of one band; Pillow turns round those of up to 8 bits."""
    return (opened.format == 'TIFF' and opened.tags.get(Base.SamplesPerPixel, 1) == 1
            and opened.tags.get(Base.PhotometricInterpretation) == _WHITE_IS_ZERO)


def largest(opened):
    """Returns the largest value that a grey file can hold, where Pillow shows it as white."""
    image = opened.image
    if image.mode == '1':
        return 1
    if opened.format == 'PPM':
        return _pgm_maximum(opened.data)
    if image.mode == 'L' and opened.format == 'PNG':
        return 255 // jpeg_png.png_grey_factor(opened.data)
    if image.mode == 'L' and opened.format == 'TIFF':
        return 2 ** min(8, tuple(opened.tags.get(Base.BitsPerSample, (8,)))[0]) - 1
    return 255


def _pgm_maximum(data):
    """Returns the maximum that the header of a PGM or PPM names, the third number in it."""
    numbers, rest = [], data[2:]
    while len(numbers) < 3:
        rest = rest.lstrip()
        if rest.startswith(b'#'):
            rest = rest[min(end for end in (rest.find(b'\n'), rest.find(b'\r'), len(rest))
                            if end >= 0):]
            continue
        word = rest.split(None, 1)[0].split(b'#')[0]
        numbers.append(int(word))
        rest = rest[len(word):]
    return numbers[2]


def read(opened):
    """Returns the values of a one-channel `opening.Opened`, integers [height, width]."""
    values = np.array(opened.image)
    if values.dtype == bool:
        return values.astype(np.uint8)
    if opened.image.mode not in ('L', 'I'):
        return values
    top = largest(opened)
    if opened.format == 'PPM':
        shown_top = 255 if top <= 255 else 65535
        return values if top == shown_top else (
            (values.astype(np.int64) * top + shown_top // 2) // shown_top)
    if opened.image.mode == 'L' and is_white_zero(opened):
        values = 255 - values
    return values // (255 // top) if top < 255 else values
