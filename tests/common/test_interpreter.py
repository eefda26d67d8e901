"""interpreter.py: commands are typed with the Python at hand; missing packages are one message."""
import os
import subprocess
import sys

import pytest

from common import interpreter
from tests.helpers import ROOT


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose environment runs; returns a function that makes another environment."""
    monkeypatch.setattr(interpreter, 'ROOT', str(tmp_path))

    def make(name):
        (tmp_path / name / 'bin').mkdir(parents=True)
        (tmp_path / name / 'bin' / 'python').write_text('#!/bin/sh\n')
        (tmp_path / name / 'bin' / 'python').chmod(0o755)
        return str(tmp_path / name / 'bin' / 'python')
    monkeypatch.setattr(sys, 'executable', make('.venv'))
    monkeypatch.chdir(tmp_path)
    return make


def test_commands_name_the_python_that_runs_as_it_is_typed(project, tmp_path, monkeypatch):
    assert interpreter.command('train.py', '--dataset_dir', 'my data') == (
        ".venv/bin/python train.py --dataset_dir 'my data'")
    (tmp_path / 'below').mkdir()
    monkeypatch.chdir(tmp_path / 'below')
    assert interpreter.command('dataset/check.py') == '%s %s' % (
        tmp_path / '.venv' / 'bin' / 'python', tmp_path / 'dataset' / 'check.py')


def test_an_activated_environment_is_just_python(project, tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path / '.venv' / 'bin'))
    assert interpreter.command('train.py') == 'python train.py'


def test_a_missing_package_is_said_with_the_same_command_in_an_environment(project, monkeypatch):
    argv = ['train.py', '--dataset_dir', 'my data']
    monkeypatch.setattr(sys, 'executable', '/usr/bin/python3')
    assert interpreter.explain_missing('numpy', argv).splitlines() == [
        'train.py needs the package numpy, which /usr/bin/python3 (Python %d.%d.%d) does not have.'
        % sys.version_info[:3], "Use: .venv/bin/python train.py --dataset_dir 'my data'"]
    monkeypatch.setattr(interpreter, 'ROOT', os.path.join(interpreter.ROOT, 'x'))
    assert 'Run `make env` once, then: ' in interpreter.explain_missing('numpy', argv)


def test_an_environment_that_lacks_a_package_is_to_be_built_again(project, monkeypatch):
    monkeypatch.setattr(sys, 'executable', project('.venv-tf2'))
    assert interpreter.explain_missing('numpy', ['train.py']).endswith(
        'Build it again: rm -r .venv-tf2 && RUNTIME=tf2 make env')


@pytest.mark.parametrize('code, expected', [
    ('import no_such_package.part', 'needs the package no_such_package, which'),
    ('import dataset.no_such_module', "ModuleNotFoundError: No module named 'dataset.no_such"),
    ('raise ValueError("a bug")', 'ValueError: a bug')])
def test_only_a_package_from_elsewhere_is_explained(code, expected):
    run = subprocess.run([sys.executable, '-c', 'import common.interpreter\n' + code], cwd=ROOT,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert run.returncode == 1 and expected in run.stderr
    assert ('Traceback' in run.stderr) == ('needs the package' not in expected)


def test_ctrl_c_while_a_script_imports_ends_it_with_a_line_and_its_status():
    run = subprocess.run([sys.executable, '-c', 'import common.interpreter\n'
                          'raise KeyboardInterrupt'], cwd=ROOT, stderr=subprocess.PIPE)
    assert (run.returncode, run.stderr) == (130, b'Stopped.\n')


@pytest.mark.parametrize('name, stamp, expected', [
    ('.venv', None, 'make env'), ('.venv', 'cpu 1', 'RUNTIME=tf1 make env'),
    ('.venv', 'tf2-gpu 1', 'RUNTIME=tf2 GPU=1 make env'),
    ('.venv-tf1', 'gpu 1', 'RUNTIME=tf1 GPU=1 make env'),
    ('.venv-tf2', None, 'RUNTIME=tf2 make env')])
def test_an_environment_is_built_again_as_it_was(tmp_path, name, stamp, expected):
    (tmp_path / name).mkdir()
    if stamp:
        (tmp_path / name / 'complete').write_text(stamp)
    assert interpreter.build_command(str(tmp_path), name) == expected
