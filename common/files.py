"""Files that are there whole or not at all: replacing, locking, hashing, JSON."""
import codecs
import contextlib
import fcntl  # POSIX alone has it, as the platforms that `make env` supports
import hashlib
import json
import os
import shutil
import tempfile

from common.errors import UserError

TEMPORARY = '.tmp'
# What TensorFlow takes for patterns in the paths of checkpoints that it restores.
TENSORFLOW_PATTERN = frozenset('*?[]\\')


@contextlib.contextmanager
def replacing(path, mode='w', **options):
    """Opens a file that takes the name of `path` when the block ends well, and is gone otherwise.

    Args:
      path: str.
      mode, options: as of `open`; text is UTF-8.
    """
    if 'b' not in mode:
        options = dict(dict(encoding='utf-8'), **options)
    try:
        with open(path + TEMPORARY, mode, **options) as handle:
            yield handle
        os.replace(path + TEMPORARY, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path + TEMPORARY)


def write_json(value, path, **options):
    """Writes JSON under a temporary name and renames it; `options` as of `json.dump`."""
    with replacing(path) as handle:
        json.dump(value, handle, **dict(dict(indent=2, sort_keys=True), **options))
        handle.write('\n')


def read_text(path, flag):
    """Reads a text that a person wrote: UTF-8, or UTF-16 with its byte order mark.

    Args:
      path: str.
      flag: str, what gave the path, for messages.

    Returns:
      str, lines end with a newline character alone.

    Raises:
      UserError: the file cannot be read, or is of another encoding.
    """
    try:
        with open(path, 'rb') as handle:
            data = handle.read()
    except OSError as error:
        raise UserError('%s %s cannot be read: %s.' % (flag, path, error))
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode('utf-16' if is_utf16 else 'utf-8-sig')
    except UnicodeDecodeError as error:
        raise UserError(
            '%s %s cannot be read: line %d is not UTF-8, but Latin-1 perhaps. Save the text as '
            'UTF-8.' % (flag, path, data[:error.start].count(b'\n') + 1))
    if '\0' in text:
        raise UserError('%s %s cannot be read: it holds zero bytes, so it is no text, or UTF-16 '
                        'without a byte order mark. Save it as UTF-8.' % (flag, path))
    return text.replace('\r\n', '\n').replace('\r', '\n')


def read_json(path):
    """Reads JSON.

    Raises:
      UserError: the file holds something else.
    """
    with open(path, encoding='utf-8') as handle:
        try:
            return json.load(handle)
        except ValueError as error:
            raise UserError('%s is not JSON (%s).' % (path, error))


def hash_file(path, algorithm='sha256'):
    """Returns the hexadecimal checksum of a file by an algorithm of `hashlib`."""
    digest = hashlib.new(algorithm)
    with open(path, 'rb') as handle:
        for block in iter(lambda: handle.read(2 ** 20), b''):
            digest.update(block)
    return digest.hexdigest()


def lock(handle, wait=False):
    """Locks an open file or folder until it is closed, which the end of the process does too.

    Args:
      handle: file, or int, a file descriptor.
      wait: bool, whether to wait for another process.

    Returns:
      bool, False where the file system has no locks, as some network file systems.

    Raises:
      BlockingIOError: another process holds the lock, and `wait` is False.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


@contextlib.contextmanager
def folder_locked(folder, wait=False):
    """Within it this process holds the lock of a folder; yields and raises as `lock` does."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield lock(handle, wait)
    finally:
        os.close(handle)


@contextlib.contextmanager
def temporary_folder(parent, prefix):
    """Makes a folder for a while, and removes what killed processes left of the same prefix.

    Args:
      parent: str, an existing folder.
      prefix: str, of the hidden folder's name; no other use may have it.

    Yields:
      str, its path.
    """
    for name in os.listdir(parent):
        if name.startswith(prefix):
            # An OSError: it is locked, another user's, or gone meanwhile.
            with contextlib.suppress(OSError), folder_locked(os.path.join(parent, name)) as ours:
                if ours:
                    shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
    with contextlib.ExitStack() as held:
        folder = _locked_folder(parent, prefix, held)
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder


def _locked_folder(parent, prefix, held):
    """Makes a folder that is locked until the `ExitStack` ends."""
    while True:
        folder = tempfile.mkdtemp(prefix=prefix, dir=parent)
        # Before it is locked another process, which begins too, may take it for abandoned.
        with contextlib.suppress(FileNotFoundError):
            held.enter_context(folder_locked(folder, wait=True))
            if os.path.isdir(folder):
                return folder
