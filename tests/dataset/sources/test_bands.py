"""Which bands an image is shown by, and in which range."""
import os

import numpy as np
import pytest
from PIL import Image

from dataset import build_folder, check, descriptor
from dataset.records import manifest
from dataset.sources import bands, decoding, earlier_reading, views
from inference import media
from tests.helpers import SHARED
from tests.helpers.example_files import (encoded, grid, noise, pair, png_file,
                                         read_examples, tiff_file, write_folders)


def samples(number, dtype=np.uint16, height=13, width=11):
    return np.random.RandomState(number).randint(
        0, {np.uint8: 256, np.int8: 128}.get(dtype, 4096), [height, width, number]).astype(dtype)


@pytest.mark.parametrize('layout', [
    {}, {'order': '>'}, {'planar': 2, 'rows': 5}, {'compression': 8, 'rows': 5},
    {'compression': 8, 'predictor': 2, 'order': '>'}, {'tile': 16}, {'tile': 16, 'planar': 2},
    {'compression': 8, 'planar': 2, 'predictor': 2}, {'compression': 8, 'order': '>'},
    {'tile': 16, 'compression': 8, 'predictor': 2}, {'big': True},
    {'compression': 8, 'predictor': 3, 'rows': 5},
    {'compression': 8, 'predictor': 3, 'order': '>'},
    {'tile': 16, 'compression': 8, 'predictor': 3, 'planar': 2},
    {'tile': 16, 'compression': 8, 'predictor': 3}])
@pytest.mark.parametrize('number, dtype', [
    (1, np.uint16), (3, np.uint16), (4, np.uint8), (12, np.uint16), (5, np.float32),
    (2, np.uint32), (1, np.int16), (1, np.float64), (2, np.float16)])
def test_samples_of_tiffs_are_read_as_stored(number, dtype, layout):
    values = samples(number, dtype, 20, 37) if 'tile' in layout else samples(number, dtype)
    if layout.get('predictor') == 3 and np.dtype(dtype).kind != 'f':
        pytest.skip('a predictor of floats')
    data = tiff_file(values, **layout)
    tags, = bands.tiff_pages(data)
    found = bands.tiff_samples(data, tags)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)
    if found.itemsize > 1:  # 8 bits are as a viewer shows them.
        scale = rgb(data, (number,), (0, 4095))
        np.testing.assert_array_equal(scale, scaled(values[:, :, [-1] * 3], 0, 4095))


def rgb(data, chosen=None, value_range=None):
    view = views.View(bands=chosen, value_range=value_range)
    return decoding.read_rgb(pair(data)._replace(view=view))[0]


def scaled(values, low, high):
    return np.clip(np.floor((values.astype(float) - low) * 255 / (high - low) + .5), 0, 255)


def test_bands_and_range_are_those_that_were_chosen():
    values = samples(12)
    shown = rgb(tiff_file(values), (4, 3, 12), (100, 3000))
    np.testing.assert_array_equal(shown, scaled(values[:, :, [3, 2, 11]], 100, 3000))
    grey = rgb(tiff_file(values), (7,), (0, 4095))
    np.testing.assert_array_equal(grey, scaled(values[:, :, [6] * 3], 0, 4095))
    # Without a range all that 16 bits can hold, and 8 bits as they are.
    np.testing.assert_array_equal(rgb(tiff_file(values), (1, 2, 3)),
                                  scaled(values[:, :, :3], 0, 65535))
    eight = samples(5, np.uint8)
    np.testing.assert_array_equal(rgb(tiff_file(eight), (5, 1, 2)), eight[:, :, [4, 0, 1]])
    # Floating-point values, and what is none.
    floats = samples(1, np.float32) / 4096
    floats[0, 0] = np.nan
    expected = scaled(np.nan_to_num(floats), 0, 1)
    np.testing.assert_array_equal(rgb(tiff_file(floats), None, (0, 1))[:, :, :1], expected)


