"""Label Studio's JSON export."""
import copy
import json
import urllib.parse

import numpy as np
import pytest

from dataset import build_folder, descriptor
from tests.dataset.layouts.test_brush_rle import RECTANGLE
from tests.helpers.example_files import encoded, labels_by_name, noise


def region(kind, label, value, **others):
    """A result as the export has it, of an image of 8 x 6 (width x height)."""
    return dict({
        'original_width': 8, 'original_height': 6, 'image_rotation': 0,
        'value': dict(value, **{kind: [label]}), 'id': 'bYvK8', 'from_name': 'tag',
        'to_name': 'image', 'type': kind, 'origin': 'manual'}, **others)


def annotation(*results, **others):
    return dict({'id': 3, 'completed_by': 1, 'result': list(results), 'was_cancelled': False,
                 'ground_truth': False, 'created_at': '2024-05-01T10:00:00.000000Z',
                 'lead_time': 9.1}, **others)


def task(image, *annotations, number=1):
    return {'id': number, 'annotations': list(annotations), 'file_upload': image.split('/')[-1],
            'drafts': [], 'predictions': [], 'data': {'image': image}, 'meta': {}, 'project': 1}


def write(folder, *tasks, images=('a.png',)):
    folder.mkdir(exist_ok=True)
    (folder / 'project-1-at-2024-05-01-10-00-0a1b2c3d.json').write_text(json.dumps(tasks))
    for name in images:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(encoded(noise(seed=len(name))))


def build(tmp_path, *flags):
    build_folder.main([str(tmp_path / 'data'), '--output_dir', str(tmp_path / 'out')]
                      + list(flags or ('--split', 'train')))
    return (labels_by_name(str(tmp_path / 'out')),
            descriptor.load(str(tmp_path / 'out')).class_names)


BRUSH = region('brushlabels', 'cat', {'format': 'rle', 'rle': RECTANGLE})
# The upper right quarter; percents of 8 x 6.
POLYGON = region('polygonlabels', 'ape', {
    'points': [[50, 0], [100, 0], [100, 50], [50, 50]], 'closed': True})
UPLOAD = '/data/upload/1/0a1b2c3d-a.png'


def test_brushes_and_polygons_are_drawn_in_their_order(tmp_path, capsys):
    write(tmp_path / 'data', task(UPLOAD, annotation(BRUSH, POLYGON)))
    found, names = build(tmp_path)
    assert names == ('background', 'ape', 'cat')
    assert found['a.png'].tolist() == [[0, 0, 0, 0, 1, 1, 1, 1],
                                       [0, 0, 2, 2, 1, 1, 1, 1],
                                       [0, 0, 2, 2, 1, 1, 1, 1],
                                       [0, 0, 2, 2, 2, 2, 2, 0],
                                       [0, 0, 0, 0, 0, 0, 0, 0],
                                       [2, 0, 0, 0, 0, 0, 0, 0]]
    assert "Label Studio's JSON" in capsys.readouterr().out


def test_rectangles_turn_about_their_corner_and_ellipses_about_their_centre(tmp_path):
    write(tmp_path / 'data', task(UPLOAD, annotation(
        region('rectanglelabels', 'cat', {'x': 50, 'y': 0, 'width': 75, 'height': 2 / 6 * 100,
                                          'rotation': 90}),
        region('ellipselabels', 'ape', {'x': 81.25, 'y': 25, 'radiusX': 24, 'radiusY': 10,
                                        'rotation': 90}))))
    assert build(tmp_path)[0]['a.png'].tolist() == [[0, 0, 2, 2, 0, 0, 1, 0]] * 3 + [
        [0, 0, 2, 2, 0, 0, 0, 0]] * 3


def test_what_has_no_area_is_left_out_and_an_empty_annotation_is_background(tmp_path, capsys):
    write(tmp_path / 'data',
          task(UPLOAD, annotation(region('keypointlabels', 'eye', {'x': 1, 'y': 2, 'width': 1}),
                                  {'type': 'choices', 'value': {'choices': ['day']}}, POLYGON)),
          task('/data/upload/1/0a1b2c3d-bb.png', annotation()),
          task('/data/upload/1/0a1b2c3d-ccc.png'),
          images=('a.png', 'bb.png', 'ccc.png'))
    found, names = build(tmp_path)
    assert names == ('background', 'ape') and sorted(found) == ['a.png', 'bb.png']
    assert found['a.png'].any() and not found['bb.png'].any()
    printed = capsys.readouterr().out
    assert '1 x keypointlabels, which has no area, left out.' in printed
    assert '1 x task without annotation, left out.' in printed


