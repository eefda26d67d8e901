"""dataset/records: what goes in comes out, what is wrong stops, nothing is half done."""
import errno
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from common.errors import UserError
from dataset import descriptor
from dataset.records import (encoding, example_proto, manifest, publishing,
                             shards, workers, writing)
from dataset.sources import decoding
from runtime import tf
from tests.helpers import ROOT, example_files
from tests.helpers.example_files import (INFO, encoded, grid, noise, pair,
                                         pixels_of, write_pairs)


def visible(directory):
    """Returns the sorted names of the files that are no hidden ones."""
    return sorted(name for name in os.listdir(str(directory)) if not name.startswith('.'))


def interrupt(*_, **__):
    raise KeyboardInterrupt()


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


def test_round_trip_keeps_bytes_names_sizes_and_labels(tmp_path):
    jpeg, png = encoded(noise(), 'JPEG'), encoded(noise(seed=1))
    paths = [tmp_path / 'größe.jpg', tmp_path / 'b.png', tmp_path / 'm.png']
    for path, data in zip(paths, (jpeg, png, encoded(grid([2, 1, 255])))):
        path.write_bytes(data)
    examples = [decoding.Example(path.name, str(path), str(paths[2])) for path in paths[:2]]
    summary = writing.write_split(iter(examples), 2, INFO, str(tmp_path / 'out'), 'train')
    rows = read_back(tmp_path / 'out', 'train')
    assert [row[encoding.IMAGE_ENCODED] for row in rows] == [jpeg, png]
    assert [row[encoding.IMAGE_FORMAT] for row in rows] == [b'jpeg', b'png']
    assert [row[encoding.IMAGE_FILENAME].decode('utf-8') for row in rows] == ['größe.jpg', 'b.png']
    for row in rows:
        assert (row[encoding.IMAGE_HEIGHT], row[encoding.IMAGE_WIDTH]) == (6, 8)
        assert row[encoding.LABEL_FORMAT] == b'png'
        np.testing.assert_array_equal(pixels_of(row[encoding.LABEL_ENCODED]), grid([2, 1, 255]))
    assert summary.num_examples == 2 and summary.ignored_pixels == 32
    assert summary.class_pixels.tolist() == [0, 32, 32]
    assert '0 ground             0.00 %  <- no pixel' in writing.describe(summary, INFO, 'train')


def test_shards_hold_consecutive_examples_and_none_is_empty(tmp_path):
    examples = [pair(name='%d.png' % index) for index in range(7)]
    writing.write_split(examples, 7, INFO, str(tmp_path), 'train', num_shards=3)
    assert visible(tmp_path) == ['dataset.json'] + [
        'train-0000%d-of-00003.tfrecord' % shard for shard in range(3)] + ['train-manifest.json']
    assert [shards.count_records(str(tmp_path / ('train-0000%d-of-00003.tfrecord' % shard)))
            for shard in range(3)] == [3, 2, 2]
    names = [row[encoding.IMAGE_FILENAME].decode() for row in read_back(tmp_path, 'train')]
    assert names == ['%d.png' % index for index in range(7)]
    writing.write_split(examples[:2], 2, INFO, str(tmp_path), 'val', num_shards=5)
    assert len(descriptor.load(str(tmp_path)).splits['val']['shards']) == 2


