"""What TensorFlow's errors mean to a user, in one place for training, evaluation and prediction."""
import contextlib

from common.errors import UserError
from dataset.records import shards
from runtime import tf
from runtime.devices import is_out_of_memory


class OutOfMemoryError(UserError):
    """What was to be computed does not fit into memory; who catches it knows what is cheaper."""


@contextlib.contextmanager
def explained(paths=()):
    """Within it TensorFlow's errors that a user can mend become a `UserError`.

    Args:
      paths: list of str, the shards that are read meanwhile.

    Raises:
      UserError: a shard is damaged, or holds a record that cannot be used; names it.
      OutOfMemoryError: memory ran out.
    """
    try:
        yield
    except tf.errors.DataLossError:
        raise UserError(shards.explain_data_loss(paths))
    except tf.errors.OpError as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError('Memory ran out: %s' % error.message.splitlines()[0])
        if isinstance(error, tf.errors.InvalidArgumentError) and paths:
            raise UserError(shards.explain_invalid(paths, error.message))
        raise
