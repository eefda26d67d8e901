"""Measures this project, ONNX Runtime and PyTorch side by side on this machine: `make bench`.

    python benchmarks/speed.py
    python benchmarks/speed.py --tasks inference --crop_size 257 --num_rounds 3
    python benchmarks/speed.py --profile

Steps of contenders are run in turn, as many as fit into memory and PyTorch's among them, each in
a process of its own environment, so that the ratios hold on a noisy machine. Writes
benchmarks/RESULTS.md. What cannot run here, or finds no time before --time_limit, is named there,
not left out in silence.
"""
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from benchmarks import contenders, measuring, tables, turns  # noqa: E402
from benchmarks.contenders import BASE, CONTENDERS, SIZES  # noqa: E402
from common import command_line, files, flag_types, scripts  # noqa: E402
from experiment import run_log  # noqa: E402
from runtime import machine  # noqa: E402

RESULTS_PATH = os.path.join(measuring.ROOT, 'benchmarks', 'RESULTS.md')
LARGE_ROUNDS = 3  # at most, of all sizes but the first
INPUTS = 'benchmarks/own_inputs.py'
NUM_PAIRS, INPUT_BATCH, WAIT_STEPS = 64, 8, 8


class Bench(NamedTuple):
    """How things are measured.

    Attributes:
      pythons: dict, as of `contenders.environments`.
      num_rounds: int.
      log_path: str, see `turns.take_turns`.
      free_mib: float, memory for all processes that run at once.
      deadline: float, of `time.monotonic`, after which nothing is begun.
      left_out: list of str, what was not measured and why; it grows.
    """
    pythons: dict
    num_rounds: int
    log_path: str
    free_mib: float
    deadline: float
    left_out: list

    def has_time(self, what):
        """Returns whether the deadline is ahead; else `what` is noted as left out."""
        if time.monotonic() < self.deadline:
            return True
        self.left_out.append('%s: the time was up, see --time_limit' % what)
        return False


def parse(argv=None):
    parser = command_line.Parser(__doc__)
    parser.add_argument('--tasks', nargs='+', default=list(contenders.TASKS),
                        choices=contenders.TASKS)
    parser.add_argument('--crop_size', type=flag_types.positive_int, default=513)
    parser.add_argument('--resnet_model', default='resnet_v2_50',
                        choices=['resnet_v2_50', 'resnet_v2_101'])
    parser.add_argument('--num_rounds', type=flag_types.positive_int, default=5,
                        help='steps of each contender; %d at most of large batches and maps '
                             '(default: %%(default)s)' % LARGE_ROUNDS)
    parser.add_argument('--time_limit', type=flag_types.positive_float, default=55.0,
                        metavar='MINUTES',
                        help='begin nothing after so long, environments included (default: '
                             '%(default)g)')
    parser.add_argument('--profile', action='store_true',
                        help='write timelines of a step of each way of this project, not only of '
                             'those that miss a target, into the folder profiles beside --output')
    parser.add_argument('--output', default=RESULTS_PATH, help='the page that is written')
    return parser.parse_args(argv)


def mib_of(setting):
    """Estimates the memory of a step, from benchmarks/training_memory.json. Returns float."""
    if 'batch_size' not in setting:
        return 1500.0
    pixels = setting['batch_size'] * (setting['crop_size'] / 513) ** 2
    training = 1900 + 570 * pixels * (16 / setting['output_stride']) ** 1.3
    return training if setting['task'] == 'training' else training / 2


def groups_of(names, setting, free_mib):
    """Splits names into lists that fit into memory at once, `BASE` in each of them.

    Returns list of lists of str; one more than `BASE` is in each, whatever its size.
    """
    others = [name for name in names if name != BASE]
    base = [BASE] if BASE in names else []
    most = max(1, int(free_mib / mib_of(setting)) - len(base))
    return [others[start:start + most] + base for start in range(0, len(others), most)] or [base]


