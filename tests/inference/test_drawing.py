"""drawing.py: the data set's colours, palette PNGs that keep ids, overlays, contact sheets."""
import os

import numpy as np
import pytest
from PIL import Image, ImageDraw

from common import lettering
from dataset import descriptor, palette, voc
from inference import drawing

VOID = 255
VOID_COLOR = (224, 224, 192)
VOC = descriptor.create('VOC', voc.CLASS_NAMES, VOID)
NAMES = ('ground', 'cat', 'dog')
OWN = ((10, 20, 30), (200, 100, 0), (0, 90, 250))


def info_of(names=NAMES, ignore_label=VOID, colors=None):
    """A data set, by default of three classes in VOC's first colours."""
    colors = voc.color_map(len(names)).tolist() if colors is None else colors
    return descriptor.create('toy', names, ignore_label, colors=colors)


def test_palette_of_voc_is_all_of_vocs(tmp_path):
    drawing.save_palette_png([[0]], str(tmp_path / 'a.png'), VOC)
    with Image.open(str(tmp_path / 'a.png')) as image:
        colors = np.reshape(image.getpalette(), [256, 3])
    np.testing.assert_array_equal(colors, voc.color_map())
    for label, color in {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 15: (192, 128, 128),
                         20: (0, 64, 128), 255: VOID_COLOR}.items():
        assert tuple(colors[label]) == color


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, np.int64])
def test_palette_png_keeps_every_id(tmp_path, dtype):
    label_map = np.arange(256, dtype=dtype).reshape(8, 32)
    drawing.save_palette_png(label_map, str(tmp_path / 'a.png'), VOC)
    with Image.open(str(tmp_path / 'a.png')) as image:
        assert (image.format, image.mode, image.size) == ('PNG', 'P', (32, 8))
        np.testing.assert_array_equal(np.array(image), label_map)
    assert os.listdir(str(tmp_path)) == ['a.png']


def test_palette_png_shows_the_palette_of_its_ignore_label(tmp_path):
    path = str(tmp_path / 'a.png')
    drawing.save_palette_png([[0, 1, 11]], path, info_of(ignore_label=11, colors=OWN))
    with Image.open(path) as image:
        colors = np.array(image.convert('RGB'))[0]
    np.testing.assert_array_equal(colors, [(10, 20, 30), (200, 100, 0), VOID_COLOR])


def row(name='a', height=60, width=120, label=1, prediction=15):
    """A green image with one label and one prediction all over."""
    return (name, np.full([height, width, 3], (77, 120, 33), np.uint8),
            np.full([height, width], label), np.full([height, width], prediction))


