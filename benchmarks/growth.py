"""How the cost of training grows with crop, batch and depth, and what that predicts.

    python benchmarks/growth.py
    python benchmarks/growth.py --gpu_tflops 15.7

Measures steps of this project's network, each setting in a process of its own, fits

    seconds, MiB = fixed + rate * images * (crop / 513) ** 2      for each depth

by least squares of the relative errors, and predicts the post's training: 46 epochs of 8,252
images, crop 513, batch 8. Writes benchmarks/GROWTH.md. A setting that does not fit into memory, or
finds no time before --time_limit, is named there.
"""
import datetime
import json
import os
import statistics
import sys
import tempfile
import time
from typing import NamedTuple

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing

import numpy as np  # noqa: E402

from benchmarks import measuring, turns  # noqa: E402
from common import command_line, files, flag_types, scripts  # noqa: E402
from runtime import machine  # noqa: E402

PAGE_PATH = os.path.join(measuring.ROOT, 'benchmarks', 'GROWTH.md')
CROP_SIZE = 513  # of the post
EPOCHS, IMAGES, BATCH_SIZE = 46, 8252, 8
SHALLOW, DEEP = 'resnet_v2_50', 'resnet_v2_101'
# Model, crop, batch. The cheap ones first, so that a time limit leaves a fit.
SETTINGS = [(SHALLOW, 257, batch) for batch in (1, 2, 4, 8, 16)] + [
    (SHALLOW, 513, 1), (SHALLOW, 513, 2), (DEEP, 257, 2), (DEEP, 257, 8), (SHALLOW, 513, 4),
    (DEEP, 513, 2), (SHALLOW, 769, 1), (SHALLOW, 769, 2), (DEEP, 513, 4), (SHALLOW, 513, 8),
    (SHALLOW, 769, 4), (SHALLOW, 513, 16)]
PRODUCTS = 5  # before and after all else, the fastest of which is the limit
OUTLIER = 0.1  # relative error from which a row is marked


class Row(NamedTuple):
    """A step that was measured.

    Attributes:
      model: str.
      crop_size, batch_size: int.
      seconds: float, the median.
      peak_mib: float.
      operations: float, of the convolutions of a step.
      tensorflow: str, its version.
    """
    model: str
    crop_size: int
    batch_size: int
    seconds: float
    peak_mib: float
    operations: float
    tensorflow: str


class Law(NamedTuple):
    """fixed + rate * images * (crop / 513) ** 2, and its largest relative error."""
    fixed: float
    rate: float
    worst: float

    def at(self, crop_size, batch_size):
        return self.fixed + self.rate * size_of(crop_size, batch_size)


def size_of(crop_size, batch_size):
    """Returns float, the images of 513x513 pixels that have as many pixels as the batch."""
    return batch_size * (crop_size / CROP_SIZE) ** 2


def fit(rows, name):
    """Fits the law.

    Args:
      rows: list of `Row` of one model.
      name: str, 'seconds' or 'peak_mib'.

    Returns:
      `Law`, or None where fewer than three rows would be fitted by its two numbers.
    """
    if len(rows) < 3:
        return None
    measured = np.array([getattr(row, name) for row in rows])
    sizes = np.array([size_of(row.crop_size, row.batch_size) for row in rows])
    design = np.stack([1 / measured, sizes / measured], axis=1)
    fixed, rate = np.linalg.lstsq(design, np.ones(len(rows)), rcond=None)[0]
    return Law(fixed, rate, float(np.abs(design.dot([fixed, rate]) - 1).max()))


def measure(settings, num_rounds, deadline, log_path):
    """Measures steps of training.

    Args:
      settings: list of (model, crop size, batch size).
      num_rounds: int.
      deadline: float, of `time.monotonic`, after which none is begun.
      log_path: str, see `turns.take_turns`.

    Returns:
      (list of `Row`, list of str, what is missing there and why).
    """
    rows, left_out = [], []
    for model, crop_size, batch_size in settings:
        title = '%s, %dx%d, batch %d' % (model, crop_size, crop_size, batch_size)
        if time.monotonic() > deadline:
            left_out.append('%s: the time was up, see --time_limit' % title)
            continue
        law = fit([row for row in rows if row.model == model], 'peak_mib')
        needed = law.at(crop_size, batch_size) if law else 0
        available = (machine.memory().available or machine.memory().total or 0) / 2 ** 20
        if needed > available:
            left_out.append('%s: it needs some %.0f MiB, and %.0f are free' % (
                title, needed, available))
            continue
        timed, failed = step_of(model, crop_size, batch_size, num_rounds, log_path)
        left_out += ['%s: %s' % (title, why) for why in failed.values()]
        for one in timed.values():
            rows.append(Row(model, crop_size, batch_size, statistics.median(one.seconds),
                            one.peak_mib, one.about['operations'], one.about['tensorflow']))
            print('%s: %.2f s, %.0f MiB' % (title, rows[-1].seconds, one.peak_mib), flush=True)
    return rows, left_out


def step_of(model, crop_size, batch_size, num_rounds, log_path):
    """Runs a process of benchmarks/own_network.py; returns as `turns.take_turns`."""
    setting = {'task': 'training', 'form': 'native', 'output_stride': 16, 'resnet_model': model,
               'crop_size': crop_size, 'batch_size': batch_size}
    return turns.take_turns({'step': _command(setting)}, num_rounds, log_path)


