"""runs.py: one process at a time, orderly stops, logs that never run ahead."""
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tensorboard.backend.event_processing import event_accumulator

from common.errors import UserError
from experiment import run_log
from tests.helpers import ROOT


def test_second_process_is_refused_naming_the_first(tmp_path):
    with run_log.locked(str(tmp_path)):
        for _ in range(2):
            with pytest.raises(UserError, match='is in use: process %d trains' % os.getpid()):
                with run_log.locked(str(tmp_path)):
                    pass
    with run_log.locked(str(tmp_path)):
        pass


def test_lock_of_a_killed_process_is_free(tmp_path):
    code = ('import sys, time; sys.path.insert(0, %r); from experiment import run_log\n'
            'with run_log.locked(%r):\n    print("held", flush=True); time.sleep(60)'
            % (ROOT, str(tmp_path)))
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'held\n'
    with pytest.raises(UserError, match='process %d' % process.pid):
        with run_log.locked(str(tmp_path)):
            pass
    process.kill()
    process.wait()
    with run_log.locked(str(tmp_path)):
        pass


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_asks_for_a_stop_and_is_named(number):
    def handler(*_):
        pass
    stop = run_log.StopRequest()
    before = signal.signal(number, handler)  # the tests may run under nohup
    try:
        with stop.on_signals():
            assert not stop.is_due()
            os.kill(os.getpid(), number)
            assert stop.is_due() and stop.reason == signal.Signals(number).name
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)


def test_hangup_stays_ignored_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with run_log.StopRequest().on_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.is_due()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize('stream', ['stdout', 'stderr'])
def test_output_whose_reader_is_gone_is_dropped_without_an_error(stream):
    code = ('import sys; sys.path.insert(0, %r); from experiment import run_log\n'
            'sys.stdin.readline()\n'
            'with run_log.lasting_output():\n'
            '    for _ in range(3): print("x" * 10 ** 5, file=sys.%s, flush=True)\n'
            % (ROOT, stream))
    process = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE,
                               **{stream: subprocess.PIPE})
    getattr(process, stream).close()
    process.stdin.write(b'go\n')
    process.stdin.close()
    assert process.wait() == 0


def test_output_on_a_full_disk_is_dropped_and_the_stream_kept():
    code = ('import sys; sys.path.insert(0, %r); from experiment import run_log\n'
            'with run_log.lasting_output(), open("/dev/full", "w") as full:\n'
            '    stream = run_log._LastingStream(full)\n'
            '    print("x", file=stream, flush=True)\n'
            '    print(full.fileno() == stream.fileno())\n'
            '    import os; os._exit(0)' % ROOT)
    assert subprocess.run([sys.executable, '-u', '-c', code],
                          stdout=subprocess.PIPE).stdout == b'True\n'


def test_second_interrupt_ends_the_process_at_once():
    code = ('import os, signal, sys, time; sys.path.insert(0, %r); from experiment import run_log\n'
            'with run_log.StopRequest().on_signals():\n'
            '    for _ in range(2): os.kill(os.getpid(), signal.SIGINT)\n'
            '    time.sleep(1)\n    print("still here")' % ROOT)
    process = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE)
    assert process.returncode == 130 and b'still here' not in process.stdout


def test_second_interrupt_ends_a_process_that_is_within_a_long_step():
    code = ('import hashlib, sys; sys.path.insert(0, %r); from experiment import run_log\n'
            'with run_log.StopRequest().on_signals():\n'
            '    print("step", flush=True)\n'
            '    hashlib.pbkdf2_hmac("sha512", b"", b"", 3 * 10 ** 7)  # some 20 s, as one call'
            % ROOT)
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b'step\n'
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)  # Python's own handler would run once for both, after the step.
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stdout.read().startswith(b'\nSIGINT: saving, then leaving')
    finally:
        process.kill()


def test_time_limit_leaves_room_for_the_longest_step_and_checkpoint(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(run_log.time, 'time', lambda: now[0])
    stop = run_log.StopRequest(time_limit_minutes=1)
    for seconds in (3, 8, 2):
        stop.took('step', seconds)
    stop.took('save', 12)
    now[0] = 1039.9
    assert not stop.is_due()
    now[0] = 1040.0
    assert stop.is_due() and stop.reason == 'the time limit of 1 minutes'


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
