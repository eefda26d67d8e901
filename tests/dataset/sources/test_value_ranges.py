"""Ranges that are measured: the percentiles of what all images of a build hold."""
import numpy as np
import pytest

import predict
from dataset import build_folder, check, descriptor
from dataset.sources import decoding, value_ranges, views
from tests.helpers.example_files import encoded, grid, pair, read_examples, tiff_file

PERCENT = ['--value_range', '10%', '90%']
TWO_PERCENTILES = tuple(map(views.Percentile, (10, 90)))


def write(directory, images, shape=(1, 11)):
    """Writes images, bytes, as TIFF, and masks; returns the flags that name them."""
    for name in ('images', 'masks'):
        (directory / name).mkdir(parents=True)
    for index, data in enumerate(images):
        (directory / 'images' / ('%d.tif' % index)).write_bytes(data)
        (directory / 'masks' / ('%d.png' % index)).write_bytes(encoded(grid([0, 1], *shape)))
    (directory / 'classes.txt').write_text('ground\ncat\n')
    return ['--images', str(directory / 'images'), '--masks', str(directory / 'masks'),
            '--classes', str(directory / 'classes.txt')]


def row(values, **layout):
    return tiff_file(np.array(values).reshape(1, 11, -1), **layout)


def measured(*images, asked=TWO_PERCENTILES, bands=None):
    examples = [pair(data)._replace(view=views.View(bands=bands, value_range=asked))
                for data in images]
    return value_ranges.measure(examples)[0]


def test_a_range_is_measured_once_over_all_images_and_kept_as_numbers(tmp_path, capsys):
    # 0, 100, ... 2100: of 22 values the percentile 10 is 210, the percentile 90 is 1890.
    images = [row(np.arange(first, 2200, 200, dtype=np.uint16)) for first in (0, 100)]
    flags, out = write(tmp_path, images), str(tmp_path / 'out')
    build = flags + ['--output_dir', out, '--split']
    build_folder.main(build + ['train'] + PERCENT)
    assert ('--value_range 210 1890, the percentiles 10 and 90 of 2 images.'
            in capsys.readouterr().out)
    assert descriptor.load(out).value_range == (210, 1890)
    np.testing.assert_array_equal(
        read_examples(out)[0][1][0, :, 0],
        [0, 0, 29, 59, 90, 120, 150, 181, 211, 241, 255])  # (400 - 210) * 255 / 1680 = 28.8
    # The numbers mean the same, and so does measuring again.
    for value_range in (['--value_range', '210', '1890'], PERCENT):
        build_folder.main(build + ['train'] + value_range)
        assert 'shards were there already' in capsys.readouterr().out
    # Another split takes what is there, whatever it holds itself.
    other = write(tmp_path / 'more', [row(np.arange(11, dtype=np.uint16))])
    build_folder.main(other + ['--output_dir', out, '--split', 'validation'] + PERCENT)
    assert '--value_range 210 1890, as %s was built' % out in capsys.readouterr().out
    assert set(descriptor.load(out).splits) == {'train', 'validation'}
    build_folder.main(build + ['train'] + PERCENT)
    assert '--value_range 210 1890, as' in capsys.readouterr().out


def test_check_measures_as_builds_do(tmp_path, capsys):
    flags = write(tmp_path, [row(np.arange(0, 11, dtype=np.float32))])
    assert check.main(flags + PERCENT) == 0
    assert '--value_range 1 9, the percentiles 10 and 90 of 1 images' in capsys.readouterr().out
    assert check.main(flags) == 1


def test_chosen_bands_count_and_numbers_stand_beside_percentiles():
    values = np.stack([np.arange(11), np.arange(11) * 10, np.full(11, 7), np.full(11, 5000)], 1)
    data = row(values.astype(np.int16), planar=2)
    assert measured(data, bands=(2,)) == (10, 90)
    assert measured(data, bands=(4, 2, 4), asked=(-5., views.Percentile(100))) == (-5, 5000)
    # Without --bands the first three: 33 values, of which the eighth and ninth are 7.
    assert measured(data, asked=(views.Percentile(0), views.Percentile(100))) == (0, 100)


