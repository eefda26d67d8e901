"""Reads images and masks of any common kind with Pillow, or says what is wrong with them.

Nothing here imports TensorFlow: the processes that build a data set start quickly.
"""
import collections
import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from common import pictures
from common.errors import UserError
from dataset import descriptor, voc
from dataset.sources import id_maps, jpeg_png

# filename: str, stored in the record. image, mask: each the path of a file
# (str) or the bytes of one.
Example = collections.namedtuple('Example', ['filename', 'image', 'mask'])

JPEG_FORMATS = ('JPEG', 'MPO')  # as Pillow calls them
_MASK_MODES = ('1', 'L', 'P', 'I', 'I;16', 'I;16B', 'I;16L')
_DEEP_IMAGE_MODES = ('I', 'I;16', 'I;16B', 'I;16L')
_LARGEST_16_BIT = 65535
# Colours that were multiplied by their alpha have to be divided before composition.
_STRAIGHT_ALPHA = {'RGBa': 'RGBA', 'La': 'LA'}
_EXIF_ORIENTATION = 0x0112
_UNDECODABLE = {'image': 'image_unusable', 'mask': 'mask_undecodable'}
_UPRIGHT = {2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM,
            5: Image.TRANSPOSE, 6: Image.ROTATE_270, 7: Image.TRANSVERSE, 8: Image.ROTATE_90}


class InvalidExampleError(UserError):
    """An image or mask that cannot be trained on; the message names the file.

    Attributes:
      code: str, the kind of mistake, a key of `checking.findings.CODES`; None of errors
        that sum up many.
    """

    def __init__(self, message='', code=None):
        super().__init__(message)
        self.code = code


def read_image(example):
    """Reads the image as bytes that `tf.image.decode_jpeg(channels=3)` turns into upright RGB.

    8-bit RGB and grey JPEG and PNG files pass untouched where TensorFlow and Pillow
    see the same pixels (tests/dataset/sources/test_decoding.py). All else becomes an RGB PNG
    as a viewer would show it: turned upright as EXIF says, transparent parts on white,
    16-bit grey scaled from 0..65535.

    Returns:
      (bytes, 'jpeg' or 'png', (width, height)).

    Raises:
      InvalidExampleError: the file is damaged, no image, or of a kind that has no
        one way to be shown in 8 bits.
    """
    data, image_format, image = _upright(example)
    return pictures.png(image) if data is None else data, image_format, image.size


def read_rgb(example):
    """Reads the image as pixels, those that a record of `read_image` is decoded to.

    Returns:
      (upright RGB as uint8 [height, width, 3], whether `read_image` passes the file
      untouched as bool); raises as `read_image`.
    """
    data, _, image = _upright(example)
    return np.array(image.convert('RGB')), data is not None


def _upright(example):
    """Returns (bytes of a file that TensorFlow reads alike or None, its format, the image)."""
    data, image = decode(example, 'image')
    turn = _UPRIGHT.get(_orientation(image))
    if turn is None and image.mode in ('RGB', 'L'):
        if image.format in JPEG_FORMATS and jpeg_png.jpeg_reads_alike(data):
            return data, 'jpeg', image
        if image.format == 'PNG' and jpeg_png.png_reads_alike(data):
            return data, 'png', image
    image = _to_rgb(image, name_of(example, 'image'))
    return None, 'png', image if turn is None else image.transpose(turn)


def read_labels(example, info):
    """Reads the mask as class ids; a palette mask gives its indices, not its colours.

    Returns:
      uint8 [height, width], each a class id or the ignore label.

    Raises:
      InvalidExampleError: the mask is damaged, has colours instead of ids, or
        holds a value that is neither a class id nor the ignore label.
    """
    return read_labels_and_png(example, info)[0]


def read_labels_and_png(example, info):
    """Reads the mask as `read_labels` does, and as a file that TensorFlow reads alike.

    Returns (labels, bytes of an 8-bit grey PNG that holds them); raises as `read_labels`.
    """
    labels, grey_png = read_values(example)
    labels = check_labels(labels, info, name_of(example, 'mask'))
    return labels, grey_png or pictures.png(Image.fromarray(labels))


