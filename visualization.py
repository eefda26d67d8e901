"""Pictures of label maps, without TensorFlow: palette PNGs, colours, contact sheets."""
import os

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dataset import voc

SHEET_CELL = 240  # pixels, the longer side of a picture on a contact sheet
_GAP, _HEADER = 8, 22
_FONT_SIZE = 12


def palette(ignore_label):
    """The VOC colours for label ids, with VOC's void colour at `ignore_label`.

    Args:
      ignore_label: int in 0..255.

    Returns:
      uint8 [256, 3], RGB.
    """
    colors = voc.color_map()
    colors[ignore_label] = voc.color_map()[voc.IGNORE_LABEL]
    return colors


def save_palette_png(label_map, path, ignore_label):
    """Writes label ids as an 8-bit palette PNG, the format of VOC's masks.

    Args:
      label_map: integer [height, width], ids in 0..255.
      path: str; written to a temporary name and renamed.
      ignore_label: int.
    """
    image = Image.fromarray(np.asarray(label_map, np.uint8), mode='P')
    image.putpalette(palette(ignore_label).tobytes())
    save_png(image, path)


def save_png(image, path):
    """Writes a Pillow image as PNG to a temporary name and renames it."""
    temporary = path + '.tmp'
    image.save(temporary, format='PNG')
    os.replace(temporary, path)


def contact_sheet(rows, ignore_label):
    """Draws rows of image, label and prediction side by side.

    Args:
      rows: list of (name str, image uint8 [h, w, 3], labels [h, w], predictions [h, w]).
      ignore_label: int; void is drawn in VOC's void colour.

    Returns:
      `PIL.Image`, RGB, three columns wide.
    """
    colors = palette(ignore_label)
    cells = []
    for name, image, labels, predictions in rows:
        scale = SHEET_CELL / max(image.shape[:2])
        size = tuple(max(1, int(round(side * scale))) for side in image.shape[1::-1])
        pictures = [Image.fromarray(np.asarray(image, np.uint8)).resize(size, Image.BILINEAR)]
        for ids in (labels, predictions):
            pictures.append(Image.fromarray(colors[np.asarray(ids)]).resize(size, Image.NEAREST))
        cells.append((name, pictures))
    height = sum(_HEADER + pictures[0].height + _GAP for _, pictures in cells) + _HEADER
    # Pillow's built-in font stops at Latin-1; matplotlib's own draws a box for what it lacks.
    font = ImageFont.truetype(os.path.join(matplotlib.get_data_path(), 'fonts/ttf/DejaVuSans.ttf'),
                              _FONT_SIZE)
    sheet = Image.new('RGB', (_GAP + 3 * (SHEET_CELL + _GAP), height), 'white')
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(('image', 'label', 'prediction')):
        draw.text((_GAP + column * (SHEET_CELL + _GAP), 6), title, fill='black', font=font)
    top = _HEADER
    for name, pictures in cells:
        draw.text((_GAP, top + 6), name, fill='black', font=font)
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (_GAP + column * (SHEET_CELL + _GAP), top + _HEADER))
        top += _HEADER + pictures[0].height + _GAP
    return sheet
