"""What is worth a word about a file without being a mistake.

Whoever reads a file notes it here; the builder and the checker collect the notes of each
example and say them once, with their number. Each thread collects its own.
"""
import collections
import contextlib
import threading

# texts: dict from kind to what is said of the first such file. colors: dict from the colours
# (0xRRGGBB) that a mask with a palette shows to the ids of their pixels.
Notes = collections.namedtuple('Notes', ['texts', 'colors'])

_local = threading.local()


@contextlib.contextmanager
def collected():
    """Yields the `Notes` that are filled by what this thread reads within the block."""
    _local.notes = notes = Notes({}, {})
    try:
        yield notes
    finally:
        _local.notes = None


def add(kind, text):
    """Notes `text`, which names the file, unless there is one of this kind or nobody collects."""
    notes = getattr(_local, 'notes', None)
    if notes is not None:
        notes.texts.setdefault(kind, text)


def drop(kind):
    """Takes back what was noted of this kind."""
    notes = getattr(_local, 'notes', None)
    if notes is not None:
        notes.texts.pop(kind, None)


def add_colors(colors):
    """Notes the id of each colour that a mask shows, by its palette, as in `Notes`."""
    notes = getattr(_local, 'notes', None)
    if notes is not None:
        notes.colors.update(colors)


def map_colors(label_of):
    """Replaces each index that `add_colors` noted by what a function makes of it."""
    notes = getattr(_local, 'notes', None)
    if notes is not None:
        notes.colors.update({color: label_of(index) for color, index in notes.colors.items()})


class Totals:
    """The notes of many examples, as JSON can hold them.

    Attributes:
      texts: dict from kind to [number of examples, the first text].
      colors: dict from a colour, '#rrggbb', to a list of [id, name of the first mask with it].
    """

    def __init__(self):
        self.texts, self.colors = {}, {}

    def add(self, notes, mask_name):
        """Adds the `Notes` of an example."""
        self.merge({kind: [1, text] for kind, text in notes.texts.items()},
                   {'#%06x' % color: [[index, mask_name]] for color, index in notes.colors.items()})

    def merge(self, texts, colors):
        """Adds `texts` and `colors` of another."""
        for kind, (count, text) in texts.items():
            entry = self.texts.setdefault(kind, [0, text])
            entry[0] += count
        for color, places in colors.items():
            known = self.colors.setdefault(color, [])
            for index, name in places:
                if index not in [other for other, _ in known]:
                    known.append([index, name])

    def describe(self):
        """Returns a list of sentences: the first file of each kind, and how many there are."""
        return ['%s.%s' % (text, '' if count == 1 else ' So it is with %d examples.' % count)
                for _, (count, text) in sorted(self.texts.items())]

    def differing_palettes(self):
        """Returns a sentence on masks whose palettes give one colour different ids, or None."""
        for color, places in sorted(self.colors.items()):
            if len(places) > 1:
                (first, first_name), (second, second_name) = places[:2]
                return ('The palettes of the masks differ: the colour %s is id %d in %s and %d '
                        'in %s. If the colours stand for classes, say which with --palette for '
                        'all splits (build_folder.py); if the indices do, save the masks as 8-bit '
                        'grey PNG.'
                        % (color, first, first_name, second, second_name))
        return None