def test_range_and_bands_go_with_other_formats_too():
    pixels = noise(6, 8, 4)
    np.testing.assert_array_equal(rgb(encoded(pixels), (4, 2, 1)), pixels[:, :, [3, 1, 0]])
    values = samples(1)
    deep = png_file(values[:, :, 0].astype('>u2'), 16, 0)
    np.testing.assert_array_equal(rgb(deep, None, (0, 4095)),
                                  scaled(values[:, :, [0] * 3], 0, 4095))
    text = 'P2 3 1 1023 0 512 1023'.encode()
    assert rgb(text, None, (0, 1023))[0, :, 0].tolist() == [0, 128, 255]


def test_a_chosen_band_is_turned_upright_too():
    values = samples(5, np.uint8)
    np.testing.assert_array_equal(rgb(tiff_file(values, t274=6), (5, 1, 2)),
                                  np.rot90(values[:, :, [4, 0, 1]], -1))


@pytest.mark.parametrize('data, chosen, words', [
    (tiff_file(samples(3)), (1, 2, 4), 'has no band 4, only 3: give others to --bands'),
    (tiff_file(samples(5, np.float32)), (1, 2, 3), 'no agreed range: give --value_range'),
    (tiff_file(samples(1, np.uint8), bits=6, t277=7, t258=[6] * 7), (1,), '7 bands of 6 bits'),
    (png_file(noise().astype('>u2') * 257, 16, 2), (1, 2, 3), 'is a PNG of more than 8 bits')])
def test_bands_that_there_are_not_are_refused(data, chosen, words):
    with pytest.raises(decoding.InvalidExampleError, match='image of a.png .*' + words):
        rgb(data, chosen)


@pytest.mark.parametrize('layout', [{}, {'order': '>'}, {'tile': 16}, {'compression': 8}])
def test_bands_one_after_another_are_read_like_those_pixel_by_pixel(layout):
    deep = samples(3) * 16
    np.testing.assert_array_equal(rgb(tiff_file(deep, planar=2, t262=2, **layout)), deep >> 8)
    eight = samples(3, np.uint8)
    np.testing.assert_array_equal(rgb(tiff_file(eight, planar=2, t262=2, **layout)), eight)
    # Of four the last is transparency, or it is left out.
    four = samples(4) * 16
    np.testing.assert_array_equal(rgb(tiff_file(four, planar=2, t262=2, t338=0, **layout)),
                                  four[:, :, :3] >> 8)
    four[:, :, 3] = 65535
    np.testing.assert_array_equal(rgb(tiff_file(four, planar=2, t262=2, t338=2, **layout)),
                                  four[:, :, :3] >> 8)
    for number, dtype in ((2, np.uint16), (4, np.uint16), (8, np.int16), (8, np.uint8)):
        data = tiff_file(samples(number, dtype), planar=2, t338=[0] * (number - 1), **layout)
        with pytest.raises(decoding.InvalidExampleError, match='of %d bands of' % number):
            rgb(data)
        with pytest.raises(decoding.InvalidExampleError, match='of %d bands of' % number):
            rgb(tiff_file(samples(number, np.int16), planar=2, t262=2, **layout))
        chosen = rgb(data, (number, 1, 2), (0, 255))
        np.testing.assert_array_equal(
            chosen, scaled(samples(number, dtype)[:, :, [-1, 0, 1]], 0, 255))


