"""Pictures of label maps, without TensorFlow: palette PNGs, overlays, contact sheets.

Their `info` is a `dataset.descriptor.DatasetInfo`: its names, ignore label and colours are drawn.
"""
import numpy as np
from PIL import Image, ImageDraw

from common import lettering, pictures
from dataset import palette

SHEET_CELL = 240  # pixels, the longer side of a picture on a contact sheet
_GAP, _HEADER = 8, 22
_FONT_SIZE = 12
# Of an overlay: how much of its colours covers the image, and the smallest share of the
# longer side that a legend's letters and a border between classes take.
_OPACITY, _BORDER_OPACITY = 0.55, 0.6
_LETTER_SHARE, _BORDER_SHARE = 1 / 60, 1 / 400
_PALE = (170, 170, 170)
# Of a comparison: the longer side of each of its pictures, and what marks wrong pixels.
_COMPARISON_CELL, _COMPARISON_FONT = 420, 17
_WRONG = (214, 39, 40)


def save_palette_png(label_map, path, info):
    """Writes label ids as an 8-bit palette PNG, the format of VOC's masks.

    Args:
      label_map: integer [height, width], ids in 0..255.
      path: str; written to a temporary name and renamed.
      info: whose colours the palette holds.
    """
    image = Image.fromarray(np.asarray(label_map, np.uint8), mode='P')
    image.putpalette(palette.of(info).tobytes())
    pictures.save_png(image, path)


def save_index_png(label_map, path):
    """Writes label ids as an 8-bit grey PNG, which every tool reads as the ids themselves.

    Args:
      label_map: integer [height, width], ids in 0..255.
      path: str; written to a temporary name and renamed.
    """
    pictures.save_png(Image.fromarray(np.asarray(label_map, np.uint8), mode='L'), path)


def overlay(image, label_map, info, all_classes=False):
    """Blends an image with the colours of its labels, over a legend of the class names.

    Args:
      image: uint8 [height, width, 3], RGB.
      label_map: integer [height, width], ids in 0..255.
      info: its classes.
      all_classes: bool. False: the legend has the classes that occur, with their
        shares of the pixels. True: it has all, each always in the same place, and those
        that do not occur are pale, which suits the frames of a video.

    Returns:
      `PIL.Image`, RGB; the image is at its upper left, and at least as wide.
    """
    label_map = np.asarray(label_map, np.uint8)
    colors = palette.of(info)
    longer_side = max(label_map.shape)
    mask = Image.fromarray(colors[label_map])
    blended = Image.blend(Image.fromarray(np.asarray(image, np.uint8)), mask, _OPACITY)
    thickness = max(1, int(round(longer_side * _BORDER_SHARE)))
    borders = _borders(label_map, thickness) * np.uint8(255 * _BORDER_OPACITY)
    blended.paste('white', mask=Image.fromarray(borders))
    entries = _legend_entries(label_map, info, all_classes)
    legend = _legend(entries, colors, blended.width,
                     max(_FONT_SIZE, int(round(longer_side * _LETTER_SHARE))))
    sheet = Image.new('RGB', (legend.width, blended.height + legend.height), 'white')
    sheet.paste(blended, (0, 0))
    sheet.paste(legend, (0, blended.height))
    return sheet


def _borders(label_map, thickness):
    """Marks the pixels within `thickness` of another label to the lower right. Returns bool."""
    borders = np.zeros(label_map.shape, bool)
    for distance in range(1, thickness + 1):
        borders[:-distance] |= label_map[:-distance] != label_map[distance:]
        borders[:, :-distance] |= label_map[:, :-distance] != label_map[:, distance:]
    return borders


def _names(info):
    """Returns a list of (label, what a legend calls it), void the last."""
    return list(enumerate(lettering.labels(info.class_names))) + [(info.ignore_label, 'void')]


def _legend_entries(label_map, info, all_classes):
    """Returns a list of (class id, text, whether it occurs)."""
    counts = np.bincount(label_map.ravel(), minlength=256)
    if all_classes:
        return [(label, name, bool(counts[label])) for label, name in _names(info)[:-1]]
    return [(label, '%s %s' % (name, _percent(counts[label] / label_map.size)), True)
            for label, name in _names(info) if counts[label]]


def _percent(share):
    return '%.1f %%' % (100. * share) if share >= 0.001 else '<0.1 %'


