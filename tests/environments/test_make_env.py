"""make_env.sh on made-up machines: stand-ins for Pythons and tools, so that nothing is installed.

A machine is the folder `bin`, which alone is on the PATH.
"""
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.helpers import ROOT

TOOLS = ['cat', 'cksum', 'cut', 'dirname', 'grep', 'mkdir', 'mktemp', 'rm', 'sh', 'sort', 'tail',
         'tr']
# What an interpreter is asked: whether it is usable, and to make an environment. Those of an
# environment take whatever they are told.
PYTHON = """#!/bin/sh
case "$1 $2 $3" in
    '-I -c '*)
        [ "$4" = {version} ] && echo "$0" || {{ echo 'is CPython {version}' >&2; exit 1; }} ;;
    '-I -m venv')
        mkdir -p "$4/bin"
        echo "$4 {version}" >> builds
        printf '#!/bin/sh\\necho "$@" >> asked\\n' > "$4/bin/python"
        chmod +x "$4/bin/python" ;;
esac
"""
PYENV = """#!/bin/sh
case "$1 $2" in
    'versions --bare') cat pyenv/has ;;
    'install --list') echo '  3.7.16'; echo '  3.7.17'; echo '  3.13.0'; echo '  3.13.1' ;;
    'install --skip-existing') echo "$3" >> pyenv/installed; {install} ;;
    'prefix '*) [ -d "pyenv/$2" ] && echo "$PWD/pyenv/$2" ||
        {{ echo "pyenv: version \\`$2' not installed" >&2; exit 1; }} ;;
esac
"""
UV = """#!/bin/sh
case "$1 $2" in
    'python find') [ -x "uv-$4" ] && echo "$PWD/uv-$4" || { echo "error: no $4" >&2; exit 2; } ;;
    'python install') echo "error: No download found for request: cpython-$3" >&2; exit 1 ;;
esac
"""
CONDA = """#!/bin/sh
[ "$1 $2 $3 $4" = 'create --yes --quiet --prefix' ] || exit 9
mkdir -p "$5/bin"
cp python3.7-of-conda "$5/bin/python"
"""


class Machine:
    """A checkout, and what its PATH holds."""

    def __init__(self, folder, system):
        self.folder = folder
        self.bin = folder / 'bin'
        self.bin.mkdir()
        for tool in TOOLS + ['chmod', 'cp']:
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.script('bin/uname', '#!/bin/sh\n[ "$1" = -s ] && echo %s || echo %s\n' % system)

    def script(self, path, text):
        path = self.folder / path
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        path.chmod(0o755)

    def python(self, version, path=None):
        self.script(path or 'bin/python' + version, PYTHON.format(version=version))

    def pyenv(self, *versions, install='exit 1'):
        for version in versions:
            short = version.rpartition('.')[0]
            self.python(short, 'pyenv/%s/bin/python%s' % (version, short))
        (self.folder / 'pyenv').mkdir(exist_ok=True)
        (self.folder / 'pyenv' / 'has').write_text('\n'.join(versions) + '\n')
        self.script('bin/pyenv', PYENV.format(install=install))

    def run(self, *command, **variables):
        run = subprocess.run(
            [shutil.which(command[0])] + list(command[1:]), cwd=str(self.folder),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
            env=dict(variables, PATH=str(self.bin)))
        return run.returncode, run.stdout

    def make_env(self, *arguments, **variables):
        """Returns (exit status, what was printed)."""
        return self.run('sh', 'environments/make_env.sh', *arguments, **variables)

    @property
    def builds(self):
        """A list of 'FOLDER VERSION', one for each environment that was built."""
        path = self.folder / 'builds'
        return path.read_text().splitlines() if path.exists() else []

    @property
    def installed(self):
        """The requirement files that were installed."""
        path = self.folder / 'asked'
        words = path.read_text().split() if path.exists() else []
        return [word for word in words if word.endswith('.txt')]


@pytest.fixture
def make_machine(tmp_path):
    def make(*pythons, system=('Linux', 'x86_64')):
        for name in ('environments', 'requirements.txt', 'Makefile'):
            source = os.path.join(ROOT, name)
            copy = shutil.copytree if os.path.isdir(source) else shutil.copy
            copy(source, str(tmp_path / name))
        machine = Machine(tmp_path, system)
        for version in pythons:
            machine.python(version)
        return machine
    return make


@pytest.mark.parametrize('version, requirements', [
    ('3.7', 'requirements-common.txt'), ('3.12', 'requirements-tf2.txt')])
