"""metrics.py and the report of evaluation.py, against scores computed by hand."""
import numpy as np
import pytest

import evaluation
import metrics

VOID = 255
LABELS = np.array([[0, 0, 0, 0, 1], [1, 1, 2, 2, VOID]])
PREDICTIONS = np.array([[0, 0, 0, 1, 1], [1, 2, 2, 0, 1]])
MATRIX = [[3, 1, 0],
          [0, 2, 1],
          [1, 0, 1]]


def test_matrix_counts_labels_in_rows_and_predictions_in_columns_without_void():
    matrix = metrics.confusion_matrix(LABELS, PREDICTIONS, 3, VOID)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, MATRIX)


def test_scores_equal_those_computed_by_hand():
    scores = metrics.scores(MATRIX)
    # Unions: 4 + 4 - 3, 3 + 3 - 2, 2 + 2 - 1.
    np.testing.assert_allclose(scores.per_class_iou, [3 / 5, 2 / 4, 1 / 3])
    assert scores.pixel_accuracy == pytest.approx(6 / 9)
    assert scores.mean_accuracy == pytest.approx((3 / 4 + 2 / 3 + 1 / 2) / 3)
    assert scores.mean_iou == pytest.approx((3 / 5 + 2 / 4 + 1 / 3) / 3)
    assert scores.frequency_weighted_iou == pytest.approx(
        4 / 9 * 3 / 5 + 3 / 9 * 2 / 4 + 2 / 9 * 1 / 3)


def test_perfect_predictions_score_one():
    scores = metrics.scores(np.diag([5, 3, 2]))
    assert scores[:4] == (1, 1, 1, 1)
    np.testing.assert_array_equal(scores.per_class_iou, [1, 1, 1])


def test_class_that_neither_labels_nor_predictions_hold_is_nan_and_left_out_of_the_means():
    matrix = np.zeros([4, 4], int)
    matrix[:3, :3] = MATRIX
    padded, plain = metrics.scores(matrix), metrics.scores(MATRIX)
    assert np.isnan(padded.per_class_iou[3])
    assert padded[:4] == pytest.approx(plain[:4])


def test_class_that_is_only_predicted_has_iou_zero_and_counts_in_the_mean():
    scores = metrics.scores([[3, 1], [0, 0]])
    np.testing.assert_allclose(scores.per_class_iou, [3 / 4, 0])
    assert scores.mean_iou == pytest.approx(3 / 8)
    assert scores.mean_accuracy == pytest.approx(3 / 4)  # over the classes in the labels
    assert scores.frequency_weighted_iou == pytest.approx(3 / 4)


def test_matrix_without_a_pixel_has_nan_scores():
    matrix = metrics.confusion_matrix([VOID], [0], 3, VOID)
    np.testing.assert_array_equal(matrix, np.zeros([3, 3]))
    scores = metrics.scores(matrix)
    assert np.isnan(scores[:4]).all()
    assert np.isnan(scores.per_class_iou).all()


def test_sum_of_matrices_equals_the_matrix_of_all_pixels():
    random = np.random.RandomState(0)
    labels = random.choice([0, 1, 2, 3, VOID], [6, 7, 8])
    predictions = random.randint(0, 4, [6, 7, 8])
    parts = sum(metrics.confusion_matrix(label, prediction, 4, VOID)
                for label, prediction in zip(labels, predictions))
    whole = metrics.confusion_matrix(labels, predictions, 4, VOID)
    np.testing.assert_array_equal(parts, whole)
    assert whole.sum() == (labels != VOID).sum()


def test_uint8_ids_of_many_classes_do_not_overflow():
    labels = np.array([20], np.uint8)
    matrix = metrics.confusion_matrix(labels, labels, 21, VOID)
    assert matrix[20, 20] == 1
    assert matrix.sum() == 1


def test_ignore_label_just_behind_the_classes_is_left_out():
    matrix = metrics.confusion_matrix([0, 11, 10], [0, 3, 10], 11, 11)
    assert matrix.sum() == matrix[0, 0] + matrix[10, 10] == 2


def test_different_shapes_are_refused_showing_both():
    with pytest.raises(ValueError, match=r'\(2, 3\).*\(3, 2\)'):
        metrics.confusion_matrix(np.zeros([2, 3]), np.zeros([3, 2]), 3, VOID)


@pytest.mark.parametrize('labels, predictions, shown', [
    ([0, 3], [0, 0], 'label ids run from 0 to 3'),
    ([-1, 1], [0, 0], 'label ids run from -1 to 1'),
    ([0, 1], [0, 7], 'prediction ids run from 0 to 7'),
    ([0, 1], [-2, 0], 'prediction ids run from -2 to 0'),
])
def test_ids_outside_the_classes_are_refused_showing_their_range(labels, predictions, shown):
    with pytest.raises(ValueError, match=shown):
        metrics.confusion_matrix(labels, predictions, 3, VOID)


def test_prediction_outside_the_classes_at_a_void_pixel_does_not_matter():
    matrix = metrics.confusion_matrix([0, VOID], [0, 99], 3, VOID)
    assert matrix.sum() == matrix[0, 0] == 1


def test_report_names_each_class_and_the_four_scores():
    scores = metrics.scores([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    lines = [line.rsplit(None, 1) for line in
             evaluation.report(scores, ('ground', 'cat', 'dog')).splitlines()]
    assert lines[:3] == [['ground', '0.7500'], ['cat', '0.6667'], ['dog', 'absent']]
    assert set(lines[3][0]) == {'-'}
    assert lines[4:] == [['pixel accuracy', '0.8333'], ['mean accuracy', '0.8750'],
                         ['mean IoU', '0.7083'], ['frequency-weighted IoU', '0.7222']]


def test_report_aligns_its_numbers_behind_the_longest_class_name():
    name = 'a class with a rather long name'
    lines = evaluation.report(metrics.scores([[1, 0], [0, 1]]), (name, 'b')).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0] == name + ' 1.0000'