def measure(bench, names, setting, known=CONTENDERS):
    """Runs a setting by contenders in turn.

    Args:
      bench: `Bench`.
      names: list of str of `known`.
      setting: dict, see `own_network.build`.
      known: dict from name to `contenders.Contender`.

    Returns:
      `tables.Measured`; who could not do it is missing there, and in `bench.left_out`.
    """
    timed, ratios = {}, {}
    title = ', '.join('%s %s' % pair for pair in sorted(setting.items()) if pair[0] in (
        'task', 'batch_size', 'output_stride', 'precision'))
    for group in groups_of(names, setting, bench.free_mib):
        if not bench.has_time('%s (%s)' % (title, '; '.join(map(str, group)))):
            continue
        commands = {name: bench.pythons[known[name].environment]
                    + [os.path.join(measuring.ROOT, known[name].program),
                       json.dumps(dict(setting, **known[name].own))] for name in group}
        found, failed = turns.take_turns(commands, bench.num_rounds, bench.log_path)
        bench.left_out.extend('%s, %s: %s' % (name, title, why) for name, why in failed.items())
        base = found[BASE].seconds if BASE in found else ()
        for name, one in found.items():
            if base:
                ratios[name] = statistics.median(
                    of_base / own for of_base, own in zip(base, one.seconds))
            if name in timed:  # BASE, of each group
                one = one._replace(seconds=timed[name].seconds + one.seconds,
                                   peak_mib=max(timed[name].peak_mib, one.peak_mib))
            timed[name] = one
    return tables.Measured(setting, {name: timed[name] for name in names if name in timed}, ratios)


def find_limits(bench, missing, features):
    """Returns dict from precision to floating-point operations a second of a matrix product."""
    names, _ = contenders.runnable(contenders.PRODUCTS, missing, features)
    limits = {}
    for name in names:
        precision = name[0]
        measured = measure(bench, [name], {'task': 'product', 'precision': precision},
                           contenders.PRODUCTS)
        for one in measured.timed.values():
            rate = one.about['operations'] / min(one.seconds)
            limits[precision] = max(rate, limits.get(precision, 0))
    return limits


def measure_sizes(bench, names, resnet_model):
    """Returns dict from name to (pictures a second of one size, of different sizes)."""
    rates = {}
    for name in names:
        both = []
        for are_different in (False, True):
            both += measure(bench, [name], {
                'task': 'sizes', 'resnet_model': resnet_model, 'output_stride': 16,
                'are_different': are_different}).timed.values()
        if len(both) == 2:
            rates[name] = tuple(one.about['pictures'] / statistics.median(one.seconds)
                                for one in both)
    return rates