def test_an_environment_is_built_once_and_again_when_a_requirement_changes(
        make_machine, version, requirements):
    machine = make_machine(version)
    assert machine.make_env()[0] == 0
    assert machine.make_env() == (0, '')
    assert machine.builds == ['.venv ' + version]
    with open(str(machine.folder / 'environments' / requirements), 'a') as file:
        file.write('another==1.0\n')
    assert machine.make_env()[0] == 0
    assert machine.builds == ['.venv ' + version] * 2


@pytest.mark.parametrize('version, cpu, gpu', [
    ('3.7', 'environments/requirements-cpu.txt', 'requirements.txt'),
    ('3.11', 'environments/requirements-tf2.txt', 'environments/requirements-tf2-gpu.txt')])
def test_the_kind_of_build_stays_until_another_is_asked_for(make_machine, version, cpu, gpu):
    machine = make_machine(version)
    for variables in ({'GPU': '1'}, {}, {'GPU': '0'}, {}):
        assert machine.make_env(**variables)[0] == 0
    assert machine.installed == [gpu, cpu]


@pytest.mark.parametrize('variables, message', [
    ({'GPU': '2'}, 'GPU=2: choose 1'), ({'RUNTIME': 'tf3'}, 'RUNTIME=tf3: choose tf1')])
def test_another_value_is_refused(make_machine, variables, message):
    machine = make_machine('3.7')
    status, output = machine.make_env(**variables)
    assert status != 0 and message in output and not machine.builds


@pytest.mark.parametrize('pythons, runtime, version', [
    (['3.7', '3.11'], 'tf1', '3.7'), (['3.11'], 'tf2', '3.11'), (['3.12'], 'tf2', '3.12'),
    (['3.10', '3.11', '3.12', '3.13', '3.14'], 'tf2', '3.13')])
def test_tf1_comes_first_and_else_the_newest_python_and_one_line_says_so(
        make_machine, pythons, runtime, version):
    machine = make_machine(*pythons)
    status, output = machine.make_env()
    assert status == 0 and machine.builds == ['.venv ' + version]
    assert [line for line in output.splitlines() if 'RUNTIME' in line] == [
        {'tf1': 'make env: RUNTIME=tf1 (TensorFlow 1.15), as a CPython 3.7 can be had',
         'tf2': 'make env: RUNTIME=tf2 (TensorFlow 2.21), as no CPython 3.7 is at hand'}[runtime]]


def test_a_python3_without_its_full_name_is_found(make_machine):
    machine = make_machine()
    machine.python('3.12', 'bin/python3')
    assert machine.make_env()[0] == 0 and machine.builds == ['.venv 3.12']


def test_a_shim_that_does_not_run_hides_no_python_behind_it(make_machine):
    machine = make_machine('3.12')
    machine.script('shims/python3.12', '#!/bin/sh\necho pyenv: not found >&2\nexit 127\n')
    machine.bin = '%s:%s' % (machine.folder / 'shims', machine.bin)
    assert machine.make_env()[0] == 0 and machine.builds == ['.venv 3.12']


def ask_whether_usable(machine, interpreter, version):
    return machine.run('sh', '-c', '. environments/find_python.sh; usable_python "$0" "$1" || '
                       'note tool || echo "$tried"', str(interpreter), version)[1].strip()


def test_the_interpreter_behind_an_environment_is_taken_if_it_is_of_the_version(make_machine):
    machine = make_machine()
    here = '%d.%d' % sys.version_info[:2]
    found = ask_whether_usable(machine, sys.executable, here)
    assert found == os.path.join(getattr(sys, 'base_prefix', sys.prefix), 'bin', 'python' + here)
    assert ask_whether_usable(machine, sys.executable, '3.5') == 'tool: is CPython ' + here


def test_a_python_without_ensurepip_does_not_count(make_machine):
    machine = make_machine()
    machine.script('debians', '#!/bin/sh\nshift 2\nexec %s -I -c "import sys\n'
                   'sys.modules[\'ensurepip\'] = None\nexec(sys.argv.pop(1))" "$@"\n'
                   % sys.executable)
    reason = ask_whether_usable(machine, './debians', '%d.%d' % sys.version_info[:2])
    assert reason.startswith('tool: ') and 'Error: ' in reason and 'ensurepip' in reason


