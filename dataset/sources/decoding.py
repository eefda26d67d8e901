"""Reads images and masks of any common kind with Pillow, or says what is wrong with them.

Nothing here imports TensorFlow: the processes that build a data set start quickly.
"""
import collections

import numpy as np
from PIL import Image, UnidentifiedImageError

from common import pictures
from common.errors import UserError
from dataset import descriptor, voc
from dataset.sources import bands, id_maps, jpeg_png, notes, opening, stored_values, views

# filename: str, stored in the record. image, mask: each the path of a file
# (str) or the bytes of one. view: `views.View`, how both are read.
Example = collections.namedtuple('Example', ['filename', 'image', 'mask', 'view'],
                                 defaults=(views.AS_IT_IS,))


class Annotation(bytes):
    """An `Example.mask` that a reader draws, a part of the file `path` (str)."""

    def __new__(cls, data, path=''):
        made = super().__new__(cls, data)
        made.path = path
        return made


_JPEG_FORMATS = ('JPEG', 'MPO')  # as Pillow calls them
_MASK_MODES = ('1', 'L', 'P', 'I', 'I;16', 'I;16B', 'I;16L')
_DEEP_IMAGE_MODES = ('I', 'I;16', 'I;16B', 'I;16L')
_LARGEST_16_BIT = 65535
# Colours that were multiplied by their alpha have to be divided before composition.
_STRAIGHT_ALPHA = {'RGBa': 'RGBA', 'La': 'LA'}
# Images of 16 bits that hold no larger value, as of 12 bits, are nearly black.
_LARGEST_DARK = 16383
_UNDECODABLE = {'image': 'image_unusable', 'mask': 'mask_undecodable'}


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
    opened = decode(example, 'image')
    data, image = opened.data, opened.image
    if not opened.is_changed and image.mode in ('RGB', 'L'):
        if opened.format in _JPEG_FORMATS and jpeg_png.jpeg_reads_alike(data):
            return data, 'jpeg', image
        if opened.format == 'PNG' and jpeg_png.png_reads_alike(data):
            return data, 'png', image
    return None, 'png', _to_rgb(image, name_of(example, 'image'), opened)


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
    name, opened = name_of(example, 'mask'), decode(example, 'mask')
    mask = opened.image
    if mask.mode not in _MASK_MODES:
        raise InvalidExampleError(
            '%s has Pillow mode %s; masks must hold class ids in one channel (modes L, P, '
            '1 or I). If its colours stand for classes, say which with --palette '
            '(build_folder.py); else save class ids as PNG.' % (name, mask.mode), 'mask_colors')
    check_lossless(opened, name)
    unclear = stored_values.unclear_black(opened)
    if unclear:
        raise InvalidExampleError(
            '%s is %s, so its ids may be the other way round than they look. Say what is what '
            'with --palette and a file of two lines, as background,0,0,0 and object,255,255,255 '
            '(build_folder.py); or save class ids as 8-bit grey PNG.' % (name, unclear),
            'mask_colors')
    if mask.mode == 'P':
        notes.add_colors(stored_values.unique_colors(mask))
    is_png = opened.format == 'PNG' and not opened.is_changed
    return stored_values.read(opened), jpeg_png.as_grey_png(opened.data) if is_png else None


