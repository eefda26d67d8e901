"""Files that become several examples: a page each, a tile each."""
import os

from dataset.sources import opening


def divide(examples, view, by_page=False, tile=None, draws=False):
    """Gives each example its view, and makes several of those that are to be divided.

    Args:
      examples: list of `decoding.Example` of files.
      view: `views.View` of all.
      by_page: bool, whether each page becomes an example.
      tile: int, the longest side of an example in pixels, or None.
      draws: bool, whether masks are no images, but drawn by a `CroppingReader`.

    Returns:
      List of `decoding.Example`; what cannot be opened or divided is left for the build to name.
    """
    examples = [example._replace(view=view) for example in examples]
    if not by_page and not tile:
        return examples
    divided = []
    for example in examples:
        try:
            image = opening.measure(example.image)
            mask = image if draws else opening.measure(example.mask)
        # As in decoding.decode.
        except Exception:
            divided.append(example)
            continue
        pages = _pages(example, image, mask) if by_page else [example]
        for page in pages:
            divided += _tiles(page, image, mask, tile) if tile else [page]
    return divided


class CroppingReader:
    """A reader, as `contract` describes it, of tiles of the masks that another one draws.

    Args:
      reader: as `contract` describes it; it draws whole masks.
    """
    draws = True

    def __init__(self, reader):
        self.reader, self.key = reader, reader.key
        self.may_crash = getattr(reader, 'may_crash', False)
        # Image and mask that the last tile was cut from, and the labels.
        self._last_read = None, None

    def __call__(self, example, info):
        if example.view.box is None:
            return self.reader(example, info)
        left, top, right, bottom = example.view.box
        if self._last_read[0] != (example.image, example.mask):
            labels = self.reader(example._replace(view=example.view._replace(box=None)), info)
            self._last_read = (example.image, example.mask), labels
        return self._last_read[1][top:bottom, left:right]


def _pages(example, image, mask):
    """Returns an example for each page; image and mask are lists of sizes."""
    if len(image) != len(mask):
        # The first page that one of them lacks: the build says so.
        return [example._replace(view=example.view._replace(page=min(len(image), len(mask))))]
    if len(image) == 1:
        return [example]
    return [example._replace(filename=_numbered(example.filename, 'page%04d' % (page + 1)),
                             view=example.view._replace(page=page))
            for page in range(len(image))]


def _tiles(example, image, mask, side):
    """Returns an example for each tile, from left to right, rows from top to bottom."""
    page = example.view.page or 0
    if page >= min(len(image), len(mask)):
        return [example]
    sizes = [size[::-1] if orientation >= 5 and not example.view.ignore_exif else size
             for size, orientation in (image[page], mask[page])]
    width, height = sizes[0]
    # Where sizes differ the whole image is left for the build to complain of.
    if sizes[0] != sizes[1] or max(width, height) <= side:
        return [example]
    return [example._replace(
        filename=_numbered(example.filename, 'y%05d-x%05d' % (top, left)),
        view=example.view._replace(box=(left, top, min(left + side, width),
                                        min(top + side, height))))
            for top in range(0, height, side) for left in range(0, width, side)]


def _numbered(filename, text):
    stem, extension = os.path.splitext(filename)
    return '%s-%s%s' % (stem, text, extension)
