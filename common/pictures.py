"""Pillow images as PNG: as bytes, and as files that are there whole or not at all."""
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
