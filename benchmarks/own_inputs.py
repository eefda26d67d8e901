"""The input pipeline of train.py without a network, timed by benchmarks/speed.py.

    PYTHON benchmarks/own_inputs.py '{"dataset_dir": DIR, "batch_size": 8, "crop_size": 513}'
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from benchmarks import turns  # noqa: E402
from dataset import descriptor  # noqa: E402
from experiment import train_flags  # noqa: E402
from preprocessing import inputs  # noqa: E402
from runtime import tf  # noqa: E402
from runtime.devices import session_config  # noqa: E402
from training import graph  # noqa: E402


def build(setting):
    """Builds a step that takes a batch.

    Args:
      setting: dict with dataset_dir, of which the split train is read, batch_size and crop_size.

    Returns:
      (function that runs the step, dict with the TensorFlow).
    """
    info = descriptor.load(setting['dataset_dir'])
    args = train_flags.parse(['--crop_size', str(setting['crop_size'])])
    with tf.Graph().as_default():
        example = tf.data.make_one_shot_iterator(inputs.train_dataset(
            info, setting['dataset_dir'], graph.augmentation_options(args, info.ignore_label),
            setting['batch_size'], 0)).get_next()
        session = tf.Session(config=session_config())
    return lambda: session.run(example.image), {'tensorflow': tf.__version__}


if __name__ == '__main__':
    turns.serve(*build(json.loads(sys.argv[1])))
