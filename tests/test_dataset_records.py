"""dataset/records.py: what goes in comes out, what is wrong stops, nothing is half done."""
import io
import os

import numpy as np
import pytest
from PIL import Image

from dataset import descriptor, records, voc
from runtime import tf

INFO = descriptor.create('toy', ('ground', 'cat', 'dog'), 255)
VOC_INFO = descriptor.create('voc', voc.CLASS_NAMES, voc.IGNORE_LABEL)


def encoded(pixels, image_format='PNG', mode=None, **options):
    """Returns the bytes of an image file holding `pixels`."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, image_format, **options)
    return buffer.getvalue()


def noise(height=6, width=8, channels=3, seed=0):
    """Returns random uint8 pixels."""
    return np.random.RandomState(seed).randint(0, 256, [height, width, channels]).astype(np.uint8)


def grid(values, height=6, width=8):
    """Returns uint8 [height, width] that repeats `values`."""
    return np.resize(np.array(values, np.uint8), [height, width])


def pair(image=None, mask=None, name='a.png'):
    """Returns a good example, or one with the given bytes."""
    return records.Example(name, encoded(noise()) if image is None else image,
                           encoded(grid([0, 1, 2, 255])) if mask is None else mask)


def read_back(directory, split):
    """Returns the split's records as a list of dicts of plain values."""
    info = descriptor.load(str(directory))
    rows = []
    for path in descriptor.shard_paths(info, str(directory), split):
        for record in tf.compat.v1.io.tf_record_iterator(path):
            features = tf.train.Example.FromString(record).features.feature
            rows.append({name: (value.bytes_list.value or value.int64_list.value)[0]
                         for name, value in features.items()})
    return rows


def pixels_of(data):
    return np.array(Image.open(io.BytesIO(data)))


def test_round_trip_keeps_bytes_names_sizes_and_labels(tmp_path):
    jpeg, png = encoded(noise(), 'JPEG'), encoded(noise(seed=1))
    paths = [tmp_path / 'größe.jpg', tmp_path / 'b.png', tmp_path / 'm.png']
    for path, data in zip(paths, (jpeg, png, encoded(grid([2, 1, 255])))):
        path.write_bytes(data)
    examples = [records.Example(path.name, str(path), str(paths[2])) for path in paths[:2]]
    summary = records.write_split(iter(examples), 2, INFO, str(tmp_path / 'out'), 'train')
    rows = read_back(tmp_path / 'out', 'train')
    assert [row[records.IMAGE_ENCODED] for row in rows] == [jpeg, png]
    assert [row[records.IMAGE_FORMAT] for row in rows] == [b'jpeg', b'png']
    assert [row[records.IMAGE_FILENAME].decode('utf-8') for row in rows] == ['größe.jpg', 'b.png']
    for row in rows:
        assert (row[records.IMAGE_HEIGHT], row[records.IMAGE_WIDTH]) == (6, 8)
        assert row[records.LABEL_FORMAT] == b'png'
        np.testing.assert_array_equal(pixels_of(row[records.LABEL_ENCODED]), grid([2, 1, 255]))
    assert summary.num_examples == 2 and summary.ignored_pixels == 32
    assert summary.class_pixels.tolist() == [0, 32, 32]
    assert '0 ground             0.00 %  <- no pixel' in records.describe(summary, INFO, 'train')


def test_shards_hold_consecutive_examples_and_none_is_empty(tmp_path):
    examples = [pair(name='%d.png' % index) for index in range(7)]
    records.write_split(examples, 7, INFO, str(tmp_path), 'train', num_shards=3)
    assert sorted(os.listdir(str(tmp_path))) == ['dataset.json'] + [
        'train-0000%d-of-00003.tfrecord' % shard for shard in range(3)]
    names = [row[records.IMAGE_FILENAME].decode() for row in read_back(tmp_path, 'train')]
    assert names == ['%d.png' % index for index in range(7)]
    records.write_split(examples[:2], 2, INFO, str(tmp_path), 'val', num_shards=5)
    assert len(descriptor.load(str(tmp_path)).splits['val']['shards']) == 2


def test_tensorflow_decodes_what_was_written(tmp_path):
    image = encoded(noise(), mode='P')
    records.write_split([pair(image)], 1, INFO, str(tmp_path), 'train')
    row = read_back(tmp_path, 'train')[0]
    with tf.Graph().as_default(), tf.Session() as session:
        pixels, labels = session.run([
            tf.io.decode_image(row[records.IMAGE_ENCODED], channels=3),
            tf.io.decode_png(row[records.LABEL_ENCODED], channels=1)])
    np.testing.assert_array_equal(pixels, np.array(Image.open(io.BytesIO(image)).convert('RGB')))
    np.testing.assert_array_equal(labels[:, :, 0], grid([0, 1, 2, 255]))


