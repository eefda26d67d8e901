"""decoding.py: every kind of file becomes what a viewer shows, or an error that names it.

The images of records are decoded as `preprocessing.inputs` does it and compared
with Pillow: TensorFlow and Pillow must never see different pixels.
"""
import io
import pickle
import random
import struct

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dataset import descriptor, voc
from dataset.records import encoding
from dataset.sources import decoding, jpeg_png
from runtime import tf
from tests.helpers.example_files import (INFO, encoded, grid, noise, pair,
                                         pixels_of, png_chunk, png_file)

VOC_INFO = descriptor.create('voc', voc.CLASS_NAMES, voc.IGNORE_LABEL)


@pytest.fixture(scope='module')
def tf_decode():
    """Returns a function from bytes to what `preprocessing.inputs` makes of an image or mask."""
    with tf.Graph().as_default():
        data = tf.compat.v1.placeholder(tf.string, [])
        image = tf.image.decode_jpeg(data, channels=3, dct_method='INTEGER_ACCURATE')
        labels = tf.image.decode_png(data, channels=1)[:, :, 0]
        with tf.compat.v1.Session() as session:
            yield lambda value, what='image': session.run(
                {'image': image, 'labels': labels}[what], {data: value})


def picture(height=48, width=64):
    """Returns a detailed image with smooth parts, of mode RGB."""
    image = Image.fromarray(noise(6, 8)).resize((width, height), Image.BICUBIC)
    ImageDraw.Draw(image).ellipse([2, 2, width // 2, height - 2], fill='red', outline='white')
    return image


def turned_sampling():
    """Returns a 4:4:0 JPEG: the blocks of a 4:2:2 one, two above instead of beside each other."""
    data = bytearray(encoded(picture(64, 64), 'JPEG', subsampling='4:2:2'))
    frame = data.index(b'\xff\xc0')
    assert data[frame + 11] == 0x21
    data[frame + 11] = 0x12
    return bytes(data)


def without_last_scan():
    """Returns a progressive JPEG that ends, properly, before its last scan."""
    data = encoded(noise(64, 64), 'JPEG', progressive=True)
    return data[:data.rindex(b'\xff\xda')] + b'\xff\xd9'


def adobe_cmyk():
    """Returns a JPEG of full cyan as Adobe writes it, with inverted values."""
    data = encoded(Image.new('CMYK', (16, 16), (255, 0, 0, 0)), 'JPEG', quality=100)
    assert b'Adobe' in data
    return data


MPO = encoded(picture(), 'MPO', save_all=True, append_images=[picture().rotate(180)])

UNTOUCHED = {
    '4:4:4': encoded(picture(), 'JPEG', subsampling='4:4:4'),
    '4:2:2': encoded(picture(), 'JPEG', subsampling='4:2:2'),
    '4:2:0': encoded(picture(), 'JPEG', subsampling='4:2:0'),
    'odd size': encoded(picture(47, 33), 'JPEG', subsampling='4:2:0'),
    'progressive': encoded(picture(), 'JPEG', progressive=True),
    'optimized, with comment': encoded(picture(), 'JPEG', optimize=True, comment=b'\xff\xd9'),
    'grey': encoded(picture(), 'JPEG', 'L'),
    'grey progressive': encoded(picture(), 'JPEG', 'L', progressive=True),
    'trailing bytes': encoded(picture(), 'JPEG') + b'camera data' * 9,
    'two pictures': MPO,
    'png': encoded(picture(), 'PNG'),
    'grey png': encoded(picture(), 'PNG', 'L'),
    'interlaced': png_file(noise(13, 11), 8, 2, interlaced=True),
    'gamma': png_file(noise(), 8, 2, png_chunk(b'gAMA', struct.pack('>I', 20000))),
    'profile and background': png_file(
        noise(), 8, 2, png_chunk(b'sRGB', b'\0') + png_chunk(b'bKGD', bytes(6))),
}
REWRITTEN = {
    '4:4:0': turned_sampling(),
    'scan missing': without_last_scan(),
    'end missing': encoded(picture(), 'JPEG')[:-2] + bytes(40),
    'cmyk': encoded(noise(16, 16), 'JPEG', 'CMYK'),
    'adobe cmyk': adobe_cmyk(),
    'palette': encoded(picture(), 'PNG', 'P'),
    'one bit': encoded(picture(), 'PNG', '1'),
    'gif': encoded(picture(), 'GIF'),
    'bmp': encoded(picture(), 'BMP'),
    'tiff': encoded(picture(), 'TIFF', compression='tiff_lzw'),
    'ppm': encoded(picture(), 'PPM'),
    'rgb of 16 bits': png_file(noise(16, 16).astype('>u2') * 257, 16, 2),
    'animated': encoded(picture(), 'PNG', save_all=True, append_images=[picture().rotate(90)]),
}


@pytest.mark.parametrize('kind', sorted(UNTOUCHED))
def test_common_files_pass_untouched_and_tensorflow_sees_what_pillow_sees(kind, tf_decode):
    data = UNTOUCHED[kind]
    stored, stored_format, (width, height) = decoding.read_image(pair(data))
    assert stored == data
    assert stored_format == ('png' if data.startswith(b'\x89PNG') else 'jpeg')
    expected = np.array(Image.open(io.BytesIO(data)).convert('RGB'))
    assert expected.shape == (height, width, 3)
    np.testing.assert_array_equal(tf_decode(stored), expected)


@pytest.mark.parametrize('kind', sorted(REWRITTEN))
def test_other_files_become_png_with_the_pixels_that_pillow_sees(kind, tf_decode):
    data = REWRITTEN[kind]
    stored, stored_format, (width, height) = decoding.read_image(pair(data))
    assert stored_format == 'png' and stored.startswith(b'\x89PNG')
    expected = np.array(Image.open(io.BytesIO(data)).convert('RGB'))
    assert expected.shape == (height, width, 3)
    np.testing.assert_array_equal(tf_decode(stored), expected)


@pytest.mark.parametrize('kind', ['4:4:0', 'scan missing', 'end missing'])
def test_tensorflow_would_have_read_these_otherwise(kind, tf_decode):
    # Should a later TensorFlow agree with Pillow here, rewriting is no longer needed.
    try:
        pixels = tf_decode(REWRITTEN[kind])
    except tf.errors.InvalidArgumentError:
        return
    is_alike = kind == '4:4:0' and tf.__version__.startswith('2.')
    assert (pixels != pixels_of(REWRITTEN[kind])).any() != is_alike


def test_inverted_cmyk_has_its_colour(tf_decode):
    stored = decoding.read_image(pair(adobe_cmyk()))[0]
    np.testing.assert_allclose(tf_decode(stored)[8, 8], [0, 255, 255], atol=2)


def test_transparent_parts_are_shown_on_white(tf_decode):
    colors = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], np.uint8)
    white_green = np.array([[[200, 100, 0], [255, 255, 255], [244, 224, 204]]])
    for mode in ('RGBA', 'RGBa'):
        image = Image.fromarray(colors).convert(mode)
        rgb = decoding._to_rgb(image, 'a.tif')
        np.testing.assert_allclose(np.array(rgb), white_green, atol=3)
    stored = decoding.read_image(pair(encoded(colors)))[0]
    np.testing.assert_allclose(tf_decode(stored), white_green, atol=1)
    grey = encoded(Image.fromarray(np.array([[[90, 255], [90, 0]]], np.uint8), 'LA'))
    np.testing.assert_array_equal(tf_decode(decoding.read_image(pair(grey))[0]),
                                  [[[90] * 3, [255] * 3]])


