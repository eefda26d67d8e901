"""launch.py as users run it: several processes train, stop, go on and evaluate as one."""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from common.errors import UserError
from experiment import checkpoints, run_log, train_flags
from runtime import launch, tf
from tests.helpers import ROOT, tiny_runs, worker_job

TIMEOUT = 300


@pytest.fixture(scope='module')
def initial(shapes_dir, tmp_path_factory):
    """A run whose statistics are frozen."""
    folder = str(tmp_path_factory.mktemp('initial'))
    with tiny_runs.tiny_network(worker_job.BASE_DEPTH):
        tiny_runs.write_run(folder, shapes_dir)
    return folder


@pytest.fixture(scope='module')
def script(tmp_path_factory):
    """Makes scripts that run those of the project with the tiny network."""
    folder = tmp_path_factory.mktemp('scripts')

    def make(name):
        path = folder / name
        path.write_text('import sys\nsys.path.insert(0, %r)\nfrom tests.helpers import worker_job\n'
                        'worker_job.script(%r, *sys.argv[1:])\n' % (ROOT, name))
        return str(path)
    return make


def launched(num_workers, *command):
    """Starts launch.py; returns the `subprocess.Popen`."""
    return subprocess.Popen(
        [sys.executable, os.path.join(ROOT, 'runtime', 'launch.py'), '--workers',
         str(num_workers), '--'] + list(map(str, command)), universal_newlines=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, OMP_NUM_THREADS='1'))


def flags_of(shapes_dir, initial, model_dir, **changes):
    values = dict(resnet_model=tiny_runs.TINY, dataset_dir=shapes_dir, model_dir=model_dir,
                  crop_size=33, batch_size=12, accumulate_steps=2, init_from=initial,
                  optimizer='momentum', starting_learning_rate=0.001,
                  ema_decay=0.9, num_threads=1, max_steps=1000, save_every_steps=1000,
                  log_every_steps=1, worker_timeout=20)
    values.update(changes)
    return [word for name, value in values.items() for word in ('--' + name, str(value))] + [
        '--freeze_batch_norm']


def weights_of(prefix):
    reader = tf.train.load_checkpoint(prefix)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.fixture(scope='module')
def stopped(shapes_dir, initial, script, tmp_path_factory):
    """A run of two workers of which one was asked to stop; (folder, step, status, output)."""
    folder = str(tmp_path_factory.mktemp('stopped') / 'run')
    process = launched(2, script('train.py'), *flags_of(shapes_dir, initial, folder))
    output = ''
    while 'step 2/' not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    children = subprocess.check_output(['pgrep', '-P', str(process.pid)]).split()
    os.kill(int(children[1]), signal.SIGTERM)
    output += process.communicate(timeout=TIMEOUT)[0]
    latest = checkpoints.latest_in(folder)
    assert latest, output
    return folder, checkpoints.step_of(latest), process.returncode, output


def test_sigterm_to_one_worker_saves_and_ends_all_with_its_status(stopped):
    folder, step, status, output = stopped
    assert status == 143, output
    assert 'Stopped at step %d: SIGTERM at worker 1 (127.0.0.1:' % step in output
    assert output.count('Recipe') == 1 and output.count('step 2/') == 1  # the chief alone tells
    # The chief alone wrote, and left nothing.
    assert [name for name in os.listdir(folder) if name.endswith('.index')] == [
        'model.ckpt-%d.index' % step]
    assert len(run_log.read_metrics(folder)) == step // 50


@pytest.fixture(scope='module')
def continued(stopped, shapes_dir, initial, script, tmp_path_factory):
    """The run, continued by a step with one worker and with three: dict of (folder, output)."""
    processes = {}
    for num_workers in (1, 3):
        folder = str(tmp_path_factory.mktemp('continued') / 'run')
        shutil.copytree(stopped[0], folder)
        processes[num_workers] = folder, launched(num_workers, script('train.py'), *flags_of(
            shapes_dir, initial, folder, max_steps=stopped[1] + 1))
    ended = {num_workers: (folder, process.communicate(timeout=TIMEOUT)[0], process.returncode)
             for num_workers, (folder, process) in processes.items()}
    for num_workers, (folder, output, status) in ended.items():
        assert status == 0 and 'at step %d (--resume)' % stopped[1] in output, output
    return ended


