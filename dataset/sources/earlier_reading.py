"""Which files earlier builds read otherwise than today's: what they made of those is built again.

They turned TIFF images twice, took any fourth band for transparency, turned no mask, and took
grey of few bits, or with white as 0, for class ids as it is shown.
"""
from PIL.ExifTags import Base

from dataset.sources import bands, jpeg_png

_TIFF = (b'II', b'MM')
_JPEG_2000 = (b'\0\0\0\x0cjP  ', b'\xff\x4f\xff\x51')
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE = 0, 1, 3
_SEPARATE, _SIGNED, _ALPHA = 2, 2, 2
_LOSSLESS = (1, 5, 8, 32773, 32946, 34925, 50000)
_MATLAB = b'MATLAB'  # SBD's masks


def mark(data):
    """Returns a text that is not empty for a TIFF whose samples earlier builds may have misread.

    They took differences of floats, and those within tiles, for what they are not, bands one
    after another for one band, and numbers of one byte order for those of the other.
    """
    if not data.startswith(_TIFF):
        return ''
    pages = bands.tiff_pages(data)
    return '-samples' * any(
        tags.get(Base.PlanarConfiguration) == _SEPARATE
        or tags.get(Base.Predictor, 1) != 1 and tags.get(Base.SamplesPerPixel, 1) > 1
        or data.startswith(_TIFF[1]) and max(tags.get(Base.BitsPerSample, (1,))) > 8
        for tags in pages) + '-shown' * any(map(_is_shown_otherwise, pages))


def _is_shown_otherwise(tags):
    """Whether builds filled parts that a TIFF leaves out with others, or took its colours wrong.

    So it was with white as 0, bytes with a sign, two bands, and four one after another.
    """
    number, bits = tags.get(Base.SamplesPerPixel, 1), max(tags.get(Base.BitsPerSample, (1,)))
    if number > 1:
        return (not bands.is_whole(tags)
                or number > 3 and tags.get(Base.PlanarConfiguration) == _SEPARATE
                or number == 2 and bits == 8 and tags.get(Base.ExtraSamples) != (_ALPHA,))
    return (not bands.is_whole(tags)
            or bits >= 8 and tags.get(Base.PhotometricInterpretation) == _WHITE_IS_ZERO
            or bits == 8 and _SIGNED in tags.get(Base.SampleFormat, ()))


def read_image_alike(data):
    """Whether the bytes of an image file always gave the same picture."""
    if data.startswith(_TIFF):
        pages = bands.tiff_pages(data)
        return bool(pages) and pages[0].get(Base.Orientation, 1) == 1 and not (
            bands.has_undeclared_band(pages[0]))
    return not data.startswith(_JPEG_2000)


def read_mask_alike(data):
    """Whether the bytes of a mask file always gave the same ids."""
    if data.startswith(_TIFF):
        pages = bands.tiff_pages(data)
        return bool(pages) and pages[0].get(Base.Orientation, 1) == 1 and (
            min(pages[0].get(Base.BitsPerSample, (1,))) >= 8
            and pages[0].get(Base.Compression) in _LOSSLESS
            and pages[0].get(Base.PhotometricInterpretation) in (_BLACK_IS_ZERO, _PALETTE))
    if data.startswith(_MATLAB):
        return True
    return jpeg_png.is_png(data) and not (jpeg_png.palette(data) or b'').startswith(
        b'\xff\xff\xff') and not any(
            word in data for word in (b'eXIf', b'rientation', b'Raw profile type'))
