"""Training-time distortions: random scale, pad, crop, flip and colour.

Every function is a pure function of its arguments: the random numbers come from
a stateless seed, so example k of a run is distorted the same way whatever the
number of threads, and again after a resume.
"""
from collections import namedtuple

from runtime import tf

# Limits of the colour jitter: those of the Inception preprocessing, as in the post's code.
MAX_BRIGHTNESS_DELTA = 32.0
CONTRAST_RANGE = (0.5, 1.5)
SATURATION_RANGE = (0.5, 1.5)
MAX_HUE_DELTA = 0.2
# Saturation, hue and contrast do not commute: the four orders of that preprocessing.
JITTER_ORDERS = (
    ('brightness', 'saturation', 'hue', 'contrast'),
    ('saturation', 'brightness', 'contrast', 'hue'),
    ('contrast', 'hue', 'brightness', 'saturation'),
    ('hue', 'saturation', 'contrast', 'brightness'),
)

# The fraction of an odd room that rounds down to its middle.
CENTER = 0.5 - 2.0 ** -20

# crop_size: int, pixels. min_scale, max_scale: float. random_flip, color_jitter: bool.
# ignore_label: int, what labels are padded with. padding_color: three floats in 0..255,
# what images are padded with. center_crop: bool, crops and padding are centred.
# align_scaling: bool, see `resize_pair`.
Augmentation = namedtuple('Augmentation', [
    'crop_size', 'min_scale', 'max_scale', 'random_flip', 'color_jitter', 'ignore_label',
    'padding_color', 'center_crop', 'align_scaling'], defaults=(False, True))


def resize_pair(image, labels, size, align_corners=True):
    """Resizes an image bilinearly and its labels to the nearest id.

    With the corners of both aligned a label stays on its pixel
    (tests/test_augmentation.py); with TensorFlow 1's default sampling, which the
    post's code uses, the labels move by up to half a pixel against the image.

    Args:
      image: float32 [height, width, 3].
      labels: int32 [height, width].
      size: int32 [2], the new height and width.
      align_corners: bool.

    Returns:
      image float32 [new height, new width, 3], labels int32 [new height, new width].
    """
    image = tf.image.resize_bilinear(image[tf.newaxis], size, align_corners=align_corners)[0]
    labels = tf.image.resize_nearest_neighbor(labels[tf.newaxis, :, :, tf.newaxis], size,
                                              align_corners=align_corners)[0, :, :, 0]
    return image, labels


def pad_pair(image, labels, height, width, offset_fractions, ignore_label, padding_color):
    """Pads to at least height x width, the image with a colour and the labels with ignore.

    Args:
      image: float32 [h, w, 3] in 0..255.
      labels: int32 [h, w].
      height, width: int, the size to reach; larger pairs come back unchanged.
      offset_fractions: float32 [2] in [0, 1), the share of the padding that goes
        above and to the left.
      ignore_label: int.
      padding_color: three floats in 0..255, such as `network.padding_color`, which
        becomes 0 inside the network.

    Returns:
      image and labels, at least height x width.
    """
    missing = tf.maximum(0, [height, width] - tf.shape(labels))
    before = tf.cast(tf.floor(offset_fractions * tf.cast(missing + 1, tf.float32)), tf.int32)
    paddings = tf.stack([before, missing - before], axis=1)
    # tf.pad fills with one number for all channels: pad the distance from the colour.
    color = tf.constant(padding_color)
    image = tf.pad(image - color, tf.concat([paddings, [[0, 0]]], axis=0)) + color
    labels = tf.pad(labels, paddings, constant_values=ignore_label)
    return image, labels


def crop_pair(image, labels, crop_size, offset_fractions):
    """Cuts the same crop_size x crop_size window out of an image and its labels.

    Args:
      image: float32 [h, w, 3], at least crop_size on both sides.
      labels: int32 [h, w].
      crop_size: int.
      offset_fractions: float32 [2] in [0, 1), where the window lies in its range.

    Returns:
      image float32 [crop_size, crop_size, 3], labels int32 [crop_size, crop_size].
    """
    room = tf.cast(tf.shape(labels) - crop_size + 1, tf.float32)
    offset = tf.cast(tf.floor(offset_fractions * room), tf.int32)
    image = tf.slice(image, tf.concat([offset, [0]], axis=0), [crop_size, crop_size, 3])
    labels = tf.slice(labels, offset, [crop_size, crop_size])
    return image, labels


def jitter_color(image, fractions, order):
    """Changes brightness, saturation, hue and contrast in one of `JITTER_ORDERS`.

    Args:
      image: float32 [height, width, 3] in 0..255.
      fractions: float32 [4] in [0, 1), where brightness, saturation, hue and
        contrast lie in their ranges.
      order: int32 scalar, an index into `JITTER_ORDERS`.

    Returns:
      float32 [height, width, 3], clipped to 0..255.
    """
    def between(index, low, high):
        return low + fractions[index] * (high - low)

    brightness = between(0, -MAX_BRIGHTNESS_DELTA, MAX_BRIGHTNESS_DELTA) / 255.0
    saturation = between(1, *SATURATION_RANGE)
    hue = between(2, -MAX_HUE_DELTA, MAX_HUE_DELTA)
    contrast = between(3, *CONTRAST_RANGE)
    changes = {
        'brightness': lambda pixels: pixels + brightness,
        'saturation': lambda pixels: tf.image.adjust_saturation(pixels, saturation),
        'hue': lambda pixels: tf.image.adjust_hue(pixels, hue),
        'contrast': lambda pixels: tf.image.adjust_contrast(pixels, contrast),
    }

    def in_order(names):
        pixels = image / 255.0
        for name in names:
            pixels = changes[name](pixels)
        return 255.0 * tf.clip_by_value(pixels, 0.0, 1.0)

    return tf.switch_case(order, [lambda names=names: in_order(names)
                                  for names in JITTER_ORDERS])


def augment(image, labels, seed, options):
    """Distorts one training pair: scale, pad, crop, flip, colour.

    Args:
      image: uint8 [height, width, 3].
      labels: int32 [height, width].
      seed: int64 [2]; equal seeds give equal results.
      options: an `Augmentation`.

    Returns:
      image float32 [crop_size, crop_size, 3] in 0..255,
      labels int32 [crop_size, crop_size].
    """
    random = tf.random.stateless_uniform([11], seed)
    image = tf.cast(image, tf.float32)
    scale = options.min_scale + random[0] * (options.max_scale - options.min_scale)
    size = tf.cast(tf.round(tf.cast(tf.shape(labels), tf.float32) * scale), tf.int32)
    image, labels = resize_pair(image, labels, tf.maximum(size, 1), options.align_scaling)
    crop_size = options.crop_size
    if options.color_jitter:
        # Before the padding, which must keep its colour.
        order = tf.cast(random[10] * len(JITTER_ORDERS), tf.int32)
        image = jitter_color(image, random[1:5], order)
    pad_place, crop_place = random[5:7], random[7:9]
    if options.center_crop:
        # The places of tf.image.resize_image_with_crop_or_pad, which rounds down.
        pad_place = crop_place = tf.constant([CENTER, CENTER])
    image, labels = pad_pair(image, labels, crop_size, crop_size, pad_place,
                             options.ignore_label, options.padding_color)
    image, labels = crop_pair(image, labels, crop_size, crop_place)
    if options.random_flip:
        flip = random[9] < 0.5
        image = tf.cond(flip, lambda: image[:, ::-1], lambda: image)
        labels = tf.cond(flip, lambda: labels[:, ::-1], lambda: labels)
    return image, labels
