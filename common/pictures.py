"""Pictures as PNG: as bytes, and as files that are there whole or not at all."""
import io

from common import files


def png(image):
    """Returns a `PIL.Image` as the bytes of a PNG."""
    buffer = io.BytesIO()
    image.save(buffer, 'PNG')
    return buffer.getvalue()


def save_png(image, path):
    """Writes a `PIL.Image` as PNG under a temporary name and renames it."""
    with files.replacing(path, 'wb') as handle:
        image.save(handle, 'PNG')


def save_bytes(content, path):
    """Writes an encoded picture under a temporary name and renames it."""
    with files.replacing(path, 'wb') as handle:
        handle.write(content)


def figure(width, height, dpi=100):
    """Returns an empty `matplotlib.figure.Figure` that needs no screen; sides are in inches."""
    # matplotlib takes 0.4 s to import; `--help` and whatever draws nothing do without.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # for the same reason
    drawn = Figure(figsize=(width, height), dpi=dpi)
    FigureCanvasAgg(drawn)
    return drawn


def figure_png(drawn):
    """Returns a figure, its axes laid out tightly, as the bytes of a PNG."""
    drawn.tight_layout()
    buffer = io.BytesIO()
    drawn.savefig(buffer, format='png')
    return buffer.getvalue()
