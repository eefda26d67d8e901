"""Folders of JSON files as labelme writes them."""
import base64
import json

import numpy as np
import pytest
from PIL import Image

from dataset import build_folder, descriptor
from tests.helpers.example_files import encoded, labels_by_name, noise, with_orientation


def rectangle(label, left, top, right, bottom, group_id=None):
    return {'label': label, 'points': [[left, top], [right, bottom]], 'group_id': group_id,
            'description': '', 'shape_type': 'rectangle', 'flags': {}, 'mask': None}


def write_json(path, shapes, image='a.png', data=None, size=(6, 8)):
    """What labelme 6 writes, keys in its order; `size` (height, width) may be None."""
    height, width = size or (None, None)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({
        'version': '6.3.1', 'flags': {}, 'shapes': shapes, 'imagePath': image,
        'imageData': data and base64.b64encode(data).decode(), 'imageHeight': height,
        'imageWidth': width}, ensure_ascii=False, indent=2), encoding='utf-8')


def write_image(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(noise(seed=seed)))


def build(tmp_path, *flags):
    build_folder.main([str(tmp_path / 'data'), '--output_dir', str(tmp_path / 'out')]
                      + list(flags))
    return (labels_by_name(str(tmp_path / 'out')),
            descriptor.load(str(tmp_path / 'out')).class_names)


SHAPES = [rectangle('zebra', 0, 0, 3, 3, 1), rectangle('ape', 2, 2, 7, 5, 1),
          rectangle('__ignore__', 7, 0, 7, 1), rectangle('_background_', 5, 5, 7, 5)]
ZEBRA_2_APE_1 = [[2, 2, 2, 2, 0, 0, 0, 255],
                 [2, 2, 2, 2, 0, 0, 0, 255],
                 [2, 2, 1, 1, 1, 1, 1, 1],
                 [2, 2, 1, 1, 1, 1, 1, 1],
                 [0, 0, 1, 1, 1, 1, 1, 1],
                 [0, 0, 1, 1, 1, 0, 0, 0]]


def test_shapes_become_classes_in_their_order_and_the_rest_background(tmp_path, capsys):
    write_json(tmp_path / 'data' / 'a.json', SHAPES)
    write_image(tmp_path / 'data' / 'a.png')
    write_image(tmp_path / 'data' / 'b.png')
    found, names = build(tmp_path, '--split', 'train')
    assert names == ('background', 'ape', 'zebra')
    assert {name: labels.tolist() for name, labels in found.items()} == {'a.png': ZEBRA_2_APE_1}
    printed = capsys.readouterr().out
    assert "labelme's JSON" in printed and '1 images without JSON are left out, as' in printed


def test_labels_txt_gives_the_order_with_and_without_its_first_lines(tmp_path):
    write_json(tmp_path / 'data' / 'a.json', SHAPES)
    write_image(tmp_path / 'data' / 'a.png')
    (tmp_path / 'data' / 'labels.txt').write_text('__ignore__\n_background_\nzebra\nyak\nape\n')
    found, names = build(tmp_path, '--split', 'train')
    assert names == ('_background_', 'zebra', 'yak', 'ape')
    assert found['a.png'].tolist() == np.array([0, 3, 1] + 252 * [0] + [255])[np.array(
        ZEBRA_2_APE_1)].tolist()
    (tmp_path / 'data' / 'labels.txt').write_text('zebra\n')
    with pytest.raises(SystemExit, match=r'labels\.txt lacks labels .* ape\. Add them, or move'):
        build(tmp_path, '--split', 'train')


def test_classes_gives_the_order_too(tmp_path):
    write_json(tmp_path / 'data' / 'a.json', SHAPES)
    write_image(tmp_path / 'data' / 'a.png')
    (tmp_path / 'classes.txt').write_text('_background_\nzebra\nape\n')
    found, names = build(tmp_path, '--split', 'train', '--classes', str(tmp_path / 'classes.txt'))
    assert names == ('_background_', 'zebra', 'ape')
    assert found['a.png'][0].tolist() == [1, 1, 1, 1, 0, 0, 0, 255]
    assert found['a.png'][2].tolist() == [1, 1, 2, 2, 2, 2, 2, 2]


def test_images_lie_beside_elsewhere_or_inside(tmp_path):
    shapes = [rectangle('cat', 0, 0, 1, 1)]
    write_json(tmp_path / 'data' / 'labels' / 'a.json', shapes, '..\\photos\\a.png')
    write_image(tmp_path / 'data' / 'photos' / 'a.png', 1)
    write_json(tmp_path / 'data' / 'labels' / 'b.json', shapes, 'D:\\photos\\b.png')
    write_image(tmp_path / 'data' / 'labels' / 'b.png', 2)
    write_json(tmp_path / 'data' / 'labels' / 'c.json', shapes, 'x.png', encoded(noise(seed=3)))
    # labelme 2 wrote no size.
    write_json(tmp_path / 'data' / 'labels' / 'd.json', shapes, '../../d.png', size=None)
    write_image(tmp_path / 'd.png', 4)
    found, _ = build(tmp_path, '--split', 'train')
    assert sorted(found) == ['d.png', 'labels/b.png', 'labels/c.png', 'photos/a.png']
    assert all(labels.shape == (6, 8) and labels.sum() == 4 for labels in found.values())


