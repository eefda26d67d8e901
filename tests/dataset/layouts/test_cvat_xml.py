"""annotations.xml as "CVAT for images 1.1" has it."""
import numpy as np
import pytest

from dataset import build_folder, descriptor
from dataset.layouts import cvat_xml
from tests.helpers.example_files import encoded, labels_by_name, noise

_META = '''<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <%(owner)s>
      <id>7</id>
      <name>street</name>
      <size>1</size>
      <labels>
        <label>
          <name>road</name>
          <color>#804080</color>
          <type>any</type>
          <attributes>
          </attributes>
        </label>
        <label>
          <name>car</name>
          <color>#0000c8</color>
          <type>any</type>
          <attributes>
          </attributes>
        </label>
        <label>
          <name>elbow</name>
          <color>#0000c9</color>
          <type>points</type>
          <attributes>
          </attributes>
          <parent>arm</parent>
        </label>
      </labels>
    </%(owner)s>
    <dumped>2024-05-01 10:00:00.000000+00:00</dumped>
  </meta>
%(images)s
</annotations>
'''
_SHAPES = '''
    <polygon label="car" source="manual" occluded="0" points="1.50,0.25;6.75,1.25;4.25,6.50" \
z_order="1">
    </polygon>
    <box label="road" source="manual" occluded="0" xtl="3.25" ytl="2.75" xbr="10.50" ybr="8.25" \
z_order="0">
      <attribute name="wet">false</attribute>
    </box>
    <mask label="car" source="manual" occluded="0" rle="1, 2, 3, 2, 1" left="8" top="0" width="3" \
height="3" z_order="0">
    </mask>
    <polyline label="car" source="manual" occluded="0" points="0.00,8.00;11.00,8.00" z_order="5">
    </polyline>
    <polygon label="road" source="manual" occluded="0" points="0.00,5.00;3.00,5.00;3.00,9.00;\
0.00,9.00" z_order="1">
    </polygon>'''
# What datumaro 1.13.12, of which CVAT's exporter consists, made of it: polygons_to_masks,
# boxes_to_masks, merge_instance_segments, voc_segmentation.
_LABELS = [[0, 0, 2, 0, 0, 0, 0, 0, 0, 2, 2, 0],
           [0, 0, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0],
           [0, 0, 0, 2, 2, 2, 0, 0, 2, 2, 0, 0],
           [0, 0, 0, 2, 2, 2, 1, 1, 1, 1, 1, 0],
           [0, 0, 0, 2, 2, 1, 1, 1, 1, 1, 1, 0],
           [1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 0],
           [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0],
           [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0],
           [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]]


def image(shapes, name='a.png', subset='', width=12, height=9):
    return '  <image id="0" name="%s"%s width="%s" height="%s">%s\n  </image>' % (
        name, subset and ' subset="%s"' % subset, width, height, shapes)


def write(folder, *images, owner='task', names=('a.png',)):
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    (folder / 'annotations.xml').write_text(
        _META % {'owner': owner, 'images': '\n'.join(images)}, encoding='utf-8')
    for name in names:
        (folder / 'images' / name).parent.mkdir(exist_ok=True)
        (folder / 'images' / name).write_bytes(encoded(noise(9, 12, seed=len(name))))


def build(tmp_path, *flags):
    build_folder.main([str(tmp_path / 'data'), '--output_dir', str(tmp_path / 'out')]
                      + list(flags or ('--split', 'train')))
    return labels_by_name(str(tmp_path / 'out')), descriptor.load(str(tmp_path / 'out'))


def test_shapes_are_drawn_as_the_mask_export_draws_them(tmp_path, capsys):
    write(tmp_path / 'data', image(_SHAPES))
    found, info = build(tmp_path)
    assert found['images/a.png'].tolist() == _LABELS
    assert info.class_names == ('background', 'road', 'car')
    assert info.colors == ((0, 0, 0), (128, 64, 128), (0, 0, 200))
    printed = capsys.readouterr().out
    assert "CVAT's XML" in printed and '1 x polyline: left out, as in' in printed


def test_boxes_and_ellipses_turn_clockwise():
    labels = cvat_xml._labels(cvat_xml.ElementTree.fromstring(
        _META % {'owner': 'job', 'images': ''}), 'a.xml')
    assert list(labels) == ['background', 'road', 'car']
    shape = cvat_xml.ElementTree.fromstring(
        '<box label="car" xtl="0" ytl="2" xbr="4" ybr="4" rotation="90"/>')
    kind, corners = cvat_xml._numbers(shape)
    assert kind == 'polygon'
    np.testing.assert_allclose(corners, [3, 1, 3, 5, 1, 5, 1, 1], atol=1e-12)
    shape = cvat_xml.ElementTree.fromstring(
        '<ellipse label="car" cx="3.2" cy="1.9" rx="2.1" ry="0.9" rotation="90"/>')
    drawn = cvat_xml.objects.draw(*cvat_xml._numbers(shape), height=6, width=7)
    # Centre (3, 2), radii 2.5 and 1.5 upright; cv2.ellipse leaves out row 1, column 2 alone.
    assert [''.join('.#'[value] for value in row) for row in drawn.astype(int)] == [
        '...#...', '..###..', '..###..', '..###..', '...#...', '.......']


