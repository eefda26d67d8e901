"""The drawings of deeplab_explained.ipynb, with matplotlib, free of TensorFlow.

Each function draws one figure, which Jupyter shows at the end of the cell.
"""
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import patches

from notebooks.plots import add_class_legend, colors_of

_TAP, _CENTER, _PADDING, _LINE = 'tab:orange', 'tab:red', '0.88', '0.35'


def draw_taps(cases):
    """Draws which pixels a filter reads for its centre, and with which weight.

    Args:
      cases: list of (title str, integer [size, size]: the number of the weight
        that each pixel is multiplied by, 0 for none).
    """
    figure, axes = plt.subplots(1, len(cases), figsize=(3.6 * len(cases), 3.9))
    for one, (title, weights) in zip(axes, cases):
        size = len(weights)
        for y, x in np.ndindex(weights.shape):
            used = weights[y, x] > 0
            one.add_patch(patches.Rectangle((x, y), 1, 1, facecolor=_TAP if used else 'white',
                                            edgecolor='0.75'))
            if used:
                one.text(x + 0.5, y + 0.5, '$w_%d$' % weights[y, x], ha='center', va='center')
        rows = np.nonzero(weights.any(axis=1))[0]
        span = rows[-1] - rows[0] + 1
        one.add_patch(patches.Rectangle((rows[0], rows[0]), span, span, fill=False,
                                        edgecolor=_CENTER, linewidth=2))
        one.set(xlim=(0, size), ylim=(size, 0), aspect='equal', xticks=[], yticks=[], title=title)
    figure.tight_layout()


def draw_filter_on_map(size, rate):
    """Draws a 3x3 filter at the centre of a small feature map, and the padding around it.

    Args:
      size: int, height and width of the map.
      rate: int.
    """
    figure, axes = plt.subplots(figsize=(5.4, 5))
    center, margin = size // 2, rate + 2
    axes.set_facecolor(_PADDING)
    for y, x in np.ndindex(size, size):
        axes.add_patch(patches.Rectangle((x, y), 1, 1, facecolor='white', edgecolor='0.8'))
    for y in (-rate, 0, rate):
        for x in (-rate, 0, rate):
            inside = 0 <= center + y < size and 0 <= center + x < size
            axes.add_patch(patches.Rectangle((center + x, center + y), 1, 1, edgecolor=_LINE,
                                             facecolor=_TAP if inside else 'none'))
            axes.text(center + x + 0.5, center + y - 0.4, 'map' if inside else '0', ha='center',
                      va='bottom', fontsize=9)
    axes.text(0, -0.5, 'feature map, %d x %d' % (size, size), va='bottom', fontsize=9)
    axes.set(xlim=(center - margin, center + margin + 1), aspect='equal', xticks=[], yticks=[],
             ylim=(center + margin + 1, center - margin),
             title='A 3x3 filter at rate %d: eight taps read padding' % rate)
    figure.tight_layout()


def plot_valid_weights(cases, marked):
    """Plots the share of positions with so many valid weights over the rate.

    Args:
      cases: list of (size of the map int, rates int [n], dict from number of valid
        weights to float [n], shares that add up to 1).
      marked: (size, rate) of a point to draw a line at.
    """
    figure, axes = plt.subplots(1, len(cases), figsize=(11, 3.8), sharey=True)
    for one, (size, rates, shares) in zip(axes, cases):
        counts = sorted(shares, reverse=True)
        colors = plt.get_cmap('viridis')(np.linspace(0.95, 0.05, len(counts)))
        one.stackplot(rates, [shares[count] for count in counts], colors=colors,
                      labels=['%d valid weight%s' % (count, 's' * (count > 1))
                              for count in counts])
        if size == marked[0]:
            one.axvline(marked[1], color='white', linestyle='--')
            one.text(marked[1], 1.02, 'rate %d' % marked[1], ha='center')
        one.set(xlim=(rates[0], rates[-1]), ylim=(0, 1), xlabel='atrous rate')
        one.set_title('%d x %d map' % (size, size), pad=16)
    axes[0].set_ylabel('share of the positions')
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc='center left', bbox_to_anchor=(1, 0.5),
                  frameon=False)
    figure.tight_layout()


