"""dataset/check.py: each flaw is found and nothing else, clean data is clean, reports are whole."""
import base64
import collections
import glob
import html.parser
import io
import json
import os
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from dataset import check, descriptor, palette, voc
from dataset.checking import examination
from dataset.checking.findings import CODES, LISTED_PER_CODE
from dataset.checking.report import emit
from dataset.checking.statistics import SplitStatistics, size_range
from dataset.records import (encoding, example_proto, raw_records, shards,
                             writing)
from dataset.sources import decoding
from tests.helpers import ROOT

CLASSES = ('ground', 'cat', 'dog')
HEIGHT, WIDTH = 12, 16


def shared(*parts):
    """Returns a path in the shared folder, or skips the test."""
    path = os.path.join(ROOT, '..', 'shared', 'data', *parts)
    if not os.path.exists(path):
        pytest.skip('needs %s, which is not part of a clone' % os.path.normpath(path))
    return path


def encoded(pixels, image_format='PNG', **options):
    """Returns the bytes of an image file that holds `pixels`, an array or a Pillow image."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def noise(seed, height=HEIGHT, width=WIDTH, channels=3):
    return np.random.RandomState(seed).randint(
        0, 256, [height, width, channels]).astype(np.uint8)


def grid(*values, height=HEIGHT, width=WIDTH):
    """Returns uint8 [height, width] that repeats `values`."""
    return np.resize(np.array(values, np.uint8), [height, width])


def record(seed, image=None, mask=None, **changes):
    """Returns the features of one record; all classes occur unless `mask` (bytes) says else."""
    features = {
        encoding.IMAGE_ENCODED: encoded(noise(seed)) if image is None else image,
        encoding.IMAGE_FORMAT: b'png',
        encoding.IMAGE_FILENAME: b'%d.png' % seed,
        encoding.IMAGE_HEIGHT: HEIGHT, encoding.IMAGE_WIDTH: WIDTH,
        encoding.LABEL_ENCODED: encoded(grid(0, 1, 2, 0, 255)) if mask is None else mask,
        encoding.LABEL_FORMAT: b'png'}
    features.update({name.replace('__', '/'): value for name, value in changes.items()})
    return {name: value for name, value in features.items() if value is not None}


def raw(seed, labels=None, **changes):
    """Returns the features of a record as the post's code writes them."""
    labels = grid(*range(21), 255) if labels is None else labels
    features = {raw_records.HEIGHT: HEIGHT, raw_records.WIDTH: WIDTH,
                raw_records.IMAGE_RAW: noise(seed).tobytes(),
                raw_records.ANNOTATION_RAW: labels.tobytes()}
    return dict(features, **changes)


def write_records(path, rows):
    with shards.ShardWriter(str(path)) as writer:
        for row in rows:
            writer.write(row if isinstance(row, bytes) else example_proto.serialize(row))


def good():
    """Returns the records of a clean data set."""
    return {'train': [record(seed) for seed in range(4)],
            'validation': [record(seed) for seed in (10, 11)]}


def shard_name(split):
    return split + '-00000-of-00001.tfrecord'


def save(directory, splits, class_names=CLASSES, ignore_label=255):
    """Writes records and dataset.json; returns the directory as str."""
    entries = {}
    for split, rows in splits.items():
        write_records(directory / shard_name(split), rows)
        entries[split] = {'num_examples': len(rows), 'shards': [shard_name(split)]}
    descriptor.save(descriptor.create('toy', class_names, ignore_label, entries), str(directory))
    return str(directory)


def run(*argv):
    """Runs the check; returns (exit status, the JSON report)."""
    path = str(argv[0]).rstrip('/') + '-report.json'
    status = check.main([str(value) for value in argv] + ['--json', path])
    if not os.path.exists(path):
        return status, None
    with open(path) as json_file:
        report = json.load(json_file)
    os.remove(path)
    return status, report


def found(report):
    """Returns the counts of errors and warnings by code."""
    return {code: count for code, count in report['counts'].items()
            if CODES[code][0] != 'info'}


def finding(report, code):
    return [entry for entry in report['findings'] if entry['code'] == code][0]


def test_clean_data_set_exits_0_without_findings(tmp_path, capsys):
    status, report = run(save(tmp_path, good()))
    assert (status, report['counts'], report['exit_status']) == (0, {}, 0)
    printed = capsys.readouterr().out
    assert 'Clean: 0 errors, 0 warnings, 0 notes.' in printed
    assert re.search(r'train +4 +12 / 12 / 12 +16 / 16 / 16', printed)


def test_shapes_of_the_builder_are_clean(shapes_dir):
    status, report = run(shapes_dir)
    # Six small pictures need not show every shape.
    assert set(found(report)) <= {'class_without_pixels', 'class_only_in_evaluation'}
    assert status == bool(found(report))
    assert {split: report['splits'][split]['num_images'] for split in report['splits']} == {
        'train': 6, 'validation': 2, 'test': 3}


def grey_palette_mask():
    """VOC's colours decoded as grey, the classic way to lose the ids."""
    return encoded(grid(0, 38, 75, 147, 255))


def rgb_mask():
    return encoded(voc.color_map()[grid(0, 1, 2)])


def turned_jpeg(seed):
    exif = Image.Exif()
    exif[0x0112] = 3
    return encoded(noise(seed), 'JPEG', exif=exif)


def palette_png(*values):
    image = Image.fromarray(grid(*values), 'P')
    image.putpalette(voc.color_map().tobytes())
    return encoded(image)


