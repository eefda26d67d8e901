"""class_weights.py: median frequency by hand, files of three kinds, clear refusals."""
import shutil

import numpy as np
import pytest

from dataset import descriptor
from training import class_weights

NAMES = ('ground', 'cat', 'dog')


def test_median_frequency_counts_only_images_in_which_a_class_occurs():
    # Frequencies: ground 12 / 20, cat 6 / 20, dog 2 / 10; the median is 0.3.
    counts = [[4, 6, 0], [8, 0, 2]]
    frequencies = np.array([12 / 20, 6 / 10, 2 / 10])
    np.testing.assert_allclose(class_weights.median_frequency(counts),
                               np.median(frequencies) / frequencies)


def test_class_that_occurs_nowhere_weighs_one_and_leaves_the_median_alone():
    weights = class_weights.median_frequency([[4, 6, 0, 0], [8, 0, 0, 2]])
    np.testing.assert_allclose(weights[[0, 1, 3]],
                               class_weights.median_frequency([[4, 6, 0], [8, 0, 2]]))
    assert weights[2] == 1


def test_pixels_of_a_built_data_set_are_counted_without_the_ignored(shapes_dir):
    info = descriptor.load(shapes_dir)
    counts = class_weights.count_pixels(info, shapes_dir)
    assert counts.shape == (6, 6) and (counts[:, 0] > 0).all()
    assert (counts.sum(axis=1) <= 48 * 48).all()
    resolved = class_weights.resolve('median_frequency', info, shapes_dir)
    np.testing.assert_allclose(resolved, class_weights.median_frequency(counts))


def test_only_the_images_trained_on_are_counted(shapes_dir):
    info = descriptor.load(shapes_dir)
    counts = class_weights.count_pixels(info, shapes_dir)
    np.testing.assert_array_equal(
        class_weights.count_pixels(info, shapes_dir, num_examples=2), counts[:2])
    np.testing.assert_allclose(class_weights.resolve('median_frequency', info, shapes_dir, 2),
                               class_weights.median_frequency(counts[:2]))


def test_damaged_shard_is_named_with_the_remedy(shapes_dir, tmp_path):
    folder = tmp_path / 'data'
    shutil.copytree(shapes_dir, str(folder))
    shard = sorted(folder.glob('train-00001-of-*.tfrecord'))[0]
    data = bytearray(shard.read_bytes())
    data[len(data) // 4] ^= 1
    shard.write_bytes(bytes(data))
    with pytest.raises(ValueError, match='train-00001-of-.*: record 0 (.|\n)*builder again'):
        class_weights.count_pixels(descriptor.load(str(folder)), str(folder))


def test_none_means_no_weights(shapes_dir):
    assert class_weights.resolve('none', descriptor.load(shapes_dir), shapes_dir) is None


@pytest.mark.parametrize('text', [
    '[1, 2.5, 0]', '{"dog": 0, "ground": 1, "cat": 2.5}', 'ground,1\ncat, 2.5\n\ndog,0\n'])
def test_file_gives_weights_in_class_order(tmp_path, text):
    path = tmp_path / 'weights'
    path.write_text(text)
    assert class_weights.read(str(path), NAMES) == [1, 2.5, 0]


@pytest.mark.parametrize('text, message', [
    ('[1, 2]', 'missing: cat, dog, ground; unknown: number 0, number 1'),
    ('{"dog": 1, "ground": 1}', 'missing: cat; unknown: none'),
    ('{"dog": 1', 'is not JSON'),
    ('ground,1\ncat\ndog,1', 'each line must be name,weight'),
    ('ground,1\ncat,-1\ndog,1', "weight of cat is '-1'"),
    ('ground,1\ncat,much\ndog,1', "weight of cat is 'much'"),
    ('{"dog": 1, "ground": null, "cat": 1}', 'weight of ground is None'),
    ('ground,1\ncat,1\ndog,1\ncat,2', 'names a class twice'),
    ('[0, 0, 0]', 'all weights are 0')])
def test_bad_file_is_refused_naming_it(tmp_path, text, message):
    path = tmp_path / 'weights'
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        class_weights.read(str(path), NAMES)
    assert str(error.value).startswith('--class_weights %s' % path)


def test_missing_file_is_refused_listing_the_choices(tmp_path):
    with pytest.raises(ValueError, match='Give none, median_frequency or a file'):
        class_weights.read(str(tmp_path / 'nothing'), NAMES)