def limit_of(log_path):
    """Returns float, operations a second of a product of matrices in float32, or None."""
    timed, _ = turns.take_turns(
        {'product': _command({'task': 'product', 'precision': 'fp32'})}, PRODUCTS, log_path)
    return max([one.about['operations'] / min(one.seconds) for one in timed.values()], default=None)


def _command(setting):
    return [sys.executable, os.path.join(measuring.ROOT, 'benchmarks', 'own_network.py'),
            json.dumps(setting)]


def table(rows, seconds, memory):
    """Returns the lines of a table of rows of one model beside their laws.

    Rows that a law misses by more than `OUTLIER` are marked.
    """
    lines = ['| crop | batch | s a step | law | MiB | law |', '| --- ' * 6 + '|']
    for row in rows:
        cells = []
        for law, measured, form in ((seconds, row.seconds, '%.2f'), (memory, row.peak_mib, '%.0f')):
            cells.append(form % measured)
            if law is None:
                cells.append('')
                continue
            told = law.at(row.crop_size, row.batch_size)
            error = told / measured - 1
            cells.append((form + ' (%+.0f%%)%s') % (
                told, 100 * error, ' *' if abs(error) > OUTLIER else ''))
        lines.append('| %d | %d | %s |' % (row.crop_size, row.batch_size, ' | '.join(cells)))
    return lines


def days(seconds_a_step):
    """Returns float, the days of the post's training."""
    return EPOCHS * IMAGES / BATCH_SIZE * seconds_a_step / 86400


def predictions(rows, law, limit, gpu_tflops):
    """Says what the post's training takes, on this CPU and on a GPU.

    Args:
      rows: list of `Row` of ResNet-50.
      law: `Law` of their seconds.
      limit: float, operations a second of this CPU, or None.
      gpu_tflops: float.

    Returns:
      List of str, lines.
    """
    seconds = law.at(CROP_SIZE, BATCH_SIZE)
    nearest = max(rows, key=lambda row: (row.crop_size == CROP_SIZE, row.batch_size))
    operations = nearest.operations * size_of(CROP_SIZE, BATCH_SIZE) / size_of(
        nearest.crop_size, nearest.batch_size)
    lines = ['- on this CPU: %.1f days (%.1f s a step)' % (days(seconds), seconds)]
    at_best = operations / (1e12 * gpu_tflops)
    lines.append('- on a GPU of %g TFLOP/s: at least %.2f days, if its convolutions reach all of '
                 'it (not run)' % (gpu_tflops, days(at_best)))
    if limit:
        share = operations / seconds / limit
        lines.append('- on the same GPU, if a step reaches %.0f%% of the limit as here: %.2f days '
                     '(not run)' % (100 * share, days(at_best / share)))
    return lines


def page(rows, left_out, limit, gpu_tflops):
    """Returns list of str, the lines of the page."""
    processor = machine.processor()
    lines = ['# How the cost of training grows', '',
             'Written by `benchmarks/growth.py` on %s: output stride 16, float32, TensorFlow %s.'
             % (datetime.date.today(), ', '.join(sorted({row.tensorflow for row in rows}))), '',
             '- CPU: %s, %d cores (%s)' % (processor.name, processor.cores,
                                           ', '.join(sorted(processor.features)))]
    if limit:
        lines.append('- limit, of a product of matrices: %.0f GFLOP/s' % (limit / 1e9))
    lines += ['- not run: ' + text for text in left_out]
    for model in (SHALLOW, DEEP):
        own = [row for row in rows if row.model == model]
        if not own:
            continue
        seconds, memory = fit(own, 'seconds'), fit(own, 'peak_mib')
        lines += ['', '## ' + model, '']
        for law, unit in ((seconds, 's'), (memory, 'MiB')):
            if law:
                lines.append('- %s = %.4g + %.4g * images * (crop / %d)^2, wrong by %.0f%% at most'
                             % (unit, law.fixed, law.rate, CROP_SIZE, 100 * law.worst))
        lines += [''] + table(own, seconds, memory)
        if model == SHALLOW and seconds:
            lines += ['', 'The training of the post, %d epochs of %d images, crop %d, batch %d:'
                      % (EPOCHS, IMAGES, CROP_SIZE, BATCH_SIZE), '']
            lines += predictions(own, seconds, limit, gpu_tflops)
    return lines


def main(argv=None):
    parser = command_line.Parser(__doc__)
    parser.add_argument('--gpu_tflops', type=flag_types.positive_float, default=15.7,
                        help="of the GPU to predict for (default: %(default)g, float32 of a V100)")
    parser.add_argument('--num_rounds', type=flag_types.positive_int, default=3,
                        help='steps of each setting (default: %(default)s)')
    parser.add_argument('--time_limit', type=flag_types.positive_float, default=30.0,
                        metavar='MINUTES', help='begin nothing after so long (default: '
                        '%(default)g)')
    parser.add_argument('--output', default=PAGE_PATH, help='the page that is written')
    args = parser.parse_args(argv)
    deadline = time.monotonic() + 60 * args.time_limit
    with scripts.ending_in_one_message():
        log_path = os.path.join(tempfile.gettempdir(), 'growth.log')
        limits = [limit_of(log_path)]
        rows, left_out = measure(SETTINGS, args.num_rounds, deadline, log_path)
        limits.append(limit_of(log_path))
        limit = max(filter(None, limits), default=None)
        with files.replacing(args.output) as opened:
            opened.write('\n'.join(page(rows, left_out, limit, args.gpu_tflops)) + '\n')


if __name__ == '__main__':
    main()
