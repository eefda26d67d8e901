"""dataset/sources/file_names.py: what lies under a folder, and how names are told apart."""
import collections
import os

import pytest

from common.errors import UserError
from dataset.sources import file_names
from tests.helpers.example_files import encoded, noise


def write(folder, *names, content=b''):
    """Writes files, folders included; returns the folder as str."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(folder)


def stems(side):
    return list(side.paths)


def test_what_is_no_image_is_left_out_and_counted_and_odd_extensions_are_looked_into(tmp_path):
    folder = write(tmp_path, 'a.jpg', 'b.TIF', 'README', 'a.json', 'b.tfw', 'b.tif.aux.xml',
                   'notes.txt', 'desktop.ini', 'Thumbs.db', 'paper.pdf', '.hidden.jpg')
    write(tmp_path, 'c', 'd.label', content=encoded(noise()))
    side = file_names.group('--images', folder)
    assert stems(side) == ['a', 'b', 'c', 'd']
    assert side.no_images == collections.Counter(
        {'': 1, '.json': 1, '.tfw': 1, '.xml': 1, '.txt': 1, '.ini': 1, '.db': 1, '.pdf': 1})
    assert file_names.describe_left_out(side.no_images) == (
        '8 files that are no images (1 without extension, 1 .db, 1 .ini, 1 .json, 1 .pdf, 1 .tfw, '
        '1 .txt, 1 .xml)')


def test_a_folder_that_links_to_itself_is_not_followed_and_other_links_are(tmp_path):
    folder = write(tmp_path / 'images', 'a.jpg', 'x/b.jpg')
    elsewhere = write(tmp_path / 'elsewhere', 'c.jpg')
    os.symlink(folder, os.path.join(folder, 'x', 'up'))
    os.symlink(elsewhere, os.path.join(folder, 'there'))
    # Two folders that link to each other.
    os.symlink(folder, os.path.join(elsewhere, 'back'))
    assert stems(file_names.group('--images', folder)) == ['a', 'there/c', 'x/b']


@pytest.mark.parametrize('flag', ['--images', '--masks'])
def test_a_link_without_content_is_an_error_on_both_sides(tmp_path, flag):
    folders = [write(tmp_path / name, 'a.png') for name in ('images', 'masks')]
    os.symlink('.git/annex/objects/b.png',
               os.path.join(folders[flag == '--masks'], 'b.png'))
    with pytest.raises(UserError, match='b.png is a link to .git/annex/objects/b.png, which is not '
                                        'there. Fetch .*git annex get, dvc pull'):
        file_names.both_sides(*folders)


@pytest.mark.parametrize('images, masks', [('', 'masks'), ('images', '')])
def test_where_one_folder_lies_in_the_other_its_files_are_of_its_side_alone(
        tmp_path, images, masks):
    write(tmp_path, '%s/a.jpg' % images if images else 'a.jpg',
          '%s/a.png' % masks if masks else 'a.png')
    sides = file_names.both_sides(str(tmp_path / images), str(tmp_path / masks))
    assert [[os.path.basename(path) for same in side.paths.values() for path in same]
            for side in sides] == [['a.jpg'], ['a.png']]


@pytest.mark.parametrize('suffixes, names', [
    (('', '_mask'), ('a.jpg', 'a_mask.png')), (('_img', ''), ('a_img.jpg', 'a.png')),
    (('_img', '_mask'), ('a_img.jpg', 'a_mask.png')),
    (('_mask', '_gt_mask'), ('a_mask.jpg', 'a_gt_mask.png'))])
def test_in_one_folder_a_file_is_of_one_side(tmp_path, suffixes, names):
    folder = write(tmp_path, *names)
    sides = file_names.both_sides(folder, folder, *suffixes)
    assert [side.paths for side in sides] == [
        {'a': [os.path.join(folder, name)]} for name in names]
    assert [side.without_suffix for side in sides] == [0, 0]


@pytest.mark.parametrize('names, words', [
    (['a.jpg', 'a_mask.png', 'b.jpg', 'b_mask.png'], 'Give --mask_suffix _mask: with it all 2'),
    (['a.jpg', 'b.jpg'], 'Give another folder, or'), ([], 'Give another folder, or'),
    (['a.jpg', 'a_cat.png', 'a_dog.png'], 'Give another folder, or'),
    (['a.jpg', 'a_mask.png', 'b.jpg'], 'Give another folder, or')])
def test_one_folder_for_both_is_refused_and_the_advice_leaves_no_file_out(tmp_path, names, words):
    folder = write(tmp_path / 'all', *names) if names else str(tmp_path)
    os.symlink(folder, str(tmp_path / 'link'))
    with pytest.raises(UserError, match='--images and --masks are one folder.*%s' % words):
        file_names.both_sides(folder, str(tmp_path / 'link'))


def test_the_advice_on_one_folder_knows_photos_from_masks(tmp_path):
    write(tmp_path, 'a.png', 'b.png', content=encoded(noise()[:, :, 0]))
    write(tmp_path, 'a_img.png', 'b_img.png', content=encoded(noise()))
    with pytest.raises(UserError, match='Give --image_suffix _img: '):
        file_names.both_sides(str(tmp_path), str(tmp_path))
    # Coloured masks beside photographs.
    write(tmp_path, 'a.png', 'b.png', content=encoded(noise(), 'JPEG'))
    with pytest.raises(UserError, match='Give --mask_suffix _img: '):
        file_names.both_sides(str(tmp_path), str(tmp_path))


@pytest.mark.parametrize('names, keys', [
    (['um_000007', 'um_000012'], [('7',), ('12',)]),
    (['IMG_01', 'IMG_10', 'IMG_00'], [('1',), ('10',), ('0',)]),
    (['day/1_leftImg8bit', 'night/1_leftImg8bit'], [('day',), ('night',)]),
    (['um_1', 'umm_1'], [('um',), ('umm',)]), (['only_1'], [('only', '1')])])
def test_telling_words_are_those_that_not_all_names_have(names, keys):
    assert list(file_names.telling_words(names).values()) == keys


def test_names_that_words_do_not_tell_apart_are_refused():
    with pytest.raises(UserError, match='--loose_names: .*a-1 and a_01 do not differ'):
        file_names.match_loosely(['a_01', 'a-1', 'b'], ['a', 'b'])


def test_two_masks_that_fit_one_image_are_refused():
    with pytest.raises(UserError, match='--loose_names: the masks .* both fit the image b_2_b'):
        file_names.match_loosely(['b_2', 'b_2_b'], ['2', '2_b', 'b_2_b'])