def check_lossless(opened, name):
    """Raises `InvalidExampleError` on a mask, an `opening.Opened`, whose values may be changed."""
    compression = stored_values.lossy_compression(opened)
    if compression:
        raise InvalidExampleError(
            '%s is a %s, whose compression invents class ids around borders; export masks as '
            'PNG.' % (name, compression), 'mask_jpeg')


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
    if not id_maps.can_name(values):
        return 'numbers with a sign or of more than 16 bits; ' + id_maps.unnamed(info.ignore_label)
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
      `opening.Opened`.

    Raises:
      InvalidExampleError: it cannot be read, is damaged or no image.
    """
    source, name, view = getattr(example, part), name_of(example, part), example.view
    if part == 'mask':
        view = view._replace(bands=None, value_range=None)
    try:
        opened = opening.open_source(source, view)
    except (bands.UnusableBandsError, opening.MissingPageError) as error:
        raise InvalidExampleError('%s %s' % (name, error), _UNDECODABLE[part])
    except UnidentifiedImageError:
        cause = _unidentified(source, name, part)
    except OSError as error:
        cause = error.strerror or str(error)
    except Image.DecompressionBombError:
        raise InvalidExampleError(
            '%s has more pixels than are read at once, %d. Cut image and mask into tiles, with '
            '--tile 2048 for example (build_folder.py), or make them smaller.'
            % (name, 2 * Image.MAX_IMAGE_PIXELS), _UNDECODABLE[part])
    # Pillow's readers raise nearly anything on damaged files, IndexError and
    # MemoryError among it; here all of them mean the same.
    except Exception as error:
        cause = str(error) or type(error).__name__
    else:
        if opened.num_pages > 1 and view.page is None:
            notes.add('several_pages', '%s holds %d pages, of which the first was taken: --pages '
                      'makes a record of each (build_folder.py)' % (name, opened.num_pages))
        if opened.orientation != 1 and not view.ignore_exif:
            if part == 'image':
                notes.add('turned_image', '%s was turned as its EXIF orientation %d says, and its '
                          'mask names none. If it was drawn on the image as it is stored, give '
                          '--ignore_exif (build_folder.py)' % (name, opened.orientation))
            else:
                notes.drop('turned_image')
        return opened
    raise InvalidExampleError('%s cannot be decoded: %s. Fetch or export it again, or '
                              'leave it out.' % (name, cause), _UNDECODABLE[part])


def _unidentified(source, name, part):
    """Says what a file is that Pillow does not know; raises on a TIFF that only needs flags."""
    data = opening.read(source)
    pages = bands.tiff_pages(data)
    if pages:
        raise InvalidExampleError('%s %s' % (name, bands.explain(pages[0], part == 'mask')),
                                  _UNDECODABLE[part])
    return ('it is no image, or its header is damaged (it starts with %r)' % data[:16]
            if data else 'it is empty')


def _to_rgb(image, name, opened=None):
    """Converts a decoded `PIL.Image` to mode RGB as a viewer shows it.

    Raises:
      InvalidExampleError: floating-point or larger than 16-bit values, or a mode
        that Pillow does not convert.
    """
    if image.mode == 'F':
        raise InvalidExampleError('%s holds floating-point values, which have no agreed range; '
                                  'give the one to show with --value_range LOW HIGH '
                                  '(build_folder.py, predict.py).' % name, 'image_unusable')
    transparency = image.info.get('transparency')
    if image.mode in _DEEP_IMAGE_MODES:
        return _scale_to_8_bits(image, transparency, name, opened).convert('RGB')
    if opened and opening.has_undeclared_band(opened):
        notes.add('undeclared_band', '%s holds more than three bands and does not say that the '
                  'fourth is transparency: the first three were taken. --bands chooses others '
                  '(build_folder.py, predict.py)' % name)
        return _told_if_dark(image.convert('RGB'), name, opened)
    try:
        image = image.convert(_STRAIGHT_ALPHA.get(image.mode, image.mode))
        if transparency is None and image.mode not in ('RGBA', 'LA', 'PA'):
            return _told_if_dark(image.convert('RGB'), name, opened)
        image = image.convert('RGBA')
        if opened and opened.format == 'TIFF' and bands.is_unlikely_alpha(image):
            notes.add('alpha_band', '%s says that its fourth band is transparency, but it looks '
                      'like another one, as near infrared. If it is, give --bands 1 2 3 '
                      '(build_folder.py, predict.py)' % name)
        ground = Image.new('RGBA', image.size, 'white')
        ground.alpha_composite(image)
        return ground.convert('RGB')
    except ValueError as error:
        raise InvalidExampleError('%s has Pillow mode %s, which cannot be converted to RGB (%s). '
                                  'Export it as 8-bit RGB.' % (name, image.mode, error),
                                  'image_unusable')


def _told_if_dark(image, name, opened):
    """Returns an image; notes one of 16 bits of which the upper ones are hardly used."""
    if opened and opening.is_deep(opened) and not opened.is_chosen:
        largest = max(high for _, high in image.getextrema())
        if 0 < largest <= _LARGEST_DARK >> 8:
            _note_dark(name, 256 * largest + 255)
    return image


def _note_dark(name, largest, shade='black'):
    notes.add('dark_image', '%s has 16 bits, but holds no value above %d: shown from 0 to %d it is '
              'nearly %s. Give --value_range LOW HIGH, as 0 %d (build_folder.py, predict.py), or '
              '2%% 98%% (build_folder.py)'
              % (name, largest, _LARGEST_16_BIT, shade, 2 ** largest.bit_length() - 1))


def _scale_to_8_bits(image, transparency, name, opened):
    """Scales 16-bit grey by its range, not by its contents, so that equal stays equal."""
    is_white_zero = bool(opened) and stored_values.is_white_zero(opened)
    values = np.array(image).astype(np.int64)
    if values.min() < 0 or values.max() > _LARGEST_16_BIT:
        raise InvalidExampleError(
            '%s holds values of %d to %d, more than 16 bits; give the range to show with '
            '--value_range LOW HIGH (build_folder.py, predict.py).'
            % (name, values.min(), values.max()), 'image_unusable')
    if 0 < values.max() <= _LARGEST_DARK:
        _note_dark(name, int(values.max()), 'white' if is_white_zero else 'black')
    scaled = (values * 255 + _LARGEST_16_BIT // 2) // _LARGEST_16_BIT
    if isinstance(transparency, int):
        scaled[values == transparency] = 255
    return Image.fromarray((255 - scaled if is_white_zero else scaled).astype(np.uint8))


def name_of(example, part):
    """Returns what messages call a part: its path, or 'PART of FILENAME' of bytes."""
    source = getattr(example, part)
    if isinstance(source, Annotation):
        return '%s, image %s' % (source.path, example.filename)
    return '%s of %s' % (part, example.filename) if isinstance(source, bytes) else source


def size_problem(example, image_size, mask_size, with_names=False):
    """Says what is wrong with an image and a mask of different sizes, (width, height) each.

    Names the orientations that were found, and whether --ignore_exif makes the sizes equal.
    """
    path = getattr(example.mask, 'path', example.mask)
    is_drawn = path != example.mask or path[-5:] == '.json'
    advice = ('. Put back the image that was annotated.' if is_drawn else
              '. Export both at one size, masks with nearest neighbour.')
    turned = []
    for part in ('image', 'mask'):
        try:
            orientation = decode(example, part).orientation
        except InvalidExampleError:  # a mask that Pillow does not read
            continue
        if orientation != 1:
            turned.append((part, orientation))
    text = '%s is %dx%d but its %s %sis %dx%d (width x height' % (
        (name_of(example, 'image') if with_names else 'The image',) + image_size
        + ('annotation' if is_drawn else 'mask',
           path + ' ' if with_names and isinstance(path, str) else '') + mask_size)
    if not turned:
        return text + ')' + advice
    ignored = example.view.ignore_exif
    text += ', %s %s)' % ('without the turn that' if ignored else 'upright', ' and '.join(
        'the EXIF orientation %d of the %s asks for' % (orientation, part) if ignored else
        'as the EXIF orientation %d of the %s says' % (orientation, part)
        for part, orientation in turned))
    # Of those that change height and width; if one does, the other view makes the sizes equal.
    sides = sum(orientation >= 5 for _, orientation in turned)
    if sides % 2 and image_size == mask_size[::-1]:
        return text + ('. Leave out --ignore_exif.' if ignored else
                       '. If the mask was drawn on the image as it is stored, give --ignore_exif '
                       '(build_folder.py).')
    return text + advice
