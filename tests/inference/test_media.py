"""media.py: which inputs are meant, what they are called, and pictures as they are read."""
import os
import sys
import types

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from inference import media
from inference.output_folder import OutputFolder
from tests.helpers.example_files import encoded, noise
from tests.helpers.example_videos import shared_case


def make(folder, *names):
    """Writes files that only have a name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')


def find(inputs, output='/nowhere'):
    return media.find_inputs([str(given) for given in inputs], OutputFolder(str(output)))


def names_of(inputs, output='/nowhere'):
    return [item.name for item in find(inputs, output).items]


def test_folders_are_searched_for_pictures_and_videos_and_keep_relative_paths(tmp_path):
    make(tmp_path, 'b.JPG', 'a.png', 'day/2/c.tiff', 'day/clip.mp4', 'notes.txt', '.hidden.png',
         '.git/d.png', 'Thumbs.db')
    items, notes = find([tmp_path])
    assert [item.name for item in items] == ['a', 'b', 'day/clip', 'day/2/c']
    assert [os.path.relpath(item.path, str(tmp_path)) for item in items] == [
        'a.png', 'b.JPG', 'day/clip.mp4', 'day/2/c.tiff']
    assert notes == ['2 files in the folders are neither pictures nor videos and were left out: '
                     '%s, %s.' % (tmp_path / 'Thumbs.db', tmp_path / 'notes.txt')]


def test_many_files_that_are_left_out_make_one_short_line(tmp_path):
    make(tmp_path, 'a.png', *('%d.txt' % index for index in range(12)))
    notes = find([tmp_path]).notes
    assert len(notes) == 1 and notes[0].startswith('12 files')
    assert notes[0].endswith(' and 7 more.') and notes[0].count('.txt') == 5


def test_files_of_phones_and_cameras_are_inputs(tmp_path):
    names = ['1.HEIC', '2.heif', '3.avif', '4.3gp', '5.MTS', '6.ts', '7.flv', '8.m2ts', '9.ogv']
    make(tmp_path, *names)
    items, notes = find([tmp_path])
    assert [os.path.basename(item.path) for item in items] == names and not notes
    assert [media.is_video(item.path) for item in items] == [False] * 3 + [True] * 6


def test_patterns_keep_the_path_behind_their_fixed_part(tmp_path):
    make(tmp_path, 'a/1.jpg', 'a/x/2.jpg', 'a/x/3.png', 'b/4.jpg')
    assert names_of([tmp_path / 'a' / '**' / '*.jpg']) == ['1', 'x/2']
    assert names_of([tmp_path / '*' / '?.jpg']) == ['a/1', 'b/4']
    assert names_of([tmp_path / '[a]']) == ['a/1', 'a/x/2', 'a/x/3']


def test_a_file_is_taken_whatever_it_is_called_also_with_brackets(tmp_path):
    make(tmp_path, 'scan[1]', 'b.dat')
    assert names_of([tmp_path / 'scan[1]', tmp_path / 'b.dat']) == ['scan[1]', 'b']


def test_inputs_of_one_stem_get_names_of_their_own(tmp_path):
    make(tmp_path, 'one/a.jpg', 'one/a.png', 'one/b.jpg', 'two/a.jpg', 'two/b-2.jpg',
         'three/b-2.jpg', 'three/a.jpg.tif')
    names = names_of([tmp_path / folder for folder in ('one', 'two', 'three')])
    assert names == ['a.jpg', 'a.png', 'b', 'a.jpg-2', 'b-2.jpg', 'a.jpg-3', 'b-2.jpg-2']


def test_a_file_that_two_inputs_name_is_predicted_once(tmp_path, monkeypatch):
    make(tmp_path, 'a.jpg', 'b.jpg')
    monkeypatch.chdir(tmp_path)
    assert names_of(['a.jpg', '.', tmp_path, '*.jpg']) == ['a', 'b']


def test_links_that_lead_back_are_not_followed_for_ever(tmp_path):
    make(tmp_path, 'x/a.jpg')
    os.symlink(str(tmp_path), str(tmp_path / 'x' / 'back'))
    assert names_of([tmp_path]) == ['x/a']


def test_inputs_that_are_not_there_are_all_named(tmp_path):
    make(tmp_path, 'a.jpg', 'folder/notes.txt')
    os.mkfifo(str(tmp_path / 'pipe.png'))
    with pytest.raises(UserError) as error:
        names_of([tmp_path / 'a.jpg', tmp_path / 'b.jpg', tmp_path / '*.bmp', tmp_path / 'folder',
                  tmp_path / 'pipe.png'])
    assert 'b.jpg is not there' in str(error.value) and '*.bmp is not there' in str(error.value)
    assert 'folder holds no picture and no video' in str(error.value)
    assert 'pipe.png is no file and no folder' in str(error.value)
    assert 'a.jpg is' not in str(error.value)


def write_result(output, *parts):
    """Writes a file as predict.py does."""
    with open(output.place(*parts), 'wb'):
        pass


def test_results_of_an_earlier_run_are_no_inputs(tmp_path):
    make(tmp_path, 'a.jpg')
    output = OutputFolder(str(tmp_path))
    for folder in ('index', 'overlay'):
        write_result(output, folder, 'a.png')
    assert names_of([tmp_path], tmp_path) == ['a'] and not find([tmp_path], tmp_path).notes
    assert names_of([tmp_path / '**' / '*.*'], tmp_path) == ['a']
    for given in ('overlay/a.png', 'index', 'overlay/*'):
        with pytest.raises(UserError, match='nothing but results of an earlier run.*output_dir'):
            names_of([tmp_path / given], tmp_path)


def test_own_folders_that_are_called_as_those_of_results_are_inputs(tmp_path):
    make(tmp_path, 'a.png', 'frames/b.png', 'index/c.png', 'deep/index/d.png')
    write_result(OutputFolder(str(tmp_path)), 'index', 'a.png')
    items, notes = find([tmp_path], tmp_path)
    assert [item.name for item in items] == ['a', 'deep/index/d', 'frames/b', 'index/c']
    assert not notes


def test_a_file_of_somebody_else_keeps_its_place_and_the_result_gets_a_number(tmp_path):
    make(tmp_path, 'a.png', 'b.png', 'index/a.png', 'overlay/b.mp4')
    items, notes = find([tmp_path], tmp_path)
    assert [item.name for item in items] == ['a-2', 'b-2', 'index/a', 'overlay/b']
    assert notes == ['2 results get a number, because files that are no results have their names: '
                     'a-2, b-2.']


def test_the_longest_name_leaves_room_for_those_of_results(tmp_path):
    make(tmp_path, 'a' * 251 + '.png', 'a' * 250 + '.jpeg', 'a' * 251 + '.bmp',
         'e\u0301' * 80 + '/b.png')
    names = names_of([tmp_path])
    assert names == ['a' * 200 + '.jpeg', 'a' * 200 + '.bmp', 'a' * 200 + '.png',
                     'e\u0301' * 66 + 'e/b']
    for name in names:
        os.makedirs(os.path.dirname(str(tmp_path / 'out' / name)), exist_ok=True)
        (tmp_path / 'out' / (name + '.jpeg.npz.tmp')).write_bytes(b'')


def test_names_that_are_no_utf_8_are_kept(tmp_path):
    path = os.path.join(os.fsencode(str(tmp_path)), b'\xff' * 220 + b'.png')
    with open(path, 'wb'):
        pass
    item, = find([tmp_path]).items
    assert os.fsencode(item.path) == path and 0 < len(item.name) <= 200


def test_links_to_nothing_and_to_themselves_are_inputs_that_fail(tmp_path):
    make(tmp_path, 'a.png')
    os.symlink('nowhere.png', str(tmp_path / 'broken.png'))
    os.symlink('loop.png', str(tmp_path / 'loop.png'))
    items = find([tmp_path]).items
    assert [item.name for item in items] == ['a', 'broken', 'loop']
    for item, message in zip(items, ('it is empty', 'No such file', 'Too many levels')):
        with pytest.raises(UserError, match='%s cannot be decoded: %s' % (item.path, message)):
            media.read_picture(item.path)


def test_a_folder_that_cannot_be_listed_is_an_input_that_fails(tmp_path, monkeypatch):
    make(tmp_path, 'a.png', 'closed/b.png')
    scandir = os.scandir

    def refused(path):
        if os.path.basename(path) == 'closed':
            raise PermissionError(13, 'Permission denied', path)
        return scandir(path)

    # The tests may be run by root, who may list every folder.
    monkeypatch.setattr(os, 'scandir', refused)
    items = find([tmp_path]).items
    assert [item.name for item in items] == ['a', 'closed']
    assert not media.is_video(items[1].path)
    with pytest.raises(UserError, match='closed cannot be decoded'):
        media.read_picture(items[1].path)


def test_folders_named_like_pictures_are_folders_and_pipes_are_left_out(tmp_path):
    make(tmp_path, 'x.jpg/a.png', 'x.jpg/y.mp4/b.png')
    os.mkfifo(str(tmp_path / 'pipe.png'))
    items, notes = find([tmp_path])
    assert [item.name for item in items] == ['x.jpg/a', 'x.jpg/y.mp4/b']
    assert len(notes) == 1 and 'pipe.png' in notes[0]
    assert names_of([tmp_path / '*']) == ['x.jpg/a', 'x.jpg/y.mp4/b']


def animation(path, count=3, **options):
    frames = [Image.fromarray(noise(20, 30, seed=index)) for index in range(count)]
    frames[0].save(str(path), save_all=True, append_images=frames[1:], **options)
    return str(path)


@pytest.mark.parametrize('name, options', [
    ('a.gif', {}), ('a.webp', {'lossless': True}), ('a.png', {}), ('a.apng', {'format': 'PNG'})])
def test_what_moves_is_a_video_and_what_does_not_a_picture(tmp_path, name, options):
    assert media.is_video(animation(tmp_path / name, duration=50, **options))
    assert not media.is_video(animation(tmp_path / name, 1, **options))


def test_pages_are_no_animation_and_are_counted(tmp_path):
    path = animation(tmp_path / 'a.tif', 4)
    assert not media.is_video(path) and 'has 4 pages' in media.remark_on_pages(path)
    np.testing.assert_array_equal(media.read_picture(path), noise(20, 30, seed=0))
    make(tmp_path, 'empty.tif')
    assert media.remark_on_pages(str(tmp_path / 'empty.tif')) is None


def test_a_file_whose_name_says_nothing_is_a_video_where_it_is_no_picture(tmp_path):
    (tmp_path / 'a.dat').write_bytes(encoded(noise()))
    (tmp_path / 'b.dat').write_bytes(b'\0\0\0\x20ftypisom')
    (tmp_path / 'c.png').write_bytes(b'\0\0\0\x20ftypisom')
    assert [media.is_video(str(tmp_path / name)) for name in ('a.dat', 'b.dat', 'c.png')] == [
        False, True, False]


@pytest.mark.parametrize('name', ['a.HEIC', 'b.heif', 'c.avif'])
def test_pictures_of_phones_that_cannot_be_read_have_a_way_out(tmp_path, name):
    (tmp_path / name).write_bytes(b'\0\0\0\x18ftypheic' + bytes(100))
    with pytest.raises(UserError, match='%s cannot be decoded.*export it as JPEG, or install '
                                        'pillow-heif' % name):
        media.read_picture(str(tmp_path / name))


def test_pillow_heif_is_used_where_it_is_installed(monkeypatch):
    called = []
    monkeypatch.setitem(sys.modules, 'pillow_heif',
                        types.SimpleNamespace(register_heif_opener=lambda: called.append(1)))
    media.add_readers()
    assert called == [1]
    monkeypatch.setitem(sys.modules, 'pillow_heif', None)
    media.add_readers()


def test_a_huge_picture_is_refused_naming_it(tmp_path, monkeypatch):
    (tmp_path / 'a.png').write_bytes(encoded(noise(60, 80)))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
    item = media.Item(str(tmp_path / 'a.png'), 'a')
    assert media.by_size([item]) == [item] and not media.is_video(item.path)
    with pytest.raises(UserError, match='a.png has more pixels than are read at once'):
        media.read_picture(item.path)


def test_a_phone_folder_is_found_whole():
    items, notes = find([shared_case('phone_folder')])
    assert [item.name for item in items] == ['clip', 'phone/IMG_1', 'phone/IMG_2', 'phone/cam',
                                             'phone/old']
    assert not notes


def test_pictures_of_any_mode_are_read_upright_as_rgb(tmp_path):
    pixels = noise(5, 7)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / 'a.png').write_bytes(encoded(np.rot90(pixels), exif=exif))
    np.testing.assert_array_equal(media.read_picture(str(tmp_path / 'a.png')), pixels)
