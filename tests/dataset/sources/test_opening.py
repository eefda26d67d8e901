"""Every file is upright once, image and mask alike, whichever Pillow reads it."""
import pathlib

import numpy as np
import pytest
from PIL import Image

from dataset import build_folder, check
from dataset.records import encoding
from dataset.sources import decoding, views
from inference import media
from tests.helpers import SHARED
from tests.helpers.example_files import (INFO, encoded, grid, noise, pair,
                                         read_examples, turned,
                                         with_orientation, write_folders)

IDS = np.array([[0, 1, 2], [2, 2, 1]], np.uint8)
IGNORING = views.View(ignore_exif=True)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('image_format', ['TIFF', 'PNG', 'WEBP'])
def test_images_are_turned_once_or_not_at_all(image_format, orientation):
    options = {'lossless': True} if image_format == 'WEBP' else {}
    pixels = noise(5, 7)
    if image_format == 'WEBP':
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(pixels, image_format, exif=exif.tobytes(), **options)
    else:
        data = with_orientation(pixels, image_format, orientation)
    np.testing.assert_array_equal(decoding.read_rgb(pair(data))[0], turned(pixels, orientation))
    stored, untouched = decoding.read_rgb(pair(data)._replace(view=IGNORING))
    np.testing.assert_array_equal(stored, pixels)
    assert untouched == (image_format == 'PNG' and orientation == 1)


@pytest.mark.parametrize('orientation', range(2, 9))
@pytest.mark.parametrize('image_format', ['TIFF', 'PNG'])
def test_masks_are_turned_as_images_are(image_format, orientation):
    example = pair(with_orientation(noise(2, 3), image_format, orientation),
                   with_orientation(IDS, image_format, orientation))
    for view, expected in ((views.AS_IT_IS, turned(IDS, orientation)), (IGNORING, IDS)):
        record, labels = encoding.encode(example._replace(view=view), INFO)
        np.testing.assert_array_equal(labels, expected)
        assert encoded(Image.fromarray(expected)) in record


def test_palette_masks_with_an_orientation_keep_their_indices():
    mask = Image.fromarray(IDS)
    mask.putpalette([0, 0, 0, 9, 9, 9, 90, 0, 0])
    labels = decoding.read_labels(pair(mask=with_orientation(mask, 'PNG', 6)), INFO)
    np.testing.assert_array_equal(labels, np.rot90(IDS, -1))


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize('kind', ['TIFF', 'JPEG', 'WEBP'])
def test_an_orientation_in_xmp_alone_counts_with_no_version_of_pillow(kind):
    image = Image.fromarray(noise(5, 7))
    if kind == 'JPEG':
        plain = encoded(image, 'JPEG')
        packet = b'http://ns.adobe.com/xap/1.0/\0' + XMP
        data = plain[:2] + b'\xff\xe1' + bytes([0, len(packet) + 2]) + packet + plain[2:]
    else:
        data = encoded(image, kind, **{'tiffinfo': {700: XMP}} if kind == 'TIFF' else
                       {'xmp': XMP, 'lossless': True})
    assert decoding.read_rgb(pair(data))[0].shape == (5, 7, 3)


def test_predict_turns_as_builders_do(tmp_path):
    path, pixels = tmp_path / 'a.tif', noise(5, 7)
    path.write_bytes(with_orientation(pixels, 'TIFF', 6))
    np.testing.assert_array_equal(media.read_picture(str(path)), np.rot90(pixels, -1))


def write(directory, image, mask, extension='.png'):
    return write_folders(directory, image, mask, extension) + ['--split', 'train']


@pytest.mark.parametrize('image_format, extension', [('PNG', '.png'), ('TIFF', '.tif'),
                                                     ('JPEG', '.jpg')])
