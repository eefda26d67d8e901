"""The tap for TensorFlow: closed until something of it is asked for, and clear where it fails."""
import subprocess
import sys
import types

import pytest

import runtime
from common.errors import UserError
from tests.helpers import ROOT

# Every module that train.py imports, and the name by which TensorFlow would have come along.
CODE = '''
import sys
import train
assert 'tensorflow' not in sys.modules and 'tf_slim' not in sys.modules
from runtime import nets, slim, tf
assert 'tensorflow' not in sys.modules
assert slim.conv2d and 'tensorflow' in sys.modules
assert tf.Graph is sys.modules['tensorflow'].Graph
assert nets.resnet_utils is sys.modules['tf_slim.nets.resnet_utils']
'''


def test_tensorflow_is_imported_when_something_of_it_is_asked_for():
    subprocess.check_call([sys.executable, '-c', CODE], cwd=ROOT)


@pytest.fixture
def closed(monkeypatch):
    """The tap as in a new process."""
    monkeypatch.setattr(runtime, '_tensorflow', runtime._tensorflow.__wrapped__)
    return runtime._Tap('tensorflow', lambda: runtime._tensorflow())


def test_another_tensorflow_is_refused_with_the_way_out(closed, monkeypatch):
    other = types.ModuleType('tensorflow')
    other.__version__ = '2.4.0'
    monkeypatch.setitem(sys.modules, 'tensorflow', other)
    with pytest.raises(UserError, match='(?s)Found TensorFlow 2.4.0 .*runs on 1.15.*make env'):
        closed.Graph


def test_a_missing_tensorflow_is_said_with_the_way_out(closed, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tensorflow', None)
    with pytest.raises(UserError, match='(?s)TensorFlow does not import in .*make env'):
        closed.Graph
