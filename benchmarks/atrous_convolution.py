"""Times a training step with native atrous convolutions against slim's own.

    python benchmarks/atrous_convolution.py

Builds the same training step twice in one process, runs the two in turn, and
prints each pair's ratio and the median. `--crop_size 513 --batch_size 2
--output_stride 16` is the default; on the stock CPU wheel both are the same.
"""
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
import losses  # noqa: E402
import network  # noqa: E402
from dataset import voc  # noqa: E402
from experiment import train_flags  # noqa: E402
from runtime import slim, tf  # noqa: E402
from runtime.devices import has_native_dilated_gradient  # noqa: E402
from runtime.devices import session_config  # noqa: E402


def build_step(args, native):
    """Returns (session, train op) of one way to run atrous convolutions."""
    options = network.options_of(args)
    options = options._replace(
        architecture=options.architecture._replace(native_atrous=native))
    with tf.Graph().as_default() as graph:
        shape = [args.batch_size, args.crop_size, args.crop_size]
        images = tf.random_uniform(shape + [3], 0.0, 255.0, seed=0)
        labels = tf.random_uniform(shape, 0, args.number_of_classes, tf.int32, seed=0)
        logits = network.deeplab_v3(images, options, is_training=True, reuse=None)
        loss = losses.sum_losses(losses.masked_cross_entropy(logits, labels, voc.IGNORE_LABEL),
                                 losses.regularization())
        train_op = slim.learning.create_train_op(
            loss.total, tf.train.AdamOptimizer(args.starting_learning_rate))
        session = tf.Session(graph=graph, config=session_config())
        session.run(tf.global_variables_initializer())
    return session, train_op


def seconds(step):
    """The wall-clock seconds of one run of `step`."""
    session, train_op = step
    start = time.perf_counter()
    session.run(train_op)
    return time.perf_counter() - start


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    args = train_flags.parse(['--batch_size', '2'] + argv, __doc__)
    args.number_of_classes = len(voc.CLASS_NAMES)
    print('%s, output stride %d, %d x %d, batch %d, TensorFlow %s'
          % (args.resnet_model, args.output_stride, args.crop_size, args.crop_size,
             args.batch_size, tf.__version__))
    if not has_native_dilated_gradient():
        raise SystemExit('This build has no gradient of native dilated convolutions: the network '
                         'falls back to slim\'s, there is nothing to compare.')
    slims, native = build_step(args, False), build_step(args, True)
    for step in (slims, native, slims, native):  # warm up
        seconds(step)
    ratios = []
    for pair in range(1, 8):
        times = seconds(slims), seconds(native)
        ratios.append(times[0] / times[1])
        print('pair %d: slim %.2f s, native %.2f s, ratio %.2f' % ((pair,) + times + (ratios[-1],)))
    print('median ratio slim / native: %.2f' % statistics.median(ratios))


if __name__ == '__main__':
    main()
