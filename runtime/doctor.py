"""Looks at the machine, the environments and what was made with them: `make doctor`.

    python3 runtime/doctor.py

Runs on any Python 3 without packages. Each line has a verdict, ok, warning or problem; below what
is not ok stands the next command. The exit status is 1 where there is a problem.
"""
import glob
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import namedtuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from common import command_line  # noqa: E402
from common.interpreter import build_command  # noqa: E402
from runtime import machine  # noqa: E402

OK, WARNING, PROBLEM = 'ok', 'warning', 'problem'
# command: str, what to do next where the verdict is not ok.
Line = namedtuple('Line', ['verdict', 'what', 'text', 'command'])
# folder: str, relative to the root. package: (name, version) of TensorFlow. report: dict, what
# TensorFlow said of itself, or None where it does not import. site: str, the folder of packages.
Environment = namedtuple('Environment', ['folder', 'package', 'report', 'site'])

# The one that was chosen first, and those beside it.
ENVIRONMENTS = ('.venv', '.venv-tf1', '.venv-tf2')
SHOWN = ('numpy', 'protobuf', 'tf-slim')
IMPORT_SECONDS = 180
# What TensorFlow says of itself, as its last line; through the tap, as every script has it.
ASK = '''
import json, os, sys
sys.path.insert(0, %r)
from runtime import slim, tf
slim.conv2d
print(json.dumps({
    'gpus': len(tf.config.experimental.list_physical_devices('GPU')),
    'is_cuda_build': tf.test.is_built_with_cuda()}))
''' % ROOT
GIB = 2.0 ** 30
ENVIRONMENT_GIB = 4  # of disk, while it is being built
TRAINING_GIB = 6.5  # of memory: README.md, crop size 513 and batch 8
# CUDA and cuDNN that the wheels load, and the oldest driver that knows them (NVIDIA's release
# notes of CUDA), by TensorFlow's major version.
CUDA = {'1': ('10.0', '7', (410, 48)), '2': ('12', '9', (525, 60))}
MOST_ROWS = 8


def main(argv=None, root=ROOT):
    """Prints the report; returns the exit status."""
    command_line.Parser(__doc__).parse_args(argv)
    problems = warnings = 0
    for line in examine(root):
        print('%-8s %-12s %s' % (line.verdict, line.what, line.text))
        if line.verdict != OK:
            print('%-8s %-12s -> %s' % ('', '', line.command), flush=True)
        problems += line.verdict == PROBLEM
        warnings += line.verdict == WARNING
    print('%d problem%s, %d warning%s.' % (problems, '' if problems == 1 else 's',
                                           warnings, '' if warnings == 1 else 's'))
    return 1 if problems else 0


def examine(root):
    """Yields a `Line` for each thing that was looked at."""
    for line in check_processor(machine.processor()):
        yield line
    environments = []
    for line in check_environments(root, environments):
        yield line
    try:
        for line in check_gpus(machine.gpus(), environments):
            yield line
    except machine.NvidiaSmiError as error:
        yield Line(WARNING, 'GPU', 'nvidia-smi does not answer: %s' % _last_line(str(error)),
                   'nvidia-smi; where it fails, install the driver again, or restart the machine')
    yield check_memory(machine.memory())
    for line in check_disks(root, bool(environments)):
        yield line
    python = '%s/bin/python' % (environments[0].folder if environments else '.venv')
    for check in (check_datasets, check_weights, check_runs):
        for line in check(root, python):
            yield line


def check_processor(processor):
    """Yields what the processor can do; TensorFlow's wheels for x86_64 need AVX."""
    is_x86 = platform.machine().lower() in ('x86_64', 'amd64')
    text = '%s, %d core%s, %s' % (processor.name or platform.machine(), processor.cores,
                                  '' if processor.cores == 1 else 's',
                                  ' '.join(sorted(processor.features)) or 'no known features')
    if is_x86 and 'AVX' not in processor.features:
        yield Line(PROBLEM, 'processor', text + ': TensorFlow needs AVX',
                   'use another machine; in a virtual one, pass the processor through')
    else:
        yield Line(OK, 'processor', text, '')


def _last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else '(no message)'


def check_environments(root, found):
    """Yields a line for each environment; appends the `Environment`s that work to `found`."""
    folders = [name for name in ENVIRONMENTS if os.path.isdir(os.path.join(root, name))]
    if not folders:
        yield Line(PROBLEM, 'environment', 'none; this is Python %s of %s' % (
            platform.python_version(), sys.executable), 'make env')
    for name in folders:
        folder = os.path.join(root, name)
        again = build_command(root, name)
        if not os.path.exists(os.path.join(folder, 'complete')):
            yield Line(PROBLEM, name, 'was not built to its end', again)
            continue
        site = machine.site_packages(folder)
        installed = machine.packages(site) if site else {}
        package = machine.tensorflow_package(installed)
        if package is None:
            yield Line(PROBLEM, name, 'holds no TensorFlow', 'rm -r %s && %s' % (name, again))
            continue
        report, error = ask_tensorflow(os.path.join(folder, 'bin', 'python'), root)
        text = ', '.join(['Python ' + os.path.basename(os.path.dirname(site))[len('python'):],
                          '%s %s' % package] + ['%s %s' % (key, installed.get(key, 'MISSING'))
                                                for key in SHOWN])
        if report is None:
            yield Line(PROBLEM, name, '%s: does not import: %s' % (text, error),
                       'rm -r %s && %s' % (name, again))
        else:
            yield Line(OK, name, text, '')
            found.append(Environment(name, package, report, site))


