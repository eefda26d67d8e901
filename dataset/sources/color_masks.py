"""Masks that show classes as colours: palettes, and the way from colours to class ids.

A palette file is JSON, {"name": [r, g, b], ...} or [[r, g, b], ...], CSV with the
columns name, r, g, b, in another order where a header says so, lines as
`class_lists.color_rows` reads them, or CVAT's labelmap.txt. "#rrggbb" may stand for r, g, b.
Position is class id; 'void' or 'ignore' is no class.
"""
import collections
import csv
import functools
import io
import json
import pickle
import re
import struct

import numpy as np

from common import files
from common.errors import UserError
from dataset import voc
from dataset.sources import class_lists, decoding, stored_values

# codes: int32 [n], colours as 0xRRGGBB, ascending. labels: uint8 [n], what each
# becomes. names: list of n str, for messages.
Palette = collections.namedtuple('Palette', ['codes', 'labels', 'names'])

VOC = 'voc'
_VOID_NAMES = ('void', 'ignore')
_CHANNELS = {'r': 0, 'red': 0, 'g': 1, 'green': 1, 'b': 2, 'blue': 2}
_MASK_MODES = ('RGB', 'RGBA', 'P', 'L', 'LA', '1')
# Colours so near to a palette colour, or so many, are blends rather than classes.
_BLEND_DISTANCE = 24
_BLEND_COLORS = 8


class _Pairs(list):
    """A JSON object as (key, value) pairs: a dict would hide that a name repeats."""


def read_palette(source, class_names, ignore_label):
    """Reads what `--palette` names.

    Args:
      source: str, 'voc' or the path of a palette file.
      class_names: list of str in the order of class ids, or None to take the
        palette's own. A class may have several colours: entries of one name.
      ignore_label: int, what void's colours become.

    Returns:
      (list of class names, `Palette`).

    Raises:
      UserError: the file cannot be read, or does not fit `class_names`.
    """
    if source == VOC:
        class_names = list(class_names or voc.CLASS_NAMES)
        colors = voc.color_map()
        entries = list(zip(class_names, colors))
        return class_names, _palette(
            entries + [('void', colors[voc.IGNORE_LABEL])], class_names, ignore_label, source)
    entries = _read_entries(source)
    named = [name for name, _ in entries if name is not None]
    if not named:
        if class_names is None or len(class_names) != len(entries):
            raise UserError(
                'Palette %s has %d colours without names; give --classes with as many names, '
                'or names in the palette.' % (source, len(entries)))
        entries = [(name, color) for name, (_, color) in zip(class_names, entries)]
    elif class_names is None:
        class_names = list(collections.OrderedDict.fromkeys(
            name for name in named if not _is_void(name, ())))
    return class_names, _palette(entries, class_names, ignore_label, source)


def _is_void(name, class_names):
    return name.lower() in _VOID_NAMES and name not in class_names


def _palette(entries, class_names, ignore_label, source):
    """Builds the `Palette`; each class must have a colour, each colour a class or void."""
    entries_of = collections.defaultdict(list)
    for name, color in entries:
        entries_of[tuple(int(channel) for channel in color)].append(name)
    for color, names in entries_of.items():
        if len(names) > 1:
            raise UserError('Palette %s gives colour %s to each of: %s.'
                            % (source, color, ', '.join(names)))
    named = {name for name, _ in entries}
    without = [name for name in class_names if name not in named]
    unknown = sorted(name for name in named - set(class_names) if not _is_void(name, class_names))
    if not class_names:
        raise UserError(
            'Palette %s names no class, only colours of void; add the classes.' % source)
    if without or unknown:
        raise UserError(
            'Palette %s and the classes do not match: classes without colour: %s; colours '
            'without class: %s. Write the same names in both.'
            % (source, ', '.join(without) or 'none', ', '.join(unknown) or 'none'))
    label_of = {name: label for label, name in enumerate(class_names)}
    colors = sorted(entries_of)
    names = [entries_of[color][0] for color in colors]
    return Palette(_codes(np.array(colors)),
                   np.array([label_of.get(name, ignore_label) for name in names], np.uint8),
                   names)