# 16 by 20 pixels in tiles of 16 or strips of 5 rows; the second and the last are missing.
@pytest.mark.parametrize('compression', [1, 8])
@pytest.mark.parametrize('layout, absent, planes', [
    ({'tile': 16}, [1], 1), ({'tile': 16, 'planar': 2}, [1, 2], 3), ({'tile': 16}, [0, 1], 1),
    ({'rows': 5}, [1, 3], 1), ({'rows': 5}, [0, 1, 2], 1)])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_parts_that_a_tiff_leaves_out_hold_no_data_or_0(layout, absent, planes, compression,
                                                        dtype):
    values = samples(3, dtype, 16, 20)
    expected = values.copy()
    for number in absent:
        rows = slice(5 * number, 5 * number + 5) if 'rows' in layout else slice(None)
        columns = slice(16 * (number % 2), 16 * (number % 2) + 16) if 'tile' in layout else (
            slice(None))
        expected[rows, columns, slice(None) if planes == 1 else number // 2] = 0
    data = tiff_file(values, compression=compression, absent=absent, t262=2, **layout)
    found = bands.tiff_samples(data, bands.tiff_pages(data)[0])
    np.testing.assert_array_equal(found, expected)
    if dtype == np.uint8:
        np.testing.assert_array_equal(rgb(data), expected)
    for no_data, filling in ((b'7\0', 7), (b'-9999\0', -9999 if dtype == np.float32 else 0)):
        data = tiff_file(values, compression=compression, absent=absent, t42113=no_data, **layout)
        found = bands.tiff_samples(data, bands.tiff_pages(data)[0])
        assert (found[expected != values] == filling).all()
        np.testing.assert_array_equal(found[found != filling], values[found != filling])


@pytest.mark.parametrize('compression', [1, 8])
@pytest.mark.parametrize('tags', [{}, {'t262': 0}, {'t262': 3, 't320': list(range(0, 65536, 86))}])
def test_masks_that_leave_parts_out_hold_0_there(tags, compression):
    ids = grid([1, 2, 3], 16, 20)
    data = tiff_file(ids[:, :, None], compression=compression, tile=16, absent=[0], **tags)
    ids[:, :16] = 0
    np.testing.assert_array_equal(decoding.read_values(pair(mask=data))[0], ids)
    if 't320' in tags:  # Shown by its palette, as the whole file is.
        whole = tiff_file(ids[:, :, None], compression=compression, tile=16, **tags)
        np.testing.assert_array_equal(rgb(data), rgb(whole))


@pytest.mark.parametrize('sizes', [0, [0, 0, 0], [429, 0]])
def test_sizes_that_a_tiff_does_not_name_are_no_missing_parts(sizes):
    values = samples(3, np.uint8)
    data = tiff_file(values, rows=5, t262=2, t279=sizes)
    np.testing.assert_array_equal(rgb(data), values)
    np.testing.assert_array_equal(bands.tiff_samples(data, bands.tiff_pages(data)[0]), values)


@pytest.mark.parametrize('tag', [b'none\0', 7, [7, 8]])
def test_a_value_for_none_that_is_no_number_counts_as_none(tag):
    data = tiff_file(samples(1), t42113=tag)
    assert bands.no_data(bands.tiff_pages(data)[0]) is None


@pytest.mark.parametrize('planar', [1, 2])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('compression', [1, 8])
def test_colours_that_were_multiplied_by_alpha_are_divided_by_it(planar, dtype, compression):
    # 40 of 255 is 40 of 80 at an alpha of 80, on white: 40 + 255 - 80.
    scale = dtype(1 if dtype == np.uint8 else 256)
    values = np.zeros([13, 11, 4], dtype) + dtype([80, 40, 0, 80]) * scale
    data = tiff_file(values, planar=planar, compression=compression, t262=2, t338=1)
    assert rgb(data)[5, 5].tolist() == [255, 215, 175]


@pytest.mark.parametrize('planar', [1, 2])
@pytest.mark.parametrize('compression', [1, 8])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('number', [4, 5, 6, 8])
def test_of_rgb_of_more_bands_three_are_shown_or_those_that_are_chosen(
        planar, compression, dtype, number):
    values = samples(number, dtype) * dtype(1 if dtype == np.uint8 else 16)
    for extra in ({}, {'t338': [0] * (number - 3)})[number > 4:]:
        data = tiff_file(values, planar=planar, compression=compression, t262=2, **extra)
        np.testing.assert_array_equal(rgb(data), values[:, :, :3] >> (8 * values.itemsize - 8))
    if dtype == np.uint8:
        np.testing.assert_array_equal(rgb(data, (4, 2, 1)), values[:, :, [3, 1, 0]])


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('planar', [1, 2])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_grey_with_transparency_and_cmyk_are_shown_in_any_order_of_bands(dtype, planar, order):
    scale = dtype(1 if dtype == np.uint8 else 257)
    grey = np.zeros([13, 11, 2], dtype) + dtype([100, 255]) * scale
    assert rgb(tiff_file(grey, order, planar=planar, t338=2))[5, 5].tolist() == [100] * 3
    inks = np.zeros([13, 11, 4], dtype) + dtype([255, 100, 0, 0]) * scale
    assert rgb(tiff_file(inks, order, planar=planar, t262=5))[5, 5].tolist() == [0, 155, 255]


@pytest.mark.parametrize('layout', [{}, {'order': '>'}, {'compression': 8}, {'planar': 2}])
def test_bytes_with_a_sign_are_images_by_a_range_and_no_masks(layout):
    values = np.arange(-128, 128, dtype=np.int8).reshape(16, 16, 1)
    data = tiff_file(values, **layout)
    np.testing.assert_array_equal(rgb(data, None, (-128, 127)),
                                  np.repeat(values.view(np.uint8) ^ 128, 3, 2))
    with pytest.raises(decoding.InvalidExampleError, match='8 signed bits.*0 to 65535, as PNG'):
        decoding.read_values(pair(mask=data))


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('dtype, layout', [
    (np.uint8, {}), (np.uint16, {}), (np.uint16, {'compression': 8}), (np.uint16, {'planar': 2})])
def test_where_0_is_white_it_is_shown_so_and_ranges_are_of_what_is_held(dtype, layout, order):
    values = (samples(1, np.uint8) // 2).astype(dtype)
    scale = dtype(1 if dtype == np.uint8 else 257)
    data = tiff_file(values * scale, order, t262=0, **layout)
    for chosen in (None, (1,)):
        np.testing.assert_array_equal(rgb(data, chosen), 255 - np.repeat(values, 3, 2))
    np.testing.assert_array_equal(
        rgb(data, None, (0, int(51 * scale))), 255 - scaled(np.repeat(values, 3, 2), 0, 51))
    np.testing.assert_array_equal(decoding.read_values(pair(mask=data))[0],
                                  values[:, :, 0].astype(int) * int(scale))


def test_few_bits_in_16_are_nearly_white_where_0_is(tmp_path, capsys):
    build_folder.main(write(tmp_path, tiff_file(samples(1), t262=0)) + [
        '--output_dir', str(tmp_path / 'out')])
    assert 'it is nearly white. Give --value_range LOW HIGH, as 0 4095' in capsys.readouterr().out


@pytest.mark.parametrize('dtype', [np.uint16, np.int16, np.int32, np.uint32, np.int64])
@pytest.mark.parametrize('layout', [
    {}, {'order': '>'}, {'planar': 2}, {'planar': 2, 'tile': 16},
    {'order': '>', 'compression': 8}, {'planar': 2, 't274': 6}])
def test_masks_of_one_deep_band_are_read_whatever_the_order_of_bands_and_bytes(dtype, layout):
    ids = grid([0, 1, 2], 13, 11)
    values = decoding.read_values(pair(mask=tiff_file(ids[:, :, None].astype(dtype), **layout)))[0]
    np.testing.assert_array_equal(values, np.rot90(ids, -1) if 't274' in layout else ids)


@pytest.mark.parametrize('data, words', [
    (tiff_file(samples(2, np.uint8)), '2 bands of 8 bits'),
    (tiff_file(samples(2, np.uint8), t338=0, compression=8), '2 bands of 8 bits'),
    (tiff_file(samples(2, np.uint8), t338=1), 'mode La'),
    (tiff_file(np.full([13, 11, 1], 2 ** 32 - 1, np.uint32)), '1 band of 32 bits')])
def test_masks_of_two_bands_or_of_numbers_without_room_are_refused(data, words):
    with pytest.raises(decoding.InvalidExampleError, match=words):
        decoding.read_values(pair(mask=data))


@pytest.mark.parametrize('data, words', [
    (tiff_file(samples(2)), 'Choose bands with --bands 1, or'),
    (tiff_file(samples(1, np.uint32) << 20, planar=2), '1 band of 32 bits.*Say what becomes black'),
    (tiff_file(samples(1, np.int8)), '1 band of 8 signed bits.*Say what becomes black'),
    (tiff_file(samples(2, np.uint8), t338=0), '2 bands of 8 bits.*Choose bands with --bands 1, or'),
    (tiff_file(samples(8), big=True), '8 bands of 16 bits.*--bands 3 2 1, or'),
    (tiff_file(samples(3, np.uint8), t258=[12] * 3), '-ot UInt16 -co NBITS=16 OLD'),
    (tiff_file(samples(1, np.float64), t339=6), 'no plain numbers.*-ot Float32 OLD'),
    (tiff_file(samples(5, np.uint8), t259=34887),
     'compression number 34887.*gdal_translate -co COMPRESS=DEFLATE OLD NEW'),
    (tiff_file(samples(5), predictor=4, compression=8), 'predictor.*=DEFLATE OLD NEW'),
    (tiff_file(samples(5), t317=3), 'predictor.*=DEFLATE OLD NEW'),
    (tiff_file(samples(5), t266=2), 'order of bits.*=DEFLATE OLD NEW'),
    (tiff_file(samples(1, np.uint8), t259=50001), 'compression, webp. .*=DEFLATE OLD')],
                         ids=range(12))
def test_advice_on_tiffs_is_one_that_works(data, words):
    with pytest.raises(decoding.InvalidExampleError, match=words):
        rgb(data)
    if 'OLD' in words:
        with pytest.raises(decoding.InvalidExampleError, match=words):
            rgb(data, (1,), (0, 255))
    else:
        assert rgb(data, (1,), (0, 255)).any()


def test_what_earlier_builds_made_of_tiffs_is_built_again(monkeypatch):
    images = [encoded(noise()), tiff_file(samples(4), planar=2), tiff_file(samples(1), order='>')]
    now = [fingerprint(data) for data in images]
    monkeypatch.setattr(earlier_reading, 'mark', lambda data: '')
    assert [fingerprint(data) == other for data, other in zip(images, now)] == [True, False, False]


def fingerprint(image):
    source = manifest.Source(descriptor.create('toy', ['a'], 255), None)
    source.add(pair(image))
    return source.fingerprint()


def test_images_that_are_too_large_are_refused_with_bands_too(monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 71)
    for number, chosen in ((4, (1, 2, 3)), (1, (1,))):
        with pytest.raises(decoding.InvalidExampleError, match='more pixels than are read at once'):
            rgb(tiff_file(samples(number)), chosen)
    # Of 143 pixels, not of as many as there are bytes.
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 72)
    for layout in ({}, {'tile': 16}, {'compression': 8}):
        assert rgb(tiff_file(samples(4), **layout), (1, 2, 3)).any()
    assert Image.MAX_IMAGE_PIXELS == 72


def test_pillow_logs_nothing_of_files_of_many_bands(tmp_path, caplog):
    (tmp_path / 'a.tif').write_bytes(tiff_file(samples(8)))
    with pytest.raises(decoding.InvalidExampleError):
        rgb(tiff_file(samples(8)))
    media.by_size([media.Item(str(tmp_path / 'a.tif'), 'a')])
    assert not caplog.records


def write(directory, image, extension='.tif'):
    for folder, data in (('images', image), ('masks', encoded(grid([0, 1], 13, 11)))):
        (directory / folder).mkdir()
        (directory / folder / ('a' + (extension if folder == 'images' else '.png'))).write_bytes(
            data)
    (directory / 'classes.txt').write_text('ground\ncat\n')
    return ['--images', str(directory / 'images'), '--masks', str(directory / 'masks'),
            '--classes', str(directory / 'classes.txt'), '--split', 'train']


def test_advice_on_bands_of_a_tiff_that_calls_them_rgb_keeps_red_and_blue(tmp_path):
    values = samples(3, np.float32)
    flags = write(tmp_path, tiff_file(values, t262=2)) + ['--output_dir', str(tmp_path / 'out')]
    with pytest.raises(SystemExit, match='3 bands of 32 floating-point bits.*--bands 1 2 3, or'):
        build_folder.main(flags)
    advice = ['--bands', '1', '2', '3', '--value_range', '0', '4095']
    build_folder.main(flags + advice)
    np.testing.assert_array_equal(read_examples(tmp_path / 'out')[0][1], scaled(values, 0, 4095))


def test_twelve_bands_are_refused_with_their_number_and_the_advice_builds(tmp_path, capsys):
    values = samples(12)
    flags = write(tmp_path, tiff_file(values))
    build = flags + ['--output_dir', str(tmp_path / 'out')]
    with pytest.raises(SystemExit) as error:
        build_folder.main(build)
    assert 'a.tif is a TIFF of 12 bands of 16 bits' in str(error.value)
    assert '--bands 3 2 1' in str(error.value) and '--value_range' in str(error.value)
    advice = ['--bands', '3', '2', '1', '--value_range', '0', '4095']
    build_folder.main(build + advice)
    np.testing.assert_array_equal(read_examples(tmp_path / 'out')[0][1],
                                  scaled(values[:, :, [2, 1, 0]], 0, 4095))
    assert check.main(flags + advice) == 0
    # Other bands are another data set.
    capsys.readouterr()
    build_folder.main(build + ['--bands', '1', '--value_range', '0', '4095'])
    assert 'were there already' not in capsys.readouterr().out


@pytest.mark.parametrize('data, advice', [
    (tiff_file(samples(1)), '0 4095'), (tiff_file(samples(3), t262=2), '0 4095'),
    (tiff_file(samples(1) // 4), '0 1023'),
    (tiff_file(np.minimum(samples(1) * 3, 10200)), '0 16383'),
    (tiff_file(samples(3) * 4, t262=2, planar=2), '0 16383')])
def test_data_of_few_bits_in_16_are_said_to_be_dark_and_the_advice_builds(
        tmp_path, data, advice, capsys):
    flags = write(tmp_path, data)
    build = flags + ['--output_dir', str(tmp_path / 'out')]
    build_folder.main(build)
    printed = capsys.readouterr().out
    assert 'nearly black' in printed and 'as %s (' % advice in printed
    assert read_examples(tmp_path / 'out')[0][1].max() <= 64
    assert check.main(flags) == 1 and 'dark_image' in capsys.readouterr().out
    build_folder.main(build + ['--value_range'] + advice.split())
    assert 'black' not in capsys.readouterr().out
    assert read_examples(tmp_path / 'out')[0][1].max() > 150
    assert check.main(flags + ['--value_range'] + advice.split()) == 0


def test_all_16_bits_are_not_said_to_be_dark(tmp_path, capsys):
    build_folder.main(write(tmp_path, tiff_file(samples(3) * 16, t262=2)) + [
        '--output_dir', str(tmp_path / 'out')])
    assert 'Note' not in capsys.readouterr().out


@pytest.mark.parametrize('extra, is_alpha', [
    (None, False), ({'t338': 0}, False), ({'t338': 2}, True)])
def test_a_fourth_band_is_transparency_only_where_the_file_says_so(tmp_path, extra, is_alpha,
                                                                   capsys):
    values = samples(4, np.uint8)
    flags = write(tmp_path, tiff_file(values, t262=2, **extra or {}))
    build_folder.main(flags + ['--output_dir', str(tmp_path / 'out')])
    image = read_examples(tmp_path / 'out')[0][1]
    assert (image == values[:, :, :3]).all() == (not is_alpha)
    assert ('does not say that the fourth' in capsys.readouterr().out) == (not is_alpha)
    if not is_alpha:
        assert check.main(flags) == 1 and 'undeclared_band' in capsys.readouterr().out
        build_folder.main(flags + ['--output_dir', str(tmp_path / 'out'), '--bands', '4', '3', '2'])
        np.testing.assert_array_equal(read_examples(tmp_path / 'out')[0][1],
                                      values[:, :, [3, 2, 1]])


def test_transparency_that_looks_like_another_band_is_said(tmp_path, capsys):
    values = samples(4, np.uint8)
    flags = write(tmp_path, tiff_file(values, t262=2, t338=2))
    build = flags + ['--output_dir', str(tmp_path / 'out')]
    build_folder.main(build)
    assert 'fourth band is transparency, but it looks' in capsys.readouterr().out
    assert check.main(flags) == 1 and 'alpha_band' in capsys.readouterr().out
    build_folder.main(build + ['--bands', '1', '2', '3'])
    assert 'is transparency' not in capsys.readouterr().out
    np.testing.assert_array_equal(read_examples(tmp_path / 'out')[0][1], values[:, :, :3])
    # A cut-out with soft edges is one.
    values[:, 2:, 3] = 255
    (tmp_path / 'images' / 'a.tif').write_bytes(tiff_file(values, t262=2, t338=2))
    build_folder.main(build)
    assert 'is transparency' not in capsys.readouterr().out


def test_jpeg_2000_of_four_bands_is_transparent_only_if_it_says_so():
    pixels = noise(16, 16, 4)
    data = encoded(pixels, 'JPEG2000')
    assert (rgb(data) != pixels[:, :, :3]).any()
    np.testing.assert_array_equal(rgb(data.replace(b'cdef', b'free')), pixels[:, :, :3])


def test_the_shared_case_has_three_bands(tmp_path, capsys):
    folder = os.path.join(SHARED, 'cases', 'data', 'tiff_rgb_nir')
    if not os.path.isdir(folder):
        pytest.skip('needs %s, which is not part of a clone' % folder)
    build_folder.main(['--images', folder + '/images', '--masks', folder + '/masks', '--classes',
                       folder + '/classes.txt', '--split', 'train', '--output_dir', str(tmp_path)])
    assert 'does not say that the fourth' in capsys.readouterr().out
    (_, image, labels), = read_examples(tmp_path)
    assert image.mean() < 140 and set(np.unique(labels)) == {0, 1, 2}


def test_all_splits_of_a_data_set_have_the_same_bands_and_range(tmp_path):
    flags = write_folders(tmp_path, tiff_file(samples(4)), encoded(
        np.eye(13, 11, dtype=np.uint8)), '.tif')
    chosen = ['--bands', '4', '3', '2', '--value_range', '0', '4095']
    build = flags + ['--output_dir', str(tmp_path / 'out'), '--split']
    build_folder.main(build + ['train'] + chosen)
    first = descriptor.load(str(tmp_path / 'out'))
    assert (first.bands, first.value_range) == ((4, 3, 2), (0, 4095))
    for others in ([], chosen[:4], chosen[4:], ['--bands', '3', '2', '1'] + chosen[4:]):
        with pytest.raises(SystemExit, match='already holds train, built with --bands 4 3 2 '
                                             '--value_range 0 4095; this build has'):
            build_folder.main(build + ['validation'] + others)
    build_folder.main(build + ['validation'] + chosen)
    assert set(descriptor.load(str(tmp_path / 'out')).splits) == {'train', 'validation'}
    with pytest.raises(SystemExit, match='holds validation'):
        build_folder.main(build + ['train'])


def test_bands_of_data_sets_of_before_are_added_and_runs_on_them_go_on(tmp_path):
    flags = write_folders(tmp_path, tiff_file(samples(4)), encoded(
        np.eye(13, 11, dtype=np.uint8)), '.tif') + [
        '--output_dir', str(tmp_path / 'out'), '--split', 'train', '--bands', '4', '3', '2']
    build_folder.main(flags)
    built = descriptor.load(str(tmp_path / 'out'))
    descriptor.save(built._replace(bands=None), str(tmp_path / 'out'))
    assert 'bands' not in (tmp_path / 'out' / 'dataset.json').read_text()
    before = descriptor.fingerprint(str(tmp_path / 'out'))
    build_folder.main(flags)
    assert descriptor.load(str(tmp_path / 'out')) == built
    assert descriptor.fingerprint(str(tmp_path / 'out')) == before
