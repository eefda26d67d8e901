"""Folders as labelme2voc.py of labelme 4 and 5 writes them."""
import numpy as np
import pytest
from PIL import Image

from dataset import build_folder, voc
from tests.helpers.example_files import labels_by_name

LABELS = np.array([[0, 0, 1], [-1, 2, 2]], np.int32)
RIGHT = [[0, 0, 1], [255, 2, 2]]


def write_export(folder, png='SegmentationClass', npy='SegmentationClassNpy', names='abcde'):
    """labelme writes both kinds of masks, and the names of labels.txt but for __ignore__."""
    for name in ('JPEGImages', png, npy):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / 'class_names.txt').write_text('_background_\nzebra\nape')
    for number, name in enumerate(names):
        image = Image.new('RGB', (3, 2), (9 * number, 0, 0))
        image.save(str(folder / 'JPEGImages' / name) + '.jpg')
        np.save(str(folder / npy / name) + '.npy', LABELS)
        mask = Image.fromarray(LABELS.astype(np.uint8))
        mask.putpalette(voc.color_map().tobytes())
        mask.save(str(folder / png / name) + '.png')


def build(folder, *flags):
    build_folder.main([str(folder / 'data'), '--output_dir', str(folder / 'out')] + list(flags))


@pytest.mark.parametrize('png, npy', [('SegmentationClass', 'SegmentationClassNpy'),
                                      ('SegmentationClassPNG', 'SegmentationClass')])
def test_exports_of_labelme_5_and_4_build_with_one_command(tmp_path, capsys, png, npy):
    write_export(tmp_path / 'data', png, npy)
    build(tmp_path)
    printed = capsys.readouterr().out
    assert "labelme's VOC export" in printed and '0.2 of the 5 images are held out' in printed
    found = labels_by_name(str(tmp_path / 'out'))
    assert len(found) == 4
    for labels in found.values():
        assert labels.tolist() == RIGHT


def test_arrays_alone_are_read_and_a_damaged_one_is_named(tmp_path):
    write_export(tmp_path / 'data')
    for path in (tmp_path / 'data' / 'SegmentationClass').iterdir():
        path.unlink()
    build(tmp_path, '--split', 'train')
    assert labels_by_name(str(tmp_path / 'out'))['c.jpg'].tolist() == RIGHT
    build(tmp_path, '--split', 'train', '--tile', '2')
    assert labels_by_name(str(tmp_path / 'out'))['c-y00000-x00002.jpg'].tolist() == [[1], [2]]
    np.save(str(tmp_path / 'data' / 'SegmentationClassNpy' / 'c.npy'), LABELS * 0.5)
    with pytest.raises(SystemExit, match=r'c\.npy is no array of integers.*labelme2voc'):
        build(tmp_path, '--split', 'train')


def test_a_missing_list_of_classes_is_named(tmp_path):
    write_export(tmp_path / 'data')
    (tmp_path / 'data' / 'class_names.txt').unlink()
    for flags in ((), ('--format', 'labelme-voc')):
        with pytest.raises(SystemExit, match=r'class_names\.txt is missing, which names the'):
            build(tmp_path, *flags)


def test_an_export_without_masks_is_refused_with_the_way_out(tmp_path):
    write_export(tmp_path / 'data', names='')
    with pytest.raises(SystemExit, match=r'neither SegmentationClass/\*\.png.*export it again'):
        build(tmp_path)


def test_merge_and_drop_change_the_classes(tmp_path):
    write_export(tmp_path / 'data')
    build(tmp_path, '--split', 'train', '--merge', 'animal=zebra,ape')
    assert labels_by_name(str(tmp_path / 'out'))['a.jpg'].tolist() == [[0, 0, 1], [255, 1, 1]]
    build_folder.main([str(tmp_path / 'data'), '--output_dir', str(tmp_path / 'other'),
                       '--split', 'train', '--drop', 'zebra'])
    assert labels_by_name(str(tmp_path / 'other'))['a.jpg'].tolist() == [[0, 0, 255], [255, 1, 1]]
