"""Roboflow's semantic masks: one folder for images, masks and the list of classes of a split."""
import pytest

from dataset import build_folder, descriptor
from dataset.layouts import roboflow
from tests.helpers.example_files import encoded, grid, labels_by_name, noise

CLASSES = 'Pixel Value, Class\n0, background\n1, cat\n2, ape\n'


def write(folder, name='a_jpg.rf.0a1b', mask=(0, 1, 2), classes=CLASSES):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / '_classes.csv').write_text(classes)
    (folder / (name + '.jpg')).write_bytes(encoded(noise(seed=len(str(folder))), 'JPEG'))
    if mask is not None:
        (folder / (name + '_mask.png')).write_bytes(encoded(grid(mask)))


def build(tmp_path, *flags):
    build_folder.main([str(tmp_path / 'data'), '--output_dir', str(tmp_path / 'out')]
                      + list(flags))


def test_three_folders_become_three_splits(tmp_path, capsys):
    for split, mask in (('train', (0, 1, 2)), ('valid', (1, 2)), ('test', (2,))):
        write(tmp_path / 'data' / split, mask=mask)
    build(tmp_path)
    assert descriptor.load(str(tmp_path / 'out')).class_names == ('background', 'cat', 'ape')
    for split, folder, mask in (('train', 'train', (0, 1, 2)), ('validation', 'valid', (1, 2)),
                                ('test', 'test', (2,))):
        found = labels_by_name(str(tmp_path / 'out'), split)
        assert {name: labels.tolist() for name, labels in found.items()} == {
            folder + '/a_jpg.rf.0a1b.jpg': grid(mask).tolist()}
    assert "Roboflow's masks beside the images" in capsys.readouterr().out


def test_one_folder_has_no_split(tmp_path):
    write(tmp_path / 'data')
    build(tmp_path, '--split', 'train')
    assert list(labels_by_name(str(tmp_path / 'out'))) == ['a_jpg.rf.0a1b.jpg']


def test_a_list_of_classes_that_is_missing_is_named_and_its_split_not_dropped(tmp_path):
    for split in ('train', 'valid'):
        write(tmp_path / 'data' / split)
    for split in ('valid', 'train'):
        (tmp_path / 'data' / split / '_classes.csv').unlink()
        with pytest.raises(SystemExit, match=split + '/_classes.csv is missing, which names the'):
            build(tmp_path)
    (tmp_path / 'data' / 'train' / 'a.json').write_text('{}')
    assert roboflow.recognize(str(tmp_path / 'data')) is None
    (tmp_path / 'data' / '_classes.csv').write_text(CLASSES)
    build(tmp_path)
    assert [len(labels_by_name(str(tmp_path / 'out'), split))
            for split in ('train', 'validation')] == [1, 1]


def test_masks_beside_the_folders_of_splits_are_refused(tmp_path):
    write(tmp_path / 'data')
    write(tmp_path / 'data' / 'test')
    with pytest.raises(SystemExit, match='data holds masks beside .*data/test: move them into'):
        build(tmp_path)


@pytest.mark.parametrize('changes, words', [
    (dict(name='b', mask=None), '1 images without mask: b.jpg'),
    (dict(mask=(0, 3)), 'a_jpg.rf.0a1b_mask.png holds 3'),
    (dict(classes=CLASSES + '3, dog\n'), '_classes.csv lists other classes')])
def test_what_does_not_fit_is_an_error_with_its_file(tmp_path, changes, words, capsys):
    write(tmp_path / 'data' / 'train')
    write(tmp_path / 'data' / 'valid')
    write(tmp_path / 'data' / 'valid', **changes)
    with pytest.raises(SystemExit) as caught:
        build(tmp_path)
    assert words in str(caught.value) + capsys.readouterr().out