def test_palette_mask_keeps_its_indices():
    ids = grid([0, 1, 2, 15, 20, 255])
    mask = Image.fromarray(ids)
    mask.putpalette(voc.color_map().tobytes())
    assert Image.open(io.BytesIO(encoded(mask))).mode == 'P'
    labels = records.read_labels(pair(mask=encoded(mask)), VOC_INFO)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, ids)


def test_one_bit_and_integer_masks_keep_their_ids():
    ids = grid([0, 1])
    masks = [encoded(Image.fromarray(ids.astype(bool))), encoded(ids.astype(np.int32)),
             encoded(ids.astype(np.uint16), 'TIFF')]
    assert [Image.open(io.BytesIO(mask)).mode for mask in masks] == ['1', 'I', 'I;16']
    for mask in masks:
        np.testing.assert_array_equal(records.read_labels(pair(mask=mask), INFO), ids)


@pytest.mark.parametrize('bits', [2, 4])
def test_low_bit_grey_masks_are_not_stretched(bits):
    # Pillow writes such files only as palettes: turn that header into grey by
    # hand, as other programs do.
    import zlib
    ids = grid([0, 1, 2])
    data = bytearray(encoded(Image.fromarray(ids, 'P'), bits=bits))
    data[25] = 0
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, 'big')
    start = data.index(b'PLTE') - 4
    del data[start:start + 12 + int.from_bytes(data[start:start + 4], 'big')]
    mask = bytes(data)
    assert pixels_of(mask).max() > 2
    np.testing.assert_array_equal(records.read_labels(pair(mask=mask), INFO), ids)


@pytest.mark.parametrize('mode, image_format', [
    ('L', 'PNG'), ('P', 'PNG'), ('RGBA', 'PNG'), ('LA', 'PNG'), ('1', 'PNG'),
    ('RGB', 'BMP'), ('L', 'JPEG'), ('CMYK', 'JPEG')])
def test_other_images_become_rgb_png(mode, image_format):
    data = encoded(noise(), image_format, mode)
    stored, stored_format, size = records.read_image(pair(data))
    assert stored_format == 'png' and size == (8, 6)
    expected = Image.open(io.BytesIO(data)).convert('RGB')
    np.testing.assert_array_equal(pixels_of(stored), np.array(expected))


def test_rotated_jpeg_is_stored_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(noise(16, 24), 'JPEG', exif=exif)
    stored, stored_format, size = records.read_image(pair(data))
    assert stored_format == 'png' and size == (16, 24)
    np.testing.assert_array_equal(pixels_of(stored), np.rot90(pixels_of(data), -1))


@pytest.mark.parametrize('mask, words', [
    (encoded(grid([0, 3])), ['holds 3;', '0..2', 'start at 1']),
    (encoded(grid([0, 128, 255])), ['holds 128;', 'made for viewing']),
    (encoded(grid([0, 38, 75])), ['holds 38, 75;', 'palette colours that were decoded as grey']),
    (encoded(grid(range(3, 30))), ['and 19 more values', 'more classes']),
    (encoded(grid([0]).astype(np.int32) + 70000), ['holds ']),
    (encoded(noise()), ['mode RGB', 'class ids in one channel']),
    (encoded(noise(), mode='RGBA'), ['mode RGBA', 'class ids in one channel']),
    (encoded(grid([0, 1]), 'JPEG'), ['is a JPEG']),
    (encoded(grid([0, 1], 5, 9)), ['is 8x6', 'is 9x5', 'nearest neighbour']),
    (b'no image', ['cannot be decoded']),
])
def test_bad_masks_stop_the_build_naming_file_and_cause(tmp_path, mask, words):
    path = tmp_path / 'bad_mask.png'
    path.write_bytes(mask)
    example = records.Example('a.png', encoded(noise()), str(path))
    with pytest.raises(records.InvalidExampleError) as error:
        records.write_split([example], 1, INFO, str(tmp_path / 'out'), 'train')
    for word in words + [str(path)]:
        assert word in str(error.value)


def test_void_label_other_than_the_ignore_label_is_suspected():
    info = INFO._replace(ignore_label=11)
    with pytest.raises(records.InvalidExampleError, match=r'not the --ignore_label \(11\)'):
        records.encode(pair(), info)


def test_split_of_only_background_and_ignored_pixels_is_refused(tmp_path):
    with pytest.raises(records.InvalidExampleError, match='nothing but 0 and the ignore label'):
        records.write_split([pair(mask=encoded(grid([0, 255])))], 1, INFO, str(tmp_path), 'train')
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize('image_format', ['JPEG', 'PNG'])
def test_truncated_image_is_an_error_naming_the_file(tmp_path, image_format):
    path = tmp_path / 'cut.img'
    path.write_bytes(encoded(noise(60, 80), image_format)[:-500])
    with pytest.raises(records.InvalidExampleError, match='cut.img cannot be decoded'):
        records.read_image(pair(str(path)))


def test_sixteen_bit_image_is_an_error():
    with pytest.raises(records.InvalidExampleError, match='more than 8 bits'):
        records.read_image(pair(encoded(grid([0, 1]).astype(np.int32) * 1000)))


