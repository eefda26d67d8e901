"""Data in the layout of VOC's devkit."""
import numpy as np
import pytest
from PIL import Image

from dataset import build_folder, descriptor, voc
from tests.dataset.test_builders import shared
from tests.helpers.example_files import labels_by_name


def write(folder, ending='.jpg', **lists):
    """Writes pictures and masks of all images, and lists of ids."""
    for name in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (folder / name).mkdir(parents=True)
    for name, ids in lists.items():
        (folder / 'ImageSets' / 'Segmentation' / (name + '.txt')).write_text('\n'.join(ids) + '\n')
        for number, image in enumerate(ids):
            Image.new('RGB', (3, 1), (0, 0, 40 * number)).save(
                str(folder / 'JPEGImages' / (image + ending)))
            mask = Image.fromarray(np.array([[0, 2, 255]], np.uint8))
            mask.putpalette(voc.color_map().tobytes())
            mask.save(str(folder / 'SegmentationClass' / (image + '.png')))


def build(tmp_path, *flags):
    build_folder.main([str(tmp_path / 'data'), '--output_dir', str(tmp_path / 'out')]
                      + list(flags))
    return descriptor.load(str(tmp_path / 'out'))


def names(tmp_path, split):
    return sorted(labels_by_name(str(tmp_path / 'out'), split))


def test_lists_are_splits_and_classes_those_of_voc(tmp_path):
    write(tmp_path / 'data' / 'VOCdevkit' / 'VOC2007', trainval='abc', train='ab', val='c')
    info = build(tmp_path)
    assert info.class_names == voc.CLASS_NAMES
    assert names(tmp_path, 'train') == ['a.jpg', 'b.jpg']
    assert names(tmp_path, 'validation') == ['c.jpg']
    assert labels_by_name(str(tmp_path / 'out'))['a.jpg'].tolist() == [[0, 2, 255]]


def test_own_classes_and_png_images_in_the_layout_are_taken(tmp_path):
    write(tmp_path / 'data', '.png', trainval='abcd', val='d')
    (tmp_path / 'classes.txt').write_text('ground\ncat\ndog\n')
    info = build(tmp_path, '--classes', str(tmp_path / 'classes.txt'))
    assert info.class_names == ('ground', 'cat', 'dog')
    assert names(tmp_path, 'train') == ['a.png', 'b.png', 'c.png']


def test_a_list_alone_is_divided_and_a_test_list_without_masks_is_left_out(tmp_path):
    write(tmp_path / 'data', train='abcde')
    (tmp_path / 'data/ImageSets/Segmentation/test.txt').write_text('x\n')
    info = build(tmp_path)
    assert sorted(info.splits) == ['train', 'validation'] and len(names(tmp_path, 'train')) == 4


def test_images_of_a_test_list_are_never_trained_on(tmp_path):
    write(tmp_path / 'data', train='abcde', test='xy')
    build(tmp_path, '--validation_fraction', '0.2')
    assert len(names(tmp_path, 'train')) == 4 and names(tmp_path, 'test') == ['x.jpg', 'y.jpg']
    with pytest.raises(SystemExit, match=r'splits of its own \(train, test\): leave out --split'):
        build(tmp_path, '--split', 'train')


def test_coloured_masks_are_refused_with_ways_out_that_work(tmp_path):
    data = tmp_path / 'data' / 'VOCdevkit' / 'VOC2012'
    write(data, train='abcde')
    for path in (data / 'SegmentationClass').glob('*.png'):
        Image.new('RGB', (3, 1), (128, 0, 0)).save(str(path))
    with pytest.raises(SystemExit, match='labelmap.txt into .*VOC2012, and give that folder as DIR'
                                         '.*--palette FILE --validation_fraction 0.2 in'):
        build(tmp_path)
    colors = 'background:0,0,0::\ncat:128,0,0::\n'
    (data / 'labelmap.txt').write_text(colors)
    for number, flags in enumerate((
            [str(data)], ['--images', str(data / 'JPEGImages'), '--masks',
                          str(data / 'SegmentationClass'), '--palette',
                          str(data / 'labelmap.txt'), '--validation_fraction', '0.2'])):
        build_folder.main(flags + ['--output_dir', str(tmp_path / str(number))])
        assert labels_by_name(str(tmp_path / str(number)))['a.jpg'].tolist() == [[1, 1, 1]]


def test_missing_files_and_lists_are_named(tmp_path):
    write(tmp_path / 'data', train='ab', val='c')
    (tmp_path / 'data/SegmentationClass/b.png').unlink()
    with pytest.raises(SystemExit, match='1 of the 2 images of train in .* lack .* the first is b'):
        build(tmp_path)
    for name in ('train', 'val'):
        (tmp_path / 'data/ImageSets/Segmentation' / (name + '.txt')).unlink()
    with pytest.raises(SystemExit, match=r'train\.txt is missing, and trainval\.txt. Write'):
        build(tmp_path)


def test_several_years_are_refused(tmp_path):
    for year in ('VOC2007', 'VOC2012'):
        write(tmp_path / 'data' / year, train='ab')
    with pytest.raises(SystemExit, match='holds several: .*VOC2007, .*VOC2012'):
        build(tmp_path)


def test_real_voc_sample_builds_with_one_command(tmp_path):
    build_folder.main([shared('voc2012_sample'), '--output_dir', str(tmp_path / 'out')])
    assert len(names(tmp_path, 'validation')) == 8
