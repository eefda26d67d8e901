"""doctor.py: each verdict, with the next command, on faked machines."""
import json
import os
import subprocess
import sys

import pytest

from runtime import doctor, machine
from tests.helpers import ROOT
from tests.helpers.fake_machine import AMPERE, TURING, make_environment

STOCK = ['tensorflow_gpu-1.15.0', 'numpy-1.18.5', 'protobuf-3.20.3', 'tf_slim-1.1.0']
ANSWER = 'echo noise; echo \'{"gpus": %d, "is_cuda_build": %s}\'\n'


def environment(package=('tensorflow-gpu', '1.15.0'), gpus=0, is_cuda_build=True):
    return doctor.Environment('.venv', package, {'gpus': gpus, 'is_cuda_build': is_cuda_build},
                              None)


def test_runs_without_any_package_and_says_what_is_next():
    run = subprocess.run([sys.executable, '-S', '-E', os.path.join('runtime', 'doctor.py')],
                         cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stderr == b''
    lines = run.stdout.decode().splitlines()
    num_problems = sum(line.startswith('problem ') for line in lines)
    assert run.returncode == bool(num_problems)
    assert lines[-1].startswith('%d problem' % num_problems)
    for line, following in zip(lines, lines[1:]):
        assert line.startswith(('ok ', 'warning ', 'problem ', ' '))
        assert ('-> ' in following) == line.startswith(('warning ', 'problem '))


def test_exit_status_is_0_unless_there_is_a_problem(tmp_path, monkeypatch, capsys):
    line = doctor.Line(doctor.WARNING, 'GPU', 'unused', 'GPU=1 make env')
    monkeypatch.setattr(doctor, 'examine', lambda root: [line])
    assert doctor.main([]) == 0
    monkeypatch.setattr(doctor, 'examine', lambda root: [line._replace(verdict=doctor.PROBLEM)])
    assert doctor.main([]) == 1
    assert capsys.readouterr().out.splitlines()[1].split() == ['->', 'GPU=1', 'make', 'env']


def test_no_environment_is_a_problem(tmp_path):
    line, = doctor.check_environments(str(tmp_path), [])
    assert (line.verdict, line.command) == (doctor.PROBLEM, 'make env')


def test_both_environments_are_reported_with_their_versions(tmp_path):
    make_environment(str(tmp_path), '.venv', STOCK, ANSWER % (1, 'true'))
    make_environment(str(tmp_path), '.venv-tf2', [], '', is_complete=False)
    found = []
    first, second = doctor.check_environments(str(tmp_path), found)
    assert first == (doctor.OK, '.venv', 'Python 3.7, tensorflow-gpu 1.15.0, numpy 1.18.5, '
                     'protobuf 3.20.3, tf-slim 1.1.0', '')
    assert second == (doctor.PROBLEM, '.venv-tf2', 'was not built to its end',
                      'RUNTIME=tf2 make env')
    assert [entry.report for entry in found] == [{'gpus': 1, 'is_cuda_build': True}]


@pytest.mark.parametrize('python, expected', [
    ('echo "Traceback" >&2; echo "ImportError: libfoo.so" >&2; exit 1', 'ImportError: libfoo.so'),
    ('kill -ILL $$', 'it died of signal 4')])
def test_an_environment_that_does_not_import_is_a_problem_with_its_last_words(
        tmp_path, python, expected):
    make_environment(str(tmp_path), '.venv', STOCK, python)
    line, = doctor.check_environments(str(tmp_path), [])
    assert line.verdict == doctor.PROBLEM and line.text.endswith('does not import: ' + expected)
    assert line.command == 'rm -r .venv && make env'


def test_this_environment_imports():
    report, error = doctor.ask_tensorflow(sys.executable, ROOT)
    assert error == '' and set(report) == {'gpus', 'is_cuda_build'}


@pytest.mark.parametrize('gpus, used, verdict, text, command', [
    ([AMPERE], environment(), doctor.PROBLEM, 'GPU 1 is newer than tensorflow-gpu 1.15.0',
     'RUNTIME=tf2 GPU=1 make env'),
    ([TURING], environment(('intel-tensorflow', '1.15.2'), 0, False), doctor.WARNING,
     'GPU unused: intel-tensorflow 1.15.2 is built without CUDA', 'RUNTIME=tf1 GPU=1 make env'),
    ([AMPERE], environment(('intel-tensorflow', '1.15.2'), 0, False), doctor.WARNING,
     'built without CUDA', 'RUNTIME=tf2 GPU=1 make env'),
    ([TURING], environment(), doctor.PROBLEM, 'needs CUDA 10.0 and cuDNN 7', 'LD_LIBRARY_PATH'),
    ([TURING], environment(gpus=1), doctor.OK, 'tensorflow-gpu 1.15.0 sees 1 GPU;', ''),
    ([TURING], environment(('tensorflow', '2.21.0')), doctor.PROBLEM,
     'driver 418.87 is older than the 525.60 of CUDA 12', 'install a newer driver'),
    ([AMPERE], environment(('tensorflow', '2.21.0')), doctor.PROBLEM,
     'needs CUDA 12 and cuDNN 9', 'RUNTIME=tf2 GPU=1 make env')])
def test_what_keeps_an_environment_from_its_gpu_is_said(gpus, used, verdict, text, command):
    line = list(doctor.check_gpus(gpus, [used]))[-1]
    assert line.verdict == verdict and text in line.text and command in line.command


def test_a_processor_without_avx_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor.platform, 'machine', lambda: 'x86_64')
    for features, verdict in (({'AVX', 'AMX'}, doctor.OK), (set(), doctor.PROBLEM)):
        line, = doctor.check_processor(machine.Processor('Atom', 2, frozenset(features)))
        assert line.verdict == verdict and line.text.startswith('Atom, 2 cores')


