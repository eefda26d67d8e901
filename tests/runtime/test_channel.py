"""Workers that die, hang, fail or were started otherwise: all end in one line that says who."""
import json
import os
import shutil
import signal
import time

import pytest

from common.errors import UserError
from dataset import descriptor
from runtime import channel, workers
from tests.helpers import ROOT
from tests.helpers.worker_groups import ends_of, started, wait_for, write_job

# Of a worker without a sign of life, as in tests/helpers/worker_job.py; and of a busy machine.
TIMEOUT, SLACK = 2.0, 8.0


@pytest.fixture
def jobs(tmp_path, shapes_dir):
    """Makes the job files of some workers; keyword arguments change the last one's job."""
    def make(count, timeout=TIMEOUT, **changes):
        return [write_job(tmp_path / ('job%d' % rank), 'fault', tmp_path, shapes_dir, timeout,
                          **(changes if rank == count - 1 else {})) for rank in range(count)]
    return make


def joined(tmp_path, processes):
    """Waits until all have joined."""
    return wait_for([str(tmp_path / str(rank)) for rank in range(len(processes))], processes)


@pytest.mark.parametrize('victim, number, message', [
    (2, signal.SIGKILL, 'Worker 2 (127.0.0.1:%d) died. The same command goes on'),
    (0, signal.SIGKILL, 'The chief (127.0.0.1:%d) died. The same command goes on'),
    (1, signal.SIGSTOP, 'Worker 1 (127.0.0.1:%d) has given no sign of life for 2 seconds. The ')])
def test_a_worker_that_dies_or_hangs_ends_all_in_one_line_that_names_it(
        jobs, tmp_path, victim, number, message):
    ports = channel.free_ports(3)
    with started(jobs(3), ['127.0.0.1:%d' % port for port in ports]) as processes:
        joined(tmp_path, processes)
        start = time.time()
        processes[victim].send_signal(number)
        others = [process for process in processes if process is not processes[victim]]
        for status, output in ends_of(others):
            assert status == 1
            assert output.strip().startswith(message % ports[victim])
            assert output.count('\n') <= 2 and 'Traceback' not in output
        assert time.time() - start < SLACK + (TIMEOUT if number == signal.SIGSTOP else 0)


