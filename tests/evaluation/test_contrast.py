"""contrast.py: differences by hand, what is refused, what changed most."""
import copy

import numpy as np
import pytest

import metrics
from common import files
from common.errors import UserError
from dataset import descriptor
from evaluation import contrast, contrast_report, results
from inference import drawing

INFO = descriptor.create('toy', ('ground', 'cat', 'dog'), 255)
SCORES = {'split': 'test', 'benchmark': {'definition': 'a', 'mean_iou': None},
          'data': {'dataset_dir': '/data', 'fingerprint': 'f' * 64, 'ignore_label': 255,
                   'class_names': ['ground', 'cat', 'dog']}}


def counts_of(*matrices):
    return np.stack([metrics.counts(matrix) for matrix in matrices])


def test_the_difference_is_that_of_the_summed_scores_and_its_interval_that_of_paired_draws():
    first = counts_of([[6, 2], [1, 1]], [[4, 0], [3, 3]], [[9, 1], [0, 0]])
    second = counts_of([[7, 1], [0, 2]], [[4, 0], [2, 4]], [[8, 2], [0, 0]])
    found, by_class = contrast.bootstrap((first, second))
    # Summed: class 0 is 19 right of 26 and 19 of 24; class 1 is 4 right of 11 and 6 of 11.
    assert by_class[0].mean == pytest.approx(19 / 24 - 19 / 26)
    assert by_class[1].mean == pytest.approx(6 / 11 - 4 / 11)
    assert found.mean == pytest.approx((by_class[0].mean + by_class[1].mean) / 2)
    # The plain way: the same images of both, draw by draw.
    random, draws = np.random.RandomState(0), []
    for _ in range(metrics.BOOTSTRAP_SAMPLES):
        drawn = random.randint(3, size=3)
        draws.append(metrics.mean_iou(second[drawn].sum(axis=0))
                     - metrics.mean_iou(first[drawn].sum(axis=0)))
    assert found[1:] == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])))


def test_equal_runs_differ_by_nothing_and_an_absent_class_has_no_difference():
    same = counts_of(np.diag([3, 2, 0]), np.array([[1, 1, 0], [0, 2, 0], [0, 0, 0]]))
    found, by_class = contrast.bootstrap((same, same))
    assert found == (0, 0, 0) and by_class[0] == (0, 0, 0)
    assert np.isnan(by_class[2]).all()


@pytest.mark.parametrize('difference, words', [
    ((0.1, 0.05, 0.2), 'second is better'), ((-0.1, -0.2, -0.05), 'first is better'),
    ((0.1, -0.01, 0.2), 'do not tell')])
def test_the_verdict_is_as_sure_as_the_interval(difference, words):
    assert words in contrast_report.verdict(contrast.Difference(*difference))


@pytest.mark.parametrize('place, value, message', [
    (('split',), 'train', 'their split differ: test and train'),
    (('benchmark', 'definition'), 'b', 'their definition differ: a and b'),
    (('data', 'ignore_label'), 254, 'ignore label differ: 255 and 254'),
    (('data', 'fingerprint'), 'e' * 64, 'data differ: /data .fingerprint f{12}. and .*e{12}')])
def test_what_is_not_of_the_same_is_refused(place, value, message):
    other = copy.deepcopy(SCORES)
    inner = other
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(UserError, match='^one and two cannot be compared, .*' + message):
        contrast.check_alike(['one', 'two'], [SCORES, other])


def test_other_classes_are_refused():
    contrast.check_classes(['one', 'two'], [['a', 'b'], ['a', 'b']])
    with pytest.raises(UserError, match='^one and two cannot be compared, their class names'):
        contrast.check_classes(['one', 'two'], [['a', 'b'], ['b', 'a']])


def test_a_copy_of_the_data_elsewhere_is_the_same_data():
    other = copy.deepcopy(SCORES)
    other['data']['dataset_dir'] = '/copy'
    contrast.check_alike(['one', 'two'], [SCORES, other])


def test_results_of_an_earlier_commit_are_refused_with_the_way_out(tmp_path):
    files.write_json({'split': 'test'}, str(tmp_path / 'scores.json'))
    with pytest.raises(UserError, match='scores.json does not say .*give the run in its place'):
        contrast.load(str(tmp_path))


@pytest.fixture
def written(tmp_path):
    """Two folders of predictions of three images; returns them, their scores and the images."""
    labels = np.zeros([3, 4, 6], np.uint8)
    labels[:, :, 3:] = 1
    first, second = labels.copy(), labels.copy()
    second[1, :, 5] = 0           # a bit worse
    first[2], second[2] = 0, labels[2]  # far better
    images = np.zeros([3, 4, 6, 3], np.uint8)
    scores = []
    for folder, predictions in (('one', first), ('two', second)):
        (tmp_path / folder / 'predictions').mkdir(parents=True)
        matrix = 0
        for name, ids, truth in zip('abc', predictions, labels):
            drawing.save_palette_png(ids, results.prediction_path(
                str(tmp_path / folder), name + '.jpg'), INFO)
            matrix = matrix + metrics.confusion_matrix(truth, ids, 3, 255)
        scores.append({'benchmark': {'mean_iou': metrics.scores(matrix).mean_iou}})
    examples = list(zip(('a.jpg', 'b.jpg', 'c.jpg'), images, labels))
    return [str(tmp_path / 'one'), str(tmp_path / 'two')], scores, examples


def test_images_are_counted_again_and_those_that_changed_most_come_first(written):
    folders, scores, examples = written
    pairs = contrast.read(folders, scores, examples, INFO)
    assert pairs.names == ['a.jpg', 'b.jpg', 'c.jpg']
    np.testing.assert_array_equal(pairs.image_counts[0][2], [[12, 0, 0], [12, 12, 0], [24, 0, 0]])
    # c: from (1/2 + 0) / 2 to 1. b: from 1 to (12/16 + 8/12) / 2. a did not change.
    assert [name for _, name, _ in pairs.changed] == ['c.jpg', 'b.jpg']
    assert [change for change, _, _ in pairs.changed] == pytest.approx(
        [0.75, (12 / 16 + 8 / 12) / 2 - 1])


def test_predictions_that_were_not_scored_are_refused(written):
    folders, scores, examples = written
    scores[1]['benchmark']['mean_iou'] += 0.01
    with pytest.raises(UserError, match='two have the mean IoU .*run test.py again'):
        contrast.read(folders, scores, examples, INFO)
    with pytest.raises(UserError, match='d.png is missing'):
        contrast.read(folders, scores, [('d.jpg',) + examples[0][1:]], INFO)
