"""dataset/sources/voc2012.py and voc_layouts.py: VOC's layout as others write it."""
import os
import re
import shlex

import numpy as np
import pytest
from PIL import Image

from dataset import build_folder, build_voc2012, voc
from dataset.sources import splits, voc_layouts
from tests.helpers.example_files import grid, labels_by_name, noise

LISTS = 'ImageSets/Segmentation'


def write(directory, ids='ab', lists=None, ending='.jpg', masks='SegmentationClass', mode='L'):
    """Writes JPEGImages, masks of 0, 1 and 2, and lists (dict from name to text)."""
    for folder in ('JPEGImages', masks) + ((LISTS,) if lists else ()):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(ids):
        Image.fromarray(noise(seed=seed)).save(str(directory / 'JPEGImages' / (name + ending)))
        mask = grid([0, 1, 2])
        Image.fromarray(voc.color_map()[mask] if mode == 'RGB' else mask).save(
            str(directory / masks / (name + '.png')))
    for name, text in (lists or {}).items():
        (directory / LISTS / (name + '.txt')).write_text(text)


def build(directory, *flags):
    """Builds; returns a dict from file name to labels of train."""
    out = str(directory / 'out')
    build_voc2012.main(['--voc_root', str(directory), '--output_dir', out, '--num_shards', '1',
                        *flags])
    return labels_by_name(out)


def refused(directory, *flags):
    with pytest.raises(SystemExit) as error:
        build(directory, *flags)
    return str(error.value)


@pytest.mark.parametrize('ending', ['.JPG', '.jpeg', '.png'])
def test_images_of_other_endings_are_found(tmp_path, ending):
    write(tmp_path, lists={'train': 'a\nb\n'}, ending=ending)
    labels = build(tmp_path)
    assert sorted(labels) == ['a' + ending, 'b' + ending]
    assert (labels['a' + ending] == grid([0, 1, 2])).all()


@pytest.mark.parametrize('text', [
    'a.jpg\nb.JPG\n', '/JPEGImages/a.jpg /SegmentationClassAug/a.png\n/JPEGImages/b.jpg x/b.png\n',
    'a 1\nb -1\n'])
def test_lines_with_extension_or_folder_name_ids(tmp_path, text):
    write(tmp_path, lists={'train': text})
    assert sorted(build(tmp_path)) == ['a.jpg', 'b.jpg']


def test_ids_that_hold_dots_or_folders_stay(tmp_path):
    (tmp_path / 'list').write_text('v1.2\nx/y\n2011_000003\n')
    assert splits.read_ids(str(tmp_path / 'list')) == ['v1.2', 'x/y', '2011_000003']


def test_the_augmented_masks_and_their_list_are_taken_by_a_flag(tmp_path, capsys):
    write(tmp_path, 'a', lists={'trainaug': 'a\nc\n', 'val': 'a\n'})
    write(tmp_path, 'ac', masks='SegmentationClassAug')
    # Where VOC has a mask, it is taken.
    Image.fromarray(grid([0, 1, 255])).save(str(tmp_path / 'SegmentationClass' / 'a.png'))
    message = refused(tmp_path, '--train_list', 'trainaug')
    assert 'SegmentationClass/c.png is missing' in message
    flag = re.search(r'give (--aug_masks \w+)', message).group(1).split()
    assert flag == ['--aug_masks', 'SegmentationClassAug']
    labels = build(tmp_path, '--train_list', 'trainaug', *flag)
    assert (labels['a.jpg'] == grid([0, 1, 255])).all()
    assert (labels['c.jpg'] == grid([0, 1, 2])).all()
    assert 'train: 1 masks of VOC, 1 of SegmentationClassAug.' in capsys.readouterr().out