@pytest.mark.parametrize('number, status', [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_one_stops_all_with_its_status(jobs, tmp_path, number, status):
    with started(jobs(3)) as processes:
        joined(tmp_path, processes)
        processes[1].send_signal(number)
        ends = ends_of(processes)
    assert [end for end, _ in ends] == [status] * 3
    name = signal.Signals(number).name
    assert ('%s at worker 1 (127.0.0.1:' % name) in ends[0][1] and name in ends[2][1]


def test_what_one_fails_with_all_say(jobs, tmp_path):
    with started(jobs(3, fails='The disk is full.\nMake room.')) as processes:
        ends = ends_of(processes)
    assert [status for status, _ in ends] == [1] * 3
    assert ends[2][1].strip() == 'The disk is full.\nMake room.'
    for _, output in ends[:2]:
        assert 'Worker 2 (127.0.0.1:' in output and output.endswith(') ended: The disk is full.\n')


def test_workers_with_other_flags_data_or_code_are_refused_with_the_difference(
        jobs, tmp_path, shapes_dir):
    other_data, other_code = tmp_path / 'data', tmp_path / 'code'
    shutil.copytree(shapes_dir, str(other_data))
    info = descriptor.load(shapes_dir)
    descriptor.save(info._replace(name='others'), str(other_data))
    other_code.mkdir()
    for name in os.listdir(ROOT):
        if name.endswith('.py') or os.path.exists(os.path.join(ROOT, name, '__init__.py')):
            os.symlink(os.path.join(ROOT, name), str(other_code / name))
    os.remove(str(other_code / 'losses.py'))
    (other_code / 'losses.py').write_text('another = 1\n')
    for changes, difference in (
            (dict(flags={'crop_size': 65}), '--crop_size is 65 (the chief: 33).'),
            (dict(data=str(other_data)), 'the data set of --dataset_dir is '),
            (dict(code=str(other_code)), 'losses.py is ')):
        files = jobs(2, **changes)
        if 'data' in changes:
            files[1] = write_job(files[1], 'fault', tmp_path, changes['data'], TIMEOUT)
        with started(files) as processes:
            ends = ends_of(processes)
        for status, output in ends:
            assert status == 1 and output.count('\n') == 1, output
            assert ') was not started as the chief was: ' + difference in output
            assert output.startswith('Worker 1 (127.0.0.1:')


def test_addresses_that_lead_nowhere_are_named(jobs, tmp_path):
    # Nobody listens at that of the last worker.
    with started(jobs(3, closed=True)) as processes:
        for status, output in ends_of(processes):
            assert status == 1 and output.startswith('Worker 2 (127.0.0.1:'), output
            assert ' cannot be reached from the chief (127.0.0.1:' in output
    # Another one than the chief's: each says whom it has waited for.
    ports = channel.free_ports(3)
    right, wrong = [['127.0.0.1:%d' % port for port in chosen]
                    for chosen in (ports[:2], (ports[2], ports[1]))]
    with started(jobs(2, timeout=0.4), right, {1: workers.tf_config(wrong, 1)}) as processes:
        chief, worker = ends_of(processes)
    assert chief == (1, 'Worker 1 (%s) did not come within 2 seconds. Start it, or without '
                     'several processes unset TF_CONFIG.\n' % right[1])
    assert worker[0] == 1 and worker[1].startswith(
        'The chief (%s) cannot be reached from worker 1 (%s) within 2 seconds: ' % tuple(wrong))


def test_two_processes_with_one_task_are_refused(jobs, tmp_path):
    addresses = ['127.0.0.1:%d' % port for port in channel.free_ports(3)]
    with started(jobs(3), addresses, {2: workers.tf_config(addresses, 1)}) as processes:
        chief = ends_of(processes)[0]
    assert chief[0] == 1 and 'Worker 1 (%s) is there twice' % addresses[1] in chief[1]


def test_a_difference_names_what_is_missing_and_how_many_more_there_are():
    assert channel.describe_difference({'a': '1'}, {'a': '1'}) == ''
    assert channel.describe_difference({'a': '1'}, {'b': '2'}) == (
        'a is missing (the chief: 1), b is 2 (the chief: missing)')
    ours, theirs = ({str(number): text for number in range(5)} for text in 'xy')
    assert channel.describe_difference(ours, theirs).endswith('2 is y (the chief: x) and 2 more')


def test_addresses_are_host_and_port():
    assert channel.split_address('host-1.svc:2222') == ('host-1.svc', 2222)
    for wrong in ('host', ':1', 'host:', 'host:x', 'host:0', 'host:65536'):
        with pytest.raises(UserError, match='HOST:PORT'):
            channel.split_address(wrong)
    assert [channel.is_loopback(host) for host in (
        'localhost', '127.0.0.1', '127.9.9.9', '10.0.0.1', '0.0.0.0', 'example.org')] == [
            True, True, True, False, False, False]


def test_a_stranger_who_calls_at_the_start_does_no_harm(jobs, tmp_path):
    import socket
    ports = channel.free_ports(2)
    files, addresses = jobs(2), ['127.0.0.1:%d' % port for port in ports]
    with started(files[:1], addresses, {0: workers.tf_config(addresses, 0)}) as chief:
        deadline = time.time() + 30
        while True:
            try:
                caller = socket.create_connection(('127.0.0.1', ports[0]), 1)
                break
            except OSError:
                assert time.time() < deadline
                time.sleep(0.02)
        caller.sendall(json.dumps(['GET / HTTP/1.1']).encode() * 9)
        caller.close()
        with started([files[1]], addresses, {0: workers.tf_config(addresses, 1)}) as other:
            joined(tmp_path, chief + other)
            chief[0].send_signal(signal.SIGTERM)
            assert [status for status, _ in ends_of(chief + other)] == [143, 143]