def measure_inputs(bench, names, args):
    """Measures the input pipeline by itself and in train.py.

    Args:
      bench, names: as of `measure`.
      args: as of `parse`.

    Returns:
      List of rows, as `tables.inputs_table` takes them.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source, data = (os.path.join(folder, name) for name in ('source', 'data'))
        os.mkdir(source)
        measuring.write_pairs(source, NUM_PAIRS)
        measuring.build_split(source, NUM_PAIRS, data, 'train')
        known = {name: CONTENDERS[name]._replace(program=INPUTS) for name in names}
        setting = {'task': 'inputs', 'dataset_dir': data, 'batch_size': INPUT_BATCH,
                   'crop_size': args.crop_size, 'output_stride': 16}
        alone = {name: measure(bench, [name], setting, known).timed.get(name) for name in names}
        for name in names:
            share = None
            if bench.has_time('wait for data, ' + name):
                share = wait_share(bench, CONTENDERS[name], args, data,
                                   tempfile.mkdtemp(dir=folder))
            rate = alone[name] and INPUT_BATCH / statistics.median(alone[name].seconds)
            rows.append((name, rate, share))
            print('%s: %s images/s, waits %s' % rows[-1], flush=True)
    return rows


def wait_share(bench, contender, args, data, model_dir):
    """Returns the share of a step of train.py that waits for data, or None where it fails."""
    command = bench.pythons[contender.environment] + [
        'train.py', '--dataset_dir', data, '--model_dir', model_dir, '--init_from', 'random',
        '--crop_size', str(args.crop_size), '--batch_size', str(SIZES[0][0]),
        '--resnet_model', args.resnet_model, '--max_steps', str(WAIT_STEPS),
        '--mixed_precision', contender.own.get('mixed_precision', 'off'), '--gpu_id', '-1']
    with open(bench.log_path, 'a') as log:
        status = subprocess.call(command, cwd=measuring.ROOT, stdout=subprocess.DEVNULL, stderr=log)
    if status:
        bench.left_out.append('train.py, %s: it ended with status %d' % (
            contender.environment, status))
        return None
    name = 'speed/data_wait_share'
    return [entry[name] for entry in run_log.read_metrics(model_dir) if name in entry][-1]


def profiles(bench, wanted, folder):
    """Traces steps of this project.

    Args:
      bench: `Bench`.
      wanted: list of (name of a contender, setting).
      folder: str, where the timelines go.

    Returns:
      List of str, lines of tables.
    """
    lines = []
    os.makedirs(folder, exist_ok=True)
    for name, setting in wanted:
        title = '%s, %s' % (setting['task'], name)
        if not bench.has_time('timeline of ' + title):
            continue
        path = os.path.join(folder, ''.join(
            letter if letter.isalnum() else '_' for letter in title) + '.json')
        found = measure(bench._replace(num_rounds=1), [name], dict(setting, timeline=path)).timed
        if name in found:
            lines += tables.profile_table(title, found[name].about['profile'])
    return lines


def measure_tasks(bench, names, args, limits):
    """Measures all sizes of all tasks, and prints each table. Returns list of `Measured`."""
    found = []
    for size in SIZES:
        for task in args.tasks:
            setting = {'task': task, 'batch_size': size[0], 'crop_size': args.crop_size,
                       'output_stride': size[1], 'resnet_model': args.resnet_model}
            here = [name for name in names
                    if task in CONTENDERS[name].tasks and size in CONTENDERS[name].sizes]
            rounds = bench.num_rounds if size == SIZES[0] else min(LARGE_ROUNDS, bench.num_rounds)
            measured = measure(bench._replace(num_rounds=rounds), here, setting)
            if measured.timed:
                found.append(measured)
                print('\n'.join(tables.speed_table(measured, limits)), flush=True)
    return found


def head(args, processor, limits, versions, minutes):
    """Returns list of str, the first lines of the page."""
    return ['# Speed', '', 'Written by `make bench` on %s, in %.0f minutes.' % (
        datetime.date.today(), minutes), '',
        '- CPU: %s, %d cores (%s)' % (
            processor.name, processor.cores, ', '.join(sorted(processor.features))),
        '- limits, of a product of matrices: %s' % ', '.join(
            '%s %.0f GFLOP/s' % (name, limit / 1e9) for name, limit in sorted(limits.items())),
        '- versions: %s' % ', '.join(sorted(versions)),
        '- %s, %dx%d, %d steps of each in turn (%d of large batches and maps); a ratio is the '
        'median of those of the rounds' % (
            args.resnet_model, args.crop_size, args.crop_size, args.num_rounds,
            min(LARGE_ROUNDS, args.num_rounds))]


def run(args, bench, missing):
    """Measures all and returns list of str, the lines of the page."""
    processor = machine.processor()
    names, absent = contenders.runnable(CONTENDERS, missing, processor.features)
    native = [name for name in names if CONTENDERS[name].own == {'form': 'native'}]
    limits = find_limits(bench, missing, processor.features)
    found = measure_tasks(bench, names, args, limits)
    rates = measure_sizes(bench, native, args.resnet_model)
    rows = measure_inputs(bench, native + [name for name in names if 'mixed_precision' in (
        CONTENDERS[name].own) and 'training' in CONTENDERS[name].tasks], args)
    first = [measured for measured in found if SIZES[0] == (
        measured.setting['batch_size'], measured.setting['output_stride'])]
    targets = [target for measured in first
               for target in tables.speed_targets(measured, limits)]
    targets += tables.other_targets(rates, rows, {
        'task': 'sizes', 'resnet_model': args.resnet_model, 'output_stride': 16,
        'are_different': True})
    wanted = [(target.name, target.setting) for target in targets
              if target.is_reached is False and target.setting]
    if args.profile:
        wanted += [(name, measured.setting) for measured in first for name in measured.timed
                   if CONTENDERS[name].program == contenders.OWN]
    wanted = [pair for number, pair in enumerate(wanted) if pair not in wanted[:number]]
    traced = profiles(bench, wanted, os.path.join(
        os.path.dirname(os.path.abspath(args.output)), 'profiles'))
    versions = {'%s %s' % (package, one.about[package]) for measured in found
                for one in measured.timed.values()
                for package in ('tensorflow', 'torch', 'onnxruntime') if package in one.about}
    lines = head(args, processor, limits, versions, args.time_limit + (
        time.monotonic() - bench.deadline) / 60)
    lines += ['- not run: %s (%s)' % pair for pair in absent.items()]
    lines += ['- not run: ' + text for text in bench.left_out]
    for measured in found:
        lines += tables.speed_table(measured, limits)
    return (lines + tables.sizes_table(rates) + tables.inputs_table(rows)
            + tables.targets_table(targets) + traced)


def main(argv=None):
    args = parse(argv)
    deadline = time.monotonic() + 60 * args.time_limit
    with scripts.ending_in_one_message():
        pythons, missing = contenders.environments()
        memory = machine.memory()
        bench = Bench(pythons, args.num_rounds,
                      os.path.join(tempfile.gettempdir(), 'bench.log'),
                      0.9 * (memory.available or memory.total or 0) / 2 ** 20, deadline, [])
        lines = run(args, bench, missing)
        with files.replacing(args.output) as page:
            page.write('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
