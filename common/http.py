"""Fetches files over HTTP and unpacks archives; what the download scripts share.

A file or folder gets its final name only when it is whole: bytes arrive in
`PATH.part`, archives are unpacked into a hidden folder. Free of TensorFlow.
"""
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import posixpath
import shutil
import tarfile
import tempfile
import time
import zlib

import requests
import urllib3
from tqdm import tqdm

from common.errors import UserError

BY_HAND = 'Or fetch it by hand and pass it with --file PATH.'

# Seconds to wait for a connection, and for the next bytes on it.
TIMEOUTS = (15, 60)
# Seconds before each further try since the last progress. A host that does not
# answer at all gets one more only: its user wants to hear of it soon.
RETRY_DELAYS = (0.2, 1, 5)

MAX_MEMBER_BYTES = 2 ** 30
MAX_TOTAL_BYTES = 2 ** 32
_BLOCK_BYTES = 2 ** 17
_TAR_BLOCK_BYTES = 512
_NAMES_SHOWN = 5
_GZIP_MAGIC = b'\x1f\x8b'


class DownloadError(UserError):
    """A file that could not be fetched, is not the expected one or cannot be unpacked."""


class NoRoomError(DownloadError):
    """A full disk: another address for the same file would not help."""


class _LostConnectionError(DownloadError):
    """What another try may mend; `answered` is whether the server was there at all."""

    def __init__(self, message, answered=True):
        super(_LostConnectionError, self).__init__(message)
        self.answered = answered


def hash_file(path, algorithm='sha256'):
    """Returns the hexadecimal checksum of a file by an algorithm of `hashlib`."""
    digest = hashlib.new(algorithm)
    with open(path, 'rb') as handle:
        for block in iter(lambda: handle.read(2 ** 20), b''):
            digest.update(block)
    return digest.hexdigest()


def web_page_hint(path):
    """Returns a remark for error messages if the file is a web page, else ''."""
    with open(path, 'rb') as handle:
        start = handle.read(512).lstrip().lower()
    page = start.startswith((b'<!doctype html', b'<html'))
    return ' (it is a web page, such as proxies and login forms answer with)' if page else ''


def mebibytes(num_bytes):
    """Returns a number of bytes as text, such as '97.7 MiB'."""
    return '%.1f MiB' % (num_bytes / 2. ** 20)


def check_room(folder, num_bytes):
    """Raises `NoRoomError` if the disk of an existing folder lacks room for `num_bytes`."""
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise NoRoomError('No room on the disk of %s: %s are needed, %s are free. Free some, or '
                          'choose a folder on another disk, and run the same command again.'
                          % (folder, mebibytes(num_bytes), mebibytes(free)))


