"""Fetches files over HTTP: what the download scripts share.

A file gets its name only when it is whole: until then its bytes are in `PATH.part`.
"""
import contextlib
import errno
import os
import shutil
import time

from common import files, progress
from common.errors import UserError

BY_HAND = 'Or fetch it by hand and pass it with --file PATH.'

# Seconds to wait for a connection, and for the next bytes on it.
TIMEOUTS = (15, 60)
# Seconds before each further try since the last progress. A host that does not
# answer at all gets one more only: its user wants to hear of it soon. (urllib3's Retry
# repeats requests, but cannot take up a body that ended early.)
RETRY_DELAYS = (0.2, 1, 5)
_BLOCK_BYTES = 2 ** 17


class DownloadError(UserError):
    """A file that could not be fetched, is not the expected one or cannot be unpacked."""


class NoRoomError(DownloadError):
    """A full disk: another address for the same file would not help."""


class _LostConnectionError(DownloadError):
    """What another try may mend; `answered` is whether the server was there at all."""

    def __init__(self, message, answered=True):
        super().__init__(message)
        self.answered = answered


def web_page_hint(path):
    """Returns a remark for error messages if the file is a web page, else ''."""
    with open(path, 'rb') as handle:
        start = handle.read(512).lstrip().lower()
    page = start.startswith((b'<!doctype html', b'<html'))
    return ' (it is a web page, such as proxies and login forms answer with)' if page else ''


def check_room(folder, num_bytes):
    """Raises `NoRoomError` if the disk of an existing folder lacks room for `num_bytes`."""
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise NoRoomError('No room on the disk of %s: %.1f MiB are needed, %.1f MiB are free. Free '
                          'some, or choose a folder on another disk, and run the same command '
                          'again.' % (folder, num_bytes / 2. ** 20, free / 2. ** 20))


@contextlib.contextmanager
def full_disk_reported(path):
    """Turns the OSError of a full disk or quota into `NoRoomError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoRoomError('The disk is full: writing %s failed (%s). Free some room and run the '
                          'same command again.' % (path, os.strerror(error.errno)))


def fetch(urls, path, md5=None, by_hand=BY_HAND):
    """Downloads a file, unless it is there with the right checksum.

    A connection that is lost is taken up again with a Range request, also by a
    later call: `path`.part keeps what has arrived and `path`.part.json from
    where. A server without ranges, or whose file has changed, starts over.

    Args:
      urls: str, or several of the same file, tried in order.
      path: str, where the file is put; its folder is made.
      md5: str or None, the expected checksum. Without one a file that is there is
        fetched again.
      by_hand: str, ends the message of a failure: what the user can do.

    Returns:
      `path`.

    Raises:
      DownloadError: no address gave the file, each with its reason; another
        process is fetching it; or the disk is full (`NoRoomError`). `path` is as
        it was before, and what arrived from a lost connection is kept.
    """
    if md5 and os.path.isfile(path) and files.hash_file(path, 'md5') == md5.lower():
        return path
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    reasons, part = [], path + '.part'
    with _locked_part(part):
        for url in [urls] if isinstance(urls, str) else urls:
            try:
                _download(url, part, bool(md5))
                _verify(part, md5)
                os.replace(part, path)
                return path
            except NoRoomError:
                raise
            except DownloadError as error:
                reasons.append('%s: %s' % (url, error))
    raise DownloadError('Could not download %s.\n  %s\n%s'
                        % (os.path.basename(path), '\n  '.join(reasons), by_hand))


def _verify(part, md5):
    """Removes a complete download and raises if its checksum is wrong."""
    found = md5 and files.hash_file(part, 'md5')
    if md5 and found != md5.lower():
        hint = web_page_hint(part)
        _start_over(part)
        raise DownloadError('what came is another file%s: md5 expected %s, found %s'
                            % (hint, md5.lower(), found))


@contextlib.contextmanager
def _locked_part(part):
    """Keeps other processes from appending to `part`; removes it in the end if it is empty."""
    with open(part, 'ab') as handle:
        try:
            files.lock(handle)
            # Between open and lock the other process may have given it its final name.
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
    """Returns (url, validator, total) of what `part` holds, each None where that is unknown."""
    try:
        state = files.read_json(_state_path(part))
        return state['url'], state['validator'], state['total']
    except (OSError, UserError, KeyError, TypeError):
        return None, None, None


def _start_over(part, state=None):
    """Empties `part`, and then notes what it is about to hold."""
    with full_disk_reported(part):
        open(part, 'wb').close()
        files.write_json(state or {}, _state_path(part))


def _download(url, part, has_checksum):
    """Completes `part` from one address; tries again when the connection is lost."""
    failures = 0
    while True:
        size = os.path.getsize(part)
        try:
            return _transfer(url, part, has_checksum)
        except _LostConnectionError as error:
            if os.path.getsize(part) > size:
                failures = 0
            delays = RETRY_DELAYS if error.answered else RETRY_DELAYS[:1]
            if failures >= len(delays):
                raise
            time.sleep(delays[failures])
            failures += 1


def _transfer(url, part, has_checksum):
    """Makes one request for what `part` lacks, and receives it."""
    from_url, validator, total = _read_state(part)
    validator = validator if from_url == url else None
    # Without validator and checksum, nothing would show that the file has changed.
    known = total is not None and (has_checksum or validator)
    offset = os.path.getsize(part) if known else 0
    if offset and offset == total:
        return
    headers = {'Accept-Encoding': 'identity'}
    if offset:
        headers['Range'] = 'bytes=%d-' % offset
        if validator:
            headers['If-Range'] = validator
    with contextlib.closing(_request(url, headers)) as response:
        if response.status_code == 200:
            total = _total_bytes(response, has_checksum)
            _start_over(part, {'url': url, 'validator': _validator(response), 'total': total})
            _receive(response, part, 0, total)
        elif _continues(response, validator, offset, total):
            _receive(response, part, offset, total)
        else:
            _start_over(part)
            _transfer(url, part, has_checksum)


def _request(url, headers):
    """Returns a streaming response of status 200, or of 206 or 416 to a Range request."""
    import requests  # takes 0.2 s; --help does without
    import urllib3  # comes with it
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


def _continues(response, validator, offset, total):
    """Whether an answer goes on with the same file exactly where `part` ends."""
    same_version = not validator or _validator(response) in (None, validator)
    return (response.status_code == 206 and same_version and response.headers.get('Content-Range')
            == 'bytes %d-%d/%d' % (offset, total - 1, total))


def _total_bytes(response, has_checksum):
    """Returns the length of the whole file, or None where it is not told."""
    if 'Content-Length' in response.headers:
        return int(response.headers['Content-Length'])
    # The chunked encoding marks its end; without it, lost bytes would go unnoticed.
    if not has_checksum and 'chunked' not in response.headers.get('Transfer-Encoding', ''):
        raise DownloadError('the server does not tell how long the file is')
    return None


def _receive(response, part, offset, total):
    """Appends the body to `part`, as it is on the wire: a .tgz must stay one."""
    import urllib3  # late, as in `_request`
    if total is not None:
        check_room(os.path.dirname(os.path.abspath(part)), total - offset)
    with full_disk_reported(part), open(part, 'ab') as handle, \
            progress.bar(total=total, initial=offset, unit='B', unit_scale=True,
                         unit_divisor=1024, desc=os.path.basename(part)[:-len('.part')]) as bar:
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
