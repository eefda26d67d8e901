"""Runs of a tiny network with pseudo-random weights, for the tests of what uses a run."""
import contextlib
import os

import numpy as np

import network
from experiment import config, train_flags
from resnet import architecture
from runtime import tf
from tests.helpers import pseudo_random
from tests.helpers.example_files import noise

TINY = 'resnet_v2_tiny'
NUM_CLASSES = 6  # of the shapes
STEP = 7
ASPP_DEPTH = 16  # halves the weights


@contextlib.contextmanager
def tiny_network(base_depth=64):
    """Within it there is the model `TINY`, whose ASPP has few filters.

    Args:
      base_depth: int, see `architecture.Architecture`.
    """
    architecture.MODELS[TINY] = architecture.Architecture((1, 1, 1, 3), base_depth, ASPP_DEPTH)
    try:
        yield
    finally:
        del architecture.MODELS[TINY]


def pictures(height, width, batch=1, seed=0):
    """Returns uint8 [batch, height, width, 3]: blocks of 8x8 pixels of 200 colours at most."""
    return np.stack([
        noise(-(-height // 8), -(-width // 8), seed=seed + index)
        .repeat(8, axis=0).repeat(8, axis=1)[:height, :width] for index in range(batch)])


def write_run(folder, dataset_dir, suffix=''):
    """Writes config.json and a checkpoint whose labels are of several classes.

    Call it within `tiny_network`.

    Args:
      folder: str.
      dataset_dir: str, of the shapes.
      suffix: str, what the names of the variables end with in the checkpoint.
    """
    args = train_flags.parse(['--resnet_model', TINY, '--dataset_dir', dataset_dir,
                              '--model_dir', folder])
    args.number_of_classes = NUM_CLASSES
    config.save(args, folder)
    with tf.Graph().as_default(), tf.Session() as session:
        logits = network.deeplab_v3(tf.constant(pictures(48, 64), tf.float32),
                                    network.options_of(args), False, None)
        pseudo_random.assign(session)
        # Logits around 0: pictures have several classes, and none is sure.
        weights, biases = [tf.global_variables('DeepLab_v3/logits/' + name)[0]
                           for name in ('weights', 'biases')]
        weights.load(session.run(weights) * 3 / session.run(logits).std(axis=(0, 1, 2)).max(),
                     session)
        biases.load(session.run(biases) - session.run(logits).mean(axis=(0, 1, 2)), session)
        tf.train.Saver({variable.op.name + suffix: variable
                        for variable in tf.global_variables()}).save(
            session, os.path.join(folder, 'model.ckpt-%d' % STEP), write_meta_graph=False)