def test_a_run_of_two_workers_goes_on_with_three_as_with_one(stopped, continued):
    before, alone, together = [weights_of(checkpoints.latest_in(folder)) for folder in (
        stopped[0], continued[1][0], continued[3][0])]
    assert together['global_step'] == alone['global_step'] == stopped[1] + 1
    assert set(together) == set(alone) and any(
        name.endswith('/ExponentialMovingAverage') for name in alone)
    # Gradients of 0 but for rounding are measured by the largest.
    largest = max(np.abs(alone[name]).max() for name in alone if name.endswith('/Momentum'))
    assert max(np.abs(alone[name] - before[name]).max() for name in alone
               if name.endswith('/Momentum')) > largest / 100
    for name in alone:
        scale = largest if name.endswith('/Momentum') else np.abs(alone[name]).max()
        np.testing.assert_allclose(together[name], alone[name], rtol=0, atol=1e-6 * scale,
                                   err_msg=name)


def test_three_workers_validate_as_one(continued):
    alone, together = [[entry for entry in run_log.read_metrics(continued[num_workers][0])
                        if 'validation/loss' in entry][-1] for num_workers in (1, 3)]
    for name in ('loss', 'running_loss', 'mean_iou', 'pixel_accuracy'):
        assert together['validation/' + name] == pytest.approx(alone['validation/' + name],
                                                               rel=1e-5)
    assert together['step'] == alone['step']


def test_two_workers_score_to_the_last_digit_of_one(continued, script, tmp_path):
    folders = {num_workers: tmp_path / str(num_workers) for num_workers in (1, 2)}
    processes = [launched(num_workers, script('test.py'), '--checkpoint', continued[3][0],
                          '--num_threads', '1', '--output_dir', folder)
                 for num_workers, folder in sorted(folders.items())]
    for process in processes:
        output = process.communicate(timeout=TIMEOUT)[0]
        assert process.returncode == 0 and output.count('Benchmark:') == 1, output
    found = [sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())
             for folder in folders.values()]
    assert found[0] == found[1] and 'scores.json' in found[0] and len(found[0]) > 9
    for name in found[0]:
        if name != 'report.html':
            assert (folders[1] / name).read_bytes() == (folders[2] / name).read_bytes(), name


def test_a_batch_that_does_not_divide_names_those_that_do():
    args = train_flags.parse(['--batch_size', '8'])
    for count in (1, 2, 4, 8):
        train_flags.check_batch(args, count)
    with pytest.raises(UserError, match='--batch_size 8 --accumulate_steps 1 with 3 workers: .* '
                                        'Give --batch_size 6 or 9'):
        train_flags.check_batch(args, 3)
    with pytest.raises(UserError, match='Give --batch_size 16'):
        train_flags.check_batch(args, 16)
    with pytest.raises(UserError, match='parts of one image'):
        train_flags.check_batch(train_flags.parse(['--batch_size', '8', '--crop_size', '16']), 8)


@pytest.mark.parametrize('words, message', [
    ([], 'what is to be started is missing'),
    (['--', 'predict.py'], 'give -- and train.py or test.py with its flags'),
    (['--hosts', '10.0.0.1', '--', 'train.py'], 'give --allow_network too where the network is p'),
    (['--hosts', '127.0.0.1', '--host', '1', '--', 'train.py'], '--host 1: there are 1 --hosts')])
