"""label_quality.py: scores and regions by hand, and planted errors among soft predictions."""
import numpy as np
import pytest
from scipy import ndimage, special

from evaluation import label_quality

VOID, CLASSES = 255, 6


def test_the_image_score_is_the_soft_minimum_of_the_paper():
    # By SciPy, as the paper has it: the mean weighted by softmax((1 - p) / 0.1).
    confidences = np.array([[0.9, 0.8], [0.3, 1.0]])
    expected = np.sum(confidences * special.softmax((1 - confidences) / 0.1))
    assert label_quality.image_score(confidences) == pytest.approx(expected)
    # By hand: e^(-1 / 0.1) of a pixel of 1 beside one of 0.
    weight = np.exp(-10)
    assert label_quality.image_score([0, 1]) == pytest.approx(weight / (1 + weight))
    assert label_quality.image_score([0.25] * 7) == pytest.approx(0.25)
    assert np.isnan(label_quality.image_score([]))


def test_self_confidence_is_the_probability_of_the_label_and_1_where_it_is_ignored():
    probabilities = np.array([[[0.1, 0.9], [0.6, 0.4], [0.2, 0.8]]], np.float16)
    found = label_quality.of_labels(np.array([[0, 1, VOID]]), probabilities, VOID)
    np.testing.assert_allclose(found, [[0.1, 0.4, 1]], atol=1e-3)


def sure(classes, share, number_of_classes=3):
    """Probabilities that give `share` to each pixel's class and the rest to the others."""
    classes = np.asarray(classes)
    rest = (1 - share) / (number_of_classes - 1)
    return np.where(np.eye(number_of_classes, dtype=bool)[classes], share, rest)


def test_regions_have_box_area_classes_and_a_score_worked_out_by_hand():
    labels = np.zeros([8, 12], np.uint8)
    seen = labels.copy()
    seen[1:6, 2:7] = 2   # a square of 5x5, which the labels miss
    labels[7, 11] = 1    # a single pixel, too small to be told
    probabilities = sure(seen, 0.8)
    region, = label_quality.find_regions(labels, probabilities, VOID)
    assert region[:4] == ((2, 1, 7, 6), 25, 0, 2)
    # 3x3 pixels are not at the edge.
    assert region.score == pytest.approx(3 * np.log(0.801 / 0.101), rel=1e-5)


def test_a_compact_region_comes_before_a_surer_line_of_as_many_pixels():
    labels, seen = np.zeros([12, 60], np.uint8), np.zeros([12, 60], np.uint8)
    seen[0, :49] = 1
    seen[4:11, 10:17] = 2
    probabilities = np.where((seen == 1)[..., np.newaxis], sure(seen, 1.0), sure(seen, 0.8))
    found = label_quality.find_regions(labels, probabilities, VOID)
    assert [(region.likely, region.area) for region in found] == [(2, 49), (1, 49)]


def test_the_likely_class_is_that_of_most_pixels_and_ignored_pixels_are_no_region():
    labels, seen = np.zeros([8, 20], np.uint8), np.zeros([8, 20], np.uint8)
    seen[:, :4], seen[:, 4:10], seen[:, 15:] = 1, 2, 1
    labels[:, 15:] = VOID
    found = label_quality.find_regions(labels, sure(seen, 0.9), VOID)
    assert [(region.box, region.given, region.likely) for region in found] == [
        ((0, 0, 10, 8), 0, 2)]


def drawn(random):
    """Labels of discs and squares without overlap, uint8 [96, 96], and the list of their masks."""
    labels, masks = np.zeros([96, 96], np.uint8), []
    rows, columns = np.mgrid[:96, :96]
    for top in (24, 72):
        for left in (24, 72):
            center = np.array([top, left]) + random.randint(-4, 5, 2)
            radius = random.randint(9, 14)
            distances = np.abs(rows - center[0]), np.abs(columns - center[1])
            measure = np.hypot if random.rand() < 0.5 else np.maximum
            mask = measure(*distances) < radius
            labels[mask] = random.randint(1, CLASSES)
            masks.append(mask)
    return labels, masks


def soft(labels, random):
    """What a middling network says: blurred at borders, off by up to two pixels, and in places
    taken in by another class."""
    moved = ndimage.shift(labels, random.randint(-2, 3, 2), order=0, mode='nearest')
    logits = np.stack([ndimage.gaussian_filter((moved == label).astype(float), 1.5) * 6
                       for label in range(CLASSES)], axis=2)
    for label in range(CLASSES):
        logits[..., label] += 8 * ndimage.gaussian_filter(random.standard_normal(labels.shape), 2)
    return special.softmax(logits, axis=2)


def plant(kind, labels, mask):
    """Returns labels with one known error."""
    wrong, label = labels.copy(), labels[mask][0]
    if kind == 'swapped class':
        wrong[mask] = label % (CLASSES - 1) + 1
    else:
        wrong[mask] = 0
    if kind == 'shifted mask':
        wrong[np.roll(mask, 7, axis=1)] = label
    return wrong


def test_of_30_planted_errors_25_are_in_the_first_60_rows():
    random, rows, planted = np.random.RandomState(0), [], {}
    for index in range(90):
        labels, masks = drawn(random)
        probabilities = soft(labels, random)
        if index % 3 == 0:
            kind = ('swapped class', 'shifted mask', 'missing object')[index // 3 % 3]
            wrong = plant(kind, labels, masks[random.randint(4)])
            planted[index], labels = wrong != labels, wrong
        rows += [(region, index) for region in label_quality.find_regions(
            labels, probabilities, VOID)]
    assert len(planted) == 30 and len(rows) > 300  # the network is wrong elsewhere, and often
    rows.sort(key=lambda row: -row[0].score)
    found = {index for region, index in rows[:60] if index in planted and planted[index][
        region.box[1]:region.box[3], region.box[0]:region.box[2]].sum() >= region.area / 2}
    assert len(found) >= 25