def ask_tensorflow(python, root):
    """Imports TensorFlow in an environment.

    Args:
      python: str, its interpreter.
      root: str, the folder to start it in.

    Returns:
      (dict of gpus and is_cuda_build, '') or (None, str, why it does not import).
    """
    try:
        run = subprocess.run([python, '-I', '-c', ASK], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=IMPORT_SECONDS, cwd=root)
    except (OSError, subprocess.SubprocessError) as error:
        return None, str(error)
    if run.returncode < 0:
        return None, 'it died of signal %d' % -run.returncode
    if run.returncode:
        return None, _last_line(run.stderr.decode('utf-8', 'replace'))
    return json.loads(_last_line(run.stdout.decode())), ''


def check_gpus(gpus, environments):
    """Yields a line for each GPU, and one for each environment that does not use them."""
    for gpu in gpus:
        capability = '%d.%d' % gpu.capability if gpu.capability else 'unknown'
        yield Line(OK, 'GPU %d' % gpu.index, '%s, compute capability %s, driver %s, %s' % (
            gpu.name, capability, gpu.driver,
            '%.0f GiB' % (gpu.memory_mib / 1024.0) if gpu.memory_mib else 'memory unknown'), '')
    if not gpus:
        yield Line(OK, 'GPU', 'none: TensorFlow computes on the CPU', '')
    for environment in environments if gpus else ():
        yield check_use(gpus, environment)


def check_use(gpus, environment):
    """Returns whether an environment computes on the GPUs, and what is missing, as a `Line`."""
    what, package = environment.folder, '%s %s' % environment.package
    unsupported = machine.unsupported(gpus, environment.package)
    runtime = 'tf' + environment.package[1][0]
    if not environment.report['is_cuda_build']:
        return Line(WARNING, what, 'GPU unused: %s is built without CUDA' % package,
                    'RUNTIME=%s GPU=1 make env' % ('tf2' if any(
                        gpu.capability and gpu.capability >= (8, 0) for gpu in gpus) else runtime))
    if unsupported:
        return Line(PROBLEM, what, 'GPU %d is newer than %s, which hangs or computes NaN on it'
                    % (unsupported[0].index, package),
                    'RUNTIME=tf2 GPU=1 make env   (or give every script --gpu_id -1)')
    cuda, cudnn, driver = CUDA[environment.package[1][0]]
    found = [machine.libraries(name, environment.site) for name in ('cudart', 'cudnn')]
    text = 'CUDA %s, cuDNN %s' % tuple(', '.join(versions) or 'not found' for versions in found)
    if environment.report['gpus']:
        return Line(OK, what, '%s sees %d GPU%s; %s' % (
            package, environment.report['gpus'], '' if environment.report['gpus'] == 1 else 's',
            text), '')
    numbers = gpus[0].driver.split('.')[:2]
    if all(part.isdigit() for part in numbers) and tuple(map(int, numbers)) < driver:
        return Line(PROBLEM, what, '%s sees no GPU: driver %s is older than the %d.%d of CUDA %s'
                    % ((package, gpus[0].driver) + driver + (cuda,)),
                    "install a newer driver (Debian, Ubuntu: apt-cache search '^nvidia-driver')")
    return Line(PROBLEM, what, '%s sees no GPU, and needs CUDA %s and cuDNN %s; found: %s' % (
        package, cuda, cudnn, text), 'RUNTIME=tf2 GPU=1 make env' if runtime == 'tf2' else
        'add the folders of libcudart.so.10.0 and libcudnn.so.7 to LD_LIBRARY_PATH, or '
        'RUNTIME=tf2 GPU=1 make env')


def check_memory(memory):
    """Returns whether training at the default flags fits into memory, as a `Line`."""
    if memory.total is None:
        return Line(OK, 'memory', 'unknown', '')
    text = '%.1f GiB' % (memory.total / GIB)
    if memory.available is not None:
        text += ', %.1f GiB available' % (memory.available / GIB)
    if (memory.available if memory.available is not None else memory.total) < TRAINING_GIB * GIB:
        return Line(WARNING, 'memory', text + '; training at the default flags takes %.1f GiB'
                    % TRAINING_GIB, 'give train.py --accumulate_steps 4, or --crop_size 321')
    return Line(OK, 'memory', text, '')


