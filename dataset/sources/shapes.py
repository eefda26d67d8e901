"""Drawn pictures of five kinds of shapes on textured grounds, with their labels; see `contract`."""
import collections

import numpy as np
from PIL import Image, ImageFilter

from common import flag_types, pictures
from dataset import voc
from dataset.sources import contract, decoding

CLASS_NAMES = ('background', 'circle', 'square', 'triangle', 'star', 'cross')
SPLITS = ('train', 'validation', 'test')

# Share of shapes that wear the texture of their class; the others are plain,
# so that outlines have to be learned too.
TEXTURED_SHARE = 0.88

# Standard deviation, in radians, of a shape's hue around that of its class; the
# hues of the classes are evenly spread, 1.26 radians apart.
HUE_SPREAD = 0.2
SHAPE_SATURATION = (0.5, 0.95)
GROUND_SATURATION = (0.0, 0.3)

# At one radius a circle has three times the area of a triangle; this evens the
# classes out, so that none is rare.
RELATIVE_RADIUS = {'circle': 0.88, 'square': 1, 'triangle': 1.2, 'star': 1.2, 'cross': 1}

# center: (y, x) in pixels. radius: pixels, centre to farthest corner. angle: radians.
Shape = collections.namedtuple('Shape', ['class_id', 'center', 'radius', 'angle'])


def add_flags(parser):
    """Adds the flags of build_shapes.py."""
    parser.add_argument('--output_dir', type=flag_types.path, required=True,
                        help='where the data set is written')
    for split, count in zip(SPLITS, (480, 40, 60)):
        parser.add_argument('--num_' + split, type=flag_types.non_negative_int, default=count,
                            help='images to draw (default %(default)s)')
    parser.add_argument('--image_size', type=flag_types.whole_number, default=160,
                        help='longer side in pixels, about (default %(default)s)')
    parser.add_argument('--seed', type=flag_types.whole_number, default=0,
                        help='(default %(default)s)')


def check_flags(args, parser):
    """Refuses what cannot be drawn."""
    if args.image_size < 32:
        parser.error('--image_size %d is too small to draw on; give 32 or more.'
                     % args.image_size)
    if args.seed < 0:
        parser.error('--seed %d: give 0 or more.' % args.seed)


def read(args):
    """Returns `contract.Source`, whose examples are drawn when their turn comes."""
    counts = [(split, getattr(args, 'num_' + split)) for split in SPLITS]
    return contract.Source('shapes', CLASS_NAMES, voc.IGNORE_LABEL, [
        contract.Part(split, _examples(split, count, args.image_size, args.seed), count)
        for split, count in counts])


def _examples(split, num_examples, image_size, seed):
    """Yields `num_examples` pictures of `split` as `decoding.Example`."""
    for index in range(num_examples):
        name = '%s_%05d.png' % (split, index)
        yield decoding.Example(name, *[pictures.png(Image.fromarray(pixels)) for pixels in
                                       draw(split, index, image_size, seed)])


def outline(class_id):
    """Returns the corners of a shape of radius 1 as float64 [corners, 2] of (x, y)."""
    name = CLASS_NAMES[class_id]
    if name == 'cross':
        arm, end = 0.33, 0.94
        quarter = [(arm, end), (arm, arm), (end, arm)]
        turns = [np.array([[1, 0], [0, 1]]), np.array([[0, -1], [1, 0]])]
        half = [np.dot(quarter, turn) for turn in turns]
        return np.concatenate(half + [-half[0], -half[1]])
    corners = {'circle': (72, [1]), 'square': (4, [1]), 'triangle': (3, [1]),
               'star': (10, [1, 0.46])}
    count, radii = corners[name]
    angles = 2 * np.pi * np.arange(count) / count
    return (np.resize(radii, [count, 1])
            * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def smooth_noise(rng, height, width, cells, channels=1):
    """Draws cloud-like noise: random values on a coarse grid, interpolated.

    More `cells` per side are finer. Returns float32 [height, width, channels], about 0..1.
    """
    planes = [Image.fromarray(rng.rand(cells, cells).astype(np.float32))
              .resize((width, height), Image.BICUBIC) for _ in range(channels)]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)


