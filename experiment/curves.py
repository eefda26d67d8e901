"""curves.png of a run: what metrics.jsonl holds, drawn over the steps."""
import os

import numpy as np

from common import lettering, pictures
from dataset import palette
from experiment import run_log

CURVES_NAME = 'curves.png'


def _series(entries, tag):
    """Returns (steps, values) of a tag."""
    points = [(entry['step'], entry[tag]) for entry in entries if entry.get(tag) is not None]
    return ([step for step, _ in points], [value for _, value in points])


def _draw_losses(axes, entries):
    # As in `pictures.figure`: `--help` does without matplotlib.
    from matplotlib import ticker
    for tag, style in (('loss/total', '.-'), ('loss/cross_entropy', '.-'),
                       ('validation/loss', 'o-')):
        if _series(entries, tag)[0]:
            axes.plot(*_series(entries, tag), style, markersize=4, label=tag)
    if not any(max(line.get_ydata()) > 0 for line in axes.lines):
        return  # a logarithm has nothing to show
    axes.set_yscale('log')
    # Numbers to read off also where the losses span less than a power of ten.
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.FormatStrFormatter('%g'))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())


def _draw_classes(axes, entries, info, names):
    lines = [axes.plot(*_series(entries, run_log.iou_tag(class_name)), 'o-', markersize=3,
                       color=np.divide(color, 255), label=name)[0]
             for class_name, name, color in zip(info.class_names, names, palette.of_classes(info))]
    if any(line.get_xdata().size for line in lines):
        lettering.legend(axes, lines, names, fontsize=7, ncol=_columns(names),
                         loc='center left', bbox_to_anchor=(1.0, 0.5))


def _columns(names):
    return 1 + len(names) // 18


def draw(entries, model_dir, info):
    """Draws losses, learning rate, mean IoU and per-class IoU over the steps as curves.png.

    Args:
      entries: list of dicts, see `run_log.read_metrics`.
      model_dir: str; the file is written to a temporary name and renamed.
      info: `dataset.descriptor.DatasetInfo`.
    """
    names = lettering.labels(info.class_names, most_letters=20)
    # Long names and many get their room beside the curves.
    legend_width = _columns(names) * (0.55 + 0.07 * max(map(len, names)))
    figure = pictures.figure(12 + max(0, legend_width - 2.5), 8, dpi=90)
    loss_axes, rate_axes, iou_axes, class_axes = figure.subplots(2, 2).ravel()
    _draw_losses(loss_axes, entries)
    rate_axes.plot(*_series(entries, 'learning_rate'), '.-')
    for tag in ('validation/mean_iou', 'validation/pixel_accuracy'):
        iou_axes.plot(*_series(entries, tag), 'o-', markersize=4, label=tag)
    _draw_classes(class_axes, entries, info, names)
    for axes, title in ((loss_axes, 'loss'), (rate_axes, 'learning rate'),
                        (iou_axes, 'validation scores'), (class_axes, 'validation IoU by class')):
        axes.set_title(title)
        axes.set_xlabel('step')
        axes.grid(alpha=0.3)
    for axes in (iou_axes, class_axes):
        axes.set_ylim(0, 1)
    for axes in (loss_axes, iou_axes):
        if axes.lines:
            axes.legend(fontsize=8)
    pictures.save_bytes(pictures.figure_png(figure), os.path.join(model_dir, CURVES_NAME))
