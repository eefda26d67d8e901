"""Runs a function on many tasks in processes of its own, and stops them at once when told to.

Unlike the standard library's pools, these processes end with their parent, however
it ends, and one that is killed (the kernel does so when memory runs out) is an
error instead of a wait without end.
"""
import collections
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal

from common.errors import UserError

_PROGRESS, _RESULT, _ERROR = 'progress', 'result', 'error'


class WorkerDiedError(UserError):
    """A process that ended before its task.

    Attributes:
      task: the task.
      done: int, the sum of what the function had reported of it.
      status: int, the exit status; the negative number of a signal.
    """

    def __init__(self, task, done, status):
        super().__init__('A process died with exit status %s.' % status)
        self.task, self.done, self.status = task, done, status


def default_number():
    """Returns how many processes keep this machine busy: its cores, as far as they are ours."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(function, tasks, num_workers, on_progress, on_result, isolated=False):
    """Calls `function(task, report)` for each task and hands on what it returns.

    The processes are spawned, not forked: this one may hold TensorFlow's threads.
    Functions and tasks must therefore be picklable, and a script that gets here
    needs the usual `if __name__ == '__main__'`.

    Args:
      function: a function of a module; it may call `report(amount)` while it works.
      tasks: list.
      num_workers: int, the largest number of processes; 1 runs all in this one.
      on_progress: called here with each amount reported.
      on_result: called here with each result, in the order they come in.
      isolated: bool, whether nothing may run in this process.

    Raises:
      WorkerDiedError: a process died.
      Exception: what `function` raised, as soon as it is known.
    """
    num_workers = min(num_workers, len(tasks))
    if num_workers <= 1 and not isolated:
        for task in tasks:
            on_result(function(task, on_progress))
        return
    processes = {}
    try:
        _start(function, num_workers, processes)
        _share_out(tasks, processes, on_progress, on_result)
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.join()


def _start(function, num_workers, processes):
    """Starts processes; enters them in `processes`, a dict from connection to process."""
    context = multiprocessing.get_context('spawn')
    with _interrupts_held_back():
        for _ in range(num_workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, function), daemon=True)
            process.start()
            # With the last copy of the other end gone, a dead process is end of file.
            theirs.close()
            processes[ours] = process


@contextlib.contextmanager
def _interrupts_held_back():
    """Defers Ctrl-C; processes started meanwhile never get it, so this one alone speaks of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _share_out(tasks, processes, on_progress, on_result):
    """Gives each process a task, and another when it is done, until none is left."""
    left, busy, done = list(reversed(tasks)), {}, collections.Counter()
    for connection in processes:
        busy[connection] = left.pop()
        connection.send(busy[connection])
    while busy:
        for connection in multiprocessing.connection.wait(list(busy)):
            try:
                kind, value = connection.recv()
            except (EOFError, ConnectionResetError):
                processes[connection].join()
                raise WorkerDiedError(busy[connection], done[connection],
                                      processes[connection].exitcode)
            if kind == _PROGRESS:
                done[connection] += value
                on_progress(value)
            elif kind == _ERROR:
                raise value
            else:
                on_result(value)
                del busy[connection], done[connection]
                if left:
                    busy[connection] = left.pop()
                    connection.send(busy[connection])


def _serve(connection, function):
    """What a process does: takes tasks until its parent hangs up or is gone."""
    def report(amount):
        connection.send((_PROGRESS, amount))

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task = connection.recv()
            try:
                answer = (_RESULT, function(task, report))
            except (BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                answer = (_ERROR, _picklable(error))
            connection.send(answer)


def _picklable(error):
    try:
        pickle.loads(pickle.dumps(error))
    # What pickling raises depends on the error's class; its name and text always pass.
    except Exception:
        return RuntimeError('%s: %s' % (type(error).__name__, error))
    return error
