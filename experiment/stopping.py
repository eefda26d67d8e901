"""Orderly stops: signals, time limits, and output whose reader goes away. No TensorFlow."""
import contextlib
import errno
import os
import signal
import sys
import threading
import time

# SIGHUP: the terminal, or the connection to it, was closed.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# EX_TEMPFAIL of sysexits.h: what failed for now, and may be tried again.
TIME_LIMIT_STATUS = 75


class _LastingStream:
    """Standard output or error whose other end may go away: what is written then is dropped."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def _tolerate(self, write, *args):
        try:
            return write(*args)
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.EIO):
                # What is buffered, and all that follows, goes nowhere without a complaint.
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)

    def write(self, text):
        return self._tolerate(self._stream.write, text)

    def flush(self):
        return self._tolerate(self._stream.flush)


@contextlib.contextmanager
def lasting_output():
    """Within it a closed terminal, a pipe whose reader ended, or a full disk end no run.

    Ctrl-C in `train.py | tee log` ends tee first; the checkpoint is still to be saved.
    """
    with contextlib.redirect_stdout(_LastingStream(sys.stdout)), \
            contextlib.redirect_stderr(_LastingStream(sys.stderr)):
        yield


class StopRequest:
    """Remembers that the run shall end: a signal came, or its time is nearly over.

    Attributes:
      reason: None, or str.
      status: int, the exit status that says so: 128 and the signal's number, as shells have it,
        `TIME_LIMIT_STATUS`, or 0 where nothing is left to do.
      can_go_on: bool, whether the same command would go on.
    """

    def __init__(self, time_limit_minutes=None):
        self.reason, self.status, self.can_go_on = None, 0, True
        self._start = time.time()
        self._limit = time_limit_minutes and 60.0 * time_limit_minutes
        self._longest = {}

    @contextlib.contextmanager
    def timed(self, what):
        """Notes how long a step or a checkpoint takes, so that the last ones fit into the time."""
        start = time.time()
        yield
        self.took(what, time.time() - start)

    def took(self, what, seconds):
        """Notes that `what` took so many seconds; see `timed`."""
        self._longest[what] = max(seconds, self._longest.get(what, 0.0))

    def is_unknown(self, what):
        """Whether there is a time limit, and `took` has not yet heard how long `what` takes."""
        return self._limit is not None and what not in self._longest

    def ask(self, reason, status):
        """Asks the run to end; what it was asked first stays."""
        if self.reason is None:
            self.reason, self.status = reason, status

    def describe(self):
        """Says why the run ended, and whether the same command goes on. Returns str."""
        return self.reason + ('. The same command goes on from there.' if self.can_go_on else '.')

    def seconds(self):
        """Returns how long ago this was made, a float: the time of the run so far."""
        return time.time() - self._start

    def is_due(self):
        """Whether to save and leave now. Returns bool."""
        if self.reason is None and self._limit is not None:
            needed = sum(self._longest.values())
            if time.time() - self._start + needed >= self._limit:
                self.ask('the time limit of %g minutes' % (self._limit / 60.0),
                         TIME_LIMIT_STATUS)
        return self.reason is not None

    def _on_signal(self, number, _):
        self.ask(signal.Signals(number).name, 128 + number)

    def _watch(self, signals):
        """Says at once that a signal came, and ends the process with the second Ctrl-C.

        Python runs `_on_signal` between two steps only, and once for both of two signals
        that come within one. This thread reads them from a pipe as they come.

        Args:
          signals: int, a file descriptor, of one byte for each signal.
        """
        is_asked = False
        while True:
            number = os.read(signals, 1)
            if not number:
                return
            number = signal.Signals(number[0])
            if is_asked and number == signal.SIGINT:
                # What was saved is whole.
                os._exit(130)
            if number in STOP_SIGNALS:
                is_asked = True
                print('\n%s: saving, then leaving. (Ctrl-C once more: at once.)' % number.name,
                      flush=True)

    @contextlib.contextmanager
    def on_signals(self):
        """Within it `STOP_SIGNALS` ask for an orderly stop instead of ending the process.

        SIGHUP stays ignored where it is, as under nohup.
        """
        before = {number: signal.signal(number, self._on_signal) for number in STOP_SIGNALS
                  if (number, signal.getsignal(number)) != (signal.SIGHUP, signal.SIG_IGN)}
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        descriptor_before = signal.set_wakeup_fd(write_end)
        watcher = threading.Thread(target=self._watch, args=(read_end,), daemon=True)
        watcher.start()
        try:
            yield self
        finally:
            signal.set_wakeup_fd(descriptor_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(write_end)
            watcher.join()
            os.close(read_end)
