"""preprocessing/augmentation.py: labels stay on their pixels, padding is void, seeds decide."""
import numpy as np
import pytest

from network import RGB_MEAN
from preprocessing import augmentation
from runtime import tf

VOID = 255
MEAN = np.array(RGB_MEAN, np.float32)
PLAIN = augmentation.Augmentation(crop_size=8, min_scale=1.0, max_scale=1.0, random_flip=False,
                                  color_jitter=False, ignore_label=VOID,
                                  padding_color=RGB_MEAN)


class Harness:
    """Builds each graph once; distorts arrays of any size."""

    def __init__(self, session):
        self.session = session
        self.image = tf.placeholder(tf.uint8, [None, None, 3])
        self.labels = tf.placeholder(tf.int32, [None, None])
        self.seed = tf.placeholder(tf.int64, [2])
        self.size = tf.placeholder(tf.int32, [2])
        self.fractions = tf.placeholder(tf.float32, [4])
        image = tf.cast(self.image, tf.float32)
        self.resized = augmentation.resize_pair(image, self.labels, self.size)
        self.order = tf.placeholder(tf.int32, [])
        self.jittered = augmentation.jitter_color(image, self.fractions, self.order)
        self.augmented = {}

    def augment(self, image, labels, seed=0, **options):
        options = PLAIN._replace(**options)
        if options not in self.augmented:
            self.augmented[options] = augmentation.augment(self.image, self.labels, self.seed,
                                                           options)
        return self.session.run(self.augmented[options], {
            self.image: image, self.labels: labels, self.seed: [7, seed]})

    def resize(self, image, labels, size):
        return self.session.run(self.resized, {self.image: image, self.labels: labels,
                                               self.size: size})

    def jitter(self, image, fractions, order=0):
        return self.session.run(self.jittered, {self.image: image, self.fractions: fractions,
                                                self.order: order})


@pytest.fixture(scope='module')
def harness():
    with tf.Graph().as_default(), tf.Session() as session:
        yield Harness(session)


def noise(height, width):
    return np.random.RandomState(0).randint(0, 256, [height, width, 3]).astype(np.uint8)


def numbered(height, width):
    """Labels that number the pixels; the ignore label of these tests is then -1."""
    return np.arange(height * width, dtype=np.int32).reshape(height, width)


def blocks():
    """An image of 16x16 blocks whose grey value is ten times their label."""
    ids = np.random.RandomState(1).randint(0, 21, [5, 6])
    labels = np.kron(ids, np.ones([16, 16], int)).astype(np.int32)
    return np.repeat(10 * labels[:, :, np.newaxis], 3, axis=2).astype(np.uint8), labels


def inside(labels, margin):
    """Whether all pixels up to `margin` away are there and have the same label, as bool."""
    padded = np.pad(labels, margin, mode='constant', constant_values=-1)
    height, width = labels.shape
    shifts = range(2 * margin + 1)
    return np.all([padded[y:y + height, x:x + width] == labels for y in shifts for x in shifts],
                  axis=0)


@pytest.mark.parametrize('seed', range(12))
def test_labels_stay_on_their_pixels_through_scale_pad_crop_and_flip(harness, seed):
    image, labels = harness.augment(*blocks(), seed=seed, crop_size=60, min_scale=0.5,
                                    max_scale=2.0, random_flip=True)
    assert image.shape == (60, 60, 3) and labels.shape == (60, 60)
    compared = inside(labels, 2) & (labels != VOID)
    assert compared.sum() > 100
    np.testing.assert_allclose(image[compared] / 10, np.stack([labels[compared]] * 3, 1),
                               atol=1e-4)


def centroid(weights):
    weights = np.asarray(weights, np.float64)
    ys, xs = np.indices(weights.shape)
    return np.array([(weights * ys).sum(), (weights * xs).sum()]) / weights.sum()


