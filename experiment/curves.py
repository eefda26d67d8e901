"""Pictures of numbers: curves.png of a run, confusion matrices, calibration. No TensorFlow."""
import io
import os

import numpy as np
from matplotlib import cm
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

CURVES_NAME = 'curves.png'
_MOST_NAMES = 30  # beyond it the labels of a confusion matrix would overlap


def _series(entries, tag):
    """Returns (steps, values) of a tag."""
    points = [(entry['step'], entry[tag]) for entry in entries if entry.get(tag) is not None]
    return ([step for step, _ in points], [value for _, value in points])


def draw(entries, model_dir):
    """Draws losses, learning rate, mean IoU and per-class IoU over the steps as curves.png.

    Args:
      entries: list of dicts, see `run_log.read_metrics`.
      model_dir: str; the file is written to a temporary name and renamed.
    """
    figure = Figure(figsize=(12, 8))
    FigureCanvasAgg(figure)
    loss_axes, rate_axes, iou_axes, class_axes = figure.subplots(2, 2).ravel()
    for tag, style in (('loss/total', '.-'), ('loss/cross_entropy', '.-'),
                       ('validation/loss', 'o-')):
        if _series(entries, tag)[0]:
            loss_axes.plot(*_series(entries, tag), style, markersize=4, label=tag)
    loss_axes.set_yscale('log')
    # Numbers to read off also where the losses span less than a power of ten.
    loss_axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss_axes.yaxis.set_major_formatter(FormatStrFormatter('%g'))
    loss_axes.yaxis.set_minor_formatter(NullFormatter())
    rate_axes.plot(*_series(entries, 'learning_rate'), '.-')
    for tag in ('validation/mean_iou', 'validation/pixel_accuracy'):
        iou_axes.plot(*_series(entries, tag), 'o-', markersize=4, label=tag)
    tags = sorted({tag for entry in entries for tag in entry if tag.startswith('validation_iou/')})
    for index, tag in enumerate(tags):
        class_axes.plot(*_series(entries, tag), 'o-', markersize=3, label=tag.split('/', 1)[1],
                        color=cm.nipy_spectral(0.95 * index / len(tags)))
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
    if tags:
        class_axes.legend(fontsize=7, ncol=1 + len(tags) // 18, loc='center left',
                          bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    path = os.path.join(model_dir, CURVES_NAME)
    figure.savefig(path + '.tmp', format='png', dpi=90)
    os.replace(path + '.tmp', path)


def confusion_png(matrix, class_names):
    """Draws a confusion matrix, each row as shares of its label.

    Args:
      matrix: int [classes, classes], rows are labels.
      class_names: tuple of str.

    Returns:
      (PNG bytes, height, width).
    """
    matrix = np.asarray(matrix, np.float64)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    size = max(4.0, 0.32 * len(class_names) + 2.5)
    figure = Figure(figsize=(size + 0.8, size), dpi=80)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap='Blues')
    if len(class_names) <= _MOST_NAMES:
        axes.set_xticks(range(len(class_names)))
        axes.set_xticklabels(class_names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(class_names)))
        axes.set_yticklabels(class_names, fontsize=8)
    axes.set_xlabel('predicted')
    axes.set_ylabel('label')
    figure.colorbar(image, ax=axes, fraction=0.046)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    width, height = figure.canvas.get_width_height()
    return buffer.getvalue(), height, width


def calibration_png(bin_counts):
    """Draws how often predictions of each confidence are right, and how many there are.

    Args:
      bin_counts: float64 [3, bins], see `metrics.calibration_counts`.

    Returns:
      PNG bytes.
    """
    num_pixels, confidence_sum, num_right = np.asarray(bin_counts, np.float64)
    edges = np.linspace(0, 1, len(num_pixels) + 1)
    filled = num_pixels > 0
    figure = Figure(figsize=(5, 5.2), dpi=80)
    FigureCanvasAgg(figure)
    axes, share_axes = figure.subplots(2, 1, sharex=True,
                                       gridspec_kw={'height_ratios': [3, 1]})
    axes.plot([0, 1], [0, 1], color='0.6', linewidth=1, label='calibrated')
    axes.plot(confidence_sum[filled] / num_pixels[filled], num_right[filled] / num_pixels[filled],
              'o-', markersize=4, label='measured')
    axes.set_ylabel('share of right pixels')
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.legend(fontsize=8)
    share_axes.bar(edges[:-1], num_pixels / max(num_pixels.sum(), 1), width=edges[1],
                   align='edge', edgecolor='white')
    share_axes.set_xlabel('confidence: probability of the predicted class')
    share_axes.set_ylabel('share of pixels')
    for each in (axes, share_axes):
        each.grid(alpha=0.3)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()
