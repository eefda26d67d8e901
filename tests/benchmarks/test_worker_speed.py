"""The benchmark of two processes compares what it says."""
import pytest

from benchmarks import worker_speed
from common.errors import UserError


def test_the_medians_are_of_two_over_one_and_of_two_with_and_without_sums(monkeypatch, capsys):
    started, speeds = [], iter([2.0, 3.0, 4.0] * 2 + [1.0, 4.0, 5.0])

    def measured_speeds(folder, jobs):
        started.append(jobs)
        return next(speeds)
    monkeypatch.setattr(worker_speed, 'measured_speeds', measured_speeds)
    assert worker_speed.measure('data', 3, ['--batch_size', '4'], 4) == (1.5, 0.25)
    assert capsys.readouterr().out.endswith(
        'two processes 1.50 times as fast as one; sums and waiting 25.0% of the step\n')
    [alone], [together], apart = started[:3]
    assert together == ['runtime/launch.py', '--workers', '2', '--'] + alone
    assert apart == [alone + ['--batch_size', '2']] * 2 and '--num_threads 1' in ' '.join(alone)


def test_speeds_are_those_that_the_runs_log_and_a_failing_run_is_named(tmp_path):
    (tmp_path / 'job.py').write_text(
        'import json, os, sys\nos.makedirs(sys.argv[3])\n'
        'with open(sys.argv[3] + "/metrics.jsonl", "w") as f:\n'
        '    f.write(json.dumps({"step": 22, "speed/images_per_second": float(sys.argv[1])}))\n'
        '    f.write("\\n" + json.dumps({"step": 22, "validation/loss": 1.0}) + "\\n")\n')
    job = str(tmp_path / 'job.py')
    assert worker_speed.measured_speeds(str(tmp_path / 'runs'), [[job, '2'], [job, '3']]) == 5
    with pytest.raises(UserError, match='job.py x --model_dir .* failed with status 1'):
        worker_speed.measured_speeds(str(tmp_path / 'others'), [[job, 'x']])
