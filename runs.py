"""What keeps a run whole: one process at a time, orderly stops, and logs that never run ahead."""
import contextlib
import fcntl
import json
import math
import os
import signal
import time

from runtime import tf

LOCK_NAME = '.lock'
METRICS_NAME = 'metrics.jsonl'


@contextlib.contextmanager
def locked(model_dir):
    """Holds a run directory for this process; the lock ends with the process, however it ends.

    Raises:
      SystemExit: another process trains there.
    """
    path = os.path.join(model_dir, LOCK_NAME)
    with open(path, 'a+') as lock_file:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock_file.seek(0)
            raise SystemExit('%s is in use: process %s trains there. Stop it, or give another '
                             '--model_dir.' % (model_dir, lock_file.read().strip() or '(unknown)'))
        lock_file.truncate(0)
        lock_file.write('%d\n' % os.getpid())
        lock_file.flush()
        yield


class StopRequest:
    """Remembers that the run shall end: a signal came, or its time is nearly over.

    Attributes:
      reason: None, or str.
    """

    def __init__(self, time_limit_minutes=None):
        self.reason = None
        self._start = time.time()
        self._limit = time_limit_minutes and 60.0 * time_limit_minutes
        self._longest = {}

    def took(self, what, seconds):
        """Notes how long a step or a checkpoint took, so that the last ones fit into the time."""
        self._longest[what] = max(seconds, self._longest.get(what, 0.0))

    def is_due(self):
        """Whether to save and leave now. Returns bool."""
        if self.reason is None and self._limit is not None:
            needed = sum(self._longest.values())
            if time.time() - self._start + needed >= self._limit:
                self.reason = 'the time limit of %g minutes' % (self._limit / 60.0)
        return self.reason is not None

    def _on_signal(self, number, _):
        if self.reason is not None and number == signal.SIGINT:
            # The second Ctrl-C: at once. What was saved is whole.
            os._exit(130)
        self.reason = signal.Signals(number).name
        print('\n%s: saving, then leaving. (Ctrl-C once more: at once.)' % self.reason, flush=True)

    @contextlib.contextmanager
    def on_signals(self):
        """Within it SIGTERM and Ctrl-C ask for an orderly stop instead of ending the process."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(number, self._on_signal) for number in numbers]
        try:
            yield self
        finally:
            for number, handler in zip(numbers, before):
                signal.signal(number, handler)


class RunLog:
    """TensorBoard summaries and metrics.jsonl of a run, without steps that were not kept.

    A run that was killed has logged steps behind its last checkpoint. When it goes
    on, TensorBoard is told to forget them, and metrics.jsonl is cut.

    Args:
      model_dir: str, an existing folder.
      start_step: int, the step the run goes on from.
    """

    def __init__(self, model_dir, start_step):
        self.path = os.path.join(model_dir, METRICS_NAME)
        entries = read_metrics(model_dir)
        kept = [entry for entry in entries if entry['step'] <= start_step]
        temporary = self.path + '.tmp'
        with open(temporary, 'w') as f:
            f.writelines(json.dumps(entry, sort_keys=True) + '\n' for entry in kept)
        os.replace(temporary, self.path)
        self._file = open(self.path, 'a')
        self._writer = tf.summary.FileWriter(model_dir)
        # TensorBoard drops what earlier files hold from this step on.
        self._writer.add_session_log(
            tf.SessionLog(status=tf.SessionLog.START), start_step + 1)

    def add(self, step, scalars, summary=None):
        """Writes scalars to both, and a serialized summary to TensorBoard.

        Args:
          step: int.
          scalars: dict from tag to float.
          summary: None, or bytes of a `tf.Summary` without these scalars.
        """
        if summary is not None:
            self._writer.add_summary(summary, step)
        self._writer.add_summary(tf.Summary(value=[
            tf.Summary.Value(tag=tag, simple_value=value)
            for tag, value in sorted(scalars.items())]), step)
        # JSON has no NaN.
        finite = {tag: value if math.isfinite(value) else None for tag, value in scalars.items()}
        self._file.write(json.dumps(dict(finite, step=step), sort_keys=True) + '\n')
        self._file.flush()

    def add_image(self, step, tag, png, height, width):
        """Writes an encoded PNG to TensorBoard."""
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
    """
    path = os.path.join(model_dir, METRICS_NAME)
    entries = []
    if os.path.exists(path):
        with open(path) as f:
            for line in f:
                if not line.endswith('\n'):
                    break
                entries.append(json.loads(line))
    return entries
