"""dataset/sources/pairs.py: files find their partners, and those that do not are named."""
import os
import re

import pytest

from common.errors import UserError
from dataset.sources import pairs
from tests.helpers import SHARED

SHARED_DATA = os.path.join(SHARED, 'data')


def write(folder, *names):
    """Writes empty files, folders included; returns the folder as str."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')
    return str(folder)


def write_both(folder, images, masks):
    return [write(folder / 'images', *images), write(folder / 'masks', *masks)]


def names(examples):
    return [example.filename for example in examples]


def test_files_match_by_stem_and_hidden_ones_are_left_out(tmp_path):
    folders = write_both(tmp_path, ['b.jpg', 'a.png', '.DS_Store', 'Thumbs.db', '.git/c.jpg'],
                         ['a.png', 'b.png'])
    examples = pairs.find(*folders)
    assert names(examples) == ['a.png', 'b.jpg']
    assert examples[1][1:3] == (os.path.join(folders[0], 'b.jpg'),
                                os.path.join(folders[1], 'b.png'))


def test_nested_folders_match_by_path_and_keep_it_in_the_name(tmp_path):
    folders = write_both(tmp_path, ['day/1.jpg', 'night/1.jpg', 'night/v1.2/x.y.jpg'],
                         ['day/1.png', 'night/1.png', 'night/v1.2/x.y.png'])
    examples = pairs.find(*folders)
    assert names(examples) == ['day/1.jpg', 'night/1.jpg', 'night/v1.2/x.y.jpg']
    assert examples[1].mask == os.path.join(folders[1], 'night', '1.png')


def test_same_name_in_another_folder_is_no_partner(tmp_path):
    with pytest.raises(UserError) as error:
        pairs.find(*write_both(tmp_path, ['day/1.jpg'], ['night/1.png']))
    assert '1 images without mask: day/1.jpg\n' in str(error.value)
    assert '1 masks without image: night/1.png\n' in str(error.value)


def test_two_files_of_one_stem_are_ambiguous(tmp_path):
    with pytest.raises(UserError, match='x/a.jpg and .*x/a.png share a stem'):
        pairs.find(*write_both(tmp_path, ['x/a.jpg', 'x/a.png'], ['x/a.png']))


@pytest.mark.parametrize('broken', ['images', 'masks'])
def test_absent_and_empty_folders_are_named_with_their_flag(tmp_path, broken):
    folders = dict(images=write(tmp_path / 'images', 'a.jpg'), masks=write(tmp_path / 'masks', 'a'))
    folders[broken] = str(tmp_path / 'absent')
    with pytest.raises(UserError, match='--%s .*absent is no folder' % broken):
        pairs.find(folders['images'], folders['masks'])
    os.mkdir(folders[broken])
    with pytest.raises(UserError, match='--%s .*absent holds no file' % broken):
        pairs.find(folders['images'], folders['masks'])


@pytest.mark.parametrize('ending', ['_mask', '_gt', '_labelIds', '.seg'])
def test_a_common_suffix_of_masks_is_suggested_and_works(tmp_path, ending):
    folders = write_both(tmp_path, ['x/a.jpg', 'x/ab.jpg'],
                         ['x/a%s.png' % ending, 'x/ab%s.png' % ending, 'x/c.png'])
    with pytest.raises(UserError) as error:
        pairs.find(*folders)
    message = str(error.value)
    assert 'Give --mask_suffix %s: with it all 2 images have a partner' % ending in message
    assert '2 images without mask: x/a.jpg, x/ab.jpg\n' in message
    examples = pairs.find(*folders, mask_suffix=ending)
    assert names(examples) == ['x/a.jpg', 'x/ab.jpg']
    assert examples[0].mask.endswith('a%s.png' % ending)


def test_suffixes_of_images_are_suggested_too_and_both_combine(tmp_path, capsys):
    folders = write_both(tmp_path, ['a_leftImg8bit.png', 'b_leftImg8bit.png'],
                         ['a_gtFine_labelIds.png', 'b_gtFine_labelIds.png', 'a_gtFine_color.png',
                          'b_gtFine_color.png'])
    with pytest.raises(UserError, match='(?s)several masks.*: _gtFine_color, _gtFine_labelIds. '
                                        'Where one kind holds all classes, .*--mask_suffix'):
        pairs.find(*folders, image_suffix='_leftImg8bit')
    examples = pairs.find(*folders, image_suffix='_leftImg8bit', mask_suffix='_gtFine_labelIds')
    assert names(examples) == ['a_leftImg8bit.png', 'b_leftImg8bit.png']
    assert "2 files whose stem does not end with '_gtFine_labelIds' are left out" in (
        capsys.readouterr().out)
    for mask in ('a', 'b'):
        write(tmp_path / 'plain', mask + '.png')
    with pytest.raises(UserError, match='--image_suffix _leftImg8bit: .* 2 masks'):
        pairs.find(folders[0], str(tmp_path / 'plain'))


def test_no_suffix_is_suggested_that_would_not_match_all(tmp_path):
    with pytest.raises(UserError) as error:
        pairs.find(*write_both(tmp_path, ['a.jpg', 'b.jpg'], ['a_mask.png', 'b_other.png']))
    assert '--' not in str(error.value)
    assert 'Rename, add or remove those files' in str(error.value)


def test_a_suffix_that_no_file_has_is_an_error(tmp_path):
    folders = write_both(tmp_path, ['a.jpg'], ['a.png'])
    with pytest.raises(UserError, match="ends with '_gt', but 1 others"):
        pairs.find(*folders, mask_suffix='_gt')


def test_list_of_stems_chooses_in_its_order_and_needs_partners_for_its_own_only(tmp_path):
    folders = write_both(tmp_path, ['a.jpg', 'x/b.jpg', 'c.jpg', 'd.e.jpg'],
                         ['a.png', 'x/b.png', 'd.e.png', 'f.png'])
    list_file = tmp_path / 'list.txt'
    list_file.write_text('# chosen\nd.e\n\nx/b.jpg\n')
    assert names(pairs.find(*folders, list_file=str(list_file))) == ['d.e.jpg', 'x/b.jpg']
    list_file.write_text('a\nc\nf\n')
    with pytest.raises(UserError) as error:
        pairs.find(*folders, list_file=str(list_file))
    assert '1 images without mask: c\n' in str(error.value)
    assert '1 masks without image: f\n' in str(error.value)


def test_list_of_pairs_is_relative_to_itself_or_to_the_folders(tmp_path):
    folders = write_both(tmp_path, ['one/a.jpg', 'two/b.jpg'], ['7.png', '8.png'])
    list_file = tmp_path / 'list.txt'
    list_file.write_text('images/two/b.jpg masks/7.png\nimages/one/a.jpg   masks/8.png\n')
    examples = pairs.find(None, None, list_file=str(list_file))
    # No name leads out of the folder that predictions are written to.
    assert names(examples) == ['two/b.jpg', 'one/a.jpg']
    assert os.path.samefile(examples[0].mask, str(tmp_path / 'masks' / '7.png'))
    list_file.write_text('two/b.jpg 7.png\none/a.jpg %s\n' % (tmp_path / 'masks' / '8.png'))
    examples = pairs.find(*folders, list_file=str(list_file))
    assert names(examples) == ['two/b.jpg', 'one/a.jpg']
    assert os.path.samefile(examples[1].mask, str(tmp_path / 'masks' / '8.png'))


def test_tabs_allow_spaces_in_listed_names(tmp_path):
    folders = write_both(tmp_path, ['my cat.jpg'], ['my mask.png'])
    (tmp_path / 'list.txt').write_text('my cat.jpg\tmy mask.png\n')
    assert names(pairs.find(*folders, list_file=str(tmp_path / 'list.txt'))) == ['my cat.jpg']


@pytest.mark.parametrize('text, expected', [
    ('a.jpg,a.png\nmy cat.jpg, my mask.png\n', ['a.jpg', 'my cat.jpg']),
    ('a.jpg,a.png\r\n', ['a.jpg']),
    ('x,1.jpg y.png\n', ['x,1.jpg']),  # spaces between, a comma within
    ('x,1.jpg\n', ['x,1.jpg'])])  # a name
def test_commas_are_columns_or_within_names(tmp_path, text, expected):
    folders = write_both(tmp_path, ['a.jpg', 'my cat.jpg', 'x,1.jpg'],
                         ['a.png', 'my mask.png', 'y.png', 'x,1.png'])
    (tmp_path / 'list.csv').write_text(text)
    assert names(pairs.find(*folders, list_file=str(tmp_path / 'list.csv'))) == expected


@pytest.mark.parametrize('text, words', [
    ('', 'names no image'), ('# only\n', 'names no image'),
    ('a\na b\n', 'line 2: .* 2 columns but the lines before have 1'),
    ('a b c\n', 'line 1: .* 3 columns'), ('a\tb\n\nc d\n', 'line 3: .* 1 columns'),
    ('images/a.jpg masks/a.png\nimages/q.jpg masks/a.png', '1 of the 4 files .*q.jpg'),
    ('images/a.jpg masks/a.png\n./images/a.jpg masks/b.png', 'which share a stem'),
    ('a\na.jpg\n', 'which share a stem')])
def test_unusable_lists_are_errors_that_name_the_line(tmp_path, text, words):
    folders = write_both(tmp_path, ['a.jpg'], ['a.png', 'b.png'])
    (tmp_path / 'list.txt').write_text(text)
    if 'images/' in text:
        folders = [None, None]
    with pytest.raises(UserError, match=words) as error:
        pairs.find(*folders, list_file=str(tmp_path / 'list.txt'))
    assert 'list.txt' in str(error.value)


def test_flags_that_a_list_cannot_use_or_lacks_are_errors(tmp_path):
    (tmp_path / 'list.txt').write_text('a\n')
    with pytest.raises(UserError, match='--images and --masks are needed, as .*list'):
        pairs.find(None, 'masks', list_file=str(tmp_path / 'list.txt'))
    (tmp_path / 'list.txt').write_text('a b\n')
    with pytest.raises(UserError, match='two columns, so nothing is matched by stem'):
        pairs.find(None, None, list_file=str(tmp_path / 'list.txt'), mask_suffix='_gt')
    with pytest.raises(UserError, match='absent.txt cannot be read'):
        pairs.find(None, None, list_file=str(tmp_path / 'absent.txt'))


@pytest.mark.parametrize('split, count', [('train', 120), ('val', 30)])
def test_real_camvid_pairs_match(split, count):
    folders = [os.path.join(SHARED_DATA, 'camvid', split + part) for part in ('', 'annot')]
    if not os.path.isdir(folders[0]):
        pytest.skip('needs %s, which is not part of a clone' % os.path.normpath(folders[0]))
    assert len(pairs.find(*folders)) == count


def follow_hint(folders, **flags):
    """Follows the one flag that the message of an unmatched folder names; returns the pairs."""
    with pytest.raises(UserError) as error:
        pairs.find(*folders, **flags)
    flag, value = re.search(r'Give --(\w+)(?: (\S+))?: ', str(error.value)).groups()
    examples = pairs.find(*folders, **dict(flags, **{flag: value or True}))
    return [(example.filename, os.path.basename(example.mask)) for example in examples]


@pytest.mark.parametrize('images, masks', [
    (['1.jpg', '2.jpg'], ['mask_1.png', 'mask_2.png']),
    (['um_000007.png', 'um_000012.png'], ['um_lane_000007.png', 'um_lane_000012.png']),
    (['um_7.png', 'umm_7.png'], ['um_road_7.png', 'umm_road_7.png']),
    (['a_rgb.jpg', 'b_rgb.jpg'], ['a_label.png', 'b_label.png']),
    (['IMG_1.JPG', 'Img_2.jpg'], ['img_1.png', 'IMG_2.png']),
    (['1.jpg', '10.jpg'], ['0001.png', '0010.png']),
    (['train/x1.jpg', 'train/x2.jpg'], ['train_labels/x1_L.png', 'train_labels/x2_L.png'])])
def test_prefixes_two_suffixes_case_and_zeros_get_a_hint_that_works(tmp_path, images, masks):
    assert follow_hint(write_both(tmp_path, images, masks)) == list(
        zip(images, map(os.path.basename, masks)))


def test_the_hint_for_one_folder_pairs_images_with_masks(tmp_path):
    folder = write(tmp_path, 'a.jpg', 'a_mask.png', 'b.jpg', 'b_mask.png', '_classes.csv')
    assert follow_hint([folder, folder]) == [('a.jpg', 'a_mask.png'), ('b.jpg', 'b_mask.png')]


@pytest.mark.parametrize('masks', [
    ['a_cat.png', 'a_dog.png', 'b_cat.png', 'b_dog.png'],
    ['acat.png', 'adog.png', 'bcat.png', 'bdog.png'],
    ['a_mask.png', 'a_mask_1.png', 'b_mask.png']])
def test_no_hint_drops_masks_of_an_image(tmp_path, masks):
    with pytest.raises(UserError) as error:
        pairs.find(*write_both(tmp_path, ['a.jpg', 'b.jpg'], masks))
    assert 'several masks to one image, whose names end with: ' in str(error.value)
    assert 'merge them to one mask' in str(error.value) and 'Give' not in str(error.value)


def test_plain_masks_beside_others_are_chosen_by_a_list(tmp_path):
    folders = write_both(tmp_path, ['a.jpg', 'b.jpg'],
                         ['a.png', 'a_color.png', 'b.png', 'b_color.png'])
    with pytest.raises(UserError, match='end with: nothing, _color. .*, or the plain one with a '
                                        '--list_file of stems'):
        pairs.find(*folders)
    (tmp_path / 'list.txt').write_text('a\nb\n')
    assert [os.path.basename(example.mask) for example in pairs.find(
        *folders, list_file=str(tmp_path / 'list.txt'))] == ['a.png', 'b.png']


def test_no_image_is_its_own_mask(tmp_path):
    folders = write_both(tmp_path, ['a.png'], [])
    os.mkdir(str(tmp_path / 'masks'))
    os.link(str(tmp_path / 'images' / 'a.png'), str(tmp_path / 'masks' / 'a.png'))
    with pytest.raises(UserError, match='images/a.png is image and mask at once: .*masks/a.png is'):
        pairs.find(folders[0], str(tmp_path / 'masks'))
    (tmp_path / 'list.txt').write_text('images/a.png images/a.png\n')
    with pytest.raises(UserError, match='a.png is image and mask at once: both are one file'):
        pairs.find(None, None, list_file=str(tmp_path / 'list.txt'))


def test_composed_and_decomposed_names_pair_and_keep_their_order(tmp_path):
    # Sorted as they are written, 'e' + accent stands before 'f', and composed 'é' after 'z'.
    images = ['e\u0301t.jpg', 'f.jpg', 'z.jpg', '\u00e9a.jpg']
    folders = write_both(tmp_path, images, ['\u00e9t.png', 'f.png', 'z.png', 'e\u0301a.png'])
    examples = pairs.find(*folders)
    assert names(examples) == images
    assert [os.path.basename(example.mask) for example in examples] == [
        '\u00e9t.png', 'f.png', 'z.png', 'e\u0301a.png']
    (tmp_path / 'list.txt').write_text('\u00e9t.jpg\n', encoding='utf-8')
    assert names(pairs.find(*folders, list_file=str(tmp_path / 'list.txt'))) == images[:1]


def test_listed_names_may_hold_spaces_or_begin_with_a_hash(tmp_path):
    folders = write_both(tmp_path, ['benign (1).png', 'benign (2).png', '#1.png'],
                         ['benign (1).png', 'benign (2).png', '#1.png'])
    list_file = tmp_path / 'list.txt'
    list_file.write_text('# chosen\nbenign (2).png\n#1\n./benign (1)\n')
    assert names(pairs.find(*folders, list_file=str(list_file))) == [
        'benign (2).png', '#1.png', 'benign (1).png']
    list_file.write_text('benign (2).png\nbenign (3).png\n')
    with pytest.raises(UserError, match='1 masks without image: benign .3..png'):
        pairs.find(*folders, list_file=str(list_file))


def test_listed_names_without_mask_get_the_hint_too(tmp_path):
    folders = write_both(tmp_path, ['a.jpg', 'b.jpg'], ['a_gt.png', 'b_gt.png'])
    (tmp_path / 'list.txt').write_text('b\n')
    assert follow_hint(folders, list_file=str(tmp_path / 'list.txt')) == [('b.jpg', 'b_gt.png')]


def test_listed_names_may_have_the_suffix_of_the_images(tmp_path):
    folders = write_both(tmp_path, ['a_rgb.png', 'b_rgb.png'], ['a.png', 'b.png'])
    (tmp_path / 'list.txt').write_text('b_rgb.png\na\n')
    assert names(pairs.find(*folders, list_file=str(tmp_path / 'list.txt'),
                            image_suffix='_rgb')) == ['b_rgb.png', 'a_rgb.png']


def test_listed_links_without_content_are_explained(tmp_path):
    write(tmp_path, 'a.jpg')
    os.symlink('gone.png', str(tmp_path / 'a.png'))
    (tmp_path / 'list.txt').write_text('a.jpg a.png\n')
    with pytest.raises(UserError, match='a.png is a link to gone.png, which is not there. Fetch'):
        pairs.find(None, None, list_file=str(tmp_path / 'list.txt'))


@pytest.mark.parametrize('text', ['image,mask\nimages/a.png,masks/b.png\n',
                                  'Image_Path,Mask_Path\nimages/a.png,masks/b.png\n',
                                  'images labels\nimages/a.png masks/b.png\n'])
def test_a_header_of_a_list_of_pairs_is_no_pair(tmp_path, text):
    write_both(tmp_path, ['a.png'], ['b.png'])
    (tmp_path / 'list.csv').write_text(text)
    assert names(pairs.find(None, None, str(tmp_path / 'list.csv'))) == ['a.png']


def test_a_file_that_is_called_as_a_header_is_a_pair(tmp_path):
    write_both(tmp_path, ['image.png', 'a.png'], ['mask.png', 'b.png'])
    (tmp_path / 'images' / 'image.png').rename(tmp_path / 'images' / 'image')
    (tmp_path / 'masks' / 'mask.png').rename(tmp_path / 'masks' / 'mask')
    (tmp_path / 'list.csv').write_text('image,mask\na.png,b.png\n')
    examples = pairs.find(str(tmp_path / 'images'), str(tmp_path / 'masks'),
                          str(tmp_path / 'list.csv'))
    assert names(examples) == ['image', 'a.png']
