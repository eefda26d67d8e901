"""What is known about the shards of a built split, kept beside them as SPLIT-manifest.json.

A builder compares it with what it would write and rebuilds only what differs.
Training and evaluation do not need it.
"""
import collections
import hashlib
import os

from common import files
from common.errors import UserError

FORMAT_VERSION = 1

# Goes up when other bytes would be written for the same files and flags.
CONTENT_VERSION = 1

# The key of a `read_mask` that is None, and what earlier builds hashed for it.
IDS_KEY = 'ids'
EARLIER_IDS_KEY = b'\x80\x04N.'

# file: str, name of the shard. records, num_bytes: int. sha256: str, of the file.
# class_pixels: list of int [number_of_classes]. ignored_pixels: int. source: str,
# a `source_fingerprint` of the examples, or None where they were made on the fly.
# skipped: list of str, what was wrong with the examples that were left out. A
# shard without records is not stored as a file.
Entry = collections.namedtuple('Entry', [
    'file', 'records', 'num_bytes', 'sha256', 'class_pixels', 'ignored_pixels', 'source',
    'skipped'])


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


def source_fingerprints(examples, info, read_mask):
    """Hashes all that decides the content of a shard, as today's builds and as earlier ones.

    Earlier builds hashed the pickled reader: what they built is known by the second
    fingerprint, and stays (tests/dataset/records/test_manifest.py).

    Args:
      examples, info: as in `source_fingerprint`.
      read_mask: a reader as `sources.contract` describes it, or None.

    Returns:
      Tuple of str, the first that of a new shard; raises `UserError` on a reader without key.
    """
    if read_mask is None:
        keys = [IDS_KEY, EARLIER_IDS_KEY]
    else:
        key = getattr(read_mask, 'key', None)
        if not isinstance(key, str):
            raise UserError(
                'read_mask %r has no key: give it an attribute `key`, a text that is another one '
                'whenever it reads the same file differently.' % (read_mask,))
        keys = [key] + ([read_mask.earlier_key] if hasattr(read_mask, 'earlier_key') else [])
    return tuple(source_fingerprint(examples, info, key) for key in keys)


def source_fingerprint(examples, info, key):
    """Hashes all that decides the content of a shard, as 64 hexadecimal digits.

    Of files that is path, size and time of last change; they are not read.

    Args:
      examples: sequence of `decoding.Example`.
      info: `descriptor.DatasetInfo`.
      key: str or bytes, says how masks are read.
    """
    digest = hashlib.sha256(repr(
        (CONTENT_VERSION, info.class_names, info.ignore_label, key)).encode())
    for example in examples:
        digest.update(repr((example.filename, _identity(example.image),
                            _identity(example.mask))).encode('utf-8', 'backslashreplace'))
    return digest.hexdigest()


def _identity(source):
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    try:
        status = os.stat(source)
    except OSError:
        # The build says so, naming the file.
        return os.path.abspath(source), None
    return os.path.abspath(source), status.st_size, status.st_mtime_ns
