"""CVAT's "Segmentation mask 1.1" as an export has it."""
import numpy as np
import pytest

from dataset import build_folder, descriptor
from tests.helpers.example_files import encoded, grid, labels_by_name, noise

_COLORS = np.array([[0, 0, 0], [250, 50, 83], [51, 221, 255]], np.uint8)
_IDS = grid([0, 1, 2])


def write(folder, *names, listed=None, with_images=True):
    for name in ('JPEGImages', 'SegmentationClass', 'SegmentationObject', 'ImageSets/Segmentation'):
        if with_images or name != 'JPEGImages':
            (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / 'labelmap.txt').write_text(
        '# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:250,50,83::\nlane:51,221,255::\n')
    for name in names:
        (folder / 'SegmentationClass' / (name + '.png')).write_bytes(encoded(_COLORS[_IDS]))
        (folder / 'SegmentationObject' / (name + '.png')).write_bytes(encoded(_COLORS[_IDS]))
        if with_images:
            (folder / 'JPEGImages' / (name + '.jpg')).write_bytes(
                encoded(noise(seed=len(name)), 'JPEG'))
    for list_name, text in (listed or {'default.txt': '\n'.join(names) + '\n'}).items():
        (folder / 'ImageSets' / 'Segmentation' / list_name).write_text(text)


def build(tmp_path, *flags):
    build_folder.main([str(tmp_path / 'data'), '--output_dir', str(tmp_path / 'out')] + list(flags))
    return (labels_by_name(str(tmp_path / 'out')), descriptor.load(str(tmp_path / 'out')))


def test_default_list_builds_with_the_colours_of_the_label_map(tmp_path, capsys):
    write(tmp_path / 'data', 'a', 'bb', listed={'default.txt': 'a\n"bb"\nccc\n'})
    found, info = build(tmp_path, '--split', 'train')
    assert {name: labels.tolist() for name, labels in found.items()} == {
        'a.jpg': _IDS.tolist(), 'bb.jpg': _IDS.tolist()}
    assert info.class_names == ('background', 'car', 'lane')
    assert info.colors == tuple(map(tuple, _COLORS.tolist()))
    printed = capsys.readouterr().out
    assert "CVAT's segmentation masks" in printed
    assert '1 of 3 images have no mask and are left out' in printed


def test_lists_named_for_splits_are_splits(tmp_path):
    write(tmp_path / 'data', 'a', 'bb', listed={'train.txt': 'a\n', 'val.txt': 'bb\n'})
    found, info = build(tmp_path)
    assert list(found) == ['a.jpg'] and sorted(info.splits) == ['train', 'validation']


def test_an_image_of_two_lists_of_no_split_is_there_once(tmp_path):
    write(tmp_path / 'data', 'a', 'bb', listed={'default.txt': 'a\n', 'more.txt': 'a\nbb\n'})
    found, info = build(tmp_path, '--split', 'train')
    assert sorted(found) == ['a.jpg', 'bb.jpg'] and info.splits['train']['num_examples'] == 2


def test_an_image_of_several_lists_is_of_the_first_that_is_named_for_a_split(tmp_path):
    write(tmp_path / 'data', 'a', 'bb', listed={
        'default.txt': 'a\nbb\n', 'train.txt': 'a\n', 'trainval.txt': 'a\nbb\n',
        'val.txt': 'a\nbb\n'})
    build(tmp_path)
    assert [list(labels_by_name(str(tmp_path / 'out'), split))
            for split in ('train', 'validation')] == [['a.jpg'], ['bb.jpg']]


@pytest.mark.parametrize('listed', ['default.txt', 'train.txt'])
def test_an_export_without_its_label_map_says_what_is_missing(tmp_path, listed):
    write(tmp_path / 'data', 'a', listed={listed: 'a\n'})
    (tmp_path / 'data' / 'labelmap.txt').unlink()
    with pytest.raises(SystemExit, match=r'a\.png is coloured, .* put its labelmap\.txt into'):
        build(tmp_path)
    with pytest.raises(SystemExit, match=r'labelmap\.txt is missing, which says the colours'):
        build(tmp_path, '--format', 'cvat-masks')


def test_a_colour_that_the_label_map_lacks_is_a_line_there(tmp_path):
    write(tmp_path / 'data', 'a')
    (tmp_path / 'data' / 'labelmap.txt').write_text('background:0,0,0::\ncar:250,50,83::\n')
    with pytest.raises(SystemExit, match='labelmap.txt lists the classes: add those that it lacks'
                                         '.*\nFlags about masks go with --images'):
        build(tmp_path, '--split', 'train')


def test_an_export_without_images_says_how_to_get_them(tmp_path):
    write(tmp_path / 'data', 'a', with_images=False)
    with pytest.raises(SystemExit, match='no JPEGImages. Export with "Save images"'):
        build(tmp_path)
    write(tmp_path / 'data', 'a', 'bb')
    (tmp_path / 'data' / 'JPEGImages' / 'bb.jpg').unlink()
    with pytest.raises(SystemExit, match=r'SegmentationClass/bb\.png has 0 images in'):
        build(tmp_path, '--split', 'train')


def test_a_colour_that_the_label_map_lacks_is_named(tmp_path):
    write(tmp_path / 'data', 'a')
    path = tmp_path / 'data' / 'labelmap.txt'
    path.write_text(path.read_text().replace('lane:51,221,255::\n', ''))
    with pytest.raises(SystemExit, match=r'a\.png: colour \(51, 221, 255\) is not in the palette'):
        build(tmp_path, '--split', 'train')
