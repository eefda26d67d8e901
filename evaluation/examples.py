"""The images and labels of a split as arrays, in its order: for what looks at single images."""
import numpy as np

from dataset import descriptor
from preprocessing import inputs
from preprocessing.failures import explained
from runtime import tf
from runtime.devices import session_config


def read(info, dataset_dir, split):
    """Reads a split as it is evaluated, without a network.

    Args:
      info: `dataset.descriptor.DatasetInfo`.
      dataset_dir: str.
      split: str.

    Yields:
      (name str, image uint8 [height, width, 3], labels uint8 [height, width]).

    Raises:
      UserError: no such split, or a shard is not there or damaged.
    """
    paths = descriptor.shard_paths(info, dataset_dir, split)
    with tf.Graph().as_default() as graph:
        iterator = tf.data.make_initializable_iterator(inputs.eval_dataset(
            info, dataset_dir, split))
        example = iterator.get_next()
    with explained(paths), tf.Session(graph=graph, config=session_config()) as session:
        session.run(iterator.initializer)
        while True:
            try:
                name, image, labels = session.run(example)
            except tf.errors.OutOfRangeError:
                return
            yield name[0].decode(), image[0].astype(np.uint8), labels[0].astype(np.uint8)
