"""Exports of COCO's JSON as Roboflow, CVAT, Label Studio and COCO itself write them."""
import collections
import json
import re

import pytest

from dataset import build_folder, check, descriptor
from dataset.layouts import coco
from tests.helpers.example_files import encoded, labels_by_name, noise

Args = collections.namedtuple('Args', ['skip_bad'])


def box(left, top, right, bottom):
    return [[left, top, right, top, right, bottom, left, bottom]]


def annotation(number, image, category, segmentation, **more):
    return dict({'id': number, 'image_id': image, 'category_id': category, 'bbox': [1, 1, 3, 2],
                 'area': 6, 'segmentation': segmentation, 'iscrowd': 0}, **more)


def content(names, annotations, categories=((3, 'cat', 'animal'), (90, 'ape', 'animal'))):
    """What COCO's files hold, of images of 6x8 whose ids count from 1."""
    return {'info': {'year': '2024', 'version': '1'}, 'licenses': [],
            'categories': [{'id': number, 'name': name, 'supercategory': above}
                           for number, name, above in categories],
            'images': [{'id': place, 'file_name': name, 'height': 6, 'width': 8, 'license': 1,
                        'date_captured': '2024-01-01'} for place, name in enumerate(names, 1)],
            'annotations': annotations}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding='utf-8')


