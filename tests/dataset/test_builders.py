"""The three builders as a user calls them, on generated files and on real samples."""
import collections
import io
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from common.interpreter import command
from dataset import build_folder, build_shapes, build_voc2012, descriptor, voc
from dataset.records import encoding
from dataset.sources import color_masks, shapes, splits
from runtime import tf
from tests.helpers import ROOT

SHARED_DATA = os.path.join(ROOT, '..', 'shared', 'data')


def shared(*parts):
    """Returns a path in the shared folder, or skips the test."""
    path = os.path.join(SHARED_DATA, *parts)
    if not os.path.exists(path):
        pytest.skip('needs %s, which is not part of a clone' % os.path.normpath(path))
    return path


def count_records(directory, split):
    info = descriptor.load(str(directory))
    return sum(1 for path in descriptor.shard_paths(info, str(directory), split)
               for _ in tf.compat.v1.io.tf_record_iterator(path))


def read_records(directory, split):
    """Returns a list of (filename, labels uint8 [height, width]) as the shards hold them."""
    info = descriptor.load(str(directory))
    found = []
    for path in descriptor.shard_paths(info, str(directory), split):
        for serialized in tf.compat.v1.io.tf_record_iterator(path):
            feature = tf.train.Example.FromString(serialized).features.feature
            labels = Image.open(io.BytesIO(feature[encoding.LABEL_ENCODED].bytes_list.value[0]))
            found.append((feature[encoding.IMAGE_FILENAME].bytes_list.value[0].decode(),
                          np.array(labels)))
    return found


def names_of(directory, split):
    return [name for name, _ in read_records(directory, split)]


def write_folder(directory, stems=('a', 'b')):
    """Writes images, masks and classes.txt; returns the flags to build them."""
    for folder in ('images', 'masks'):
        (directory / folder).mkdir()
    for stem in stems:
        Image.new('RGB', (8, 6), 'red').save(str(directory / 'images' / (stem + '.jpg')))
        mask = np.resize(np.array([0, 1, 9], np.uint8), [6, 8])
        Image.fromarray(mask).save(str(directory / 'masks' / (stem + '.png')))
    (directory / 'classes.txt').write_text('# two\nground\n\ncat  # tame\n')
    return ['--images', str(directory / 'images'), '--masks', str(directory / 'masks'),
            '--classes', str(directory / 'classes.txt'), '--split', 'train',
            '--output_dir', str(directory / 'out'), '--ignore_label', '9']


def test_build_folder_flags_take_effect_and_next_command_is_printed(tmp_path, capsys):
    build_folder.main(write_folder(tmp_path) + ['--num_shards', '2', '--name', 'pets'])
    info = descriptor.load(str(tmp_path / 'out'))
    assert info.name == 'pets' and info.class_names == ('ground', 'cat')
    assert info.ignore_label == 9 and len(info.splits['train']['shards']) == 2
    assert count_records(tmp_path / 'out', 'train') == 2
    printed = capsys.readouterr().out
    assert 'train: 2 images, 2 classes' in printed and '33.33 %' in printed
    assert 'Next: ' + command('train.py', '--recipe') in printed
    assert '--dataset_dir %s\n' % (tmp_path / 'out') in printed


def test_builder_sends_nobody_to_train_without_a_train_split(tmp_path, capsys):
    flags = write_folder(tmp_path)
    build_folder.main(flags + ['--split', 'validation'])
    printed = capsys.readouterr().out
    assert 'holds validation: train.py needs the split train' in printed and 'Next' not in printed
    build_folder.main(flags)
    assert 'Next: ' + command('train.py') in capsys.readouterr().out


def test_build_folder_counts_and_names_files_without_partner(tmp_path):
    flags = write_folder(tmp_path, stems='abcdefgh')
    for stem in 'abcdefg':
        (tmp_path / 'masks' / (stem + '.png')).unlink()
    (tmp_path / 'images' / 'h.jpg').unlink()
    with pytest.raises(SystemExit) as error:
        build_folder.main(flags)
    message = str(error.value)
    assert '7 images without mask: a.jpg, b.jpg, c.jpg, d.jpg, e.jpg, ...\n' in message
    assert '1 masks without image: h.png\n' in message
    assert not (tmp_path / 'out').exists()


