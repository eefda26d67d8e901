"""The benchmarks run and measure what they say."""
import os
import re
import subprocess
import sys

import pytest

import runtime
from benchmarks import atrous_convolution, build_records, training_memory


def test_atrous_benchmark_prints_the_median_of_its_pairs(tiny_backbone, capsys, monkeypatch):
    if not runtime.has_native_dilated_gradient():
        pytest.skip('this build has no gradient of native dilated convolutions')
    monkeypatch.setattr(runtime, '_native_dilated_gradient', True)  # put back afterwards
    times = iter([9.0] * 4 + [3.0, 2.0] + [1.0, 2.0] * 3 + [4.0, 2.0] * 3)
    real, steps_run = atrous_convolution.seconds, []

    def seconds(step):
        if len(steps_run) < 2:  # each way once
            steps_run.append(real(step))
        return next(times)
    monkeypatch.setattr(atrous_convolution, 'seconds', seconds)
    atrous_convolution.main(['--resnet_model', tiny_backbone, '--crop_size', '33'])
    assert len(steps_run) == 2 and min(steps_run) > 0
    assert capsys.readouterr().out.endswith('median ratio slim / native: 1.50\n')


def test_atrous_benchmark_builds_the_two_ways(tiny_backbone, monkeypatch):
    monkeypatch.setattr(runtime, '_native_dilated_gradient', True)
    args = atrous_convolution.config.parse_train_flags(
        ['--resnet_model', tiny_backbone, '--crop_size', '33', '--batch_size', '1'])
    args.number_of_classes = 3
    for native in (True, False):
        session, _ = atrous_convolution.build_step(args, native)
        types = {op.type for op in session.graph.get_operations()}
        assert ('SpaceToBatchND' in types) != native


def test_peak_memory_is_that_of_the_command():
    # Asked from a small process: a child of this one starts with this one's peak.
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    small, large = (float(subprocess.check_output(
        [sys.executable, '-c', 'import sys; from benchmarks.training_memory import peak_mib;'
         'print(peak_mib([sys.executable, "-c", "list(bytearray(%d << 20))"]))' % mib], cwd=root))
        for mib in (1, 30))
    # A list of 30 Mi small ints holds 240 MiB of pointers.
    assert small < 100 and large - small > 200


def test_peak_memory_of_a_failing_command_is_refused():
    with pytest.raises(SystemExit, match='failed'):
        training_memory.peak_mib([sys.executable, '-c', 'raise SystemExit(3)'])


def test_build_benchmark_counts_images_bytes_and_memory(tmp_path):
    num_bytes = build_records.write_pairs(str(tmp_path), build_records.DIFFERENT + 2)
    # As large as VOC's: its images take some 80 kB, its masks some 3 kB.
    assert 50e3 < num_bytes / float(build_records.DIFFERENT + 2) < 150e3
    assert os.path.samefile(str(tmp_path / '00000.jpg'), str(tmp_path / '00016.jpg'))
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    printed = subprocess.check_output(
        [sys.executable, 'benchmarks/build_records.py', '--num_pairs', '6', '8'], cwd=root,
        stderr=subprocess.DEVNULL).decode().splitlines()
    assert [line.split(' images/s')[0].split(':')[0] for line in printed] == [
        '6 pairs, 1 worker', '8 pairs, 1 worker']
    for line in printed:
        speed, ratio, peak = (float(re.search(pattern, line).group(1)) for pattern in (
            r'(\d+) per second of processor', r'output/input ([\d.]+)', r'process (\d+) MiB'))
        # Nothing is encoded again, and the process that builds holds no TensorFlow.
        assert speed > 0 and 0.97 < ratio < 1.03 and 20 < peak < 100
