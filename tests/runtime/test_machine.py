"""machine.py: what is read from nvidia-smi, sysctl and dist-info folders."""
import subprocess
import sys

import pytest

from runtime import machine
from tests.helpers.fake_machine import (AMPERE, TURING, answer,
                                        put_nvidia_smi_on_path)


def test_without_nvidia_smi_there_is_no_gpu_and_nothing_is_started(monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.setattr(subprocess, 'run', None)
    assert machine.gpus() == []


def test_gpus_are_those_of_nvidia_smi(monkeypatch, tmp_path):
    put_nvidia_smi_on_path(str(tmp_path), monkeypatch, answer(TURING, AMPERE))
    assert machine.gpus() == [TURING, AMPERE]


def test_older_drivers_that_do_not_tell_the_capability_are_asked_again(monkeypatch, tmp_path):
    put_nvidia_smi_on_path(str(tmp_path), monkeypatch, '''case "$*" in *compute_cap*)
        echo 'Field "compute_cap" is not a valid field to query.'; exit 2;; esac
        echo '0, Tesla T4, 418.87, [N/A], GPU-aaaa'
    ''')
    assert machine.gpus() == [TURING._replace(capability=None, memory_mib=None)]


@pytest.mark.parametrize('text', [
    'echo "NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver."; exit 9',
    'kill $$'])
def test_nvidia_smi_that_fails_is_an_error(monkeypatch, tmp_path, text):
    put_nvidia_smi_on_path(str(tmp_path), monkeypatch, text)
    with pytest.raises(machine.NvidiaSmiError, match='has failed|status -15'):
        machine.gpus()


def test_nvidia_smi_that_hangs_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, 'ANSWER_SECONDS', 0.1)
    put_nvidia_smi_on_path(str(tmp_path), monkeypatch, 'exec sleep 30')
    with pytest.raises(machine.NvidiaSmiError, match='timed out'):
        machine.gpus()


def test_no_device_is_no_error(monkeypatch, tmp_path):
    put_nvidia_smi_on_path(str(tmp_path), monkeypatch, 'echo "No devices were found"; exit 6')
    assert machine.gpus() == []


@pytest.mark.parametrize('devices, expected', [
    (None, [TURING, AMPERE]), ('', []), ('-1', []), ('1', [AMPERE]), ('1,0', [AMPERE, TURING]),
    ('7', []), ('0,7,1', [TURING]), ('GPU-bb', [AMPERE])])
def test_visible_gpus_are_those_that_cuda_shows(devices, expected):
    assert machine.visible([TURING, AMPERE], devices) == expected


def test_features_of_linux_and_of_macos_have_the_same_names():
    assert machine._features('fpu avx avx2 avx512f amx_tile amx_bf16 avx512_bf16'.split()) == {
        'AVX', 'AVX2', 'AVX-512', 'AMX', 'bf16'}
    intel = ('machdep.cpu.features: FPU FMA AVX1.0\nmachdep.cpu.leaf7_features: AVX2 AVX512F\n'
             'hw.optional.avx512f: 1')
    assert machine._features(machine._words_of_sysctl(intel)) == {'FMA', 'AVX', 'AVX2', 'AVX-512'}
    apple = 'hw.optional.neon: 1\nhw.optional.arm.FEAT_BF16: 1\nhw.optional.avx2: 0'
    assert machine._features(machine._words_of_sysctl(apple)) == {'NEON', 'bf16'}


def test_processor_and_memory_are_those_of_this_machine():
    assert machine.processor().cores >= 1
    total, available = machine.memory()
    assert total > 2 ** 28 and (sys.platform == 'darwin' or 0 < available <= total)


def test_packages_have_one_way_to_write_their_names(tmp_path):
    for name in ('tensorflow_gpu-1.15.0', 'tf_slim-1.1.0', 'Keras_Applications-1.0.8'):
        (tmp_path / (name + '.dist-info')).mkdir()
    found = machine.packages(str(tmp_path))
    assert found == {'tensorflow-gpu': '1.15.0', 'tf-slim': '1.1.0', 'keras-applications': '1.0.8'}
    assert machine.tensorflow_package(found) == ('tensorflow-gpu', '1.15.0')
    assert machine.tensorflow_package({'numpy': '1.18.5'}) is None


@pytest.mark.parametrize('package, expected', [
    (('tensorflow-gpu', '1.15.0'), [AMPERE]), (('tensorflow', '1.15.5'), [AMPERE]),
    (('nvidia-tensorflow', '1.15.5+nv21.12'), []), (('tensorflow-gpu', '1.15.5+nv23.3'), []),
    (('tensorflow', '2.21.0'), [])])
def test_gpus_from_capability_8_are_unsupported_by_googles_1_15_alone(package, expected):
    unknown = AMPERE._replace(capability=None)
    assert machine.unsupported([TURING, AMPERE, unknown], package) == expected


def test_libraries_are_found_on_the_path_and_in_nvidias_wheels(tmp_path, monkeypatch):
    for folder, name in (('cuda', 'libcudart.so.10.0'), ('nvidia/cudnn/lib', 'libcudnn.so.9')):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).touch()
    monkeypatch.setenv('LD_LIBRARY_PATH', str(tmp_path / 'cuda'))
    assert '10.0' in machine.libraries('cudart')
    assert '9' in machine.libraries('cudnn', str(tmp_path))