def test_the_newest_3_7_of_pyenv_is_taken(make_machine):
    machine = make_machine('3.11')
    machine.pyenv('3.7.9', '3.7.16', '3.12.1')
    machine.python('3.7', 'pyenv/3.7.9/bin/python3.7')
    machine.script('pyenv/3.7.9/bin/python3.7', '#!/bin/sh\nexit 1\n')
    assert machine.make_env()[0] == 0 and machine.builds == ['.venv 3.7']


def test_pyenv_compiles_nothing_while_another_python_is_there(make_machine):
    machine = make_machine('3.11')
    machine.pyenv('3.9.1')
    status, output = machine.make_env()
    assert status == 0 and machine.builds == ['.venv 3.11']
    assert 'no CPython 3.7 is at hand; RUNTIME=tf1 has pyenv build one' in output
    assert not (machine.folder / 'pyenv' / 'installed').exists()


@pytest.mark.parametrize('pythons, variables', [
    (['3.11'], {'RUNTIME': 'tf1'}), ([], {})])
def test_pyenv_compiles_what_was_asked_for_or_is_the_last_way(make_machine, pythons, variables):
    machine = make_machine(*pythons)
    machine.python('3.7', 'compiled')
    machine.pyenv(install='mkdir -p pyenv/$3/bin; cp compiled pyenv/$3/bin/python3.7; '
                          'echo $3 >> pyenv/has')
    assert machine.make_env(**variables)[0] == 0
    assert (machine.folder / 'pyenv' / 'installed').read_text().split() == ['3.7.17']
    assert machine.builds == ['.venv 3.7']


@pytest.mark.parametrize('tool', ['conda', 'mamba', 'micromamba'])
def test_conda_fetches_a_python_into_the_environment(make_machine, tool):
    machine = make_machine('3.11')
    machine.python('3.7', 'python3.7-of-conda')
    machine.script('bin/' + tool, CONDA)
    status, output = machine.make_env()
    assert status == 0 and tool + ' fetches CPython 3.7' in output
    assert machine.builds == ['.venv 3.7']
    # What the environment leans on is still there.
    assert (machine.folder / '.venv' / 'conda' / 'bin' / 'python').exists()


def test_a_python_of_uv_is_taken(make_machine):
    machine = make_machine('3.11')
    machine.script('bin/uv', UV)
    machine.python('3.7', 'uv-3.7')
    assert machine.make_env()[0] == 0 and machine.builds == ['.venv 3.7']


def test_a_uv_and_a_conda_without_3_7_lead_to_tf2(make_machine):
    machine = make_machine('3.11')
    machine.script('bin/uv', UV)
    machine.script('bin/conda', '#!/bin/sh\nexit 1\n')
    assert machine.make_env()[0] == 0 and machine.builds == ['.venv 3.11']


def test_where_nothing_fits_each_tool_has_its_say(make_machine):
    machine = make_machine('3.10')
    machine.python('3.10', 'bin/python3')
    machine.script('bin/python3.12', '#!/bin/sh\necho Traceback >&2\n'
                   "echo \"ModuleNotFoundError: No module named 'ensurepip'\" >&2\nexit 1\n")
    machine.script('bin/uv', UV)
    machine.script('bin/conda', '#!/bin/sh\necho "Collecting"\necho "CondaHTTPError: 000" >&2\n'
                   'echo >&2\nexit 1\n')
    machine.pyenv(install='echo "BUILD FAILED" >&2; exit 1')
    status, output = machine.make_env()
    assert status != 0 and not machine.builds
    tried = output.partition('Tried:\n')[2].splitlines()
    shown = [line.strip().replace(str(machine.bin) + '/', '') for line in tried]
    assert sorted(shown[:-1]) == sorted(set(shown[:-1])) == sorted([
        'python3: is CPython 3.10', "python3.12: ModuleNotFoundError: No module named 'ensurepip'",
        "pyenv: pyenv: version `3.7' not installed", "pyenv: pyenv: version `3.11' not installed",
        "pyenv: pyenv: version `3.12' not installed", "pyenv: pyenv: version `3.13' not installed",
        'uv: error: no 3.7', 'uv: error: no 3.11', 'uv: error: no 3.12', 'uv: error: no 3.13',
        'uv: error: No download found for request: cpython-3.7',
        'uv: error: No download found for request: cpython-3.13',
        'conda: CondaHTTPError: 000', 'pyenv install: BUILD FAILED',
        'not on the PATH: python3.7 python3.11 python3.13 mamba micromamba'])
    assert shown[-1].startswith('Install Python 3.11, 3.12 or 3.13')
    assert 'or choose RUNTIME=tf2.' in machine.make_env(RUNTIME='tf1')[1]


