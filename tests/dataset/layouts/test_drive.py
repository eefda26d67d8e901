"""DRIVE as it is unpacked, with tiny pictures."""
import numpy as np
import pytest
from PIL import Image

from dataset import build_folder, descriptor
from tests.helpers.example_files import labels_by_name

VESSELS = np.array([[0, 255, 255], [0, 0, 255]], np.uint8)
VIEW = np.array([[255, 255, 0], [255, 255, 255]], np.uint8)


def write(folder, labelled_test=True):
    for split, number, end in (('training', '21', 'training'), ('test', '01', 'test')):
        here = folder / split
        for name in ('images', 'mask', '1st_manual', '2nd_manual'):
            if split == 'training' or labelled_test or not name.endswith('manual'):
                (here / name).mkdir(parents=True)
        Image.new('RGB', (3, 2), 'red').save(str(here / 'images' / ('%s_%s.tif' % (number, end))))
        Image.fromarray(VIEW).save(str(here / 'mask' / ('%s_%s_mask.gif' % (number, end))))
        if (here / '1st_manual').is_dir():
            Image.fromarray(VESSELS).save(str(here / '1st_manual' / (number + '_manual1.gif')))
            Image.fromarray(255 - VESSELS).save(
                str(here / '2nd_manual' / (number + '_manual2.gif')))


def build(tmp_path, *flags):
    build_folder.main([str(tmp_path), '--output_dir', str(tmp_path / '..' / 'out')]
                      + list(flags))
    return descriptor.load(str(tmp_path / '..' / 'out'))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'data').mkdir()
    write(tmp_path / 'data' / 'DRIVE')
    return tmp_path / 'data'


def test_vessels_are_a_class_and_void_is_outside_the_field_of_view(folder, capsys):
    info = build(folder)
    assert info.class_names == ('background', 'vessel') and sorted(info.splits) == ['test', 'train']
    for split, name in (('train', 'training/21_training.tif'), ('test', 'test/01_test.tif')):
        assert {key: value.tolist() for key, value in labels_by_name(
            str(folder / '..' / 'out'), split).items()} == {name: [[0, 1, 255], [0, 0, 1]]}
    assert '--validation_fraction 0.2 takes one from train' in capsys.readouterr().out


def test_tiles_are_cut_from_labels_and_field_of_view_alike(folder):
    build(folder, '--tile', '2')
    found = labels_by_name(str(folder / '..' / 'out'))
    assert found['training/21_training-y00000-x00000.tif'].tolist() == [[0, 1], [0, 0]]
    assert found['training/21_training-y00000-x00002.tif'].tolist() == [[255], [1]]


def test_a_changed_field_of_view_builds_again(folder, capsys):
    build(folder)
    build(folder)
    assert '1 of 1 shards were there already' in capsys.readouterr().out
    Image.fromarray(np.full([2, 3], 255, np.uint8)).save(
        str(folder / 'DRIVE/training/mask/21_training_mask.gif'))
    build(folder)
    assert labels_by_name(str(folder / '..' / 'out'))['training/21_training.tif'].max() == 1


def test_test_images_without_labels_are_left_out(tmp_path, capsys):
    write(tmp_path / 'data', labelled_test=False)
    assert list(build(tmp_path / 'data').splits) == ['train']
    assert 'test has no 1st_manual: left out' in capsys.readouterr().out


def test_a_missing_or_grey_picture_is_named(folder):
    grey = VESSELS.copy()
    grey[0, 0] = 100
    Image.fromarray(grey).save(str(folder / 'DRIVE/training/1st_manual/21_manual1.gif'))
    with pytest.raises(SystemExit, match=r'21_manual1\.gif holds greys'):
        build(folder)
    (folder / 'DRIVE/test/mask/01_test_mask.gif').unlink()
    with pytest.raises(SystemExit, match=r'test/mask holds 0 files 01_\*\.gif, and one is needed'):
        build(folder)
