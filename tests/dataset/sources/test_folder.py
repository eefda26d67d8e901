"""dataset/sources/folder.py from flags to records: what people have, and the advice they get."""
import os
import re

import numpy as np
import pytest
from PIL import Image

from dataset import build_folder, check, descriptor
from tests.helpers import SHARED
from tests.helpers.example_files import grid, labels_by_name, noise, tiff_file


def write(directory, names=('a',), values=(0, 1, 2), dtype=np.uint8, classes='ground\ncat\ndog\n'):
    """Writes images/NAME.png and masks/NAME.png; returns the flags to build them."""
    for folder in ('images', 'masks'):
        (directory / folder).mkdir(exist_ok=True)
    for seed, name in enumerate(names):
        Image.fromarray(noise(seed=seed)).save(str(directory / 'images' / (name + '.png')))
        Image.fromarray(np.resize(np.array(values, dtype), [6, 8])).save(
            str(directory / 'masks' / (name + '.png')))
    (directory / 'classes.txt').write_text(classes)
    return ['--images', str(directory / 'images'), '--masks', str(directory / 'masks'),
            '--classes', str(directory / 'classes.txt')]


def build(directory, flags, split='train'):
    """Builds in this process; returns a dict from file name to labels."""
    out = str(directory / 'out')
    build_folder.main(flags + ['--split', split, '--output_dir', out, '--num_shards', '1'])
    return labels_by_name(out, split)


def refused(directory, flags):
    with pytest.raises(SystemExit) as error:
        build(directory, flags)
    return str(error.value)


def named_flag(message, flag='map_ids'):
    """Returns the first spelling of a flag in a message, as the command line splits it."""
    return re.search(r'--%s( [0-9:-]\S*)+' % flag, message).group().rstrip('.').split()


def checked(capsys, flags):
    """Runs the checker; returns (exit status, what it printed)."""
    status = check.main(flags)
    return status, capsys.readouterr().out


def lines_of(directory, *names):
    (directory / 'classes.txt').write_text('\n'.join(names))


def test_the_checks_advice_on_a_void_class_makes_its_id_void(tmp_path, capsys):
    flags = write(tmp_path, classes='void\ncat\ndog')
    status, printed = checked(capsys, flags)
    assert status == 1 and 'take its line out of --classes' in printed
    lines_of(tmp_path, 'cat', 'dog')
    assert (build(tmp_path, flags + named_flag(printed))['a.png'] == grid([255, 0, 1])).all()
    assert checked(capsys, flags + named_flag(printed))[0] == 0
    # Without the map the builder names the same flag.
    assert named_flag(refused(tmp_path, flags)) == named_flag(printed)
    # Void's name left in the list would move all others.
    lines_of(tmp_path, 'void', 'cat', 'dog')
    assert 'no value becomes class 2' in refused(tmp_path, flags + named_flag(printed))


def test_void_as_0_for_the_ignore_label_is_refused_with_the_flag(tmp_path):
    flags = write(tmp_path, classes='cat\ndog')
    message = refused(tmp_path, flags + ['--ignore_label', '0'])
    assert 'leave out --ignore_label' in message
    assert (build(tmp_path, flags + named_flag(message))['a.png'] == grid([255, 0, 1])).all()


@pytest.mark.parametrize('classes, void', [('cat\ndog\nUnlabeled', 2), ('void\ncat\ndog', 0)])
def test_void_in_the_list_and_as_ignore_label_is_refused_with_the_flag(tmp_path, classes, void):
    flags = write(tmp_path, classes=classes)
    message = refused(tmp_path, flags + ['--ignore_label', str(void)])
    assert 'have no line for void in --classes' in message
    lines_of(tmp_path, 'cat', 'dog')
    expected = np.insert(np.arange(2), void, 255)
    assert (build(tmp_path, flags + named_flag(message))['a.png']
            == grid(expected.tolist())).all()


def test_ids_from_1_that_fit_the_list_are_pointed_out_when_built(tmp_path, capsys):
    flags = write(tmp_path, values=(1, 2))
    build(tmp_path, flags)
    printed = capsys.readouterr().out
    assert "'ground' has id 0 and no pixel" in printed
    assert (build(tmp_path, flags + named_flag(printed))['a.png'] == grid([0, 1])).all()
    assert 'no pixel. If' not in capsys.readouterr().out


