"""label_errors.py: what it ranks, writes and refuses."""
import csv
import importlib.util
import os
from collections import namedtuple

import numpy as np
import pytest

from dataset import descriptor
from evaluation import examples, label_quality, label_review
from experiment import loading
from inference import options, restored
from tests.helpers import ROOT, tiny_runs
from tests.helpers.example_files import labels_by_name

INFO = descriptor.create('toy', ('ground', 'c,a"t', 'dog'), 255)
spec = importlib.util.spec_from_file_location(
    'label_errors', os.path.join(ROOT, 'evaluation', 'label_errors.py'))
label_errors = importlib.util.module_from_spec(spec)
spec.loader.exec_module(label_errors)

Predicted = namedtuple('Predicted', ['probabilities'])


class FakePredictor:
    """Knows the truth of each image by its first pixel, and gives it 0.8 of the probability."""

    def __init__(self, truths):
        self.truths = truths

    def predict(self, images, with_probabilities):
        assert images.dtype == np.uint8 and images.shape[0] == 1 and with_probabilities
        truth = self.truths[images[0, 0, 0, 0]]
        return Predicted(np.where(np.eye(3, dtype=bool)[truth], 0.8, 0.1)[np.newaxis])


def rows_of(path):
    with open(str(path), newline='', encoding='utf-8') as csv_file:
        return list(csv.DictReader(csv_file))


@pytest.fixture
def reviewed():
    """A review of three images: one right, one with a missing cat, one with a dog called cat."""
    truths = np.zeros([3, 20, 30], np.uint8)
    truths[0, 2:8, 2:8] = truths[1, 5:10, 20:25] = 1
    truths[2, 5:15, 10:20] = 2
    labels = truths.copy()
    labels[1] = 0
    labels[2][labels[2] == 2] = 1
    labels[2, 0] = 255
    images = np.zeros([3, 20, 30, 3], np.uint8) + np.arange(3).reshape(3, 1, 1, 1).astype(np.uint8)
    split = zip(('right.png', 'missing.png', 'swapped.png'), images, labels)
    return label_errors.review(split, FakePredictor(truths), INFO, 3)


def test_tables_rank_regions_and_images_the_most_suspicious_first(reviewed, tmp_path):
    reviewed.write('title', str(tmp_path))
    # Of 10x10 pixels 8x8 are not at the edge, of 5x5 3x3.
    doubt = np.log(0.801 / 0.101)
    assert [tuple(row.values()) for row in rows_of(tmp_path / 'regions.csv')] == [
        ('1', 'swapped.png', '10', '5', '20', '15', '100', 'c,a"t', 'dog', '%.2f' % (8 * doubt)),
        ('2', 'missing.png', '20', '5', '25', '10', '25', 'ground', 'c,a"t', '%.2f' % (3 * doubt))]
    # Soft minima: 100 of 570 labelled pixels at 0.1, 25 of 600, none; the others at 0.8.
    weight = np.exp(-7)
    expected = [(wrong * 0.1 + right * 0.8 * weight) / (wrong + right * weight)
                for wrong, right in ((100, 470), (25, 575), (0, 600))]
    found = rows_of(tmp_path / 'images.csv')
    assert [row['image'] for row in found] == ['swapped.png', 'missing.png', 'right.png']
    np.testing.assert_allclose([float(row['score']) for row in found], expected, atol=1e-5)
    assert [row['regions'] for row in found] == ['1', '1', '0']


def test_the_page_shows_each_region_with_its_classes_and_a_picture(reviewed, tmp_path):
    text = open(reviewed.write('Labels of toy', str(tmp_path)), encoding='utf-8').read()
    assert text.index('1. swapped.png') < text.index('2. missing.png')
    assert text.count('src="data:image/jpeg') == 2 and 'src="http' not in text
    assert 'c,a&quot;t, likely' in text and '2307.05080' in text


def test_the_page_keeps_the_highest_scores_whatever_the_order_of_the_split(monkeypatch, tmp_path):
    monkeypatch.setattr(label_review, 'SHOWN_REGIONS', 2)
    truths = np.zeros([4, 20, 30], np.uint8)
    for index, side in enumerate((6, 9, 5, 8)):
        truths[index, :side, :side] = 1
    images = np.zeros([4, 20, 30, 3], np.uint8) + np.arange(4).reshape(4, 1, 1, 1).astype(np.uint8)
    split = zip('abcd', images, np.zeros_like(truths))
    found = label_errors.review(split, FakePredictor(truths), INFO, 4)
    text = open(found.write('', str(tmp_path)), encoding='utf-8').read()
    assert '1. b:' in text and '2. d:' in text and text.count('src="data:image/jpeg') == 2
    assert len(rows_of(tmp_path / 'regions.csv')) == 4


def test_a_label_outside_the_classes_names_the_image_and_the_value():
    labels = np.full([4, 4], 3, np.uint8)
    with pytest.raises(ValueError, match='odd.png: label value 3 is neither one of the 3 classes'):
        label_errors.review([('odd.png', np.zeros([4, 4, 3], np.uint8), labels)],
                            FakePredictor([]), INFO, 1)


@pytest.fixture(scope='module')
def run_dir(shapes_dir, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp('run'))
    with tiny_runs.tiny_network():
        tiny_runs.write_run(folder, shapes_dir)
        yield folder


def test_examples_are_those_of_the_records_in_their_order(shapes_dir):
    expected = labels_by_name(shapes_dir, 'train')
    found = list(examples.read(descriptor.load(shapes_dir), shapes_dir, 'train'))
    assert [name for name, _, _ in found] == list(expected)
    for name, image, labels in found:
        assert image.dtype == labels.dtype == np.uint8 and image.shape == labels.shape + (3,)
        np.testing.assert_array_equal(labels, expected[name])


def test_a_run_is_asked_through_the_predictor_at_the_scales_of_the_flags(run_dir, shapes_dir,
                                                                         tmp_path, capsys):
    label_errors.main(['--checkpoint', run_dir, '--split', 'test', '--flip',
                       '--output_dir', str(tmp_path)])
    assert 'regions in 3 images: %s' % (tmp_path / 'label_errors.html') in capsys.readouterr().out
    expected = {}
    with restored.Predictor(loading.load_run(run_dir), options.Passes(
            (1.0,), True, None, 0)) as predictor:
        for name, image, labels in examples.read(descriptor.load(shapes_dir), shapes_dir, 'test'):
            probabilities = predictor.predict(image[None], True).probabilities[0]
            rows, columns = np.nonzero(labels != 255)
            expected[name] = label_quality.image_score(
                probabilities[rows, columns, labels[rows, columns]].astype(np.float32))
    found = {row['image']: float(row['score']) for row in rows_of(tmp_path / 'images.csv')}
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name] == pytest.approx(expected[name], abs=1e-4)


def test_a_split_that_is_not_there_is_refused_with_those_that_are(run_dir):
    with pytest.raises(SystemExit, match="no split 'minival': give --split test or train or val"):
        label_errors.main(['--checkpoint', run_dir, '--split', 'minival'])
