"""pictures.py: PNGs that are there whole or not at all, and figures without a screen."""
import io
import os

from PIL import Image

from common import pictures


def test_save_png_replaces_an_earlier_file_and_leaves_nothing_else(tmp_path):
    path = str(tmp_path / 'a.png')
    for value in (10, 20):
        pictures.save_png(Image.new('RGB', (2, 3), (value,) * 3), path)
    with Image.open(path) as image:
        assert image.size == (2, 3)
        assert image.getpixel((1, 2)) == (20, 20, 20)
    assert os.listdir(str(tmp_path)) == ['a.png']


def test_figures_are_as_large_as_their_sides_times_the_dots_per_inch():
    figure = pictures.figure(2, 1.5, dpi=80)
    figure.subplots()
    assert Image.open(io.BytesIO(pictures.figure_png(figure))).size == (160, 120)
