"""run_log.py: logs that never run ahead of the checkpoints."""
import json
import os
import signal
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing import event_accumulator

from experiment import run_log
from tests.helpers import ROOT


def test_metrics_hold_every_number_and_null_for_what_is_none(tmp_path):
    log = run_log.RunLog(str(tmp_path), 0)
    log.add(1, {'loss': 0.5})
    log.add(2, {'loss': 0.25, 'iou': float('nan')})
    log.close()
    with open(str(tmp_path / run_log.METRICS_NAME)) as f:
        assert list(map(json.loads, f)) == [{'step': 1, 'loss': 0.5},
                                            {'step': 2, 'loss': 0.25, 'iou': None}]


def test_metrics_behind_the_step_a_run_goes_on_from_are_cut(tmp_path):
    log = run_log.RunLog(str(tmp_path), 0)
    for step in range(1, 6):
        log.add(step, {'loss': 1.0 / step})
    log.close()
    with open(str(tmp_path / run_log.METRICS_NAME), 'a') as f:
        f.write('{"step": 6, "lo')  # killed while writing
    run_log.RunLog(str(tmp_path), 3).close()
    assert [entry['step'] for entry in run_log.read_metrics(str(tmp_path))] == [1, 2, 3]
    assert sorted(name for name in os.listdir(str(tmp_path)) if 'tmp' in name) == []


@pytest.mark.parametrize('is_validated', [True, False])
def test_metrics_of_an_evaluation_that_was_not_finished_are_cut(tmp_path, is_validated):
    log = run_log.RunLog(str(tmp_path), 0)
    for step in (1, 2):
        log.add(step, {'loss/total': 1.0})
        log.add(step, {'validation/loss': 2.0})
    log.close()
    run_log.RunLog(str(tmp_path), 2, is_validated).close()
    assert [('validation/loss' in entry, entry['step'])
            for entry in run_log.read_metrics(str(tmp_path))] \
        == [(False, 1), (True, 1), (False, 2), (True, 2)][:4 if is_validated else 3]


@pytest.mark.parametrize('line', ['{"step": 1}{"step": 2}', '\0\0\0', '[1]', '{"loss": 1}', 'null'])
def test_a_damaged_line_of_the_metrics_is_named_with_the_way_out(tmp_path, line):
    path = tmp_path / run_log.METRICS_NAME
    path.write_text('{"step": 1}\n%s\n{"step": 3}\n' % line)
    with pytest.raises(ValueError, match='metrics.jsonl: line 2 .*Take the line out') as error:
        run_log.read_metrics(str(tmp_path))
    assert str(path) in str(error.value)


def test_a_kill_takes_no_logged_step_along(tmp_path):
    code = ('import os, signal, sys; sys.path.insert(0, %r); from experiment import run_log\n'
            'log = run_log.RunLog(%r, 0)\n'
            'for step in (1, 2, 3): log.add(step, {"loss": 1.0})\n'
            'os.kill(os.getpid(), signal.SIGKILL)' % (ROOT, str(tmp_path)))
    assert subprocess.run([sys.executable, '-c', code]).returncode == -signal.SIGKILL
    events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert [scalar.step for scalar in events.Scalars('loss')] == [1, 2, 3]
    assert [entry['step'] for entry in run_log.read_metrics(str(tmp_path))] == [1, 2, 3]


def test_no_step_goes_backwards_in_tensorboard(tmp_path, monkeypatch):
    names = iter('abc')
    real = run_log.tf.summary.FileWriter
    # Files of one second would have one name.
    monkeypatch.setattr(run_log.tf.summary, 'FileWriter', lambda folder: real(
        folder, filename_suffix='.' + next(names)))
    for start, end in ((0, 5), (3, 7), (6, 9)):
        log = run_log.RunLog(str(tmp_path), start)
        for step in range(start + 1, end + 1):
            log.add(step, {'loss': 10.0 * start + step})
        log.close()
    events = event_accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    scalars = events.Scalars('loss')
    assert [scalar.step for scalar in scalars] == list(range(1, 10))
    assert [scalar.value for scalar in scalars] == [1, 2, 3, 34, 35, 36, 67, 68, 69]


def test_tags_of_classes_reach_tensorboard_whatever_their_names(tmp_path):
    names = ['_background_', '$x$', '猫', '<b>', 'x' * 255, 'two\nlines', '\ud800']
    log = run_log.RunLog(str(tmp_path), 0)
    log.add(1, {run_log.iou_tag(name): 0.5 for name in names})
    log.close()
    events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    expected = {'validation_iou/' + name for name in names[:5] + ['two\\nlines', '\\ud800']}
    assert set(events.Tags()['scalars']) == expected
    assert set(run_log.read_metrics(str(tmp_path))[0]) == expected | {'step'}
