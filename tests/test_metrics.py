"""metrics.py and evaluation/scores.py, against scores computed by hand."""
import warnings

import numpy as np
import pytest

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


def test_post_scores_do_not_count_a_class_that_is_predicted_but_absent():
    matrix = metrics.confusion_matrix([0, 0, 1, 1, VOID], [0, 2, 1, 1, 2], 3, VOID)
    pixel_accuracy, mean_accuracy, mean_iou, weighted_iou = metrics.post_image_scores(matrix)
    assert pixel_accuracy == pytest.approx(3 / 4)
    assert mean_accuracy == pytest.approx((1 / 2 + 1) / 2)
    assert mean_iou == pytest.approx((1 / 2 + 1) / 2)
    assert weighted_iou == pytest.approx(1 / 2 * 1 / 2 + 1 / 2 * 1)
    # The benchmark divides by three classes.
    assert metrics.scores(matrix).mean_iou == pytest.approx((1 / 2 + 1 + 0) / 3)


def test_post_scores_count_a_class_that_is_missed_as_zero():
    matrix = metrics.confusion_matrix([0, 0, 1, 2], [0, 0, 0, 0], 3, VOID)
    np.testing.assert_allclose(metrics.post_image_scores(matrix),
                               [1 / 2, 1 / 3, (1 / 2) / 3, 1 / 2 * 1 / 2])


def post_scores_by_definition(labels, predictions):
    """The definitions of the post's code, pixel by pixel on one image."""
    labels, predictions = labels[labels != VOID], predictions[labels != VOID]
    present, weighted = np.unique(labels), 0.0
    accuracies, iou_sum = [], 0.0
    for class_id in np.union1d(present, predictions):
        is_label, is_predicted = labels == class_id, predictions == class_id
        if class_id in present:
            accuracies.append((is_label & is_predicted).sum() / is_label.sum())
        if is_label.any() and is_predicted.any():
            iou = (is_label & is_predicted).sum() / (is_label | is_predicted).sum()
            iou_sum += iou
            weighted += is_label.sum() * iou
    return [(labels == predictions).mean(), np.mean(accuracies), iou_sum / len(present),
            weighted / len(labels)]


def test_post_scores_equal_their_definition_on_random_images():
    random = np.random.RandomState(0)
    for _ in range(30):
        labels = random.choice([0, 1, 3, 6, VOID], [9, 11])
        predictions = np.where(random.rand(9, 11) < 0.5, labels % 8, random.randint(0, 8, [9, 11]))
        matrix = metrics.confusion_matrix(labels, predictions, 8, VOID)
        np.testing.assert_allclose(metrics.post_image_scores(matrix),
                                   post_scores_by_definition(labels, predictions))


def test_image_without_a_labelled_pixel_has_no_post_scores():
    assert metrics.post_image_scores(np.zeros([3, 3], int)) is None


def test_mean_iou_of_counts_is_that_of_the_matrix():
    random = np.random.RandomState(0)
    matrices = random.randint(0, 9, [5, 4, 4])
    matrices[2, 3] = matrices[2, :, 3] = 0
    stacked = np.stack([metrics.counts(matrix) for matrix in matrices])
    np.testing.assert_allclose(metrics.mean_iou(stacked),
                               [metrics.scores(matrix).mean_iou for matrix in matrices])
    assert metrics.mean_iou(stacked.sum(axis=0)) == pytest.approx(
        metrics.scores(matrices.sum(axis=0)).mean_iou)


def test_bootstrap_interval_of_equal_images_is_a_point():
    image_counts = np.stack([metrics.counts(MATRIX)] * 7)
    expected = metrics.scores(MATRIX).mean_iou
    assert metrics.bootstrap_mean_iou(image_counts) == pytest.approx((expected, expected))