@pytest.mark.parametrize('mask, words', [
    (encoded(grid([0, 3])), ['holds 3;', '0..2', 'start at 1']),
    (encoded(grid([0, 128, 255])), ['holds 128;', 'made for viewing']),
    (encoded(grid([0, 38, 75])), ['holds 38, 75;', 'palette colours that were decoded as grey']),
    (encoded(grid([0, 14])), ['holds 14;', 'more classes']),
    (encoded(grid([0, 38])), ['holds 38;', 'palette colours that were decoded as grey']),
    # VOC's 1, 2, 15, 20 and its void, as tf.image.decode_png(channels=1) reads them.
    (encoded(grid([0, 38, 75, 147, 52, 220])), ['palette colours that were decoded as grey']),
    (encoded(grid([0, 220])), ['holds 220;', 'palette colours that were decoded as grey']),
    (encoded(grid(range(3, 30))), ['and 19 more values', 'more classes']),
    (encoded(grid([0]).astype(np.int32) + 70000, 'TIFF'), ['holds ']),
    (encoded(noise()), ['mode RGB', 'class ids in one channel', '--palette']),
    (encoded(noise(), mode='RGBA'), ['mode RGBA', 'class ids in one channel']),
    (encoded(grid([0, 1]), 'JPEG'), ['is a JPEG']),
    (encoded(grid([0, 1], 5, 9)), ['is 8x6', 'is 9x5', 'nearest neighbour']),
    (b'no image', ['cannot be decoded']),
])
def test_bad_masks_stop_the_build_naming_file_and_cause(tmp_path, mask, words):
    path = tmp_path / 'bad_mask.png'
    path.write_bytes(mask)
    example = decoding.Example('a.png', encoded(noise()), str(path))
    with pytest.raises(decoding.InvalidExampleError) as error:
        writing.write_split([example], 1, INFO, str(tmp_path / 'out'), 'train')
    for word in words + [str(path)]:
        assert word in str(error.value)


def test_void_label_other_than_the_ignore_label_is_suspected():
    info = INFO._replace(ignore_label=11)
    with pytest.raises(decoding.InvalidExampleError, match=r'not the --ignore_label \(11\)'):
        encoding.encode(pair(), info)


def test_a_split_to_train_on_needs_more_than_background_and_one_to_test_on_does_not(tmp_path):
    example = pair(mask=encoded(grid([0])))
    with pytest.raises(decoding.InvalidExampleError, match="split 'train' hold nothing but 0: the "
                                                           "network would .* 'ground' everywhere"):
        writing.write_split([example], 1, INFO, str(tmp_path), 'train')
    assert not (tmp_path / 'dataset.json').exists()
    writing.write_split([example], 1, INFO, str(tmp_path), 'test')
    one_class = descriptor.create('one', ['all'], 255)
    writing.write_split([example], 1, one_class, str(tmp_path / 'one'), 'train')


def test_split_of_only_background_and_ignored_pixels_is_refused(tmp_path):
    with pytest.raises(decoding.InvalidExampleError, match='nothing but 0 and the ignore label'):
        writing.write_split([pair(mask=encoded(grid([0, 255])))], 1, INFO, str(tmp_path), 'train')
    assert visible(tmp_path) == []


@pytest.mark.parametrize('interruption', [KeyboardInterrupt, decoding.InvalidExampleError])
def test_interrupted_first_build_leaves_nothing(tmp_path, interruption):
    def stops():
        yield pair()
        yield pair()
        raise interruption()

    with pytest.raises(interruption):
        writing.write_split(stops(), 4, INFO, str(tmp_path), 'train', num_shards=4)
    assert os.listdir(str(tmp_path)) == []


def test_interrupted_rebuild_keeps_the_old_split(tmp_path):
    writing.write_split([pair(name='old')] * 4, 4, INFO, str(tmp_path), 'train')
    files, fingerprint = visible(tmp_path), descriptor.fingerprint(str(tmp_path))
    with pytest.raises(decoding.InvalidExampleError):
        writing.write_split([pair(name='new'), pair(b'')], 2, INFO, str(tmp_path), 'train')
    with pytest.raises(UserError, match='announced with 5 examples but has 1'):
        writing.write_split([pair(name='new')], 5, INFO, str(tmp_path), 'train')
    assert visible(tmp_path) == sorted(files + ['train-bad-files.txt'])
    assert descriptor.fingerprint(str(tmp_path)) == fingerprint
    assert read_back(tmp_path, 'train')[0][encoding.IMAGE_FILENAME] == b'old'


