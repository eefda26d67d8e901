"""lettering.py: every name is shown literally by matplotlib and Pillow, without a warning."""
import warnings

import numpy as np
import pytest
from matplotlib import font_manager, patches
from PIL import Image, ImageDraw

from common import lettering, pictures

NAMES = ('_background_', '$x$', 'a$_$', '猫', '日本語', '🐈', 'x' * 255, 'y' * 254 + 'z', 'a\nb',
         '<b>&amp;', '\ud800', 'größe', '\\$', '%s', ' ')


@pytest.fixture(autouse=True)
def only_default_font(monkeypatch):
    """As on a machine without further fonts, whatever this one has."""
    for function in (lettering._installed_fonts, lettering._font_with, lettering._labels,
                     lettering.pillow_font):
        function.cache_clear()
    monkeypatch.setattr(font_manager, 'findSystemFonts', lambda *args, **kwargs: [])
    yield
    for function in (lettering._installed_fonts, lettering._font_with, lettering._labels,
                     lettering.pillow_font):
        function.cache_clear()


def test_names_keep_their_letters_and_what_is_altered_has_its_id():
    assert lettering.labels(NAMES) == (
        '_background_', '$x$', 'a$_$', '3: \\u732b', '4: \\u65e5\\u672c\\u8a9e', '5: \\U0001f408',
        '6: ' + 'x' * 37 + '...', '7: ' + 'y' * 37 + '...', '8: a\\nb', '<b>&amp;',
        '10: \\ud800', 'größe', '\\$', '%s', ' ')
    assert lettering.labels(['a' * 30], most_letters=10) == ('0: aaaaaaa...',)


def test_plain_text_of_no_bound_is_not_cut():
    assert lettering.plain('猫' + 'x' * 100, most_letters=None) == '\\u732b' + 'x' * 100


def test_matplotlib_shows_all_names_in_ticks_and_legends_without_a_warning():
    texts = lettering.labels(NAMES)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        figure = pictures.figure(14, 14)
        axes = figure.subplots()
        lettering.label_ticks(axes.xaxis, texts, rotation=90, fontsize=8)
        lettering.label_ticks(axes.yaxis, texts, fontsize=8)
        handles = [patches.Patch(facecolor='red') for _ in texts]
        lettering.legend(axes, handles, texts, ncol=2, fontsize=7)
        lettering.legend(figure, handles, texts, loc='upper center')
        assert pictures.figure_png(figure)[:4] == b'\x89PNG'
    assert [label.get_text() for label in axes.get_xticklabels()] == list(texts)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(texts)
    assert {label.get_fontsize() for label in axes.get_yticklabels()} == {8}
    for legend, size in ((axes.get_legend(), 7), (figure.legends[0], 10)):
        assert [text.get_text() for text in legend.get_texts()] == list(texts)
        assert {text.get_fontsize() for text in legend.get_texts()} == {size}
        assert all(text.get_window_extent().width > 1 for text in legend.get_texts()
                   if text.get_text() != ' ')


def test_a_formula_is_drawn_as_the_letters_that_it_is_written_with():
    figure = pictures.figure(4, 4)
    texts = [figure.text(0.1, 0.1, '') for _ in range(2)]
    lettering.write(texts[0], '$x$')
    lettering.write(texts[1], 'x')
    pictures.figure_png(figure)
    widths = [text.get_window_extent().width for text in texts]
    assert widths[0] > 2.5 * widths[1]


def test_pillow_draws_what_its_font_has():
    for text in lettering.labels(NAMES):
        font = lettering.pillow_font(text, 20)
        picture = Image.new('L', (int(font.getbbox(text)[2]) + 9, 40), 'white')
        ImageDraw.Draw(picture).text((2, 2), text, font=font, fill='black')
        assert (np.array(picture) < 128).any() == bool(text.strip())


def test_an_installed_font_draws_what_the_default_lacks(monkeypatch):
    letters = {'plain': set('ab'), 'han': set('ab猫')}
    monkeypatch.setattr(lettering, '_default_font', lambda: 'plain')
    monkeypatch.setattr(font_manager, 'findSystemFonts', lambda: ['z', 'han', 'a'])
    monkeypatch.setattr(lettering, '_letters_of', lambda path: {
        ord(letter) for letter in letters.get(path, ())})
    assert lettering.labels(['a', '猫', 'b犬']) == ('a', '猫', '2: b\\u72ac')
    assert [lettering._font_with(text) for text in ('a', '猫', 'b犬')] == ['plain', 'han', None]


def test_regular_fonts_are_asked_before_bold_ones(monkeypatch):
    monkeypatch.setattr(font_manager, 'findSystemFonts',
                        lambda: ['/f/CJK-Black.ttc', '/f/CJK-Regular.ttc'])
    assert lettering._installed_fonts() == ['/f/CJK-Regular.ttc', '/f/CJK-Black.ttc']


def test_a_damaged_font_has_no_letters(tmp_path):
    (tmp_path / 'a.ttf').write_bytes(b'no font')
    assert lettering._letters_of(str(tmp_path / 'a.ttf')) == frozenset()
    assert ord('a') in lettering._letters_of(lettering._default_font())