def texture(name, y, x, radius, rng):
    """Computes the pattern that a class wears.

    Args:
      name: str, a class name.
      y, x: float64 [height, width], pixel offsets from the shape's centre in the
        shape's own, rotated axes.
      radius: float, pixels; patterns grow with the shape.
      rng: `np.random.RandomState`.

    Returns:
      float64 [height, width], 0..1: how much of the second colour is seen.
    """
    if name == 'cross':
        cells = int(round(4 * max(y.shape) / radius))
        clouds = smooth_noise(rng, y.shape[0], y.shape[1], cells)[:, :, 0]
        return np.clip(0.5 + 2.5 * (clouds - 0.5), 0, 1)
    period = radius * rng.uniform(0.32, 0.44)
    phase = rng.uniform(0, 2 * np.pi)
    wave = 2 * np.pi / period
    if name == 'circle':
        pattern = np.cos(wave * np.hypot(y, x) + phase)
    elif name == 'square':
        pattern = 2 * np.sin(0.7 * wave * (y + x)) * np.sin(0.7 * wave * (y - x))
    elif name == 'triangle':
        pattern = np.cos(wave * y + phase)
    else:
        pattern = np.cos(wave * y + phase) + np.cos(wave * x + phase) - 0.9
    # Steep but not hard edges: a pattern that flickers between pixels is no texture.
    return np.clip(0.5 + pattern * period / 6, 0, 1)


def random_color(rng, lightness, hue, saturation):
    """Returns a colour as float64 [3] in 0..255.

    `lightness` is in 0..1, `hue` in radians (0 is red), `saturation` the (lowest, highest) of
    the range to draw from, in 0..1.
    """
    waves = np.cos(hue + np.array([0, 2, 4]) * np.pi / 3)
    color = lightness + rng.uniform(*saturation) * min(lightness, 1 - lightness) * waves
    return 255 * np.clip(color, 0, 1)


def background(height, width, rng):
    """Paints a quiet ground: coloured clouds, wood grain or a gradient.

    Returns float64 [height, width, 3], about 0..255.
    """
    y, x = np.mgrid[:height, :width] / float(max(height, width))
    angle = rng.uniform(0, 2 * np.pi)
    along, across = (np.cos(angle) * x + np.sin(angle) * y,
                     np.cos(angle) * y - np.sin(angle) * x)
    first, other = [random_color(rng, rng.uniform(0.25, 0.75), rng.uniform(0, 2 * np.pi),
                                 GROUND_SATURATION) for _ in range(2)]
    second = 0.55 * first + 0.45 * other
    kind = rng.randint(3)
    if kind == 0:
        clouds = smooth_noise(rng, height, width, 5) - 0.5
        finer = smooth_noise(rng, height, width, 14, channels=3) - 0.5
        return first + 90 * clouds + 35 * finer
    if kind == 1:
        bend = smooth_noise(rng, height, width, 4)[:, :, 0]
        grain = np.cos(2 * np.pi * (rng.uniform(7, 12) * across + 1.6 * bend))
        blend = 0.5 + 0.25 * grain + 0.3 * along
    else:
        blend = 0.5 + along - along.mean()
    return first + (second - first) * np.clip(blend, 0, 1)[:, :, np.newaxis]


def place(class_id, others, height, width, rng):
    """Returns a `Shape` at a random place, the least crowded by `others` of a few tries."""
    radius = 0.5 * min(height, width) * rng.uniform(0.55, 0.9)
    radius *= RELATIVE_RADIUS[CLASS_NAMES[class_id]]
    angle = rng.uniform(0, 2 * np.pi)
    margin = 0.8 * radius

    def room(center):
        return min([np.hypot(center[0] - other.center[0], center[1] - other.center[1])
                    - other.radius for other in others] or [0])

    tries = [(rng.uniform(margin, height - margin), rng.uniform(margin, width - margin))
             for _ in range(6)]
    return Shape(class_id, max(tries, key=room), radius, angle)


def filled(corners, height, width):
    """Rasterizes a polygon: a pixel is inside if its centre is (the even-odd rule).

    By hand, because versions of Pillow draw some pixels of a polygon's border differently, and
    the same seed shall give the same bytes (tests/dataset/sources/test_shapes.py pins them).

    Args:
      corners: float [corners, 2] of (x, y), in pixels.
      height, width: int.

    Returns:
      bool [height, width].
    """
    rows = np.arange(height) + 0.5
    crossed = np.zeros([height, width + 1], np.int64)
    for (x, y), (next_x, next_y) in zip(corners, np.roll(corners, -1, axis=0)):
        meets, = np.nonzero((y > rows) != (next_y > rows))
        x_there = x + (rows[meets] - y) * (next_x - x) / (next_y - y)
        # Every pixel whose centre lies to the right of the side is beyond one side more.
        first = np.clip(np.ceil(x_there - 0.5), 0, width).astype(np.int64)
        crossed[meets, first] += 1
    return np.cumsum(crossed, axis=1)[:, :width] % 2 == 1


