"""Opens files with Pillow, whichever version it is: the right page, upright, to the last byte."""
import collections
import functools
import io
import logging
import os
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

from dataset.sources import bands, jpeg_png, stored_values, views

# data: bytes of the file. image: `PIL.Image`, loaded, upright unless the view says otherwise.
# format: str, as Pillow calls it. orientation: int, 1 to 8, what the file says of it. is_changed:
# bool, whether the image is not simply what the file holds. num_pages: int. tags: dict from
# number to value, those of a TIFF. is_chosen: bool, whether bands or range are the view's.
Opened = collections.namedtuple(
    'Opened', ['data', 'image', 'format', 'orientation', 'is_changed', 'num_pages', 'tags',
               'is_chosen'], defaults=(False,))

_CHANNEL_DEFINITION, _CODESTREAM = b'cdef', b'jp2c'  # boxes of a JPEG 2000 file
_BMP_BITS = 28
_PNG_DEPTH = 24  # the byte of a PNG that holds its bits per sample
_UPRIGHT = {2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM,
            5: Image.TRANSPOSE, 6: Image.ROTATE_270, 7: Image.TRANSVERSE, 8: Image.ROTATE_90}
_AS_STORED = {**_UPRIGHT, 6: Image.ROTATE_90, 8: Image.ROTATE_270}
# Formats whose files may be a stack or an animation. A second picture in a JPEG is a depth map
# or a preview.
_OF_PAGES = ('TIFF', 'GIF', 'PNG', 'WEBP')


class MissingPageError(ValueError):
    """A page that a file does not hold; the message goes on after the name of the file."""


def open_source(source, view=views.AS_IT_IS):
    """Opens the path (str) or the bytes of a file.

    Raises:
      Exception: nearly anything, on files that are damaged, too large or no image.
    """
    if view.box is None:
        return open_bytes(read(source), view)
    whole = view._replace(box=None)
    with bands.any_size():  # Whoever asks for tiles knows that the image is large.
        if isinstance(source, bytes):
            opened = open_bytes(source, whole)
        else:
            status = os.stat(source)
            opened = _last_opened(source, status.st_size, status.st_mtime_ns, whole)
    if view.box[2] > opened.image.width or view.box[3] > opened.image.height:
        raise ValueError('its size is not the one by which tiles were cut')
    return opened._replace(image=opened.image.crop(view.box), is_changed=True)


def read(source):
    """Returns the bytes of a file by its path (str), or the bytes themselves."""
    if isinstance(source, bytes):
        return source
    with open(source, 'rb') as image_file:
        return image_file.read()


@functools.lru_cache(maxsize=2)
def _last_opened(path, size, changed, view):
    """The image and the mask that the last tile was cut from: the next is mostly of the same."""
    return open_bytes(read(path), view)


def open_bytes(data, view=views.AS_IT_IS):
    """As `open_source`, without the view's box."""
    if view.bands or view.value_range:
        return open_bands(data, view)
    silence()
    pages = bands.tiff_pages(data)
    if pages and bands.is_misread(data, _page(pages, view)):
        return _open_samples(data, pages, view)
    with warnings.catch_warnings():
        # Pillow's warnings about metadata would appear among the progress bars.
        warnings.simplefilter('ignore')
        image = Image.open(io.BytesIO(data))
        file_format, pages = image.format, _pages(image)
        # The first picture of a TIFF may be a reduced copy, which is no page.
        page = _page(pages, view)
        if page:
            image.seek(page)
        tags = dict(getattr(image, 'tag_v2', {}))
        # A TIFF loses it while loading, a PNG may hold it behind the pixels.
        orientation = _orientation(image, tags) if file_format == 'TIFF' else 1
        bands.load(image, tags)
        if file_format != 'TIFF':
            orientation = _orientation(image, tags)
    if file_format == 'PNG':
        jpeg_png.check_png(data)
    if file_format == 'BMP' and image.mode == 'L' and 0 < data[_BMP_BITS] < 8:
        # Pillow 9.5 and 13 take each of its bytes for a pixel.
        raise ValueError('a grey BMP of %d bits is misread; save it as PNG' % data[_BMP_BITS])
    image = _turned(image, orientation, Base.Orientation in tags, view.ignore_exif)
    return Opened(data, image, file_format, orientation,
                  orientation in _UPRIGHT or bool(page), len(pages), tags)


