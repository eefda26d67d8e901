"""Starts several processes of train.py or test.py that work as one, on this machine or on several.

    python runtime/launch.py --workers 2 -- train.py --model_dir runs/mine
    python runtime/launch.py --workers 8 --hosts 10.0.0.1 10.0.0.2 --host 1 --allow_network -- \\
        train.py --model_dir runs/mine                              on the second of two machines

Each process gets a GPU of its own, or its share of the cores; the flags of the script decide where
they name --gpu_id or --num_threads. What the first one, the chief, prints is shown as it is, and
the errors of the others with their number. Signals are passed on. Where one dies, the others end
at once, and where one hangs, within the script's --worker_timeout; what is left 10 seconds later
is killed. The exit status is that of the first that failed.

TensorFlow's servers listen on all addresses of the machine and obey everybody who reaches them:
run this inside a private network, behind a firewall.
"""
import collections
import os
import signal
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import common.interpreter  # noqa: E402,F401  before what may be missing
from common import command_line, flag_types, scripts  # noqa: E402
from common.errors import UserError  # noqa: E402
from runtime import channel, machine, workers  # noqa: E402

SCRIPTS = ('train.py', 'test.py')
DEFAULT_PORT = 23450
# Between the bad end of one process and that of the others, which end by themselves before.
GRACE_SECONDS = 10
_POLL_SECONDS = 0.05
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def parse_flags(argv=None):
    """Parses the flags of this script; `command` is what follows --."""
    argv = sys.argv[1:] if argv is None else list(argv)
    place = argv.index('--') if '--' in argv else len(argv)
    parser = command_line.Parser(__doc__)
    parser.usage = '%(prog)s [-h] --workers N [flags] -- train.py|test.py [its flags]'
    parser.add_argument('--workers', type=flag_types.positive_int, required=True, metavar='N',
                        help='processes on each machine')
    parser.add_argument('--hosts', nargs='+', metavar='HOST',
                        help="addresses of several machines, the chief's first; start this on "
                             'each (default: this one alone)')
    parser.add_argument('--host', type=flag_types.non_negative_int, default=0, metavar='INDEX',
                        help='which of --hosts this machine is, from 0')
    parser.add_argument('--port', type=flag_types.positive_int,
                        help='that of the first process of each machine, the others follow '
                             '(default: free ones; %d with --hosts)' % DEFAULT_PORT)
    parser.add_argument('--allow_network', action='store_true',
                        help='take --hosts other than 127.0.0.1, whom everybody in their network '
                             'can give orders')
    flags = parser.parse_args(argv[:place])
    flags.command = argv[place + 1:]
    if not flags.command or os.path.basename(flags.command[0]) not in SCRIPTS:
        parser.error('what is to be started is missing: give -- and %s with its flags'
                     % ' or '.join(SCRIPTS))
    if flags.hosts and flags.host >= len(flags.hosts):
        parser.error('--host %d: there are %d --hosts, from 0' % (flags.host, len(flags.hosts)))
    outside = [host for host in flags.hosts or [] if not channel.is_loopback(host)]
    if outside and not flags.allow_network:
        parser.error('--hosts %s: TensorFlow\'s servers obey everybody who reaches them; give '
                     '--allow_network too where the network is private' % ' '.join(outside))
    return flags


def addresses_of(flags):
    """Returns the list of 'host:port' of all processes on all machines, the chief's first."""
    if not flags.hosts and not flags.port:
        return ['127.0.0.1:%d' % port for port in channel.free_ports(flags.workers)]
    first = flags.port or DEFAULT_PORT
    return ['%s:%d' % (host, first + index) for host in flags.hosts or ['127.0.0.1']
            for index in range(flags.workers)]


def resources_of(command, num_workers, gpus, cores):
    """Decides what each process of this machine computes on.

    Args:
      command: list of str, the script and its flags.
      num_workers: int.
      gpus: list of str, the GPUs that CUDA shows.
      cores: int.

    Returns:
      List of (dict of environment variables, list of further flags).

    Raises:
      UserError: some would have a GPU, others not.
    """
    names = {word.split('=')[0] for word in command}
    if '--gpu_id' in names or not gpus:
        threads = [] if '--num_threads' in names else [
            '--num_threads', str(max(1, cores // num_workers))]
        return [({}, threads)] * num_workers
    if len(gpus) < num_workers:
        raise UserError('--workers %d, and %d GPU%s: give --workers %d, or the script --gpu_id -1 '
                        'for processes on the CPU.' % (num_workers, len(gpus),
                                                       's' * (len(gpus) > 1), len(gpus)))
    return [({'CUDA_VISIBLE_DEVICES': gpu, 'CUDA_DEVICE_ORDER': 'PCI_BUS_ID'}, [])
            for gpu in gpus[:num_workers]]


def _shown_gpus():
    try:
        found = machine.gpus()
    except machine.NvidiaSmiError:
        found = []
    return [str(gpu.index) for gpu in machine.visible(
        found, os.environ.get('CUDA_VISIBLE_DEVICES'))]


def start(flags, addresses):
    """Starts the processes of this machine; returns a list of `subprocess.Popen`."""
    script = flags.command[0] if os.path.exists(flags.command[0]) else os.path.join(
        ROOT, flags.command[0])
    processes = []
    for index, (environment, more) in enumerate(resources_of(
            flags.command, flags.workers, _shown_gpus(), machine.processor().cores)):
        rank = flags.host * flags.workers + index
        environment = dict(os.environ, TF_CONFIG=workers.tf_config(addresses, rank), **environment)
        # In a session of its own: Ctrl-C comes through this process, once.
        process = subprocess.Popen(
            [sys.executable, script] + flags.command[1:] + more, env=environment,
            start_new_session=True, stderr=subprocess.PIPE if rank else None)
        processes.append(process)
        if rank:
            threading.Thread(target=_show_errors, args=(process, rank), daemon=True).start()
    return processes


def _show_errors(process, rank):
    last = collections.deque(maxlen=1)
    for line in process.stderr:
        text = line.decode(errors='replace').rstrip()
        if text and text not in last:
            last.append(text)
            sys.stderr.write('worker %d: %s\n' % (rank, text))
            sys.stderr.flush()


def _send(processes, number):
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def wait(processes, signals=()):
    """Waits for all processes, and ends those that are left when one has ended badly.

    Args:
      processes: list of `subprocess.Popen`.
      signals: deque of the numbers of signals to pass on, which grows meanwhile.

    Returns:
      int, 0 or the exit status of the first that failed; 128 and the number of a signal.
    """
    status, deadline = 0, None
    while True:
        while signals:
            _send(processes, signals.popleft())
        codes = [process.poll() for process in processes]
        failed = [code for code in codes if code]
        if failed and not status:
            status, deadline = failed[0], time.monotonic() + GRACE_SECONDS
        if None not in codes:
            break
        if deadline and time.monotonic() > deadline:
            _send(processes, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    return 128 - status if status < 0 else status


def main(argv=None):
    flags, signals = parse_flags(argv), collections.deque()
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda number, _: signals.append(number))
    with scripts.ending_in_one_message():
        processes = start(flags, addresses_of(flags))
    status = wait(processes, signals)
    if status:
        sys.exit(status)


if __name__ == '__main__':
    main()