def test_a_size_error_names_the_orientation_and_the_flag_that_helps(
        tmp_path, image_format, extension, capsys):
    flags = write(tmp_path, with_orientation(noise(2, 3), image_format, 6), encoded(IDS), extension)
    build, out = flags + ['--output_dir', str(tmp_path / 'out')], tmp_path / 'out'
    with pytest.raises(SystemExit) as error:
        build_folder.main(build)
    message = str(error.value)
    assert 'is 2x3 but its mask' in message and 'is 3x2' in message
    assert 'EXIF orientation 6 of the image' in message and '--ignore_exif' in message
    assert check.main(flags) == 1 and '--ignore_exif' in capsys.readouterr().out
    build_folder.main(build + ['--ignore_exif'])
    (_, image, labels), = read_examples(out)
    np.testing.assert_array_equal(labels, IDS)
    assert image.shape == (2, 3, 3)
    if image_format != 'JPEG':
        np.testing.assert_array_equal(image, noise(2, 3))
    assert check.main(flags + ['--ignore_exif']) == 0 and check.main([str(out)]) == 0


def test_ignore_exif_that_parts_a_pair_is_said_to_be_left_out(tmp_path):
    flags = write(tmp_path, with_orientation(noise(3, 2), 'PNG', 6), encoded(IDS))
    build = flags + ['--output_dir', str(tmp_path / 'out')]
    with pytest.raises(SystemExit, match='orientation 6 of the image.*Leave out --ignore_exif'):
        build_folder.main(build + ['--ignore_exif'])
    build_folder.main(build)
    np.testing.assert_array_equal(read_examples(tmp_path / 'out')[0][2], IDS)


def test_the_flag_is_part_of_what_a_shard_is_known_by(tmp_path, capsys):
    flags = write(tmp_path, with_orientation(noise(3, 3), 'PNG', 6), encoded(grid([0, 1], 3, 3)))
    build, out = flags + ['--output_dir', str(tmp_path / 'out')], tmp_path / 'out'
    for ignore, pixels in ((['--ignore_exif'], noise(3, 3)), ([], np.rot90(noise(3, 3), -1))):
        build_folder.main(build + ignore)
        np.testing.assert_array_equal(read_examples(out)[0][1], pixels)
        assert 'were there already' not in capsys.readouterr().out
    build_folder.main(build)
    assert '1 of 1 shards were there already' in capsys.readouterr().out


def test_turned_images_beside_masks_without_orientation_are_said_once(tmp_path, capsys):
    turned_image = with_orientation(noise(2, 3), 'PNG', 3)
    flags = write(tmp_path, turned_image, encoded(IDS))
    for folder, data in (('images', turned_image), ('masks', encoded(IDS))):
        (tmp_path / folder / 'b.png').write_bytes(data)
    build_folder.main(flags + ['--output_dir', str(tmp_path / 'out')])
    printed = capsys.readouterr().out
    assert printed.count('was turned as its EXIF orientation 3 says') == 1
    assert 'So it is with 2 examples.' in printed
    for name in 'ab':
        (tmp_path / 'masks' / (name + '.png')).write_bytes(with_orientation(IDS, 'PNG', 3))
    build_folder.main(flags + ['--output_dir', str(tmp_path / 'out')])
    assert 'was turned' not in capsys.readouterr().out


@pytest.mark.parametrize('case', ['tiff_orientation', 'mask_png_exif'])
def test_shared_cases_are_as_a_viewer_shows_them(tmp_path, case):
    folder = pathlib.Path(SHARED, 'cases', 'data', case)
    if not folder.is_dir():
        pytest.skip('needs %s, which is not part of a clone' % folder)
    build_folder.main(['--images', str(folder / 'images'), '--masks', str(folder / 'masks'),
                       '--classes', str(folder / 'classes.txt'), '--split', 'train',
                       '--output_dir', str(tmp_path)])
    (_, image, labels), = read_examples(tmp_path)
    # Both hold their picture turned by 180 degrees: the image here, the mask there.
    upright = folder.parent / 'tiff_4bit_mask' / 'images' / 'a.png'
    np.testing.assert_array_equal(image, np.array(Image.open(str(upright))))
    mask = np.array(Image.open(str(folder / 'masks' / 'a.png')))
    np.testing.assert_array_equal(labels, mask[::-1, ::-1] if case == 'mask_png_exif' else mask)
