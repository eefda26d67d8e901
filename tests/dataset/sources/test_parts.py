"""Pages and tiles: examples of their own, or said."""
import io
import os

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from dataset import build_folder, check
from dataset.sources import decoding, opening, parts, views
from tests.helpers import SHARED
from tests.helpers.example_files import (encoded, grid, labels_by_name, noise,
                                         read_examples, with_orientation,
                                         write_folders)

PAGES = [np.full([4, 6], number, np.uint8) for number in range(3)]


def stack(pages, image_format='TIFF', **options):
    images = [Image.fromarray(page) for page in pages]
    return encoded(images[0], image_format, save_all=True, append_images=images[1:], **options)


def test_pages_are_counted_once_and_each_becomes_a_record_on_request(tmp_path, capsys):
    images = [page * 50 for page in PAGES]
    flags = write_folders(tmp_path, stack(images), stack(PAGES), '.tif')
    build = flags + ['--split', 'test', '--output_dir', str(tmp_path / 'out')]
    build_folder.main(build)
    printed = capsys.readouterr().out
    assert printed.count('holds 3 pages, of which the first was taken: --pages') == 1
    (_, _, labels), = read_examples(tmp_path / 'out', 'test')
    np.testing.assert_array_equal(labels, PAGES[0])
    assert check.main(flags) == 1 and 'several_pages' in capsys.readouterr().out
    build_folder.main(build + ['--pages'])
    found = read_examples(tmp_path / 'out', 'test')
    assert [name for name, _, _ in found] == ['a-page%04d.tif' % number for number in (1, 2, 3)]
    for (_, image, labels), pixels, ids in zip(found, images, PAGES):
        np.testing.assert_array_equal(image, np.stack([pixels] * 3, axis=2))
        np.testing.assert_array_equal(labels, ids)
    assert 'Note' not in capsys.readouterr().out
    assert check.main(flags + ['--pages']) == 0


def test_a_first_page_without_objects_is_refused_with_the_note_on_pages(tmp_path):
    flags = write_folders(tmp_path, stack(PAGES), stack(PAGES), '.tif')
    with pytest.raises(SystemExit, match='(?s)hold nothing but 0: .*\nNote: .*--pages'):
        build_folder.main(flags + ['--split', 'train', '--output_dir', str(tmp_path / 'out')])


def test_pages_of_a_file_stay_on_one_side_of_the_validation_split(tmp_path):
    flags = write_folders(tmp_path, stack(PAGES), stack(PAGES), '.tif')
    for folder in ('images', 'masks'):
        (tmp_path / folder / 'b.tif').write_bytes(stack(PAGES[::-1]))
    build_folder.main(flags + ['--validation_fraction', '0.5', '--pages', '--output_dir',
                               str(tmp_path / 'out')])
    sides = [{name[0] for name in labels_by_name(tmp_path / 'out', split)}
             for split in ('train', 'validation')]
    assert sorted(map(sorted, sides)) == [['a'], ['b']]


@pytest.mark.parametrize('more', [[], ['--tile', '4'], ['--bands', '1']])
def test_files_of_other_numbers_of_pages_are_bad_ones_among_others(tmp_path, capsys, more):
    flags = write_folders(tmp_path, stack(PAGES), stack(PAGES[:2]), '.tif')
    for name, pages in (('b', (3, 1)), ('c', (1, 2)), ('d', (2, 2))):
        for folder, number in zip(('images', 'masks'), pages):
            (tmp_path / folder / (name + '.tif')).write_bytes(stack(PAGES[:number]))
    build = flags + ['--split', 'train', '--output_dir', str(tmp_path / 'out'), '--pages'] + more
    with pytest.raises(SystemExit) as error:
        build_folder.main(build)
    words = str(error.value)
    assert words.startswith("3 of %d examples of split 'train'" % (7 if '--tile' in more else 5))
    for text in ('masks/a.tif holds 2 pages, fewer', 'masks/b.tif holds 1 page, fewer',
                 'images/c.tif holds 1 page, fewer'):
        assert text in words
    build_folder.main(build + ['--skip_bad'])
    assert '3 examples were left out' in capsys.readouterr().out
    assert {name[:10] for name, _, _ in read_examples(tmp_path / 'out')} == {
        'd-page0001', 'd-page0002'}
    assert check.main(flags + ['--pages'] + more) == 1
    printed = capsys.readouterr().out
    assert '3 errors' in printed and printed.count(', fewer than the file beside it') == 3, printed


@pytest.mark.parametrize('image_format', ['GIF', 'PNG', 'WEBP'])
def test_frames_of_animations_are_said_too(tmp_path, image_format, capsys):
    frames = [noise(4, 6, seed=seed) for seed in range(3)]
    flags = write_folders(tmp_path, stack(frames, image_format), encoded(PAGES[1]), '.png')
    build_folder.main(flags + ['--split', 'train', '--output_dir', str(tmp_path / 'out')])
    assert 'a.png holds 3 pages, of which' in capsys.readouterr().out


def test_smaller_copies_in_a_tiff_are_no_pages():
    with_overview = stack([PAGES[0], PAGES[1]])
    # The second directory says that it is a reduced image.
    pages = opening.open_source(with_overview)
    assert pages.num_pages == 2
    small = encoded(Image.fromarray(PAGES[0]), 'TIFF', save_all=True, append_images=[
        Image.fromarray(PAGES[1])], tiffinfo={254: 1})
    assert opening.open_source(small).num_pages == 1