def test_build_folder_turns_a_bad_mask_into_one_message(tmp_path):
    with pytest.raises(SystemExit, match='holds 9; .*start at 1|holds 9; .*Likely cause'):
        build_folder.main(write_folder(tmp_path)[:-2])


@pytest.mark.parametrize('broken, words', [
    ('empty', 'holds no file'), ('absent', 'is no folder'), ('twins', 'share a stem'),
    ('classes', 'names no class'), ('no classes file', 'cannot be read'),
    ('ignore', 'choose a value in 2..255')])
def test_build_folder_explains_unusable_input(tmp_path, broken, words):
    flags = write_folder(tmp_path)
    if broken == 'empty':
        shutil.rmtree(str(tmp_path / 'masks'))
        (tmp_path / 'masks').mkdir()
    elif broken == 'absent':
        shutil.rmtree(str(tmp_path / 'images'))
    elif broken == 'twins':
        Image.new('RGB', (8, 6)).save(str(tmp_path / 'images' / 'a.png'))
    elif broken == 'classes':
        (tmp_path / 'classes.txt').write_text('# nothing\n')
    elif broken == 'no classes file':
        (tmp_path / 'classes.txt').unlink()
    else:
        flags[-1] = '1'
    with pytest.raises(SystemExit, match=words):
        build_folder.main(flags)


def write_voc(directory, **lists):
    """Writes a VOC 2012 layout of generated files; `lists` map list names to ids."""
    for folder in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (directory / folder).mkdir(parents=True)
    for name, image_ids in lists.items():
        path = directory / 'ImageSets' / 'Segmentation' / (name + '.txt')
        path.write_text(''.join(image_id + '\n' for image_id in image_ids))
        for image_id in image_ids:
            Image.new('RGB', (8, 6)).save(str(directory / 'JPEGImages' / (image_id + '.jpg')))
            mask = Image.fromarray(np.resize(np.array([0, 20, 255], np.uint8), [6, 8]))
            mask.putpalette(voc.color_map().tobytes())
            mask.save(str(directory / 'SegmentationClass' / (image_id + '.png')))
    return ['--voc_root', str(directory), '--output_dir', str(directory / 'out')]


def test_build_voc2012_writes_train_validation_and_test(tmp_path, capsys):
    build_voc2012.main(write_voc(tmp_path, train='abc', val='de') + ['--num_shards', '1'])
    splits = descriptor.load(str(tmp_path / 'out')).splits
    assert splits['train'] == {'num_examples': 3, 'shards': ['train-00000-of-00001.tfrecord']}
    assert splits['validation'] == splits['test'] == {
        'num_examples': 2, 'shards': ['validation-00000-of-00001.tfrecord']}
    assert 'train.txt lists 3 images; the published one lists 1464' in capsys.readouterr().out


def test_build_voc2012_train_list_chooses_the_training_images(tmp_path, capsys):
    flags = write_voc(tmp_path, train='abc', val='de', trainval='abcde')
    build_voc2012.main(flags + ['--train_list', 'trainval'])
    assert count_records(tmp_path / 'out', 'train') == 5
    assert 'train contains the validation images' in capsys.readouterr().out


def test_build_voc2012_names_what_is_missing(tmp_path):
    flags = write_voc(tmp_path, val='de')
    with pytest.raises(SystemExit, match=r'aug.txt is missing; lists that are there: val\.'):
        build_voc2012.main(flags + ['--train_list', 'aug'])
    (tmp_path / 'JPEGImages' / 'e.jpg').unlink()
    with pytest.raises(SystemExit, match='names e, but .*e.jpg is missing'):
        build_voc2012.main(flags)
    shutil.rmtree(str(tmp_path / 'JPEGImages'))
    with pytest.raises(SystemExit, match='JPEGImages is no folder.*VOCtrainval_11-May-2012.tar'):
        build_voc2012.main(flags)


