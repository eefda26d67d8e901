"""The benchmarks run and measure what they say."""
import json
import os
import re
import subprocess
import sys

import pytest

from benchmarks import evaluation_work, measuring, training_memory
from common.errors import UserError
from experiment import train_flags
from tests.helpers import ROOT
from training import failures


def test_peak_memory_is_that_of_the_command():
    # Asked from a small process: a child of this one starts with this one's peak.
    root = ROOT
    small, large = (float(subprocess.check_output(
        [sys.executable, '-c', 'import sys; from benchmarks.measuring import peak_mib;'
         'print(peak_mib([sys.executable, "-c", "list(bytearray(%d << 20))"]))' % mib], cwd=root))
        for mib in (1, 30))
    # A list of 30 Mi small ints holds 240 MiB of pointers.
    assert small < 100 and large - small > 200


def test_peak_memory_of_a_failing_command_is_refused():
    with pytest.raises(UserError, match='failed'):
        measuring.peak_mib([sys.executable, '-c', 'raise SystemExit(3)'])


def test_the_input_pipeline_is_read_as_training_reads_it(shapes_dir):
    # TensorFlow alone takes more than 100 MiB.
    assert 100 < training_memory.input_mib(shapes_dir, num_batches=2) < 4000


def test_memory_benchmark_trains_with_its_flags_and_reads_both_data_sets(
        tiny_backbone, monkeypatch, capsys):
    import train  # the script: what the benchmark starts in a process of its own
    build_shapes, started = training_memory.build_shapes, []

    def peak_mib(command):
        started.append(command)
        if command[1] == 'train.py':
            train.main(command[2:])
        return 2048.0
    monkeypatch.setattr(training_memory, 'build_shapes',
                        lambda folder, num_train: build_shapes(folder, num_train // 100))
    monkeypatch.setattr(measuring, 'peak_mib', peak_mib)
    training_memory.main(['--batch_size', '2', '--crop_size', '33', '--resnet_model',
                          tiny_backbone])
    lines = capsys.readouterr().out.splitlines()
    assert [command[1] for command in started] == ['-c', '-c', 'train.py']
    assert 'input pipeline, 2000 images, 300 batches of 8: peak 2048 MiB' in lines
    assert lines[-1] == ('train.py --batch_size 2 --crop_size 33 --resnet_model %s: peak 2.0 GiB'
                         % tiny_backbone)
    assert any(line.startswith('Done: ') for line in lines)
    assert sum(line.startswith('Computing on ') for line in lines) == 1


def test_memory_benchmark_refuses_wrong_flags_before_it_measures(monkeypatch):
    monkeypatch.setattr(training_memory, 'build_shapes', None)
    with pytest.raises(SystemExit) as ended:
        training_memory.main(['--batch', '2'])
    assert ended.value.code == 2


def test_memory_table_has_a_cheaper_neighbour_for_each_flag(tmp_path, monkeypatch, capsys):
    def measure(data, model_dir, flags):
        assert os.path.exists(os.path.join(data, 'dataset.json'))
        return 100.0 * int(flags[flags.index('--batch_size') + 1])
    path = str(tmp_path / 'table.json')
    training_memory.measure_table(str(tmp_path), measure, path)
    monkeypatch.setattr(failures, 'MEMORY_TABLE', path)
    text = failures.explain_no_memory(train_flags.parse(
        ['--batch_size', '4', '--output_stride', '8', '--resnet_model', 'resnet_v2_101']))
    assert '--batch_size 2 (measured: 0.50 of the memory)' in text
    assert text.count('measured: 1.00') == 3
    assert capsys.readouterr().out.count(': peak ') == 6


def test_the_committed_memory_table_is_of_the_settings_that_are_measured():
    with open(training_memory.TABLE_PATH) as table_file:
        rows = json.load(table_file)['rows']
    assert training_memory.TABLE_PATH == failures.MEMORY_TABLE
    settings = [{name: value for name, value in row.items() if name != 'peak_mib'} for row in rows]
    assert settings == [dict(training_memory.TABLE_BASE, **changes)
                        for changes in training_memory.TABLE_CHANGES]
    assert all(row['peak_mib'] > 500 for row in rows)


def test_build_benchmark_counts_images_bytes_and_memory(tmp_path):
    num_bytes = measuring.write_pairs(str(tmp_path), measuring.DIFFERENT + 2)
    # As large as VOC's: its images take some 80 kB, its masks some 3 kB.
    assert 50e3 < num_bytes / float(measuring.DIFFERENT + 2) < 150e3
    assert os.path.samefile(str(tmp_path / '00000.jpg'), str(tmp_path / '00016.jpg'))
    root = ROOT
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


def test_evaluation_benchmark_prints_the_median_share_of_a_forward_pass(tiny_backbone, capsys):
    evaluation_work.main(['--resnet_model', tiny_backbone, '--num_images', '3', '--num_pairs', '3'])
    printed = capsys.readouterr().out
    assert float(re.search(r'confusion matrix of 500x375: (.*) ms', printed).group(1)) > 0
    forward = float(re.search(r'513x513: (.*) s', printed).group(1))
    rows = re.findall(r'evaluation (.*) s an image, network alone (.*) s: (.*) % of', printed)
    shares = sorted(float(row[2]) for row in rows)
    assert float(re.search('median: (.*) % of', printed).group(1)) == shares[1]
    for whole, alone, share in rows:
        assert 100 * (float(whole) - float(alone)) / forward == pytest.approx(float(share), abs=2)