def test_what_is_no_number_does_not_count():
    floats = np.arange(11, dtype=np.float32)
    floats[[0, 10]] = np.nan, np.inf
    assert measured(row(floats)) == (1.8, 8.2)  # of 1 to 9
    integers = np.arange(11, dtype=np.int16)
    integers[[0, 10]] = -9999
    no_data = {'t42113': b'-9999\0'}
    assert measured(row(integers, **no_data)) == (1.8, 8.2)
    with pytest.raises(ValueError, match='hold no numbers. Give two'):
        measured(row(np.full(11, -9999, np.int16), **no_data))


def test_pages_count_each_and_tiles_with_their_image():
    examples = [pair(row(np.arange(11, dtype=np.uint16)))._replace(
        view=views.View(value_range=TWO_PERCENTILES, box=(left, 0, left + 1, 1)))
                for left in (0, 5)]
    value_range, text = value_ranges.measure(examples)
    assert value_range == (1, 9) and 'of 1 images' in text


def test_of_many_values_some_are_drawn_always_the_same(monkeypatch):
    monkeypatch.setattr(value_ranges, '_MOST_VALUES', 2000)
    values = np.random.RandomState(0).randint(0, 1000, [100, 100, 1]).astype(np.uint16)
    low, high = measured(tiff_file(values))
    assert (low, high) == measured(tiff_file(values)) and (low, high) != (100, 900)
    assert abs(low - 100) < 30 and abs(high - 900) < 30


def test_images_count_by_their_values_up_to_the_number_that_is_drawn(monkeypatch):
    small = tiff_file(np.full([1, 10, 1], 500, np.uint16))
    large = tiff_file(np.arange(90, dtype=np.uint16).reshape(9, 10, 1))
    # Of 100 values 90 are below 500; with at most 10 of each image half of them are.
    assert measured(small, large, asked=(0., views.Percentile(80))) == (0, 79.2)
    monkeypatch.setattr(value_ranges, '_MOST_VALUES', 20)
    assert measured(small, large, asked=(0., views.Percentile(80))) == (0, 500)


def test_files_that_cannot_be_read_are_left_to_the_build_unless_all_are():
    good = row(np.arange(11, dtype=np.uint16))
    assert measured(good, b'no image') == (1, 9)
    with pytest.raises(decoding.InvalidExampleError, match='a.png cannot be decoded: it is no im'):
        measured(b'no image')


@pytest.mark.parametrize('asked, words', [
    (['2%', '98%'], '--value_range 2% 98%: that is 7 to 7 in the 1 images.*0% 100%, or two num'),
    (['9', '98%'], '--value_range 9 98%: that is 9 to 7'),
    (['98%', '2%'], '--value_range 98% 2%: the first becomes black'),
    (['2%', '2%'], 'the lower one first')])
def test_a_range_without_values_between_is_refused(tmp_path, asked, words):
    flags = write(tmp_path, [row(np.full(11, 7, np.uint16))])
    with pytest.raises(SystemExit, match=words):
        build_folder.main(flags + ['--output_dir', str(tmp_path / 'out'), '--split', 'train',
                                   '--value_range'] + asked)


@pytest.mark.parametrize('main, flags, words', [
    (build_folder.main, ['--value_range', '2%', '101%'], '101 is not a number of percent from 0'),
    (build_folder.main, ['--value_range', '%', '9'], 'percent from 0 to 100'),
    (predict.main, ['--value_range', '2%', '98%'], '2% is not a number')])
def test_percentiles_are_those_of_a_build_and_lie_in_0_to_100(main, flags, words, capsys):
    with pytest.raises(SystemExit):
        main(flags)
    assert words in capsys.readouterr().err