def test_subsets_of_a_project_are_splits_and_have_folders(tmp_path):
    write(tmp_path / 'data', image(_SHAPES, 'a.png', 'Train'), image(_SHAPES, 'bb.png', 'val'),
          owner='project', names=('Train/a.png', 'val/bb.png'))
    found, info = build(tmp_path, '--num_shards', '1')
    assert sorted(info.splits) == ['train', 'validation'] and list(found) == ['images/Train/a.png']
    assert list(labels_by_name(str(tmp_path / 'out'), 'validation')) == ['images/val/bb.png']


def test_images_without_shapes_are_left_out_and_counted(tmp_path, capsys):
    write(tmp_path / 'data', image(_SHAPES), image('', 'b.png'), names=('a.png', 'b.png'))
    assert list(build(tmp_path)[0]) == ['images/a.png']
    assert '1 x image without a shape: left out' in capsys.readouterr().out


def test_labels_of_two_files_may_differ_in_colour_but_not_in_name(tmp_path):
    for folder, color in (('job_1', '#804080'), ('job_2', '#123456')):
        write(tmp_path / 'data' / folder, image(_SHAPES))
        path = tmp_path / 'data' / folder / 'annotations.xml'
        path.write_text(path.read_text().replace('#804080', color))
    found, info = build(tmp_path)
    assert sorted(found) == ['job_1/images/a.png', 'job_2/images/a.png']
    assert info.colors[1] == (128, 64, 128)
    path.write_text(path.read_text().replace('road', 'lane'))
    with pytest.raises(SystemExit, match='other labels than the file before it'):
        build(tmp_path)


def test_a_label_background_hides_what_lies_below_and_stays_class_0(tmp_path):
    write(tmp_path / 'data', image(_SHAPES + '''
    <box label="road" xtl="0" ytl="0" xbr="12" ybr="9" z_order="8"></box>'''),
          image(_SHAPES, 'b.png'), names=('a.png', 'b.png'))
    path = tmp_path / 'data' / 'annotations.xml'
    path.write_text(path.read_text().replace('<name>road<', '<name>background<').replace(
        'label="road"', 'label="background"'))
    found, info = build(tmp_path)
    assert info.class_names == ('background', 'car') and not found['images/a.png'].any()


@pytest.mark.parametrize('shapes, message', [
    ('<box label="bus" xtl="0" ytl="0" xbr="1" ybr="1"></box>',
     r"image a\.png: the label 'bus' of a box is not among those of <meta>: background, road, car"),
    ('<mask label="car" rle="1, 2" left="8" top="0" width="3" height="3"></mask>',
     'a mask of car has an RLE of 3 pixels for a box of 3x3'),
    ('<mask label="car" rle="0, 9" left="10" top="0" width="3" height="3"></mask>',
     'box of 3x3 at 10, 0 .* does not fit into the image of 12x9'),
    ('<mask label="car" rle="0, x" left="8" top="0" width="3" height="3"></mask>',
     'has numbers that cannot be read: 0, x'),
    ('<polygon label="car" points="0.00,5.00;3.00,5.00"></polygon>', 'is a polygon of 4 numbers'),
    ('<box label="car" xtl="0" ytl="0" xbr="1"></box>', 'has None as ybr'),
    ('<box label="car" xtl="0" ytl="0" xbr="1" ybr="inf"></box>', "has 'inf' as ybr"),
    ('<star label="car"></star>', 'of a kind that is not known: delete it in CVAT')])
def test_shapes_that_do_not_fit_are_named(tmp_path, shapes, message):
    write(tmp_path / 'data', image(shapes))
    with pytest.raises(SystemExit, match=message):
        build(tmp_path)


def test_a_missing_image_is_named_and_skipped_on_request(tmp_path):
    write(tmp_path / 'data', image(_SHAPES), image(_SHAPES, 'b.png'))
    with pytest.raises(SystemExit, match=r'image b\.png: the image is missing\. Export with "Save'):
        build(tmp_path)
    assert list(build(tmp_path, '--split', 'train', '--skip_bad')[0]) == ['images/a.png']


def test_an_image_that_is_there_twice_is_named(tmp_path):
    write(tmp_path / 'data', image(_SHAPES), image(_SHAPES))
    with pytest.raises(SystemExit, match=r'image a\.png: it, or one that differs .* there twice'):
        build(tmp_path)


@pytest.mark.parametrize('workers', ['1', '2'])
def test_an_image_of_another_size_names_the_file_and_what_to_put_back(tmp_path, workers):
    write(tmp_path / 'data', image(_SHAPES), image(_SHAPES, 'bb.png'), names=('a.png', 'bb.png'))
    (tmp_path / 'data' / 'images' / 'a.png').write_bytes(encoded(noise(18, 24)))
    with pytest.raises(SystemExit, match=r'images/a\.png is 24x18 but its annotation '
                       r'\S*annotations\.xml is 12x9 \(width x height\)\. Put back the image that'):
        build(tmp_path, '--split', 'train', '--num_workers', workers)


@pytest.mark.parametrize('old, new, message', [
    ('<annotations>', '<!DOCTYPE a [<!ENTITY x "y">]><annotations>', 'has a DOCTYPE'),
    ('</annotations>', '', 'is damaged'),
    ('<image ', '<track id="0"></track><image ', 'is "CVAT for video"'),
    ('<label>', '<tag>', 'is damaged')])
def test_other_xml_is_refused(tmp_path, old, new, message):
    write(tmp_path / 'data', image(_SHAPES))
    path = tmp_path / 'data' / 'annotations.xml'
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(SystemExit, match=message):
        build(tmp_path)
