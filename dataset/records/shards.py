"""Reads, writes and checks TFRecord files without TensorFlow.

A TFRecord file is a row of: length (uint64, little-endian), masked CRC-32C of the
length, the record, masked CRC-32C of the record. All functions hold one record in
memory at a time.
"""
import collections
import hashlib
import os
import struct

from common.errors import UserError
from common.interpreter import command

# records: int, how many whole records come before the first problem. problem:
# None, or str that names record number, byte offset and what is wrong.
ShardReport = collections.namedtuple('ShardReport', ['records', 'problem'])

HOW_TO_MEND = ('Run the dataset builder again with the same flags: it rebuilds only the '
               'damaged shard. If the data set was copied here, copying that file again does too.')

_LENGTH = struct.Struct('<Q')
_CRC = struct.Struct('<I')
_HEADER_BYTES = _LENGTH.size + _CRC.size


class DamagedShardError(UserError):
    """A shard that cannot be read to its end.

    Attributes:
      path: str.
      record: int, number of the record that cannot be read, from 0.
      offset: int, the byte at which that record starts.
      problem: str, what is wrong with it.
      description: str, record, offset and problem as a part of a sentence.
    """

    def __init__(self, path, record, offset, problem):
        self.path, self.record, self.offset, self.problem = path, record, offset, problem
        self.description = ('record %d (counted from 0), which starts at byte %d, %s'
                            % (record, offset, problem))
        super().__init__('%s is damaged: %s. %s' % (path, self.description, HOW_TO_MEND))

    def __reduce__(self):
        return DamagedShardError, (self.path, self.record, self.offset, self.problem)


def _masked_crc(data):
    """The CRC as TFRecord stores it: rotated, so that a record may hold CRCs itself."""
    import google_crc32c  # imports pkg_resources, 0.1 s that --help of most scripts does without
    crc = google_crc32c.value(data)
    return _CRC.pack(((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff)


class ShardWriter:
    """Appends records to a new TFRecord file; a context manager that counts records and bytes."""

    def __init__(self, path):
        self.records = self.num_bytes = 0
        self._digest = hashlib.sha256()
        self._file = open(path, 'wb')

    def write(self, record):
        """Appends one record (bytes)."""
        length = _LENGTH.pack(len(record))
        for part in (length, _masked_crc(length), record, _masked_crc(record)):
            self._file.write(part)
            self._digest.update(part)
            self.num_bytes += len(part)
        self.records += 1

    def sha256(self):
        """Returns the SHA-256 of all bytes so far as 64 hexadecimal digits."""
        return self._digest.hexdigest()

    def close(self):
        """Closes the file; its bytes have left the operating system's buffers when it returns."""
        if not self._file.closed:
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
            finally:
                self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def iterate_shard(path):
    """Yields the records of a TFRecord file as bytes, checking both CRCs of each.

    Raises:
      DamagedShardError: at the first record that is cut short or whose CRC differs.
      UserError: the file cannot be opened or read.
    """
    for _, _, record in _walk(path, with_data=True):
        yield record


def verify_shard(path):
    """Reads a TFRecord file to its first problem, checking every CRC.

    Returns `ShardReport`; raises `UserError` on a file that cannot be opened or read.
    """
    records = 0
    try:
        for _ in iterate_shard(path):
            records += 1
    except DamagedShardError as error:
        return ShardReport(records, error.description)
    return ShardReport(records, None)


def count_records(path):
    """Counts the records of a TFRecord file by stepping from header to header.

    Only their lengths are read and checked. Raises as `iterate_shard`.
    """
    return sum(1 for _ in _walk(path, with_data=False))


def _walk(path, with_data):
    """Yields (number, byte offset, record, or None unless `with_data`) of each record."""
    number = offset = 0
    try:
        with open(path, 'rb') as shard_file:
            size = os.fstat(shard_file.fileno()).st_size
            while offset < size:
                record, end = _read_record(path, shard_file, number, offset, size, with_data)
                yield number, offset, record
                number, offset = number + 1, end
    except OSError as error:
        raise UserError('%s cannot be read: %s.' % (path, error.strerror or error))


def _read_record(path, shard_file, number, offset, size, with_data):
    """Returns (the record or None, the offset of what follows it)."""
    shard_file.seek(offset)
    header = shard_file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        raise DamagedShardError(path, number, offset, 'is cut short: the file ends at byte %d, '
                                'within the header of %d bytes' % (size, _HEADER_BYTES))
    length = header[:_LENGTH.size]
    if _masked_crc(length) != header[_LENGTH.size:]:
        raise DamagedShardError(path, number, offset, 'has a damaged length (its CRC differs)')
    length, = _LENGTH.unpack(length)
    end = offset + _HEADER_BYTES + length + _CRC.size
    if end > size:
        raise DamagedShardError(path, number, offset, 'is cut short: it should end at byte %d, '
                                'but the file ends at byte %d' % (end, size))
    if not with_data:
        return None, end
    record, crc = shard_file.read(length), shard_file.read(_CRC.size)
    if len(record) < length or _masked_crc(record) != crc:
        raise DamagedShardError(path, number, offset, 'has damaged data (its CRC differs)')
    return record, end


def explain_data_loss(paths):
    """Words the message for a reader of shards that met TensorFlow's DataLossError.

    Reads all of `paths` to their ends. Returns str that names each damaged or missing shard,
    the record, what is wrong with it, and how to mend it.
    """
    lines = []
    for path in paths:
        try:
            problem = verify_shard(path).problem
        except UserError as error:
            lines.append('  %s' % error)
        else:
            if problem:
                lines.append('  %s: %s.' % (path, problem))
    if not lines:
        return ('TensorFlow found damaged data, but all %d shards read whole now. If files were '
                'being copied or built meanwhile, start again; else suspect the disk or the '
                'memory of this machine.' % len(paths))
    return '%d of %d shards cannot be read to the end:\n%s\n%s' % (
        len(lines), len(paths), '\n'.join(lines), HOW_TO_MEND)


def explain_invalid(paths, problem):
    """Words the message for a whole record whose content cannot be used.

    Args:
      paths: list of str, the shards that were being read.
      problem: str, what TensorFlow said, a line.
    """
    folder = os.path.dirname(paths[0]) or '.'
    return ('A record in %s (%s) cannot be used: %s\nThis names it and says how to mend it: '
            '%s' % (folder, ', '.join(map(os.path.basename, paths)), problem,
                    command('dataset/check.py', folder)))