@pytest.mark.parametrize('scale', [0.5, 0.63, 0.8, 1.0, 1.37, 1.71, 2.0])
def test_a_square_has_one_centre_in_image_and_labels_at_any_scale(harness, scale):
    size = [int(round(41 * scale)), int(round(47 * scale))]
    differences = []
    for top in range(6, 20):
        labels = np.zeros([41, 47], np.int32)
        labels[top:top + 12, top + 3:top + 16] = 1
        picture = np.repeat(255 * labels[:, :, np.newaxis], 3, axis=2)
        image, resized_labels = harness.resize(picture, labels, size)
        assert set(np.unique(resized_labels)) == {0, 1}
        differences.append(centroid(image[:, :, 0]) - centroid(resized_labels))
    # Nearest ids round by up to half a pixel; a shift of the labels would not average out.
    assert np.abs(differences).max() <= 0.51
    assert np.abs(np.mean(differences, axis=0)).max() < 0.12


def test_resizing_puts_corners_on_corners(harness):
    image, labels = noise(5, 6), numbered(5, 6)
    new_image, new_labels = harness.resize(image, labels, [9, 11])
    np.testing.assert_array_equal(new_labels[::8, ::10], labels[::4, ::5])
    np.testing.assert_allclose(new_image[::8, ::10], image[::4, ::5], atol=1e-4)
    # At (9 - 1) / (5 - 1) = 2 every other pixel is an original one.
    np.testing.assert_allclose(new_image[::2, ::2], image, atol=1e-4)
    np.testing.assert_allclose(new_image[1, 0], (image[0, 0].astype(float) + image[1, 0]) / 2,
                               atol=1e-4)


@pytest.mark.parametrize('color_jitter', [False, True])
def test_padding_is_exactly_the_mean_in_the_image_and_void_in_the_labels(harness, color_jitter):
    image, labels = harness.augment(noise(5, 7), np.ones([5, 7]), crop_size=16,
                                    color_jitter=color_jitter)
    is_padding = labels == VOID
    assert is_padding.sum() == 16 * 16 - 5 * 7
    assert (labels[~is_padding] == 1).all()
    np.testing.assert_array_equal(image[is_padding], np.tile(MEAN, [16 * 16 - 5 * 7, 1]))


def test_padding_uses_the_ignore_label_of_the_options(harness):
    _, labels = harness.augment(noise(4, 4), np.zeros([4, 4]), ignore_label=11)
    assert (labels == 11).sum() == 8 * 8 - 4 * 4
    assert (labels == VOID).sum() == 0


def test_padding_goes_to_all_sides_and_spreads_over_all_offsets(harness):
    offsets = set()
    for seed in range(150):
        _, labels = harness.augment(noise(5, 6), np.zeros([5, 6]), seed)
        rows, columns = np.nonzero(labels == 0)
        assert (np.ptp(rows), np.ptp(columns)) == (4, 5)
        offsets.add((rows.min(), columns.min()))
    assert offsets == {(top, left) for top in range(4) for left in range(3)}


DISTORTED = dict(crop_size=20, min_scale=0.5, max_scale=2.0, random_flip=True, color_jitter=True)


def test_equal_seeds_give_equal_results_bit_by_bit(harness):
    pair = noise(15, 19), numbered(15, 19)
    first = harness.augment(*pair, seed=3, **DISTORTED)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(99)
        second = Harness(session).augment(*pair, seed=3, **DISTORTED)
    for one, other in zip(first, second):
        np.testing.assert_array_equal(one, other)


def test_different_seeds_give_different_results(harness):
    results = [harness.augment(noise(15, 19), numbered(15, 19), seed, **DISTORTED)[0].tobytes()
               for seed in range(20)]
    assert len(set(results)) == 20


def test_scales_fill_their_range_and_keep_the_proportions(harness):
    heights = []
    for seed in range(200):
        _, labels = harness.augment(noise(20, 30), np.zeros([20, 30]), seed, crop_size=64,
                                    min_scale=0.5, max_scale=2.0)
        rows, columns = np.nonzero(labels == 0)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert abs(width - 1.5 * height) <= 1.25
        heights.append(height)
    assert 10 <= min(heights) <= 11 and 39 <= max(heights) <= 40
    # Uniform in the scale: the mean of 200 is 25 +- 0.6.
    assert 23 < np.mean(heights) < 27


def test_scale_one_without_flip_and_jitter_leaves_the_pair_as_it_is(harness):
    image, labels = noise(8, 8), numbered(8, 8)
    for seed in range(30):
        new_image, new_labels = harness.augment(image, labels, seed, ignore_label=-1)
        assert new_image.dtype == np.float32 and new_labels.dtype == np.int32
        np.testing.assert_allclose(new_image, image, atol=1e-4)
        np.testing.assert_array_equal(new_labels, labels)


