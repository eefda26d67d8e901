"""runs.py: one process at a time, orderly stops, logs that never run ahead."""
import json
import os
import signal
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing import event_accumulator

import runs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def test_second_process_is_refused_naming_the_first(tmp_path):
    with runs.locked(str(tmp_path)):
        for _ in range(2):
            with pytest.raises(SystemExit, match='is in use: process %d trains' % os.getpid()):
                with runs.locked(str(tmp_path)):
                    pass
    with runs.locked(str(tmp_path)):
        pass


def test_lock_of_a_killed_process_is_free(tmp_path):
    code = ('import sys, time; sys.path.insert(0, %r); import runs\n'
            'with runs.locked(%r):\n    print("held", flush=True); time.sleep(60)'
            % (ROOT, str(tmp_path)))
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'held\n'
    with pytest.raises(SystemExit, match='process %d' % process.pid):
        with runs.locked(str(tmp_path)):
            pass
    process.kill()
    process.wait()
    with runs.locked(str(tmp_path)):
        pass


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_signal_asks_for_a_stop_and_is_named(number):
    stop = runs.StopRequest()
    before = signal.getsignal(number)
    with stop.on_signals():
        assert not stop.is_due()
        os.kill(os.getpid(), number)
        assert stop.is_due() and stop.reason == signal.Signals(number).name
    assert signal.getsignal(number) is before


def test_second_interrupt_ends_the_process_at_once():
    code = ('import os, signal, sys, time; sys.path.insert(0, %r); import runs\n'
            'with runs.StopRequest().on_signals():\n'
            '    for _ in range(2): os.kill(os.getpid(), signal.SIGINT)\n'
            '    time.sleep(1)\n    print("still here")' % ROOT)
    process = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE)
    assert process.returncode == 130 and b'still here' not in process.stdout


def test_time_limit_leaves_room_for_the_longest_step_and_checkpoint(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(runs.time, 'time', lambda: now[0])
    stop = runs.StopRequest(time_limit_minutes=1)
    for seconds in (3, 8, 2):
        stop.took('step', seconds)
    stop.took('save', 12)
    now[0] = 1039.9
    assert not stop.is_due()
    now[0] = 1040.0
    assert stop.is_due() and stop.reason == 'the time limit of 1 minutes'


def test_metrics_hold_every_number_and_null_for_what_is_none(tmp_path):
    log = runs.RunLog(str(tmp_path), 0)
    log.add(1, {'loss': 0.5})
    log.add(2, {'loss': 0.25, 'iou': float('nan')})
    log.close()
    with open(str(tmp_path / runs.METRICS_NAME)) as f:
        assert list(map(json.loads, f)) == [{'step': 1, 'loss': 0.5},
                                            {'step': 2, 'loss': 0.25, 'iou': None}]


def test_metrics_behind_the_step_a_run_goes_on_from_are_cut(tmp_path):
    log = runs.RunLog(str(tmp_path), 0)
    for step in range(1, 6):
        log.add(step, {'loss': 1.0 / step})
    log.close()
    with open(str(tmp_path / runs.METRICS_NAME), 'a') as f:
        f.write('{"step": 6, "lo')  # killed while writing
    runs.RunLog(str(tmp_path), 3).close()
    assert [entry['step'] for entry in runs.read_metrics(str(tmp_path))] == [1, 2, 3]
    assert sorted(name for name in os.listdir(str(tmp_path)) if 'tmp' in name) == []


def test_no_step_goes_backwards_in_tensorboard(tmp_path, monkeypatch):
    names = iter('abc')
    real = runs.tf.summary.FileWriter
    # Files of one second would have one name.
    monkeypatch.setattr(runs.tf.summary, 'FileWriter', lambda folder: real(
        folder, filename_suffix='.' + next(names)))
    for start, end in ((0, 5), (3, 7), (6, 9)):
        log = runs.RunLog(str(tmp_path), start)
        for step in range(start + 1, end + 1):
            log.add(step, {'loss': 10.0 * start + step})
        log.close()
    events = event_accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    scalars = events.Scalars('loss')
    assert [scalar.step for scalar in scalars] == list(range(1, 10))
    assert [scalar.value for scalar in scalars] == [1, 2, 3, 34, 35, 36, 67, 68, 69]