def test_the_first_annotation_that_was_not_cancelled_counts(tmp_path, capsys):
    write(tmp_path / 'data', task(UPLOAD, annotation(BRUSH, was_cancelled=True),
                                  annotation(POLYGON), annotation(BRUSH)))
    assert build(tmp_path)[1] == ('background', 'ape')
    assert '1 x task with several annotations, of which the first' in capsys.readouterr().out


def test_labels_tag_with_a_brush_of_its_own_is_drawn_once(tmp_path):
    shape = region('brush', 'x', {'format': 'rle', 'rle': RECTANGLE})
    del shape['value']['brush']
    write(tmp_path / 'data', task(UPLOAD, annotation(
        shape, region('labels', 'cat', {'format': 'rle', 'rle': RECTANGLE}))))
    found, names = build(tmp_path)
    assert names == ('background', 'cat') and (found['a.png'] == 1).sum() == 16


@pytest.mark.parametrize('url, name', [
    ('/data/upload/1/0a1b2c3d-a.png', '0a1b2c3d-a.png'),
    ('/data/upload/1/0a1b2c3d-a.png', 'a.png'),
    ('/data/local-files/?d=photos%2Fday%201/a%20b.png', 'a b.png'),
    ('https://example.org/photos/a.png?size=8#x', 'a.png'),
    ('s3://bucket/photos/a.png', 'images/a.png')])
def test_images_are_found_by_name(tmp_path, url, name):
    write(tmp_path / 'data', task(url, annotation(POLYGON)), images=(name,))
    assert list(build(tmp_path)[0]) == [name]


def local(path):
    return '/data/local-files/?d=' + path


def test_of_two_files_of_one_name_each_task_has_that_of_its_folder(tmp_path):
    tasks = [task(local('photos/%s/a.png' % folder), annotation(shape), number=number)
             for number, (folder, shape) in enumerate((('vid1', POLYGON), ('vid2', BRUSH)))]
    write(tmp_path / 'data', *tasks, images=('vid1/a.png', 'vid2/a.png', 'a.png'))
    found, _ = build(tmp_path)
    assert sorted(found) == ['vid1/a.png', 'vid2/a.png']
    assert found['vid1/a.png'].max() == 1 and found['vid2/a.png'].max() == 2


@pytest.mark.parametrize('url', [local('vid1/a.png'), 's3://bucket/vid1/a.png'])
def test_an_image_of_another_folder_is_not_taken_for_one_that_is_missing(tmp_path, url):
    message = r'the image vid1/a\.png is missing: .*vid2/a\.png is of others'
    tasks = [task(url, annotation(POLYGON)), task(url.replace('vid1', 'vid2'))]
    write(tmp_path / 'data', *tasks, images=('vid2/a.png',))
    with pytest.raises(SystemExit, match=message):
        build(tmp_path)
    write(tmp_path / 'data', tasks[0], images=('vid1/b.png',))
    with pytest.raises(SystemExit, match=message):
        build(tmp_path)


def test_a_name_that_is_asked_for_in_two_folders_is_none_of_them_without_its_folder(tmp_path):
    tasks = [task('s3://bucket/%s/a.png' % name, annotation(POLYGON), number=number)
             for number, name in enumerate(('vid1', 'vid2'))]
    write(tmp_path / 'data', *tasks)
    with pytest.raises(SystemExit, match='(?s)image vid1/a.png is missing.*vid2/a.png is missing'):
        build(tmp_path)
    (tmp_path / 'data').rename(tmp_path / 'vid1')
    build_folder.main([str(tmp_path / 'vid1'), '--output_dir', str(tmp_path / 'out'), '--split',
                       'train', '--skip_bad'])
    assert labels_by_name(str(tmp_path / 'out'))['a.png'].max() == 1


def test_a_date_before_a_name_is_no_hash_of_an_upload(tmp_path):
    tasks = [task('s3://bucket/%s/20230101-1.png' % name, annotation(shape), number=number)
             for number, (name, shape) in enumerate((('vid1', POLYGON), ('vid2', BRUSH)))]
    write(tmp_path / 'data', *tasks, images=('vid1/20230101-1.png', 'vid2/20230101-1.png', '1.png'))
    found, _ = build(tmp_path)
    assert [found['vid%d/20230101-1.png' % number].max() for number in (1, 2)] == [1, 2]
    (tmp_path / 'data' / 'vid1' / '20230101-1.png').unlink()
    with pytest.raises(SystemExit, match='image vid1/20230101-1.png is missing'):
        build(tmp_path)


def test_an_image_is_taken_from_a_folder_of_another_name_where_only_it_can_be_meant(
        tmp_path, capsys):
    write(tmp_path / 'data', task(local('ds/a.png'), annotation(POLYGON)), images=('day 1/a.png',))
    assert list(build(tmp_path)[0]) == ['day 1/a.png']
    assert '1 x image of another folder than its task says, taken by its' in capsys.readouterr().out