def test_advice_on_several_void_classes_is_one_map(tmp_path, capsys):
    flags = write(tmp_path, values=(0, 1, 2, 3), classes='cat\nvoid\ndog\nunlabeled\n')
    printed = checked(capsys, flags)[1]
    lines_of(tmp_path, 'cat', 'dog')
    assert (build(tmp_path, flags + named_flag(printed))['a.png'] == grid([0, 255, 1, 255])).all()


@pytest.mark.parametrize('values, dtype, expected', [
    ((1, 2, 3), np.uint8, (0, 1, 2)), ((1, 2, 3), np.uint16, (0, 1, 2)),
    ((1, 2, 3, 255), np.uint8, (0, 1, 2, 255)),
    # Gaps, viewing values, 16 bits.
    ((0, 7, 26), np.uint8, (0, 1, 2)), ((0, 128, 255), np.uint8, (0, 1, 2)),
    ((0, 300, 26001), np.uint16, (0, 1, 2))])
def test_the_builders_advice_on_ids_leads_to_the_classes(tmp_path, values, dtype, expected):
    flags = write(tmp_path, values=values, dtype=dtype)
    flags += named_flag(refused(tmp_path, flags))
    assert (build(tmp_path, flags)['a.png'] == grid(expected)).all()


def test_palette_masks_are_mapped_by_index_and_many_values_may_become_one_class(tmp_path):
    flags = write(tmp_path)
    mask = Image.fromarray(grid([0, 5, 6, 9]))
    mask.putpalette([7] * 768)
    mask.save(str(tmp_path / 'masks' / 'a.png'))
    labels = build(tmp_path, flags + ['--map_ids', '0:void', '5-6:0', '7:1', '8-9:2'])['a.png']
    assert (labels == grid([255, 0, 0, 2])).all()


def test_the_checker_names_the_map_for_ids_from_1_that_fit_the_list(tmp_path, capsys):
    flags = write(tmp_path, values=(1, 2))
    status, printed = checked(capsys, flags)
    assert status == 1 and named_flag(printed) == ['--map_ids', '1-3:0-2']
    assert (build(tmp_path, flags + named_flag(printed))['a.png'] == grid([0, 1])).all()


def test_a_value_without_place_in_the_map_is_named_by_builder_and_checker(tmp_path, capsys):
    flags = write(tmp_path, values=(0, 1, 9, 2)) + ['--map_ids', '0-2:0-2']
    message = refused(tmp_path, flags)
    assert 'masks/a.png holds 9, and --map_ids does not say what becomes of it. Add 9:void' in (
        message)
    status, printed = checked(capsys, flags)
    assert status == 1 and 'label_values' in printed and 'Add 9:void' in printed
    assert (build(tmp_path, flags + ['9:void'])['a.png'] == grid([0, 1, 255, 2])).all()


@pytest.mark.parametrize('void, dtype, order', [
    (-1, np.int16, '<'), (-1, np.int32, '>'), (70000, np.uint32, '>'), (-9999, np.int64, '<')])
@pytest.mark.parametrize('named', [[], ['--map_ids', '0-2:0-2'], ['--zero_is_ignored']])
def test_values_that_the_map_cannot_name_are_to_be_saved_otherwise(tmp_path, void, dtype, order,
                                                                   named):
    flags = write(tmp_path) + named
    (tmp_path / 'masks' / 'a.png').unlink()
    ids = np.resize(np.array([0, 1, void, 2], dtype), [6, 8, 1])
    (tmp_path / 'masks' / 'a.tif').write_bytes(tiff_file(ids, order, compression=8))
    message = refused(tmp_path, flags)
    assert 'masks/a.tif holds %d' % void in message and '--map_ids' not in message
    assert '0..65535: save them as PNG of class ids, with void as 255' in message
    (tmp_path / 'masks' / 'a.tif').unlink()
    Image.fromarray(np.where(ids == void, 255, ids)[:, :, 0].astype(np.uint8)).save(
        str(tmp_path / 'masks' / 'a.png'))
    expected = [255, 0, 255, 1] if named[-1:] == ['--zero_is_ignored'] else [0, 1, 255, 2]
    assert (build(tmp_path, flags)['a.png'] == grid(expected)).all()