def _codes(colors):
    """Packs colours, integers [..., 3], into int32 [...]."""
    colors = colors.astype(np.int32)
    return colors[..., 0] << 16 | colors[..., 1] << 8 | colors[..., 2]


def _color(code):
    return (int(code) >> 16, int(code) >> 8 & 255, int(code) & 255)


def _read_entries(path):
    """Returns a list of (name or None, (r, g, b)) from a palette file."""
    try:
        text = files.read_text(path, '--palette')
    except UserError as error:
        raise UserError('%s Give %r or a palette file.' % (error, VOC))
    is_json = text.lstrip()[:1] in ('{', '[')
    try:
        entries = (_json_entries(text) if is_json else
                   _cvat_entries(text) or _row_entries(text) or _csv_entries(text))
    except ValueError as error:
        raise UserError(
            '--palette %s: %s. Write JSON {"name": [r, g, b], ...} or [[r, g, b], ...], or CSV '
            'with the columns name,r,g,b.' % (path, error))
    if not entries:
        raise UserError('--palette %s names no colour.' % path)
    return [(name, _check_color(name, color, path)) for name, color in entries]


def _json_entries(text):
    values = json.loads(text, object_pairs_hook=_Pairs)
    if isinstance(values, _Pairs):
        return list(values)
    return [(None, color) for color in values]


def _cvat_entries(text):
    entries = class_lists.cvat_entries(text) or []
    for name, color in entries:
        if not color:
            raise ValueError('label %r has no colour' % name)
    return [(name, [int(channel) for channel in color.split(',')]) for name, color in entries]


def _row_entries(text):
    return [(name, color) for _, name, color in class_lists.color_rows(text, True) or ()]


def _csv_entries(text):
    entries, columns = [], [0, 1, 2, 3]
    for number, row in enumerate(csv.reader(io.StringIO(text), skipinitialspace=True), 1):
        row = [cell.strip() for cell in row]
        if not any(row) or row[0] and not class_lists.strip_comment(row[0]):
            continue
        if len(row) != 4:
            raise ValueError('row %d has %d columns' % (number, len(row)))
        if not entries and not any(cell.isdigit() for cell in row):
            columns = _columns(row, number)
            continue
        name, *color = [row[column] for column in columns]
        entries.append((name, [int(channel) for channel in color]))
    return entries


def _columns(header, number):
    """Returns where name, red, green and blue stand, list of 4 int, by the words of a header."""
    place_of = {_CHANNELS.get(cell.lower(), 'name'): place for place, cell in enumerate(header)}
    if len(place_of) != 4:
        raise ValueError('row %d, %r, is a header that does not name each of r, g, b once'
                         % (number, ','.join(header)))
    return [place_of[key] for key in ('name', 0, 1, 2)]


def _check_color(name, color, path):
    if isinstance(color, str) and re.match(r'#[0-9a-fA-F]{6}\Z', color):
        return _color(int(color[1:], 16))
    if (not isinstance(color, list) or len(color) != 3
            or not all(type(channel) is int and 0 <= channel <= 255 for channel in color)):
        raise UserError(
            '--palette %s: the colour %sis %r; give three integers 0..255.'
            % (path, 'of %r ' % name if name else '', color))
    return tuple(color)