def test_transparent_colours_and_palette_entries_are_shown_on_white(tf_decode):
    first = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    rgb = png_file(first, 8, 2, png_chunk(b'tRNS', struct.pack('>3H', 1, 2, 3)))
    grey = png_file(first[:, :, 0], 8, 0, png_chunk(b'tRNS', struct.pack('>H', 1)))
    palette = png_file(grid([0, 1], 1, 2), 8, 3, png_chunk(b'PLTE', bytes([9, 9, 9, 4, 5, 6]))
                       + png_chunk(b'tRNS', b'\0'))
    for data, color in ((rgb, [4, 5, 6]), (grey, [4, 4, 4]), (palette, [4, 5, 6])):
        stored, stored_format, _ = decoding.read_image(pair(data))
        assert stored_format == 'png'
        np.testing.assert_array_equal(tf_decode(stored), [[[255] * 3, color]])


@pytest.mark.parametrize('bits', [2, 4])
def test_low_bit_grey_images_are_stretched_to_white(bits, tf_decode):
    packed = np.array([[0b00011011 if bits == 2 else 0x0f]], np.uint8)
    levels = [0, 85, 170, 255] if bits == 2 else [0, 255]
    stored = decoding.read_image(pair(png_file(packed, bits, 0)))[0]
    np.testing.assert_array_equal(tf_decode(stored)[0, :, 0], levels)


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'big-endian TIFF', 'integer TIFF'])
def test_sixteen_bit_grey_is_scaled_by_its_range(kind, tf_decode):
    values = np.array([[0, 128, 257, 32768, 65278, 65535]], np.uint16)
    if kind == 'PNG':
        data = png_file(values.astype('>u2'), 16, 0)
    elif kind == 'TIFF':
        data = encoded(Image.fromarray(values), 'TIFF')
    elif kind == 'big-endian TIFF':
        data = encoded(Image.frombytes('I;16B', (6, 1), values.astype('>u2').tobytes()), 'TIFF')
    else:
        data = encoded(values.astype(np.int32), 'TIFF')
    # Pillow 9 opens a PNG of 16 bits with 32, later ones with 16.
    modes = {'TIFF': ['I;16'], 'big-endian TIFF': ['I;16B'], 'integer TIFF': ['I']}
    assert Image.open(io.BytesIO(data)).mode in modes.get(kind, ['I', 'I;16'])
    stored, stored_format, _ = decoding.read_image(pair(data))
    assert stored_format == 'png'
    # v * 255 / 65535 = v / 257, rounded.
    np.testing.assert_array_equal(tf_decode(stored)[0, :, 0], [0, 0, 1, 128, 254, 255])