@contextlib.contextmanager
def _full_disk_reported(path):
    """Turns the OSError of a full disk or quota into `NoRoomError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoRoomError('The disk is full: writing %s failed (%s). Free some room and run the '
                          'same command again.' % (path, os.strerror(error.errno)))


def fetch(urls, path, sha256=None, md5=None, expected_bytes=None, by_hand=BY_HAND):
    """Downloads a file, unless it is there with the right checksum.

    A connection that is lost is taken up again with a Range request, also by a
    later call: `path`.part keeps what has arrived and `path`.part.json from
    where. A server without ranges, or whose file has changed, starts over.

    Args:
      urls: str, or several of the same file, tried in order.
      path: str, where the file is put; its folder is made.
      sha256, md5: str or None, the expected checksum. Without one a file that is
        there is fetched again.
      expected_bytes: int or None, the expected length.
      by_hand: str, ends the message of a failure: what the user can do.

    Returns:
      `path`.

    Raises:
      DownloadError: no address gave the file, each with its reason; another
        process is fetching it; or the disk is full (`NoRoomError`). `path` is as
        it was before, and what arrived from a lost connection is kept.
    """
    checksums = {'sha256': sha256, 'md5': md5}
    checksums = {name: value.lower() for name, value in checksums.items() if value}
    if checksums and os.path.isfile(path) and not _wrong_checksums(path, checksums):
        return path
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    reasons, part = [], path + '.part'
    with _locked_part(part):
        for url in [urls] if isinstance(urls, str) else urls:
            try:
                _download(url, part, expected_bytes, bool(checksums))
                _verify(part, checksums)
                os.replace(part, path)
                return path
            except NoRoomError:
                raise
            except DownloadError as error:
                reasons.append('%s: %s' % (url, error))
    raise DownloadError('Could not download %s.\n  %s\n%s'
                        % (os.path.basename(path), '\n  '.join(reasons), by_hand))


def _wrong_checksums(path, checksums):
    """Compares a file with its checksums; returns 'expected ..., found ...' or ''."""
    for algorithm, expected in sorted(checksums.items()):
        found = hash_file(path, algorithm)
        if found != expected:
            return '%s expected %s, found %s' % (algorithm, expected, found)
    return ''


def _verify(part, checksums):
    """Removes a complete download and raises if its checksum is wrong."""
    wrong = _wrong_checksums(part, checksums)
    if wrong:
        hint = web_page_hint(part)
        _start_over(part)
        raise DownloadError('what came is another file%s: %s' % (hint, wrong))


@contextlib.contextmanager
def _locked_part(part):
    """Keeps other processes from appending to `part`; removes it in the end if it is empty."""
    with open(part, 'ab') as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between open and flock the other process may have given it its final name.
            locked = os.path.samestat(os.fstat(handle.fileno()), os.stat(part))
        except (BlockingIOError, FileNotFoundError):
            locked = False
        if not locked:
            raise DownloadError('%s is being written by another process. Wait for it, then run '
                                'the same command again.' % part)
        try:
            yield
        finally:
            if os.path.exists(part) and not os.path.getsize(part):
                os.remove(part)
            if not os.path.exists(part) and os.path.exists(_state_path(part)):
                os.remove(_state_path(part))


def _state_path(part):
    return part + '.json'


def _read_state(part):
    """Returns {'url', 'validator', 'total'} of what `part` holds; {} if that is unknown."""
    try:
        with open(_state_path(part)) as handle:
            state = json.load(handle)
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) and {'url', 'validator', 'total'} <= set(state) else {}


def _start_over(part, state=None):
    """Empties `part`, and then notes what it is about to hold."""
    with _full_disk_reported(part):
        open(part, 'wb').close()
        with open(_state_path(part) + '.tmp', 'w') as handle:
            json.dump(state or {}, handle)
        os.replace(_state_path(part) + '.tmp', _state_path(part))


def _download(url, part, expected_bytes, has_checksum):
    """Completes `part` from one address; tries again when the connection is lost."""
    failures = 0
    while True:
        size = os.path.getsize(part)
        try:
            return _transfer(url, part, expected_bytes, has_checksum)
        except _LostConnectionError as error:
            if os.path.getsize(part) > size:
                failures = 0
            delays = RETRY_DELAYS if error.answered else RETRY_DELAYS[:1]
            if failures >= len(delays):
                raise
            time.sleep(delays[failures])
            failures += 1


def _transfer(url, part, expected_bytes, has_checksum):
    """Makes one request for what `part` lacks, and receives it."""
    state, offset = _read_state(part), os.path.getsize(part)
    same_url = state.get('url') == url
    # Without validator and checksum, nothing would show that the file has changed.
    if state.get('total') is None or not (has_checksum or same_url and state['validator']):
        offset = 0
    if offset and offset == state['total']:
        return
    headers = {'Accept-Encoding': 'identity'}
    if offset:
        headers['Range'] = 'bytes=%d-' % offset
        if same_url and state['validator']:
            headers['If-Range'] = state['validator']
    with contextlib.closing(_request(url, headers)) as response:
        if offset and response.status_code != 200 and not _continues(response, state, offset,
                                                                     same_url):
            _start_over(part)
            return _transfer(url, part, expected_bytes, has_checksum)
        if response.status_code != 206:
            offset = 0
        total = _total_bytes(response, has_checksum)
        if total is not None and expected_bytes not in (None, total):
            raise DownloadError('it has %d bytes there, not the expected %d'
                                % (total, expected_bytes))
        if not offset:
            _start_over(part, {'url': url, 'validator': _validator(response), 'total': total})
        _receive(response, part, offset, total)
    size = os.path.getsize(part)
    if expected_bytes not in (None, size):
        _start_over(part)
        raise DownloadError('%d bytes came, not the expected %d' % (size, expected_bytes))


def _request(url, headers):
    """Returns a streaming response of status 200, or of 206 or 416 to a Range request."""
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS)
    except (requests.ConnectionError, requests.Timeout) as error:
        # The message of requests is a chain of objects; the innermost says why.
        while isinstance(error.__context__, (OSError, urllib3.exceptions.HTTPError)):
            error = error.__context__
        raise _LostConnectionError('no connection (%s)' % error, answered=False)
    except requests.RequestException as error:
        raise DownloadError(str(error))
    status = response.status_code
    if status == 200 or 'Range' in headers and status in (206, 416):
        return response
    response.close()
    message = 'the server answers %d %s' % (status, response.reason)
    passing = status in (408, 429) or status >= 500
    raise (_LostConnectionError if passing else DownloadError)(message)


def _validator(response):
    """Returns what names this version of the file in If-Range, or None."""
    tag = response.headers.get('ETag', 'W/')
    return response.headers.get('Last-Modified') if tag.startswith('W/') else tag


def _continues(response, state, offset, same_url):
    """Whether a 206 goes on with the same file exactly where `part` ends."""
    if response.status_code != 206:
        return False
    expected = 'bytes %d-%d/%d' % (offset, state['total'] - 1, state['total'])
    same_version = not same_url or _validator(response) in (None, state['validator'])
    return same_version and response.headers.get('Content-Range') == expected


def _total_bytes(response, has_checksum):
    """Returns the length of the whole file, or None where it is not told."""
    if response.status_code == 206:
        return int(response.headers['Content-Range'].rsplit('/', 1)[1])
    if 'Content-Length' in response.headers:
        return int(response.headers['Content-Length'])
    # The chunked encoding marks its end; without it, lost bytes would go unnoticed.
    if not has_checksum and 'chunked' not in response.headers.get('Transfer-Encoding', ''):
        raise DownloadError('the server does not tell how long the file is')
    return None


def _receive(response, part, offset, total):
    """Appends the body to `part`, as it is on the wire: a .tgz must stay one."""
    if total is not None:
        check_room(os.path.dirname(os.path.abspath(part)), total - offset)
    with _full_disk_reported(part), open(part, 'ab') as handle, \
            tqdm(total=total, initial=offset, unit='B', unit_scale=True, unit_divisor=1024,
                 desc=os.path.basename(part)[:-len('.part')], disable=None) as bar:
        try:
            for block in response.raw.stream(_BLOCK_BYTES, decode_content=False):
                handle.write(block)
                bar.update(len(block))
        except urllib3.exceptions.HTTPError as error:
            raise _LostConnectionError('the connection was lost after %d bytes of %s (%s)'
                                       % (bar.n, total or 'an unknown number', error))
    size = os.path.getsize(part)
    if total is not None and size != total:
        raise _LostConnectionError('the connection ended after %d bytes of %d' % (size, total))


def open_tar(archive):
    """Opens a plain or gzip-compressed tar archive.

    Args:
      archive: str, its path.

    Returns:
      `tarfile.TarFile`.

    Raises:
      DownloadError: it is none.
    """
    with open(archive, 'rb') as handle:
        mode = 'r:gz' if handle.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC else 'r:'
    try:
        return tarfile.open(archive, mode)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DownloadError('%s is no tar archive, or the start of it is damaged%s: %s'
                            % (archive, web_page_hint(archive), error))


def safe_members(tar, choose, max_member_bytes=MAX_MEMBER_BYTES, max_total_bytes=MAX_TOTAL_BYTES):
    """Yields the files to unpack, reading no further than the first dangerous member.

    Args:
      tar: `tarfile.TarFile`.
      choose: function of a member's normalised path that returns where it goes,
        a relative path, or None to leave it out.
      max_member_bytes, max_total_bytes: int, the most that one member and all of
        them, chosen or not, may hold when unpacked.

    Yields:
      (`tarfile.TarInfo` of a regular file, str as `choose` returned).

    Raises:
      DownloadError: a path leads out of the archive, a chosen member is a link or
        a device, or a limit is passed.
    """
    total = 0
    for member in tar:
        total += member.size + _TAR_BLOCK_BYTES
        target = choose(posixpath.normpath(member.name))
        fault = None
        if member.name.startswith('/') or '..' in member.name.split('/'):
            fault = 'leads out of the folder that it is unpacked into'
        elif not 0 <= member.size <= max_member_bytes:
            fault = 'holds %d bytes; at most %d are allowed' % (member.size, max_member_bytes)
        elif total > max_total_bytes:
            fault = 'is where it passes the %d bytes allowed in all' % max_total_bytes
        elif target is not None and not (member.isfile() or member.isdir()):
            fault = 'is a link or a device, which no archive here needs'
        if fault:
            raise DownloadError('%s is refused: its member %r %s. Nothing was unpacked.'
                                % (tar.name, member.name, fault))
        if target is not None and member.isfile():
            yield member, target


def _unpack(archive, folder, choose, max_member_bytes, max_total_bytes):
    """Writes the chosen files below `folder`; returns (how many, the first names in the tar)."""
    count, names = 0, []

    def noted(name):
        names.extend([name] if len(names) < _NAMES_SHOWN else [])
        return choose(name)
    with open_tar(archive) as tar:
        members = safe_members(tar, noted, max_member_bytes, max_total_bytes)
        for member, target in tqdm(members, unit='file', desc='unpacking', disable=None):
            path = os.path.join(folder, target)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb') as handle:
                shutil.copyfileobj(tar.extractfile(member), handle, _BLOCK_BYTES)
                if handle.tell() != member.size:
                    raise EOFError('%s ends early' % member.name)
            count += 1
        # A tar ends before its gzip stream does, and only the end of that has the
        # checksum. Beyond the limit it is a bomb.
        for _ in range(max_total_bytes // _BLOCK_BYTES + 1):
            if not tar.fileobj.read(_BLOCK_BYTES):
                return count, names
    raise DownloadError('%s is refused: more than %d bytes follow its last member.'
                        % (archive, max_total_bytes))


def check_unused(destination):
    """Raises `DownloadError` if something other than an empty folder has the name of a new one."""
    if os.path.lexists(destination) and not (os.path.isdir(destination)
                                             and not os.listdir(destination)):
        raise DownloadError('%s is there already, and not from this archive. Move it away, or '
                            'choose another folder.' % destination)


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
            _remove_if_abandoned(os.path.join(parent, name))
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as folder:
        handle = os.open(folder, os.O_RDONLY)
        try:
            # Ends with this process, however that ends. Some network file systems have no
            # locks: nothing is removed there.
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(handle)


def _remove_if_abandoned(folder):
    # An OSError: it is locked, another user's, or gone meanwhile.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)


def extract(archive, destination, choose, wanted, finish=None,
            max_member_bytes=MAX_MEMBER_BYTES, max_total_bytes=MAX_TOTAL_BYTES):
    """Unpacks the chosen files of an archive as one new folder, or not at all.

    Only contents are taken: no owners, no modes, no times.

    Args:
      archive: str, path of a plain or gzip-compressed tar.
      destination: str, the folder to make; it may be there if it is empty.
      choose, max_member_bytes, max_total_bytes: as in `safe_members`.
      wanted: str, what is chosen, for the message that it is not there.
      finish: function of the folder, called before it gets its final name, or None.

    Returns:
      `destination`.

    Raises:
      DownloadError: `destination` holds files, or the archive is dangerous,
        damaged or without a chosen file; `NoRoomError` if the disk is full.
    """
    check_unused(destination)
    parent, name = os.path.split(os.path.abspath(destination))
    os.makedirs(parent, exist_ok=True)
    with temporary_folder(parent, '.unpacking-%s-' % name) as temporary:
        check_room(parent, os.path.getsize(archive))
        # One level deeper, because the temporary folder is closed to other users.
        folder = os.path.join(temporary, name)
        os.mkdir(folder)
        try:
            with _full_disk_reported(folder):
                count, names = _unpack(archive, folder, choose, max_member_bytes,
                                       max_total_bytes)
                if count and finish:
                    finish(folder)
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise DownloadError('%s could not be unpacked, it may be damaged or incomplete: %s. '
                                'Nothing of it was kept.' % (archive, error))
        if not count:
            raise DownloadError('%s holds no %s, but %s. Is it another archive?'
                                % (archive, wanted, ', '.join(names) or 'nothing'))
        os.rename(folder, destination)
    return destination
