"""Class ids are what the file holds, or the mask is refused with the reason."""
import io
import os
import struct

import numpy as np
import pytest
from PIL import Image

from dataset import build_folder, check, descriptor
from dataset.sources import color_masks, decoding
from tests.helpers import SHARED
from tests.helpers.example_files import (encoded, grid, labels_by_name, noise,
                                         pair, png_file, tiff_file)

MANY = descriptor.create('many', ['class %d' % number for number in range(255)], 255)
IDS = np.array([[0, 1, 2, 3], [3, 3, 0, 1]], np.uint8)
FOUR_BITS = np.array([[0, 1, 2, 15], [15, 9, 0, 1]], np.uint8)


def packed(values, bits):
    """Returns uint8 [height, bytes, 1] of rows that hold several values a byte."""
    rows = [''.join(format(value, '0%db' % bits) for value in row) for row in values]
    return np.array([[int(row[start:start + 8].ljust(8, '0'), 2)
                      for start in range(0, len(row), 8)] for row in rows], np.uint8)[:, :, None]


def read(data, info=MANY):
    return decoding.read_labels(pair(mask=data), info)


@pytest.mark.parametrize('white_is_zero', [False, True])
@pytest.mark.parametrize('order, compression', [('<', 1), ('>', 8)])
@pytest.mark.parametrize('bits, ids', [(2, IDS), (4, FOUR_BITS), (8, IDS)])
def test_grey_tiffs_of_few_bits_give_the_ids_they_hold(bits, ids, order, compression,
                                                       white_is_zero):
    data = tiff_file(packed(ids, bits), order, compression, bits=bits, width=4,
                     t262=0 if white_is_zero else 1)
    np.testing.assert_array_equal(read(data), ids)


@pytest.mark.parametrize('bits, ids', [(1, IDS % 2), (2, IDS), (4, FOUR_BITS)])
def test_grey_pngs_of_few_bits_give_the_ids_they_hold(bits, ids):
    np.testing.assert_array_equal(read(png_file(packed(ids, bits)[:, :, 0], bits, 0))[:, :4], ids)


@pytest.mark.parametrize('top', [1, 3, 20, 254, 255, 300, 1000, 65535])
def test_pgms_give_the_ids_they_hold_whatever_their_maximum(top):
    ids = np.arange(0, min(top, 254) + 1, dtype=np.uint8)[None]
    head = '# made by hand\n%d 1\n#\n%d\n' % (ids.size, top)
    raw = ids.astype('>u2' if top > 255 else np.uint8).tobytes()
    for data in (b'P5\n' + head.encode() + raw,
                 ('P2\n' + head + ' '.join(map(str, ids[0]))).encode()):
        np.testing.assert_array_equal(read(data), ids)


def test_sixteen_bit_tiffs_with_white_as_zero_are_not_turned_round():
    values = IDS.astype(np.uint16)[:, :, None]
    np.testing.assert_array_equal(read(tiff_file(values, t262=0)), IDS)


PALETTE_WHITE_FIRST = Image.fromarray(IDS % 2)
PALETTE_WHITE_FIRST.putpalette([255, 255, 255, 0, 0, 0])


@pytest.mark.parametrize('data, words', [
    (b'P4\n8 1\n\x0f', 'a PBM, whose 1 is black'),
    (b'P1\n4 1\n0 0 1 1', 'a PBM, whose 1 is black'),
    (tiff_file(packed(IDS % 2, 1), bits=1, width=4, t262=0), '1-bit TIFF.*MinIsWhite'),
    (encoded(PALETTE_WHITE_FIRST), 'greys whose palette begins with white'),
    (encoded(PALETTE_WHITE_FIRST, 'GIF'), 'greys whose palette begins with white'),
    (encoded(PALETTE_WHITE_FIRST, 'BMP'), 'greys whose palette begins with white')])
