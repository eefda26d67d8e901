"""What keeps a run whole: one process at a time, orderly stops, and logs that never run ahead."""
import contextlib
import errno
import fcntl
import json
import math
import os
import signal
import sys
import threading
import time

from common.errors import UserError
from runtime import tf

LOCK_NAME = '.lock'
METRICS_NAME = 'metrics.jsonl'
# In each entry of an evaluation.
VALIDATED_TAG = 'validation/loss'
# SIGHUP: the terminal, or the connection to it, was closed.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def locked(model_dir):
    """Holds a run directory for this process; the lock ends with the process, however it ends.

    Raises:
      UserError: another process trains there.
    """
    path = os.path.join(model_dir, LOCK_NAME)
    with open(path, 'a+') as lock_file:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock_file.seek(0)
            raise UserError('%s is in use: process %s trains there. Stop it, or give another '
                            '--model_dir.' % (model_dir, lock_file.read().strip() or '(unknown)'))
        lock_file.truncate(0)
        lock_file.write('%d\n' % os.getpid())
        lock_file.flush()
        yield


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
      can_go_on: bool, whether the same command would go on.
    """

    def __init__(self, time_limit_minutes=None):
        self.reason, self.can_go_on = None, True
        self._start = time.time()
        self._limit = time_limit_minutes and 60.0 * time_limit_minutes
        self._longest = {}

    def took(self, what, seconds):
        """Notes how long a step or a checkpoint took, so that the last ones fit into the time."""
        self._longest[what] = max(seconds, self._longest.get(what, 0.0))

    def is_unknown(self, what):
        """Whether there is a time limit, and `took` has not yet heard how long `what` takes."""
        return self._limit is not None and what not in self._longest

    def is_due(self):
        """Whether to save and leave now. Returns bool."""
        if self.reason is None and self._limit is not None:
            needed = sum(self._longest.values())
            if time.time() - self._start + needed >= self._limit:
                self.reason = 'the time limit of %g minutes' % (self._limit / 60.0)
        return self.reason is not None

    def _on_signal(self, number, _):
        self.reason = self.reason or signal.Signals(number).name

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


class RunLog:
    """TensorBoard summaries and metrics.jsonl of a run, without steps that were not kept.

    A run that was killed has logged steps behind its last checkpoint. When it goes
    on, TensorBoard is told to forget them, and metrics.jsonl is cut.

    Args:
      model_dir: str, an existing folder.
      start_step: int, the step the run goes on from.
      is_validated: bool, whether that step's evaluation was finished; if not, what it
        logged is forgotten too.
    """

    def __init__(self, model_dir, start_step, is_validated=True):
        self.path = os.path.join(model_dir, METRICS_NAME)
        entries = read_metrics(model_dir)
        kept = [entry for entry in entries if entry['step'] < start_step
                or entry['step'] == start_step and (is_validated or VALIDATED_TAG not in entry)]
        again = [] if is_validated else [entry for entry in kept if entry['step'] == start_step]
        temporary = self.path + '.tmp'
        with open(temporary, 'w') as f:
            f.writelines(json.dumps(entry, sort_keys=True) + '\n' for entry in kept)
        os.replace(temporary, self.path)
        self._file = open(self.path, 'a')
        self._writer = tf.summary.FileWriter(model_dir)
        # TensorBoard drops what earlier files hold from this step on.
        self._writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START),
                                     start_step + is_validated)
        for entry in again:
            self._add_to_tensorboard(start_step, {
                tag: math.nan if value is None else value
                for tag, value in entry.items() if tag != 'step'})
        self._writer.flush()

    def add(self, step, scalars, summary=None):
        """Writes scalars to both, and a serialized summary to TensorBoard.

        Args:
          step: int.
          scalars: dict from tag to float.
          summary: None, or bytes of a `tf.Summary` without these scalars.
        """
        if summary is not None:
            self._writer.add_summary(summary, step)
        self._add_to_tensorboard(step, scalars)
        # JSON has no NaN.
        finite = {tag: value if math.isfinite(value) else None for tag, value in scalars.items()}
        self._file.write(json.dumps(dict(finite, step=step), sort_keys=True) + '\n')
        # A kill takes no number along that a checkpoint behind it will not repeat.
        self._file.flush()
        self._writer.flush()

    def _add_to_tensorboard(self, step, scalars):
        self._writer.add_summary(tf.Summary(value=[
            tf.Summary.Value(tag=tag, simple_value=value)
            for tag, value in sorted(scalars.items())]), step)

    def add_image(self, step, tag, png, height, width):
        """Writes an encoded PNG to TensorBoard; it is there for sure after the next `add`."""
        image = tf.Summary.Image(height=height, width=width, colorspace=3,
                                 encoded_image_string=png)
        self._writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag=tag, image=image)]), step)

    def close(self):
        """Writes out what is buffered."""
        self._writer.close()
        self._file.close()


def read_metrics(model_dir):
    """Reads metrics.jsonl; a last line that was cut off by a kill is left out.

    Args:
      model_dir: str.

    Returns:
      List of dicts, each with `step`; empty where there is no file.

    Raises:
      UserError: another line is not what a run writes.
    """
    path = os.path.join(model_dir, METRICS_NAME)
    entries = []
    if os.path.exists(path):
        with open(path, errors='replace') as f:
            for number, line in enumerate(f, 1):
                if not line.endswith('\n'):
                    break
                try:
                    entries.append(json.loads(line))
                    entries[-1]['step'] + 0
                except (ValueError, TypeError, KeyError):
                    raise UserError('%s: line %d is no JSON object with a step (%.60r). Take the '
                                    'line out, or the file away: a run goes on without it.'
                                    % (path, number, line.strip()))
    return entries
