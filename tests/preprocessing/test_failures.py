"""failures.py: TensorFlow's errors become those of a user, or stay what they are."""
import types

import pytest

from common.errors import UserError
from dataset import descriptor
from preprocessing import failures
from runtime import tf


def raised(error, paths=()):
    with pytest.raises(Exception) as caught:
        with failures.explained(paths, 'No room: give a smaller one.'):
            raise error
    return caught.value


def test_memory_that_ran_out_is_said_as_the_caller_words_it():
    for error in (tf.errors.ResourceExhaustedError(None, None, 'OOM when allocating'),
                  tf.errors.InternalError(None, None, 'Dst tensor is not initialized.')):
        found = raised(error)
        assert isinstance(found, failures.OutOfMemoryError) and isinstance(found, UserError)
        assert str(found) == 'No room: give a smaller one.'


def test_damaged_and_unusable_shards_are_named(shapes_dir):
    paths = descriptor.shard_paths(descriptor.load(shapes_dir), shapes_dir, 'train')
    assert 'all 4 shards read whole' in str(raised(tf.errors.DataLossError(None, None, 'x'), paths))
    reading = types.SimpleNamespace(type='IteratorGetNext')
    assert 'dataset/check.py ' + shapes_dir in str(
        raised(tf.errors.InvalidArgumentError(None, reading, 'bad record'), paths))
    for op in (None, types.SimpleNamespace(type='Conv2D')):  # of the network, not of a record
        error = tf.errors.InvalidArgumentError(None, op, 'a bug')
        assert raised(error, paths) is error


def test_what_no_user_can_mend_stays():
    for error in (tf.errors.InvalidArgumentError(None, None, 'a bug'),
                  tf.errors.InternalError(None, None, 'a bug'), ZeroDivisionError()):
        assert raised(error) is error