def write_images(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        (folder / name).write_bytes(encoded(noise(seed=seed + len(str(folder)))))


def build(tmp_path, *flags):
    build_folder.main([str(tmp_path / 'data'), '--output_dir', str(tmp_path / 'out')]
                      + list(flags))
    return descriptor.load(str(tmp_path / 'out')).class_names


def found(tmp_path, split='train'):
    return {name: labels.tolist() for name, labels
            in labels_by_name(str(tmp_path / 'out'), split).items()}


NOTHING = [[0] * 8] * 6
APE_ON_CAT = [[0, 0, 0, 0, 0, 0, 0, 0],
              [0, 1, 1, 1, 0, 0, 0, 0],
              [0, 1, 2, 2, 2, 0, 0, 0],
              [0, 0, 2, 2, 2, 0, 0, 255],
              [0, 0, 0, 0, 0, 0, 0, 255],
              [0, 0, 0, 0, 0, 0, 0, 255]]
CAT, APE = box(1, 1, 4, 3), box(2, 2, 5, 4)
# Down the columns of 6: 45 without, the last three with; it lies below, though first in the file.
CROWD = {'size': [6, 8], 'counts': [8, 1, 36, 3]}


def test_splits_of_coco_gaps_crowds_and_objects_in_the_order_of_the_file(tmp_path, capsys):
    data = tmp_path / 'data'
    write(data / 'annotations' / 'instances_train2017.json', content(['a.png', 'b.png'], [
        annotation(1, 1, 3, CAT), annotation(2, 1, 90, APE),
        annotation(3, 1, 3, CROWD, iscrowd=1)]))
    write(data / 'annotations' / 'instances_val2017.json', content(['c.png'], [
        annotation(1, 1, 90, APE), annotation(2, 1, 3, CAT)]))
    write(data / 'annotations' / 'captions_val2017.json', {
        'images': [], 'licenses': [], 'annotations': [{'id': 1, 'caption': 'a cat'}]})
    write(data / 'annotations' / 'stuff_val2017.json', content(['c.png'], [
        annotation(1, 1, 92, APE)], [(92, 'rug', 'floor')]))
    write_images(data / 'images' / 'train2017', 'a.png', 'b.png')
    write_images(data / 'images' / 'val2017', 'c.png')
    assert build(tmp_path) == ('background', 'cat', 'ape')
    assert found(tmp_path) == {'images/train2017/a.png': APE_ON_CAT,
                               'images/train2017/b.png': NOTHING}
    [labels] = found(tmp_path, 'validation').values()
    assert labels[2][:6] == [0, 1, 1, 1, 2, 0]
    printed = capsys.readouterr().out
    assert "COCO's JSON" in printed and '1 x crowd: void, without class.' in printed
    assert '1 x image without annotation: all background' in printed and 'no JSON' not in printed
    check.main([str(tmp_path / 'out')])
    assert 'cat' in capsys.readouterr().out


def test_stuff_alone_is_read_as_objects_are(tmp_path):
    write(tmp_path / 'data' / 'stuff_val2017.json', content(['c.png'], [
        annotation(1, 1, 92, APE)], [(92, 'rug', 'floor'), (183, 'other', 'other')]))
    write_images(tmp_path / 'data', 'c.png')
    assert build(tmp_path) == ('background', 'rug', 'other')
    assert found(tmp_path, 'validation')['c.png'][2] == [0, 0, 1, 1, 1, 0, 0, 0]


def test_background_and_ignore_among_the_categories_are_these(tmp_path):
    write(tmp_path / 'data' / 'train.json', content(['a.png'], [
        annotation(1, 1, 1, box(0, 0, 8, 6)), annotation(2, 1, 0, box(0, 0, 1, 6)),
        annotation(3, 1, 2, box(7, 0, 8, 6))],
        [(0, '_background_', ''), (1, 'cat', ''), (2, '__ignore__', '')]))
    write_images(tmp_path / 'data', 'a.png')
    assert build(tmp_path) == ('background', 'cat')
    assert found(tmp_path)['a.png'] == [[0, 1, 1, 1, 1, 1, 1, 255]] * 6


def test_more_classes_than_labels_can_tell_are_refused(tmp_path):
    write(tmp_path / 'data' / 'train.json', content(['a.png'], [], [
        (number, 'class %d' % number, '') for number in range(300)]))
    write_images(tmp_path / 'data', 'a.png')
    with pytest.raises(SystemExit, match='30[01] classes'):
        build(tmp_path)


def test_roboflow_has_a_file_in_each_split_and_a_heading_among_the_categories(tmp_path):
    categories = ((0, 'animals', 'none'), (1, 'cat', 'animals'), (2, 'ape', 'animals'))
    for split, name in (('train', 'a.png'), ('valid', 'b.png'), ('test', 'c.png')):
        write(tmp_path / 'data' / split / '_annotations.coco.json', content(
            [name], [annotation(0, 1, 1, CAT), annotation(1, 1, 2, APE)], categories))
        write_images(tmp_path / 'data' / split, name)
    assert build(tmp_path) == ('background', 'cat', 'ape')
    for split, name in (('train', 'train/a.png'), ('validation', 'valid/b.png'),
                        ('test', 'test/c.png')):
        assert found(tmp_path, split)[name][2] == APE_ON_CAT[2]


def test_brush_masks_of_cvat_are_objects_though_it_calls_them_crowds(tmp_path):
    mask = {'size': [6, 8], 'counts': [7, 2, 39]}
    write(tmp_path / 'data' / 'annotations' / 'instances_default.json', content(['a.png'], [
        annotation(1, 1, 3, mask, iscrowd=1, attributes={'occluded': False}),
        annotation(2, 1, 3, CROWD, iscrowd=1, attributes={'is_crowd': True})]))
    write_images(tmp_path / 'data' / 'images' / 'default', 'a.png')
    build(tmp_path, '--split', 'train')
    [labels] = found(tmp_path).values()
    assert [row[1] for row in labels] == [0, 1, 1, 0, 0, 0] and labels[5][7] == 255


def test_label_studio_has_one_file_without_splits_and_paths_of_its_own(tmp_path, capsys):
    write(tmp_path / 'data' / 'result.json', content(
        ['images\\a.png', '../../data/media/upload/1/b.png'],
        [annotation(0, 1, 3, CAT), annotation(1, 2, 3, CAT)]))
    write_images(tmp_path / 'data' / 'images', 'a.png', 'b.png')
    build(tmp_path, '--validation_fraction', '0.5')
    both = dict(found(tmp_path), **found(tmp_path, 'validation'))
    assert sorted(both) == ['images/a.png', 'images/b.png']
    assert both['images/a.png'][1] == [0, 1, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize('name, split', [('result.json', None), ('my_test_run.json', 'test')])
def test_the_name_of_the_folder_itself_is_no_split(tmp_path, name, split):
    data = tmp_path / 'valid'
    write(data / name, content(['a.png', 'b.png'], [annotation(1, 1, 3, CAT)]))
    write_images(data, 'a.png', 'b.png')
    [part] = coco.read(str(data), Args(skip_bad=False)).parts
    assert (part[0], len(part[1])) == (split, 2)
    build_folder.main([str(data), '--output_dir', str(tmp_path / 'out'), '--split', 'train'])
    assert sorted(found(tmp_path)) == ['a.png', 'b.png']


def test_of_two_images_of_one_name_the_split_decides(tmp_path):
    for split in ('train', 'val'):
        write(tmp_path / 'data' / (split + '.json'), content(['a.png'], [
            annotation(1, 1, 3, CAT if split == 'train' else APE)]))
        write_images(tmp_path / 'data' / split, 'a.png')
    build(tmp_path)
    assert list(found(tmp_path)) == ['train/a.png']
    assert list(found(tmp_path, 'validation')) == ['val/a.png']


@pytest.mark.parametrize('name, there', [
    ('a.png', 'valid'), ('cam1/a.png', 'train/cam2'), ('./cam1/a.png', 'cam2')])
def test_an_image_of_another_split_or_folder_is_not_taken_for_one_that_is_missing(
        tmp_path, name, there):
    write(tmp_path / 'data' / 'train' / '_annotations.coco.json', content([name], []))
    write_images(tmp_path / 'data' / there, 'a.png')
    with pytest.raises(SystemExit, match='image %s is not under' % re.escape(name)):
        build(tmp_path)


def test_a_name_that_a_mac_wrote_decomposed_is_found(tmp_path):
    write(tmp_path / 'data' / 'train.json', content(
        ['u\u0308.png'], [annotation(1, 1, 3, CAT)]))
    write_images(tmp_path / 'data', '\u00fc.png')
    build(tmp_path)
    assert list(found(tmp_path)) == ['\u00fc.png']


def test_json_of_label_studio_itself_is_not_taken_for_cocos(tmp_path):
    write(tmp_path / 'a.json', [{'id': 1, 'annotations': [{'result': []}]}])
    write(tmp_path / 'b.json', {'id': 1, 'annotations': [{'result': []}]})
    assert coco.recognize(str(tmp_path)) is None
    write(tmp_path / 'c.json', {'annotations': [], 'images': []})
    assert 'COCO' in coco.recognize(str(tmp_path))


@pytest.mark.parametrize('names, annotations, words', [
    (['a.png', 'gone.png'], [], 'image gone.png is not under .*give the folder that holds both'),
    (['a.png'], [annotation(5, 1, 4, CAT)], 'annotation 5 of a.png is of category 4'),
    (['a.png'], [annotation(5, 2, 3, CAT)], 'annotation 5 is of image 2, which'),
    (['a.png'], [annotation(5, 1, 3, {'size': [6, 8], 'counts': [40]})],
     'annotation 5 of a.png has run lengths of 40 pixels in an image of 48'),
    (['a.png'], [annotation(5, 1, 3, [])],
     'a.png has no outline, .* "JSON" of Label Studio and "CVAT'),
    (['a.png', 'a.png'], [], 'a.png is annotated 2 times')])
def test_what_does_not_fit_is_one_error_before_any_image_is_read(
        tmp_path, names, annotations, words):
    write(tmp_path / 'data' / 'result.json', content(names, annotations))
    write_images(tmp_path / 'data', 'a.png')
    with pytest.raises(SystemExit) as caught:
        build(tmp_path, '--split', 'train')
    assert re.search(words, str(caught.value), re.DOTALL)
    assert not list(tmp_path.glob('out/*.tfrecord*'))


def test_two_tasks_of_cvat_each_have_the_images_of_their_own_tree(tmp_path):
    data = tmp_path / 'data'
    for task, shape in (('task_1', CAT), ('task_2', APE)):
        write(data / task / 'annotations' / 'instances_default.json', content(
            ['frame.png', 'more.png'], [annotation(1, 1, 3, shape)]))
        write_images(data / task / 'images' / 'default', 'frame.png', 'more.png')
    build(tmp_path, '--split', 'train')
    labels = found(tmp_path)
    assert len(labels) == 4
    assert [labels['task_%d/images/default/frame.png' % task][1][1] for task in (1, 2)] == [1, 0]
    (data / 'task_1' / 'images' / 'default' / 'frame.png').unlink()
    with pytest.raises(SystemExit, match='task_2/images/default/frame.png is annotated 2 times.'
                                         '.* add the image that the other one means'):
        build(tmp_path, '--split', 'train')


@pytest.mark.parametrize('other', [
    'train2017/captions_train2017.json', 'train2017/stuff_x.json', 'train2017/other_train.json'])
def test_images_beside_a_json_that_does_not_name_them_are_found(tmp_path, other, monkeypatch):
    data = tmp_path / 'data'
    write(data / 'annotations' / 'instances_train2017.json', content(
        ['a.png'], [annotation(1, 1, 3, CAT)]))
    write_images(data / 'train2017', 'a.png', 'b.png')
    write(data / other, content(['b.png'], []))
    monkeypatch.chdir(tmp_path)
    build_folder.main(['./data', '--output_dir', 'out'])
    assert 'train2017/a.png' in found(tmp_path)


def test_an_image_beside_its_json_is_meant_however_the_folder_is_spelled(tmp_path, monkeypatch):
    data = tmp_path / 'data'
    write(data / 'x.json', content(['a.png'], [annotation(1, 1, 3, CAT)]))
    write_images(data, 'a.png')
    write_images(data / 'images', 'a.png')
    monkeypatch.chdir(tmp_path)
    for spelled in ('data', './data', 'data/../data'):
        build_folder.main([spelled, '--output_dir', 'out', '--split', 'train'])
        assert list(found(tmp_path)) == ['a.png']


def test_an_image_of_two_splits_is_refused(tmp_path):
    data = tmp_path / 'data'
    for split in ('train', 'val'):
        write(data / ('%s.json' % split), content(['a.png'], [annotation(1, 1, 3, CAT)]))
    write_images(data, 'a.png')
    with pytest.raises(SystemExit, match='a.png is annotated 2 times'):
        build(tmp_path)


@pytest.mark.parametrize('changes', [{'image_id': [1]}, {'category_id': {}}, {'id': []}])
def test_ids_that_are_lists_or_objects_are_named(tmp_path, changes):
    entry = annotation(1, 1, 3, CAT)
    entry.update(changes)
    write(tmp_path / 'data' / 'x.json', content(['a.png'], [entry]))
    write_images(tmp_path / 'data', 'a.png')
    with pytest.raises(SystemExit, match="x.json has no list 'annotations' as COCO defines it"):
        build(tmp_path)


def test_what_no_file_names_and_tasks_without_labels_are_left_out_and_counted(tmp_path, capsys):
    data = tmp_path / 'data'
    value = content(['a.png', 'gone.png'], [annotation(1, 1, 3, CAT)])
    value['images'][1].update(width=None, height=None)
    write(data / 'train' / '_annotations.coco.json', value)
    write_images(data / 'train', 'a.png')
    write_images(data / 'valid', 'b.png')
    build(tmp_path)
    assert list(found(tmp_path)) == ['train/a.png']
    printed = capsys.readouterr().out
    assert '_annotations.coco.json: 1 x image without size and annotation: left out.' in printed
    assert re.search(r'1 images that no JSON names are left out, as .*valid/b\.png', printed)
    value['annotations'][0]['image_id'] = 2
    write(data / 'train' / '_annotations.coco.json', value)
    with pytest.raises(SystemExit, match='gone.png has the height and width'):
        build(tmp_path)


def test_images_with_damaged_annotations_can_be_left_out(tmp_path, capsys):
    write(tmp_path / 'data' / 'result.json', content(['a.png', 'b.png'], [
        annotation(5, 1, 3, [[1, 1, 2, 2]]), annotation(6, 2, 3, CAT)]))
    write_images(tmp_path / 'data', 'a.png', 'b.png')
    build(tmp_path, '--split', 'train', '--skip_bad')
    assert list(found(tmp_path)) == ['b.png']
    assert 'result.json: annotation 5 of a.png has a polygon of 4' in capsys.readouterr().out


@pytest.mark.parametrize('change, words', [
    (dict(categories=[{'id': 'x', 'name': 'cat'}]), "category 'cat' has the id 'x'"),
    (dict(categories={}), "has no list 'categories'"),
    (dict(images=[{'id': 1, 'file_name': None}]), 'the image 1 has the file name None'),
    (dict(images=[{'id': 1, 'file_name': 'a.png'}], annotations=[annotation(1, 1, 3, CAT)]),
     'image a.png has the height and width'),
    (dict(images=[{'id': 1, 'file_name': name, 'height': 6, 'width': 8} for name in 'ab']),
     'a and b share the image id 1')])
def test_files_that_are_not_cocos_are_refused(tmp_path, change, words):
    write(tmp_path / 'data' / 'result.json', dict(content(['a.png'], []), **change))
    write_images(tmp_path / 'data', 'a.png')
    with pytest.raises(SystemExit, match=words):
        build(tmp_path, '--split', 'train')
