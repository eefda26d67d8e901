"""The drawings of the notebooks, with matplotlib, free of TensorFlow.

Each function draws one figure, which Jupyter shows at the end of the cell.
"""
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import patches
from matplotlib.ticker import MaxNLocator

from common import lettering
from dataset import palette

_GREY, _MARK, _SECOND = '0.45', 'tab:orange', 'tab:blue'


def colors_of(ids, info):
    """Colours a label map as a data set does: uint8 [height, width, 3] of integer ids."""
    return palette.of(info)[np.asarray(ids)]


def add_class_legend(figure, label_maps, info):
    """Puts a legend of the classes that occur in some label maps below a figure.

    Args:
      figure: `matplotlib.figure.Figure`.
      label_maps: list of integer arrays.
      info: `dataset.descriptor.DatasetInfo`: names and colours; its ignore label is called void.
    """
    colors = palette.of(info) / 255.
    names = dict(enumerate(lettering.labels(info.class_names)))
    names[info.ignore_label] = 'void'
    present = np.unique(np.concatenate([np.ravel(ids) for ids in label_maps]))
    handles = [patches.Patch(facecolor=colors[label], edgecolor=_GREY) for label in present]
    # The lower edge: room for it is made by bbox_inches, which Jupyter sets to 'tight'.
    lettering.legend(figure, handles, [names[label] for label in present], loc='upper center',
                     bbox_to_anchor=(0.5, 0), frameon=False, ncol=min(len(handles), 7))


def _pictures(rows, columns, width, height, **spacing):
    """Makes a figure of axes without ticks; returns (figure, array [rows, columns] of axes)."""
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False,
                                gridspec_kw=spacing)
    for one in axes.flat:
        one.set(xticks=[], yticks=[])
    return figure, axes


def show_predictions(pictures, info):
    """Draws rows of image, label where there is one, prediction and its probability.

    Args:
      pictures: list of (name str, image uint8 [h, w, 3], labels [h, w] or None,
        predictions [h, w], probabilities float [h, w]).
      info: as in `add_class_legend`.
    """
    labelled = any(labels is not None for _, _, labels, _, _ in pictures)
    titles = ['image'] + ['label'] * labelled + ['prediction', 'its probability']
    heights = [image.shape[0] / image.shape[1] for _, image, _, _, _ in pictures]
    figure, axes = _pictures(len(pictures), len(titles), 11,
                             11 / len(titles) * sum(heights) + 0.6, height_ratios=heights)
    for row, (name, image, labels, predictions, probabilities) in zip(axes, pictures):
        row[0].imshow(image)
        lettering.write(row[0].set_ylabel('', fontsize=8), lettering.plain(name))
        if labels is not None:
            row[1].imshow(colors_of(labels, info))
        row[-2].imshow(colors_of(predictions, info))
        shown = row[-1].imshow(probabilities, cmap='viridis', vmin=0, vmax=1)
    for column, title in zip(axes[0], titles):
        column.set_title(title)
    figure.tight_layout()
    place = axes[0, -1].get_position()
    figure.colorbar(shown, cax=figure.add_axes([place.x1 + 0.01, place.y0, 0.012, place.height]))
    maps = [ids for _, _, labels, predictions, _ in pictures
            for ids in (labels, predictions) if ids is not None]
    add_class_legend(figure, maps, info)


def show_variants(image, labels, variants, info):
    """Draws an image and what variants of a network make of it, two in a row.

    Args:
      image: uint8 [height, width, 3].
      labels: integer [height, width], or None.
      variants: list of (title str, predictions [height, width]).
      info: as in `add_class_legend`.
    """
    rows = (len(variants) + 1) // 2
    width = 10
    figure, axes = _pictures(rows, 3, width, rows * (width / 3 * image.shape[0] / image.shape[1]
                                                     + 0.6))
    axes[0, 0].imshow(image)
    axes[0, 0].set_title('image')
    if labels is not None and rows > 1:
        axes[1, 0].imshow(colors_of(labels, info))
        axes[1, 0].set_title('label')
    for one, (title, predictions) in zip(axes[:, 1:].flat, variants):
        one.imshow(colors_of(predictions, info))
        one.set_title(title, fontsize=10)
    for one in axes.flat:
        one.set_visible(one.has_data())
    figure.tight_layout()
    maps = [predictions for _, predictions in variants] + [labels] * (labels is not None)
    add_class_legend(figure, maps, info)


def plot_receptive_fields(variants, image_side):
    """Plots how the receptive field grows from layer to layer.

    Args:
      variants: list of (title str, list of `layers.Layer`); those without a
        receptive field are left out.
      image_side: int, pixels, drawn as a line.
    """
    figure, axes = plt.subplots(figsize=(10, 4.2))
    # Ever narrower, since lines that lie upon each other are what there is to see.
    for width, (title, found) in zip(np.linspace(9, 1.5, len(variants)), variants):
        found = [layer for layer in found if layer.receptive_field]
        axes.plot([layer.receptive_field for layer in found], label=title, linewidth=width)
    axes.axhline(image_side, color=_GREY, linestyle=':', label='longer side of the image')
    axes.set_xticks(range(len(found)))
    axes.set_xticklabels(['%s %s' % (layer.block, layer.unit) for layer in found], rotation=90,
                         fontsize=8)
    axes.set(ylabel='receptive field, pixels', title='What one value of each layer depends on')
    axes.legend()
    axes.grid(axis='y', alpha=0.3)
    figure.tight_layout()


def plot_scores(per_class_iou, image_mean_iou, mean_iou, info):
    """Plots the benchmark's IoU of each class beside the post's mean IoU of each image.

    Args:
      per_class_iou: float [classes], NaN for absent classes.
      image_mean_iou: float [images].
      mean_iou: float, the benchmark's.
      info: as in `add_class_legend`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 1.6 + 0.3 * info.number_of_classes))
    colors = np.divide(palette.of_classes(info), 255)
    places = np.arange(info.number_of_classes)
    left.barh(places, np.nan_to_num(per_class_iou), color=colors, edgecolor=_GREY)
    for place, iou in zip(places, per_class_iou):
        text = 'absent' if np.isnan(iou) else '%.2f' % iou
        left.text(np.nan_to_num(iou) + 0.01, place, text, va='center', fontsize=8)
    left.set(xlim=(0, 1.12), xlabel='IoU over all images',
             title='Benchmark: mean over the classes')
    lettering.label_ticks(left.yaxis, lettering.labels(info.class_names))
    left.invert_yaxis()
    right.bar(np.arange(len(image_mean_iou)), np.sort(image_mean_iou), color='0.75', width=0.9)
    right.axhline(np.mean(image_mean_iou), color=_MARK,
                  label='the post: their mean, %.3f' % np.mean(image_mean_iou))
    right.axhline(mean_iou, color=_SECOND, linestyle='--', label='the benchmark, %.3f' % mean_iou)
    right.set(ylim=(0, 1.35), yticks=np.linspace(0, 1, 6), xlabel='images, sorted',
              ylabel='mean IoU of the image', title='Post: mean over the images')
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.legend(loc='upper left')
    figure.tight_layout()
