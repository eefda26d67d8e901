"""Training-time distortions: random scale, pad, crop, flip and colour.

Every function is a pure function of its arguments: the random numbers come from
a stateless seed, so example k of a run is distorted the same way whatever the
number of threads, and again after a resume.
"""
from collections import namedtuple

from network import RGB_MEAN
from runtime import tf

# Limits of the colour jitter: those of the Inception preprocessing, as in the post's code.
MAX_BRIGHTNESS_DELTA = 32.0
CONTRAST_RANGE = (0.5, 1.5)
SATURATION_RANGE = (0.5, 1.5)
MAX_HUE_DELTA = 0.2

Augmentation = namedtuple('Augmentation', ['crop_size', 'min_scale', 'max_scale',
                                           'random_flip', 'color_jitter', 'ignore_label'])


def resize_pair(image, labels, size):
    """Resizes an image bilinearly and its labels to the nearest id.

    Corners of both are aligned, so that a label stays on its pixel
    (tests/test_augmentation.py); with TensorFlow 1's default sampling the labels
    would move by half a pixel against the image.

    Args:
      image: float32 [height, width, 3].
      labels: int32 [height, width].
      size: int32 [2], the new height and width.

    Returns:
      image float32 [new height, new width, 3], labels int32 [new height, new width].
    """
    image = tf.image.resize_bilinear(image[tf.newaxis], size, align_corners=True)[0]
    labels = tf.image.resize_nearest_neighbor(labels[tf.newaxis, :, :, tf.newaxis], size,
                                              align_corners=True)[0, :, :, 0]
    return image, labels


def pad_pair(image, labels, height, width, offset_fractions, ignore_label):
    """Pads to at least height x width, the image with the mean and the labels with ignore.

    Args:
      image: float32 [h, w, 3] in 0..255; the mean becomes 0 inside the network.
      labels: int32 [h, w].
      height, width: int, the size to reach; larger pairs come back unchanged.
      offset_fractions: float32 [2] in [0, 1), the share of the padding that goes
        above and to the left.
      ignore_label: int.

    Returns:
      image and labels, at least height x width.
    """
    missing = tf.maximum(0, [height, width] - tf.shape(labels))
    before = tf.cast(tf.floor(offset_fractions * tf.cast(missing + 1, tf.float32)), tf.int32)
    paddings = tf.stack([before, missing - before], axis=1)
    # tf.pad fills with one number for all channels: pad the distance from the mean.
    image = tf.pad(image - RGB_MEAN, tf.concat([paddings, [[0, 0]]], axis=0)) + RGB_MEAN
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


def jitter_color(image, fractions):
    """Changes brightness, saturation, hue and contrast, in this order.

    Args:
      image: float32 [height, width, 3] in 0..255.
      fractions: float32 [4] in [0, 1), where each change lies in its range.

    Returns:
      float32 [height, width, 3], clipped to 0..255.
    """
    def between(index, low, high):
        return low + fractions[index] * (high - low)

    image = image / 255.0
    image += between(0, -MAX_BRIGHTNESS_DELTA, MAX_BRIGHTNESS_DELTA) / 255.0
    image = tf.image.adjust_saturation(tf.clip_by_value(image, 0.0, 1.0),
                                       between(1, *SATURATION_RANGE))
    image = tf.image.adjust_hue(image, between(2, -MAX_HUE_DELTA, MAX_HUE_DELTA))
    image = tf.image.adjust_contrast(image, between(3, *CONTRAST_RANGE))
    return 255.0 * tf.clip_by_value(image, 0.0, 1.0)


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
    random = tf.random.stateless_uniform([10], seed)
    image = tf.cast(image, tf.float32)
    scale = options.min_scale + random[0] * (options.max_scale - options.min_scale)
    size = tf.cast(tf.round(tf.cast(tf.shape(labels), tf.float32) * scale), tf.int32)
    image, labels = resize_pair(image, labels, tf.maximum(size, 1))
    crop_size = options.crop_size
    if options.color_jitter:
        # Before the padding, which must stay at the mean.
        image = jitter_color(image, random[1:5])
    image, labels = pad_pair(image, labels, crop_size, crop_size, random[5:7],
                             options.ignore_label)
    image, labels = crop_pair(image, labels, crop_size, random[7:9])
    if options.random_flip:
        flip = random[9] < 0.5
        image = tf.cond(flip, lambda: image[:, ::-1], lambda: image)
        labels = tf.cond(flip, lambda: labels[:, ::-1], lambda: labels)
    return image, labels