def read_values(example):
    """Reads what the mask holds, be it class ids or not.

    Returns:
      (integers [height, width], bytes of an 8-bit grey PNG that holds them or None).

    Raises:
      InvalidExampleError: the mask is damaged, or has colours instead of ids.
    """
    data, mask = decode(example, 'mask')
    if mask.mode not in _MASK_MODES:
        raise InvalidExampleError(
            '%s has Pillow mode %s; masks must hold class ids in one channel (modes L, P, '
            '1 or I). If its colours stand for classes, say which with --palette '
            '(build_folder.py); else save class ids as PNG.'
            % (name_of(example, 'mask'), mask.mode), 'mask_colors')
    if mask.format in JPEG_FORMATS:
        raise InvalidExampleError('%s is a JPEG, whose compression invents class ids around '
                                  'borders; export masks as PNG.' % name_of(example, 'mask'),
                                  'mask_jpeg')
    labels = np.array(mask)
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    grey_png = None
    if mask.format == 'PNG':
        labels //= jpeg_png.png_grey_factor(data)
        grey_png = jpeg_png.as_grey_png(data)
    return labels, grey_png


def check_labels(labels, info, name):
    """Returns labels, integers [height, width], as uint8.

    Raises:
      InvalidExampleError: a value is neither a class id of `info` nor its ignore label; the
        message calls the mask `name`.
    """
    if labels.dtype == np.uint8:  # some five times as fast as np.unique
        values = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    else:
        values = np.unique(labels)
    bad = [int(value) for value in values
           if value != info.ignore_label and not 0 <= value < info.number_of_classes]
    if bad:
        raise InvalidExampleError(
            '%s holds %s; with %d classes labels are 0..%d, or the ignore label %d. '
            'Likely cause: %s.'
            % (name, shorten(bad), info.number_of_classes, info.number_of_classes - 1,
               info.ignore_label, _likely_cause(bad, values, info)), 'label_values')
    return labels.astype(np.uint8, copy=False)


def _likely_cause(bad, values, info):
    """Returns the cause and the flag of build_folder.py that helps, for ascending `values`."""
    number, in_order = info.number_of_classes, id_maps.in_order(
        values, info.number_of_classes, info.ignore_label)
    if number == 1 and values[0] == 0 and len(bad) == 1:
        return _cause_of_one_more(True, number) + (
            '' if bad == [1] else ', and give ' + id_maps.spell({0: 0, bad[0]: 1}))
    mapped = '; if they are the classes in their order, give %s' % in_order if in_order else ''
    colors = voc.color_map()[list(range(len(voc.CLASS_NAMES))) + [voc.IGNORE_LABEL]]
    luma = colors.dot([0.299, 0.587, 0.114])
    if bad == [descriptor.LARGEST_LABEL]:
        return ('a void label that is not the --ignore_label (%d), or an object drawn as 255%s'
                % (info.ignore_label, mapped))
    if bad == [number]:
        return _cause_of_one_more(values[0] == 0, number)
    if set(bad) <= {127, 128, 254, 255}:
        return 'a mask of 0/128/255 made for viewing; store class ids instead' + mapped
    # One small value says little: the greys of VOC's colours include 14 and 19.
    if (len(bad) > 1 or bad[0] >= len(voc.CLASS_NAMES)) and set(bad) <= (
            set(np.floor(luma)) | set(np.rint(luma)) | {descriptor.LARGEST_LABEL}):
        return 'palette colours that were decoded as grey; keep the palette indices'
    return ('more classes in the masks than in the class list, ids with gaps, or a mask resized '
            'with blending' + (mapped or '; --map_ids says what each value becomes'))


def _cause_of_one_more(has_zero, number):
    """Words what masks mean whose only wrong value is the number of classes."""
    background = ('a list without the background that 0 stands for; add its name as the first '
                  'line of --classes')
    if has_zero and number == 1:
        return background
    from_one = 'ids that start at 1 instead of 0; give ' + id_maps.from_one(number)
    if has_zero:
        from_one = '%s. Or ids that start at 1, and 0 is void; give %s' % (
            background, id_maps.without({0}, number + 1))
    return '%s. Or a void label that is not the --ignore_label; give --ignore_label %d' % (
        from_one, number)