def test_where_black_or_white_may_be_0_the_mask_is_refused_and_a_palette_says_it(data, words):
    with pytest.raises(decoding.InvalidExampleError, match=words + '.*--palette'):
        read(data)
    # The advice: black is ground, white the object.
    palette = color_masks.Palette(np.array([0, 0xffffff]), np.array([0, 1], np.uint8), ['n', 'y'])
    labels = color_masks.PaletteReader(palette)(pair(mask=data), MANY)
    looks = np.array(Image.open(io.BytesIO(data)).convert('L'))
    np.testing.assert_array_equal(labels, looks // 255)


def test_palettes_of_colours_may_begin_with_white_and_black_first_is_usual():
    image = Image.fromarray(IDS)
    for palette in ([255] * 3 + [0] * 3 + [9, 0, 0, 0, 9, 0], [0] * 3 + [255] * 9):
        image.putpalette(palette)
        np.testing.assert_array_equal(read(encoded(image)), IDS)


def jpeg_tiff():
    return encoded(Image.fromarray(grid([0, 200])), 'TIFF', compression='jpeg')


@pytest.mark.parametrize('data, words', [
    (jpeg_tiff(), 'TIFF with the compression JPEG'),
    (encoded(Image.fromarray(grid([0, 1])), 'JPEG2000', quality_layers=[20]), 'is a JPEG 2000'),
    (encoded(Image.fromarray(grid([0, 1])), 'JPEG2000', irreversible=True), 'is a JPEG 2000'),
    (encoded(Image.fromarray(grid([0, 1])), 'JPEG'), 'is a JPEG,')])
def test_lossy_masks_are_refused_by_ids_and_by_palette(data, words):
    palette = color_masks.Palette(np.array([0, 0xffffff]), np.array([0, 1], np.uint8), ['n', 'y'])
    for reader in (decoding.read_labels, color_masks.PaletteReader(palette)):
        with pytest.raises(decoding.InvalidExampleError, match=words + '.*PNG') as error:
            reader(pair(mask=data), MANY)
        assert error.value.code == 'mask_jpeg'


def bmp_file(bits, palette, rows):
    """Returns a BMP of rows of bytes, the lowest first."""
    colors = b''.join(bytes([grey, grey, grey, 0]) for grey in palette)
    pixels = b''.join(row.ljust(4, b'\0') for row in rows)
    start = 54 + len(colors)
    return b'BM' + struct.pack(
        '<IHHI IiiHHIIiiII', start + len(pixels), 0, 0, start, 40, 4, len(rows), 1, bits, 0,
        len(pixels), 0, 0, len(palette), 0) + colors + pixels


def test_bmps_of_four_bits_give_indices_or_are_refused():
    rows = [bytes([0x33, 0x01]), bytes([0x01, 0x23])]
    np.testing.assert_array_equal(read(bmp_file(4, range(0, 256, 17), rows)), IDS)
    with pytest.raises(decoding.InvalidExampleError, match='a grey BMP of 4 bits is misread'):
        read(bmp_file(4, range(16), rows))


def greys(*values):
    return color_masks.PaletteReader(color_masks.Palette(
        np.array([value * 0x10101 for value in values]),
        np.arange(len(values), dtype=np.uint8), list(map(str, values))))


@pytest.mark.parametrize('data', [
    png_file(packed(IDS, 2)[:, :, 0], 2, 0), tiff_file(packed(IDS, 2), bits=2, width=4),
    b'P5 4 2 3 ' + IDS.tobytes()])
def test_palettes_of_greys_may_name_what_is_held_or_what_is_shown(data):
    # 1 of 0..3 is shown as 85.
    for palette in (greys(0, 1, 2, 3), greys(0, 85, 170, 255)):
        np.testing.assert_array_equal(palette(pair(mask=data), MANY), IDS)
    with pytest.raises(decoding.InvalidExampleError, match='grey of 0 to 3, and the palette has'):
        greys(0, 1, 2, 3, 85, 170, 255)(pair(mask=data), MANY)


def write(directory, masks):
    """Writes pairs 0, 1, ... of the masks, bytes; returns the flags to build or check them."""
    for folder in ('images', 'masks'):
        (directory / folder).mkdir()
    for number, data in enumerate(masks):
        (directory / 'images' / ('%d.png' % number)).write_bytes(encoded(noise(2, 4, seed=number)))
        (directory / 'masks' / ('%d.png' % number)).write_bytes(data)
    (directory / 'classes.txt').write_text('ground\ncat\ndog\ncow\n')
    return ['--images', str(directory / 'images'), '--masks', str(directory / 'masks'),
            '--classes', str(directory / 'classes.txt')]


def with_palette(ids, *colors):
    image = Image.fromarray(ids)
    image.putpalette([channel for color in colors for channel in color])
    return encoded(image)


BLACK, RED, GREEN, BLUE = (0, 0, 0), (200, 0, 0), (0, 200, 0), (0, 0, 200)


def test_palettes_of_other_orders_are_refused_and_read_by_colour(tmp_path, capsys):
    flags = write(tmp_path, [with_palette(IDS, BLACK, RED, GREEN, BLUE),
                             with_palette(IDS, BLACK, GREEN, RED, BLUE)])
    build = flags + ['--output_dir', str(tmp_path / 'out')]
    words = 'colour #00c800 is id 2 in .*0.png and 1 in .*1.png'
    # One shard, one for each mask, and in two splits.
    for how in (['--split', 'train', '--num_shards', '1'], ['--split', 'train'],
                ['--validation_fraction', '0.5']):
        with pytest.raises(SystemExit, match=words if how[0] == '--split' else 'palettes of'):
            build_folder.main(build + how)
    assert check.main(flags) == 1
    assert 'palette_order' in capsys.readouterr().out
    (tmp_path / 'p.csv').write_text('ground,0,0,0\ncat,200,0,0\ndog,0,200,0\ncow,0,0,200\n')
    build_folder.main(build + ['--split', 'train', '--palette', str(tmp_path / 'p.csv')])
    found = labels_by_name(tmp_path / 'out')
    np.testing.assert_array_equal(found['0.png'], IDS)
    np.testing.assert_array_equal(found['1.png'], np.array([0, 2, 1, 3], np.uint8)[IDS])


def write_two_splits(directory, first, second):
    """Folders of a mask each; returns the flags to build train and validation of them."""
    build = []
    for split, mask in (('train', first), ('validation', second)):
        (directory / split).mkdir()
        build.append(write(directory / split, [mask]) + [
            '--split', split, '--output_dir', str(directory / 'out')])
    return build


def test_palettes_agree_with_those_of_a_split_that_an_earlier_call_built(tmp_path):
    train, validation = write_two_splits(tmp_path, with_palette(IDS, BLACK, RED, GREEN, BLUE),
                                         with_palette(IDS, BLACK, GREEN, RED, BLUE))
    build_folder.main(train)
    with pytest.raises(SystemExit, match='#00c800 is id 1 in .*validation/masks/0.png and 2 in '
                                         '.*train/masks/0.png.*--palette for all splits'):
        build_folder.main(validation)
    (tmp_path / 'p.csv').write_text('ground,0,0,0\ncat,0,200,0\ndog,200,0,0\ncow,0,0,200\n')
    by_color = ['--palette', str(tmp_path / 'p.csv')]
    with pytest.raises(SystemExit, match='#00c800 is id 2 in .*train/masks/0.png and 1 in the '
                                         'palette of this build'):
        build_folder.main(validation + by_color)
    build_folder.main(train + by_color)  # as the message says, for all splits
    build_folder.main(validation + by_color)
    for split, expected in (('train', np.array([0, 2, 1, 3], np.uint8)[IDS]), ('validation', IDS)):
        np.testing.assert_array_equal(labels_by_name(tmp_path / 'out', split)['0.png'], expected)
    # Without --palette the indices would be other ids than the colours of before.
    (tmp_path / 'validation' / 'masks' / '0.png').write_bytes(
        with_palette(IDS, BLACK, RED, GREEN, BLUE))
    with pytest.raises(SystemExit, match='#00c800 is id 2 in .* and 1 in the palette of .*out'):
        build_folder.main(validation)


def test_all_splits_of_one_call_may_change_their_palettes(tmp_path):
    flags = write(tmp_path, [with_palette(IDS, BLACK, RED, GREEN, BLUE)] * 2) + [
        '--validation_fraction', '0.5', '--output_dir', str(tmp_path / 'out')]
    build_folder.main(flags)
    for name in ('0.png', '1.png'):
        (tmp_path / 'masks' / name).write_bytes(with_palette(IDS, BLACK, GREEN, RED, BLUE))
    build_folder.main(flags)
    assert set(labels_by_name(tmp_path / 'out')) | set(
        labels_by_name(tmp_path / 'out', 'validation')) == {'0.png', '1.png'}


def test_palettes_are_compared_by_what_their_indices_are_mapped_to(tmp_path):
    train, validation = write_two_splits(tmp_path, with_palette(IDS, BLACK, RED, GREEN, BLUE),
                                         with_palette(IDS, BLACK, GREEN, RED, BLUE))
    build_folder.main(train)
    build_folder.main(validation + ['--map_ids', '0:0', '1:2', '2:1', '3:3'])
    np.testing.assert_array_equal(labels_by_name(tmp_path / 'out', 'validation')['0.png'],
                                  np.array([0, 2, 1, 3], np.uint8)[IDS])


@pytest.mark.parametrize('second', [
    (BLACK, RED, GREEN, BLUE, BLACK, BLACK),  # padded
    (BLACK, (1, 2, 3), (4, 5, 6), (7, 8, 9)),  # colours of its own
    (BLACK, RED, GREEN, BLUE, GREEN)])  # a colour twice
def test_palettes_that_differ_otherwise_are_no_fault(tmp_path, second):
    flags = write(tmp_path, [with_palette(IDS, BLACK, RED, GREEN, BLUE),
                             with_palette(IDS, *second)])
    build_folder.main(flags + ['--output_dir', str(tmp_path / 'out'), '--split', 'train'])
    for labels in labels_by_name(tmp_path / 'out').values():
        np.testing.assert_array_equal(labels, IDS)
    assert check.main(flags) == 0


@pytest.mark.parametrize('case', ['tiff_4bit_mask', 'palette_order_differs'])
def test_shared_cases(tmp_path, case):
    folder = os.path.join(SHARED, 'cases', 'data', case)
    if not os.path.isdir(folder):
        pytest.skip('needs %s, which is not part of a clone' % folder)
    flags = ['--images', folder + '/images', '--masks', folder + '/masks', '--split', 'train',
             '--classes', folder + '/classes.txt', '--output_dir', str(tmp_path)]
    if case == 'tiff_4bit_mask':
        build_folder.main(flags)
        assert np.unique(labels_by_name(tmp_path)['a.png']).tolist() == [0, 1]
    else:
        with pytest.raises(SystemExit, match='palettes of the masks differ'):
            build_folder.main(flags)