def test_transparent_sixteen_bit_grey_is_white(tf_decode):
    data = png_file(np.array([[7, 257]], '>u2'), 16, 0, png_chunk(b'tRNS', struct.pack('>H', 7)))
    np.testing.assert_array_equal(tf_decode(decoding.read_image(pair(data))[0])[0, :, 0], [255, 1])


@pytest.mark.parametrize('pixels, words', [
    (grid([0]).astype(np.float32), 'floating-point values'),
    (grid([0]).astype(np.int32) + 65536, 'values of 65536 to 65536, more than 16 bits'),
    (grid([0]).astype(np.int32) - 1, 'values of -1 to -1')])
def test_images_without_one_way_to_show_them_are_errors(tmp_path, pixels, words):
    (tmp_path / 'deep.tif').write_bytes(encoded(pixels, 'TIFF'))
    with pytest.raises(decoding.InvalidExampleError, match='deep.tif holds ' + words):
        decoding.read_image(pair(str(tmp_path / 'deep.tif')))


@pytest.mark.parametrize('orientation', range(2, 9))
@pytest.mark.parametrize('image_format', ['JPEG', 'PNG'])
def test_rotated_images_are_stored_upright(orientation, image_format, tf_decode):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(16, 24), image_format, exif=exif)
    stored, stored_format, size = decoding.read_image(pair(data))
    # What the standard says row 0 and column 0 of the stored image are when upright.
    pixels = pixels_of(data)
    upright = {2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1],
               5: pixels.transpose(1, 0, 2), 6: np.rot90(pixels, -1),
               7: pixels[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(pixels)}[orientation]
    assert stored_format == 'png' and size == upright.shape[1::-1]
    np.testing.assert_array_equal(tf_decode(stored), upright)


@pytest.mark.filterwarnings('ignore:Corrupt EXIF')  # raised when the test itself decodes
def test_damaged_metadata_do_not_matter(tf_decode):
    data = encoded(picture(), 'JPEG', exif=b'Exif\0\0II*\0\xff\xff\xff\xff\xff\xff')
    stored = decoding.read_image(pair(data))[0]
    np.testing.assert_array_equal(tf_decode(stored), pixels_of(data))


@pytest.mark.parametrize('image_format', ['JPEG', 'PNG'])
def test_truncated_image_is_an_error_naming_the_file(tmp_path, image_format):
    path = tmp_path / 'cut.img'
    path.write_bytes(encoded(noise(60, 80), image_format)[:-500])
    with pytest.raises(decoding.InvalidExampleError, match='cut.img cannot be decoded'):
        decoding.read_image(pair(str(path)))


@pytest.mark.parametrize('data, words', [
    (b'', 'it is empty'), (b'<!DOCTYPE html><p>Not found', r"starts with b'<!DOCTYPE html>"),
    (png_file(noise(), 8, 2)[:-12], 'cut short'),
    (png_file(noise(), 8, 2)[:-13] + b'!' + png_file(noise(), 8, 2)[-12:], 'CRC of the PNG chunk'),
    (png_file(noise(), 8, 2, b'\0\0\0\1abcd!\0\0\0\0'), 'its header is damaged')])
def test_what_is_no_image_is_described(tmp_path, data, words):
    (tmp_path / 'a.png').write_bytes(data)
    with pytest.raises(decoding.InvalidExampleError, match='a.png cannot be decoded: .*' + words):
        decoding.read_image(pair(str(tmp_path / 'a.png')))