def test_folders_named_for_splits_are_splits(tmp_path):
    for number, split in enumerate(('train', 'val', 'test')):
        folder = tmp_path / 'data' / split
        write_json(folder / 'a.json', [rectangle('cat', 0, 0, number, 0)])
        write_image(folder / 'a.png', number)
    build(tmp_path)
    sums = [labels_by_name(str(tmp_path / 'out'), split)[folder + '/a.png'].sum()
            for folder, split in (('train', 'train'), ('val', 'validation'), ('test', 'test'))]
    assert sums == [1, 2, 3]
    with pytest.raises(SystemExit, match=r'splits of its own \(test, train, validation\): leave '
                                         r'out --split train'):
        build(tmp_path, '--split', 'train')


def test_photographs_are_turned_as_labelme_shows_them_and_no_note_doubts_it(tmp_path, capsys):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'a.jpg').write_bytes(with_orientation(noise(8, 6), 'JPEG', 6))
    write_json(tmp_path / 'data' / 'a.json', [rectangle('cat', 7, 0, 7, 5)], 'a.jpg')
    found, _ = build(tmp_path, '--split', 'train')
    assert found['a.jpg'].tolist() == 6 * [[0, 0, 0, 0, 0, 0, 0, 1]]
    assert 'orientation' not in capsys.readouterr().out


def test_wrong_files_are_named_together_or_left_out(tmp_path, capsys):
    write_json(tmp_path / 'data' / 'a.json', SHAPES)
    write_image(tmp_path / 'data' / 'a.png')
    write_json(tmp_path / 'data' / 'b.json', SHAPES, 'gone.png')
    write_json(tmp_path / 'data' / 'c.json', [dict(SHAPES[0], points=[[1, 1]])])
    with pytest.raises(SystemExit) as error:
        build(tmp_path, '--split', 'train')
    message = str(error.value)
    assert message.startswith('2 of the JSON files of labelme cannot be used:')
    assert 'b.json is of the image gone.png, which is neither there nor in the file' in message
    assert 'c.json shape 1 (zebra) is a rectangle of 1 points, not 2' in message
    found, _ = build(tmp_path, '--split', 'train', '--skip_bad')
    assert list(found) == ['a.png'] and 'They are left out' in capsys.readouterr().out


def test_a_picture_of_another_size_and_two_files_of_one_image_are_refused(tmp_path):
    write_json(tmp_path / 'data' / 'a.json', SHAPES, size=(3, 4))
    write_image(tmp_path / 'data' / 'a.png')
    with pytest.raises(SystemExit, match=r'8x6 but its annotation .*a\.json is 4x3'):
        build(tmp_path, '--split', 'train')
    write_json(tmp_path / 'data' / 'b.json', SHAPES)
    with pytest.raises(SystemExit, match=r'a\.json and .*b\.json annotate the same image'):
        build(tmp_path, '--split', 'train')


def test_tiles_are_cut_from_what_is_drawn_and_pages_are_refused(tmp_path):
    write_json(tmp_path / 'data' / 'a.json', SHAPES)
    write_image(tmp_path / 'data' / 'a.png')
    found, _ = build(tmp_path, '--split', 'train', '--tile', '5')
    whole = np.array(ZEBRA_2_APE_1)
    assert {name: labels.tolist() for name, labels in found.items()} == {
        'a-y%05d-x%05d.png' % (top, left): whole[top:top + 5, left:left + 5].tolist()
        for top in (0, 5) for left in (0, 5)}
    with pytest.raises(SystemExit, match='--pages takes a mask for each page'):
        build(tmp_path, '--split', 'train', '--pages')


def test_tiles_of_a_split_are_of_one_side_and_of_their_own_masks(tmp_path):
    for seed, name in enumerate('abcde'):
        write_json(tmp_path / 'data' / (name + '.json'), [rectangle('cat', 0, 0, seed, 0)],
                   name + '.png')
        write_image(tmp_path / 'data' / (name + '.png'), seed)
    found = dict(build(tmp_path, '--tile', '6')[0])
    held = labels_by_name(str(tmp_path / 'out'), 'validation')
    assert len(found) == 8 and len(held) == 2 and len({name[0] for name in held}) == 1
    found.update(held)
    assert [found[name + '-y00000-x00000.png'].sum() for name in 'abcde'] == [1, 2, 3, 4, 5]


def test_a_changed_shape_builds_again_and_the_same_does_not(tmp_path, capsys):
    write_json(tmp_path / 'data' / 'a.json', SHAPES)
    Image.new('RGB', (8, 6)).save(str(tmp_path / 'data' / 'a.png'))
    build(tmp_path, '--split', 'train')
    build(tmp_path, '--split', 'train')
    assert '1 of 1 shards were there already' in capsys.readouterr().out
    write_json(tmp_path / 'data' / 'a.json', SHAPES[:2])
    assert build(tmp_path, '--split', 'train')[0]['a.png'].max() == 2