def silence():
    """Keeps Pillow from logging what is said of a file when it is read."""
    logging.getLogger('PIL.TiffImagePlugin').setLevel(logging.CRITICAL)


def measure(source):
    """Looks at the headers of a file.

    Returns:
      List of ((width, height) as stored, orientation), one of each page.

    Raises:
      Exception: as `open_source`.
    """
    data = read(source)
    found = [((tags[Base.ImageWidth], tags[Base.ImageLength]), tags.get(Base.Orientation, 1))
             for tags in bands.tiff_pages(data)]
    if found:
        return found
    silence()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with bands.any_size():
            image = Image.open(io.BytesIO(data))
        size, pages = image.size, _pages(image)
        return [(size, _orientation(image, {}))] * len(pages)


def open_bands(data, view):
    """As `open_bytes`, for an image whose bands or range the view chooses.

    Raises:
      bands.UnusableBandsError: they cannot be had.
    """
    opened, values = _read_samples(data, view)
    shown = bands.shown(values, view.bands, view.value_range)
    if opened.image is None and stored_values.is_white_zero(opened):  # else Pillow turned it round
        shown = 255 - shown
    image = Image.fromarray(shown)
    return opened._replace(image=_turned(image, opened.orientation, False, view.ignore_exif),
                           is_changed=True, is_chosen=True)


def read_chosen(source, view):
    """Returns the values of a file's chosen bands as stored, and the value that stands for none.

    Returns:
      (numbers [height, width, 1 or 3] as `bands.choose`, float or None); raises as `open_bands`.
    """
    with bands.any_size():
        opened, values = _read_samples(read(source), view)
    return bands.choose(values, view.bands), bands.no_data(opened.tags)


def _read_samples(data, view):
    """Returns (`Opened`, all samples [height, width, bands] as stored, not upright)."""
    pages = bands.tiff_pages(data)
    if pages and bands.is_in_samples(_page(pages, view)):
        opened = _described(data, pages, view)
        return opened, bands.tiff_samples(data, opened.tags)
    opened = open_bytes(data, view._replace(bands=None, value_range=None, ignore_exif=True))
    return opened, _shown_samples(opened)


def _described(data, pages, view):
    """Returns the `Opened` of a TIFF that Pillow does not open, yet without image."""
    tags = _page(pages, view)
    limit = Image.MAX_IMAGE_PIXELS
    if limit and tags[Base.ImageWidth] * tags[Base.ImageLength] > 2 * limit:
        raise Image.DecompressionBombError
    orientation = tags.get(Base.Orientation, 1)
    return Opened(data, None, 'TIFF', orientation if orientation in _UPRIGHT else 1, True,
                  len(pages), tags)


def _open_samples(data, pages, view):
    """As `open_bytes`, for a TIFF that Pillow misreads."""
    opened = _described(data, pages, view)
    values = bands.tiff_samples(data, opened.tags)
    image = (_of_one_band(values[:, :, 0], opened) if values.shape[2] == 1 else
             _of_bands(values, bands.color_mode(opened.tags)))
    return opened._replace(image=_turned(image, opened.orientation, False, view.ignore_exif))


def _of_bands(values, mode):
    """Makes a `PIL.Image` of samples as Pillow does: of 16 bits the upper ones."""
    if mode is None:
        raise UnidentifiedImageError
    values = values[:, :, :len(mode)]
    if values.dtype == np.uint16:
        values = (values >> 8).astype(np.uint8)
    return Image.frombytes(mode, values.shape[1::-1], values.tobytes())