# name: (code, words of the text, the record that replaces number 1 of train)
RECORD_FLAWS = {
    'too large an id': ('label_values', 'more classes in the masks',
                        lambda: record(1, mask=encoded(grid(0, 1, 2, 7, 9)))),
    'ids from 1': ('label_values', 'start at 1', lambda: record(1, mask=encoded(grid(1, 2, 3)))),
    '0/128 masks': ('label_values', '0/128/255',
                    lambda: record(1, mask=encoded(grid(0, 128, 255)))),
    'palette as grey': ('label_values', 'decoded as grey',
                        lambda: record(1, mask=grey_palette_mask())),
    'colours': ('mask_colors', 'class id', lambda: record(1, mask=rgb_mask())),
    'jpeg mask': ('mask_jpeg', 'is a JPEG', lambda: record(1, mask=encoded(grid(0), 'JPEG'))),
    'palette mask': ('mask_format', '8-bit grey PNG',
                     lambda: record(1, mask=palette_png(0, 1, 2))),
    'cut mask': ('mask_undecodable', 'cannot be decoded',
                 lambda: record(1, mask=encoded(grid(0, 1, 2))[:-20])),
    'no image': ('image_unusable', 'cannot be decoded', lambda: record(1, image=b'\x00' * 99)),
    'cut image': ('image_unusable', 'cannot be decoded',
                  lambda: record(1, image=encoded(noise(1))[:-30])),
    'turned image': ('image_format', 'EXIF', lambda: record(1, image=turned_jpeg(1))),
    'bmp image': ('image_format', 'Build the split again',
                  lambda: record(1, image=encoded(noise(1), 'BMP'))),
    'sizes': ('size_mismatch', 'The image is 16x12 but its mask is 12x16',
              lambda: record(1, mask=encoded(grid(0, 1, 2, height=16, width=12)))),
    'size features': ('size_features', 'height 16 and width 12',
                      lambda: record(1, image__height=16, image__width=12)),
    'missing feature': ('record_features', 'label/encoded',
                        lambda: record(1, label__encoded=None)),
    'feature type': ('record_features', 'image/height', lambda: record(1, image__height=b'12')),
    'foreign record': ('record_features', 'but: pixels', lambda: {'pixels': b'1'}),
    'no message': ('record_features', 'no tf.train.Example', lambda: b'\xff\xff\xff'),
    'all ignored': ('all_ignored', 'ignore label 255',
                    lambda: record(1, mask=encoded(grid(255)))),
    'same image twice': ('duplicate', 'record 1 (1.png) has the pixels of record 0 (0.png), '
                         'and the same mask',
                         lambda: record(1, image=encoded(noise(0), compress_level=1))),
    'same image, other mask': ('duplicate', 'another mask', lambda: record(
        1, image=encoded(noise(0)), mask=encoded(grid(0, 2, 1)))),
    'training image evaluated': ('leakage', 'measure memory',
                                 lambda: record(1, image=encoded(noise(10)))),
}


@pytest.mark.parametrize('flaw', sorted(RECORD_FLAWS))
def test_flaw_of_one_record_is_the_only_finding_and_names_the_record(tmp_path, flaw):
    code, words, bad_record = RECORD_FLAWS[flaw]
    splits = good()
    splits['train'][1] = bad_record()
    status, report = run(save(tmp_path, splits))
    assert (status, found(report)) == (1, {code: 1})
    entry = finding(report, code)
    assert words in entry['text'] and entry['severity'] == CODES[code][0]
    if code == 'leakage':
        assert (entry['split'], entry['record']) == ('validation', 0)
    else:
        assert (entry['split'], entry['record']) == ('train', 1)
        assert entry['file'] == str(tmp_path / shard_name('train'))


def replace_masks(splits, *values):
    for row in splits:
        row[encoding.LABEL_ENCODED] = encoded(grid(*values))


def test_split_of_background_alone_is_found(tmp_path):
    splits = good()
    replace_masks(splits['train'], 0, 255)
    status, report = run(save(tmp_path, splits))
    assert (status, found(report)) == (1, {'only_background': 1})
    assert 'If 255 stands for an object' in finding(report, 'only_background')['text']
    replace_masks(splits['train'], 0)
    status, report = run(save(tmp_path, splits))
    assert (status, found(report)) == (1, {'only_background': 1})
    assert 'Export the masks again' in finding(report, 'only_background')['text']


def test_background_alone_without_a_list_of_classes_is_advised_as_it_works(tmp_path, capsys):
    for name in ('images', 'masks'):
        (tmp_path / name).mkdir()
    for seed in range(2):
        Image.fromarray(noise(seed)).save(str(tmp_path / 'images' / ('%d.png' % seed)))
        Image.fromarray(grid(0, 255)).save(str(tmp_path / 'masks' / ('%d.png' % seed)))
    folders = ['--images', str(tmp_path / 'images'), '--masks', str(tmp_path / 'masks')]
    assert check.main(folders) == 1
    text = capsys.readouterr().out
    assert 'answer 0 everywhere' in text and "'class 0'" not in text
    assert 'give --map_ids 0:0 255:1, and --classes with a line for background' in text
    (tmp_path / 'classes.txt').write_text('background\nobject\n')
    assert check.main(folders + ['--map_ids', '0:0', '255:1', '--classes',
                                 str(tmp_path / 'classes.txt')]) == 0


def test_more_ignored_than_labelled_pixels_are_found_and_half_are_not(tmp_path):
    splits = good()
    replace_masks(splits['train'], 0, 1, 2, 255, 255, 255)
    assert run(save(tmp_path, splits))[0] == 0
    replace_masks(splits['train'], 0, 1, 2, 255, 255, 255, 255, 255)
    status, report = run(save(tmp_path, splits))
    assert (status, found(report)) == (1, {'ignore_share': 1})
    entry = finding(report, 'ignore_share')
    assert entry['split'] == 'train' and '62.5 %' in entry['text']


@pytest.mark.parametrize('labels, code, word', [
    ((0, 1), 'class_without_pixels', "Class 2 'dog'"),
    ((1, 2), 'class_without_pixels', 'Ids that start at 1')])
def test_class_without_pixels_in_training_is_found(tmp_path, labels, code, word):
    splits = good()
    for rows in splits.values():
        replace_masks(rows, *labels)
    status, report = run(save(tmp_path, splits))
    assert (status, found(report)) == (1, {code: 1})
    assert word in finding(report, code)['text']


def test_class_that_only_validation_shows_is_found(tmp_path):
    splits = good()
    replace_masks(splits['train'], 0, 1)
    status, report = run(save(tmp_path, splits))
    assert (status, found(report)) == (1, {'class_only_in_evaluation': 1})
    assert "Class 2 'dog' occurs in validation" in report['findings'][0]['text']


def test_class_that_no_split_shows_is_found_once(tmp_path):
    splits = good()
    for rows in splits.values():
        replace_masks(rows, 0, 1)
    status, report = run(save(tmp_path, splits))
    assert (status, report['counts']) == (1, {'class_without_pixels': 1})