def test_bootstrap_interval_of_one_image_is_its_score_and_of_none_labelled_is_none():
    one = np.stack([metrics.counts([[3, 1], [0, 0]])])  # IoU 3/4 and 0
    assert metrics.bootstrap_mean_iou(one) == (0.375, 0.375)
    void = np.zeros([2, 3, 2], np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert np.isnan(metrics.bootstrap_mean_iou(void)).all()
        # Draws of the second image alone have no score.
        assert metrics.bootstrap_mean_iou(np.concatenate([one, void[:1]])) == (0.375, 0.375)


def test_bootstrap_interval_has_the_spread_that_statistics_expects():
    # One class of 0 and 1: images that are all right or all wrong, half and half. With n
    # images the share that is right has the standard deviation 0.5 / sqrt(n).
    right, wrong = metrics.counts([[4, 0], [0, 0]]), metrics.counts([[0, 0], [4, 0]])
    image_counts = np.stack([right, wrong] * 200)
    shares = []
    low, high = metrics.bootstrap_mean_iou(image_counts, num_samples=2000)
    for draw in (low, high):
        # Two equal rows: IoU of class 0 is p, of class 1 (only in labels) is 0.
        shares.append(2 * draw)
    assert shares[0] == pytest.approx(0.5 - 1.96 * 0.5 / 20, abs=0.006)
    assert shares[1] == pytest.approx(0.5 + 1.96 * 0.5 / 20, abs=0.006)
    assert metrics.bootstrap_mean_iou(image_counts, 50, seed=1) == \
        metrics.bootstrap_mean_iou(image_counts, 50, seed=1)
    assert metrics.bootstrap_mean_iou(image_counts, 50, seed=1) != \
        metrics.bootstrap_mean_iou(image_counts, 50, seed=2)


def test_calibration_error_is_that_of_the_definition():
    # 15 bins: 0.02 and 0.05 fall into the first, 0.97 and 1.0 into the last.
    counts = metrics.calibration_counts(np.array([[0.02, 0.05], [0.97, 1.0], [0.5, 0.5]]),
                                        np.array([[False, True], [True, True], [True, False]]))
    assert counts.shape == (3, metrics.CALIBRATION_BINS) and counts[0].sum() == 6
    assert counts[:, 0].tolist() == pytest.approx([2, 0.07, 1])
    assert counts[:, -1].tolist() == pytest.approx([2, 1.97, 2])
    expected = 2 / 6 * abs(0.5 - 0.035) + 2 / 6 * abs(1 - 0.985) + 2 / 6 * abs(0.5 - 0.5)
    assert metrics.expected_calibration_error(counts) == pytest.approx(expected)
    assert metrics.expected_calibration_error(2 * counts) == pytest.approx(expected)
    assert np.isnan(metrics.expected_calibration_error(0 * counts))


def boundary_by_definition(ids, label, distance):
    """Of one class, by eroding its mask step by step; outside of the image nothing belongs."""
    eroded = np.pad(ids == label, distance, mode='constant')
    for _ in range(distance):
        inner = eroded.copy()
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                inner &= np.roll(eroded, (down, right), axis=(0, 1))
        eroded = inner
    return (ids == label) & ~eroded[distance:-distance, distance:-distance]


def test_boundary_iou_is_that_of_the_masks_eroded_class_by_class():
    random = np.random.RandomState(3)
    labels = np.kron(random.randint(0, 4, [5, 6]), np.ones([24, 24], int))
    predictions = np.roll(labels, (2, -3), axis=(0, 1))
    distance = int(round(0.02 * np.hypot(120, 144)))
    assert distance == 4
    expected = []
    for label in range(4):
        pair = [boundary_by_definition(ids, label, distance) for ids in (labels, predictions)]
        expected.append((pair[0] & pair[1]).sum() / (pair[0] | pair[1]).sum())
    found = metrics.boundary_iou(metrics.boundary_counts(labels, predictions, 5, VOID))
    np.testing.assert_allclose(found[:4], expected)
    assert np.isnan(found[4])
    assert min(expected) < 0.9


def test_a_right_prediction_has_the_boundary_iou_1_whatever_is_ignored():
    labels = np.kron(np.random.RandomState(0).randint(0, 3, [4, 4]), np.ones([20, 20], int))
    predictions = labels.copy()
    labels[18:23] = VOID
    np.testing.assert_allclose(
        metrics.boundary_iou(metrics.boundary_counts(labels, predictions, 3, VOID)), 1.0)
    predictions[19:22] = 0  # where it is ignored
    np.testing.assert_allclose(
        metrics.boundary_iou(metrics.boundary_counts(labels, predictions, 3, VOID)), 1.0)


@pytest.mark.parametrize('size', [(1, 1), (1, 90), (3, 2)])
def test_all_of_a_tiny_image_is_boundary(size):
    labels = np.zeros(size, np.uint8)
    counts = metrics.boundary_counts(labels, labels, 2, VOID)
    assert counts[:, 0].tolist() == [labels.size] * 3