def coverage(shape, height, width):
    """Rasterizes a shape at twice the size and averages down, for clean edges.

    Returns uint8 `PIL.Image` of mode L, width x height, 0 outside to 255 inside.
    """
    cos, sin = np.cos(shape.angle), np.sin(shape.angle)
    corners = outline(shape.class_id).dot([[cos, sin], [-sin, cos]]) * shape.radius
    corners += shape.center[::-1]
    large = filled(2 * corners, 2 * height, 2 * width)
    return Image.fromarray(255 * large.astype(np.uint8)).resize((width, height), Image.BOX)


def paint(shape, height, width, rng):
    """Colours the whole image plane in the shape's texture; `coverage` cuts it out.

    Returns float64 [height, width, 3], about 0..255.
    """
    y, x = np.mgrid[:height, :width].astype(np.float64)
    y, x = y - shape.center[0], x - shape.center[1]
    cos, sin = np.cos(shape.angle), np.sin(shape.angle)
    own_y, own_x = cos * y - sin * x, cos * x + sin * y
    dark = rng.uniform(0.2, 0.45)
    hue = (2 * np.pi * shape.class_id / (len(CLASS_NAMES) - 1)
           + HUE_SPREAD * rng.standard_normal())
    colors = [random_color(rng, lightness, hue, SHAPE_SATURATION)
              for lightness in (dark, dark + rng.uniform(0.3, 0.45))]
    if rng.rand() < 0.5:
        colors.reverse()
    if rng.rand() < TEXTURED_SHARE:
        blend = texture(CLASS_NAMES[shape.class_id], own_y, own_x, shape.radius, rng)
    else:
        blend = np.full([height, width], rng.uniform(0, 1))
    light = 1 - 0.12 * (y + x) / shape.radius
    return ((colors[0] + (colors[1] - colors[0]) * blend[:, :, np.newaxis])
            * np.clip(light, 0.75, 1.2)[:, :, np.newaxis])


def draw(split, index, image_size, seed):
    """Draws one image with its labels; the same arguments give the same picture.

    Args:
      split: str, one of `SPLITS`.
      index: int, number of the image in the split.
      image_size: int, the longer side; it varies by a few pixels.
      seed: int.

    Returns:
      (uint8 [height, width, 3] RGB, uint8 [height, width] labels), the labels
      holding class ids and, 1 pixel outside to 2 pixels inside of every
      outline, `voc.IGNORE_LABEL`.
    """
    rng = np.random.RandomState([seed, SPLITS.index(split), index])
    sides = [image_size - rng.randint(image_size // 16 + 1),
             int(round(image_size * rng.uniform(0.75, 1)))]
    height, width = sides if rng.rand() < 0.25 else sides[::-1]
    image, shapes = background(height, width, rng), []
    labels = np.zeros([height, width], np.uint8)
    for _ in range(rng.choice([1, 2, 3], p=[0.5, 0.4, 0.1])):
        shape = place(rng.randint(1, len(CLASS_NAMES)), shapes, height, width, rng)
        shapes.append(shape)
        cover = coverage(shape, height, width)
        shadow = np.roll(np.asarray(cover.filter(ImageFilter.GaussianBlur(3))), 2, (0, 1))
        image *= 1 - 0.3 / 255 * shadow[:, :, np.newaxis]
        alpha = np.asarray(cover)[:, :, np.newaxis] / 255.
        image += alpha * (paint(shape, height, width, rng) - image)
        inside = cover.point(lambda value: 255 * (value >= 128))
        labels[np.asarray(inside.filter(ImageFilter.MaxFilter(3))) > 0] = voc.IGNORE_LABEL
        labels[np.asarray(inside.filter(ImageFilter.MinFilter(5))) > 0] = shape.class_id
    image += rng.normal(0, 3, [height, width, 1])
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), labels
