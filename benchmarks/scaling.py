"""Expected speed of 2 to 64 GPUs: what the sum of the gradients adds to a step.

    python benchmarks/scaling.py --resnet_model resnet_v2_101

A ring moves 2 * (N - 1) / N of the gradients through each link in 2 * (N - 1) messages
(P. Patarasuk and X. Yuan, J. Parallel Distrib. Comput. 69, 2009); nothing of it is counted as
hidden behind the backward pass, because all gradients are summed at its end. docs/scaling.md shows
the tables.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
import network  # noqa: E402
from common import scripts  # noqa: E402
from dataset import voc  # noqa: E402
from experiment import train_flags  # noqa: E402
from runtime import tf  # noqa: E402

# name, bytes a second in one direction, seconds of a message. The rates are those on paper.
LINKS = (('10 GbE', 1.25e9, 5e-5), ('100 GbE', 12.5e9, 5e-5), ('NVLink', 150e9, 1e-5))
BYTES = (('fp32', 4), ('bf16', 2))
NUM_GPUS = (2, 4, 8, 16, 32, 64)
# ResNet-101, output stride 16, 513x513, on a V100: 30,000 steps of 16 images in 9.5 hours
# (rishizek/tensorflow-deeplab-v3).
SECONDS_AN_IMAGE = 9.5 * 3600 / 30000 / 16
IMAGES = (2, 16)


def count_gradients(args):
    """Returns int, the numbers that the gradients of a network with some flags have."""
    with tf.Graph().as_default():
        images = tf.zeros([2, args.crop_size, args.crop_size, 3])
        logits = network.deeplab_v3(images, network.options_of(args), is_training=True, reuse=None)
        variables = tf.trainable_variables()
        return sum(variable.shape.num_elements() for variable, gradient in zip(
            variables, tf.gradients(logits, variables)) if gradient is not None)


def seconds_of_sum(num_bytes, num_gpus, rate, latency):
    """Returns float, the seconds in which a ring of `num_gpus` sums buffers of `num_bytes`."""
    return 2 * (num_gpus - 1) * (num_bytes / num_gpus / rate + latency)


def table(num_gradients, num_images):
    """Returns the lines of a table of Markdown: efficiency in percent by GPUs, link and type.

    Args:
      num_gradients: int.
      num_images: int, of each GPU in a step.
    """
    columns = [(link, rate, latency, kind, size) for link, rate, latency in LINKS
               for kind, size in BYTES]
    lines = ['| GPUs | ' + ' | '.join('%s, %s' % (column[0], column[3])
                                      for column in columns) + ' |',
             '| --- ' * (len(columns) + 1) + '|']
    computing = SECONDS_AN_IMAGE * num_images
    for num_gpus in NUM_GPUS:
        shares = [computing / (computing + seconds_of_sum(
            num_gradients * size, num_gpus, rate, latency))
            for _, rate, latency, _, size in columns]
        lines.append('| %d | ' % num_gpus + ' | '.join('%.0f%%' % (100 * share)
                                                       for share in shares) + ' |')
    return lines


def main(argv=None):
    args = train_flags.parse(argv, __doc__)
    args.number_of_classes = len(voc.CLASS_NAMES)
    with scripts.ending_in_one_message():
        num_gradients = count_gradients(args)
    print('%s: %d gradients, %d MB in fp32' % (args.resnet_model, num_gradients,
                                               round(4e-6 * num_gradients)))
    for num_images in IMAGES:
        print('\n%d images a GPU, %.2f s without others:' % (
            num_images, SECONDS_AN_IMAGE * num_images))
        print('\n'.join(table(num_gradients, num_images)))


if __name__ == '__main__':
    main()
