"""dataset/layouts/known.py: what a folder is, or what is said of one that is nothing known."""
import pytest

from common.errors import UserError
from dataset import build_folder
from dataset.layouts import known, labelme
from tests.helpers.example_files import encoded, noise


def write(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(noise()))


def refused(folder, name=None):
    with pytest.raises(UserError) as error:
        known.recognize(str(folder), name)
    return str(error.value)


def test_each_layout_has_a_name_of_its_own_and_finds_nothing_in_an_empty_folder(tmp_path):
    assert len(set(known.names())) == len(known.LAYOUTS)
    assert [layout.recognize(str(tmp_path)) for layout in known.LAYOUTS] == [None] * len(
        known.LAYOUTS)


def test_images_alone_get_a_tip_and_the_exit_status_of_an_error(tmp_path):
    write(tmp_path / 'data', 'a.jpg', 'b.PNG', 'more/c.tif')
    with pytest.raises(SystemExit) as error:
        build_folder.main([str(tmp_path / 'data'), '--output_dir', str(tmp_path / 'out')])
    assert 'holds 3 images and no labels. Label them first: labelme' in error.value.code
    assert '--images %s --masks DIR --classes FILE' % (tmp_path / 'data') in error.value.code


def test_images_and_masks_of_no_tool_get_the_command_that_builds_them(tmp_path):
    write(tmp_path, 'photos/a.jpg', 'photos/b.jpg', 'truth/a.png', 'truth/b.png')
    message = refused(tmp_path)
    assert 'holds 2 .jpg, 2 .png, in the folders photos, truth' in message
    assert 'none of the layouts that are known (labelme, ' in message
    assert '--images DIR --masks DIR --classes FILE' in message


def test_an_empty_an_absent_and_a_packed_folder_are_named(tmp_path):
    assert 'It holds no file' in refused(tmp_path)
    (tmp_path / 'export.zip').write_bytes(b'PK')
    assert 'export.zip is no folder. Unpack it, and give the one' in refused(
        tmp_path / 'export.zip')
    assert 'absent is no folder. Give the one that the labelling tool wrote' in refused(
        tmp_path / 'absent')


def test_two_readings_ask_for_a_choice_which_is_taken(tmp_path, capsys):
    write(tmp_path, 'JPEGImages/a.jpg')
    (tmp_path / 'class_names.txt').write_text('_background_\ncat\n')
    (tmp_path / 'a.json').write_text('{"version": "6.3.1", "flags": {}, "shapes": []')
    message = refused(tmp_path)
    assert 'can be read in 2 ways:\n  --format labelme: ' in message
    assert '\n  --format labelme-voc: ' in message
    assert known.recognize(str(tmp_path), 'labelme') is labelme