def test_absent_file_is_an_error_naming_it():
    with pytest.raises(decoding.InvalidExampleError, match='no/a.png cannot be decoded: No such'):
        decoding.read_image(pair('no/a.png'))


def test_png_with_fewer_rows_than_its_header_says_is_an_error():
    data = png_file(noise(6, 8), 8, 2)
    header = data[16:20] + struct.pack('>I', 7) + data[24:29]
    taller = data[:8] + png_chunk(b'IHDR', header) + data[33:]
    assert pixels_of(taller).shape == (7, 8, 3)  # Pillow fills in black
    with pytest.raises(decoding.InvalidExampleError, match='150 of the 175 bytes'):
        decoding.read_image(pair(taller))


def test_every_flipped_bit_of_a_png_mask_is_an_error():
    # CRCs guard all but the signature and the chunks' lengths, and those are checked.
    mask = encoded(grid([0, 1, 2, 255], 5, 5))
    assert decoding.read_labels(pair(mask=mask), INFO).shape == (5, 5)
    for bit in range(8 * len(mask)):
        damaged = bytearray(mask)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(decoding.InvalidExampleError, match='mask of a.png'):
            decoding.read_labels(pair(mask=bytes(damaged)), INFO)


def test_palette_mask_keeps_its_indices(tf_decode):
    ids = grid([0, 1, 2, 15, 20, 255])
    mask = Image.fromarray(ids)
    mask.putpalette(voc.color_map().tobytes())
    assert Image.open(io.BytesIO(encoded(mask))).mode == 'P'
    labels, stored = decoding.read_labels_and_png(pair(mask=encoded(mask)), VOC_INFO)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, ids)
    np.testing.assert_array_equal(tf_decode(stored, 'labels'), ids)
    assert b'PLTE' not in stored and pixels_of(stored).ndim == 2
    # Not compressed anew, which would take most of the time of a build.
    assert stored[stored.index(b'IDAT'):] in encoded(mask)


@pytest.mark.parametrize('options', [dict(), dict(interlaced=True),
                                     dict(chunks=png_chunk(b'tRNS', struct.pack('>H', 1)))])
def test_grey_masks_are_stored_as_tensorflow_reads_them(options, tf_decode):
    ids = grid([0, 1, 2, 255])
    labels, stored = decoding.read_labels_and_png(pair(mask=png_file(ids, 8, 0, **options)), INFO)
    np.testing.assert_array_equal(labels, ids)
    np.testing.assert_array_equal(tf_decode(stored, 'labels'), ids)


def test_one_bit_and_integer_masks_keep_their_ids(tf_decode):
    ids = grid([0, 1])
    masks = [encoded(Image.fromarray(ids.astype(bool))), encoded(ids.astype(np.int32), 'TIFF'),
             encoded(ids.astype(np.uint16), 'TIFF'), encoded(ids, 'BMP')]
    assert [Image.open(io.BytesIO(mask)).mode for mask in masks] == ['1', 'I', 'I;16', 'L']
    for mask in masks:
        labels, stored = decoding.read_labels_and_png(pair(mask=mask), INFO)
        np.testing.assert_array_equal(labels, ids)
        np.testing.assert_array_equal(tf_decode(stored, 'labels'), ids)


@pytest.mark.parametrize('bits', [2, 4])
def test_low_bit_grey_masks_are_not_stretched(bits, tf_decode):
    packed = np.array([[0b00011011 if bits == 2 else 0x02]], np.uint8)
    ids = [0, 1, 2, 3] if bits == 2 else [0, 2]
    mask = png_file(packed, bits, 0)
    assert pixels_of(mask).max() > 3
    info = descriptor.create('toy', tuple('abcd'), 255)
    labels, stored = decoding.read_labels_and_png(pair(mask=mask), info)
    np.testing.assert_array_equal(labels, [ids])
    np.testing.assert_array_equal(tf_decode(stored, 'labels'), [ids])


def test_baseline_jpeg_needs_all_its_components_to_pass():
    # A frame of three components whose only scan has one.
    data = bytearray(encoded(noise(8, 8), 'JPEG', subsampling='4:4:4'))
    assert jpeg_png.jpeg_reads_alike(bytes(data))
    scan = data.index(b'\xff\xda')
    data[scan:scan + 14] = b'\xff\xda\0\x08\x01' + data[scan + 5:scan + 7] + b'\0\x3f\0'
    assert not jpeg_png.jpeg_reads_alike(bytes(data))


