"""dataset/sources/class_changes.py: classes that are joined, left out, ordered."""
import argparse

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from dataset import build_folder, descriptor
from dataset.sources import class_changes, contract
from tests.helpers.example_files import grid, labels_by_name, noise

NAMES = ('street', 'car', 'lane', 'tree')
COLORS = ((1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4))


def change(merges=None, drops=None, order=None):
    """Returns the `contract.Source` that comes of NAMES."""
    part = contract.Part('train', [])
    return class_changes.changed(
        contract.Source('x', NAMES, 255, [part], COLORS),
        merges and [class_changes.parse_merge(text) for text in merges], drops, order)


@pytest.mark.parametrize('merges, drops, order, names, targets', [
    (['road=street,lane'], None, None, ['road', 'car', 'tree'], [0, 1, 0, 2]),
    (['tree=lane'], None, None, ['street', 'car', 'tree'], [0, 1, 2, 2]),
    (['road=street, lane', 'other=car'], ['tree'], None, ['road', 'other'], [0, 1, 0, None]),
    (None, ['street', 'tree'], None, ['car', 'lane'], [None, 0, 1, None]),
    (['_ground_=street'], ['tree'], ['car', 'ground', 'sea', 'lane'],
     ['car', 'ground', 'sea', 'lane'], [1, 0, 3, None])])
def test_names_and_ids_follow_the_flags(merges, drops, order, names, targets):
    source = change(merges, drops, order)
    assert source.class_names == names and source.parts[0].reader.targets == targets
    # Of several the first; a data set of which one class has no colour has none.
    assert source.colors == (None if order else [
        COLORS[targets.index(label)] for label in range(len(names))])


def test_without_the_flags_nothing_changes():
    source = change()
    assert source.class_names == NAMES and source.parts[0].reader is None


@pytest.mark.parametrize('merges, drops, order, words', [
    (['road=street,way'], None, None, "--merge: there is no class 'way', but street, car, lane"),
    (None, ['way'], None, "--drop: there is no class 'way'"),
    (['a=car', 'b=car'], None, None, "--merge names the class 'car', which --merge names too"),
    (['a=car'], ['car'], None, "--drop names the class 'car', which --merge names too"),
    (None, ['car', 'car'], None, "--drop names the class 'car', which --drop names too; give it"),
    (['street=lane,car'], ['street'], None, "a class 'street', but --drop makes the one of that"),
    (['all=street,car,lane,tree'], None, None, "and --drop leave one class, 'all', of street"),
    (['a=street,car'], ['lane', 'tree'], None, "--merge and --drop leave one class, 'a', of"),
    (None, NAMES, None, '--drop leaves no class of street'),
    (None, None, ['street', 'car', 'lane'], "--classes lacks 'tree', .* or give --drop tree")])
def test_what_cannot_be_is_refused(merges, drops, order, words):
    with pytest.raises(UserError, match=words):
        change(merges, drops, order)


@pytest.mark.parametrize('text', ['road', 'road=', '=street', 'road=street,,lane'])
def test_merge_takes_a_name_and_others(text):
    with pytest.raises(argparse.ArgumentTypeError, match='is not NEW=NAME,NAME, as in road='):
        class_changes.parse_merge(text)


def write(directory):
    for name, pixels in (('images', noise()), ('masks', grid([0, 1, 2, 3, 255]))):
        (directory / name).mkdir()
        Image.fromarray(pixels).save(str(directory / name / 'a.png'))
    (directory / 'classes.txt').write_text('\n'.join(NAMES))
    return ['--images', str(directory / 'images'), '--masks', str(directory / 'masks'),
            '--classes', str(directory / 'classes.txt'), '--split', 'train', '--num_shards', '1']


def test_folders_of_masks_take_them_with_maps_and_palettes_too(tmp_path, capsys):
    flags = write(tmp_path) + ['--merge', 'road=street,lane', '--drop', 'tree']
    for number, more in enumerate(([], ['--map_ids', '0-3:0-3'])):
        out = str(tmp_path / ('out%d' % number))
        build_folder.main(flags + more + ['--output_dir', out])
        assert (labels_by_name(out)['a.png'] == grid([0, 1, 0, 255, 255])).all()
        assert descriptor.load(out).class_names == ('road', 'car')
    colors = np.array([COLORS[2], COLORS[1], COLORS[3]], np.uint8)
    Image.fromarray(np.resize(colors, [6, 8, 3])).save(str(tmp_path / 'masks' / 'a.png'))
    (tmp_path / 'palette').write_text('\n'.join(
        '%s,%d,%d,%d' % ((name,) + color) for name, color in zip(NAMES, COLORS)))
    build_folder.main(flags + ['--palette', str(tmp_path / 'palette'), '--output_dir', out])
    assert (labels_by_name(out)['a.png'] == np.resize([0, 1, 255], [6, 8])).all()
    assert descriptor.load(out).colors == (COLORS[0], COLORS[1])


def test_other_classes_build_again_and_the_same_do_not(tmp_path, capsys):
    flags = write(tmp_path) + ['--output_dir', str(tmp_path / 'out')]
    build_folder.main(flags + ['--drop', 'tree', '--drop', 'car'])
    assert (labels_by_name(str(tmp_path / 'out'))['a.png'] == grid([0, 255, 1, 255, 255])).all()
    build_folder.main(flags + ['--drop', 'car', '--drop', 'tree'])
    assert '1 of 1 shards were there already' in capsys.readouterr().out
    build_folder.main(flags + ['--drop', 'tree', '--merge', 'street=car'])
    assert (labels_by_name(str(tmp_path / 'out'))['a.png'] == grid([0, 0, 1, 255, 255])).all()


def test_a_mask_that_is_wrong_is_named_as_without_the_flags(tmp_path):
    flags = write(tmp_path) + ['--output_dir', str(tmp_path / 'out'), '--drop', 'car']
    Image.fromarray(grid([0, 9])).save(str(tmp_path / 'masks' / 'a.png'))
    with pytest.raises(SystemExit, match=r'a\.png holds 9; with 4 classes labels are 0\.\.3'):
        build_folder.main(flags)
