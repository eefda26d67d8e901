"""`--help` of every script answers at once; without the packages, all say what to do."""
import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers import ROOT
from tests.test_architecture import SOURCES, is_script, project_imports, room_of

# A benchmark hands its flags on to what it measures; export.py alone runs the runners.
WITHOUT_HELP = {path for path in SOURCES if room_of(path) == 'benchmarks'} | {
    os.path.join('serving', 'runners.py')}
SCRIPTS = [path for path in SOURCES if is_script(path) and path not in WITHOUT_HELP]
SLOW = ['tensorflow', 'tf_slim', 'matplotlib', 'scipy']
RUN = """
import atexit, runpy, sys
atexit.register(lambda: print('imported:', [name for name in %r if name in sys.modules]))
sys.argv[1:] = ['--help']
sys.path[0] = %r
runpy.run_path(%r, run_name='__main__')
"""


@pytest.mark.parametrize('path', SCRIPTS)
def test_help_imports_nothing_slow(path):
    script = os.path.join(ROOT, path)
    # As `python SCRIPT` has it, the script's folder comes first on the path.
    run = subprocess.run([sys.executable, '-c', RUN % (SLOW, os.path.dirname(script), script)],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith('usage: ')
    assert run.stdout.endswith('imported: []\n'), run.stdout.splitlines()[-1]


@pytest.mark.parametrize('path', [
    path for path in SOURCES if is_script(path) and path not in (
        # They need none, or those of another environment.
        os.path.join('runtime', 'doctor.py'), os.path.join('runtime', 'launch.py'),
        os.path.join('benchmarks', 'torch_network.py'),
        os.path.join('benchmarks', 'recipe_trials.py'))])
def test_without_the_packages_a_script_says_how_it_runs(path):
    # -S: no site-packages, as another Python has it.
    run = subprocess.run([sys.executable, '-S', '-E', path, '--help'], cwd=ROOT,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert run.returncode == 1 and run.stdout == ''
    first, second = run.stderr.splitlines()
    assert first.startswith('%s needs the package ' % path)
    # What the environment of the project lacks, it is built again for.
    assert second.endswith(('python %s --help' % path, 'make env'))


def test_every_script_says_how_it_ends():
    interpreter = os.path.join('common', 'interpreter.py')
    # Its output goes to a file.
    assert [path for path in SOURCES if is_script(path) and interpreter not in project_imports(
        path)] == [os.path.join('benchmarks', 'torch_network.py')]


def demo(folder, status):
    """Runs `make demo` with a Python that only notes its script, and how train.py ended.

    Returns:
      (exit status, list of the scripts that ran).
    """
    (folder / 'python').write_text('#!/bin/sh\necho $1 >> ran\n[ $1 != train.py ] || exit %d\n'
                                   % status)
    (folder / 'python').chmod(0o755)
    shutil.copy(os.path.join(ROOT, 'Makefile'), str(folder))
    # -o: the environment counts as made.
    run = subprocess.run(['make', '-o', 'env', 'demo', 'PYTHON=./python'], cwd=str(folder),
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return run.returncode, (folder / 'ran').read_text().split()


@pytest.mark.skipif(not shutil.which('make'), reason='needs make')
@pytest.mark.parametrize('status, scripts', [
    (143, ['dataset/build_shapes.py', 'train.py']),
    (0, ['dataset/build_shapes.py', 'train.py', 'test.py'])])
def test_the_demo_scores_a_run_only_where_it_was_not_stopped(tmp_path, status, scripts):
    returned, ran = demo(tmp_path, status)
    assert (returned == 0) is (status == 0) and ran == scripts
