"""dataset/records/shards.py: TensorFlow reads ours and we its files, damage is located."""
import hashlib
import os
import struct

import google_crc32c
import pytest

from common.errors import UserError
from dataset.records import shards
from runtime import tf

RECORDS = [b'', b'x', os.urandom(1000), os.urandom(70000), b'last']


@pytest.fixture
def shard(tmp_path):
    """Returns the path of a shard that TensorFlow wrote, with `RECORDS`."""
    path = str(tmp_path / 'train-00000-of-00001.tfrecord')
    with tf.io.TFRecordWriter(path) as writer:
        for record in RECORDS:
            writer.write(record)
    return path


def starts():
    """Returns the byte at which each record starts, and the size of the file."""
    sizes = [16 + len(record) for record in RECORDS]
    return [sum(sizes[:count]) for count in range(len(sizes) + 1)]


def change(path, position, what=None):
    """Flips a bit of one byte, or cuts the file there when `what` is 'cut'."""
    with open(path, 'r+b') as shard_file:
        if what == 'cut':
            shard_file.truncate(position)
            return
        shard_file.seek(position)
        byte = shard_file.read(1)[0]
        shard_file.seek(position)
        shard_file.write(bytes([byte ^ 8]))


def test_writer_writes_the_bytes_that_tensorflow_writes(shard, tmp_path):
    path = str(tmp_path / 'ours')
    with shards.ShardWriter(path) as writer:
        for record in RECORDS:
            writer.write(record)
    with open(path, 'rb') as ours, open(shard, 'rb') as theirs:
        data = ours.read()
        assert data == theirs.read()
    assert writer.sha256() == hashlib.sha256(data).hexdigest()
    assert writer.records == len(RECORDS) and writer.num_bytes == len(data)


def test_whole_shard_is_read_counted_and_found_whole(shard):
    assert list(shards.iterate_shard(shard)) == RECORDS
    assert shards.count_records(shard) == len(RECORDS)
    assert shards.verify_shard(shard) == shards.ShardReport(len(RECORDS), None)


def test_empty_shard_holds_no_record(tmp_path):
    (tmp_path / 'empty').write_bytes(b'')
    assert shards.count_records(str(tmp_path / 'empty')) == 0
    assert shards.verify_shard(str(tmp_path / 'empty')) == shards.ShardReport(0, None)


@pytest.mark.parametrize('into, what, words', [
    (3, None, 'damaged length'), (9, None, 'damaged length'), (12 + 500, None, 'damaged data'),
    (12 + 1000 + 1, None, 'damaged data'), (5, 'cut', 'within the header'),
    (12 + 500, 'cut', 'cut short: it should end at byte'), (12 + 1000 + 3, 'cut', 'cut short')])
def test_damage_is_located_by_record_and_byte(shard, into, what, words):
    start = starts()[2]
    change(shard, start + into, what)
    report = shards.verify_shard(shard)
    assert report.records == 2
    assert 'record 2 (counted from 0), which starts at byte %d, ' % start in report.problem
    assert words in report.problem
    records = shards.iterate_shard(shard)
    assert [next(records), next(records)] == RECORDS[:2]
    with pytest.raises(shards.DamagedShardError) as error:
        next(records)
    assert (error.value.record, error.value.offset) == (2, start)
    assert shard in str(error.value) and 'rebuilds only the damaged shard' in str(error.value)
    if words != 'within the header':  # TensorFlow takes that for the end of the file
        with pytest.raises(tf.errors.DataLossError):
            list(tf.compat.v1.io.tf_record_iterator(shard))


@pytest.mark.parametrize('into, what', [(5, 'cut'), (12 + 500, 'cut'), (0, None), (9, None)])
def test_counting_notices_cut_files_and_damaged_lengths(shard, into, what):
    change(shard, starts()[2] + into, what)
    with pytest.raises(UserError, match=r'record 2 \(counted from 0\)') as error:
        shards.count_records(shard)
    assert os.path.basename(shard) in str(error.value)


def test_counting_does_not_read_the_records(shard):
    change(shard, starts()[3] + 12 + 100)
    assert shards.count_records(shard) == len(RECORDS)
    assert shards.verify_shard(shard).records == 3


def test_absurd_length_with_a_right_crc_takes_no_memory(tmp_path):
    length = struct.pack('<Q', 1 << 60)
    crc = google_crc32c.value(length)
    masked = ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff
    (tmp_path / 'huge').write_bytes(length + struct.pack('<I', masked) + bytes(50))
    report = shards.verify_shard(str(tmp_path / 'huge'))
    assert report.records == 0 and 'cut short' in report.problem


def test_explanation_names_every_damaged_shard_and_the_way_out(shard, tmp_path):
    whole, absent = str(tmp_path / 'whole'), str(tmp_path / 'absent')
    with open(shard, 'rb') as source, open(whole, 'wb') as target:
        target.write(source.read())
    change(shard, starts()[4] + 13)
    message = shards.explain_data_loss([whole, shard, absent])
    assert message.startswith('2 of 3 shards')
    assert '%s: record 4 (counted from 0)' % shard in message and 'damaged data' in message
    assert '%s cannot be read: No such file' % absent in message
    assert whole not in message
    assert 'Run the dataset builder again with the same flags' in message
    assert 'all 1 shards read whole' in shards.explain_data_loss([whole])