def test_random_flip_mirrors_left_and_right_about_half_of_the_time(harness):
    image, labels = noise(8, 8), numbered(8, 8)
    flips = 0
    for seed in range(100):
        new_image, new_labels = harness.augment(image, labels, seed, random_flip=True,
                                                ignore_label=-1)
        is_flipped = new_labels[0, 0] != labels[0, 0]
        step = -1 if is_flipped else 1
        np.testing.assert_array_equal(new_labels, labels[:, ::step])
        np.testing.assert_allclose(new_image, image[:, ::step], atol=1e-4)
        flips += is_flipped
    assert 30 < flips < 70


def test_color_jitter_changes_colours_within_range_and_never_labels(harness):
    image, labels = noise(8, 8), numbered(8, 8)
    changes = []
    for seed in range(40):
        new_image, new_labels = harness.augment(image, labels, seed, color_jitter=True,
                                                ignore_label=-1)
        np.testing.assert_array_equal(new_labels, labels)
        assert new_image.min() >= -1e-3 and new_image.max() <= 255 + 1e-3
        changes.append(np.abs(new_image - image).mean())
    assert min(changes) > 1
    assert len(set(changes)) == 40


def test_color_jitter_draws_the_same_geometry_as_without_it(harness):
    options = dict(DISTORTED, ignore_label=-1)
    for seed in range(5):
        pair = noise(15, 19), numbered(15, 19)
        _, jittered = harness.augment(*pair, seed=seed, **options)
        _, plain = harness.augment(*pair, seed=seed, **dict(options, color_jitter=False))
        np.testing.assert_array_equal(jittered, plain)


def test_jitter_in_the_middle_of_its_ranges_changes_nothing(harness):
    image = noise(6, 6)
    np.testing.assert_allclose(harness.jitter(image, [0.5] * 4), image, atol=0.05)


def test_brightness_moves_by_at_most_32(harness):
    image = np.full([4, 4, 3], 100, np.uint8)
    np.testing.assert_allclose(harness.jitter(image, [0, 0.5, 0.5, 0.5]), image - 32.0, atol=0.05)
    np.testing.assert_allclose(harness.jitter(image, [1, 0.5, 0.5, 0.5]), image + 32.0, atol=0.05)


def test_contrast_scales_around_the_mean_of_each_channel(harness):
    image = np.array([[[100, 50, 90], [140, 70, 90]]], np.uint8)
    np.testing.assert_allclose(harness.jitter(image, [0.5, 0.5, 0.5, 0]),
                               [[[110, 55, 90], [130, 65, 90]]], atol=0.05)
    np.testing.assert_allclose(harness.jitter(image, [0.5, 0.5, 0.5, 1]),
                               [[[90, 45, 90], [150, 75, 90]]], atol=0.05)


def test_jitter_changes_colours_in_the_four_orders(harness):
    image, fractions = noise(6, 6), [0.9, 0.2, 0.3, 0.8]
    steps = {
        'brightness': lambda pixels: pixels + 0.8 * 32 / 255.0,
        'saturation': lambda pixels: tf.image.adjust_saturation(pixels, 0.7),
        'hue': lambda pixels: tf.image.adjust_hue(pixels, -0.08),
        'contrast': lambda pixels: tf.image.adjust_contrast(pixels, 1.3),
    }
    results = []
    for order, names in enumerate([
            ('brightness', 'saturation', 'hue', 'contrast'),
            ('saturation', 'brightness', 'contrast', 'hue'),
            ('contrast', 'hue', 'brightness', 'saturation'),
            ('hue', 'saturation', 'contrast', 'brightness')]):
        expected = tf.constant(image / 255.0, tf.float32)
        for name in names:
            expected = steps[name](expected)
        expected = 255 * np.clip(harness.session.run(expected), 0, 1)
        results.append(harness.jitter(image, fractions, order))
        np.testing.assert_allclose(results[-1], expected, atol=1e-2)
    assert len({result.tobytes() for result in results}) == 4