def test_little_memory_is_a_warning_with_flags_that_need_less():
    gib = 2 ** 30
    assert doctor.check_memory(machine.Memory(16 * gib, 8 * gib)).verdict == doctor.OK
    assert doctor.check_memory(machine.Memory(None, None)).verdict == doctor.OK
    line = doctor.check_memory(machine.Memory(16 * gib, 4 * gib))
    assert line.verdict == doctor.WARNING and '--accumulate_steps 4' in line.command


def test_a_full_disk_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, 'free_bytes', lambda folder: 2 ** 31)
    assert [line.verdict for line in doctor.check_disks(str(tmp_path), True)][0] == doctor.OK
    line = list(doctor.check_disks(str(tmp_path), False))[0]
    assert line.verdict == doctor.PROBLEM and 'less than 4 GiB' in line.text


def test_data_sets_are_found_and_their_shards_looked_for(shapes_dir, tmp_path):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'runs' / 'demo').mkdir(parents=True)
    assert next(doctor.check_datasets(str(tmp_path), 'P')).verdict == doctor.WARNING
    os.symlink(shapes_dir, str(tmp_path / 'data' / 'shapes'))
    broken = tmp_path / 'runs' / 'demo' / 'shapes'
    broken.mkdir()
    (broken / 'dataset.json').write_text(json.dumps({
        'class_names': ['a', 'b'], 'splits': {'train': {'num_examples': 3, 'shards': ['x-0']}}}))
    first, second = doctor.check_datasets(str(tmp_path), 'P')
    assert first == (doctor.OK, 'data set', 'data/shapes: 6 classes; test 3, train 6, '
                     'validation 2', '')
    assert second == (doctor.PROBLEM, 'data set', 'runs/demo/shapes: 2 classes; train 3; x-0 is '
                      'missing', 'P dataset/check.py runs/demo/shapes')
    (broken / 'dataset.json').write_text('')
    assert 'cannot be used' in list(doctor.check_datasets(str(tmp_path), 'P'))[1].text


def test_weights_that_were_not_downloaded_to_their_end_are_a_warning(tmp_path):
    assert next(doctor.check_weights(str(tmp_path), 'P')).text.startswith('none of ImageNet')
    for name in ('resnet_v2_101', 'resnet_v2_50'):
        (tmp_path / 'resnet' / 'checkpoints' / name).mkdir(parents=True)
    (tmp_path / 'resnet' / 'checkpoints' / 'resnet_v2_50' / 'download.json').write_text('{}')
    torso, whole = doctor.check_weights(str(tmp_path), 'P')
    assert torso.command == 'P resnet/download.py --resnet_model resnet_v2_101'
    assert whole == (doctor.OK, 'weights', 'ImageNet, resnet_v2_50', '')


def test_runs_are_found_with_their_steps(tmp_path):
    for name, steps in (('a', (44, 160)), ('b', (44, 100)), ('c', ())):
        folder = tmp_path / 'runs' / name
        folder.mkdir(parents=True)
        (folder / 'config.json').write_text('{"flags": {"max_steps": 160}}')
        for step in steps:
            (folder / ('model.ckpt-%d.index' % step)).touch()
    done, stopped, begun = doctor.check_runs(str(tmp_path), 'P')
    assert done == (doctor.OK, 'run', 'runs/a, step 160 of 160', '')
    assert (stopped.verdict, stopped.text) == (doctor.WARNING, 'runs/b, step 100 of 160')
    assert 'P test.py --checkpoint runs/b' in stopped.command
    assert begun.text == 'runs/c has no checkpoint yet'
    (tmp_path / 'runs' / 'a' / 'config.json').write_text('[]')
    assert list(doctor.check_runs(str(tmp_path), 'P'))[0].verdict == doctor.PROBLEM


def test_many_rows_are_cut_but_no_problem_is():
    good = doctor.Line(doctor.OK, 'run', 'x', '')
    rows = list(doctor._cut([good] * 9 + [good._replace(verdict=doctor.PROBLEM)], 'run'))
    assert len(rows) == 10 and rows[-1].text == 'and 1 more'
    assert rows[-2].verdict == doctor.PROBLEM
