"""The one tap for TensorFlow: decides which one runs, and hands out `tf`, `slim` and the like.

Every other module says `from runtime import slim, tf` at its top and writes TensorFlow 1's names:
`tf` is `tensorflow` on 1.15 and `tensorflow.compat.v1` on 2.21 (tests/test_parity.py shows that
both compute the same). TensorFlow itself is imported when something of it is asked for first: its
import takes seconds, and `--help` or a message about a wrong flag shall not wait for them. Nothing
here opens a session or builds a graph.
"""
import contextlib
import functools
import importlib
import os
import sys
import tempfile
import types
import warnings

from common.errors import UserError

__all__ = ['tf', 'slim', 'nets', 'collective_ops']

# What tf_slim imports of Keras 2, and where tf_keras keeps it.
_LEGACY_LAYERS = ('', '.base', '.convolutional', '.core', '.normalization', '.pooling')


@contextlib.contextmanager
def standard_error_held():
    """Holds back what C++ writes to standard error; shows it if the block raises.

    TensorFlow 2 writes its first lines before it reads its log level, and calls it an error that
    a machine has no GPU when it looks for one.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@functools.lru_cache(maxsize=None)
def _tensorflow():
    """Imports TensorFlow, quietly; raises `UserError` where it is missing or another one."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '1')
    os.environ['TF_USE_LEGACY_KERAS'] = '1'
    # TensorFlow 2 leaves oneDNN off on CPUs without VNNI, and is then slower and without the
    # gradients of dilated convolutions.
    os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
    # TensorFlow 1.15 and tf-slim print some hundred deprecation notes on import that a reader of
    # this project can do nothing about.
    warnings.filterwarnings('ignore', category=FutureWarning)
    warnings.filterwarnings('ignore', category=DeprecationWarning)
    warnings.filterwarnings('ignore', message='`layer.apply` is deprecated')
    try:
        with standard_error_held():
            tensorflow = importlib.import_module('tensorflow')
    except ImportError as error:
        raise UserError(
            'TensorFlow does not import in %s (Python %d.%d): %s\n'
            'Run `make env`, then use .venv/bin/python.'
            % ((sys.executable,) + sys.version_info[:2] + (error,)))
    version = tuple(int(part) for part in tensorflow.__version__.split('.')[:2])
    if version != (1, 15) and version < (2, 16):
        raise UserError(
            'Found TensorFlow %s in %s; this project runs on 1.15 and on 2.21.\n'
            'Run `make env`, then use .venv/bin/python.'
            % (tensorflow.__version__, sys.executable))
    tensorflow.compat.v1.logging.set_verbosity(tensorflow.compat.v1.logging.ERROR)
    if version == (1, 15):
        return tensorflow
    _be_tensorflow_1(tensorflow)
    return tensorflow.compat.v1


def _be_tensorflow_1(tensorflow):
    """Makes TensorFlow 2 build graphs as 1 does, and tf_slim find the layers of Keras 2."""
    tensorflow.compat.v1.disable_v2_behavior()
    for layers in _LEGACY_LAYERS:
        sys.modules['tf_keras.legacy_tf_layers' + layers] = importlib.import_module(
            'tf_keras.src.legacy_tf_layers' + layers)


def _beside_tensorflow(name):
    """Imports a module that imports TensorFlow."""
    _tensorflow()
    return importlib.import_module(name)


class _Tap(types.ModuleType):
    """Stands for a module, which is imported when something of it is asked for.

    Args:
      name: str.
      load: function that returns the module.
    """

    def __init__(self, name, load):
        super().__init__(name)
        self._load = load

    def __getattr__(self, name):
        return getattr(self._load(), name)


tf = _Tap('tensorflow', _tensorflow)
slim = _Tap('tf_slim', lambda: _beside_tensorflow('tf_slim'))
nets = _Tap('tf_slim.nets', lambda: _beside_tensorflow('tf_slim.nets'))
# Sums over processes; 1.15 has no public name for them (tests/runtime/test_workers.py).
collective_ops = _Tap('tensorflow.python.ops.collective_ops', lambda: _beside_tensorflow(
    'tensorflow.python.ops.collective_ops'))
