"""Pictures of scores: confusion matrices and calibration."""
import numpy as np

from common import lettering, pictures

# Inches of a class in a confusion matrix, of a letter beside it, and of all else.
_CELL, _SMALL_CELL, _LETTER, _MARGIN = 0.32, 0.16, 0.1, 1.1
_MOST_CELLS = 30  # of the larger ones


def confusion_png(matrix, class_names, with_numbers=False):
    """Draws a confusion matrix, each row as shares of its label.

    Args:
      matrix: int [classes, classes], rows are labels.
      class_names: tuple of str.
      with_numbers: bool, whether to write the shares into the cells, in percent.

    Returns:
      (PNG bytes, height, width).
    """
    matrix = np.asarray(matrix, np.float64)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = lettering.labels(class_names)
    cell = _CELL if len(names) <= _MOST_CELLS else _SMALL_CELL
    size = max(4.0, cell * len(names) + _LETTER * max(map(len, names)) + _MARGIN)
    figure = pictures.figure(size + 0.8, size, dpi=80)
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap='Blues')
    lettering.label_ticks(axes.xaxis, names, rotation=90, fontsize=8)
    lettering.label_ticks(axes.yaxis, names, fontsize=8)
    for row, column in np.argwhere(shares >= 0.005) if with_numbers else ():
        axes.text(column, row, '%.0f' % (100 * shares[row, column]), ha='center', va='center',
                  fontsize=7, color='white' if shares[row, column] > 0.5 else 'black')
    axes.set_xlabel('predicted')
    axes.set_ylabel('label')
    figure.colorbar(image, ax=axes, fraction=0.046)
    width, height = figure.canvas.get_width_height()
    return pictures.figure_png(figure), height, width


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
    figure = pictures.figure(5, 5.2, dpi=80)
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
    return pictures.figure_png(figure)