def test_the_augmented_masks_contradict_sbd_and_must_be_there(tmp_path, capsys):
    with pytest.raises(SystemExit):
        build(tmp_path, '--aug_masks', 'x', '--sbd_root', 'y')
    assert '--aug_masks x stands for the masks of --sbd_root' in capsys.readouterr().err
    write(tmp_path, lists={'train': 'a\n'})
    assert '/x is no folder' in refused(tmp_path, '--aug_masks', 'x')


@pytest.mark.parametrize('given', ['.', 'VOCdevkit', 'VOCdevkit/VOC2012/JPEGImages'])
def test_a_root_that_lies_too_high_or_too_low_names_the_right_one(tmp_path, given):
    root = tmp_path / 'VOCdevkit' / 'VOC2012'
    write(root, lists={'train': 'a\n'})
    message = refused(tmp_path / given)
    assert re.search(r'Did you mean (\S+)\?', message).group(1) == str(root)


def test_links_without_content_are_explained(tmp_path):
    write(tmp_path, lists={'train': 'a\nb\n'})
    (tmp_path / 'JPEGImages' / 'a.jpg').unlink()
    os.symlink('gone.jpg', str(tmp_path / 'JPEGImages' / 'a.jpg'))
    assert 'a.jpg is a link to gone.jpg, which is not there. Fetch' in refused(tmp_path)


def follow(directory, message):
    """Runs the command of a message; returns labels of train and validation by file name."""
    command = re.search(r'dataset/build_folder.py (.*) --output_dir DIR', message).group(1)
    flags = shlex.split(command.replace('FILE', str(directory / 'names.txt')))
    out = str(directory / 'built')
    build_folder.main(flags + ['--output_dir', out])
    return dict(labels_by_name(out), **labels_by_name(out, 'validation'))


@pytest.mark.parametrize('masks', ['SegmentationClassPNG', 'SegmentationClass'])
def test_labelmes_layout_gets_a_command_that_works(tmp_path, masks):
    write(tmp_path, 'abc', masks=masks)
    # What labelme writes beside the masks.
    (tmp_path / 'SegmentationClass').mkdir(exist_ok=True)
    np.save(str(tmp_path / 'SegmentationClass' / 'a.npy'), grid([0, 1, 2]))
    (tmp_path / 'class_names.txt').write_text('_background_\ncat\ndog\n')
    labels = follow(tmp_path, refused(tmp_path))
    assert sorted(labels) == ['a.jpg', 'b.jpg', 'c.jpg']
    assert all((array == grid([0, 1, 2])).all() for array in labels.values())


def test_cvats_layout_gets_a_command_that_works(tmp_path):
    tmp_path = tmp_path / 'my voc'  # a shell needs it quoted
    tmp_path.mkdir()
    write(tmp_path, 'abcd', lists={'default': 'a\nb\nc\n'}, mode='RGB')
    (tmp_path / 'labelmap.txt').write_text(
        '# label:color_rgb:parts:actions\nbackground:0,0,0::\ndog:0,128,0::\ncat:128,0,0::\n')
    labels = follow(tmp_path, refused(tmp_path))
    assert sorted(labels) == ['a.jpg', 'b.jpg', 'c.jpg']
    assert all((array == grid([0, 2, 1])).all() for array in labels.values())


def test_a_layout_without_lists_and_names_asks_for_them(tmp_path):
    write(tmp_path)
    (tmp_path / 'names.txt').write_text('background\ncat\ndog\n')
    assert sorted(follow(tmp_path, refused(tmp_path))) == ['a.jpg', 'b.jpg']


def test_voc_with_a_list_of_its_own_classes_is_voc(tmp_path):
    write(tmp_path, lists={'train': 'a\n'})
    (tmp_path / 'labels.txt').write_text('\n'.join(voc.CLASS_NAMES))
    assert voc_layouts.advice_on_other_data(str(tmp_path)) is None
    (tmp_path / 'labels.txt').write_text('\n'.join(voc.CLASS_NAMES[1:]))
    assert '--classes' in voc_layouts.advice_on_other_data(str(tmp_path))