@pytest.mark.parametrize('first, other, versions', [
    ('tf1', 'tf2', ['3.7', '3.13']), ('tf2', 'tf1', ['3.13', '3.7'])])
def test_two_environments_stand_side_by_side(make_machine, first, other, versions):
    machine = make_machine(*versions)
    for runtime in (first, other):
        assert machine.make_env(RUNTIME=runtime)[0] == 0
    for runtime in ('', first, other):
        assert machine.make_env(RUNTIME=runtime) == (0, '')
    assert machine.builds == ['.venv ' + versions[0], '.venv-%s %s' % (other, versions[1])]
    folders = [machine.make_env('--folder', RUNTIME=runtime)[1].strip()
               for runtime in ('', first, other)]
    assert folders == ['.venv', '.venv', '.venv-' + other]
    # The one beside it stays where it is when .venv is gone.
    shutil.rmtree(str(machine.folder / '.venv'))
    assert machine.make_env('--folder', RUNTIME=other)[1].strip() == '.venv-' + other
    # Moved, its scripts would call the interpreter of the old place.
    (machine.folder / ('.venv-' + other)).rename(machine.folder / '.venv')
    assert machine.make_env()[0] == 0 and machine.builds[2:] == ['.venv ' + versions[1]]


def test_every_command_uses_the_environment_that_runtime_means(make_machine):
    machine = make_machine('3.7', '3.13')
    for runtime in ('tf1', 'tf2'):
        assert machine.make_env(RUNTIME=runtime)[0] == 0
    for arguments, variables, folder in (
            ([], {}, '.venv'), (['RUNTIME=tf1'], {}, '.venv'),
            (['RUNTIME=tf2'], {}, '.venv-tf2'), ([], {'RUNTIME': 'tf2'}, '.venv-tf2')):
        status, output = machine.run('make', '-n', 'test', 'demo', 'notebook', *arguments,
                                     **variables)
        assert status == 0
        assert re.findall(r'(\S+)/bin/python', output) == [folder] * 7


def test_an_environment_of_before_the_second_runtime_is_tf1_and_stays(make_machine):
    machine = make_machine('3.7', '3.13')
    machine.script('.venv/bin/python', '#!/bin/sh\n')
    stamp = machine.folder / '.venv' / 'complete'
    total = machine.run('sh', '-c', '{ pwd -P; echo 24.0; cat environments/requirements-cpu.txt '
                        'environments/requirements-common.txt; } | cksum')[1].strip()
    stamp.write_text('cpu %s\n' % total)
    assert machine.make_env() == (0, '') and machine.make_env(RUNTIME='tf1') == (0, '')
    assert machine.make_env(RUNTIME='tf2')[0] == 0
    assert machine.builds == ['.venv-tf2 3.13']
    stamp.write_text('gpu 1 2\n')
    assert machine.make_env()[0] == 0
    assert machine.installed[1:] == ['requirements.txt']
    stamp.write_text('gpu 1 2\n')
    (machine.bin / 'python3.7').unlink()
    status, output = machine.make_env()
    assert status != 0 and 'Install pyenv, which builds CPython 3.7; or choose' in output


def test_what_a_torso_held_is_not_known(make_machine):
    machine = make_machine('3.7', '3.13')
    machine.script('.venv/bin/python', '#!/bin/sh\n')
    assert machine.make_env(RUNTIME='tf2')[0] == 0 and machine.builds == ['.venv 3.13']


@pytest.mark.parametrize('system', [('Linux', 'aarch64'), ('Darwin', 'arm64')])
def test_machines_without_wheels_of_tf1_take_tf2_on_the_cpu(make_machine, system):
    machine = make_machine('3.7', '3.12', system=system)
    status, output = machine.make_env()
    assert status == 0 and machine.builds == ['.venv 3.12']
    assert 'as TensorFlow 1.15 has no wheels for %s %s' % system in output
    status, output = machine.make_env(RUNTIME='tf1')
    assert status != 0 and 'RUNTIME=tf1 on %s %s: ' % system in output
    status, output = machine.make_env(GPU='1')
    assert status != 0 and 'GPU=0 takes the CPU build' in output


def test_a_machine_without_any_wheels_is_refused(make_machine):
    machine = make_machine('3.12', system=('Darwin', 'x86_64'))
    status, output = machine.make_env()
    assert status != 0 and 'RUNTIME=tf2 on Darwin x86_64' in output and not machine.builds