def test_the_checker_maps_without_a_list_of_classes(tmp_path, capsys):
    flags = write(tmp_path, values=(0, 200))[:4] + ['--map_ids', '0:0', '200:1']
    status, printed = checked(capsys, flags)
    assert status == 0 and 'class 1' in printed and 'class 2' not in printed


def test_a_changed_map_builds_again_and_the_same_one_does_not(tmp_path, capsys):
    flags = write(tmp_path, values=(0, 1), classes='cat\ndog\n')
    assert (build(tmp_path, flags + ['--map_ids', '0:0', '1:1'])['a.png'] == grid([0, 1])).all()
    assert (build(tmp_path, flags + ['--map_ids', '0:1', '1:0'])['a.png'] == grid([1, 0])).all()
    capsys.readouterr()
    build(tmp_path, flags + ['--map_ids', '1:0', '0:1'])
    assert '1 of 1 shards were there already' in capsys.readouterr().out
    # No map reads the file in another way than a map that changes nothing, but to the same labels.
    assert (build(tmp_path, flags)['a.png'] == grid([0, 1])).all()


def test_a_map_and_a_palette_are_not_both_taken(tmp_path):
    flags = write(tmp_path) + ['--palette', 'voc', '--map_ids', '0:0']
    assert '--palette and --map_ids both say what masks mean' in refused(tmp_path, flags)


@pytest.mark.parametrize('place, expected', [(0, (0, 1)), (1, (1, 0))])
def test_one_class_and_masks_of_0_and_255_need_a_background(tmp_path, capsys, place, expected):
    flags = write(tmp_path, values=(0, 255), classes='road\n')
    message = refused(tmp_path, flags)
    assert "If 255 stands for 'road', then give --map_ids 0:0 255:1 " in message
    status, printed = checked(capsys, flags)
    assert status == 1 and 'only_background' in printed
    lines_of(tmp_path, 'background', 'road')
    # The first advice is for a road that is drawn as 255, the second for one drawn as 0.
    for text in (message, printed):
        advice = [match.group().rstrip('.').split() for match in
                  re.finditer(r'--map_ids( [0-9:]+)+', text)][place]
        assert (build(tmp_path, flags + advice)['a.png'] == grid(expected)).all()


@pytest.mark.parametrize('value', [1, 128])
def test_masks_of_0_and_another_value_with_one_class_lack_the_background(tmp_path, value):
    flags = write(tmp_path, values=(0, value), classes='road\n')
    message = refused(tmp_path, flags)
    assert 'a list without the background that 0 stands for' in message
    assert 'start at 1' not in message and 'made for viewing' not in message
    lines_of(tmp_path, 'background', 'road')
    flags += named_flag(message) if value > 1 else []
    assert (build(tmp_path, flags)['a.png'] == grid([0, 1])).all()


@pytest.mark.parametrize('name', ['val', 'valid', 'Validation'])
def test_what_people_call_validation_becomes_it(tmp_path, capsys, name):
    flags = write(tmp_path)
    build_folder.main(flags + ['--split', name, '--output_dir', str(tmp_path / 'out')])
    assert list(descriptor.load(str(tmp_path / 'out')).splits) == ['validation']
    assert 'Note: --split %s is written as validation' % name in capsys.readouterr().out


def test_other_names_of_splits_stay(tmp_path):
    assert list(build(tmp_path, write(tmp_path), 'night')) == ['a.png']


@pytest.mark.parametrize('flag, place', [('images', 'images/out'), ('masks', 'masks'),
                                         ('images', 'link/out')])
def test_an_output_folder_among_the_images_is_refused(tmp_path, capsys, flag, place):
    flags = write(tmp_path)
    os.symlink(str(tmp_path / 'images'), str(tmp_path / 'link'))
    with pytest.raises(SystemExit):
        build_folder.main(flags + ['--split', 'train', '--output_dir', str(tmp_path / place)])
    assert re.search('--output_dir .*%s lies in --%s ' % (place, flag), capsys.readouterr().err)


