"""palette.py: own colours, VOC's, or a default that the colour-blind tell apart."""
import numpy as np
import pytest

from dataset import descriptor, palette, voc

VOID_COLOR = (224, 224, 192)
# Linear RGB to the cones' LMS, and what is left without L or M cones: Viénot, Brettel and Mollon,
# "Digital video colourmaps for checking the legibility of displays by dichromats", 1999. Another
# model than that of the module.
TO_LMS = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714],
                   [0.0299566, 0.184309, 1.46709]])
WITHOUT_CONES = {'normal': np.eye(3),
                 'protanopia': [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]],
                 'deuteranopia': [[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]}


def linear(colors):
    values = np.asarray(colors) / 255.
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab_of(colors, vision):
    """CIELAB of colours as they are seen, float [n, 3]."""
    seen = linear(colors).dot(TO_LMS.T).dot(np.array(WITHOUT_CONES[vision]).T)
    seen = seen.dot(np.linalg.inv(TO_LMS).T).clip(0, 1)
    xyz = seen.dot(np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722],
                             [0.0193, 0.1192, 0.9505]]).T) / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def nearest(colors, vision):
    """The smallest distance in CIELAB of any two colours."""
    lab = lab_of(colors, vision)
    distances = np.linalg.norm(lab[:, np.newaxis] - lab, axis=2)
    return distances[np.triu_indices(len(colors), 1)].min()


def contrast(color, other):
    """The ratio of WCAG 2, 1 to 21."""
    lights = sorted(linear([color, other]).dot([0.2126, 0.7152, 0.0722]))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def info_of(number_of_classes, **options):
    return descriptor.create('toy', ['c%d' % label for label in range(number_of_classes)], 255,
                             **options)


@pytest.mark.parametrize('number, all_cones, fewer_cones', [
    (8, 25, 17), (16, 25, 15), (24, 25, 12), (32, 22, 9), (64, 15, 4)])
def test_the_first_colours_are_told_apart_with_and_without_all_cones(
        number, all_cones, fewer_cones):
    colors = palette.distinct(number) + (palette.VOID_COLOR,)
    assert nearest(colors, 'normal') > all_cones
    assert min(nearest(colors, vision) for vision in WITHOUT_CONES) > fewer_cones


def test_256_colours_are_different_and_begin_with_the_fewer():
    colors = palette.distinct(256)
    assert len(set(colors)) == 256 and nearest(colors, 'normal') > 7
    assert colors[:21] == palette.distinct(21)
    assert palette.distinct(3) == ((85, 85, 85), (230, 159, 0), (86, 180, 233))
    # As wherever a picture was drawn: no last bit of a processor decides.
    assert colors[8:12] == ((0, 0, 255), (0, 102, 255), (119, 255, 136), (0, 255, 255))


def test_no_default_colour_is_lost_on_black_or_white():
    for color in palette.distinct(256):
        assert contrast(color, (0, 0, 0)) > 2.1 and contrast(color, (255, 255, 255)) > 1.2
    assert contrast(palette.distinct(1)[0], (255, 255, 255)) > 7


def test_classes_have_their_own_colours_else_vocs_for_vocs_else_the_default():
    own = ((9, 8, 7), (1, 2, 3))
    assert palette.of_classes(info_of(2, colors=own)) == own
    assert palette.of_classes(info_of(2)) == palette.distinct(2)
    vocs = descriptor.create('x', voc.CLASS_NAMES, 255)
    np.testing.assert_array_equal(palette.of(vocs), voc.color_map())
    assert palette.of(vocs).dtype == np.uint8
    own = tuple((label, label, label) for label in range(21))
    assert palette.of_classes(descriptor.create('x', voc.CLASS_NAMES, 255, colors=own)) == own


@pytest.mark.parametrize('ignore_label', [2, 200, 255])
def test_void_has_vocs_colour_wherever_its_label_is(ignore_label):
    colors = palette.of(descriptor.create('toy', ('a', 'b'), ignore_label))
    assert colors.shape == (256, 3) and tuple(colors[ignore_label]) == VOID_COLOR
    assert VOID_COLOR not in palette.of_classes(descriptor.create('toy', ('a', 'b'), 2))


@pytest.mark.parametrize('taken', [VOID_COLOR, (225, 222, 190)])
def test_void_stays_apart_from_a_class_that_has_its_colour(taken):
    colors = palette.of(info_of(3, colors=((0, 0, 0), taken, (255, 255, 255))))
    for color in colors[:3]:
        assert nearest([color, colors[255]], 'normal') > 25