def _of_one_band(values, opened):
    """As `_of_bands`, of values [height, width]; those of more than 8 bits stay as stored."""
    if values.dtype == np.uint8:
        image = Image.fromarray(255 - values if stored_values.is_white_zero(opened) else values)
        if Base.ColorMap in opened.tags:
            image.putpalette(bytes(value >> 8 for value in opened.tags[Base.ColorMap]), 'RGB;L')
        return image
    if values.dtype.kind == 'f':
        return Image.fromarray(values.astype(np.float32))
    limits = np.iinfo(np.int32)
    if values.dtype == np.int8 or values.min() < limits.min or values.max() > limits.max:
        raise UnidentifiedImageError
    return Image.fromarray(values if values.dtype == np.uint16 else values.astype(np.int32))


def _shown_samples(opened):
    """Returns the samples that Pillow keeps, [height, width, bands], if those are all."""
    mode = opened.image.mode
    loses_bits = (opened.format == 'PNG' and opened.data[_PNG_DEPTH] > 8 and mode[0] != 'I'
                  or opened.format == 'PPM' and mode == 'RGB' and (
                      stored_values.largest(opened) > 255)
                  or opened.format == 'JPEG2000' and mode[0] == 'I')
    if loses_bits:
        raise bands.UnusableBandsError(
            'is a %s of more than 8 bits, whose values are not kept when it is read: save it as '
            'TIFF for --bands and --value_range.' % opened.format)
    values = stored_values.read(opened) if opened.format == 'PPM' and mode == 'I' else np.array(
        opened.image.convert('RGB') if mode == 'P' else opened.image)
    if values.dtype.kind == 'b':
        values = values.astype(np.uint8) * 255
    return values[:, :, None] if values.ndim == 2 else values


def has_undeclared_band(opened):
    """Whether an `Opened` has a fourth band of which the file does not say that it is alpha."""
    if opened.is_chosen:
        return False
    if opened.format == 'JPEG2000':
        return opened.image.mode == 'RGBA' and _CHANNEL_DEFINITION not in opened.data.partition(
            _CODESTREAM)[0]
    return opened.format == 'TIFF' and bands.has_undeclared_band(opened.tags)


def is_deep(opened):
    """Whether an `Opened` RGB image has 16 bits, of which Pillow keeps the upper ones."""
    return (opened.format == 'PNG' and opened.data[_PNG_DEPTH] == 16
            or opened.format == 'TIFF' and bands.is_deep(opened.tags))


def _page(pages, view):
    """Returns the one of `pages` that the view chooses.

    Raises:
      MissingPageError: there are not so many.
    """
    page = view.page or 0
    if page >= len(pages):
        raise MissingPageError(
            'holds %d page%s, fewer than the file beside it: --pages makes a record of each page '
            'of an image with that of its mask. Export both with the same pages.'
            % (len(pages), '' if len(pages) == 1 else 's'))
    return pages[page]


def _pages(image):
    """Returns the list of the frames that are pages: no smaller copies, no masks of others."""
    number = getattr(image, 'n_frames', 1) if image.format in _OF_PAGES else 1
    if number == 1 or image.format != 'TIFF':
        return list(range(number))
    pages = []
    for frame in range(number):
        image.seek(frame)
        if bands.is_page(image.tag_v2):
            pages.append(frame)
    image.seek(0)
    return pages or [0]


def _orientation(image, tags):
    """Returns the orientation, 1 to 8, or 1 where metadata cannot be read.

    That of EXIF or of a TIFF's own tag: of XMP some versions of Pillow read more than others.
    """
    try:
        if image.format == 'TIFF':
            if Base.Orientation not in tags:
                # Else it would be turned by its XMP while loading.
                image.getexif().pop(Base.Orientation, None)
            found = tags.get(Base.Orientation, 1)
        elif image.format == 'PNG':
            found = image.getexif().get(Base.Orientation, 1)
        else:
            exif = Image.Exif()
            exif.load(image.info.get('exif', b''))
            found = exif.get(Base.Orientation, 1)
    # As in decoding.decode. Viewers show a photograph whose metadata are damaged as it is.
    except Exception:
        return 1
    return found if found in _UPRIGHT else 1


def _turned(image, orientation, is_upright, ignore_exif):
    """Turns an image once, or back: Pillow has turned TIFF files with the tag while loading."""
    if is_upright == (not ignore_exif) or orientation == 1:
        return image
    return image.transpose((_AS_STORED if ignore_exif else _UPRIGHT)[orientation])
