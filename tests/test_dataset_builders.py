"""The three builders as a user calls them, on generated files and on real samples."""
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from dataset import build_folder, build_shapes, build_voc2012, descriptor, voc
from runtime import tf

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
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
    assert 'python train.py --dataset_dir %s' % (tmp_path / 'out') in printed


def test_build_folder_counts_and_names_files_without_partner(tmp_path):
    flags = write_folder(tmp_path, stems='abcdefgh')
    for stem in 'abcdefg':
        (tmp_path / 'masks' / (stem + '.png')).unlink()
    (tmp_path / 'images' / 'h.jpg').unlink()
    with pytest.raises(SystemExit) as error:
        build_folder.main(flags)
    message = str(error.value)
    assert '7 images without mask: a, b, c, d, e, ...\n' in message
    assert '1 masks without image: h\n' in message
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


def test_build_shapes_depends_on_seed_split_and_index_only():
    image, labels = build_shapes.draw('train', 3, 64, 5)
    again, labels_again = build_shapes.draw('train', 3, 64, 5)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(labels, labels_again)
    for other in (('train', 3, 64, 6), ('test', 3, 64, 5), ('train', 4, 64, 5)):
        different = build_shapes.draw(*other)[0]
        assert different.shape != image.shape or (different != image).any()


def test_build_shapes_labels_are_in_range_with_void_between_classes():
    seen = set()
    for index in range(30):
        image, labels = build_shapes.draw('train', index, 96, 0)
        assert image.shape == labels.shape + (3,) and image.dtype == labels.dtype == np.uint8
        assert 70 <= min(labels.shape) and max(labels.shape) <= 96
        seen |= set(np.unique(labels))
        # Two classes never touch: between each pair of neighbours lies the void border.
        for first, second in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
            touching = (first != second) & (first != voc.IGNORE_LABEL)
            assert not (touching & (second != voc.IGNORE_LABEL)).any()
    assert seen == set(range(len(build_shapes.CLASS_NAMES))) | {voc.IGNORE_LABEL}


def test_build_shapes_writes_three_splits_of_the_asked_sizes(tmp_path):
    build_shapes.main(['--output_dir', str(tmp_path), '--num_train', '5', '--num_validation',
                       '2', '--num_test', '3', '--image_size', '48', '--seed', '1'])
    assert [count_records(tmp_path, split) for split in build_shapes.SPLITS] == [5, 2, 3]


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


@pytest.mark.parametrize('split, count', [('train', 120), ('val', 30)])
def test_real_camvid_pairs_match(split, count):
    pairs = build_folder.match(shared('camvid', split), shared('camvid', split + 'annot'))
    assert len(pairs) == count


def test_real_camvid_needs_its_own_ignore_label(tmp_path):
    for folder, source in (('images', 'val'), ('masks', 'valannot')):
        source = shared('camvid', source)
        (tmp_path / folder).mkdir()
        for file_name in sorted(os.listdir(source))[:3]:
            shutil.copy(os.path.join(source, file_name), str(tmp_path / folder))
    (tmp_path / 'classes.txt').write_text('\n'.join('class_%d' % i for i in range(11)))
    flags = ['--images', str(tmp_path / 'images'), '--masks', str(tmp_path / 'masks'),
             '--classes', str(tmp_path / 'classes.txt'), '--split', 'val',
             '--output_dir', str(tmp_path / 'out')]
    with pytest.raises(SystemExit, match='holds 11; .*void label'):
        build_folder.main(flags)
    build_folder.main(flags + ['--ignore_label', '11'])
    assert count_records(tmp_path / 'out', 'val') == 3