def test_wrong_flags_are_refused(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        launch.parse_flags(['--workers', '2'] + words)
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_addresses_are_those_of_all_machines():
    flags = launch.parse_flags(['--workers', '2', '--hosts', '10.0.0.1', '10.0.0.2', '--port',
                                '99', '--allow_network', '--', 'train.py', '--max_steps', '3'])
    assert launch.addresses_of(flags) == ['10.0.0.1:99', '10.0.0.1:100', '10.0.0.2:99',
                                          '10.0.0.2:100']
    assert flags.command == ['train.py', '--max_steps', '3']
    alone = launch.addresses_of(launch.parse_flags(['--workers', '3', '--', 'train.py']))
    assert len(set(alone)) == 3 and all(address.startswith('127.0.0.1:') for address in alone)


def test_each_process_has_a_gpu_or_its_share_of_the_cores():
    own = {'CUDA_DEVICE_ORDER': 'PCI_BUS_ID'}
    assert launch.resources_of(['train.py'], 2, ['0', '3'], 8) == [
        (dict(own, CUDA_VISIBLE_DEVICES='0'), []), (dict(own, CUDA_VISIBLE_DEVICES='3'), [])]
    assert launch.resources_of(['train.py'], 2, [], 5) == [({}, ['--num_threads', '2'])] * 2
    assert launch.resources_of(['train.py'], 4, [], 2) == [({}, ['--num_threads', '1'])] * 4
    assert launch.resources_of(['train.py', '--num_threads', '3'], 2, [], 8) == [({}, [])] * 2
    assert launch.resources_of(['train.py', '--gpu_id=-1'], 2, ['0'], 8) == [
        ({}, ['--num_threads', '4'])] * 2
    with pytest.raises(UserError, match='--workers 2, and 1 GPU: give --workers 1'):
        launch.resources_of(['train.py'], 2, ['0'], 8)


def test_several_machines_share_one_cluster(monkeypatch, tmp_path):
    (tmp_path / 'train.py').write_text(
        'import os, sys\nprint(os.environ["TF_CONFIG"], *sys.argv[1:], file=sys.stderr)\n')
    flags = argparse.Namespace(workers=2, hosts=['a', 'b'], host=1, port=5, command=[
        str(tmp_path / 'train.py'), '--max_steps', '3', '--num_threads', '1'])
    shown = []
    monkeypatch.setattr(launch, '_show_errors', lambda process, rank: shown.append(
        (rank, process.stderr.read().decode())))
    threads = threading.enumerate()
    assert launch.wait(launch.start(flags, launch.addresses_of(flags))) == 0
    for thread in set(threading.enumerate()) - set(threads):
        thread.join()
    for rank, text in shown:
        config = json.loads(text[:text.index('}}') + 2])
        assert config['cluster'] == {'chief': ['a:5'], 'worker': ['a:6', 'b:5', 'b:6']}
        assert config['task'] == {'type': 'worker', 'index': rank - 1}
        assert text.split('}}')[1].split() == ['--max_steps', '3', '--num_threads', '1']
    assert sorted(rank for rank, _ in shown) == [2, 3]


def test_the_status_is_that_of_the_first_that_failed_and_who_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(launch, 'GRACE_SECONDS', 0.2)

    def started(*codes):
        return [subprocess.Popen([sys.executable, '-S', '-c', code]) for code in codes]
    start, hangs = time.time(), 'import time; time.sleep(60)'
    assert launch.wait(started(hangs, 'raise SystemExit(7)', hangs)) == 7
    assert launch.wait(started('import os; os.kill(os.getpid(), 9)', hangs)) == 137
    assert launch.wait(started('', '')) == 0 and time.time() - start < 20


def test_signals_are_passed_on_once(tmp_path):
    (tmp_path / 'train.py').write_text(
        'import signal, sys, time\n'
        'signal.signal(signal.SIGINT, lambda *_: sys.exit(130))\n'
        'sys.stdout.write("ready\\n")\nsys.stdout.flush()\ntime.sleep(60)\n')
    process = launched(2, tmp_path / 'train.py')
    assert [process.stdout.readline() for _ in range(2)] == ['ready\n'] * 2
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
