"""Projects of Supervisely: figures are drawn on the pixels that its SDK draws them on."""
import base64
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from dataset import build_folder, check, descriptor
from tests.helpers.example_files import encoded, labels_by_name, noise


def figure(title, kind, exterior=(), interior=(), **more):
    """What Supervisely writes of an object."""
    return dict({'id': 1, 'classId': 2, 'classTitle': title, 'geometryType': kind, 'tags': [],
                 'description': '', 'labelerLogin': 'me',
                 'points': {'exterior': [list(point) for point in exterior],
                            'interior': [[list(point) for point in hole] for hole in interior]}},
                **more)


def bitmap(title, pixels, origin, data=None):
    """As the SDK stores masks: a PNG of a palette whose first colour is transparent."""
    image = Image.fromarray(np.array(pixels, np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255])
    png = io.BytesIO()
    image.save(png, 'PNG', transparency=0)
    data = base64.b64encode(zlib.compress(png.getvalue())).decode() if data is None else data
    return dict(figure(title, 'bitmap', bitmap={'data': data, 'origin': list(origin)}), points=None)


def write(tmp_path, objects, dataset='ds0', name='a.png', image=True, content=None):
    data = tmp_path / 'data'
    for folder in ('ann', 'img'):
        (data / dataset / folder).mkdir(parents=True, exist_ok=True)
    (data / 'meta.json').write_text(json.dumps({'classes': [
        {'title': 'zebra', 'shape': 'any', 'color': '#FF0000', 'id': 8},
        {'title': 'ape', 'shape': 'bitmap', 'color': '#00FF00', 'id': 9}], 'tags': []}))
    (data / dataset / 'ann' / (name + '.json')).write_text(json.dumps({
        'description': '', 'tags': [], 'size': {'height': 6, 'width': 8}, 'objects': objects}
        if content is None else content))
    if image:
        (data / dataset / 'img' / name).write_bytes(encoded(noise(seed=len(dataset + name))))


def build(tmp_path, *flags):
    build_folder.main([str(tmp_path / 'data'), '--output_dir', str(tmp_path / 'out')]
                      + list(flags))
    return labels_by_name(str(tmp_path / 'out'))


def test_figures_are_drawn_in_their_order(tmp_path, capsys):
    write(tmp_path, [
        figure('zebra', 'polygon', [(0, 0), (4, 0), (4, 4), (0, 4)],
               [[(2, 2), (3, 2), (3, 3), (2, 3)]]),
        bitmap('ape', [[1, 0], [1, 1]], (4, 3)), figure('ape', 'rectangle', [(7, 1), (6, 0)]),
        figure('zebra', 'line', [(5, 5), (7, 5)]), figure('ape', 'point', [(0, 5)])])
    [(name, labels)] = build(tmp_path, '--split', 'train').items()
    assert name == 'ds0/img/a.png'
    assert labels.tolist() == [[1, 1, 1, 1, 1, 0, 2, 2],
                               [1, 1, 1, 1, 1, 0, 2, 2],
                               [1, 1, 0, 0, 1, 0, 0, 0],
                               [1, 1, 0, 0, 2, 0, 0, 0],
                               [1, 1, 1, 1, 2, 2, 0, 0],
                               [2, 0, 0, 0, 0, 1, 1, 1]]
    assert descriptor.load(str(tmp_path / 'out')).class_names == ('background', 'zebra', 'ape')
    assert "Supervisely's project" in capsys.readouterr().out
    check.main([str(tmp_path / 'out')])
    assert 'zebra' in capsys.readouterr().out


def test_datasets_that_are_named_as_splits_are_these(tmp_path):
    write(tmp_path, [figure('zebra', 'rectangle', [(0, 0), (7, 5)])], 'train')
    write(tmp_path, [figure('ape', 'rectangle', [(0, 0), (7, 5)])], 'val')
    assert {name: labels.max() for name, labels in build(tmp_path).items()} == {
        'train/img/a.png': 1}
    [labels] = labels_by_name(str(tmp_path / 'out'), 'validation').values()
    assert (labels == 2).all()


@pytest.mark.parametrize('objects, changes, words', [
    ([], dict(image=False), 'is of the image'),
    ([figure('cow', 'point', [(0, 0)])], {}, "class 'cow', which meta.json lacks"),
    ([figure('ape', 'cuboid')], {}, "kind 'cuboid'; bitmap, line, point"),
    ([figure('ape', 'polygon', [(0, 0), (1, 1)])], {}, 'polygon of class \'ape\' with too few'),
    ([figure('ape', 'polygon', [(0, 0), (1, 1), ('2', 2)])], {}, 'without points [x, y]'),
    ([bitmap('ape', [[1]], (0, 0), data='no base64!')], {}, 'that is damaged'),
    ([bitmap('ape', [[1]], (0, 0), data=base64.b64encode(zlib.compress(b'no PNG')).decode())], {},
     'cannot be decoded'),
    ([bitmap('ape', [[1, 1]], (7, 0))], {}, 'x 7 to 9, y 0 to 1, outside of the image of 8x6'),
    ([], dict(content=[]), 'has no list "objects"'),
    ([], dict(content={'objects': []}), 'has no "size"')])
def test_what_cannot_be_drawn_is_an_error_with_its_file(tmp_path, objects, changes, words, capsys):
    write(tmp_path, objects, **changes)
    with pytest.raises(SystemExit) as caught:
        build(tmp_path, '--split', 'train')
    said = str(caught.value) + capsys.readouterr().out
    assert words in said and 'ds0/ann/a.png.json' in said


def test_annotations_that_cannot_be_drawn_can_be_left_out(tmp_path):
    write(tmp_path, [figure('ape', 'cuboid')])
    write(tmp_path, [figure('ape', 'point', [(0, 0)])], name='b.png')
    assert list(build(tmp_path, '--split', 'train', '--skip_bad')) == ['ds0/img/b.png']


def test_the_list_of_classes_has_to_be_there_and_whole(tmp_path):
    write(tmp_path, [])
    (tmp_path / 'data' / 'meta.json').write_text('{"classes": [{"name": "ape"}]}')
    with pytest.raises(SystemExit, match='meta.json has no "classes" with a title each'):
        build(tmp_path, '--split', 'train')
    (tmp_path / 'data' / 'meta.json').unlink()
    with pytest.raises(SystemExit, match='meta.json is missing, which lists the classes'):
        build(tmp_path, '--split', 'train', '--format', 'supervisely')
