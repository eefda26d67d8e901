"""color_masks.py: colours become class ids, unknown ones are explained."""
import io
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from dataset import descriptor, voc
from dataset.sources import color_masks, decoding
from tests.helpers import SHARED

INFO = descriptor.create('toy', ('ground', 'cat'), 255)
COLORS = {'ground': (0, 0, 0), 'cat': (200, 30, 10), 'void': (255, 255, 255)}
SHARED_MASKS = os.path.join(SHARED, 'data',
                            'voc2012_sample', 'VOCdevkit', 'VOC2012', 'SegmentationClass')


@pytest.fixture
def palette(tmp_path):
    """The palette of `COLORS`."""
    path = tmp_path / 'palette.csv'
    path.write_text(''.join('%s,%d,%d,%d\n' % ((name,) + color) for name, color in COLORS.items()))
    return color_masks.read_palette(str(path), None, 255)[1]


def png(pixels, mode=None, image_format='PNG'):
    """Returns the bytes of an image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, image_format)
    return buffer.getvalue()


def painted():
    """Returns uint8 [3, 4, 3] in the colours of `COLORS`, and its labels."""
    labels = np.array([[0, 1, 1, 255], [0, 0, 1, 255], [255, 0, 1, 1]], np.uint8)
    of_label = {0: COLORS['ground'], 1: COLORS['cat'], 255: COLORS['void']}
    return np.array([[of_label[label] for label in row] for row in labels], np.uint8), labels


def read(data, palette):
    return color_masks.read_mask(decoding.Example('a.jpg', b'', data), INFO, palette)


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'P'])
def test_colors_become_labels_and_void_the_ignore_label(palette, mode):
    pixels, expected = painted()
    labels = read(png(Image.fromarray(pixels).convert(mode, palette=Image.ADAPTIVE)), palette)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize('mode', ['L', '1', 'LA'])
def test_black_and_white_masks_are_colors_too(mode):
    palette = color_masks.Palette(np.array([0, 0xffffff]), np.array([0, 1], np.uint8), ['n', 'y'])
    pixels = np.array([[0, 255], [255, 0]], np.uint8)
    np.testing.assert_array_equal(read(png(pixels, mode), palette), pixels // 255)


def test_palette_pickles_to_workers(palette):
    pixels, expected = painted()
    np.testing.assert_array_equal(read(png(pixels), pickle.loads(pickle.dumps(palette))), expected)


def test_unknown_color_is_named_with_count_place_and_neighbour(palette):
    pixels, _ = painted()
    pixels[1:, 2:] = (10, 220, 90)
    pixels[0, 0] = (10, 220, 91)
    with pytest.raises(decoding.InvalidExampleError) as error:
        read(png(pixels), palette)
    message = str(error.value)
    assert 'mask of a.jpg: colour (10, 220, 90) is not in the palette: 4 pixels' in message
    assert 'the first at row 1, column 2 (and 1 more unknown colours, 5 pixels in all)' in message
    assert 'Nearest is (0, 0, 0), ground. Add it to the palette' in message


def test_nearest_color_is_by_euclidean_distance(palette):
    pixels, _ = painted()
    # 115.5 from ground, 110.5 from cat; then 111.4 and 115.2.
    pixels[2, 3] = (95, 64, 15)
    with pytest.raises(decoding.InvalidExampleError, match=r'Nearest is \(200, 30, 10\), cat'):
        read(png(pixels), palette)
    pixels[2, 3] = (90, 64, 15)
    with pytest.raises(decoding.InvalidExampleError, match=r'Nearest is \(0, 0, 0\), ground'):
        read(png(pixels), palette)


def test_blended_colors_are_recognized_as_such(palette):
    pixels, _ = painted()
    near = pixels.copy()
    near[0, 0] = (3, 0, 1)
    many = np.array(Image.fromarray(pixels).resize((16, 12), Image.BILINEAR))
    for blended in (near, many):
        with pytest.raises(decoding.InvalidExampleError, match='once a JPEG.*anti-aliasing'):
            read(png(blended), palette)


def test_jpeg_transparent_deep_and_damaged_masks_are_errors(palette):
    pixels, _ = painted()
    alpha = Image.fromarray(pixels).convert('RGBA')
    alpha.putpixel((0, 0), (0, 0, 0, 254))
    for data, code, words in (
            (png(pixels, image_format='JPEG'), 'mask_jpeg', 'is a JPEG'),
            (png(alpha), 'mask_palette', 'has 1 transparent pixels'),
            (png(np.zeros([2, 2], np.int32), image_format='TIFF'), 'mask_palette', 'mode I;'),
            (png(pixels)[:60], 'mask_undecodable', 'cannot be decoded'),
            (b'', 'mask_undecodable', 'cannot be decoded')):
        with pytest.raises(decoding.InvalidExampleError, match='mask of a.jpg .*' + words) as error:
            read(data, palette)
        assert error.value.code == code
    with pytest.raises(decoding.InvalidExampleError, match='/nowhere/a.png cannot be decoded'):
        read('/nowhere/a.png', palette)


@pytest.mark.parametrize('text', [
    '{"sky": [1, 2, 3], "Void": [9, 9, 9], "sea": [4, 5, 6], "sky": [7, 8, 9]}',
    'name,r,g,b\nsky,1,2,3\nVOID, 9, 9, 9\n\n# more\nsea,4,5,6\nsky,7,8,9\n'])
def test_palette_files_give_names_in_order_and_several_colors_a_class(tmp_path, text):
    (tmp_path / 'palette').write_text(text)
    names, palette = color_masks.read_palette(str(tmp_path / 'palette'), None, 200)
    assert names == ['sky', 'sea']
    pixels = np.array([[[1, 2, 3], [7, 8, 9], [4, 5, 6], [9, 9, 9]]], np.uint8)
    np.testing.assert_array_equal(read(png(pixels), palette), [[0, 0, 1, 200]])


def test_classes_decide_the_order_of_a_palette_with_names(tmp_path):
    (tmp_path / 'palette').write_text('sky,1,2,3\nsea,4,5,6\nignore,0,0,0\n')
    names, palette = color_masks.read_palette(str(tmp_path / 'palette'), ['sea', 'sky'], 255)
    assert names == ['sea', 'sky']
    np.testing.assert_array_equal(
        read(png(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)), palette), [[1, 0]])
    # Whoever lists void as a class gets it as one.
    names, palette = color_masks.read_palette(
        str(tmp_path / 'palette'), ['ignore', 'sea', 'sky'], 255)
    np.testing.assert_array_equal(read(png(np.zeros([1, 1, 3], np.uint8)), palette), [[0]])


def test_palette_without_names_takes_those_of_the_classes(tmp_path):
    (tmp_path / 'palette.json').write_text('[[1, 2, 3], [4, 5, 6]]')
    names, palette = color_masks.read_palette(str(tmp_path / 'palette.json'), ['a', 'b'], 255)
    assert names == ['a', 'b'] and palette.names == ['a', 'b']
    for classes in (None, ['a'], ['a', 'b', 'c']):
        with pytest.raises(UserError, match='2 colours without names; give --cla'):
            color_masks.read_palette(str(tmp_path / 'palette.json'), classes, 255)


@pytest.mark.parametrize('text, words', [
    ('', 'names no colour'), ('name,r,g,b\n', 'names no colour'), ('{}', 'names no colour'),
    ('{"a": [1, 2, 3]', 'Write JSON'), ('a,1,2\n', 'row 1 has 3 columns'),
    ('a,1,2,3\nb,x,2,3\n', "'x'"), ('{"a": [1, 2]}', r"colour of 'a' is \[1, 2\]"),
    ('{"a": [1, 2, 256]}', 'three integers 0..255'), ('{"a": [1, 2, true]}', 'three integers'),
    ('[1, 2, 3]', 'colour is 1'), ('a,-1,2,3\n', 'three integers'),
    ('a,1,2,3\nb,1,2,3\n', r'colour \(1, 2, 3\) to each of: a, b'),
    ('void,1,2,3\n', 'names no class, only colours of void')])
def test_unusable_palette_files_are_errors_that_name_the_file(tmp_path, text, words):
    (tmp_path / 'palette').write_text(text)
    with pytest.raises(UserError, match=words) as error:
        color_masks.read_palette(str(tmp_path / 'palette'), None, 255)
    assert str(tmp_path / 'palette') in str(error.value)


def test_palette_and_classes_that_differ_are_listed(tmp_path):
    (tmp_path / 'palette').write_text('sky,1,2,3\nsea,4,5,6\n')
    with pytest.raises(UserError, match='without colour: land; .*without class: sea'):
        color_masks.read_palette(str(tmp_path / 'palette'), ['sky', 'land'], 255)
    with pytest.raises(UserError, match="absent cannot be read.*'voc' or a palette"):
        color_masks.read_palette(str(tmp_path / 'absent'), None, 255)


def test_voc_palette_has_21_classes_or_those_given_and_void():
    names, palette = color_masks.read_palette('voc', None, 255)
    assert tuple(names) == voc.CLASS_NAMES and len(palette.codes) == 22
    pixels = np.array([[[0, 0, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192]]], np.uint8)
    np.testing.assert_array_equal(read(png(pixels), palette), [[0, 15, 20, 255]])
    names, palette = color_masks.read_palette('voc', ['ground', 'cat'], 7)
    assert names == ['ground', 'cat']
    pixels = np.array([[[128, 0, 0], [224, 224, 192]]], np.uint8)
    np.testing.assert_array_equal(read(png(pixels), palette), [[1, 7]])


def test_real_voc_masks_as_colors_give_their_palette_indices():
    if not os.path.isdir(SHARED_MASKS):
        pytest.skip('needs %s, which is not part of a clone' % os.path.normpath(SHARED_MASKS))
    palette = color_masks.read_palette('voc', None, voc.IGNORE_LABEL)[1]
    seen = set()
    for file_name in sorted(os.listdir(SHARED_MASKS)):
        with Image.open(os.path.join(SHARED_MASKS, file_name)) as mask:
            indices, colors = np.array(mask), png(mask, 'RGB')
        np.testing.assert_array_equal(read(colors, palette), indices)
        seen |= set(np.unique(indices))
    assert {0, 15, 255} <= seen


@pytest.mark.parametrize('text', [
    'name,r,g,b\nsky,1,2,3\nroad #1,4,5,6\n', 'name,b,g,r\nsky,3,2,1\nroad #1,6,5,4\n',
    'Red, Green, Blue, Label\n1, 2, 3, sky\n4, 5, 6, road #1\n',
    '# label:color_rgb:parts:actions\nsky:1,2,3::\nroad #1:4,5,6:lane:\n',
    'sky,1,2,3\n# no class\nroad #1,4,5,6\n', '1 2 3 sky\n4 5 6 road #1\n',
    '0 sky 1 2 3\n3 road #1 4 5 6\n', '3 road #1 4 5 6\n0 sky 1 2 3\n',
    '#010203 sky\n#040506 road #1', '{"sky": "#010203", "road #1": "#040506"}'])
def test_columns_are_read_by_their_header_and_cvats_file_is_understood(tmp_path, text):
    (tmp_path / 'palette').write_text(text)
    names, palette = color_masks.read_palette(str(tmp_path / 'palette'), None, 255)
    assert names == ['sky', 'road #1']
    assert palette.codes.tolist() == [0x010203, 0x040506] and palette.labels.tolist() == [0, 1]


@pytest.mark.parametrize('text, words', [
    ('name,x,y,z\nsky,1,2,3\n', "row 1, 'name,x,y,z', is a header that does not name each of r"),
    ('0 sky 1 2 3\n0 sea 4 5 6\n', 'the id 0 has several names. Write JSON'),
    ('0 sky 1 2 3\n1 sky 4 5 6\n', "the name 'sky' has several ids. Write JSON"),
    ('sky,one,two,three\n', 'is a header'), ('name,r,g,g\nsky,1,2,3\n', 'is a header'),
    ('sky:1,2,3::\nroad:::\n', "label 'road' has no colour"),
    ('sky,1,2,3\nsea,a,b,c\n', 'invalid literal')])
def test_a_header_that_says_something_else_is_refused(tmp_path, text, words):
    (tmp_path / 'palette').write_text(text)
    with pytest.raises(UserError, match=words):
        color_masks.read_palette(str(tmp_path / 'palette'), None, 255)


def test_a_palette_in_utf_16_is_read_and_latin_1_is_refused(tmp_path):
    (tmp_path / 'palette').write_text('größe,1,2,3\n', encoding='utf-16')
    assert color_masks.read_palette(str(tmp_path / 'palette'), None, 255)[0] == ['größe']
    (tmp_path / 'palette').write_text('größe,1,2,3\n', encoding='latin-1')
    with pytest.raises(UserError, match='--palette .*line 1 is not UTF-8'):
        color_masks.read_palette(str(tmp_path / 'palette'), None, 255)
