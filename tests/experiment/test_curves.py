"""curves.py: the picture of a run shows what metrics.jsonl holds."""
import os

import pytest
from matplotlib.figure import Figure
from PIL import Image

from dataset import descriptor
from experiment import curves

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


def test_a_run_that_logged_nothing_yet_has_empty_curves(tmp_path):
    curves.draw([], str(tmp_path), INFO)
    assert (tmp_path / curves.CURVES_NAME).exists()