def sources():
    """Returns (images, masks) to damage, as lists of bytes of 24x20 files."""
    image, mask = picture(20, 24), Image.fromarray(grid([0, 1, 2, 255], 20, 24))
    palette = mask.copy()
    palette.putpalette(voc.color_map().tobytes())
    images = [encoded(image, 'JPEG'), encoded(image, 'JPEG', subsampling=0, optimize=True),
              encoded(image, 'JPEG', progressive=True), encoded(image, 'JPEG', 'L'),
              encoded(image, 'PNG'), encoded(image, 'PNG', 'L'), encoded(image, 'PNG', 'P'),
              encoded(image, 'PNG', 'RGBA')]
    return images, [encoded(mask), encoded(palette), encoded(mask, 'TIFF'), encoded(mask, 'BMP')]


def damage(data, rng):
    """Returns the bytes of a file after one of the accidents that happen to files."""
    kind, changed = rng.randrange(8), bytearray(data)
    if kind < 4:  # mostly one bit, and often in the headers
        for _ in range(rng.choice([1, 1, 1, 3, 20])):
            bit = rng.randrange(8 * (len(data) if kind < 2 else min(len(data), 300)))
            changed[bit // 8] ^= 1 << bit % 8
    elif kind < 6:
        del changed[rng.randrange(len(data)):]
    elif kind == 6:
        at = rng.randrange(len(data))
        changed[at:at + rng.randrange(20)] = bytes(rng.randrange(20))
    else:
        return rng.choice([b'', b'<html><body>404 Not Found</body></html>', b'plain text\n' * 9,
                           bytes(rng.randrange(256) for _ in range(99)), b'\xff\xd8\xff\xe0',
                           b'\x89PNG\r\n\x1a\n', b'P6 9999999 9999999 255\n', b'GIF89a' + bytes(9)])
    return bytes(changed)


def test_a_thousand_damaged_files_give_an_error_or_a_record_that_decodes(tmp_path, tf_decode):
    rng, (images, masks) = random.Random(0), sources()
    refused = 0
    for number in range(1000):
        image, mask = rng.choice(images), rng.choice(masks)
        if number % 10 == 9:  # a mask in the place of the image, or the other way round
            image, mask = rng.choice([(mask, mask), (image, image), (mask, image)])
        elif number % 2:
            image = damage(image, rng)
        else:
            mask = damage(mask, rng)
        paths = [str(tmp_path / name) for name in ('photo.png', 'labels.png')]
        for path, data in zip(paths, (image, mask)):
            with open(path, 'wb') as damaged_file:
                damaged_file.write(data)
        try:
            record, labels = encoding.encode(decoding.Example('photo.png', *paths), INFO)
        except decoding.InvalidExampleError as error:
            assert paths[0] in str(error) or paths[1] in str(error)
            refused += 1
            continue
        features = tf.train.Example.FromString(record).features.feature
        stored = [features[key].bytes_list.value[0]
                  for key in (encoding.IMAGE_ENCODED, encoding.LABEL_ENCODED)]
        assert set(np.unique(labels)) <= {0, 1, 2, 255}
        np.testing.assert_array_equal(tf_decode(stored[1], 'labels'), labels)
        pixels = tf_decode(stored[0])
        assert pixels.shape == labels.shape + (3,)
        np.testing.assert_array_equal(
            pixels, np.array(Image.open(io.BytesIO(stored[0])).convert('RGB')))
    # Both happen: damaged JPEGs often decode.
    assert 500 < refused < 950


@pytest.mark.parametrize('kind', sorted(UNTOUCHED) + sorted(REWRITTEN))
def test_read_rgb_gives_what_the_stored_image_decodes_to(kind, tf_decode):
    data = dict(UNTOUCHED, **REWRITTEN)[kind]
    pixels, untouched = decoding.read_rgb(pair(data))
    assert pixels.dtype == np.uint8 and untouched == (kind in UNTOUCHED)
    np.testing.assert_array_equal(pixels, tf_decode(decoding.read_image(pair(data))[0]))


def test_errors_carry_their_code_through_pickling():
    for example, code in ((pair(image=b''), 'image_unusable'), (pair(mask=b''), 'mask_undecodable'),
                          (pair(mask=encoded(noise())), 'mask_colors'),
                          (pair(mask=encoded(grid([0]), 'JPEG')), 'mask_jpeg'),
                          (pair(mask=encoded(grid([7]))), 'label_values'),
                          (pair(mask=encoded(grid([0], 5, 9))), 'size_mismatch')):
        with pytest.raises(decoding.InvalidExampleError) as error:
            encoding.encode(example, INFO)
        again = pickle.loads(pickle.dumps(error.value))
        assert again.code == code and str(again) == str(error.value)
