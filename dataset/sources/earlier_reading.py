"""Which files earlier builds read otherwise than today's: what they made of those is built again.

They turned TIFF images twice, took any fourth band for transparency, misread many more TIFFs,
turned no mask, and took grey of few bits, or with white as 0, for class ids as it is shown.
"""
from dataset.sources import jpeg_png

_TIFF = (b'II', b'MM')
_JPEG_2000 = (b'\0\0\0\x0cjP  ', b'\xff\x4f\xff\x51')
_MATLAB = b'MATLAB'  # SBD's masks


def mark(data):
    """Returns a text that is not empty for a TIFF: another one whenever any is read otherwise."""
    return '-tiff' * data.startswith(_TIFF)


def read_image_alike(data):
    """Whether the bytes of an image file always gave the same picture."""
    return not data.startswith(_TIFF + _JPEG_2000)


def read_mask_alike(data):
    """Whether the bytes of a mask file always gave the same ids."""
    if data.startswith(_MATLAB):
        return True
    return jpeg_png.is_png(data) and not (jpeg_png.palette(data) or b'').startswith(
        b'\xff\xff\xff') and not any(
            word in data for word in (b'eXIf', b'rientation', b'Raw profile type'))
