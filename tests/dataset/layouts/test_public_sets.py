"""Published data sets as they are unpacked, with tiny pictures."""
import shutil

import numpy as np
import pytest
from PIL import Image

from dataset import build_folder, descriptor
from dataset.layouts import known, public_sets
from tests.dataset.test_builders import shared
from tests.helpers.example_files import labels_by_name


def write(path, values, image=None):
    """Writes a mask, and an image of its size unless there is one."""
    values = np.array(values, np.uint8)
    for place, pixels in ((path, values), (image, np.full(values.shape + (3,), 7, np.uint8))):
        if place:
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(str(place))


def build(tmp_path, *flags):
    build_folder.main([str(tmp_path / 'data'), '--output_dir', str(tmp_path / 'out')]
                      + list(flags))
    return descriptor.load(str(tmp_path / 'out'))


def labels(tmp_path, split='train'):
    return {name: found.tolist() for name, found in
            labels_by_name(str(tmp_path / 'out'), split).items()}


# Ids of labels.py of cityscapesScripts and their trainIds, 255 where it says 255 or -1.
CITYSCAPES_IDS = list(range(34))
CITYSCAPES_TRAIN_IDS = [255, 255, 255, 255, 255, 255, 255, 0, 1, 255, 255, 2, 3, 4, 255, 255, 255,
                        5, 255, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255, 255, 16, 17, 18]


def write_cityscapes(folder, kinds=('labelIds', 'labelTrainIds', 'color', 'instanceIds')):
    for split, city, number in (('train', 'ulm', 0), ('val', 'lindau', 1), ('test', 'bonn', 2)):
        stem = '%s_%06d_000019' % (city, number)
        image = folder / 'leftImg8bit' / split / city / (stem + '_leftImg8bit.png')
        values = {'labelIds': [CITYSCAPES_IDS], 'labelTrainIds': [CITYSCAPES_TRAIN_IDS]}
        for kind in kinds:
            write(folder / 'gtFine' / split / city / ('%s_gtFine_%s.png' % (stem, kind)),
                  values.get(kind, [34 * [9]]), image)
        (folder / 'gtFine' / split / city / (stem + '_gtFine_polygons.json')).write_text('{}')


@pytest.mark.parametrize('kinds', [('labelIds', 'labelTrainIds', 'color', 'instanceIds'),
                                   ('labelTrainIds', 'color')])
def test_cityscapes_has_its_19_classes_and_official_void_from_either_ids(tmp_path, kinds):
    write_cityscapes(tmp_path / 'data', kinds)
    info = build(tmp_path)
    assert info.class_names == (
        'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign',
        'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train',
        'motorcycle', 'bicycle')
    assert info.colors[0] == (128, 64, 128) and info.colors[18] == (119, 11, 32)
    assert labels(tmp_path) == {'ulm/ulm_000000_000019_leftImg8bit.png': [CITYSCAPES_TRAIN_IDS]}
    assert list(labels(tmp_path, 'validation').values()) == [[CITYSCAPES_TRAIN_IDS]]
    assert sorted(info.splits) == ['train', 'validation']


def test_cityscapes_without_masks_or_with_other_ids_is_refused(tmp_path):
    write_cityscapes(tmp_path / 'data', ('color',))
    with pytest.raises(SystemExit, match=r'gtFine/train holds no mask named \*_gtFine_labelIds\.p'
                                         r'ng or \*_gtFine_labelTrainIds\.png'):
        build(tmp_path)
    write(tmp_path / 'data/gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png', [34 * [77]])
    write(tmp_path / 'data/gtFine/val/lindau/lindau_000001_000019_gtFine_labelIds.png', [34 * [7]])
    with pytest.raises(SystemExit, match='holds 77, and ids of cityscapes are 0..33. Fetch'):
        build(tmp_path)


def test_kitti_takes_ids_of_cityscapes_and_holds_a_fifth_out(tmp_path, capsys):
    for number in range(5):
        name = '%06d_10.png' % number
        for folder in ('instance', 'semantic'):
            write(tmp_path / 'data' / 'training' / folder / name, [CITYSCAPES_IDS])
        Image.fromarray(np.full([1, 34, 3], number, np.uint8)).save(
            str(tmp_path / name))
        (tmp_path / 'data/training/image_2').mkdir(exist_ok=True)
        (tmp_path / name).rename(tmp_path / 'data/training/image_2' / name)
    assert build(tmp_path).class_names[13] == 'car'
    found = labels(tmp_path)
    assert len(found) == 4 and list(found.values()) == 4 * [[CITYSCAPES_TRAIN_IDS]]
    assert "KITTI's semantics" in capsys.readouterr().out
    (tmp_path / 'data/training/semantic/000003_10.png').unlink()
    with pytest.raises(SystemExit, match='1 images without mask: 000003_10.png'):
        build(tmp_path)


def write_ade(folder, lines=150):
    for split in ('training', 'validation'):
        name = 'ADE_%s_00000001' % split[:5].rstrip('i')
        write(folder / 'annotations' / split / (name + '.png'), [[0, 1, 150]],
              folder / 'images' / split / (name + '.jpg'))
    (folder / 'objectInfo150.txt').write_text('Idx\tRatio\tTrain\tVal\tName\n' + ''.join(
        '%d%s\t0.1\t9\t2\t%s\n' % (number, ' ' * (number == 22), 'wall' if number == 1 else
                                   'thing %d, object' % number)
        for number in range(1, lines + 1)))