@pytest.mark.parametrize('interruption', [KeyboardInterrupt, records.InvalidExampleError])
def test_interrupted_first_build_leaves_nothing(tmp_path, interruption):
    def stops():
        yield pair()
        yield pair()
        raise interruption()

    with pytest.raises(interruption):
        records.write_split(stops(), 4, INFO, str(tmp_path), 'train', num_shards=4)
    assert os.listdir(str(tmp_path)) == []


def test_interrupted_rebuild_keeps_the_old_split(tmp_path):
    records.write_split([pair(name='old')] * 4, 4, INFO, str(tmp_path), 'train')
    files, fingerprint = os.listdir(str(tmp_path)), descriptor.fingerprint(str(tmp_path))
    with pytest.raises(records.InvalidExampleError):
        records.write_split([pair(name='new'), pair(b'')], 2, INFO, str(tmp_path), 'train')
    with pytest.raises(descriptor.DatasetError, match='announced with 5 examples but has 1'):
        records.write_split([pair(name='new')], 5, INFO, str(tmp_path), 'train')
    assert sorted(os.listdir(str(tmp_path))) == sorted(files)
    assert descriptor.fingerprint(str(tmp_path)) == fingerprint
    assert read_back(tmp_path, 'train')[0][records.IMAGE_FILENAME] == b'old'


def test_interruption_between_renames_withdraws_only_that_split(tmp_path, monkeypatch):
    records.write_split([pair()], 1, INFO, str(tmp_path), 'val')
    records.write_split([pair()] * 2, 2, INFO, str(tmp_path), 'train', num_shards=2)
    replace, calls = os.replace, []

    def stop_at_second_shard(source, target):
        calls.append(target)
        if target.endswith('train-00001-of-00002.tfrecord'):
            raise KeyboardInterrupt()
        replace(source, target)

    monkeypatch.setattr(os, 'replace', stop_at_second_shard)
    with pytest.raises(KeyboardInterrupt):
        records.write_split([pair()] * 2, 2, INFO, str(tmp_path), 'train', num_shards=2)
    assert any(call.endswith('train-00000-of-00002.tfrecord') for call in calls)
    assert list(descriptor.load(str(tmp_path)).splits) == ['val']


def test_rebuild_replaces_the_split_and_removes_stale_shards(tmp_path):
    records.write_split([pair()], 1, INFO, str(tmp_path), 'val')
    records.write_split([pair()] * 6, 6, INFO, str(tmp_path), 'train', num_shards=3)
    records.write_split([pair(name='new')] * 2, 2, INFO, str(tmp_path), 'train', num_shards=2)
    assert sorted(os.listdir(str(tmp_path))) == [
        'dataset.json', 'train-00000-of-00002.tfrecord', 'train-00001-of-00002.tfrecord',
        'val-00000-of-00001.tfrecord']
    splits = descriptor.load(str(tmp_path)).splits
    assert {split: entry['num_examples'] for split, entry in splits.items()} == {
        'train': 2, 'val': 1}


def test_alias_follows_a_rebuild_and_can_become_a_split_of_its_own(tmp_path):
    records.write_split([pair()] * 2, 2, INFO, str(tmp_path), 'validation', 2, ('test',))
    splits = descriptor.load(str(tmp_path)).splits
    assert splits['test'] == splits['validation']
    records.write_split([pair()], 1, INFO, str(tmp_path), 'validation')
    splits = descriptor.load(str(tmp_path)).splits
    assert splits['test'] == splits['validation'] and splits['test']['num_examples'] == 1
    records.write_split([pair(name='t')], 1, INFO, str(tmp_path), 'test')
    assert read_back(tmp_path, 'test')[0][records.IMAGE_FILENAME] == b't'
    assert read_back(tmp_path, 'validation')[0][records.IMAGE_FILENAME] == b'a.png'


@pytest.mark.parametrize('class_names, ignore_label, word', [
    (('ground', 'dog', 'cat'), 255, 'class_names'), (INFO.class_names, 254, 'ignore_label')])
def test_merging_other_classes_is_refused_before_work_starts(
        tmp_path, class_names, ignore_label, word):
    records.write_split([pair()], 1, INFO, str(tmp_path), 'train')
    other = descriptor.create('toy', class_names, ignore_label)
    with pytest.raises(descriptor.DatasetError, match=word):
        records.write_split(iter(()), 1, other, str(tmp_path), 'val')


@pytest.mark.parametrize('split, count, shards', [('a/b', 1, 1), ('', 1, 1), ('a', 0, 1),
                                                  ('a', 1, 0)])
def test_unusable_names_and_numbers_are_errors(tmp_path, split, count, shards):
    with pytest.raises(descriptor.DatasetError):
        records.write_split([pair()], count, INFO, str(tmp_path / 'out'), split, shards)
    assert not (tmp_path / 'out').exists()
