"""figures.py: what the pictures of an evaluation show."""
import io
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from common import lettering
from evaluation import figures


@pytest.fixture
def saved(monkeypatch):
    """Collects the figures that are saved."""
    found, real = [], Figure.savefig
    monkeypatch.setattr(Figure, 'savefig', lambda self, *args, **kwargs: (
        found.append(self), real(self, *args, **kwargs))[1])
    return found


@pytest.mark.parametrize('num_classes', [2, 40])
def test_confusion_shows_each_labels_shares(saved, num_classes):
    matrix = np.zeros([num_classes, num_classes], int)
    matrix[0, :2] = 3, 1
    names = tuple('class %d' % index for index in range(num_classes))
    png, height, width = figures.confusion_png(matrix, names)
    assert Image.open(io.BytesIO(png)).size == (width, height)
    axes = saved[0].axes[0]
    expected = np.zeros([num_classes, num_classes])
    expected[0, :2] = 0.75, 0.25
    np.testing.assert_array_equal(axes.images[0].get_array(), expected)
    for axis in (axes.xaxis, axes.yaxis):
        shown = axis.get_ticklabels()
        assert [label.get_text() for label in shown] == list(names)
        boxes = [label.get_window_extent() for label in shown]
        # None covers its neighbour.
        assert all(not one.overlaps(other) for one, other in zip(boxes, boxes[1:]))


@pytest.mark.parametrize('count', [7, 100])
def test_confusion_names_any_class_without_a_warning(saved, count):
    names = tuple(['_background_', '$x$', 'a$_$', '猫', 'two\nlines', '<b>', 'W' * 255] + [
        'long name %s %d' % ('n' * 99, index) for index in range(7, count)])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        figures.confusion_png(np.eye(count, dtype=int), names)
    shown = [label.get_text() for label in saved[0].axes[0].get_xticklabels()]
    assert shown == list(lettering.labels(names)) and shown[:3] == list(names[:3])
    # The matrix keeps its room.
    assert saved[0].axes[0].get_window_extent().width >= 10 * count


def test_calibration_shows_accuracy_over_confidence_where_there_are_pixels(saved):
    counts = np.zeros([3, 4])
    counts[:, 1], counts[:, 3] = (10, 4, 5), (30, 27, 15)
    assert Image.open(io.BytesIO(figures.calibration_png(counts))).format == 'PNG'
    axes, share_axes = saved[0].axes
    measured = axes.lines[1]
    np.testing.assert_allclose(measured.get_xdata(), [0.4, 0.9])
    np.testing.assert_allclose(measured.get_ydata(), [0.5, 0.5])
    assert [bar.get_height() for bar in share_axes.patches] == [0, 0.25, 0, 0.75]