def test_ade20k_has_void_at_0_and_names_of_its_table(tmp_path):
    write_ade(tmp_path / 'data' / 'ADEChallengeData2016')
    info = build(tmp_path)
    assert info.class_names[0] == 'wall' and info.class_names[149] == 'thing 150'
    assert labels(tmp_path) == {'ADE_train_00000001.jpg': [[255, 0, 149]]}
    assert labels(tmp_path, 'validation') == {'ADE_val_00000001.jpg'.replace(
        'val', 'valid'): [[255, 0, 149]]}


def test_ade20k_without_its_table_or_with_a_short_one_is_refused(tmp_path):
    write_ade(tmp_path / 'data', lines=149)
    with pytest.raises(SystemExit, match=r'objectInfo150\.txt does not list 1 to 150'):
        build(tmp_path)
    (tmp_path / 'data' / 'objectInfo150.txt').unlink()
    with pytest.raises(SystemExit, match=r'objectInfo150\.txt is missing.*comes with the images'):
        build(tmp_path)


def test_camvid_of_segnet_has_void_at_11(tmp_path, capsys):
    for number, split in enumerate(('train', 'val', 'test')):
        write(tmp_path / 'data' / 'CamVid' / (split + 'annot') / ('%d.png' % number),
              [[0, 10, 11]], tmp_path / 'data' / 'CamVid' / split / ('%d.png' % number))
    info = build(tmp_path, '--merge', 'Ground=Road,Pavement', '--drop', 'Sky')
    assert info.class_names == ('Building', 'Pole', 'Ground', 'Tree', 'SignSymbol', 'Fence', 'Car',
                                'Pedestrian', 'Bicyclist')
    assert [labels(tmp_path, split) for split in ('train', 'validation', 'test')] == [
        {'0.png': [[255, 8, 255]]}, {'1.png': [[255, 8, 255]]}, {'2.png': [[255, 8, 255]]}]
    # No class stands at id 0 for ids that start at 1.
    assert '--map_ids' not in capsys.readouterr().out
    shutil.rmtree(str(tmp_path / 'data/CamVid/valannot'))
    build(tmp_path, '--merge', 'Ground=Road,Pavement', '--drop', 'Sky')
    assert 'valannot is missing: the images of' in capsys.readouterr().out
    write(tmp_path / 'data/CamVid/trainannot/0.png', [[0, 10, 12]])
    with pytest.raises(SystemExit, match=r'0\.png holds 12, and ids of camvid are 0\.\.11'):
        build(tmp_path, '--merge', 'Ground=Road,Pavement', '--drop', 'Sky')


def test_real_camvid_is_recognized_and_read():
    folder = shared('camvid')
    assert known.recognize(folder) is public_sets.CAMVID
    layout = public_sets.CAMVID.read(folder, None)
    assert [(split, len(examples)) for split, examples in layout.parts] == [
        ('train', 120), ('validation', 30)]
    found = layout.reader(layout.parts[0][1][0], descriptor.create(
        'camvid', layout.class_names, layout.ignore_label))
    assert found.shape == (360, 480) and layout.class_names[found[350, 240]] == 'Road'


def test_a_layout_that_is_chosen_but_not_there_is_refused(tmp_path):
    (tmp_path / 'data').mkdir()
    with pytest.raises(SystemExit, match='Neither .*data nor a folder in it holds '
                                         'leftImg8bit/train and gtFine/train, as cityscapes'):
        build(tmp_path, '--format', 'cityscapes')


def write_coco_stuff(folder, names=None):
    """As its README unpacks it, with labels.txt of the repository beside both folders."""
    for split, values in (('train2017', [0, 90, 181, 255]), ('val2017', [91, 91, 255, 7])):
        write(folder / 'annotations' / split / '000000000139.png', [values],
              folder / 'images' / split / '000000000139.jpg')
    names = names or ['name %d x' % number for number in range(1, 183)]
    (folder / 'labels.txt').write_text('0: unlabeled\n' + ''.join(
        '%d: %s\n' % (number, name) for number, name in enumerate(names, 1)))


def test_coco_stuff_counts_from_the_second_line_of_its_labels(tmp_path, capsys):
    write_coco_stuff(tmp_path / 'data')
    info = build(tmp_path)
    assert info.number_of_classes == 182
    assert (info.class_names[0], info.class_names[181]) == ('name 1 x', 'name 182 x')
    assert list(labels(tmp_path).values()) == [[[0, 90, 181, 255]]]
    assert list(labels(tmp_path, 'validation').values()) == [[[91, 91, 255, 7]]]
    assert "COCO-Stuff's masks" in capsys.readouterr().out


def test_coco_stuff_without_its_labels_is_refused(tmp_path):
    write_coco_stuff(tmp_path / 'data', ['person', 'bicycle'])
    with pytest.raises(SystemExit, match='labels.txt names 2 classes; those of COCO-Stuff are 182'):
        build(tmp_path)
    (tmp_path / 'data' / 'labels.txt').unlink()
    with pytest.raises(SystemExit, match='labels.txt is missing, which names the classes'):
        build(tmp_path)