def test_class_that_validation_lacks_is_a_note(tmp_path):
    splits = good()
    replace_masks(splits['validation'], 0, 1)
    status, report = run(save(tmp_path, splits))
    assert (status, report['counts']) == (0, {'class_absent': 1})
    assert 'dog' in report['findings'][0]['text']


@pytest.mark.parametrize('name', ['Void', 'unlabelled'])
def test_class_named_like_an_ignore_label_is_found(tmp_path, name):
    status, report = run(save(tmp_path, good(), ('ground', 'cat', name)))
    assert (status, found(report)) == (1, {'void_class': 1})
    assert name in report['findings'][0]['text']


def test_missing_shard_is_found(tmp_path):
    directory = save(tmp_path, good())
    (tmp_path / shard_name('validation')).unlink()
    status, report = run(directory)
    assert (status, found(report)) == (1, {'shard_missing': 1})
    assert report['findings'][0]['file'] == str(tmp_path / shard_name('validation'))


def test_unlisted_shard_is_found(tmp_path):
    directory = save(tmp_path, good())
    write_records(tmp_path / 'extra.tfrecord', [record(50)])
    status, report = run(directory)
    assert (status, found(report)) == (1, {'shard_unlisted': 1})
    assert report['findings'][0]['file'] == str(tmp_path / 'extra.tfrecord')


def test_number_of_records_other_than_promised_is_found(tmp_path):
    directory = save(tmp_path, good())
    write_records(tmp_path / shard_name('train'), good()['train'][:3])
    status, report = run(directory)
    assert (status, found(report)) == (1, {'record_count': 1})
    assert 'hold 3 records, but dataset.json says 4' in report['findings'][0]['text']


def test_empty_shard_is_found(tmp_path):
    directory = save(tmp_path, good())
    (tmp_path / shard_name('validation')).write_bytes(b'')
    status, report = run(directory)
    assert (status, found(report)) == (1, {'no_records': 1, 'record_count': 1})


def test_one_flipped_byte_is_found_in_its_record(tmp_path):
    directory = save(tmp_path, good())
    path = tmp_path / shard_name('train')
    data = bytearray(path.read_bytes())
    start = 0
    for _ in range(2):
        start += struct.unpack_from('<Q', data, start)[0] + 16
    data[start + 12 + 100] ^= 1
    path.write_bytes(bytes(data))
    status, report = run(directory)
    assert (status, found(report)) == (1, {'record_damaged': 1})
    entry = finding(report, 'record_damaged')
    assert (entry['split'], entry['file'], entry['record']) == ('train', str(path), 2)
    assert 'CRC' in entry['text'] and 'byte %d' % start in entry['text']
    assert report['splits']['train']['num_records'] == 2


@pytest.mark.parametrize('data, words', [
    (b'version https://git-lfs.github.com/spec/v1\n', 'Git LFS'),
    (b'\x1f\x8b\x08\x00' + b'\x00' * 60, 'gunzip'),
    (np.random.RandomState(0).bytes(5000), 'CRC differs')])
def test_files_that_are_no_tfrecords_are_told_apart(tmp_path, data, words):
    path = tmp_path / 'train.tfrecord'
    path.write_bytes(data)
    status, report = run(path)
    assert (status, found(report)) == (1, {'record_damaged': 1})
    assert words in finding(report, 'record_damaged')['text']


def test_cut_shard_is_found(tmp_path):
    directory = save(tmp_path, good())
    path = tmp_path / shard_name('train')
    path.write_bytes(path.read_bytes()[:-10])
    status, report = run(directory)
    assert (status, found(report)) == (1, {'record_damaged': 1})
    assert report['findings'][0]['record'] == 3 and 'cut short' in report['findings'][0]['text']


def test_shard_that_cannot_be_opened_is_found(tmp_path, monkeypatch):
    directory = save(tmp_path, good())

    def refuse(path):
        raise UserError('%s cannot be read: Permission denied.' % path)
        yield

    monkeypatch.setattr(shards, 'iterate_shard', refuse)
    status, report = run(directory)
    assert (status, found(report)) == (1, {'shard_unreadable': 2})


@pytest.mark.parametrize('text', ['{', '[]', '{"ignore_label": NaN}', '[' * 100000, '\x00'])
def test_unusable_dataset_json_is_found_and_the_records_are_still_read(tmp_path, text):
    directory = save(tmp_path, good())
    (tmp_path / 'dataset.json').write_text(text)
    status, report = run(directory)
    assert (status, found(report)) == (1, {'dataset_json': 1})
    assert report['splits']['train']['num_images'] == 4 and report['classes_inferred']


def test_shard_name_that_no_file_can_have_is_found(tmp_path):
    directory = save(tmp_path, good())
    path = tmp_path / 'dataset.json'
    path.write_text(path.read_text().replace(shard_name('validation'), 'a\\u0000\\ud800'))
    status, report = run(directory)
    assert (status, found(report)) == (1, {'shard_missing': 1, 'shard_unlisted': 1})


def test_split_that_mixes_both_kinds_of_records_is_found(tmp_path):
    splits = good()
    splits['train'][1] = raw(1, grid(0, 1, 2))
    status, report = run(save(tmp_path, splits))
    assert (status, found(report)) == (1, {'record_features': 1})
    assert 'mixes' in report['findings'][0]['text']


def test_test_that_lists_the_shards_of_validation_is_a_note_and_no_leak(tmp_path):
    directory = save(tmp_path, good())
    info = descriptor.load(directory)
    info.splits['test'] = info.splits['validation']
    descriptor.save(info, directory)
    status, report = run(directory)
    assert (status, report['counts']) == (0, {'same_images': 1})
    assert report['splits']['test']['same_as'] == 'validation'
    assert report['splits']['test']['num_images'] == 2
    info.splits['train'] = info.splits['validation']
    descriptor.save(info, directory)
    status, report = run(directory)
    assert (status, report['counts']['leakage']) == (1, 2)


