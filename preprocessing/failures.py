"""What TensorFlow's errors mean to a user, in one place for training, evaluation and prediction."""
import contextlib

from common.errors import UserError
from dataset.records import shards
from runtime import tf
from runtime.devices import first_line, is_out_of_memory


class OutOfMemoryError(UserError):
    """What was to be computed does not fit into memory; who catches it knows what is cheaper."""


def is_of_input(error):
    """Whether a `tf.errors.OpError` came with the next batch: nothing was computed from it."""
    if error.op is None:  # TensorFlow 2 does not find it by the name, which its message has
        return '[[IteratorGetNext]]' in error.message
    return error.op.type == 'IteratorGetNext'


@contextlib.contextmanager
def explained(paths=(), no_memory='Memory ran out.'):
    """Within it TensorFlow's errors that a user can mend become a `UserError`.

    Args:
      paths: list of str, the shards that are read meanwhile.
      no_memory: str, the message where memory runs out.

    Raises:
      UserError: a shard is damaged, holds a record that cannot be used, or cannot be read on;
        names it.
      OutOfMemoryError: memory ran out.
    """
    try:
        yield
    except tf.errors.DataLossError:
        raise UserError(shards.explain_data_loss(paths))
    except tf.errors.OpError as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(no_memory)
        if not is_of_input(error):
            raise
        if isinstance(error, tf.errors.InvalidArgumentError) and paths:
            raise UserError(shards.explain_invalid(paths, first_line(error)))
        raise UserError('Images could not be read on: %s\nMend this, and the same command goes on.'
                        % first_line(error))