def write_sbd(directory, labels=None, images=(), **lists):
    """Writes an SBD layout; `labels` maps ids to arrays, `lists` list names to ids."""
    for folder in ('img', 'cls'):
        (directory / folder).mkdir(parents=True)
    for name, image_ids in lists.items():
        (directory / (name + '.txt')).write_text(''.join(i + '\n' for i in image_ids))
    for image_id in images:
        Image.new('RGB', (8, 6)).save(str(directory / 'img' / (image_id + '.jpg')))
    for image_id, array in (labels or {}).items():
        savemat(str(directory / 'cls' / (image_id + '.mat')),
                {'GTcls': {'Segmentation': array}}, do_compression=True)
    return ['--sbd_root', str(directory)]


SBD_LABELS = np.resize(np.array([0, 7], np.uint8), [6, 8])


@pytest.fixture
def small_flags(tmp_path):
    """VOC train abc, val vw; SBD val wbdef, train ghi, train_noval ghib; returns flags."""
    flags = write_voc(tmp_path / 'voc', train='abc', val='vw')
    flags += write_sbd(tmp_path / 'sbd', {i: SBD_LABELS for i in 'abdefghi'}, 'defghi',
                       val='wbdef', train='ghi', train_noval='ghib')
    return flags + ['--allow_other_lists']


def test_sbd_root_builds_the_posts_split_from_both_kinds_of_labels(tmp_path, small_flags, capsys):
    build_voc2012.main(small_flags + ['--validation_fraction', '0.25', '--num_shards', '2'])
    out = tmp_path / 'voc' / 'out'
    train, validation = names_of(out, 'train'), names_of(out, 'validation')
    # ac + bdef + ghib: b is in both parts and so there twice, on one side.
    assert sorted(train + validation) == [i + '.jpg' for i in 'abbcdefghi']
    assert len(validation) in (1, 2) and not set(train) & set(validation)
    assert names_of(out, 'test') == ['v.jpg', 'w.jpg']
    for name, labels in read_records(out, 'train') + read_records(out, 'validation'):
        # a, b and c have a mask of VOC, with its void; all others are SBD's.
        assert set(np.unique(labels)) == ({0, 20, 255} if name[0] in 'abc' else {0, 7})
    printed = capsys.readouterr().out
    assert 'test: 2 masks of VOC, 0 of SBD.' in printed
    assert "Note: %s lists 3 images; the official VOC 2012 train lists 1464" % (
        tmp_path / 'voc' / 'ImageSets' / 'Segmentation' / 'train.txt') in printed


def test_trainaug_trains_on_all_but_voc_val_and_validates_on_that(tmp_path, small_flags):
    build_voc2012.main(small_flags + ['--split_source', 'trainaug'])
    out = tmp_path / 'voc' / 'out'
    assert names_of(out, 'train') == [i + '.jpg' for i in 'abcdefghi']
    assert names_of(out, 'validation') == names_of(out, 'test') == ['v.jpg', 'w.jpg']


def test_split_sources_replace_each_other_in_one_directory(tmp_path, small_flags):
    out = tmp_path / 'voc' / 'out'
    build_voc2012.main(small_flags[:4])
    assert names_of(out, 'test') == names_of(out, 'validation') == ['v.jpg', 'w.jpg']
    build_voc2012.main(small_flags)
    assert names_of(out, 'test') == ['v.jpg', 'w.jpg'] and len(names_of(out, 'train')) > 6
    assert not set(names_of(out, 'validation')) & {'v.jpg', 'w.jpg'}
    build_voc2012.main(small_flags + ['--split_source', 'trainaug'])
    assert names_of(out, 'test') == names_of(out, 'validation') == ['v.jpg', 'w.jpg']


def test_voc_source_takes_any_list_with_labels_and_images_of_sbd(tmp_path, small_flags):
    (tmp_path / 'voc' / 'ImageSets' / 'Segmentation' / 'mine.txt').write_text('a\ng\n')
    small_flags.remove('--allow_other_lists')
    build_voc2012.main(small_flags + ['--train_list', 'mine'])
    assert names_of(tmp_path / 'voc' / 'out', 'train') == ['a.jpg', 'g.jpg']


def listed(flags, capsys):
    """Returns what --list prints, as a dict from split to ids."""
    build_voc2012.main(flags + ['--list'])
    ids = collections.defaultdict(list)
    for line in capsys.readouterr().out.splitlines():
        split, image_id = line.split('\t')
        ids[split].append(image_id)
    return ids