def draw_decimation(image, labels, cases, info):
    """Draws what is left of a picture and of its labels on ever coarser grids.

    Args:
      image: uint8 [height, width, 3].
      labels: integer [height, width].
      cases: list of (title of the picture, small image uint8 [h, w, 3], title of the
        labels, labels that came back [height, width]).
      info: as in `plots.add_class_legend`.
    """
    columns = len(cases) + 1
    height, width = labels.shape
    side = 13.0 / columns
    figure, axes = plt.subplots(2, columns, figsize=(13, 2 * (side * height / width + 0.45)))
    cases = [('image, %d x %d' % (height, width), image, 'label', labels)] + list(cases)
    for column, (title, small, label_title, back) in zip(axes.T, cases):
        column[0].imshow(small, interpolation='nearest', extent=(0, width, height, 0))
        column[0].set_title(title, fontsize=10)
        column[1].imshow(colors_of(back, info))
        column[1].set_title(label_title, fontsize=10)
    for one in axes.flat:
        one.set(xticks=[], yticks=[])
    figure.tight_layout()
    add_class_legend(figure, [labels], info)


def draw_fields_of_view(image, cases, output_stride):
    """Draws where the taps of a filter on the feature map lie in the image.

    Args:
      image: uint8 [height, width, 3].
      cases: list of (title str, (row, column) of the feature, rate int: 0 for a 1x1
        filter, None for the mean of the whole map).
      output_stride: int, pixels from feature to feature.
    """
    height, width = image.shape[:2]
    columns = (len(cases) + 1) // 2
    reach = max(rate or 0 for _, _, rate in cases) * output_stride
    # Room for taps around the middle; those of a corner may lie outside.
    margin_y, margin_x = [max(0, reach - side // 2) + 2 * output_stride
                          for side in (height, width)]
    figure, axes = plt.subplots(2, columns, figsize=(11, 7.6))
    for one, (title, feature, rate) in zip(axes.flat, cases):
        one.set_facecolor(_PADDING)
        one.imshow(image, extent=(0, width, height, 0), alpha=0.75)
        if rate is None:
            one.add_patch(patches.Rectangle((0, 0), width, height, facecolor=_TAP, alpha=0.35))
            one.add_patch(patches.Rectangle((0, 0), width, height, fill=False, edgecolor=_TAP,
                                            linewidth=3))
        else:
            _draw_field(one, feature, rate, output_stride, (height, width))
        one.set(xlim=(-margin_x, width + margin_x), ylim=(height + margin_y, -margin_y),
                xticks=[], yticks=[])
        one.set_title(title, fontsize=10)
    figure.tight_layout()


def _draw_field(axes, feature, rate, output_stride, sides):
    """Draws the taps of a filter around a feature: filled in the image, empty outside."""
    y, x = [place * output_stride for place in feature]
    reach = rate * output_stride
    for dy in {-reach, 0, reach}:
        for dx in {-reach, 0, reach}:
            inside = 0 <= y + dy < sides[0] and 0 <= x + dx < sides[1]
            # A feature stands on every output_stride-th pixel; its cell is around it.
            axes.add_patch(patches.Rectangle(
                (x + dx - output_stride / 2, y + dy - output_stride / 2), output_stride,
                output_stride, facecolor=_TAP if inside else 'none', edgecolor='black', zorder=3))
    axes.add_patch(patches.Rectangle((x - reach, y - reach), 2 * reach, 2 * reach, fill=False,
                                     edgecolor=_CENTER, linewidth=1.5, linestyle='--', zorder=2))


def draw_stacked_rates(cases):
    """Draws which features of a row reach one feature through 3-tap filters in sequence.

    Args:
      cases: list of (title str, rates of the layers, from the input on).
    """
    reach = max(sum(rates) for _, rates in cases)
    figure, axes = plt.subplots(len(cases), 1, figsize=(11, 2.3 * len(cases)), squeeze=False)
    for one, (title, rates) in zip(axes[:, 0], cases):
        reached = {0}
        for depth in range(len(rates), -1, -1):
            places = np.arange(-reach, reach + 1)
            chosen = np.isin(places, list(reached))
            one.scatter(places, np.full(len(places), depth), s=26, zorder=2, edgecolor='0.6',
                        color=[_TAP if one_chosen else 'white' for one_chosen in chosen])
            if depth:
                rate = rates[depth - 1]
                lines = [(place, place + step) for place in reached for step in (-rate, 0, rate)]
                for above, below in lines:
                    one.plot([above, below], [depth, depth - 1], color=_TAP, alpha=0.5,
                             linewidth=1, zorder=1)
                reached = {below for _, below in lines}
        one.set(xticks=[], yticks=range(len(rates) + 1), title=title)
        one.set_yticklabels(['input of block4'] + ['unit %d, rate %d' % pair
                                                   for pair in enumerate(rates, start=1)])
        one.tick_params(length=0)
        for side in one.spines.values():
            side.set_visible(False)
    figure.tight_layout(h_pad=2)


# What stands on the path and on the shortcut, from the input on; where the shortcut
# leaves the path (number of steps before it); what follows the addition.
_UNITS = (
    ('residual unit\n(arXiv 1512.03385)',
     ['1x1 conv', 'batch norm', 'ReLU', '3x3 conv', 'batch norm', 'ReLU', '1x1 conv',
      'batch norm'], 0, None, ['ReLU']),
    ('pre-activation unit\n(arXiv 1603.05027)',
     ['batch norm', 'ReLU', '1x1 conv', 'batch norm', 'ReLU', '3x3 conv', 'batch norm', 'ReLU',
      '1x1 conv'], 0, None, []),
    ('the same where the\nnumber of channels changes',
     ['batch norm', 'ReLU', '1x1 conv', 'batch norm', 'ReLU', '3x3 conv', 'batch norm', 'ReLU',
      '1x1 conv'], 2, '1x1 conv', []))
_STEP_COLORS = {'conv': 'tab:orange', 'norm': 'lightsteelblue', 'ReLU': 'palegreen'}


def draw_units():
    """Draws a residual unit beside a pre-activation unit, with and without projection."""
    figure, axes = plt.subplots(1, len(_UNITS), figsize=(11, 7.6))
    for one, (title, path, leaves, projection, after) in zip(axes, _UNITS):
        addition = len(path) + 1
        one.plot([0, 0], [0, addition + len(after) + 1], color=_LINE, zorder=0)
        start = leaves + 0.45
        one.plot([0, 1.9, 1.9, 0.2], [start, start, addition, addition], color=_LINE, zorder=0)
        one.annotate('', (0.16, addition), (0.6, addition),
                     arrowprops=dict(arrowstyle='-|>', color=_LINE))
        one.annotate('', (0, addition + len(after) + 1.1), (0, addition + len(after) + 0.5),
                     arrowprops=dict(arrowstyle='-|>', color=_LINE))
        for place, step in enumerate(path, start=1):
            _draw_step(one, 0, place, step)
        if projection:
            _draw_step(one, 1.9, (leaves + addition) / 2, projection)
        for place, step in enumerate(after, start=addition + 1):
            _draw_step(one, 0, place, step)
        one.add_patch(patches.Circle((0, addition), 0.2, facecolor='white', edgecolor=_LINE))
        one.text(0, addition, '+', ha='center', va='center')
        one.text(0, -0.15, 'input', ha='center', va='top')
        one.text(1.95, 0.2 if leaves == 0 else start - 0.25, 'shortcut', ha='center', va='center',
                 fontsize=9)
        one.text(0, addition + len(after) + 1.15, 'output', ha='center', va='bottom')
        one.set(xlim=(-1, 2.9), ylim=(-0.8, 11.8), title=title)
        one.axis('off')
    figure.tight_layout()


def _draw_step(axes, x, y, step):
    color = next(color for word, color in _STEP_COLORS.items() if word in step)
    axes.add_patch(patches.FancyBboxPatch((x - 0.62, y - 0.24), 1.24, 0.48, facecolor=color,
                                          edgecolor=_LINE, boxstyle='round,pad=0.06'))
    axes.text(x, y, step, ha='center', va='center', fontsize=10)