def _legend(entries, colors, width, font_size):
    """Draws swatches and texts in columns; wider than `width` only where one does not fit."""
    fonts = [lettering.pillow_font(text, font_size) for _, text, _ in entries]
    gap = font_size // 2
    swatch, line = font_size, int(font_size * 1.6)
    column = max((font.getbbox(text)[2] for font, (_, text, _) in zip(fonts, entries)),
                 default=0) + swatch + 3 * gap
    num_columns = max(1, min(len(entries), (width - gap) // column))
    num_rows = -(-len(entries) // num_columns)
    legend = Image.new('RGB', (max(width, gap + num_columns * column), num_rows * line + 2 * gap),
                       'white')
    draw = ImageDraw.Draw(legend)
    for index, (label, text, occurs) in enumerate(entries):
        left = gap + index % num_columns * column
        top = gap + index // num_columns * line
        color = tuple(int(value) for value in colors[label])
        box = [left, top + (line - swatch) // 2, left + swatch, top + (line + swatch) // 2]
        draw.rectangle(box, fill=color if occurs else None, outline=None if occurs else _PALE)
        draw.text((left + swatch + gap, top + line // 2), text, anchor='lm', font=fonts[index],
                  fill='black' if occurs else _PALE)
    return legend


def _resized(scale, image, labels, predictions):
    size = tuple(max(1, int(round(side * scale))) for side in image.shape[1::-1])
    return [np.array(Image.fromarray(np.asarray(values, np.uint8)).resize(size, method))
            for values, method in ((image, Image.BILINEAR), (labels, Image.NEAREST),
                                   (predictions, Image.NEAREST))]


def shrink(image, labels, predictions):
    """Makes an image and its label maps as small as `comparison` draws them.

    Args:
      image, labels, predictions: see `comparison`.

    Returns:
      The three, all uint8; those that are small already keep their size.
    """
    return _resized(min(1.0, _COMPARISON_CELL / max(image.shape[:2])), image, labels, predictions)


def comparison(image, labels, predictions, info, box=None):
    """Draws image, label, prediction and what is wrong side by side, over a legend.

    Args:
      image: uint8 [height, width, 3], RGB.
      labels, predictions: integer [height, width], ids in 0..255.
      info: its classes.
      box: None, or (left, top, right, bottom) in pixels of the image, framed in all four.

    Returns:
      `PIL.Image`, RGB. Label and prediction lie over the image; wrong pixels are red,
      and ignored ones white, on a grey image.
    """
    full_width = image.shape[1]
    image, labels, predictions = shrink(image, labels, predictions)
    photo, size = Image.fromarray(image), image.shape[1::-1]
    colors, ignore_label = palette.of(info), info.ignore_label
    cells = [photo] + [Image.blend(photo, Image.fromarray(colors[ids]), _OPACITY)
                       for ids in (labels, predictions)]
    wrong = np.array(photo.convert('L').convert('RGB')) // 2 + 64
    wrong[labels == ignore_label] = 255
    wrong[(labels != predictions) & (labels != ignore_label)] = _WRONG
    cells.append(Image.fromarray(wrong))
    entries = [(label, name, True) for label, name in _names(info)
               if (labels == label).any() or (predictions == label).any()]
    width = 4 * (size[0] + _GAP) - _GAP
    legend = _legend(entries, colors, width, _COMPARISON_FONT)
    sheet = Image.new('RGB', (max(width, legend.width), _HEADER + size[1] + legend.height),
                      'white')
    draw = ImageDraw.Draw(sheet)
    for index, (title, cell) in enumerate(
            zip(('image', 'label', 'prediction', 'wrong in red'), cells)):
        left = index * (size[0] + _GAP)
        draw.text((left, 0), title, fill='black',
                  font=lettering.pillow_font(title, _COMPARISON_FONT))
        sheet.paste(cell, (left, _HEADER))
        if box:
            scale = size[0] / full_width
            sides = [int(round(side * scale)) for side in box]
            draw.rectangle([left + sides[0] - 1, _HEADER + sides[1] - 1, left + sides[2],
                            _HEADER + sides[3]], outline='white')
    sheet.paste(legend, (0, _HEADER + size[1]))
    return sheet


def contact_sheet(rows, info):
    """Draws rows of image, label and prediction side by side.

    Args:
      rows: list of (name str, image uint8 [h, w, 3], labels [h, w], predictions [h, w]).
      info: its colours.

    Returns:
      `PIL.Image`, RGB, three columns wide.
    """
    colors = palette.of(info)
    cells = []
    for name, image, *label_maps in rows:
        image, *label_maps = _resized(SHEET_CELL / max(image.shape[:2]), image, *label_maps)
        cells.append((name, [Image.fromarray(image)]
                      + [Image.fromarray(colors[ids]) for ids in label_maps]))
    height = sum(_HEADER + row[0].height + _GAP for _, row in cells) + _HEADER
    sheet = Image.new('RGB', (_GAP + 3 * (SHEET_CELL + _GAP), height), 'white')
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(('image', 'label', 'prediction')):
        draw.text((_GAP + column * (SHEET_CELL + _GAP), 6), title, fill='black',
                  font=lettering.pillow_font(title, _FONT_SIZE))
    top = _HEADER
    for name, row in cells:
        text = lettering.plain(name, most_letters=None)
        draw.text((_GAP, top + 6), text, fill='black',
                  font=lettering.pillow_font(text, _FONT_SIZE))
        for column, picture in enumerate(row):
            sheet.paste(picture, (_GAP + column * (SHEET_CELL + _GAP), top + _HEADER))
        top += _HEADER + row[0].height + _GAP
    return sheet
