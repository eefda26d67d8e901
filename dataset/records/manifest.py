"""What is known about the shards of a built split, kept beside them as SPLIT-manifest.json.

A builder compares it with what it would write and rebuilds only what differs.
Training and evaluation do not need it.
"""
import collections
import hashlib
import os

from common import files
from common.errors import UserError
from dataset.sources import earlier_reading, jpeg_png, views

FORMAT_VERSION = 1

# Goes up when other bytes would be written for the same files and flags.
CONTENT_VERSION = 1

# The key of a `read_mask` that is None, and what earlier builds hashed for it.
IDS_KEY = 'ids'
EARLIER_IDS_KEY = b'\x80\x04N.'

# file: str, name of the shard. records, num_bytes: int. sha256: str, of the file.
# class_pixels: list of int [number_of_classes]. ignored_pixels: int. source: str,
# `Source.fingerprint` of the examples, or None where they were made on the fly.
# skipped: list of str, what was wrong with the examples that were left out. notes, colors: as
# `sources.notes.Totals`. A shard without records is not stored as a file.
Entry = collections.namedtuple('Entry', [
    'file', 'records', 'num_bytes', 'sha256', 'class_pixels', 'ignored_pixels', 'source',
    'skipped', 'notes', 'colors'], defaults=({}, {}))


def path(directory, split):
    """Returns the path of a split's manifest."""
    return os.path.join(directory, split + '-manifest.json')


def save(directory, split, aliases, entries):
    """Writes the manifest; readers see the old or the new file.

    `aliases` are the other splits that list the same shards, `entries` a list of `Entry`.
    """
    values = {'format_version': FORMAT_VERSION, 'split': split, 'aliases': sorted(aliases),
              'shards': [entry._asdict() for entry in entries]}
    files.write_json(values, path(directory, split), indent=1, sort_keys=False)


def load(directory, split):
    """Reads a manifest.

    Returns (tuple of aliases, list of `Entry`); both are empty where there is no manifest, or
    none that this code wrote: everything is built again then.
    """
    try:
        values = files.read_json(path(directory, split))
        if values['format_version'] != FORMAT_VERSION or values['split'] != split:
            return (), []
        return tuple(values['aliases']), [Entry(**entry) for entry in values['shards']]
    except (OSError, ValueError, TypeError, KeyError):
        return (), []


def is_whole(entry, directory):
    """Whether `directory` holds the shard just as it was written. Reads the whole file."""
    if not entry.records:
        return True
    shard = os.path.join(directory, entry.file)
    try:
        return os.path.getsize(shard) == entry.num_bytes and (
            files.hash_file(shard) == entry.sha256)
    except OSError:
        return False


def keys_of(read_mask):
    """Returns what a reader, as `sources.contract` describes it, or None, is known by.

    Returns:
      List of the key, str, and of what earlier builds hashed for it, bytes; raises `UserError`
      on a reader without key.
    """
    if read_mask is None:
        return [IDS_KEY, EARLIER_IDS_KEY]
    key = getattr(read_mask, 'key', None)
    if not isinstance(key, str):
        raise UserError(
            'read_mask %r has no key: give it an attribute `key`, a text that is another one '
            'whenever it reads the same file differently.' % (read_mask,))
    return [key] + ([read_mask.earlier_key] if hasattr(read_mask, 'earlier_key') else [])


class Source:
    """Hashes all that decides the content of a shard: flags, names, and every byte of the files.

    Not their paths and times: a data set that is copied elsewhere stays up to date.

    Args:
      info: `descriptor.DatasetInfo`.
      read_mask: a reader as `sources.contract` describes it, or None.
    """

    def __init__(self, info, read_mask):
        keys = keys_of(read_mask)
        self._digest = _start(info, keys[0])
        self._earlier = [_start(info, key) for key in keys]
        self.reads_ids = read_mask is None
        # Whether earlier builds read all files as today's do, but for the order of palettes.
        self.palettes, self.reads_as_before = set(), True
        self._last_read = None, None  # (image, mask) of the last example, and their hashes

    def add(self, example):
        """Adds a `decoding.Example`; reads its files, those of several pages or tiles once."""
        sources, hashes = (example.image, example.mask), self._last_read[1]
        if sources != self._last_read[0]:
            hashes = self._hash(sources)
            self._last_read = sources, hashes
        described = (example.filename,) + tuple(hashes)
        if example.view != views.AS_IT_IS:
            described += (tuple(example.view),)
        _update(self._digest, described)
        for digest in self._earlier:
            _update(digest, (example.filename, _earlier_identity(example.image, hashes[0]),
                             _earlier_identity(example.mask, hashes[1])))
        self.reads_as_before &= example.view == views.AS_IT_IS

    def _hash(self, sources):
        image, mask = [_read(source) for source in sources]
        self.palettes |= {jpeg_png.palette(mask or b'')} - {None}
        self.reads_as_before &= (earlier_reading.read_image_alike(image or b'')
                                 and earlier_reading.read_mask_alike(mask or b''))
        return [data and hashlib.sha256(data).hexdigest() + earlier_reading.mark(data)
                for data in (image, mask)]

    def fingerprint(self):
        """Returns 64 hexadecimal digits."""
        return self._digest.hexdigest()

    def earlier_fingerprints(self):
        """Returns a set of those that earlier builds gave: by path, size and time of each file."""
        return {digest.hexdigest() for digest in self._earlier}


def earlier_fingerprints(sources):
    """Finds what earlier builds, which did not look into files, are known by.

    Args:
      sources: dict from the name of each shard of a split to its `Source`.

    Returns:
      Dict from the same names to sets of fingerprints, empty where a file was read otherwise
      than today.
    """
    # They took ids from palettes of any order.
    differ = len(set().union(*(source.palettes for source in sources.values()))) > 1
    return {name: set() if not source.reads_as_before or differ and source.reads_ids
            else source.earlier_fingerprints() for name, source in sources.items()}


def _start(info, key):
    return hashlib.sha256(repr(
        (CONTENT_VERSION, info.class_names, info.ignore_label, key)).encode())


def _update(digest, described):
    digest.update(repr(described).encode('utf-8', 'backslashreplace'))


def _read(source):
    """Returns the bytes of a file, or of a part given as such; None where it cannot be read."""
    if isinstance(source, bytes):
        return source
    try:
        with open(source, 'rb') as content_file:
            return content_file.read()
    except OSError:
        # The build says so, naming the file.
        return None


def _earlier_identity(source, content_hash):
    """Returns (path, size, time of last change) of a file, which earlier builds relied on."""
    if isinstance(source, bytes):
        return content_hash
    try:
        status = os.stat(source)
    except OSError:
        return os.path.abspath(source), None
    return os.path.abspath(source), status.st_size, status.st_mtime_ns