def test_the_home_folder_is_understood(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('HOME', str(tmp_path))
    write(tmp_path)
    build_folder.main(['--images=~/images', '--masks=~/masks', '--classes=~/classes.txt',
                       '--split=train', '--output_dir=~/out'])
    assert list(labels_by_name(tmp_path / 'out')) == ['a.png']
    assert check.main(['--images=~/images', '--masks=~/masks', '--classes=~/classes.txt']) == 0


def test_names_that_are_no_utf_8_stay_distinct_in_the_records(tmp_path):
    names = [os.fsdecode(b'\xe9'), os.fsdecode(b'\xe8')]
    labels = build(tmp_path, write(tmp_path, names))
    assert sorted(labels) == ['\\udce8.png', '\\udce9.png']


def test_a_bad_file_whose_name_is_no_utf_8_is_listed(tmp_path, capsys):
    name = os.fsdecode(b'\xe9')
    flags = write(tmp_path, ['a', name])
    (tmp_path / 'masks' / (name + '.png')).write_bytes(b'')
    assert list(build(tmp_path, flags + ['--skip_bad'])) == ['a.png']
    assert 'masks/\\udce9.png cannot be decoded' in capsys.readouterr().out


def test_an_image_that_is_its_own_mask_is_found_in_folders_and_records(tmp_path, capsys):
    flags = write(tmp_path)
    (tmp_path / 'images' / 'a.png').write_bytes((tmp_path / 'masks' / 'a.png').read_bytes())
    status, printed = checked(capsys, flags)
    assert status == 1 and 'image_is_mask: ' in printed and '1 error, 0 warnings' in printed
    build(tmp_path, flags)
    status, printed = checked(capsys, [str(tmp_path / 'out')])
    assert status == 1 and 'image_is_mask: ' in printed
    # A picture with one pixel that is not drawn is none.
    drawn = np.array(Image.open(str(tmp_path / 'images' / 'a.png')))
    drawn[0, 0] = 9
    Image.fromarray(drawn).save(str(tmp_path / 'images' / 'a.png'))
    assert checked(capsys, flags)[0] == 0


def test_sidecars_are_counted_by_builder_and_checker(tmp_path, capsys):
    flags = write(tmp_path)
    for name in ('images/a.json', 'images/desktop.ini', 'masks/a.xml'):
        (tmp_path / name).write_text('{}')
    assert list(build(tmp_path, flags)) == ['a.png']
    printed = capsys.readouterr().out
    assert '/images: 2 files that are no images (1 .ini, 1 .json) are left out.' in printed
    assert '/masks: 1 files that are no images (1 .xml) are left out.' in printed
    status, printed = checked(capsys, flags)
    assert status == 0 and '2 files that are no images (1 .ini, 1 .json) are left out' in printed


def test_the_checker_pairs_as_the_builder_does(tmp_path, capsys):
    flags = write(tmp_path, names=['IMG_01', 'IMG_02'])
    for number in (1, 2):
        os.rename(str(tmp_path / 'masks' / ('IMG_0%d.png' % number)),
                  str(tmp_path / 'masks' / ('gt-img-%d.png' % number)))
    assert check.main(flags) == 2
    assert 'Give --loose_names: ' in capsys.readouterr().err
    assert checked(capsys, flags + ['--loose_names'])[0] == 0
    assert list(build(tmp_path, flags + ['--loose_names'])) == ['IMG_01.png', 'IMG_02.png']
    assert check.main(['--images', flags[1], '--masks', flags[1]]) == 2
    assert '--images and --masks are one folder' in capsys.readouterr().err


CASES = {
    # folder: (flags with paths in it, ids in the records, a flag that the refusal must name)
    'own_advice_mask_as_image': (
        '--images train --masks train --classes classes.txt', {0, 1, 2}, 'mask_suffix'),
    'roboflow_classes_csv': (
        '--images images --masks masks --classes _classes.csv', {0, 1, 2}, None),
    'labelme_labels_txt': (
        '--images JPEGImages --masks SegmentationClass --classes labels.txt', {0, 1, 2, 255}, None),
    'cvat_labelmap': (
        '--images images --masks SegmentationClass --palette labelmap.txt', {0, 1, 2}, None),
    'void_advice': ('--images images --masks masks --classes c2.txt', {0, 1, 255}, 'map_ids'),
    'ids_from_1': (
        '--images images --masks annotations/trimaps --classes classes.txt', {0, 1, 2}, 'map_ids'),
    'sidecars': ('--images images --masks masks --classes classes.txt', {0, 1, 2}, None),
    'list_with_spaces': (
        '--images images --masks masks --classes classes.txt --list_file l.txt', {0, 1, 2}, None),
    'nfc_nfd': ('--images images --masks masks --classes classes.txt', {0}, None)}


@pytest.mark.parametrize('case', sorted(CASES))
def test_public_reports_end_in_the_right_ids(tmp_path, case):
    folder = os.path.join(SHARED, 'cases', 'data', case)
    if not os.path.isdir(folder):
        pytest.skip('needs %s, which is not part of a clone' % os.path.normpath(folder))
    text, ids, flag = CASES[case]
    flags = [word if word.startswith('--') else os.path.join(folder, word)
             for word in text.split()]
    if flag:
        message = refused(tmp_path, flags)
        flags += (['--mask_suffix', re.search(r'--mask_suffix (\w+)', message).group(1)]
                  if flag == 'mask_suffix' else named_flag(message))
    found = build(tmp_path, flags, 'test' if ids == {0} else 'train')
    assert {int(value) for labels in found.values() for value in np.unique(labels)} == ids
    assert not any('mask' in name for name in found)


@pytest.mark.parametrize('case, flags, words', [
    ('same_folder_twice', '--images masks --masks masks', '--images and --masks are one folder'),
    ('one_class_255', '--images images --masks masks', 'add background to --classes as the first'),
    ('per_class_masks', '--images images --masks masks', 'several masks to one image.*_cat, _dog')])
def test_public_reports_that_cannot_be_built_say_what_is_wrong(tmp_path, case, flags, words):
    folder = os.path.join(SHARED, 'cases', 'data', case)
    if not os.path.isdir(folder):
        pytest.skip('needs %s, which is not part of a clone' % os.path.normpath(folder))
    flags = [word if word.startswith('--') else os.path.join(folder, word)
             for word in flags.split()] + ['--classes', os.path.join(folder, 'classes.txt')]
    assert re.search(words, refused(tmp_path, flags), re.DOTALL)


def test_masks_of_the_ids_of_the_list_are_read_by_it(tmp_path, capsys):
    classes = '7 road 128 64 128\n0 unlabeled 0 0 0\n11 sky 70 130 180\n255 void 0 0 1\n'
    flags = write(tmp_path, values=(7, 11, 0, 255), classes=classes)
    assert (build(tmp_path, flags)['a.png'] == grid([0, 1, 255, 255])).all()
    assert descriptor.load(str(tmp_path / 'out')).class_names == ('road', 'sky')
    assert 'as with --map_ids 0:void 7:0 11:1 255:void.' in capsys.readouterr().out
    assert checked(capsys, flags)[0] == 0
    flags = write(tmp_path, values=(7, 11, 12), classes=classes)
    assert re.search(r'a\.png holds 12, and --classes .*classes\.txt does not list it\. Add a line '
                     '12 void, or', refused(tmp_path, flags))


@pytest.mark.parametrize('classes', [
    'cat\ndog\n', '1 cat\n2 dog\n', '0 other\n1 cat\n2 dog\n',
    'Idx\tRatio\tTrain\tVal\tName\n1\t0.2\t9\t8\tcat\n2\t0.1\t9\t8\tdog\n'])
def test_zero_is_ignored_on_request(tmp_path, capsys, classes):
    flags = write(tmp_path, classes=classes) + ['--zero_is_ignored']
    assert (build(tmp_path, flags)['a.png'] == grid([255, 0, 1])).all()
    assert descriptor.load(str(tmp_path / 'out')).class_names == ('cat', 'dog')
    assert checked(capsys, flags)[0] == 0


@pytest.mark.parametrize('more, words', [
    (['--map_ids', '0:0'], 'and --map_ids both say what values become; give --map_ids 0:void too'),
    (['--palette', 'voc'], '--palette and --zero_is_ignored both say')])
def test_zero_is_ignored_says_what_masks_mean_alone(tmp_path, more, words):
    assert words in refused(tmp_path, write(tmp_path) + ['--zero_is_ignored'] + more)


def test_the_checker_asks_for_classes_where_zero_is_ignored(tmp_path, capsys):
    assert check.main(write(tmp_path)[:4] + ['--zero_is_ignored']) == 2
    assert '--zero_is_ignored needs --classes' in capsys.readouterr().err
