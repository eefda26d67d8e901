"""The requirement files pin every package, and the running environment obeys them."""
import os
import re

import importlib_metadata
import pytest

from tests.helpers import ROOT

GPU = 'requirements.txt'
CPU = 'environments/requirements-cpu.txt'
FILES = [GPU, CPU, 'environments/requirements-common.txt']
TENSORFLOW = {GPU: 'tensorflow-gpu', CPU: 'intel-tensorflow'}
DESIGN_SET = ['tf-slim', 'numpy', 'pillow', 'scipy', 'matplotlib', 'jupyter', 'tqdm', 'requests',
              'google-crc32c', 'onnx', 'onnxruntime', 'tf2onnx']
PIN = re.compile(r'([a-z0-9-]+)==([0-9]+(?:\.[a-z0-9]+)*)')


def read_lines(name):
    """Returns a file's lines without comments and blank lines."""
    with open(os.path.join(ROOT, name)) as handle:
        lines = [line.split('#')[0].strip() for line in handle]
    return [line for line in lines if line]


def read_pins(name, follow=True):
    """Returns [(package, version)] of one file, and with `follow` of what it includes."""
    pins = []
    for line in read_lines(name):
        if line.startswith('-r '):
            # As pip reads it: relative to the file that includes.
            included = os.path.join(os.path.dirname(name), line[3:].strip())
            pins += read_pins(included) if follow else []
        else:
            match = PIN.fullmatch(line)
            assert match, '%s: %r is not name==version' % (name, line)
            pins.append(match.groups())
    return pins


def installed_versions():
    """Returns {package: version} of the running interpreter, names spelt as in the files."""
    return {re.sub('[-_.]+', '-', distribution.metadata['Name']).lower(): distribution.version
            for distribution in importlib_metadata.distributions()}


@pytest.mark.parametrize('name', FILES)
def test_every_requirement_is_pinned_exactly(name):
    assert read_pins(name, follow=False)


@pytest.mark.parametrize('name', sorted(TENSORFLOW))
def test_no_package_is_pinned_twice(name):
    packages = [package for package, _ in read_pins(name)]
    assert sorted(packages) == sorted(set(packages))


@pytest.mark.parametrize('name', sorted(TENSORFLOW))
def test_design_set_comes_first(name):
    packages = [package for package, _ in read_pins(name, follow=False)]
    assert packages == [TENSORFLOW[name]] + DESIGN_SET


def test_design_asks_for_tensorflow_gpu_1_15():
    assert dict(read_pins(GPU))['tensorflow-gpu'] == '1.15.0'


def test_cpu_file_differs_only_in_the_tensorflow_build():
    gpu, cpu = (set(read_pins(name)) for name in (GPU, CPU))
    assert {package for package, _ in gpu ^ cpu} == {'tensorflow-gpu', 'intel-tensorflow'}


@pytest.mark.parametrize('name', FILES)
def test_no_url_and_no_host_name(name):
    with open(os.path.join(ROOT, name)) as handle:
        text = handle.read()
    # Options such as --index-url and 'name @ url' would bring a host in too.
    assert not re.search(r'://|@|^\s*--|\b[\w-]+\.(?:org|com|net|io)\b', text, re.MULTILINE)


def test_installed_versions_match_the_pins():
    installed = installed_versions()
    names = [name for name, build in sorted(TENSORFLOW.items()) if build in installed]
    if not names:
        pytest.skip('neither %s is installed here; make env builds the pinned environment'
                    % ' nor '.join(sorted(TENSORFLOW.values())))
    assert len(names) == 1, 'two TensorFlow builds overwrite each other'
    different = {package: (version, installed.get(package))
                 for package, version in read_pins(names[0])
                 if installed.get(package) != version}
    assert not different, 'package: (pinned, installed) %s' % different