def read_mask(example, info, palette):
    """Reads a mask's colours as class ids; a palette PNG counts as what it looks like.

    Returns:
      uint8 [height, width], each a class id or the ignore label.

    Raises:
      decoding.InvalidExampleError: the mask is damaged, of an unusable kind, or has
        a colour that the palette lacks.
    """
    del info
    name, opened = decoding.name_of(example, 'mask'), decoding.decode(example, 'mask')
    mask = opened.image
    decoding.check_lossless(opened, name)
    if mask.mode not in _MASK_MODES:
        raise decoding.InvalidExampleError(
            '%s is a %s of Pillow mode %s; colour masks must be 8-bit PNGs. Export it again as '
            'PNG.' % (name, opened.format, mask.mode), 'mask_palette')
    if mask.mode in ('RGBA', 'LA'):
        see_through = int((np.asarray(mask.getchannel('A')) < 255).sum())
        if see_through:
            raise decoding.InvalidExampleError(
                '%s has %d transparent pixels, whose colour is not defined. Export it without '
                'transparency, on the colour of background or void.' % (name, see_through),
                'mask_palette')
    codes = _codes(np.asarray(mask.convert('RGB')))
    labels, known = _look_up(codes, palette)
    top = stored_values.largest(opened) if mask.mode in ('1', 'L') else 255
    if top < 255 and not stored_values.unclear_black(opened):
        greys = stored_values.read(opened).astype(np.int32) * 0x10101
        stored, stored_known = _look_up(greys, palette)
        if known.all() and stored_known.all() and (labels != stored).any():
            raise decoding.InvalidExampleError(
                '%s is grey of 0 to %d, and the palette has both the greys that it holds and '
                'those that it is shown with, up to 255. Save it with 8 bits.' % (name, top),
                'mask_palette')
        if stored_known.all():
            return stored
    if not known.all():
        raise decoding.InvalidExampleError(
            name + ': ' + _describe_unknown(codes, known, palette), 'mask_palette')
    return labels


def _look_up(codes, palette):
    """Returns (labels, whether the palette has the colour), each like `codes`."""
    index = np.minimum(np.searchsorted(palette.codes, codes), len(palette.codes) - 1)
    return palette.labels[index], palette.codes[index] == codes


class PaletteReader:
    """A reader, as `contract` describes it, of masks whose colours a `Palette` lists."""

    def __init__(self, palette):
        self.palette = palette

    def __call__(self, example, info):
        return read_mask(example, info, self.palette)

    @property
    def key(self):
        return 'palette %s' % json.dumps([self.palette.codes.tolist(),
                                          self.palette.labels.tolist(), self.palette.names])

    @property
    def earlier_key(self):
        """The pickle of `read_mask` with its palette, under the module name of then.

        NumPy 2 pickles arrays otherwise: there, what has no key is built again.
        """
        def text(name):
            return b'\x8c' + bytes([len(name)]) + name.encode()

        now = pickle.dumps(functools.partial(read_mask, palette=self.palette), protocol=4)
        # PROTO 4, FRAME, length of the frame, and what is in it: such a pickle has one frame.
        framed = now[11:].replace(text(__name__), text('dataset.color_masks'))
        return now[:3] + struct.pack('<Q', len(framed)) + framed


def colors_of(reader, number_of_classes):
    """The colours by which a reader tells classes, for pictures.

    Args:
      reader: as `contract` describes it, or None.
      number_of_classes: int.

    Returns:
      Tuple of (red, green, blue), one a class, of several the lowest as a number; None where the
      reader knows none.
    """
    if not isinstance(reader, PaletteReader):
        return None
    codes, labels = reader.palette.codes, reader.palette.labels.tolist()
    return tuple(_color(codes[labels.index(label)]) for label in range(number_of_classes))


def _describe_unknown(codes, known, palette):
    """Names the most frequent unknown colour, a place, its neighbour and the likely cause."""
    unknown, counts = np.unique(codes[~known], return_counts=True)
    code, count = unknown[counts.argmax()], counts.max()
    row, column = np.argwhere(codes == code)[0]
    distances = [np.linalg.norm(np.subtract(_color(code), _color(other)))
                 for other in palette.codes]
    nearest = int(np.argmin(distances))
    if distances[nearest] <= _BLEND_DISTANCE or len(unknown) >= _BLEND_COLORS:
        hint = ('Likely cause: a mask that was once a JPEG, drawn with anti-aliasing, or resized '
                'with blending; export it as PNG without smoothing, resize with nearest neighbour')
    else:
        hint = 'Add it to the palette as a class, or under the name void'
    more = (' (and %d more unknown colours, %d pixels in all)'
            % (len(unknown) - 1, counts.sum()) if len(unknown) > 1 else '')
    return ('colour %s is not in the palette: %d pixels, the first at row %d, column %d%s. '
            'Nearest is %s, %s. %s.'
            % (_color(code), count, row, column, more, _color(palette.codes[nearest]),
               palette.names[nearest], hint))
