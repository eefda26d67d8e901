"""make_env.sh with a stand-in for uv, so that nothing is installed."""
import os
import platform
import shutil
import subprocess

import pytest

from tests.helpers import ROOT

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ('Linux', 'x86_64'),
    reason='TensorFlow 1.15 has wheels for Linux on x86_64')

UV = """#!/bin/sh
echo built >> builds
mkdir -p .venv/bin
printf '#!/bin/sh\\nexit 0\\n' > .venv/bin/python
chmod +x .venv/bin/python
"""


@pytest.fixture
def project(tmp_path):
    """A folder with what the script reads, and `bin/uv`; returns its path."""
    shutil.copytree(os.path.join(ROOT, 'environments'), str(tmp_path / 'environments'))
    shutil.copy(os.path.join(ROOT, 'requirements.txt'), str(tmp_path))
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'uv').write_text(UV)
    (tmp_path / 'bin' / 'uv').chmod(0o755)
    return tmp_path


def make_env(project, gpu=''):
    """Runs the script; returns (how often an environment was built so far, the run)."""
    run = subprocess.run(
        ['sh', str(project / 'environments' / 'make_env.sh')], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, universal_newlines=True,
        env=dict(os.environ, GPU=gpu, PATH='%s:%s' % (project / 'bin', os.environ['PATH'])))
    builds = project / 'builds'
    return len(builds.read_text().split()) if builds.exists() else 0, run


def test_an_environment_is_built_once_and_again_when_a_requirement_changes(project):
    assert make_env(project)[0] == 1
    assert make_env(project)[0] == 1
    with open(str(project / 'environments' / 'requirements-common.txt'), 'a') as common:
        common.write('another==1.0\n')
    assert make_env(project)[0] == 2


def test_the_kind_of_build_stays_until_another_is_asked_for(project):
    assert make_env(project, gpu='1')[0] == 1
    builds, run = make_env(project)
    assert (builds, run.returncode) == (1, 0)
    builds, run = make_env(project, gpu='0')
    assert builds == 2 and 'environments/requirements-cpu.txt' in run.stdout


def test_another_value_of_gpu_is_refused(project):
    builds, run = make_env(project, gpu='2')
    assert builds == 0 and run.returncode != 0 and 'GPU=2: choose 1' in run.stdout
