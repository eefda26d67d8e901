"""Times steps of several processes in turn, so that noise of the machine meets all alike.

Standard library only: the processes are of different environments.
"""
import contextlib
import json
import resource
import subprocess
import sys
import time
from collections import namedtuple

# seconds: list of float, one for each round. about: dict, what the process said of itself.
# peak_mib: float, its largest resident size, without that of processes that it starts.
Timed = namedtuple('Timed', ['seconds', 'about', 'peak_mib'])

WARM_UP_STEPS = 2


def serve(step, about):
    """Runs `step` once for each line on standard input and prints its seconds, at the end its peak.

    Args:
      step: function without arguments.
      about: dict for JSON, printed once `step` is warm.
    """
    for _ in range(WARM_UP_STEPS):
        step()
    print(json.dumps(about), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(json.dumps(time.perf_counter() - start), flush=True)
    # Asked by itself: its parent would be told the largest of it and of its compilers.
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                     / (2 ** 20 if sys.platform == 'darwin' else 1024)), flush=True)


class _Process:
    def __init__(self, command, log):
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=log, universal_newlines=True)
        self.about = self._answer()

    def _answer(self):
        """The next line of JSON; libraries print others. Raises EOFError if the process ended."""
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                return json.loads(line)
        status = self._process.wait()
        raise EOFError('it was killed by signal %d%s' % (
            -status, ', as where memory runs out' if status == -9 else '')
            if status < 0 else 'it ended with status %d' % status)

    def step(self):
        with contextlib.suppress(BrokenPipeError):  # the answer says why
            self._process.stdin.write('\n')
            self._process.stdin.flush()
        return self._answer()

    def close(self):
        """Ends the process. Returns its peak resident size in MiB."""
        self._process.stdin.close()
        peak_mib = self._answer()
        self._process.wait()
        return peak_mib


def take_turns(commands, num_rounds, log_path):
    """Starts all commands, runs a step of each in turn, and so on.

    Args:
      commands: dict from name to list of str, a program that calls `serve`.
      num_rounds: int.
      log_path: str, of a file for what they print on standard error.

    Returns:
      Dict from name to `Timed`, and dict from each name that is missing there to str, why.
    """
    timed, failed, alive = {}, {}, {}

    def leave_out(name, error):
        print('%s: %s; see %s' % (name, error, log_path), flush=True)
        failed[name] = str(error)
        alive.pop(name, None)
        timed.pop(name, None)
    with open(log_path, 'a') as log:
        for name, command in commands.items():
            try:
                alive[name] = _Process(command, log)
                timed[name] = []
            except (EOFError, OSError) as error:
                leave_out(name, error)
        for _ in range(num_rounds):
            for name, process in list(alive.items()):
                try:
                    timed[name].append(process.step())
                except EOFError as error:
                    leave_out(name, error)
        return {name: Timed(timed[name], process.about, process.close())
                for name, process in alive.items()}, failed
