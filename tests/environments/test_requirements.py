"""The requirement files pin every package, and the running environment obeys them."""
import os
import re

import pytest

from tests.helpers import ROOT

try:
    import importlib.metadata as importlib_metadata
except ImportError:  # Python 3.7
    import importlib_metadata

GPU = 'requirements.txt'
CPU = 'environments/requirements-cpu.txt'
TF2_GPU = 'environments/requirements-tf2-gpu.txt'
TF2_CPU = 'environments/requirements-tf2.txt'
FILES = [GPU, CPU, 'environments/requirements-common.txt', TF2_GPU, TF2_CPU]
# By the package that only an environment of the file holds.
BUILDS = {'tensorflow-gpu': GPU, 'intel-tensorflow': CPU, 'nvidia-cudnn-cu12': TF2_GPU,
          'tf-keras': TF2_CPU}
DESIGN_SET = ['tf-slim', 'numpy', 'pillow', 'pycocotools', 'scipy', 'matplotlib', 'jupyter', 'tqdm',
              'requests', 'google-crc32c', 'onnx', 'onnxruntime', 'tf2onnx']
FIRST = {GPU: ['tensorflow-gpu'] + DESIGN_SET, CPU: ['intel-tensorflow'] + DESIGN_SET,
         TF2_CPU: ['tensorflow', 'tf-keras'] + DESIGN_SET + ['tensorboard']}
MACOS = ['appnope']  # which ipykernel needs there alone
PIN = re.compile(r'([a-z0-9-]+)(?:\[and-cuda\])?==([0-9]+(?:\.[a-z0-9]+)*)'
                 r'(?:; platform_system == "Darwin")?')


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


@pytest.mark.parametrize('name', [GPU, CPU, TF2_CPU])
def test_no_package_is_pinned_twice(name):
    packages = [package for package, _ in read_pins(name)]
    assert sorted(packages) == sorted(set(packages))


@pytest.mark.parametrize('name', sorted(FIRST))
def test_design_set_comes_first(name):
    packages = [package for package, _ in read_pins(name, follow=False)]
    assert packages[:len(FIRST[name])] == FIRST[name]


def test_design_asks_for_tensorflow_gpu_1_15():
    assert dict(read_pins(GPU))['tensorflow-gpu'] == '1.15.0'


def test_cpu_file_differs_only_in_the_tensorflow_build():
    gpu, cpu = (set(read_pins(name)) for name in (GPU, CPU))
    assert {package for package, _ in gpu ^ cpu} == {'tensorflow-gpu', 'intel-tensorflow'}


def test_cuda_file_of_tensorflow_2_adds_the_packages_of_cuda_alone():
    gpu, cpu = (read_pins(name) for name in (TF2_GPU, TF2_CPU))
    assert 'tensorflow[and-cuda]==2.21.0' in read_lines(TF2_GPU) and dict(cpu) == dict(
        (package, version) for package, version in gpu if not package.startswith('nvidia-'))
    assert all('cu12' in package for package in set(dict(gpu)) - set(dict(cpu)))


@pytest.mark.parametrize('name', FILES)
def test_no_url_and_no_host_name(name):
    with open(os.path.join(ROOT, name)) as handle:
        text = handle.read()
    # Options such as --index-url and 'name @ url' would bring a host in too.
    assert not re.search(r'://|@|^\s*--|\b[\w-]+\.(?:org|com|net|io)\b', text, re.MULTILINE)


def test_installed_versions_match_the_pins():
    installed = installed_versions()
    names = [name for build, name in BUILDS.items() if build in installed]
    if not names:
        pytest.skip('none of %s is installed here; make env builds the pinned environment'
                    % ', '.join(BUILDS))
    if TF2_GPU in names:
        names.remove(TF2_CPU)
    assert len(names) == 1, 'two TensorFlow builds overwrite each other'
    different = {package: (version, installed.get(package))
                 for package, version in read_pins(names[0])
                 if package not in MACOS and installed.get(package) != version}
    assert not different, 'package: (pinned, installed) %s' % different