@pytest.mark.parametrize('count', [1, 3])
def test_iterators_of_another_length_than_announced_are_refused(tmp_path, count):
    with pytest.raises(UserError, match='with 2 examples but has %d' % count):
        writing.write_split(iter([pair()] * count), 2, INFO, str(tmp_path), 'train', 2)
    assert os.listdir(str(tmp_path)) == []


def test_interruption_between_renames_withdraws_the_split_and_loses_no_shard(
        tmp_path, monkeypatch):
    writing.write_split([pair()], 1, INFO, str(tmp_path), 'val')
    writing.write_split([pair()] * 2, 2, INFO, str(tmp_path), 'train', 2, aliases=('more',))
    new, replace, calls = [pair(name='new')] * 2, os.replace, []

    def stop_at_second_shard(source, target):
        if target == str(tmp_path / 'train-00001-of-00002.tfrecord'):
            raise KeyboardInterrupt()
        calls.append(target)
        replace(source, target)

    monkeypatch.setattr(os, 'replace', stop_at_second_shard)
    with pytest.raises(KeyboardInterrupt):
        writing.write_split(new, 2, INFO, str(tmp_path), 'train', 2)
    assert str(tmp_path / 'train-00000-of-00002.tfrecord') in calls
    assert list(descriptor.load(str(tmp_path)).splits) == ['val']
    monkeypatch.undo()
    assert writing.write_split(new, 2, INFO, str(tmp_path), 'train', 2).num_reused == 2
    assert [row[encoding.IMAGE_FILENAME] for row in read_back(tmp_path, 'train')] == [b'new'] * 2
    assert not os.path.exists(publishing.partial_dir(str(tmp_path), 'train'))


def test_rebuild_replaces_the_split_and_removes_stale_shards(tmp_path):
    writing.write_split([pair()], 1, INFO, str(tmp_path), 'val')
    writing.write_split([pair()] * 6, 6, INFO, str(tmp_path), 'train', num_shards=3)
    writing.write_split([pair(name='new')] * 2, 2, INFO, str(tmp_path), 'train', num_shards=2)
    assert sorted(os.listdir(str(tmp_path))) == [
        'dataset.json', 'train-00000-of-00002.tfrecord', 'train-00001-of-00002.tfrecord',
        'train-manifest.json', 'val-00000-of-00001.tfrecord', 'val-manifest.json']
    splits = descriptor.load(str(tmp_path)).splits
    assert {split: entry['num_examples'] for split, entry in splits.items()} == {
        'train': 2, 'val': 1}


def test_alias_survives_damage_that_is_mended_without_naming_it(tmp_path, monkeypatch):
    examples = write_pairs(tmp_path, 'ab')
    out = tmp_path / 'out'
    writing.write_split(examples, 2, INFO, str(out), 'validation', 2, ('test',))
    (out / 'validation-00001-of-00002.tfrecord').unlink()
    # Stopped while mending: nothing may promise the split meanwhile.
    monkeypatch.setattr(workers, 'run', interrupt)
    with pytest.raises(KeyboardInterrupt):
        writing.write_split(examples, 2, INFO, str(out), 'validation', 2)
    assert not descriptor.exists(str(out))
    monkeypatch.undo()
    assert writing.write_split(examples, 2, INFO, str(out), 'validation', 2).num_reused == 1
    splits = descriptor.load(str(out)).splits
    assert splits['test'] == splits['validation'] and splits['test']['num_examples'] == 2


def test_alias_follows_a_rebuild_and_can_become_a_split_of_its_own(tmp_path):
    writing.write_split([pair()] * 2, 2, INFO, str(tmp_path), 'validation', 2, ('test',))
    splits = descriptor.load(str(tmp_path)).splits
    assert splits['test'] == splits['validation']
    writing.write_split([pair()], 1, INFO, str(tmp_path), 'validation')
    splits = descriptor.load(str(tmp_path)).splits
    assert splits['test'] == splits['validation'] and splits['test']['num_examples'] == 1
    writing.write_split([pair(name='t')], 1, INFO, str(tmp_path), 'test')
    assert read_back(tmp_path, 'test')[0][encoding.IMAGE_FILENAME] == b't'
    assert read_back(tmp_path, 'validation')[0][encoding.IMAGE_FILENAME] == b'a.png'


