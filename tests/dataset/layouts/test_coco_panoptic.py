"""Panoptic PNGs of COCO become classes by the segments that their JSON lists."""
import json
import shutil

import numpy as np
import pytest

from dataset import build_folder, descriptor
from dataset.layouts import coco, coco_panoptic
from tests.helpers.example_files import encoded, labels_by_name, noise

# Ids red + 256 green + 65536 blue.
COLORS = {0: (0, 0, 0), 5: (5, 0, 0), 513: (1, 2, 0), 65540: (4, 0, 1)}
IDS = np.resize(np.array([0, 5, 513, 65540]), [6, 8])


def write(folder, ids=IDS, segments=((5, 7, 0), (513, 200, 0), (65540, 7, 1)), png=True):
    """An image, its PNG, and the JSON that COCO and CVAT write."""
    name = folder / 'annotations' / 'panoptic_val2017'
    name.mkdir(parents=True)
    (folder / 'val2017').mkdir()
    (folder / 'val2017' / 'a.jpg').write_bytes(encoded(noise(), 'JPEG'))
    if png:
        pixels = np.array([COLORS.get(number, (9, 9, 9)) for number in ids.ravel()], np.uint8)
        (name / 'a.png').write_bytes(encoded(pixels.reshape(6, 8, 3)))
    (folder / 'annotations' / 'panoptic_val2017.json').write_text(json.dumps({
        'info': {}, 'licenses': [],
        'images': [{'id': 9, 'file_name': 'a.jpg', 'height': 6, 'width': 8}],
        'annotations': [{'image_id': 9, 'file_name': 'a.png', 'segments_info': [
            {'id': number, 'category_id': category, 'iscrowd': crowd, 'bbox': [0, 0, 1, 1],
             'area': 1} for number, category, crowd in segments]}],
        'categories': [{'id': 200, 'name': 'rug', 'isthing': 0, 'supercategory': 'floor'},
                       {'id': 7, 'name': 'train', 'isthing': 1, 'supercategory': 'vehicle'}]}))


def build(tmp_path):
    build_folder.main([str(tmp_path / 'data'), '--output_dir', str(tmp_path / 'out')])
    return labels_by_name(str(tmp_path / 'out'), 'validation')


def test_segments_become_classes_and_crowds_and_0_void(tmp_path):
    write(tmp_path / 'data')
    [(name, labels)] = build(tmp_path).items()
    assert name == 'val2017/a.jpg'
    assert labels.tolist() == [[255, 0, 1, 255] * 2] * 6
    assert descriptor.load(str(tmp_path / 'out')).class_names == ('train', 'rug')
    assert coco.recognize(str(tmp_path / 'data')) is None
    assert 'panoptic' in coco_panoptic.recognize(str(tmp_path / 'data'))


def test_a_split_that_shows_the_first_class_alone_is_no_split_of_lost_objects(tmp_path):
    write(tmp_path / 'data', segments=((5, 7, 0), (513, 200, 1), (65540, 7, 1)))
    [labels] = build(tmp_path).values()
    assert np.unique(labels).tolist() == [0, 255]


def test_a_changed_png_is_noticed_and_a_copy_of_the_folder_changes_nothing(tmp_path, capsys):
    write(tmp_path / 'data')
    build(tmp_path)
    (tmp_path / 'data').rename(tmp_path / 'moved')
    write(tmp_path / 'data', ids=np.full([6, 8], 5))
    assert (list(build(tmp_path).values())[0] == 1).sum() == 0
    shutil.rmtree(str(tmp_path / 'data'))
    (tmp_path / 'moved').rename(tmp_path / 'data')
    assert (list(build(tmp_path).values())[0] == 1).sum() == 12
    (tmp_path / 'data').rename(tmp_path / 'elsewhere')
    capsys.readouterr()
    build_folder.main([str(tmp_path / 'elsewhere'), '--output_dir', str(tmp_path / 'out')])
    assert '1 of 1 shards were there already' in capsys.readouterr().out


@pytest.mark.parametrize('changes, words', [
    (dict(png=False), 'a.png is missing: unpack the PNGs there'),
    (dict(segments=[(5, 8, 0)]), 'a segment is of category 8, which the file does not list'),
    (dict(segments=[('5', 7, 0)]), 'no list "segments_info" with ids'),
    (dict(segments=[(5, 7, 0)]), 'a.png holds the segment ids 513, 65540, which its JSON')])
def test_what_does_not_fit_is_an_error(tmp_path, changes, words, capsys):
    write(tmp_path / 'data', **changes)
    with pytest.raises(SystemExit) as caught:
        build(tmp_path)
    assert words in str(caught.value) + capsys.readouterr().out