def test_augmentation_draws_all_four_orders(harness, monkeypatch):
    seen = []
    monkeypatch.setattr(augmentation, 'jitter_color',
                        lambda image, fractions, order: seen.append(order) or image)
    harness.augment(noise(8, 8), numbered(8, 8), color_jitter=True, crop_size=7)
    orders = [harness.session.run(seen[0], {harness.seed: [7, seed]}) for seed in range(200)]
    assert set(orders) == {0, 1, 2, 3}
    assert all(30 < orders.count(order) < 70 for order in range(4))


@pytest.mark.parametrize('height, width', [(12, 10), (5, 6), (11, 3), (8, 8), (1, 13)])
def test_center_crop_with_zero_padding_is_tensorflows_crop_or_pad(harness, height, width):
    image, labels = noise(height, width), 1 + numbered(height, width)
    actual, actual_labels = harness.augment(image, labels, center_crop=True, ignore_label=0,
                                            padding_color=(0.0, 0.0, 0.0))
    expected = tf.image.resize_image_with_crop_or_pad(
        np.dstack([image, labels]).astype(np.float32), 8, 8)
    expected = harness.session.run(expected)
    np.testing.assert_allclose(actual, expected[:, :, :3], atol=1e-4)
    np.testing.assert_array_equal(actual_labels, expected[:, :, 3])


def test_unaligned_scaling_is_tensorflows_default_resize(harness):
    image, labels = noise(7, 9), numbered(7, 9)
    actual, actual_labels = harness.augment(image, labels, min_scale=2.0, max_scale=2.0,
                                            align_scaling=False, center_crop=True, crop_size=14,
                                            ignore_label=-1)
    resized = tf.image.resize_images(image, [14, 18])
    nearest = tf.image.resize_images(labels[:, :, np.newaxis], [14, 18],
                                     method=tf.image.ResizeMethod.NEAREST_NEIGHBOR)
    expected, expected_labels = harness.session.run([resized, nearest])
    np.testing.assert_allclose(actual, expected[:, 2:16], atol=1e-3)
    np.testing.assert_array_equal(actual_labels, expected_labels[:, 2:16, 0])
    aligned, _ = harness.augment(image, labels, min_scale=2.0, max_scale=2.0, center_crop=True,
                                 crop_size=14, ignore_label=-1)
    assert np.abs(aligned - actual).max() > 1


@pytest.mark.parametrize('value', [0, 255])
def test_jitter_of_black_and_white_stays_in_range(harness, value):
    for corner in np.ndindex(2, 2, 2, 2):
        image = harness.jitter(np.full([3, 3, 3], value, np.uint8), corner)
        assert np.isfinite(image).all()
        assert image.min() >= 0 and image.max() <= 255


def test_crops_land_anywhere_up_to_both_ends(harness):
    image, labels = noise(12, 10), numbered(12, 10)
    offsets = set()
    for seed in range(400):
        new_image, new_labels = harness.augment(image, labels, seed, ignore_label=-1)
        top, left = divmod(new_labels[0, 0], 10)
        np.testing.assert_array_equal(new_labels, labels[top:top + 8, left:left + 8])
        np.testing.assert_allclose(new_image, image[top:top + 8, left:left + 8], atol=1e-4)
        offsets.add((top, left))
    assert offsets == {(top, left) for top in range(5) for left in range(3)}


def test_image_of_one_pixel_gets_padded(harness):
    for seed in range(10):
        image, labels = harness.augment(np.full([1, 1, 3], 9, np.uint8), [[1]], seed,
                                        min_scale=0.1, max_scale=0.4)
        assert (labels == 1).sum() == 1 and (labels == VOID).sum() == 63
        np.testing.assert_allclose(image[labels == 1], [[9, 9, 9]], atol=1e-4)


@pytest.mark.parametrize('height, width', [(3, 30), (30, 3), (8, 3), (3, 8)])
def test_image_smaller_on_one_side_is_padded_there_and_cropped_on_the_other(harness, height,
                                                                            width):
    image, labels = harness.augment(noise(height, width), np.zeros([height, width]))
    assert image.shape == (8, 8, 3)
    rows, columns = np.nonzero(labels == 0)
    assert np.ptp(rows) + 1 == min(height, 8)
    assert np.ptp(columns) + 1 == min(width, 8)
    assert len(rows) == min(height, 8) * min(width, 8)