def test_list_prints_splits_and_ids_and_writes_nothing(tmp_path, small_flags, capsys):
    for folder in ('voc/JPEGImages', 'voc/SegmentationClass', 'sbd/img', 'sbd/cls'):
        shutil.rmtree(str(tmp_path / folder))
    flags = [flag for flag in small_flags if not flag.endswith('out') and flag != '--output_dir']
    build_voc2012.main(flags + ['--split_source', 'trainaug', '--list'])
    printed = capsys.readouterr()
    assert printed.out == ''.join(
        '%s\t%s\n' % (split, image_id) for split, ids in (
            ('validation', 'vw'), ('test', 'vw'), ('train', 'abcdefghi')) for image_id in ids)
    assert 'the official' in printed.err
    ids = listed(flags, capsys)
    assert sorted(ids['train'] + ids['validation']) == list('abbcdefghi')
    assert ids['test'] == list('vw') and len(ids) == 3
    assert sorted(os.listdir(str(tmp_path))) == ['sbd', 'voc']
    assert sorted(os.listdir(str(tmp_path / 'voc'))) == ['ImageSets']
    assert listed(flags[:2], capsys) == {'train': list('abc'), 'validation': list('vw'),
                                         'test': list('vw')}


def test_list_ends_quietly_when_its_reader_does(tmp_path):
    flags = write_voc(tmp_path, train='a', val='d')
    path = tmp_path / 'ImageSets' / 'Segmentation' / 'train.txt'
    # More than a pipe holds.
    path.write_text(''.join('2007_%06d\n' % number for number in range(20000)))
    command = [sys.executable, os.path.join('dataset', 'build_voc2012.py'), '--list'] + flags
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True) as process:
        assert process.stdout.readline() == 'validation\td\n'
        process.stdout.close()
        assert 'Error' not in process.stderr.read()
        assert process.wait() == 0


def test_seed_and_deduplicate_decide_the_posts_split(small_flags, capsys):
    flags = small_flags + ['--validation_fraction', '0.3']
    held = [tuple(listed(flags + ['--seed', str(seed)], capsys)['validation'])
            for seed in range(6)]
    assert len(set(held)) > 1
    assert tuple(listed(flags, capsys)['validation']) == held[0]
    ids = listed(flags + ['--deduplicate'], capsys)
    assert sorted(ids['train'] + ids['validation']) == list('abcdefghi')


def write_official_lists(directory):
    """Writes lists that have the official counts and give the published list."""
    names = ('voc2012_train_not_in_sbd_lists', 'sbd_val_minus_voc2012_val', 'sbd_train_noval',
             'voc2012_val')
    lonely, val_part, train_noval, voc_val = [
        splits.read_ids(shared('splits', name + '.txt')) for name in names]
    lists = dict(voc_train=lonely + val_part[:1134], voc_val=voc_val,
                 sbd_val=val_part + voc_val[:558], sbd_train_noval=train_noval)
    paths = splits.list_paths(str(directory / 'voc'), str(directory / 'sbd'))
    for key, ids in lists.items():
        os.makedirs(os.path.dirname(paths[key]), exist_ok=True)
        with open(paths[key], 'w') as list_file:
            list_file.write('\n'.join(ids) + '\n')
    return ['--voc_root', str(directory / 'voc'), '--sbd_root', str(directory / 'sbd')]


def test_real_lists_give_the_posts_8252_lines(tmp_path, capsys):
    ids = listed(write_official_lists(tmp_path), capsys)
    assert [len(ids[split]) for split in ('train', 'validation', 'test')] == [7427, 825, 1449]
    published = splits.read_ids(shared('splits', 'voc_aug_8252.txt'))
    assert collections.Counter(ids['train'] + ids['validation']) == collections.Counter(published)
    assert not set(ids['train']) & set(ids['validation'])
    # The same images at every build of seed 0.
    assert splits.fingerprint(ids['validation']) == (
        'ad64127374c653be01ef9418e7559170ba73467cde53a5c52fa585c890e32d97')
    ids = listed(['--deduplicate'] + write_official_lists(tmp_path), capsys)
    assert [len(ids[split]) for split in ('train', 'validation')] == [7410, 823]