def shorten(values):
    """Returns a list of int as text, the first eight of many."""
    text = ', '.join(str(value) for value in values[:8])
    return text + (' and %d more values' % (len(values) - 8) if len(values) > 8 else '')


def decode(example, part):
    """Decodes a file of an `Example` to its last byte; `part` is 'image' or 'mask'.

    Returns:
      (bytes of the file, `PIL.Image` with its pixels loaded).

    Raises:
      InvalidExampleError: it cannot be read, is damaged or no image.
    """
    data = getattr(example, part)
    try:
        if not isinstance(data, bytes):
            with open(data, 'rb') as image_file:
                data = image_file.read()
        with warnings.catch_warnings():
            # Pillow's warnings about metadata would appear among the progress bars.
            warnings.simplefilter('ignore')
            image = Image.open(io.BytesIO(data))
            image.load()
        if image.format == 'PNG':
            jpeg_png.check_png(data)
    except UnidentifiedImageError:
        cause = ('it is no image, or its header is damaged (it starts with %r)' % data[:16]
                 if data else 'it is empty')
    except OSError as error:
        cause = error.strerror or str(error)
    # Pillow's readers raise nearly anything on damaged files, IndexError and
    # MemoryError among it; here all of them mean the same.
    except Exception as error:
        cause = str(error) or type(error).__name__
    else:
        return data, image
    raise InvalidExampleError('%s cannot be decoded: %s. Fetch or export it again, or '
                              'leave it out.' % (name_of(example, part), cause),
                              _UNDECODABLE[part])


def _orientation(image):
    """Returns the EXIF orientation, 1 to 8, or 1 where EXIF cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return image.getexif().get(_EXIF_ORIENTATION, 1)
    # As in decode. Viewers show a photograph whose metadata are damaged as it is.
    except Exception:
        return 1


def _to_rgb(image, name):
    """Converts a decoded `PIL.Image` to mode RGB as a viewer shows it.

    Raises:
      InvalidExampleError: floating-point or larger than 16-bit values, or a mode
        that Pillow does not convert.
    """
    if image.mode == 'F':
        raise InvalidExampleError('%s holds floating-point values, which have no agreed range; '
                                  'scale it to 8 bits first.' % name, 'image_unusable')
    transparency = image.info.get('transparency')
    if image.mode in _DEEP_IMAGE_MODES:
        return _scale_to_8_bits(image, transparency, name).convert('RGB')
    try:
        image = image.convert(_STRAIGHT_ALPHA.get(image.mode, image.mode))
        if transparency is None and image.mode not in ('RGBA', 'LA', 'PA'):
            return image.convert('RGB')
        image = image.convert('RGBA')
        ground = Image.new('RGBA', image.size, 'white')
        ground.alpha_composite(image)
        return ground.convert('RGB')
    except ValueError as error:
        raise InvalidExampleError('%s has Pillow mode %s, which cannot be converted to RGB (%s). '
                                  'Export it as 8-bit RGB.' % (name, image.mode, error),
                                  'image_unusable')


def _scale_to_8_bits(image, transparency, name):
    """Scales 16-bit grey by its range, not by its contents, so that equal stays equal."""
    values = np.array(image).astype(np.int64)
    if values.min() < 0 or values.max() > _LARGEST_16_BIT:
        raise InvalidExampleError(
            '%s holds values of %d to %d, more than 16 bits; scale it to 8 bits first.'
            % (name, values.min(), values.max()), 'image_unusable')
    scaled = (values * 255 + _LARGEST_16_BIT // 2) // _LARGEST_16_BIT
    if isinstance(transparency, int):
        scaled[values == transparency] = 255
    return Image.fromarray(scaled.astype(np.uint8))


def name_of(example, part):
    """Returns what messages call a part: its path, or 'PART of FILENAME' of bytes."""
    source = getattr(example, part)
    return '%s of %s' % (part, example.filename) if isinstance(source, bytes) else source