def boxes(sheet, color):
    """Returns (left, top, right, bottom) of the pixels that have the colour."""
    rows, columns = np.nonzero((np.array(sheet) == color).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_contact_sheet_shows_image_label_and_prediction_in_three_columns():
    sheet = drawing.contact_sheet([row()], VOC)
    assert sheet.mode == 'RGB'
    found = [boxes(sheet, color) for color in ((77, 120, 33), (128, 0, 0), (192, 128, 128))]
    cell = drawing.SHEET_CELL
    for left, top, right, bottom in found:
        assert (right - left, bottom - top) == (cell, cell // 2)
    lefts, tops = [box[0] for box in found], {box[1] for box in found}
    assert lefts == sorted(lefts) and len(tops) == 1
    assert all(later - earlier >= cell for earlier, later in zip(lefts, lefts[1:]))
    assert found[2][2] <= sheet.width and found[2][3] <= sheet.height


def test_contact_sheet_is_three_cells_wide_and_grows_by_each_row():
    heights = [drawing.contact_sheet([row()] * count, VOC).height for count in (1, 2, 3)]
    assert heights[1] - heights[0] == heights[2] - heights[1] >= drawing.SHEET_CELL // 2
    assert 3 * drawing.SHEET_CELL < drawing.contact_sheet([row()], VOC).width \
        < 4 * drawing.SHEET_CELL


def test_contact_sheet_keeps_the_rows_apart_in_their_order():
    sheet = drawing.contact_sheet([row('a', prediction=2), row('b', 90, 40, prediction=4)],
                                  VOC)
    first, second = boxes(sheet, (0, 128, 0)), boxes(sheet, (0, 0, 128))
    assert first[3] < second[1]
    assert second[3] <= sheet.height
    # A portrait image is fitted by its height: 240 x 107 of 90 x 40.
    assert (second[3] - second[1], second[2] - second[0]) == (drawing.SHEET_CELL, 107)


def test_contact_sheet_draws_void_in_its_colour_and_ids_without_blending():
    name, image, labels, predictions = row(prediction=2)
    labels[:, :60] = VOID
    predictions[:, 60:] = 4
    sheet = drawing.contact_sheet([(name, image, labels, predictions)], VOC)
    left, top, right, bottom = boxes(sheet, VOID_COLOR)
    assert (right - left, bottom - top) == (120, 120)
    left, top, right, bottom = boxes(sheet, (0, 128, 0))
    picture = np.array(sheet)[top:bottom, left:left + drawing.SHEET_CELL]
    assert {tuple(color) for color in picture.reshape(-1, 3)} == {(0, 128, 0), (0, 0, 128)}


@pytest.mark.parametrize('height, width', [(1, 1), (1, 900), (900, 1)])
def test_contact_sheet_draws_images_of_extreme_shape(height, width):
    sheet = drawing.contact_sheet([row(height=height, width=width)], VOC)
    left, top, right, bottom = boxes(sheet, (192, 128, 128))
    assert max(right - left, bottom - top) == drawing.SHEET_CELL


@pytest.mark.parametrize('name', ['2007_000033.jpg', 'größe.jpg', '猫.jpg'])
def test_contact_sheet_takes_any_file_name(name):
    left, _, right, _ = boxes(drawing.contact_sheet([row(name)], VOC), (192, 128, 128))
    assert right - left == drawing.SHEET_CELL


def test_index_png_is_grey_and_its_values_are_the_ids(tmp_path):
    label_map = np.arange(256).reshape(8, 32)
    drawing.save_index_png(label_map, str(tmp_path / 'a.png'))
    with Image.open(str(tmp_path / 'a.png')) as image:
        assert (image.format, image.mode, image.size) == ('PNG', 'L', (32, 8))
        np.testing.assert_array_equal(np.array(image), label_map)
    assert os.listdir(str(tmp_path)) == ['a.png']


def shows(sheet, text, size=12):
    """Whether a text stands on a white sheet, black and pixel for pixel."""
    picture = Image.new('L', (400, 40), 'white')
    ImageDraw.Draw(picture).text((5, 20), text, font=lettering.pillow_font(text, size),
                                 fill='black', anchor='lm')
    wanted = np.array(picture)
    rows, columns = np.nonzero(wanted < 255)
    wanted = wanted[rows.min():rows.max() + 1, columns.min():columns.max() + 1]
    found = np.array(sheet.convert('L'))
    height, width = wanted.shape
    return any((found[top:top + height, left:left + width] == wanted).all()
               for top in range(found.shape[0] - height + 1)
               for left in range(found.shape[1] - width + 1)
               if found[top + height // 2, left] == wanted[height // 2, 0])


def halves(left=0, right=2, height=40, width=300):
    """Returns a label map with two labels side by side."""
    labels = np.full([height, width], left)
    labels[:, width // 2:] = right
    return labels


def test_overlay_blends_the_colours_of_the_labels_with_the_image():
    image = np.full([40, 300, 3], (200, 100, 0), np.uint8)
    sheet = np.array(drawing.overlay(image, halves(), info_of())).astype(int)
    for column, color in ((20, (0, 0, 0)), (280, (0, 128, 0))):
        for found, under, over in zip(sheet[20, column], (200, 100, 0), color):
            assert min(under, over) <= found <= max(under, over)
        assert tuple(sheet[20, column]) not in ((200, 100, 0), color)
    # The image shows through alike under every colour.
    black = np.array(drawing.overlay(image * 0, halves(), info_of())).astype(int)
    np.testing.assert_allclose(sheet[20, 20] - black[20, 20], sheet[20, 280] - black[20, 280],
                               atol=1)


def test_overlay_marks_the_border_between_classes():
    sheet = np.array(drawing.overlay(np.zeros([40, 300, 3], np.uint8), halves(right=0),
                                     info_of()))
    assert (sheet[:40] == 0).all()
    sheet = np.array(drawing.overlay(np.zeros([40, 300, 3], np.uint8), halves(),
                                     info_of()))
    assert (sheet[:40, 149] > 100).all() and (sheet[:40, :149] == 0).all()


def test_legend_shows_the_names_and_shares_of_the_classes_that_occur():
    labels = halves()
    labels[0, :3] = 1
    sheet = drawing.overlay(np.zeros([40, 300, 3], np.uint8), labels, info_of())
    assert shows(sheet, 'ground 50.0 %') and shows(sheet, 'dog 50.0 %')
    assert shows(sheet, 'cat <0.1 %')
    assert not shows(sheet, 'void')
    assert boxes(sheet, (0, 128, 0))[1] >= 40


def test_legend_leaves_out_what_does_not_occur_and_names_void():
    sheet = drawing.overlay(np.zeros([40, 300, 3], np.uint8), halves(right=11),
                            info_of(ignore_label=11))
    assert shows(sheet, 'void 50.0 %') and not shows(sheet, 'cat') and not shows(sheet, 'dog')
    assert boxes(sheet, VOID_COLOR)[1] >= 40


def test_legend_of_all_classes_keeps_its_places_whatever_occurs():
    image = np.zeros([40, 300, 3], np.uint8)
    one = drawing.overlay(image, halves(0, 1), info_of(), all_classes=True)
    other = drawing.overlay(image, halves(1, 2), info_of(), all_classes=True)
    assert one.size == other.size
    places = [boxes(sheet.crop((0, 40) + sheet.size), (128, 0, 0)) for sheet in (one, other)]
    assert places[0] == places[1]
    assert shows(one, 'ground') and shows(one, 'cat') and not shows(one, 'dog')
    assert shows(other, 'dog') and not shows(other, 'ground')


@pytest.mark.parametrize('height, width', [(1, 1), (1, 900), (900, 1)])
def test_overlay_keeps_every_pixel_and_makes_room_for_the_legend(height, width):
    sheet = drawing.overlay(np.full([height, width, 3], 255, np.uint8),
                            np.full([height, width], 1), info_of())
    assert sheet.width >= width and sheet.height > height
    assert shows(sheet, 'cat 100.0 %', max(12, round(max(height, width) / 60)))
    blended = np.array(sheet)[:height, :width]
    assert (blended == blended[0, 0]).all() and tuple(blended[0, 0]) != (255, 255, 255)


def test_letters_of_a_legend_grow_with_the_image():
    sheet = drawing.overlay(np.zeros([100, 2400, 3], np.uint8), np.ones([100, 2400]),
                            info_of())
    assert shows(sheet, 'cat 100.0 %', 40) and not shows(sheet, 'cat 100.0 %', 12)


def test_legend_uses_as_many_rows_as_its_names_take():
    names = ['class %d' % label for label in range(150)]
    labels = np.arange(150).repeat(20).reshape(10, 300)
    sheet = drawing.overlay(np.zeros([10, 300, 3], np.uint8), labels, info_of(names))
    assert sheet.width == 300
    for label in (0, 77, 149):
        assert shows(sheet, 'class %d 0.7 %%' % label)


def test_comparison_marks_what_is_wrong_red_and_what_is_ignored_white():
    image = np.full([40, 60, 3], 90, np.uint8)
    labels, predictions = np.zeros([40, 60], int), np.zeros([40, 60], np.uint8)
    labels[:10], predictions[30:] = VOID, 2
    sheet = np.array(drawing.comparison(image, labels, predictions, info_of()))
    last = sheet[22:62, 3 * 68:3 * 68 + 60]
    assert (last[:10] == 255).all() and (last[30:] == (214, 39, 40)).all()
    assert (last[10:30] == 90 // 2 + 64).all()
    np.testing.assert_array_equal(sheet[22:62, :60], image)
    prediction = sheet[22:62, 2 * 68:2 * 68 + 60]
    assert (prediction[:30] == prediction[0, 0]).all() and (prediction[30:] != prediction[0]).any()


def test_comparison_shrinks_large_images_without_blending_ids():
    labels = np.zeros([900, 1200], int)
    labels[450:] = 5
    image, small, _ = drawing.shrink(np.zeros([900, 1200, 3], np.uint8), labels, labels)
    assert image.shape == (315, 420, 3) and set(np.unique(small)) == {0, 5}
    for again in drawing.shrink(image, small, small):
        assert again.shape[:2] == (315, 420)


def test_every_picture_has_the_data_sets_own_colours():
    info, labels = info_of(colors=OWN), halves()
    image = np.zeros([40, 300, 3], np.uint8)
    overlay = drawing.overlay(image, labels, info)
    for label in (0, 2):
        assert boxes(overlay, OWN[label])[1] >= 40  # the legend's
    np.testing.assert_allclose(np.array(overlay)[20, 280], np.multiply(OWN[2], 0.55), atol=1)
    for color in (OWN[0], OWN[2]):
        boxes(drawing.contact_sheet([('a', image, labels, labels)], info), color)
        boxes(drawing.comparison(image, labels, labels, info), color)


def test_data_sets_without_colours_have_the_default_and_class_0_is_not_black():
    info = descriptor.create('toy', NAMES, VOID)
    overlay = drawing.overlay(np.zeros([40, 300, 3], np.uint8), halves(right=1), info)
    assert np.array(overlay)[20, 20].min() > 40
    assert boxes(overlay, palette.OKABE_ITO[0])[1] >= 40
    assert boxes(overlay, palette.OKABE_ITO[1])[1] >= 40


@pytest.mark.parametrize('all_classes', [False, True])
def test_legend_shows_any_name(all_classes):
    names = ('_background_', '$x$', 'a$_$', '<b>', 'two\nlines', 'x' * 255, '\ud800', '🈚' * 9)
    labels = np.arange(8).repeat(40).reshape(8, 40)
    sheet = drawing.overlay(np.zeros([8, 40, 3], np.uint8), labels, info_of(names), all_classes)
    for text in lettering.labels(names):
        assert shows(sheet, text)
    assert lettering.labels(names)[4:6] == ('4: two\\nlines', '5: ' + 'x' * 37 + '...')