def test_wrong_official_files_stop_the_build_and_are_named(tmp_path):
    flags = write_official_lists(tmp_path)
    for name in ('val', 'train_noval'):
        path = tmp_path / 'sbd' / (name + '.txt')
        path.write_text('2008_000008\n' + path.read_text())
    with pytest.raises(SystemExit) as error:
        build_voc2012.main(flags + ['--list'])
    message = str(error.value)
    assert 'sbd/val.txt lists 2858 images; the official SBD val lists 2857.' in message
    assert 'sbd/train_noval.txt lists 5624 images; the official SBD train_noval' in message
    assert '--allow_other_lists' in message and 'voc/' not in message


def test_missing_parts_of_sbd_are_named_with_the_way_out(tmp_path, small_flags):
    os.rename(str(tmp_path / 'sbd' / 'train_noval.txt'), str(tmp_path / 'elsewhere.txt'))
    with pytest.raises(SystemExit, match='missing: .*sbd/train_noval.txt. .*download_voc2012'):
        build_voc2012.main(small_flags)
    os.rename(str(tmp_path / 'elsewhere.txt'), str(tmp_path / 'sbd' / 'train_noval.txt'))
    (tmp_path / 'sbd' / 'cls' / 'd.mat').unlink()
    (tmp_path / 'sbd' / 'img' / 'g.jpg').unlink()
    with pytest.raises(SystemExit) as error:
        build_voc2012.main(small_flags)
    assert 'SegmentationClass/d.png or ' in str(error.value)
    assert 'cls/d.mat is missing (and 1 files more)' in str(error.value)
    small_flags[small_flags.index('--sbd_root') + 1] = str(tmp_path)
    with pytest.raises(SystemExit, match='cls is no folder. Did you mean .*/sbd\\?'):
        build_voc2012.main(small_flags)


@pytest.mark.parametrize('flags, words', [
    ([], '--output_dir is needed'), (['--output_dir', 'o', '--seed', '1'], '--seed has no effect'),
    (['--list', '--split_source', 'post'], 'needs --sbd_root'),
    (['--list', '--sbd_root', 's', '--train_list', 'a', '--split_source', 'post'],
     '--train_list a has no effect'),
    (['--list', '--sbd_root', 's', '--split_source', 'trainaug', '--deduplicate'],
     '--deduplicate has no effect'),
    (['--list', '--allow_other_lists'], '--allow_other_lists has no effect'),
    (['--list', '--sbd_root', 's', '--seed', '-1'], '--seed -1'),
    (['--list', '--sbd_root', 's', '--validation_fraction', '1'],
     '1 is not a number between 0 and 1'),
    (['--list', '--num_workers', '0'], '0 is not a whole number of at least 1'),
    (['--list', '--num_shards', '0'], '--num_shards: 0 is not a whole number of at least 1')])
def test_build_voc2012_refuses_flags_without_effect(flags, words, capsys):
    with pytest.raises(SystemExit):
        build_voc2012.main(['--voc_root', 'v'] + flags)
    assert words in capsys.readouterr().err


def test_a_damaged_mat_is_named_or_skipped(tmp_path, small_flags, capsys):
    path = tmp_path / 'sbd' / 'cls' / 'd.mat'
    path.write_bytes(path.read_bytes()[:150])
    flags = small_flags + ['--split_source', 'trainaug']
    with pytest.raises(SystemExit, match='cls/d.mat cannot be read as SBD annotation'):
        build_voc2012.main(flags)
    build_voc2012.main(flags + ['--skip_bad'])
    assert 'd.jpg' not in names_of(tmp_path / 'voc' / 'out', 'train')
    assert count_records(tmp_path / 'voc' / 'out', 'train') == 8
    # What was left out is on record.
    printed = capsys.readouterr()
    assert 'd.mat' in printed.out + printed.err


def test_labels_of_sbd_must_have_the_images_size(tmp_path, small_flags):
    savemat(str(tmp_path / 'sbd' / 'cls' / 'd.mat'),
            {'GTcls': {'Segmentation': np.zeros([8, 6], np.uint8)}})
    with pytest.raises(SystemExit, match='img/d.jpg is 8x6 but its mask .*d.mat is 6x8'):
        build_voc2012.main(small_flags)


