"""Training with two processes against one, of one thread each, at equal batch; and what sums cost.

    python benchmarks/worker_speed.py
    python benchmarks/worker_speed.py --pairs 5 -- --crop_size 129 --batch_size 4

Behind -- stand flags of train.py. In turns are measured, as train.py logs it over its last 20
steps: one process; two that share the batch; two at once that know nothing of each other, each
with half the batch. The last two differ in the sums over the processes alone, and in the waiting
for the slower one. Last is a sum by itself, of as many numbers as ResNet-101's gradients have.
"""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from benchmarks import measuring  # noqa: E402
from common import command_line, flag_types, scripts  # noqa: E402
from common.errors import UserError  # noqa: E402
from experiment import run_log, train_flags  # noqa: E402
from runtime import channel, tf, workers  # noqa: E402
from runtime.devices import Settings, set_up  # noqa: E402

# Of 20 logged ones, the first sets things up.
STEPS = 22
SUMMED_NUMBERS = 60 * 10 ** 6
SUMS = 5
_SPEED = 'speed/images_per_second'


def measured_speeds(folder, jobs):
    """Runs training jobs at once; returns the images a second of all together.

    Args:
      folder: str, where their runs go.
      jobs: list of commands, lists of str that --model_dir is added to.

    Raises:
      UserError: one fails.
    """
    folders = [os.path.join(folder, str(number)) for number in range(len(jobs))]
    processes = [subprocess.Popen([sys.executable] + job + ['--model_dir', path],
                                  cwd=measuring.ROOT, stdout=subprocess.DEVNULL)
                 for job, path in zip(jobs, folders)]
    for process in processes:
        if process.wait():
            raise UserError('%s failed with status %d.'
                            % (' '.join(process.args), process.returncode))
    return sum([entry[_SPEED] for entry in run_log.read_metrics(path) if _SPEED in entry][-1]
               for path in folders)


def measure(data, pairs, flags, batch_size):
    """Prints each turn and the medians; returns (speed of two over one, share of the sums)."""
    training = ['train.py', '--dataset_dir', data, '--num_threads', '1', '--max_steps',
                str(STEPS), '--init_from', 'random'] + flags
    half = training + ['--batch_size', str(batch_size // 2)]
    two = ['runtime/launch.py', '--workers', '2', '--'] + training
    gains, shares = [], []
    for number in range(1, pairs + 1):
        speeds = []
        for jobs in ([training], [two], [half, half]):
            with tempfile.TemporaryDirectory() as folder:
                speeds.append(measured_speeds(folder, jobs))
        alone, together, apart = speeds
        gains.append(together / alone)
        shares.append(1 - together / apart)
        print('turn %d, images a second: one process %.2f, two %.2f, two without sums %.2f'
              % ((number,) + tuple(speeds)), flush=True)
    gain, share = statistics.median(gains), statistics.median(shares)
    print('median: two processes %.2f times as fast as one; sums and waiting %.1f%% of the step'
          % (gain, 100 * share))
    return gain, share


def sum_numbers(path):
    """Measures sums by itself, as one of several workers; the chief writes the seconds of each."""
    with workers.joined(os.environ['TF_CONFIG'], dict) as group:
        set_up(Settings(gpu_id='-1', num_threads=1))
        group.start_server()
        with tf.Graph().as_default() as graph, tf.device(group.device):
            [total] = group.all_sum([tf.ones([SUMMED_NUMBERS])])
            seconds = []
            with tf.Session(group.target, graph, group.session_config()) as session:
                for _ in range(1 + SUMS):
                    start = time.perf_counter()
                    session.run(total.op)
                    seconds.append(time.perf_counter() - start)
        if group.is_chief:
            with open(path, 'w') as seconds_file:
                json.dump(seconds[1:], seconds_file)


def measure_sum(path):
    """Prints how long a sum over two processes takes, and how fast its numbers travel."""
    addresses = ['127.0.0.1:%d' % port for port in channel.free_ports(2)]
    processes = [subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), '--sum', path],
        env=dict(os.environ, TF_CONFIG=workers.tf_config(addresses, rank))) for rank in (0, 1)]
    if any([process.wait() for process in processes]):
        raise UserError('The sum by itself failed.')
    with open(path) as seconds_file:
        seconds = statistics.median(json.load(seconds_file))
    # In a ring of two each sends and receives the buffer once.
    print('a sum of %d million numbers over loopback: %.2f s, %.2f GB/s each way'
          % (SUMMED_NUMBERS // 10 ** 6, seconds, 4e-9 * SUMMED_NUMBERS / seconds))


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    place = argv.index('--') if '--' in argv else len(argv)
    parser = command_line.Parser(__doc__)
    parser.add_argument('--pairs', type=flag_types.positive_int, default=5,
                        help='turns (default: 5)')
    parser.add_argument('--sum', help=argparse.SUPPRESS)
    flags = parser.parse_args(argv[:place])
    training = train_flags.parse(
        ['--crop_size', '257', '--batch_size', '4', '--starting_learning_rate', '0.0005']
        + argv[place + 1:], __doc__)
    with scripts.ending_in_one_message(), contextlib.ExitStack() as stack:
        if flags.sum:
            sum_numbers(flags.sum)
            return
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        data = os.path.join(folder, 'data')
        subprocess.check_call([sys.executable, 'dataset/build_shapes.py', '--output_dir', data,
                               '--num_train', '64', '--num_validation', '1', '--num_test', '1'],
                              cwd=measuring.ROOT, stdout=subprocess.DEVNULL)
        measure(data, flags.pairs, ['--crop_size', str(training.crop_size), '--batch_size', str(
            training.batch_size)] + argv[place + 1:], training.batch_size)
        measure_sum(os.path.join(folder, 'seconds.json'))


if __name__ == '__main__':
    main()
