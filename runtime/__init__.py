"""The one tap for TensorFlow: decides which one runs, and hands out `tf`, `slim` and `nets`.

Every other module says `from runtime import slim, tf` at its top. TensorFlow itself is imported
when something of it is asked for first: its import takes seconds, and `--help` or a message about
a wrong flag shall not wait for them. Nothing here opens a session or builds a graph.
"""
import functools
import importlib
import os
import sys
import types
import warnings

from common.errors import UserError

__all__ = ['tf', 'slim', 'nets']


@functools.lru_cache(maxsize=None)
def _tensorflow():
    """Imports TensorFlow, quietly; raises `UserError` where it is missing or another one."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '1')
    # TensorFlow 1.15 and tf-slim print some hundred deprecation notes on import that a reader of
    # this project can do nothing about.
    warnings.filterwarnings('ignore', category=FutureWarning)
    warnings.filterwarnings('ignore', category=DeprecationWarning)
    try:
        tensorflow = importlib.import_module('tensorflow')
    except ImportError as error:
        raise UserError(
            'TensorFlow does not import in %s (Python %d.%d): %s\n'
            'Run `make env`, then use .venv/bin/python; TensorFlow 1.15 needs Python 3.7.'
            % ((sys.executable,) + sys.version_info[:2] + (error,)))
    if not tensorflow.__version__.startswith('1.15'):
        raise UserError(
            'Found TensorFlow %s in %s; this project runs on 1.15.\n'
            'Run `make env`, then use .venv/bin/python, or pip install -r requirements.txt.'
            % (tensorflow.__version__, sys.executable))
    tensorflow.compat.v1.logging.set_verbosity(tensorflow.compat.v1.logging.ERROR)
    return tensorflow


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