def test_labels_of_sbd_must_be_classes_of_voc(tmp_path, small_flags):
    savemat(str(tmp_path / 'sbd' / 'cls' / 'd.mat'),
            {'GTcls': {'Segmentation': np.full([6, 8], 21, np.uint8)}})
    with pytest.raises(SystemExit, match='d.mat holds 21; with 21 classes labels are 0..20'):
        build_voc2012.main(small_flags)


def paint_masks(directory, colors):
    """Turns the masks of `write_folder` into RGB; `colors` maps label to colour."""
    for path in (directory / 'masks').iterdir():
        labels = np.array(Image.open(str(path)))
        painted = np.array([[colors[label] for label in row] for row in labels], np.uint8)
        Image.fromarray(painted).save(str(path))


def test_palette_file_replaces_classes_and_maps_void(tmp_path):
    flags = write_folder(tmp_path)
    paint_masks(tmp_path, {0: (9, 9, 9), 1: (0, 200, 0), 9: (1, 2, 3)})
    (tmp_path / 'palette.json').write_text(
        '{"ground": [9, 9, 9], "VOID": [1, 2, 3], "cat": [0, 200, 0]}')
    place = flags.index('--classes')
    del flags[place:place + 2]
    build_folder.main(flags + ['--palette', str(tmp_path / 'palette.json'), '--num_shards', '2',
                               '--num_workers', '2'])
    info = descriptor.load(str(tmp_path / 'out'))
    assert info.class_names == ('ground', 'cat') and info.ignore_label == 9
    for _, labels in read_records(tmp_path / 'out', 'train'):
        np.testing.assert_array_equal(labels, np.resize(np.array([0, 1, 9]), [6, 8]))


def test_colours_of_the_palette_are_kept_with_the_data_set(tmp_path, capsys, monkeypatch):
    flags = write_folder(tmp_path)
    paint_masks(tmp_path, {0: (9, 9, 9), 1: (0, 200, 0), 9: (1, 2, 3)})
    (tmp_path / 'palette.csv').write_text('cat,0,200,0\nvoid,1,2,3\nground,9,9,9\n')
    flags += ['--num_shards', '2', '--palette', str(tmp_path / 'palette.csv')]
    # A build of the commit before: it kept no colours.
    with monkeypatch.context() as patched:
        patched.setattr(color_masks, 'colors_of', lambda *_: None)
        build_folder.main(flags)
    assert descriptor.load(str(tmp_path / 'out')).colors is None
    fingerprint = descriptor.fingerprint(str(tmp_path / 'out'))
    build_folder.main(flags)
    assert '2 of 2 shards were there already' in capsys.readouterr().out
    info = descriptor.load(str(tmp_path / 'out'))
    assert (info.class_names, info.colors) == (('ground', 'cat'), ((9, 9, 9), (0, 200, 0)))
    assert descriptor.fingerprint(str(tmp_path / 'out')) == fingerprint


def test_a_split_without_palette_keeps_the_colours_that_are_there(tmp_path):
    flags = write_folder(tmp_path)
    colored = ['--palette', str(tmp_path / 'palette.csv')]
    (tmp_path / 'palette.csv').write_text('ground,0,0,0\ncat,1,1,1\nvoid,9,9,9\n')
    build_folder.main(flags + colored)
    flags[flags.index('--split') + 1] = 'test'
    build_folder.main(flags)
    info = descriptor.load(str(tmp_path / 'out'))
    assert set(info.splits) == {'train', 'test'}
    assert info.colors == ((0, 0, 0), (1, 1, 1))


