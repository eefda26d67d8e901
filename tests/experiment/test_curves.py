"""curves.py: the picture of a run shows what metrics.jsonl holds."""
import os
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from common import lettering
from dataset import descriptor, palette
from experiment import curves, run_log

INFO = descriptor.create('toy', ('ground', 'cat'), 255, colors=((1, 2, 3), (9, 8, 7)))


@pytest.fixture
def figures(monkeypatch):
    """Collects the figures that are saved."""
    saved, real = [], Figure.savefig
    monkeypatch.setattr(Figure, 'savefig', lambda self, *args, **kwargs: (
        saved.append(self), real(self, *args, **kwargs))[1])
    return saved


def entries(losses):
    """What two trained and one evaluated step log; the class "cat" is in no label at step 2."""
    return [{'step': 1, 'loss/total': losses[0], 'loss/cross_entropy': losses[0] / 2,
             'learning_rate': 0.01},
            {'step': 2, 'loss/total': losses[1], 'loss/cross_entropy': losses[1] / 2,
             'learning_rate': 0.005},
            {'step': 2, 'validation/loss': 3.0, 'validation/mean_iou': 0.25,
             'validation/pixel_accuracy': 0.5, 'validation_iou/ground': 0.25,
             'validation_iou/cat': None}]


def lines_of(axes):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
            for line in axes.lines}


def test_curves_show_loss_rate_scores_and_classes(tmp_path, figures):
    curves.draw(entries([4.0, 2.0]), str(tmp_path), INFO)
    loss, rate, scores, classes = figures[0].axes
    assert lines_of(loss) == {'loss/total': ([1, 2], [4, 2]), 'validation/loss': ([2], [3]),
                              'loss/cross_entropy': ([1, 2], [2, 1])}
    assert list(lines_of(rate).values()) == [([1, 2], [0.01, 0.005])]
    assert lines_of(scores) == {'validation/mean_iou': ([2], [0.25]),
                                'validation/pixel_accuracy': ([2], [0.5])}
    assert lines_of(classes) == {'ground': ([2], [0.25]), 'cat': ([], [])}
    assert os.listdir(str(tmp_path)) == [curves.CURVES_NAME]
    assert Image.open(str(tmp_path / curves.CURVES_NAME)).size == (1080, 720)


@pytest.mark.parametrize('losses', [[4.0, 2.3], [300.0, 0.02]])
def test_losses_can_be_read_off(tmp_path, figures, losses):
    curves.draw(entries(losses), str(tmp_path), INFO)
    axes = figures[0].axes[0]
    bottom, top = axes.get_ylim()
    read = [label.get_text() for label, place in zip(
        axes.get_yticklabels(), axes.get_yticks()) if bottom <= place <= top]
    assert len(read) >= 3 and all(float(text) > 0 for text in read)


def test_losses_that_are_all_0_are_drawn_without_a_warning(tmp_path, figures):
    logged = [dict(entry, **{tag: 0.0 for tag in entry if 'loss' in tag})
              for entry in entries([0.0, 0.0])]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        curves.draw(logged, str(tmp_path), INFO)
    assert lines_of(figures[0].axes[0])['loss/total'] == ([1, 2], [0, 0])
    assert figures[0].axes[0].get_ylim()[0] <= 0


def test_a_run_that_logged_nothing_yet_has_empty_curves(tmp_path):
    curves.draw([], str(tmp_path), INFO)
    assert (tmp_path / curves.CURVES_NAME).exists()


@pytest.mark.parametrize('count', [6, 90])
def test_curves_name_all_classes_in_their_colours_without_a_warning(tmp_path, figures, count):
    names = ['_background_', '$x$', '猫', 'a\nb', '<b>', 'W' * 255] + [
        'long name %s %d' % ('n' * 99, index) for index in range(6, count)]
    info = descriptor.create('toy', names, 255)
    logged = [{'step': 2, 'validation/loss': 3.0, **{
        run_log.iou_tag(name): 0.5 for name in names}}]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        curves.draw(logged, str(tmp_path), info)
    axes = figures[0].axes[3]
    legend = axes.get_legend()
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown == list(lettering.labels(names, 20)) and shown[:2] == names[:2]
    expected = np.divide(palette.of_classes(info), 255)
    np.testing.assert_allclose([line.get_color() for line in axes.lines], expected)
    assert all(list(line.get_ydata()) == [0.5] for line in axes.lines)
    # Nothing is cut off, and the curves keep their room.
    assert legend.get_window_extent().x1 <= figures[0].bbox.x1
    assert axes.get_window_extent().width > 300