@pytest.mark.parametrize('name, stored', [
    ('IMG (1).png', 'IMG_1.png'), ('Stra\u00dfe [a] b+c.png', 'Stra%C3%9Fe_a_bc.png')])
def test_uploads_are_found_by_the_names_that_they_had(tmp_path, name, stored):
    write(tmp_path / 'data', task('/data/upload/1/0a1b2c3d-' + stored, annotation(POLYGON)),
          images=('day/' + name,))
    assert list(build(tmp_path)[0]) == ['day/' + name]
    (tmp_path / 'data' / urllib.parse.unquote(stored)).write_bytes(encoded(noise()))
    with pytest.raises(SystemExit, match='is there several times'):
        build(tmp_path)


@pytest.mark.parametrize('flags', [(), ('--format', 'label-studio')])
def test_json_min_is_called_by_its_name(tmp_path, flags):
    write(tmp_path / 'data')
    (tmp_path / 'data' / 'min.json').write_text(json.dumps([{
        'image': UPLOAD, 'id': 1, 'tag': [dict(BRUSH['value'], original_width=8)], 'annotator': 1,
        'annotation_id': 1, 'created_at': '2024-05-01T10:00:00.000000Z', 'lead_time': 9.1}]))
    with pytest.raises(SystemExit, match=r'min\.json is JSON-MIN .* Export "JSON" instead'):
        build(tmp_path, '--split', 'train', *flags)


def changed(entry, **others):
    entry = copy.deepcopy(entry)
    entry['value'].update(others)
    return entry


@pytest.mark.parametrize('bad, message', [
    (task('/data/upload/1/0a1b2c3d-b.png', annotation(POLYGON)),
     r'task 1: the image 0a1b2c3d-b\.png is missing: put it beside the JSON'),
    (task(UPLOAD, annotation(dict(BRUSH, original_width=9))),
     r'region bYvK8 \(cat\) has an RLE of 192 values, and the image of 9x6 needs 4 a pixel'),
    (task(UPLOAD, annotation(changed(BRUSH, rle=RECTANGLE[:-8]))),
     r'0a1b2c3d\.json, image a\.png: object 1 \(cat\) has an RLE that ends after 104 of 192'),
    (task(UPLOAD, annotation(changed(BRUSH, rle='abc'))), 'holds what is no number'),
    (task(UPLOAD, annotation(changed(POLYGON, points=[[1, 2], [3, 4]]))),
     'is a polygon of 4 numbers'),
    (task(UPLOAD, annotation(changed(POLYGON, points=[[1, 2, 3]]))), 'cannot be read'),
    (task(UPLOAD, annotation(changed(POLYGON, polygonlabels=['a', 'b']))), 'several labels'),
    (task(UPLOAD, annotation(dict(POLYGON, image_rotation=90))), 'turned by 90 degrees'),
    (task(UPLOAD, annotation(BRUSH, dict(POLYGON, original_width=4))), 'of different sizes')])
def test_what_does_not_fit_is_named(tmp_path, bad, message):
    write(tmp_path / 'data', bad)
    with pytest.raises(SystemExit, match=message):
        build(tmp_path)


def test_files_that_do_not_say_their_image_are_refused(tmp_path):
    folder = tmp_path / 'data'
    folder.mkdir()
    np.save(str(folder / 'task-1-annotation-3-by-1-tag-cat-0.npy'), np.zeros([6, 8], np.uint8))
    with pytest.raises(SystemExit, match='do not say of which image they are: export "JSON"'):
        build(tmp_path)


def test_one_image_in_two_tasks_or_two_files_of_one_name_are_named(tmp_path):
    write(tmp_path / 'data', task(UPLOAD, annotation(POLYGON)),
          task(UPLOAD, annotation(POLYGON), number=2))
    with pytest.raises(SystemExit, match=r'task 2: a\.png, or an image that differs by the ext'):
        build(tmp_path)
    write(tmp_path / 'data', task(UPLOAD, annotation(POLYGON)),
          task('/data/upload/1/0a1b2c3d-a.bmp', annotation(POLYGON), number=3),
          images=('a.png', 'a.bmp'))
    with pytest.raises(SystemExit, match=r'task 3: a\.bmp, or an image that differs by the ext'):
        build(tmp_path)
    write(tmp_path / 'data', task(UPLOAD, annotation(POLYGON)), images=('a.png', 'more/a.png'))
    with pytest.raises(SystemExit, match=r'a\.png is there several times: .*; keep one'):
        build(tmp_path)