def test_validation_and_test_that_share_some_images_are_found_and_all_are_a_note(tmp_path):
    splits = dict(good(), test=[record(10), record(20)])
    status, report = run(save(tmp_path, splits))
    assert (status, found(report)) == (1, {'evaluation_overlap': 1})
    splits['test'] = [record(11), record(10)]
    status, report = run(save(tmp_path, splits))
    assert (status, report['counts']) == (0, {'same_images': 1})


def test_splits_for_training_may_overlap(tmp_path):
    splits = dict(good(), trainval=[record(0), record(1), record(30)])
    status, report = run(save(tmp_path, splits))
    assert (status, report['counts']) == (0, {})


def test_accepted_code_is_reported_as_a_note(tmp_path):
    splits = good()
    splits['train'].append(record(0))
    directory = save(tmp_path, splits)
    assert run(directory)[0] == 1
    status, report = run(directory, '--accept', 'duplicate')
    assert (status, report['totals']) == (0, {'error': 0, 'warning': 0, 'info': 1})


def test_many_findings_are_counted_but_not_all_listed(tmp_path, capsys):
    splits = good()
    splits['train'] += [{'pixels': b'1'}] * 60
    status, report = run(save(tmp_path, splits))
    assert (status, found(report)) == (1, {'record_features': 60})
    assert len(report['findings']) == LISTED_PER_CODE
    printed = capsys.readouterr().out
    assert printed.count('error   record_features') == 10 and 'and 50 more' in printed
    assert '60 errors, 0 warnings, 0 notes.' in printed


# Folders of images and masks.

def write_folders(directory, masks=(grid(0, 1, 2), grid(0, 1, 2, 255)), classes=CLASSES):
    """Writes images/, masks/ and classes.txt; returns the flags that name them."""
    for folder in ('images', 'masks'):
        (directory / folder).mkdir()
    for index, mask in enumerate(masks):
        (directory / 'images' / ('%d.png' % index)).write_bytes(encoded(noise(index)))
        data = mask if isinstance(mask, bytes) else encoded(mask)
        (directory / 'masks' / ('%d.png' % index)).write_bytes(data)
    (directory / 'classes.txt').write_text('\n'.join(classes))
    return ['--images', str(directory / 'images'), '--masks', str(directory / 'masks'),
            '--classes', str(directory / 'classes.txt')]


def run_folders(directory, flags):
    status = check.main(flags + ['--json', str(directory / 'report.json')])
    return status, json.loads((directory / 'report.json').read_text())


def test_clean_folders_exit_0(tmp_path):
    status, report = run_folders(tmp_path, write_folders(tmp_path))
    assert (status, report['counts']) == (0, {})
    assert report['splits']['train']['num_images'] == 2
    assert report['class_names'] == list(CLASSES)


@pytest.mark.parametrize('mask, code', [
    (encoded(grid(0, 1, 9)), 'label_values'), (rgb_mask(), 'mask_colors'),
    (encoded(grid(0, 1, height=3)), 'size_mismatch'), (b'', 'mask_undecodable'),
    (encoded(np.full([HEIGHT, WIDTH], np.nan, np.float32), 'TIFF'), 'mask_colors')])
def test_bad_mask_in_a_folder_is_found_by_its_path(tmp_path, mask, code):
    flags = write_folders(tmp_path, [grid(0, 1, 2), mask])
    status, report = run_folders(tmp_path, flags)
    assert (status, found(report)) == (1, {code: 1})
    folder = 'images' if code == 'size_mismatch' else 'masks'
    assert report['findings'][0]['file'] == str(tmp_path / folder / '1.png')


def test_palette_mask_in_a_folder_is_no_flaw(tmp_path):
    flags = write_folders(tmp_path, [palette_png(0, 1, 2), grid(0, 1, 2)])
    assert run_folders(tmp_path, flags)[0] == 0


def test_image_of_not_a_number_is_found(tmp_path):
    flags = write_folders(tmp_path)
    data = encoded(np.full([HEIGHT, WIDTH], np.nan, np.float32), 'TIFF')
    (tmp_path / 'images' / '1.png').write_bytes(data)
    status, report = run_folders(tmp_path, flags)
    assert (status, found(report)) == (1, {'image_unusable': 1})


def test_files_without_partner_and_with_one_name_are_found(tmp_path):
    flags = write_folders(tmp_path)
    (tmp_path / 'images' / 'a.jpg').write_bytes(encoded(noise(7), 'JPEG'))
    (tmp_path / 'masks' / 'b.png').write_bytes(encoded(grid(0)))
    (tmp_path / 'masks' / '.DS_Store').write_bytes(b'')
    (tmp_path / 'images' / '1.jpg').write_bytes(encoded(noise(8), 'JPEG'))
    status, report = run_folders(tmp_path, flags)
    assert (status, found(report)) == (
        1, {'image_without_mask': 1, 'mask_without_image': 1, 'ambiguous_name': 1})
    assert finding(report, 'image_without_mask')['file'].endswith('a.jpg')
    assert finding(report, 'mask_without_image')['file'].endswith('b.png')
    assert '1.jpg and 1.png' in finding(report, 'ambiguous_name')['text']


def test_suffixes_and_subfolders_pair_as_in_the_builder(tmp_path):
    flags = write_folders(tmp_path, [])
    for folder, suffix, pixels in (('images', '_leftImg8bit', noise(0)),
                                   ('masks', '_labelIds', grid(0, 1, 2))):
        (tmp_path / folder / 'bonn').mkdir()
        (tmp_path / folder / 'bonn' / ('1%s.png' % suffix)).write_bytes(encoded(pixels))
        (tmp_path / folder / 'bonn' / '1_other.png').write_bytes(b'')
    status, report = run_folders(tmp_path, flags + [
        '--image_suffix', '_leftImg8bit', '--mask_suffix', '_labelIds'])
    assert (status, report['counts']) == (0, {})


