"""Measures this project and PyTorch side by side on this machine: `make bench`.

    python benchmarks/speed.py
    python benchmarks/speed.py --tasks inference --crop_size 257 --num_rounds 3

Steps of all contenders are run in turn (of large batches those of PyTorch and one other), each in
a process of its own environment, so that the ratios hold on a noisy machine. Writes
benchmarks/RESULTS.md. What this machine cannot run is named there, not left out in silence.
"""
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from benchmarks import measuring, turns  # noqa: E402
from common import command_line, files, scripts  # noqa: E402
from common.errors import UserError  # noqa: E402
from runtime import machine  # noqa: E402

RESULTS_PATH = os.path.join(measuring.ROOT, 'benchmarks', 'RESULTS.md')
TORCH_VERSION = '2.13.0'
TORCH_FOLDER = os.path.join(measuring.ROOT, '.venv-torch')
SMALL_BATCH = 2  # of which all contenders fit into memory at once
# (batch size, output stride).
SIZES = ((2, 16), (8, 16), (2, 8))
OWN, TORCH = 'benchmarks/own_network.py', 'benchmarks/torch_network.py'
# Name: (environment, program, what its setting has of its own, what the CPU must have).
CONTENDERS = {
    'TensorFlow 1.15, native': ('tf1', OWN, {'form': 'native'}, None),
    "TensorFlow 1.15, slim's convolutions": ('tf1', OWN, {'form': 'slim'}, None),
    'TensorFlow 2.21, native': ('tf2', OWN, {'form': 'native'}, None),
    "TensorFlow 2.21, slim's convolutions": ('tf2', OWN, {'form': 'slim'}, None),
    'TensorFlow 2.21, matrix products': ('tf2', OWN, {'form': 'products'}, None),
    'TensorFlow 2.21, taps': ('tf2', OWN, {'form': 'taps'}, None),
    'PyTorch': ('torch', TORCH, {'way': 'fp32'}, None),
    'PyTorch, bf16': ('torch', TORCH, {'way': 'bf16'}, 'bf16'),
    'PyTorch, bf16, torch.compile': ('torch', TORCH, {'way': 'bf16 compiled'}, 'bf16'),
}
# Ratios are over it.
BASE = 'PyTorch'


def parse(argv=None):
    parser = command_line.Parser(__doc__)
    parser.add_argument('--tasks', nargs='+', default=['training', 'inference'],
                        choices=['training', 'inference'])
    parser.add_argument('--crop_size', type=int, default=513)
    parser.add_argument('--resnet_model', default='resnet_v2_50',
                        choices=['resnet_v2_50', 'resnet_v2_101'])
    parser.add_argument('--num_rounds', type=int, default=5, help='steps of each contender')
    parser.add_argument('--output', default=RESULTS_PATH, help='the page that is written')
    return parser.parse_args(argv)


def environments():
    """Finds or builds the environments. Returns (dict from name to python, dict to why not)."""
    pythons, missing = {}, {}
    for runtime in ('tf1', 'tf2'):
        try:
            subprocess.check_call(['make', '-s', 'env', 'RUNTIME=' + runtime], cwd=measuring.ROOT)
            folder = subprocess.check_output(
                ['sh', 'environments/make_env.sh', '--folder'], cwd=measuring.ROOT,
                env=dict(os.environ, RUNTIME=runtime), universal_newlines=True).strip()
            pythons[runtime] = os.path.join(measuring.ROOT, folder, 'bin', 'python')
        except subprocess.CalledProcessError:
            missing[runtime] = '`RUNTIME=%s make env` fails here' % runtime
    python = os.path.join(TORCH_FOLDER, 'bin', 'python')
    try:
        if not os.path.exists(os.path.join(TORCH_FOLDER, 'complete')):
            subprocess.check_call([pythons.get('tf2', sys.executable), '-m', 'venv',
                                   TORCH_FOLDER])
            subprocess.check_call([python, '-m', 'pip', 'install', '-q',
                                   'torch==' + TORCH_VERSION, 'numpy'])
            files.write_json({'torch': TORCH_VERSION}, os.path.join(TORCH_FOLDER, 'complete'))
        pythons['torch'] = python
    except (subprocess.CalledProcessError, OSError) as error:
        missing['torch'] = 'torch %s cannot be installed here (%s)' % (TORCH_VERSION, error)
    return pythons, missing


def runnable(pythons, missing, features):
    """Splits `CONTENDERS` into names that can run here and a dict from the others to why not."""
    absent = {}
    for name, (environment, _, _, feature) in CONTENDERS.items():
        if environment in missing:
            absent[name] = missing[environment]
        elif feature and feature not in features:
            absent[name] = 'this CPU has no %s' % feature
    return [name for name in CONTENDERS if name not in absent], absent