@pytest.mark.parametrize('class_names, ignore_label, word', [
    (('ground', 'dog', 'cat'), 255, 'class_names'), (INFO.class_names, 254, 'ignore_label')])
def test_merging_other_classes_is_refused_before_work_starts(
        tmp_path, class_names, ignore_label, word):
    writing.write_split([pair()], 1, INFO, str(tmp_path), 'train')
    other = descriptor.create('toy', class_names, ignore_label)
    with pytest.raises(UserError, match=word):
        writing.write_split(iter(()), 1, other, str(tmp_path), 'val')


@pytest.mark.parametrize('split, count, shards', [('a/b', 1, 1), ('', 1, 1), ('a', 0, 1),
                                                  ('a', 1, 0)])
def test_unusable_names_and_numbers_are_errors(tmp_path, split, count, shards):
    with pytest.raises(UserError):
        writing.write_split([pair()], count, INFO, str(tmp_path / 'out'), split, shards)
    assert not (tmp_path / 'out').exists()


def contents(directory):
    """Returns a dict from the name of each visible file to its bytes and time of change."""
    return {name: ((directory / name).read_bytes(), (directory / name).stat().st_mtime_ns)
            for name in visible(directory)}


def changed_files(before, directory):
    after = contents(directory)
    assert sorted(before) == sorted(after)
    return sorted(name for name in after if after[name] != before[name])


def test_second_run_touches_nothing_and_says_so(tmp_path):
    examples, out = write_pairs(tmp_path, 'abcde'), tmp_path / 'out'
    first = writing.write_split(examples, 5, INFO, str(out), 'train', 3, ('more',))
    before = contents(out)
    second = writing.write_split(examples, 5, INFO, str(out), 'train', 3, ('more',))
    assert changed_files(before, out) == [] and sorted(os.listdir(str(out))) == visible(out)
    assert (first.num_reused, second.num_reused, second.num_shards) == (0, 3, 3)
    np.testing.assert_array_equal(second.class_pixels, first.class_pixels)
    assert second[:1] + second[2:4] == first[:1] + first[2:4]
    assert '3 of 3 shards were there already' in writing.describe(second, INFO, 'train')
    assert 'already' not in writing.describe(first, INFO, 'train')


