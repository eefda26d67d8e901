"""Unpacks tar archives that may be damaged or made to do harm.

Python 3.7's tarfile has no extraction filters, so each member is judged here.
"""
import os
import posixpath
import shutil
import tarfile
import zlib

from common import files, progress
from common.http import (DownloadError, check_room, full_disk_reported,
                         web_page_hint)

MAX_MEMBER_BYTES = 2 ** 30
MAX_TOTAL_BYTES = 2 ** 32
_BLOCK_BYTES = 2 ** 17
_NAMES_SHOWN = 5
_GZIP_MAGIC = b'\x1f\x8b'
_DAMAGED = (tarfile.TarError, EOFError, OSError, zlib.error)


def open_tar(archive):
    """Opens a plain or gzip-compressed tar archive.

    Returns:
      `tarfile.TarFile`.

    Raises:
      DownloadError: it is none.
    """
    with open(archive, 'rb') as handle:
        mode = 'r:gz' if handle.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC else 'r:'
    try:
        return tarfile.open(archive, mode)
    except _DAMAGED as error:
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
        total += member.size + tarfile.BLOCKSIZE
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


def _unpack(tar, folder, choose, max_member_bytes, max_total_bytes):
    """Writes the chosen files below `folder`, and reads the archive to its very end."""
    members = safe_members(tar, choose, max_member_bytes, max_total_bytes)
    for member, target in progress.bar(members, unit='file', desc='unpacking'):
        path = os.path.join(folder, target)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as handle:
            shutil.copyfileobj(tar.extractfile(member), handle, _BLOCK_BYTES)
            if handle.tell() != member.size:
                raise EOFError('%s ends early' % member.name)
    # A tar ends before its gzip stream does, and only the end of that has the
    # checksum. Beyond the limit it is a bomb.
    for _ in range(max_total_bytes // _BLOCK_BYTES + 1):
        if not tar.fileobj.read(_BLOCK_BYTES):
            return
    raise DownloadError('%s is refused: more than %d bytes follow its last member.'
                        % (tar.name, max_total_bytes))


def check_unused(destination):
    """Raises `DownloadError` if something other than an empty folder has the name of a new one."""
    if os.path.lexists(destination) and not (os.path.isdir(destination)
                                             and not os.listdir(destination)):
        raise DownloadError('%s is there already, and not from this archive. Move it away, or '
                            'choose another folder.' % destination)


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
    with files.temporary_folder(parent, '.unpacking-%s-' % name) as temporary, \
            open_tar(archive) as tar:
        check_room(parent, os.path.getsize(archive))
        # One level deeper, because the temporary folder is closed to other users.
        folder = os.path.join(temporary, name)
        os.mkdir(folder)
        try:
            with full_disk_reported(folder):
                _unpack(tar, folder, choose, max_member_bytes, max_total_bytes)
                if os.listdir(folder) and finish:
                    finish(folder)
        except _DAMAGED as error:
            raise DownloadError('%s could not be unpacked, it may be damaged or incomplete: %s. '
                                'Nothing of it was kept.' % (archive, error))
        if not os.listdir(folder):
            names = ', '.join(tar.getnames()[:_NAMES_SHOWN]) or 'nothing'
            raise DownloadError('%s holds no %s, but %s. Is it another archive?'
                                % (archive, wanted, names))
        os.rename(folder, destination)
    return destination
