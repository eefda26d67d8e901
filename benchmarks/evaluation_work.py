"""What test.py does besides the network, in time, and the time of one confusion matrix.

    python benchmarks/evaluation_work.py

Draws photograph-like pairs of 500x375, and runs the network over them twice in turn:
through the evaluation of test.py, which decodes, scores, and writes PNGs beside it, and
over the decoded images alone. Prints what the evaluation takes longer for an image, as a
share of a forward pass at 513x513, pair by pair and as the median.
"""
import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing

import numpy as np  # noqa: E402

import metrics  # noqa: E402
import network  # noqa: E402
from benchmarks import measuring  # noqa: E402
from common import command_line, flag_types  # noqa: E402
from dataset import descriptor, voc  # noqa: E402
from evaluation import graph, loop, results  # noqa: E402
from experiment import train_flags, weights  # noqa: E402
from runtime import tf  # noqa: E402
from runtime.devices import session_config  # noqa: E402

CROP_SIZE = 513


def build_graph(args, data):
    """Returns the `graph.EvalGraph` of test.py, without the post's crops."""
    return graph.build_eval_graph(network.options_of(args), descriptor.load(data), data,
                                  graph.EvaluationOptions('test'))


def save_random_weights(args, data, folder):
    """Writes a checkpoint of random weights; returns its prefix."""
    eval_graph = build_graph(args, data)
    with tf.Session(graph=eval_graph.graph, config=session_config()) as session:
        session.run(tf.variables_initializer(eval_graph.variables))
        return eval_graph.saver.save(session, os.path.join(folder, 'model.ckpt-0'))


def seconds_of_evaluation(args, data, checkpoint, folder):
    """Seconds an image of the whole evaluation, from the end of the first to that of the last."""
    info, eval_graph = descriptor.load(data), build_graph(args, data)
    pictures = results.Pictures(results.begin(folder), eval_graph.num_examples, info)
    ends = []

    def add(*values):
        pictures.add(*values)
        ends.append(time.perf_counter())
    loop.evaluate(eval_graph, checkpoint, info, 'test', add, details=True)
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def seconds_of_network(args, data, checkpoint, images):
    """Seconds an image of the network alone, over images that are decoded already."""
    eval_graph, ends = build_graph(args, data), []
    with weights.restored_session(eval_graph.graph, eval_graph.saver, checkpoint) as session:
        for image in images:
            session.run(eval_graph.predictions, {eval_graph.image: image[np.newaxis]})
            ends.append(time.perf_counter())
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def confusion_milliseconds(repeats=50):
    """The median time of one confusion matrix of 500x375 in 21 classes."""
    labels = np.asarray(measuring.draw_pair(3)[1]).astype(np.int32)
    predictions = np.roll(labels, 9, axis=1) % len(voc.CLASS_NAMES)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        metrics.confusion_matrix(labels, predictions.astype(np.uint8), len(voc.CLASS_NAMES),
                                 voc.IGNORE_LABEL)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def main(argv=None):
    parser = command_line.Parser(__doc__)
    parser.add_argument('--num_images', type=flag_types.positive_int, default=16)
    parser.add_argument('--num_pairs', type=flag_types.positive_int, default=5)
    parser.add_argument('--resnet_model', default='resnet_v2_50')
    flags = parser.parse_args(argv)
    print('confusion matrix of 500x375: %.2f ms' % confusion_milliseconds())
    args = train_flags.parse(['--resnet_model', flags.resnet_model])
    args.number_of_classes = len(voc.CLASS_NAMES)
    with tempfile.TemporaryDirectory() as folder:
        data, source = os.path.join(folder, 'data'), os.path.join(folder, 'source')
        os.mkdir(source)
        measuring.write_pairs(source, flags.num_images)
        measuring.build_split(source, flags.num_images, data, 'test')
        checkpoint = save_random_weights(args, data, folder)
        images = [np.asarray(measuring.draw_pair(index)[0]) for index in range(flags.num_images)]
        forward = seconds_of_network(args, data, checkpoint,
                                     [np.zeros([CROP_SIZE, CROP_SIZE, 3], np.float32)] * 8)
        print('forward pass at %dx%d: %.3f s' % (CROP_SIZE, CROP_SIZE, forward))
        shares = []
        for pair in range(1, flags.num_pairs + 1):
            whole = seconds_of_evaluation(args, data, checkpoint, os.path.join(folder, 'results'))
            alone = seconds_of_network(args, data, checkpoint, images)
            shares.append((whole - alone) / forward)
            print('pair %d: evaluation %.3f s an image, network alone %.3f s: %.1f %% of a '
                  'forward pass more' % (pair, whole, alone, 100 * shares[-1]), flush=True)
    print('median: %.1f %% of a forward pass' % (100 * statistics.median(shares)))


if __name__ == '__main__':
    main()