def test_palette_turns_colours_into_ids_and_unknown_ones_are_found(tmp_path):
    colors = {'ground': (0, 0, 0), 'cat': (9, 8, 7), 'dog': (200, 30, 10), 'void': (255, 255, 255)}
    (tmp_path / 'palette.json').write_text(json.dumps(colors))
    labels = grid(0, 1, 2, 3)
    good, bad = (np.array(list(colors.values()), np.uint8)[labels] for _ in range(2))
    bad[0, 0] = (1, 2, 99)
    flags = write_folders(tmp_path, [encoded(good)])[:4] + [
        '--palette', str(tmp_path / 'palette.json')]
    status, report = run_folders(tmp_path, flags)
    assert (status, report['counts']) == (0, {})
    assert report['class_names'] == ['ground', 'cat', 'dog']
    assert report['splits']['train']['class_pixels'] == [HEIGHT * WIDTH // 4] * 3
    (tmp_path / 'masks' / '0.png').write_bytes(encoded(bad))
    status, report = run_folders(tmp_path, flags)
    assert (status, found(report)['mask_palette']) == (1, 1)
    assert '(1, 2, 99) is not in the palette' in finding(report, 'mask_palette')['text']


@pytest.mark.parametrize('lines', ['1\n', 'images/1.png masks/1.png\n'])
def test_list_file_chooses_as_in_the_builder(tmp_path, lines, capsys):
    flags = write_folders(tmp_path)
    (tmp_path / 'list.txt').write_text(lines)
    if ' ' in lines:
        flags = flags[4:]
    status, report = run_folders(tmp_path, flags + ['--list_file', str(tmp_path / 'list.txt')])
    assert (status, report['counts'], report['splits']['train']['num_images']) == (0, {}, 1)
    (tmp_path / 'list.txt').write_text(lines.replace('1', '7'))
    assert check.main(flags + ['--list_file', str(tmp_path / 'list.txt')]) == 2
    assert '7' in capsys.readouterr().err


def test_split_flag_names_the_split_and_the_ignore_label_flag_decides(tmp_path):
    flags = write_folders(tmp_path, [grid(0, 1, 11), grid(0, 1, 11)])
    status, report = run_folders(
        tmp_path, flags + ['--ignore_label', '11', '--split', 'validation'])
    assert (status, report['counts']) == (0, {'class_absent': 1})
    assert report['splits']['validation']['ignored_pixels'] == 2 * HEIGHT * WIDTH // 3
    status, report = run_folders(tmp_path, flags)
    assert (status, report['counts']['label_values']) == (1, 2)


def test_without_classes_ids_are_taken_from_the_masks(tmp_path):
    flags = write_folders(tmp_path, [grid(0, 1, 4, 255)] * 2)[:4]
    status, report = run_folders(tmp_path, flags)
    assert (status, report['counts']) == (0, {'classes_inferred': 1})
    assert len(report['class_names']) == 5
    assert report['splits']['train']['class_images'] == [2, 2, 0, 0, 2]


def test_without_classes_grey_levels_are_still_found(tmp_path):
    flags = write_folders(tmp_path, [grid(0, 128, 255)])[:4]
    status, report = run_folders(tmp_path, flags)
    assert (status, found(report)) == (1, {'label_gaps': 1})


# The raw records of the post.

def test_raw_records_of_the_post_are_clean(tmp_path):
    write_records(tmp_path / 'train.tfrecords', [raw(seed) for seed in range(3)])
    write_records(tmp_path / 'validation.tfrecords', [raw(seed) for seed in (5, 6)])
    write_records(tmp_path / 'test.tfrecords', [raw(seed) for seed in (5, 6)])
    status, report = run(tmp_path)
    assert (status, report['counts']) == (0, {'same_images': 1})
    assert report['class_names'] == list(voc.CLASS_NAMES) and report['ignore_label'] == 255
    pixels = HEIGHT * WIDTH
    expected = np.bincount(grid(*range(21), 255).ravel(), minlength=256) * 3
    assert report['splits']['train']['class_pixels'] == expected[:21].tolist()
    assert report['splits']['train']['ignored_pixels'] == expected[255]
    mean = np.concatenate([noise(seed).reshape(pixels, 3) for seed in range(3)]).mean(axis=0)
    np.testing.assert_allclose(report['splits']['train']['mean_rgb'], mean, atol=0.001)


@pytest.mark.parametrize('changes, code, words', [
    ({'annotation_raw': bytes(3 * HEIGHT * WIDTH)}, 'size_mismatch', 'an RGB mask'),
    ({'image_raw': bytes(HEIGHT * WIDTH)}, 'size_mismatch', 'image_raw holds 192 bytes'),
    ({'height': -1}, 'size_mismatch', 'at least 1'),
    ({'annotation_raw': grid(0, 38, 75).tobytes()}, 'label_values', 'decoded as grey'),
    ({'width': b'16'}, 'record_features', 'width')])
def test_flaw_of_a_raw_record_is_found(tmp_path, changes, code, words):
    write_records(tmp_path / 'train.tfrecords', [raw(0), raw(1, **changes)])
    status, report = run(tmp_path)
    assert (status, found(report)) == (1, {code: 1})
    assert words in finding(report, code)['text'] and finding(report, code)['record'] == 1


def test_leak_between_raw_files_is_found(tmp_path):
    write_records(tmp_path / 'train.tfrecords', [raw(0), raw(1)])
    write_records(tmp_path / 'test.tfrecords', [raw(2), raw(1)])
    status, report = run(tmp_path / 'train.tfrecords', tmp_path / 'test.tfrecords')
    assert (status, found(report)) == (1, {'leakage': 1})
    assert finding(report, 'leakage')['file'] == str(tmp_path / 'test.tfrecords')


def test_single_shard_is_judged_by_the_dataset_json_beside_it(tmp_path):
    save(tmp_path, good())
    path = tmp_path / shard_name('train')
    status, report = run(path, path)
    assert (status, report['counts']) == (0, {})
    assert report['class_names'] == list(CLASSES) and list(report['splits']) == ['train']


# Flags and unusable input.

@pytest.mark.parametrize('argv', [
    [], ['/no/such/path'], ['--images', '.'], ['.', '--images', '.', '--masks', '.'],
    ['.', '.'], ['.', '--max_images', '0'], ['.', '--max_images', 'nan'], ['.', '--split', 'a'],
    ['.', '--palette', 'voc'], ['.', '--list_file', 'a'], ['--images', '.', '--list_file', '/no'],
    ['.', '--ignore_label', 'nan'], ['--images', '.', '--masks', '.', '--ignore_label', '256'],
    ['.', '--json', '/no/such/folder/a.json'], ['.', '--html', '.'],
    ['.', '--accept', 'everything'], ['.', '--no_such_flag'],
    ['--images', '.', '--masks', '/no/such/path'], ['--images', __file__, '--masks', '.']])
def test_wrong_flags_exit_2_with_one_message(argv, capsys):
    with pytest.raises(SystemExit) as error:
        check.main(argv)
    assert error.value.code == 2
    assert 'error: ' in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize('names', [[], ['notes.txt']])
def test_directory_without_data_exits_2_with_one_line(tmp_path, capsys, names):
    for name in names:
        (tmp_path / name).write_text('a')
    assert check.main([str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and 'holds neither dataset.json nor record files' in lines[0]


def test_folders_without_pairs_and_unusable_classes_exit_2(tmp_path, capsys):
    flags = write_folders(tmp_path, [])
    assert check.main(flags) == 2
    assert 'matched by path' in capsys.readouterr().err
    (tmp_path / 'more').mkdir()
    flags = write_folders(tmp_path / 'more', classes=())
    assert check.main(flags) == 2
    assert 'names no class' in capsys.readouterr().err
    assert check.main(flags[:4] + ['--ignore_label', '0']) == 2
    assert 'ignore_label is 0' in capsys.readouterr().err


def test_classes_beside_a_dataset_json_exit_2(tmp_path, capsys):
    directory = save(tmp_path, good())
    assert check.main([directory, '--ignore_label', '7']) == 2
    assert 'names the classes' in capsys.readouterr().err


def test_directory_without_permission_exits_2_with_one_line(tmp_path, capsys, monkeypatch):
    def refuse(path):
        raise PermissionError(13, 'Permission denied', path)

    monkeypatch.setattr(os, 'listdir', refuse)
    assert check.main([str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and 'Permission denied' in lines[0] and str(tmp_path) in lines[0]


@pytest.mark.parametrize('seed', range(6))
def test_random_damage_never_raises(tmp_path, seed):
    random = np.random.RandomState(seed)
    flags = write_folders(tmp_path, [grid(0, 1, 2), palette_png(0, 1), encoded(grid(1), 'TIFF'),
                                     encoded(grid(1), 'GIF')])
    (tmp_path / 'built').mkdir()
    directory = save(tmp_path / 'built', good())
    for path in glob.glob(str(tmp_path / '*' / '*')):
        with open(path, 'rb') as damaged_file:
            data = bytearray(damaged_file.read())
        for _ in range(random.randint(1, 6)):
            data[random.randint(len(data))] = random.randint(256)
        with open(path, 'wb') as damaged_file:
            damaged_file.write(data[:random.randint(1, len(data) + 1)] if seed % 3 == 0 else data)
    assert check.main(flags) in (1, 2)
    assert check.main([directory, '--html', str(tmp_path / 'a.html')]) == 1


def test_damage_within_sound_records_never_raises(tmp_path):
    random, rows = np.random.RandomState(0), []
    for index in range(60):
        data = bytearray(example_proto.serialize(record(index) if index % 2 else raw(index)))
        for _ in range(random.randint(1, 5)):
            data[random.randint(len(data))] = random.randint(256)
        rows.append(bytes(data))
    write_records(tmp_path / 'train.tfrecord', rows)
    status, report = run(tmp_path / 'train.tfrecord')
    assert status == 1 and report['splits']['train']['num_records'] == 60


# Reports.

def flat(color, *labels):
    """Returns a record whose image has one colour."""
    return record(0, image=encoded(np.full([HEIGHT, WIDTH, 3], color, np.uint8)),
                  mask=encoded(grid(*labels)))


def test_json_report_holds_the_counts_computed_by_hand(tmp_path):
    tall = record(0, image=encoded(np.full([4, 2, 3], (90, 90, 90), np.uint8)),
                  mask=encoded(grid(1, height=4, width=2)), image__height=4, image__width=2)
    directory = save(tmp_path, {'train': [
        flat((10, 20, 30), 0, 1), flat((30, 40, 50), 0, 0, 2, 255), tall]})
    status, report = run(directory)
    pixels = HEIGHT * WIDTH
    assert status == 0
    assert report['splits'] == {'train': {
        'num_records': 3, 'num_images': 3, 'num_masks': 3, 'same_as': None,
        'height': {'min': 4, 'median': 12, 'max': 12},
        'width': {'min': 2, 'median': 16, 'max': 16},
        'mean_rgb': [round((40. * pixels + 90 * 8) / (2 * pixels + 8), 3),
                     round((60. * pixels + 90 * 8) / (2 * pixels + 8), 3),
                     round((80. * pixels + 90 * 8) / (2 * pixels + 8), 3)],
        'class_pixels': [pixels, pixels // 2 + 8, pixels // 4], 'class_images': [2, 2, 1],
        'ignored_pixels': pixels // 4, 'unknown_pixels': 0,
        'ignored_share': round(pixels / 4. / (2 * pixels + 8), 6)}}
    assert {key: report[key] for key in ('format_version', 'name', 'class_names', 'input',
                                         'ignore_label', 'max_images', 'findings')} == {
        'format_version': 1, 'name': 'toy', 'class_names': list(CLASSES), 'input': directory,
        'ignore_label': 255, 'max_images': None, 'findings': []}


def test_json_report_does_not_depend_on_the_number_of_workers(tmp_path, capsys):
    splits = dict(good(), test=[record(0), record(1, mask=rgb_mask())])
    directory = save(tmp_path, splits)
    texts = []
    for workers in ('1', '3'):
        assert check.main([directory, '--json', '-', '--workers', workers]) == 1
        printed = capsys.readouterr()
        texts.append(printed.out)
        assert '3 errors' in printed.err
    assert texts[0] == texts[1]
    assert json.loads(texts[0])['counts'] == {'leakage': 2, 'mask_colors': 1}


def test_mask_with_wrong_values_still_counts_for_the_classes_that_it_shows(tmp_path, capsys):
    directory = save(tmp_path, {'train': [record(0, mask=encoded(grid(0, 0, 1, 2))),
                                          record(1, mask=encoded(grid(1, 1, 2, 9)))]})
    status, report = run(directory, '--html', tmp_path / 'a.html')
    assert (status, found(report)) == (1, {'label_values': 1})
    quarter = HEIGHT * WIDTH // 4
    values = report['splits']['train']
    assert values['class_pixels'] == [2 * quarter, 3 * quarter, 2 * quarter]
    assert values['unknown_pixels'] == quarter
    assert re.search(r'\(no class\) +12.50 %', capsys.readouterr().out)
    assert '9 (no class) 25.00 %' in read_page(tmp_path / 'a.html').text


def test_max_images_looks_at_the_first_of_each_split_and_says_so(tmp_path):
    splits = good()
    splits['train'][3] = {'pixels': b'1'}
    replace_masks(splits['train'][:2], 0)
    status, report = run(save(tmp_path, splits), '--max_images', '2')
    assert (status, report['counts']) == (0, {'partial_look': 1})
    assert 'first 2 images' in report['findings'][0]['text'] and report['max_images'] == 2
    assert [report['splits'][split]['num_records'] for split in ('train', 'validation')] == [2, 2]


def test_max_images_limits_folders_too(tmp_path):
    status, report = run_folders(tmp_path, write_folders(tmp_path) + ['--max_images', '1'])
    assert (status, report['splits']['train']['num_images']) == (0, 1)


def test_few_records_are_in_memory_at_a_time(tmp_path, monkeypatch):
    directory = save(tmp_path, {'train': [record(seed) for seed in range(40)]})
    read, counted, most = [0], [0], [0]
    iterate, add = shards.iterate_shard, SplitStatistics.add

    def watched_iterate(path):
        for row in iterate(path):
            read[0] += 1
            most[0] = max(most[0], read[0] - counted[0])
            yield row

    def watched_add(statistics, result):
        counted[0] += 1
        add(statistics, result)

    monkeypatch.setattr(shards, 'iterate_shard', watched_iterate)
    monkeypatch.setattr(SplitStatistics, 'add', watched_add)
    assert run(directory, '--workers', '2')[0] == 0
    assert counted[0] == 40 and most[0] <= 6


@pytest.mark.parametrize('counts, expected', [
    ({}, None), ({5: 1}, {'min': 5, 'median': 5, 'max': 5}),
    ({1: 1, 4: 1}, {'min': 1, 'median': 2.5, 'max': 4}),
    ({1: 1, 5: 2, 9: 2}, {'min': 1, 'median': 5, 'max': 9}),
    ({1: 3, 9: 1}, {'min': 1, 'median': 1, 'max': 9})])
def test_size_range_is_exact(counts, expected):
    assert size_range(collections.Counter(counts)) == expected


def test_sampler_draws_every_image_with_the_same_chance():
    drawn = collections.Counter()
    for seed in range(1000):
        sampler = check.Sampler(2, seed)
        for index in range(5):
            place = sampler.draw()
            if place is not None:
                sampler.put(place, index)
        assert len(sampler.drawn()) == 2
        drawn.update(sampler.drawn())
    assert all(340 < drawn[index] < 460 for index in range(5))
    assert check.Sampler(0, 0).draw() is None


class Page(html.parser.HTMLParser):
    """Collects the text, the pictures and what is not closed or lies outside of the page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.images, self.outside, self.headings = [], '', [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in ('meta', 'img'):
            self.open.append(tag)
        source = attributes.get('src', '')
        self.outside += [tag] if tag in ('script', 'link', 'iframe') or 'href' in attributes else []
        if tag == 'img':
            head, data = source.split(',')
            assert head == 'data:image/png;base64'
            image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
            image.load()
            self.images.append(image)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == 'h3':
            self.headings.append(data)
        self.text += data


def read_page(path):
    page = Page(path.read_text(encoding='utf-8'))
    assert not page.open and not page.outside
    return page


def test_html_report_shows_figures_findings_and_overlays(tmp_path):
    splits = good()
    splits['train'][3] = record(3, mask=rgb_mask())
    directory = save(tmp_path, splits, ('ground', '<b>cat</b> $x', 'dog'))
    assert check.main([directory, '--html', str(tmp_path / 'a.html'), '--num_overlays', '3']) == 1
    page = read_page(tmp_path / 'a.html')
    histogram, examples = page.images[2], page.images[3:]
    assert histogram.size[0] == 1140 and len(np.unique(np.array(histogram))) > 10
    assert [image.size for image in examples] == [(WIDTH, HEIGHT)] * 9
    for words in ('<b>cat</b> $x', 'mask_colors', 'record 3', '1 error', '(ignored)', 'dog'):
        assert words in page.text
    assert len(page.headings) == 3
    assert not os.path.exists(str(tmp_path / 'a.html.tmp'))


def test_html_pictures_are_image_blend_and_mask_in_the_colours_of_the_classes(tmp_path):
    directory = save(tmp_path, {'train': [flat((200, 100, 0), 1), flat((200, 100, 1), 0, 2)]})
    check.main([directory, '--html', str(tmp_path / 'a.html'), '--num_overlays', '1'])
    images = read_page(tmp_path / 'a.html').images[2:]
    color = np.array(palette.OKABE_ITO[1], float)
    expected = [(200, 100, 0), 0.45 * np.array((200, 100, 0)) + 0.55 * color, color]
    if np.array(images[0])[0, 0, 2] == 1:  # the other of the two was drawn
        color = np.array(palette.OKABE_ITO[0], float)
        expected = [(200, 100, 1), 0.45 * np.array((200, 100, 1)) + 0.55 * color, color]
    for image, pixel in zip(images, expected):
        np.testing.assert_allclose(np.array(image)[0, 0], pixel, atol=1)


def test_html_shows_the_mean_image_of_each_split(tmp_path):
    dark = np.zeros([HEIGHT, WIDTH, 3], np.uint8)
    bright = np.full([3 * HEIGHT, WIDTH, 3], 101, np.uint8)  # another size and shape
    bright[:, WIDTH // 2:] = (201, 0, 40)
    directory = save(tmp_path, {'train': [
        record(0, image=encoded(dark)),
        record(1, image=encoded(bright), image__height=3 * HEIGHT,
               mask=encoded(grid(0, 1, 2, height=3 * HEIGHT)))], 'validation': [record(5)]})
    assert check.main([directory, '--html', str(tmp_path / 'a.html')]) == 0
    train, validation = [np.array(image) for image in read_page(tmp_path / 'a.html').images[:2]]
    width, height = examination.THUMBNAIL_SIZE
    assert train.shape == validation.shape == (height, width, 3)
    np.testing.assert_array_equal(train[:, :width // 2], np.full([height, width // 2, 3], 50))
    np.testing.assert_array_equal(train[0, -1], [100, 0, 20])
    assert len(np.unique(validation)) > 10


def test_html_examples_follow_the_seed(tmp_path):
    directory = save(tmp_path, {'train': [record(seed) for seed in range(12)]})
    headings = []
    for seed in (0, 0, 1):
        check.main([directory, '--html', str(tmp_path / 'a.html'), '--num_overlays', '2',
                    '--seed', str(seed)])
        headings.append(read_page(tmp_path / 'a.html').headings)
    assert headings[0] == headings[1] != headings[2]


@pytest.mark.parametrize('flag', ['--num_overlays', '--seed'])
def test_flags_of_the_page_are_refused_without_one(tmp_path, flag, capsys):
    with pytest.raises(SystemExit) as end:
        check.main([save(tmp_path, {'train': [record(0)]}), flag, '1'])
    assert end.value.code == 2 and flag + ' has no effect' in capsys.readouterr().err


def test_large_images_are_shown_small(tmp_path):
    big = record(0, image=encoded(np.zeros([40, 800, 3], np.uint8)), image__height=40,
                 image__width=800, mask=encoded(grid(0, 1, 2, height=40, width=800)))
    directory = save(tmp_path, {'train': [big]})
    assert check.main([directory, '--html', str(tmp_path / 'a.html')]) == 0
    sizes = {image.size for image in read_page(tmp_path / 'a.html').images[2:]}
    assert sizes == {(examination.PICTURE_SIZE, examination.PICTURE_SIZE // 20)}


def test_report_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch, capsys):
    directory, path = save(tmp_path, good()), tmp_path / 'a.json'
    path.write_text('old')

    def refuse(source, target):
        raise OSError(28, 'No space left on device', target)

    monkeypatch.setattr(os, 'replace', refuse)
    assert check.main([directory, '--json', str(path)]) == 2
    assert 'No space left' in capsys.readouterr().err
    assert path.read_text() == 'old' and not (tmp_path / 'a.json.tmp').exists()


def test_emit_escapes_what_the_stream_cannot_show():
    stream = io.TextIOWrapper(io.BytesIO(), encoding='ascii')
    emit('größe \udc80\n', stream)
    assert stream.buffer.getvalue() == b'gr\\xf6\\xdfe \\udc80\n'


def test_names_with_control_characters_stay_on_their_line(tmp_path, capsys):
    splits = good()
    splits['train'][1] = record(1, mask=rgb_mask(), image__filename=b'a\nb\x1b[31m\xff.png')
    assert check.main([save(tmp_path, splits)]) == 1
    line = [line for line in capsys.readouterr().out.splitlines() if 'mask_colors' in line][0]
    assert 'a\\nb\\x1b[31m' in line and line.endswith('PNG.')


def start(argv, **options):
    return subprocess.Popen([sys.executable, os.path.join(ROOT, 'dataset', 'check.py')] + argv,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_script_runs_from_anywhere_without_tensorflow_and_reports_its_status(tmp_path):
    (tmp_path / 'tensorflow.py').write_text('raise SystemExit("TensorFlow was imported")')
    splits = good()
    splits['train'][1] = record(1, mask=rgb_mask())
    directory = save(tmp_path, splits)
    process = start([directory], cwd=str(tmp_path),
                    env=dict(os.environ, PYTHONPATH=str(tmp_path)))
    out, err = process.communicate()
    assert process.returncode == 1 and b'mask_colors' in out
    assert b'Traceback' not in err and b'TensorFlow' not in err


def test_reader_that_closes_the_pipe_ends_the_script_quietly(tmp_path):
    process = start([save(tmp_path, good())])
    process.stdout.close()
    assert b'Traceback' not in process.stderr.read()
    process.stderr.close()
    assert process.wait() == 2


# Real data.

def test_camvid_is_clean(tmp_path):
    (tmp_path / 'classes.txt').write_text('Sky\nBuilding\nPole\nRoad\nPavement\nTree\nSignSymbol\n'
                                          'Fence\nCar\nPedestrian\nBicyclist\n')
    flags = ['--classes', str(tmp_path / 'classes.txt'), '--ignore_label', '11']
    for split, folder in (('train', 'train'), ('validation', 'val')):
        status, report = run_folders(tmp_path, flags + [
            '--images', shared('camvid', folder), '--masks', shared('camvid', folder + 'annot'),
            '--split', split])
        assert (status, report['counts']) == (0, {})
        assert report['splits'][split]['height'] == {'min': 360, 'median': 360, 'max': 360}
    assert report['splits']['validation']['class_pixels'][10] == 113451


def test_voc_sample_is_clean_built_and_unbuilt(tmp_path):
    root = shared('voc2012_sample', 'VOCdevkit', 'VOC2012')
    images, masks = os.path.join(root, 'JPEGImages'), os.path.join(root, 'SegmentationClass')
    status, report = run_folders(tmp_path, ['--images', images, '--masks', masks])
    assert (status, report['counts']) == (0, {'classes_inferred': 1})
    examples = [decoding.Example(name, os.path.join(images, name),
                                 os.path.join(masks, name[:-len('jpg')] + 'png'))
                for name in sorted(os.listdir(images))]
    info = descriptor.create('VOC', voc.CLASS_NAMES, voc.IGNORE_LABEL)
    writing.write_split(examples, len(examples), info, str(tmp_path / 'voc'), 'validation', 2,
                        aliases=('test',))
    status, report = run(tmp_path / 'voc')
    assert (status, report['counts']) == (0, {'same_images': 1, 'class_absent': 1})
    values = report['splits']['validation']
    assert values == dict(report['splits']['test'], same_as=None)
    assert (values['class_pixels'][15], values['ignored_pixels']) == (202999, 67184)
    assert values['height'] == {'min': 332, 'median': 370.5, 'max': 500}
