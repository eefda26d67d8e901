"""A step of this project's network, timed by benchmarks/speed.py.

    PYTHON benchmarks/own_network.py '{"task": "training", "crop_size": 513, ...}'
"""
import itertools
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing

import numpy as np  # noqa: E402

import losses  # noqa: E402
import network  # noqa: E402
from benchmarks import settings, traces, turns  # noqa: E402
from dataset import voc  # noqa: E402
from resnet.architecture import Convolutions  # noqa: E402
from runtime import slim, tf  # noqa: E402
from runtime.devices import Settings, session_config, set_up  # noqa: E402

PRODUCT_SIZE = 4096  # of the matrices whose product shows what the machine can do
# Pictures of a step of the task 'sizes', and the pixels of each, about.
NUM_PICTURES, NUM_PIXELS = 10, 150 * 150
LOWEST = 100


def build(setting):
    """Builds a step.

    Args:
      setting: dict with task: 'product', or 'training' and 'inference', for which it has
        batch_size and crop_size, or 'sizes', for which it has are_different, whether no two
        pictures have one size. All but 'product' need what `settings.options_of` reads, and
        that has precision, 'fp32' or 'bf16'. It may have mixed_precision, as of the flag, and
        timeline, a path: a step is traced into it.

    Returns:
      (function that runs the step, dict with what the network is, and where a step is traced,
      profile, as of `traces.heaviest`).
    """
    set_up(Settings(gpu_id='-1', mixed_precision=setting.get('mixed_precision', 'off')))
    session = tf.Session(graph=tf.Graph(), config=session_config())
    with session.graph.as_default():
        tf.set_random_seed(0)
        feeds = itertools.repeat([{}])
        if setting['task'] == 'product':
            dtype = {'fp32': tf.float32, 'bf16': tf.bfloat16}[setting['precision']]
            factors = [tf.Variable(tf.cast(tf.random.uniform([PRODUCT_SIZE] * 2), dtype))
                       for _ in 'ab']
            op, about = tf.matmul(*factors).op, {'operations': 2 * PRODUCT_SIZE ** 3}
        elif setting['task'] == 'sizes':
            images = tf.placeholder(tf.float32, [1, None, None, 3])
            op = network.deeplab_v3(images, settings.options_of(setting), False, None)
            about = {'pictures': NUM_PICTURES}
            feeds = pictures(images, setting['are_different'])
        else:
            op, about = build_network(setting)
        session.run(tf.global_variables_initializer())

    def step(**tracing):
        for feed in next(feeds):
            session.run(op, feed, **tracing)
    if 'timeline' in setting:
        about['profile'] = profile(step, setting['timeline'])
    return step, dict(about, tensorflow=tf.__version__)


def profile(step, path):
    """Traces a step once it is warm, its last run where it has several.

    Args:
      step: function that hands its arguments to `tf.Session.run`.
      path: str, where the timeline goes.

    Returns:
      List, as of `traces.heaviest`.
    """
    for _ in range(turns.WARM_UP_STEPS):
        step()
    metadata = tf.RunMetadata()
    step(options=tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), run_metadata=metadata)
    operations = traces.operations_of(metadata.step_stats)
    traces.write_timeline(operations, path)
    return traces.heaviest(operations)


def pictures(images, are_different):
    """Yields lists of `NUM_PICTURES` feeds of a placeholder, all of nearly `NUM_PIXELS`."""
    heights = itertools.count(LOWEST)
    while True:
        shapes = [(height, NUM_PIXELS // height) if are_different else (150, 150)
                  for height in itertools.islice(heights, NUM_PICTURES)]
        yield [{images: np.zeros((1,) + shape + (3,), np.float32)} for shape in shapes]


def build_network(setting):
    """Returns (op, dict with the number of parameters and of floating-point operations)."""
    shape = [setting['batch_size']] + [setting['crop_size']] * 2
    images = tf.get_variable('images', shape + [3], trainable=False,
                             initializer=tf.random_uniform_initializer(0, 255))
    is_training = setting['task'] == 'training'
    logits = network.deeplab_v3(images, settings.options_of(setting), is_training, None)
    about = {'parameters': settings.count_parameters()}
    if setting.get('form') == Convolutions.NATIVE.value:
        about['operations'] = convolution_operations() * (3 if is_training else 1)
    if not is_training:
        return tf.argmax(logits, axis=3).op, about
    labels = tf.zeros(shape, tf.int32)
    loss = losses.sum_losses(losses.masked_cross_entropy(logits, labels, voc.IGNORE_LABEL),
                             losses.regularization())
    return slim.learning.create_train_op(loss.total, tf.train.AdamOptimizer(1e-5)).op, about


def convolution_operations():
    """Floating-point operations of a forward pass's convolutions, products with padding too."""
    return sum(2 * op.outputs[0].shape.num_elements() * op.inputs[1].shape[:3].num_elements()
               for op in tf.get_default_graph().get_operations() if op.type == 'Conv2D')


if __name__ == '__main__':
    turns.serve(*build(json.loads(sys.argv[1])))