def check_disks(root, has_environment):
    """Yields the free space of each folder that is written to."""
    needed = 1 if has_environment else ENVIRONMENT_GIB
    for what, folder, least in (('project', root, needed),
                                ('temporary', tempfile.gettempdir(), 0.5),
                                ('/dev/shm', '/dev/shm', 0.01)):
        free = machine.free_bytes(folder)
        if free is None:
            continue  # macOS has no /dev/shm
        text = '%s, %.1f GiB free' % (folder, free / GIB)
        if not os.access(folder, os.W_OK):
            yield Line(PROBLEM, what, text + ', not writable',
                       'ls -ld %s   (and work as a user who may write there)' % folder)
        elif free < least * GIB:
            yield Line(PROBLEM if what == 'project' else WARNING, what,
                       '%s: less than %g GiB' % (text, least),
                       'df -h %s   (and make room)' % folder)
        else:
            yield Line(OK, what, text, '')


def _folders_with(root, name, patterns):
    """Yields the folders under `root`, as relative paths, that hold a file `name`."""
    for pattern in patterns:
        for path in sorted(glob.glob(os.path.join(glob.escape(root), pattern, name))):
            yield os.path.relpath(os.path.dirname(path), root)


def _read_json(*parts):
    """Returns the dict in a JSON file; raises ValueError or OSError."""
    with open(os.path.join(*parts), encoding='utf-8') as opened:
        values = json.load(opened)
    if not isinstance(values, dict):
        raise ValueError('no JSON object')
    return values


def _cut(rows, what):
    """Yields the first rows, and in one line how many more there are; problems come all."""
    rows = list(rows)
    for row in rows[:MOST_ROWS] + [row for row in rows[MOST_ROWS:] if row.verdict != OK]:
        yield row
    hidden = sum(row.verdict == OK for row in rows[MOST_ROWS:])
    if hidden:
        yield Line(OK, what, 'and %d more' % hidden, '')


def check_datasets(root, python):
    """Yields each data set that the builders wrote where scripts look for it."""
    rows = [_check_dataset(root, folder, python) for folder in _folders_with(
        root, 'dataset.json', ('dataset/tfrecords', 'data', 'data/*', 'runs/*', 'runs/*/*'))]
    if not rows:
        rows = [Line(WARNING, 'data set', 'none in dataset/tfrecords, data/ or runs/',
                     '%s dataset/build_shapes.py --output_dir data/shapes   (or another builder of '
                     'dataset/)' % python)]
    return _cut(rows, 'data set')


def _check_dataset(root, folder, python):
    again = '%s dataset/check.py %s' % (python, folder)
    try:
        info = _read_json(root, folder, 'dataset.json')
        counts = ['%s %d' % (split, entry['num_examples'])
                  for split, entry in sorted(info['splits'].items())]
        missing = [name for entry in info['splits'].values() for name in entry['shards']
                   if not os.path.exists(os.path.join(root, folder, name))]
        text = '%s: %d classes; %s' % (folder, len(info['class_names']), ', '.join(counts))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Line(PROBLEM, 'data set', '%s/dataset.json cannot be used: %r' % (folder, error),
                    again)
    if missing:
        return Line(PROBLEM, 'data set', '%s; %s is missing' % (text, missing[0]), again)
    return Line(OK, 'data set', text, '')


def check_weights(root, python):
    """Yields the ImageNet weights that were downloaded."""
    folders = sorted(glob.glob(os.path.join(glob.escape(root), 'resnet', 'checkpoints', '*', '')))
    if not folders:
        yield Line(OK, 'weights', 'none of ImageNet; --init_from imagenet downloads them', '')
    for folder in folders:
        model = os.path.basename(os.path.dirname(folder))
        if os.path.exists(os.path.join(folder, 'download.json')):
            yield Line(OK, 'weights', 'ImageNet, %s' % model, '')
        else:
            yield Line(WARNING, 'weights', '%s was not downloaded to its end'
                       % os.path.relpath(folder, root),
                       '%s resnet/download.py --resnet_model %s' % (python, model))


def check_runs(root, python):
    """Yields how far each run has come."""
    rows = [_check_run(root, folder, python)
            for folder in _folders_with(root, 'config.json', ('runs/*', 'runs/*/*'))]
    return _cut(rows or [Line(OK, 'run', 'none in runs/', '')], 'run')


def _check_run(root, folder, python):
    try:
        last_step = _read_json(root, folder, 'config.json')['flags']['max_steps']
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Line(PROBLEM, 'run', '%s/config.json cannot be used: %r' % (folder, error),
                    'mv %s %s.damaged   (and train again)' % (folder, folder))
    steps = [int(name[len('model.ckpt-'):-len('.index')]) for name in os.listdir(
        os.path.join(root, folder)) if name.startswith('model.ckpt-') and name.endswith('.index')
        and name[len('model.ckpt-'):-len('.index')].isdigit()]
    if not steps:
        return Line(WARNING, 'run', '%s has no checkpoint yet' % folder,
                    'the command it was begun with, again')
    text = '%s, step %d of %s' % (folder, max(steps), last_step)
    if max(steps) == last_step:
        return Line(OK, 'run', text, '')
    return Line(WARNING, 'run', text, 'the command it was begun with goes on, unless --patience '
                'ended it; %s test.py --checkpoint %s scores what is there' % (python, folder))


if __name__ == '__main__':
    sys.exit(main())
