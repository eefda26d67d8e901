"""What benchmarks/speed.py compares, and the environments that it takes."""
import os
import shutil
import subprocess
import sys
from typing import NamedTuple, Optional, Tuple

from benchmarks import measuring
from common import files

TORCH_VERSION, STOCK_VERSION = '2.13.0', '1.15.0'
TORCH_FOLDER, STOCK_FOLDER = (os.path.join(measuring.ROOT, name)
                              for name in ('.venv-torch', '.venv-stock'))
OWN, TORCH, ONNX = ('benchmarks/%s_network.py' % name for name in ('own', 'torch', 'onnx'))
TASKS = ('training', 'inference')
# Batch size and output stride: what is measured, the most telling first.
SIZES = ((2, 16), (8, 16), (2, 8))


class Contender(NamedTuple):
    """One way to compute the network.

    Attributes:
      environment: str, a key of `environments`.
      program: str, its path from the project's root.
      own: dict, what its setting has of its own.
      precision: str, 'fp32' or 'bf16', which only some CPUs have.
      tasks: tuple of str of `TASKS`, what it is for.
      sizes: tuple of pairs of `SIZES`: those that tell least are measured at the first alone.
    """
    environment: str
    program: str
    own: dict
    precision: str = 'fp32'
    tasks: Tuple[str, ...] = TASKS
    sizes: Optional[tuple] = SIZES


CONTENDERS = {
    'TensorFlow 1.15, native': Contender('tf1', OWN, {'form': 'native'}),
    "TensorFlow 1.15, slim's convolutions": Contender(
        'tf1', OWN, {'form': 'slim'}, sizes=SIZES[:1]),
    'TensorFlow 1.15, stock build': Contender('stock', OWN, {}, sizes=SIZES[:1]),
    'TensorFlow 2.21, native': Contender('tf2', OWN, {'form': 'native'}),
    "TensorFlow 2.21, slim's convolutions": Contender(
        'tf2', OWN, {'form': 'slim'}, sizes=SIZES[:1]),
    'TensorFlow 2.21, matrix products': Contender(
        'tf2', OWN, {'form': 'products'}, tasks=TASKS[:1]),
    'TensorFlow 2.21, taps': Contender('tf2', OWN, {'form': 'taps'}, tasks=TASKS[1:]),
    'TensorFlow 2.21, bf16, native': Contender(
        'tf2', OWN, {'form': 'native', 'mixed_precision': 'bf16'}, 'bf16', sizes=SIZES[:1]),
    'TensorFlow 2.21, bf16, matrix products': Contender(
        'tf2', OWN, {'form': 'products', 'mixed_precision': 'bf16'}, 'bf16'),
    'TensorFlow 2.21, bf16, taps': Contender(
        'tf2', OWN, {'form': 'taps', 'mixed_precision': 'bf16'}, 'bf16', tasks=TASKS[1:]),
    'ONNX Runtime, our export': Contender('tf2', ONNX, {}, tasks=TASKS[1:]),
    'PyTorch': Contender('torch', TORCH, {'way': 'fp32'}),
    'PyTorch, bf16': Contender('torch', TORCH, {'way': 'bf16'}, 'bf16'),
    'PyTorch, bf16, torch.compile': Contender(
        'torch', TORCH, {'way': 'bf16 compiled'}, 'bf16'),
}
# Ratios are over it.
BASE = 'PyTorch'
# Whose products of matrices show what the machine can do; TensorFlow 1.15 has none in bf16.
PRODUCTS = {
    ('fp32', 'TensorFlow 1.15'): Contender('tf1', OWN, {}),
    ('fp32', 'TensorFlow 2.21'): Contender('tf2', OWN, {}),
    ('fp32', 'PyTorch'): Contender('torch', TORCH, {}),
    ('bf16', 'TensorFlow 2.21'): Contender('tf2', OWN, {}, 'bf16'),
    ('bf16', 'PyTorch'): Contender('torch', TORCH, {}, 'bf16'),
}


def environments():
    """Finds or builds the environments.

    Returns:
      Dict from name to list of str, how its Python is started, and dict from each name that is
      missing there to str, why.
    """
    pythons, missing = {}, {}
    for runtime in ('tf1', 'tf2'):
        try:
            subprocess.check_call(['make', '-s', 'env', 'RUNTIME=' + runtime], cwd=measuring.ROOT)
            folder = subprocess.check_output(
                ['sh', 'environments/make_env.sh', '--folder'], cwd=measuring.ROOT,
                env=dict(os.environ, RUNTIME=runtime), universal_newlines=True).strip()
            pythons[runtime] = [os.path.join(measuring.ROOT, folder, 'bin', 'python')]
        except subprocess.CalledProcessError:
            missing[runtime] = '`RUNTIME=%s make env` fails here' % runtime
    for name, add in (('torch', add_torch), ('stock', add_stock)):
        try:
            pythons[name] = add(pythons)
        except (subprocess.CalledProcessError, OSError, KeyError) as error:
            missing[name] = (
                '%s cannot be installed here (%s)' % (
                    {'torch': 'torch ' + TORCH_VERSION,
                     'stock': 'tensorflow-cpu ' + STOCK_VERSION}[name],
                    missing.get('tf1') if isinstance(error, KeyError) else error))
    return pythons, missing


def add_torch(pythons):
    """Gives PyTorch an environment of its own. Returns list of str, how its Python starts."""
    python = os.path.join(TORCH_FOLDER, 'bin', 'python')
    if not os.path.exists(os.path.join(TORCH_FOLDER, 'complete')):
        subprocess.check_call(pythons.get('tf2', [sys.executable]) + ['-m', 'venv', TORCH_FOLDER])
        subprocess.check_call([python, '-m', 'pip', 'install', '-q', 'torch==' + TORCH_VERSION,
                               'numpy'])
        files.write_json({'torch': TORCH_VERSION}, os.path.join(TORCH_FOLDER, 'complete'))
    return [python]


def add_stock(pythons):
    """Puts the stock wheel before the MKL build of the environment tf1, all else being the same.

    Returns list of str, how its Python starts. Raises KeyError where there is no tf1.
    """
    python = pythons['tf1']
    if not os.path.exists(os.path.join(STOCK_FOLDER, 'complete')):
        shutil.rmtree(STOCK_FOLDER, ignore_errors=True)
        subprocess.check_call(python + ['-m', 'pip', 'install', '-q', '--no-deps', '--target',
                                        STOCK_FOLDER, 'tensorflow-cpu==' + STOCK_VERSION])
        files.write_json({'tensorflow-cpu': STOCK_VERSION}, os.path.join(STOCK_FOLDER, 'complete'))
    return ['env', 'PYTHONPATH=' + STOCK_FOLDER] + python


def runnable(contenders, missing, features):
    """Splits contenders into names that can run here and a dict from the others to why not.

    Args:
      contenders: dict from name to `Contender`.
      missing: as of `environments`.
      features: frozenset of str, of `machine.processor()`.
    """
    absent = {}
    for name, contender in contenders.items():
        if contender.environment in missing:
            absent[name] = missing[contender.environment]
        elif contender.precision == 'bf16' and 'bf16' not in features:
            absent[name] = 'this CPU has no bf16'
    return [name for name in contenders if name not in absent], absent