def break_in(path, how):
    """Damages a file in one of the ways that files are damaged."""
    data = bytearray(path.read_bytes())
    if how == 'missing':
        path.unlink()
    elif how == 'truncated':
        path.write_bytes(data[:-9])
    else:
        data[len(data) // 2] ^= 16
        path.write_bytes(data)


@pytest.mark.parametrize('how', ['missing', 'truncated', 'altered'])
def test_only_the_damaged_shard_is_rebuilt(tmp_path, how):
    examples, out = write_pairs(tmp_path, 'abcdef'), tmp_path / 'out'
    writing.write_split(examples, 6, INFO, str(out), 'train', 3)
    before = contents(out)
    break_in(out / 'train-00001-of-00003.tfrecord', how)
    assert writing.write_split(examples, 6, INFO, str(out), 'train', 3).num_reused == 2
    assert changed_files(before, out) == [
        'dataset.json', 'train-00001-of-00003.tfrecord', 'train-manifest.json']
    assert {name: data for name, (data, _) in before.items()} == {
        name: data for name, (data, _) in contents(out).items()}


def test_changed_source_rebuilds_its_shard_only(tmp_path):
    examples, out = write_pairs(tmp_path, 'abcdef'), tmp_path / 'out'
    writing.write_split(examples, 6, INFO, str(out), 'train', 3)
    with open(examples[5].mask, 'wb') as mask_file:
        mask_file.write(encoded(grid([2])))
    summary = writing.write_split(examples, 6, INFO, str(out), 'train', 3)
    assert summary.num_reused == 2 and summary.class_pixels[2] == 5 * 12 + 48
    np.testing.assert_array_equal(
        pixels_of(read_back(out, 'train')[5][encoding.LABEL_ENCODED]), grid([2]))


@pytest.mark.parametrize('change', ['classes', 'reader', 'order', 'shards', 'content version'])
def test_whatever_decides_the_content_rebuilds_all(tmp_path, change, monkeypatch):
    examples, out = write_pairs(tmp_path, 'abcd'), tmp_path / 'out'
    writing.write_split(examples, 4, INFO, str(out), 'train', 2)
    info, options, num_shards = INFO, {}, 2
    if change == 'classes':
        info = descriptor.create('toy', ('ground', 'cat', 'cow'), 255)
        os.remove(str(out / 'dataset.json'))
    elif change == 'reader':
        options = {'read_mask': example_files.all_cats}
    elif change == 'order':
        examples = examples[::-1]
    elif change == 'shards':
        num_shards = 4
    else:
        monkeypatch.setattr(manifest, 'CONTENT_VERSION', manifest.CONTENT_VERSION + 1)
    summary = writing.write_split(examples, 4, info, str(out), 'train', num_shards, **options)
    assert summary.num_reused == 0
    assert summary.class_pixels[1] == (4 * 48 if change == 'reader' else 4 * 12)


@pytest.mark.parametrize('content', [b'', b'{"format_version": 1}', b'[]', b'{"format_version": 1, '
                                     b'"split": "train", "aliases": [], "shards": [{"a": 1}]}'])
def test_unreadable_manifest_means_building_again(tmp_path, content):
    examples, out = write_pairs(tmp_path, 'ab'), tmp_path / 'out'
    writing.write_split(examples, 2, INFO, str(out), 'train', 2)
    whole = (out / 'train-manifest.json').read_bytes()
    (out / 'train-manifest.json').write_bytes(content)
    assert writing.write_split(examples, 2, INFO, str(out), 'train', 2).num_reused == 0
    assert (out / 'train-manifest.json').read_bytes() == whole


def test_manifest_holds_what_the_shards_hold(tmp_path):
    out = tmp_path / 'out'
    writing.write_split(write_pairs(tmp_path, 'abc'), 3, INFO, str(out), 'train', 2)
    values = json.loads((out / 'train-manifest.json').read_text())
    for entry, count in zip(values['shards'], (2, 1)):
        path = str(out / entry['file'])
        assert entry['records'] == count == shards.count_records(path)
        assert entry['num_bytes'] == os.path.getsize(path)
        assert entry['class_pixels'] == [12 * count] * 3 and entry['ignored_pixels'] == 12 * count
        with open(path, 'rb') as shard_file:
            assert entry['sha256'] == hashlib.sha256(shard_file.read()).hexdigest()


BAD = {'b': b'no image', 'd': encoded(grid([0, 7])), 'e': encoded(grid([0, 9]))}


def test_all_bad_files_are_found_before_the_build_stops(tmp_path):
    examples, out = write_pairs(tmp_path, 'abcdef', BAD), tmp_path / 'out'
    with pytest.raises(decoding.InvalidExampleError) as error:
        writing.write_split(examples, 6, INFO, str(out), 'train', 3)
    message = str(error.value)
    assert message.startswith("3 of 6 examples of split 'train' cannot be used:\n")
    for name, word in (('b', 'cannot be decoded'), ('d', 'holds 7;'), ('e', 'holds 9;')):
        assert re.search(r'%s_mask\.png %s' % (name, word), message)
    assert '--skip_bad' in message and visible(out) == ['train-bad-files.txt']
    assert len((out / 'train-bad-files.txt').read_text().splitlines()) == 3
    for name in BAD:
        (tmp_path / (name + '_mask.png')).write_bytes(encoded(grid([0, 1])))
    assert writing.write_split(examples, 6, INFO, str(out), 'train', 3).skipped == ()
    assert 'train-bad-files.txt' not in os.listdir(str(out))


def test_good_shards_survive_a_build_that_stops_at_bad_files(tmp_path):
    examples, out = write_pairs(tmp_path, 'abcdef', {'d': b''}), tmp_path / 'out'
    with pytest.raises(decoding.InvalidExampleError, match='1 of 6 examples'):
        writing.write_split(examples, 6, INFO, str(out), 'train', 3)
    (tmp_path / 'd_mask.png').write_bytes(encoded(grid([0, 1])))
    assert writing.write_split(examples, 6, INFO, str(out), 'train', 3).num_reused == 2


def test_many_bad_files_are_counted_on_screen_and_listed_in_the_file(tmp_path):
    examples = [pair(mask=b'', name='%03d.png' % index) for index in range(120)] + [pair()]
    with pytest.raises(decoding.InvalidExampleError) as error:
        writing.write_split(examples, 121, INFO, str(tmp_path), 'train')
    message = str(error.value)
    assert '120 of 121' in message and 'mask of 049.png' in message and '050.png' not in message
    assert '... and 70 more' in message and str(tmp_path / 'train-bad-files.txt') in message
    listed = (tmp_path / 'train-bad-files.txt').read_text().splitlines()
    assert len(listed) == 120 and listed[119].startswith('mask of 119.png')


def test_skip_bad_leaves_bad_files_out_and_lists_them(tmp_path):
    examples, out = write_pairs(tmp_path, 'abcdef', BAD), tmp_path / 'out'
    for num_reused in (0, 3):
        summary = writing.write_split(examples, 6, INFO, str(out), 'train', 3, skip_bad=True)
        assert summary.num_examples == 3 and summary.num_reused == num_reused
        assert summary.class_pixels.tolist() == [36] * 3 and len(summary.skipped) == 3
        assert [row[encoding.IMAGE_FILENAME] for row in read_back(out, 'train')] == [
            b'a.png', b'c.png', b'f.png']
        assert descriptor.load(str(out)).splits['train']['num_examples'] == 3
        assert len((out / 'train-bad-files.txt').read_text().splitlines()) == 3
    text = writing.describe(summary, INFO, 'train')
    assert '3 examples were left out' in text and 'e_mask.png holds 9' in text
    # Without skip_bad the shards that left something out do not count as finished.
    with pytest.raises(decoding.InvalidExampleError, match='3 of 6'):
        writing.write_split(examples, 6, INFO, str(out), 'train', 3)


def test_shard_of_which_nothing_is_left_is_no_file(tmp_path):
    examples = write_pairs(tmp_path, 'abcd', {'a': b'', 'b': b''})
    out = tmp_path / 'out'
    for num_reused in (0, 2):
        summary = writing.write_split(examples, 4, INFO, str(out), 'train', 2, skip_bad=True)
        assert summary.num_reused == num_reused and summary.num_examples == 2
        assert descriptor.load(str(out)).splits['train']['shards'] == [
            'train-00001-of-00002.tfrecord']
        assert sorted(os.listdir(str(out))) == [
            'dataset.json', 'train-00001-of-00002.tfrecord', 'train-bad-files.txt',
            'train-manifest.json']


def test_skip_bad_with_nothing_left_is_an_error(tmp_path):
    with pytest.raises(decoding.InvalidExampleError, match='None is left.*mend them'):
        writing.write_split([pair(b'')] * 3, 3, INFO, str(tmp_path), 'train', skip_bad=True)
    assert visible(tmp_path) == ['train-bad-files.txt']


def test_full_disk_is_named_with_what_was_written(tmp_path, monkeypatch):
    examples, out = write_pairs(tmp_path, 'abcd'), tmp_path / 'out'
    opened = []

    def open_on_full_disk(path, mode):
        opened.append(path)
        return open('/dev/full' if len(opened) == 2 else path, mode)

    monkeypatch.setattr(shards, 'open', open_on_full_disk, raising=False)
    with pytest.raises(UserError) as error:
        writing.write_split(examples, 4, INFO, str(out), 'train', 2)
    message = str(error.value)
    assert 'The disk that holds %s is full' % out in message and "of split 'train'" in message
    assert re.search(r'\(\d+\.\d MiB free, or a quota\): 0\.0 MiB', message)
    assert visible(out) == []
    monkeypatch.undo()
    assert writing.write_split(examples, 4, INFO, str(out), 'train', 2).num_reused == 1


def test_output_that_cannot_be_written_is_an_error_naming_it(tmp_path):
    (tmp_path / 'out').write_text('a file')
    with pytest.raises(UserError, match='out cannot be written'):
        writing.write_split([pair()], 1, INFO, str(tmp_path / 'out'), 'train')


def test_two_builds_of_one_split_do_not_meet(tmp_path):
    with publishing.working_dir(str(tmp_path), 'train'):
        with pytest.raises(UserError, match="Another process is building .*'train'"):
            writing.write_split([pair()], 1, INFO, str(tmp_path), 'train')
        writing.write_split([pair()], 1, INFO, str(tmp_path), 'val')
    assert writing.write_split([pair()], 1, INFO, str(tmp_path), 'train').num_examples == 1


def test_reader_of_masks_decides_the_labels_and_is_checked(tmp_path):
    summary = writing.write_split([pair()], 1, INFO, str(tmp_path), 'train',
                                  read_mask=example_files.all_cats)
    assert summary.class_pixels.tolist() == [0, 48, 0]
    with pytest.raises(decoding.InvalidExampleError, match='mask of a.png holds 77;'):
        encoding.encode(pair(), INFO, example_files.out_of_range)
    for labels in (np.zeros([6, 8, 3], np.uint8), np.zeros([6, 8])):
        with pytest.raises(decoding.InvalidExampleError, match='must be integers'):
            encoding.encode(pair(), INFO, lambda example, info: labels)

    def unreadable(example, info):
        raise OSError(errno.EACCES, 'Permission denied')

    with pytest.raises(decoding.InvalidExampleError, match='mask of a.png cannot be read'):
        encoding.encode(pair(), INFO, unreadable)
    with pytest.raises(UserError, match='read_mask .*unreadable.* has no key'):
        writing.write_split([pair()], 1, INFO, str(tmp_path), 'train', read_mask=unreadable)


def test_records_are_what_tensorflow_serializes():
    record, _ = encoding.encode(pair(), INFO)
    message = tf.train.Example.FromString(record)
    assert message.SerializeToString(deterministic=True) == record
    assert example_proto.parse(record) == {
        name: list(value.bytes_list.value) or list(value.int64_list.value)
        for name, value in message.features.feature.items()}
    floats = tf.train.Example()
    floats.features.feature['x'].float_list.value.extend([0.5, 2])
    floats.features.feature['none']  # made by being asked for
    assert example_proto.parse(floats.SerializeToString()) == {'x': [0.5, 2.0], 'none': []}
    with pytest.raises(ValueError, match='no tf.train.Example'):
        example_proto.parse(b'\xff\xff\xff')


def test_building_needs_no_tensorflow():
    code = ('import sys; from dataset.records import writing; '
            'raise SystemExit("tensorflow" in sys.modules)')
    subprocess.check_call([sys.executable, '-c', code], cwd=ROOT)


def test_processes_write_what_one_process_writes(tmp_path):
    examples = write_pairs(tmp_path, 'abcdefg', {'c': b''})
    summaries = [writing.write_split(examples, 7, INFO, str(tmp_path / str(number)), 'train', 3,
                                     num_workers=number, skip_bad=True)
                 for number in (1, 2)]
    assert summaries[0].num_examples == 6 and len(summaries[1].skipped) == 1
    assert {name: data for name, (data, _) in contents(tmp_path / '1').items()} == {
        name: data for name, (data, _) in contents(tmp_path / '2').items()}


def test_error_in_a_process_stops_the_build(tmp_path):
    examples = write_pairs(tmp_path, 'abcd')
    with pytest.raises(ZeroDivisionError, match='in the reader of'):
        writing.write_split(examples, 4, INFO, str(tmp_path / 'out'), 'train', 2,
                            read_mask=example_files.fails, num_workers=2)
    assert os.listdir(str(tmp_path / 'out')) == []


def test_process_that_dies_is_an_error_and_not_a_wait(tmp_path):
    examples = write_pairs(tmp_path, 'abcd')
    with pytest.raises(UserError, match=r'died \(exit status 9\) at number 1 of '):
        writing.write_split(examples, 4, INFO, str(tmp_path / 'out'), 'train', 2,
                            read_mask=example_files.dies, num_workers=2)
    assert os.listdir(str(tmp_path / 'out')) == []


def test_reader_that_may_crash_never_runs_here_and_its_files_are_named(tmp_path):
    examples = write_pairs(tmp_path, 'abcd')
    with pytest.raises(UserError) as error:
        writing.write_split(examples, 4, INFO, str(tmp_path / 'out'), 'train', 1,
                            read_mask=example_files.crashes_at_c, num_workers=1)
    message = str(error.value)
    assert 'building train-00000-of-00001.tfrecord died (exit status -11) at number 3' in message
    assert 'image %s\n  mask %s\n' % examples[2][1:3] in message
    assert 'd.png' not in message and os.listdir(str(tmp_path / 'out')) == []


def wait_for(condition):
    """Waits until `condition()` holds; fails after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(process):
    """Whether a `psutil.Process` has ended, be it reaped or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


BUILD = '''
import sys; sys.path.insert(0, %r)
from dataset.records import writing
from dataset.sources import decoding
from tests.helpers import example_files
names = ['a', 'b', 'slow_c', 'slow_d', 'slow_e']
examples = [decoding.Example(name + '.png', '%%s/%%s.png' %% (sys.argv[1], name),
                             '%%s/%%s_mask.png' %% (sys.argv[1], name)) for name in names]
if __name__ == '__main__':
    try:
        writing.write_split(examples, 5, example_files.INFO, sys.argv[1] + '/out', 'train', 3,
                            read_mask=example_files.waits, num_workers=2)
    except KeyboardInterrupt:
        raise SystemExit('Stopped.')
'''


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_stopped_build_looks_incomplete_and_goes_on_where_it_was(tmp_path, number):
    examples = write_pairs(tmp_path, ['a', 'b', 'slow_c', 'slow_d', 'slow_e'])
    out = tmp_path / 'out'
    with open(str(tmp_path / 'errors'), 'wb') as errors:
        process = subprocess.Popen(
            [sys.executable, '-c', BUILD % ROOT, str(tmp_path)],
            # A shell in the background ignores Ctrl-C, and so would this process.
            stderr=errors, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        # The first shard is finished, the second waits at slow_c.
        wait_for((out / '.partial-train' / 'train-manifest.json').exists)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        # The terminal sends Ctrl-C to all of them.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        process.wait(timeout=60)
        assert visible(out) == []
    finally:
        process.kill()
        # Processes that lost their parent go on, and notice.
        (tmp_path / 'go').write_text('')
    wait_for(lambda: all(map(is_gone, children)))
    if number == signal.SIGINT:
        lines = (tmp_path / 'errors').read_text().replace('\r', '\n').splitlines()
        assert [line for line in lines if line and not line.startswith('train:')] == ['Stopped.']
    summary = writing.write_split(examples, 5, INFO, str(out), 'train', 3,
                                  read_mask=example_files.waits)
    assert summary.num_reused == 1 and summary.num_examples == 5
    assert [row[encoding.IMAGE_FILENAME].decode() for row in read_back(out, 'train')] == [
        example.filename for example in examples]
    assert sorted(os.listdir(str(out))) == visible(out)


def test_progress_and_results_of_tasks_are_handed_on():
    progress, results = [], []
    workers.run(lambda task, report: report(task) or task * 2, [1, 2, 3], 1, progress.append,
                results.append)
    assert (progress, results) == ([1, 2, 3], [2, 4, 6])