def test_palette_decides_with_the_files_whether_shards_are_kept(tmp_path, capsys):
    flags = write_folder(tmp_path)
    paint_masks(tmp_path, {0: (9, 9, 9), 1: (0, 200, 0), 9: (1, 2, 3)})
    flags += ['--palette', str(tmp_path / 'palette.csv')]
    (tmp_path / 'palette.csv').write_text('ground,9,9,9\ncat,0,200,0\nvoid,1,2,3\n')
    for _ in range(2):
        build_folder.main(flags)
    assert '2 of 2 shards were there already' in capsys.readouterr().out
    (tmp_path / 'palette.csv').write_text('cat,9,9,9\nground,0,200,0\nvoid,1,2,3\n')
    build_folder.main(flags)
    labels = read_records(tmp_path / 'out', 'train')[0][1]
    np.testing.assert_array_equal(labels, np.resize(np.array([1, 0, 9]), [6, 8]))


def test_unknown_mask_color_ends_the_build_with_the_file(tmp_path):
    flags = write_folder(tmp_path)
    paint_masks(tmp_path, {0: (0, 0, 0), 1: (128, 0, 0), 9: (7, 130, 9)})
    with pytest.raises(SystemExit) as error:
        build_folder.main(flags + ['--palette', 'voc'])
    message = str(error.value)
    assert 'a.png: colour (7, 130, 9) is not in the palette: 16 pixels, the first at row 0, ' in (
        message)
    assert not (tmp_path / 'out' / 'dataset.json').exists()


def test_palette_pngs_mean_indices_unless_a_palette_is_given(tmp_path):
    flags = write_folder(tmp_path, stems='a')
    mask = Image.fromarray(np.array([[0, 1], [1, 9]], np.uint8))
    # Index 0 is painted as VOC paints class 1 and the other way round.
    mask.putpalette([128, 0, 0, 0, 0, 0] + 7 * [0, 0, 0] + [224, 224, 192])
    mask.save(str(tmp_path / 'masks' / 'a.png'))
    Image.new('RGB', (2, 2)).save(str(tmp_path / 'images' / 'a.jpg'))
    build_folder.main(flags)
    np.testing.assert_array_equal(read_records(tmp_path / 'out', 'train')[0][1], [[0, 1], [1, 9]])
    build_folder.main(flags + ['--palette', 'voc'])
    np.testing.assert_array_equal(read_records(tmp_path / 'out', 'train')[0][1], [[1, 0], [0, 9]])


def write_different_images(directory, stems):
    """Gives each image a colour of its own: equal ones would be held out together."""
    for index, stem in enumerate(stems):
        Image.new('RGB', (8, 6), (index, 0, 0)).save(str(directory / 'images' / (stem + '.png')))
        (directory / 'images' / (stem + '.jpg')).unlink()


def test_validation_fraction_writes_both_splits_and_keeps_copies_together(tmp_path):
    stems = ['s%02d' % index for index in range(20)]
    flags = write_folder(tmp_path, stems=stems)
    write_different_images(tmp_path, stems)
    # Five images that are there twice, under two names.
    for index in range(5):
        shutil.copy(str(tmp_path / 'images' / ('s%02d.png' % index)),
                    str(tmp_path / 'images' / ('s%02d.png' % (index + 5))))
    place = flags.index('--split')
    del flags[place:place + 2]
    sides = []
    for seed in ('0', '1', '1'):
        build_folder.main(flags + ['--validation_fraction', '0.3', '--seed', seed,
                                   '--num_workers', '1'])
        train, validation = [{int(name[1:3]) for name in names_of(tmp_path / 'out', split)}
                             for split in ('train', 'validation')]
        assert len(train) + len(validation) == 20 and len(validation) in (5, 6)
        for index in range(5):
            assert (index in train) == (index + 5 in train)
        sides.append(validation)
    assert sides[0] != sides[1] == sides[2]


def test_nested_folders_keep_their_path_in_the_records(tmp_path):
    flags = write_folder(tmp_path)
    for folder, extension in (('images', '.jpg'), ('masks', '.png')):
        (tmp_path / folder / 'x' / 'y').mkdir(parents=True)
        for stem in 'ab':
            os.rename(str(tmp_path / folder / (stem + extension)),
                      str(tmp_path / folder / 'x' / 'y' / (stem + extension)))
    build_folder.main(flags)
    assert names_of(tmp_path / 'out', 'train') == ['x/y/a.jpg', 'x/y/b.jpg']