def test_a_smaller_copy_that_comes_first_is_not_taken_for_the_image():
    file, (thumbnail, image) = io.BytesIO(), (noise(2, 3), noise(4, 6))
    with TiffImagePlugin.AppendingTiffWriter(file, new=True) as writer:
        for pixels, kind in ((thumbnail, 1), (image, 0)):
            Image.fromarray(pixels).save(writer, 'TIFF', tiffinfo={254: kind})
            writer.newFrame()
        data = file.getvalue()
    opened = opening.open_source(data)
    np.testing.assert_array_equal(np.array(opened.image), image)
    assert opened.num_pages == 1 and opened.is_changed
    assert opening.measure(data) == [((6, 4), 1)]


@pytest.mark.parametrize('orientation', [1, 6])
def test_tiles_put_together_are_the_image(tmp_path, orientation, capsys):
    pixels, ids = noise(7, 10), grid([0, 1, 2, 2, 1], 7, 10)
    flags = write_folders(tmp_path, with_orientation(pixels, 'PNG', orientation),
                          with_orientation(ids, 'PNG', orientation), '.png')
    build_folder.main(flags + ['--split', 'train', '--output_dir', str(tmp_path / 'out'),
                               '--tile', '4', '--num_shards', '1'])
    if orientation == 6:
        pixels, ids = np.rot90(pixels, -1), np.rot90(ids, -1)
    found = {name: (image, labels) for name, image, labels in read_examples(tmp_path / 'out')}
    assert len(found) == 6
    for part, whole in ((0, pixels), (1, ids)):
        rows = [np.concatenate([found['a-y%05d-x%05d.png' % (top, left)][part]
                                for left in range(0, whole.shape[1], 4)], axis=1)
                for top in range(0, whole.shape[0], 4)]
        np.testing.assert_array_equal(np.concatenate(rows), whole)
    assert check.main(flags + ['--tile', '4']) in (0, 1)
    assert 'size_mismatch' not in capsys.readouterr().out


def test_tiles_of_pairs_of_other_sizes_are_refused_whole(tmp_path):
    flags = write_folders(tmp_path, encoded(noise(7, 10)), encoded(grid([0], 7, 9)), '.png')
    with pytest.raises(SystemExit, match='a.png is 10x7 but its mask .*a.png is 9x7'):
        build_folder.main(flags + ['--split', 'train', '--output_dir', str(tmp_path / 'out'),
                                   '--tile', '4'])


def test_too_large_images_are_refused_with_the_flag_that_cuts_them(tmp_path, monkeypatch):
    pixels, ids = noise(9, 9), grid([0, 1], 9, 9)
    flags = write_folders(tmp_path, encoded(pixels), encoded(ids), '.png') + [
        '--split', 'train', '--output_dir', str(tmp_path / 'out')]
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 40)
    with pytest.raises(SystemExit, match='a.png has more pixels than are read at once, 80. .*'
                                         '--tile 2048'):
        build_folder.main(flags)
    build_folder.main(flags + ['--tile', '5', '--num_shards', '1'])
    assert sum(labels.size for labels in labels_by_name(tmp_path / 'out').values()) == 81
    pair = decoding.Example('a.png', encoded(pixels), b'', views.View(box=(0, 0, 2, 2)))
    assert decoding.read_rgb(pair)[0].shape == (2, 2, 3)
    assert Image.MAX_IMAGE_PIXELS == 40  # stays the limit of every other file


def test_a_changed_file_is_read_again_for_its_tiles(tmp_path):
    path = tmp_path / 'a.png'
    example = decoding.Example('a.png', str(path), b'', views.View(box=(0, 0, 2, 2)))
    for seed in range(2):
        path.write_bytes(encoded(noise(4 + seed, 4, seed=seed)))
        np.testing.assert_array_equal(decoding.read_rgb(example)[0],
                                      noise(4 + seed, 4, seed=seed)[:2, :2])


def test_what_cannot_be_opened_is_left_for_the_build_to_name():
    example = decoding.Example('a.png', b'nothing', b'')
    view = views.View(ignore_exif=True)
    assert parts.divide([example], view, True, 4) == [example._replace(view=view)]


def test_the_shared_stack_of_30_pages(tmp_path, capsys):
    folder = os.path.join(SHARED, 'cases', 'data', 'multipage')
    if not os.path.isdir(folder):
        pytest.skip('needs %s, which is not part of a clone' % folder)
    flags = ['--images', folder + '/images', '--masks', folder + '/masks', '--classes',
             folder + '/classes.txt', '--split', 'train', '--output_dir', str(tmp_path)]
    build_folder.main(flags)
    assert 'holds 30 pages' in capsys.readouterr().out
    build_folder.main(flags + ['--pages', '--num_shards', '1'])
    with Image.open(folder + '/masks/s.tif') as masks:
        for number, (_, _, labels) in enumerate(read_examples(tmp_path)):
            masks.seek(number)
            np.testing.assert_array_equal(labels, np.array(masks))
    assert number == 29


def test_a_large_image_is_decoded_once_for_the_tiles_that_are_checked(tmp_path, monkeypatch):
    flags = write_folders(tmp_path, encoded(noise(7, 10)), encoded(grid([0, 1, 2], 7, 10)), '.png')
    decoded, real = [], opening.open_bytes
    monkeypatch.setattr(opening, 'open_bytes', lambda data, view=views.AS_IT_IS: (
        decoded.append(view) or real(data, view)))
    opening._last_opened.cache_clear()
    assert check.main(flags + ['--tile', '4', '--workers', '1']) in (0, 1)
    assert len(decoded) == 2  # the image and its mask, of six tiles
