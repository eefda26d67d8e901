"""Names as pictures can show them: any class or file may be called `$x$`, `_a_`, 猫, or a page.

Text is literal and on one line, in a font that has its letters where one is installed. What no
font has is written as Python's escapes, what is too long is cut; a class then has its id in
front. Both matplotlib, whose legends leave out `_a_` and which reads `$x$` as a formula, and
Pillow take their texts from here (tests/common/test_lettering.py).
"""
import functools
import os

from common import html

MOST_LETTERS = 40


def plain(text, most_letters=MOST_LETTERS):
    """Text on one line, of letters that a font on this machine has. Returns str.

    Args:
      text: str.
      most_letters: int, or None; what is longer is cut and ends in '...'.
    """
    text = html.printable(text)
    if _font_with(text) is None:
        text = ''.join(letter if _has(_default_font(), letter)
                       else letter.encode('unicode_escape').decode() for letter in text)
    if most_letters and len(text) > most_letters:
        text = text[:most_letters - 3] + '...'
    return text


def labels(class_names, most_letters=MOST_LETTERS):
    """Classes as legends call them: their names, or 'id: name' where `plain` alters one.

    Args:
      class_names: sequence of str, position is class id.
      most_letters: as of `plain`.

    Returns:
      Tuple of str.
    """
    return _labels(tuple(class_names), most_letters)


@functools.lru_cache(maxsize=8)
def _labels(class_names, most_letters):
    texts = [plain(name, most_letters) for name in class_names]
    return tuple(text if text == name else '%d: %s' % (label, text)
                 for label, (name, text) in enumerate(zip(class_names, texts)))


@functools.lru_cache(maxsize=None)
def pillow_font(text, size):
    """Returns a `PIL.ImageFont` that has the letters of a `plain` text."""
    from PIL import ImageFont  # `--help` and what writes no text do without
    return ImageFont.truetype(_font_with(text) or _default_font(), size)


def write(artist, text):
    """Gives a `matplotlib.text.Text` a `plain` text, which it shows literally."""
    # matplotlib takes 0.4 s to import; `--help` and whatever draws nothing do without.
    from matplotlib.font_manager import FontProperties
    artist.set_text(text)
    artist.set_parse_math(False)
    artist.set_fontproperties(FontProperties(fname=_font_with(text) or _default_font(),
                                             size=artist.get_fontsize()))


def label_ticks(axis, texts, **options):
    """Labels the ticks 0, 1, ... of a `matplotlib.axis.Axis`.

    Args:
      axis: `axes.xaxis` or `axes.yaxis`.
      texts: sequence of `plain` str.
      options: of the texts, such as `fontsize`.
    """
    axis.set_ticks(range(len(texts)))
    axis.set_ticklabels(texts, **options)
    for artist, text in zip(axis.get_ticklabels(), texts):
        write(artist, text)


def legend(owner, handles, texts, **options):
    """Adds a legend of all texts to axes or a figure of matplotlib.

    Args:
      owner: `matplotlib.axes.Axes` or `matplotlib.figure.Figure`.
      handles: list of artists.
      texts: sequence of `plain` str, one for each.
      options: of `owner.legend`.
    """
    # Named afterwards: a label that begins with '_' would be left out.
    made = owner.legend(handles, ['-'] * len(texts), **options)
    for artist, text in zip(made.get_texts(), texts):
        write(artist, text)


@functools.lru_cache(maxsize=None)
def _font_with(text):
    """The path of a font that has all letters of a text, matplotlib's own first, or None."""
    if all(_has(_default_font(), letter) for letter in text):
        return _default_font()
    return next((path for path in _installed_fonts()
                 if all(_has(path, letter) for letter in text)), None)


@functools.lru_cache(maxsize=None)
def _default_font():
    import matplotlib  # as in `write`
    return os.path.join(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')


@functools.lru_cache(maxsize=None)
def _installed_fonts():
    """Paths of the fonts of this machine, regular ones first."""
    from matplotlib import font_manager  # as in `write`
    return sorted(font_manager.findSystemFonts(),
                  key=lambda path: ('regular' not in os.path.basename(path).lower(), path))


def _has(path, letter):
    return ord(letter) in _letters_of(path)


@functools.lru_cache(maxsize=None)
def _letters_of(path):
    """The code points that a font can draw at any size."""
    from matplotlib.ft2font import FT2Font  # as in `write`
    try:
        font = FT2Font(path)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (RuntimeError, OSError):
        return frozenset()  # damaged, or of pictures, as some of emoji