def test_list_file_and_suffixes_choose_the_pairs(tmp_path):
    flags = write_folder(tmp_path, stems='abc')
    for stem in 'abc':
        os.rename(str(tmp_path / 'masks' / (stem + '.png')),
                  str(tmp_path / 'masks' / (stem + '_gt.png')))
    with pytest.raises(SystemExit, match='3 images have a partner'):
        build_folder.main(flags)
    (tmp_path / 'list.txt').write_text('c\na\n')
    build_folder.main(flags + ['--mask_suffix', '_gt', '--list_file', str(tmp_path / 'list.txt')])
    assert names_of(tmp_path / 'out', 'train') == ['c.jpg', 'a.jpg']


def test_build_folder_skips_bad_files_only_when_asked(tmp_path):
    flags = write_folder(tmp_path, stems='abc')
    (tmp_path / 'images' / 'b.jpg').write_bytes(b'no image')
    with pytest.raises(SystemExit, match='b.jpg cannot be decoded'):
        build_folder.main(flags)
    build_folder.main(flags + ['--skip_bad'])
    assert names_of(tmp_path / 'out', 'train') == ['a.jpg', 'c.jpg']


@pytest.mark.parametrize('drop, add, words', [
    (['--split'], [], 'one of the arguments --split --validation_fraction'),
    ([], ['--validation_fraction', '0.5'], 'not allowed with argument --split'),
    (['--split'], ['--validation_fraction', '0'], '0 is not a number between'),
    ([], ['--seed', '3'], '--seed has no effect without'),
    (['--classes'], [], '--classes is needed'), (['--masks'], [], '--masks are needed'),
    (['--ignore_label'], ['--ignore_label', '256'], '--ignore_label 256: masks hold 0..255')])
def test_build_folder_refuses_impossible_flags(tmp_path, drop, add, words, capsys):
    flags = write_folder(tmp_path)
    for flag in drop:
        place = flags.index(flag)
        del flags[place:place + 2]
    with pytest.raises(SystemExit):
        build_folder.main(flags + add)
    assert words in capsys.readouterr().err


def test_build_shapes_writes_three_splits_of_the_asked_sizes(tmp_path):
    build_shapes.main(['--output_dir', str(tmp_path), '--num_train', '5', '--num_validation',
                       '2', '--num_test', '3', '--image_size', '48', '--seed', '1'])
    assert [count_records(tmp_path, split) for split in shapes.SPLITS] == [5, 2, 3]


@pytest.mark.parametrize('flags', [['--image_size', '8'], ['--seed', '-1']])
def test_build_shapes_rejects_unusable_flags(tmp_path, flags, capsys):
    with pytest.raises(SystemExit):
        build_shapes.main(['--output_dir', str(tmp_path)] + flags)
    assert flags[0] in capsys.readouterr().err


def test_real_voc_sample_builds_with_its_real_labels(tmp_path, capsys):
    root = shared('voc2012_sample', 'VOCdevkit', 'VOC2012')
    build_voc2012.main(['--voc_root', root, '--output_dir', str(tmp_path)])
    info = descriptor.load(str(tmp_path))
    assert sorted(info.splits) == ['test', 'validation']
    assert count_records(tmp_path, 'validation') == 8
    printed = capsys.readouterr().out
    assert 'train.txt is missing' in printed and '15 person            14.37 %' in printed


def test_real_camvid_needs_its_own_ignore_label(tmp_path):
    for folder, source in (('images', 'val'), ('masks', 'valannot')):
        source = shared('camvid', source)
        (tmp_path / folder).mkdir()
        for file_name in sorted(os.listdir(source))[:3]:
            shutil.copy(os.path.join(source, file_name), str(tmp_path / folder))
    (tmp_path / 'classes.txt').write_text('\n'.join('class_%d' % i for i in range(11)))
    flags = ['--images', str(tmp_path / 'images'), '--masks', str(tmp_path / 'masks'),
             '--classes', str(tmp_path / 'classes.txt'), '--split', 'validation',
             '--output_dir', str(tmp_path / 'out')]
    with pytest.raises(SystemExit, match='holds 11; .*void label'):
        build_folder.main(flags)
    build_folder.main(flags + ['--ignore_label', '11'])
    assert count_records(tmp_path / 'out', 'validation') == 3
