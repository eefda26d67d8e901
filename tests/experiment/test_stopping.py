"""stopping.py: signals, time limits, and output whose reader goes away."""
import os
import signal
import subprocess
import sys
import time

import pytest

from experiment import stopping
from tests.helpers import ROOT


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_asks_for_a_stop_and_is_named(number):
    def handler(*_):
        pass
    stop = stopping.StopRequest()
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
        with stopping.StopRequest().on_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.is_due()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize('stream', ['stdout', 'stderr'])
def test_output_whose_reader_is_gone_is_dropped_without_an_error(stream):
    code = ('import sys; sys.path.insert(0, %r); from experiment import stopping\n'
            'sys.stdin.readline()\n'
            'with stopping.lasting_output():\n'
            '    for _ in range(3): print("x" * 10 ** 5, file=sys.%s, flush=True)\n'
            % (ROOT, stream))
    process = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE,
                               **{stream: subprocess.PIPE})
    getattr(process, stream).close()
    process.stdin.write(b'go\n')
    process.stdin.close()
    assert process.wait() == 0


def test_output_on_a_full_disk_is_dropped_and_the_stream_kept():
    code = ('import sys; sys.path.insert(0, %r); from experiment import stopping\n'
            'with stopping.lasting_output(), open("/dev/full", "w") as full:\n'
            '    stream = stopping._LastingStream(full)\n'
            '    print("x", file=stream, flush=True)\n'
            '    print(full.fileno() == stream.fileno())\n'
            '    import os; os._exit(0)' % ROOT)
    assert subprocess.run([sys.executable, '-u', '-c', code],
                          stdout=subprocess.PIPE).stdout == b'True\n'


def test_second_interrupt_ends_the_process_at_once():
    code = ('import os, signal, sys, time; sys.path.insert(0, %r)\n'
            'from experiment import stopping\n'
            'with stopping.StopRequest().on_signals():\n'
            '    for _ in range(2): os.kill(os.getpid(), signal.SIGINT)\n'
            '    time.sleep(1)\n    print("still here")' % ROOT)
    process = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE)
    assert process.returncode == 130 and b'still here' not in process.stdout


def test_second_interrupt_ends_a_process_that_is_within_a_long_step():
    code = ('import hashlib, sys; sys.path.insert(0, %r); from experiment import stopping\n'
            'with stopping.StopRequest().on_signals():\n'
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
    monkeypatch.setattr(stopping.time, 'time', lambda: now[0])
    stop = stopping.StopRequest(time_limit_minutes=1)
    for seconds in (3, 8, 2):
        stop.took('step', seconds)
    stop.took('save', 12)
    now[0] = 1039.9
    assert not stop.is_due()
    now[0] = 1040.0
    assert stop.is_due() and stop.reason == 'the time limit of 1 minutes'
    assert stop.status == 75


@pytest.mark.parametrize('name, status', [('SIGHUP', 129), ('SIGINT', 130), ('SIGTERM', 143)])
def test_the_first_signal_decides_the_exit_status(name, status):
    stop = stopping.StopRequest()
    assert (stop.reason, stop.status) == (None, 0)
    with stop.on_signals():
        os.kill(os.getpid(), getattr(signal, name))
    assert (stop.reason, stop.status) == (name, status)
    stop.ask('SIGTERM', 143)
    assert (stop.reason, stop.status) == (name, status)