def measure(pythons, names, setting, num_rounds, log_path):
    """Runs a setting by contenders in turn.

    All are in memory at once; of large batches one and `BASE` alone.

    Returns:
      Dict from name to `turns.Timed`, and dict from name to how many times as fast as `BASE` it
      is, the median of the rounds.
    """
    if setting.get('batch_size', 0) > SMALL_BATCH and len(names) > 2:
        timed, ratios = {}, {}
        for name in names:
            if name != BASE:
                for all_found, found in zip((timed, ratios), measure(
                        pythons, [name] + [BASE] * (BASE in names), setting, num_rounds,
                        log_path)):
                    all_found.update(found)
        return timed, ratios
    commands = {}
    for name in names:
        environment, program, own, _ = CONTENDERS[name]
        commands[name] = [pythons[environment], os.path.join(measuring.ROOT, program),
                          json.dumps(dict(setting, **own))]
    timed = turns.take_turns(commands, num_rounds, log_path)
    base = timed[BASE].seconds if BASE in timed else ()
    return timed, {name: statistics.median(of_base / own for of_base, own in zip(
        base, one.seconds)) for name, one in timed.items() if base}


def table(timed, ratios, setting, limit):
    """Writes a table of one setting.

    Args:
      timed, ratios: as of `measure`.
      setting: dict, see `own_network.build`.
      limit: float, floating-point operations a second of the machine in float32.

    Returns:
      List of str, lines.

    Raises:
      UserError: the networks have other numbers of parameters.
    """
    operations = next((one.about['operations'] for one in timed.values()
                       if 'operations' in one.about), None)
    lines = ['', '### %s, batch %d, output stride %d' % (
        setting['task'].capitalize(), setting['batch_size'], setting['output_stride']), '',
        '| | images/s (slowest to fastest step) | over %s | share of the limit | peak MiB |' % BASE,
        '| --- | --- | --- | --- | --- |']
    for name, one in timed.items():
        rates = sorted(setting['batch_size'] / seconds for seconds in one.seconds)
        ratio = '%.2f' % ratios[name] if name in ratios else ''
        share = '' if operations is None or 'bf16' in name else '%.0f%%' % (
            100 * operations / statistics.median(one.seconds) / limit)
        lines.append('| %s | %.2f (%.2f to %.2f) | %s | %s | %.0f |' % (
            name, statistics.median(rates), rates[0], rates[-1], ratio, share, one.peak_mib))
    counts = {name: one.about['parameters'] for name, one in timed.items()}
    if len(set(counts.values())) > 1:
        raise UserError('Different networks were compared: %s parameters.' % counts)
    return lines


def sizes_table(pythons, names, args, log_path):
    """Measures pictures of different sizes against those of one. Returns list of str, lines."""
    lines = ['', '### Evaluation, pictures of 150x150 pixels or as many', '',
             '| | of one size, images/s | all of different sizes, images/s | cost over one size |',
             '| --- | --- | --- | --- |']
    for name in names:
        setting = {'task': 'sizes', 'resnet_model': args.resnet_model, 'output_stride': 16}
        one, many = [
            measure(pythons, [name], dict(setting, are_different=are_different), args.num_rounds,
                    log_path)[0][name] for are_different in (False, True)]
        rates = [timed.about['pictures'] / statistics.median(timed.seconds)
                 for timed in (one, many)]
        lines.append('| %s | %.2f | %.2f | %.2f |' % (name, *rates, rates[0] / rates[1]))
    return lines


def main(argv=None):
    with scripts.ending_in_one_message():
        args = parse(argv)
        processor = machine.processor()
        pythons, missing = environments()
        names, absent = runnable(pythons, missing, processor.features)
        native = [name for name in names if name.endswith(', native')]
        log_path = os.path.join(tempfile.gettempdir(), 'bench.log')
        products, _ = measure(pythons, native, {'task': 'product'}, args.num_rounds, log_path)
        limit = max(one.about['operations'] / min(one.seconds) for one in products.values())
        lines = []
        for task in args.tasks:
            for batch_size, output_stride in SIZES:
                setting = {'task': task, 'batch_size': batch_size, 'crop_size': args.crop_size,
                           'output_stride': output_stride, 'resnet_model': args.resnet_model}
                added = table(*measure(pythons, names, setting, args.num_rounds, log_path),
                              setting, limit)
                print('\n'.join(added), flush=True)
                lines += added
        lines += sizes_table(pythons, native, args, log_path)
        head = ['# Speed', '', 'Written by `make bench` on %s.' % datetime.date.today(), '',
                '- CPU: %s, %d cores (%s)' % (
                    processor.name, processor.cores, ', '.join(sorted(processor.features))),
                '- float32 limit, of a product of matrices: %.0f GFLOP/s' % (limit / 1e9),
                '- %s, %dx%d, %d steps of each in turn; a ratio is the median of those of the '
                'rounds' % (args.resnet_model, args.crop_size, args.crop_size, args.num_rounds)]
        head += ['- not run: %s (%s)' % pair for pair in absent.items()]
        with files.replacing(args.output) as page:
            page.write('\n'.join(head + lines) + '\n')


if __name__ == '__main__':
    main()
