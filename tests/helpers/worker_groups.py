"""Starts several processes that the tests have work together, on loopback."""
import contextlib
import json
import os
import subprocess
import sys
import time

from runtime import channel, workers
from tests.helpers import ROOT

JOB = os.path.join(ROOT, 'tests', 'helpers', 'worker_job.py')


def write_job(path, name, *arguments, **options):
    """Writes what `worker_job` is to do; returns the path."""
    plain = [argument if isinstance(argument, (int, float, list, dict)) else str(argument)
             for argument in arguments]
    with open(str(path), 'w') as job_file:
        json.dump([name, plain, options], job_file)
    return str(path)


@contextlib.contextmanager
def started(jobs, addresses=None, configs=None):
    """Starts a process for each job file; kills what is left at the end.

    Args:
      jobs: list of str.
      addresses: list of 'host:port', free ones by default.
      configs: dict from rank to TF_CONFIG, of those who have another one.

    Yields:
      List of `subprocess.Popen`.
    """
    addresses = addresses or ['127.0.0.1:%d' % port for port in channel.free_ports(len(jobs))]
    processes = []
    # TensorFlow's log as users have it, not as this process does.
    environment = {name: value for name, value in os.environ.items()
                   if name != 'TF_CPP_MIN_LOG_LEVEL'}
    try:
        for rank, job in enumerate(jobs):
            config = (configs or {}).get(rank, workers.tf_config(addresses, rank))
            processes.append(subprocess.Popen(
                [sys.executable, JOB, job], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env=dict(environment, TF_CONFIG=config, OMP_NUM_THREADS='1')))
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def ends_of(processes, timeout=60):
    """Returns a list of (exit status, output) of processes, once they end."""
    deadline = time.time() + timeout
    return [(process.wait(max(0.1, deadline - time.time())), process.stdout.read().decode())
            for process in processes]


def wait_for(paths, processes, timeout=60):
    """Waits until files are there; returns what they hold."""
    deadline = time.time() + timeout
    while not all(os.path.exists(path) for path in paths):
        ended = [process for process in processes if process.poll() is not None]
        assert not ended and time.time() < deadline, ended and ended[0].stdout.read().decode()
        time.sleep(0.02)
    return [open(path).read() for path in paths]
