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
from experiment import checkpoints, flag_checks, run_log, train_flags
from runtime import launch, machine, tf
from tests.helpers import ROOT, tiny_runs, worker_job
from tests.helpers.worker_groups import ends_of, started, write_job

TIMEOUT = 600


@pytest.fixture
def initial(shapes_dir, tmp_path):
    """A run whose statistics are frozen."""
    folder = tmp_path / 'initial'
    folder.mkdir()
    with tiny_runs.tiny_network(worker_job.BASE_DEPTH):
        tiny_runs.write_run(str(folder), shapes_dir)
    return str(folder)


@pytest.fixture
def script(tmp_path):
    """Makes scripts that run those of the project with the tiny network."""
    def make(name):
        path = tmp_path / name
        path.write_text('import sys\nsys.path.insert(0, %r)\nfrom tests.helpers import worker_job\n'
                        'worker_job.scripts_of([%r] + sys.argv[1:])\n' % (ROOT, name))
        return str(path)
    return make


def launched(num_workers, *command):
    """Starts launch.py; returns the `subprocess.Popen`."""
    return subprocess.Popen(
        [sys.executable, os.path.join(ROOT, 'runtime', 'launch.py'), '--workers',
         str(num_workers), '--'] + list(map(str, command)), universal_newlines=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, OMP_NUM_THREADS='1'),
        # Which a shell ignores for what it starts behind itself.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def flags_of(shapes_dir, initial, model_dir, **changes):
    values = dict(resnet_model=tiny_runs.TINY, dataset_dir=shapes_dir, model_dir=model_dir,
                  crop_size=33, batch_size=6, init_from=initial, optimizer='momentum',
                  starting_learning_rate=0.001, num_threads=1, max_steps=1000,
                  save_every_steps=1000, log_every_steps=1, worker_timeout=20,
                  mixed_precision='off')
    values.update(changes)
    return [word for name, value in values.items() for word in ('--' + name, str(value))] + [
        '--freeze_batch_norm']


def weights_of(folder):
    reader = tf.train.load_checkpoint(checkpoints.latest_in(str(folder)))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def check_stopped(folder, status, output):
    """Of a run one of whose two workers got SIGTERM; returns int, its step."""
    latest = checkpoints.latest_in(folder)
    assert status == 143 and latest, output
    step = checkpoints.step_of(latest)
    assert 'Stopped at step %d: SIGTERM at worker 1 (127.0.0.1:' % step in output
    assert output.count('Recipe') == 1 and output.count('step 2/') == 1  # the chief alone tells
    # The chief alone wrote, and left nothing.
    assert [name for name in os.listdir(folder) if name.endswith('.index')] == [
        'model.ckpt-%d.index' % step]
    assert len(run_log.read_metrics(folder)) == step // 50
    return step


def check_goes_on_alike(before, alone, together):
    """Of the weights of a run, and of the same after a step of one worker and of three."""
    assert together['global_step'] == alone['global_step'] == before['global_step'] + 1
    assert set(together) == set(alone)
    # Gradients of 0 but for rounding are measured by the largest.
    largest = max(np.abs(alone[name]).max() for name in alone if name.endswith('/Momentum'))
    assert max(np.abs(alone[name] - before[name]).max() for name in alone
               if name.endswith('/Momentum')) > largest / 100
    for name in alone:
        scale = largest if name.endswith('/Momentum') else np.abs(alone[name]).max()
        np.testing.assert_allclose(together[name], alone[name], rtol=0, atol=1e-6 * scale,
                                   err_msg=name)


def check_validated_alike(folders):
    alone, together = [[entry for entry in run_log.read_metrics(str(folder))
                        if 'validation/loss' in entry][-1] for folder in folders]
    for name in ('loss', 'running_loss', 'mean_iou', 'pixel_accuracy'):
        assert together['validation/' + name] == pytest.approx(alone['validation/' + name],
                                                               rel=1e-5)
    assert together['step'] == alone['step']


def check_scored_alike(folders):
    """Of what test.py wrote: the same bytes but for the times of the report."""
    found = [sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())
             for folder in folders]
    assert found[0] == found[1] and 'scores.json' in found[0] and len(found[0]) > 9
    for name in found[0]:
        if name != 'report.html':
            assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name


def test_two_workers_train_as_one_stop_go_on_with_one_and_three_and_score_as_one(
        shapes_dir, initial, script, tmp_path):
    # One test: each start of a process costs seconds, and parts of a test file run apart.
    run, scratch, scores = str(tmp_path / 'run'), tmp_path / 'scratch', tmp_path / 'scores'
    process = launched(2, script('train.py'), *flags_of(shapes_dir, initial, run))
    output = ''
    while 'step 2/' not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    children = subprocess.check_output(['pgrep', '-P', str(process.pid)]).split()
    os.kill(int(children[1]), signal.SIGTERM)
    output += process.communicate(timeout=TIMEOUT)[0]
    step = check_stopped(run, process.returncode, output)

    goes_on = {count: tmp_path / ('with_%d' % count) for count in (1, 3)}
    for folder in goes_on.values():
        shutil.copytree(run, str(folder))
    one, three = [flags_of(shapes_dir, initial, folder, max_steps=step + 1)
                  for folder in goes_on.values()]
    test = ['--checkpoint', run, '--num_threads', '1', '--output_dir']
    together = [launched(3, script('train.py'), *three),
                launched(2, script('test.py'), *(test + [scores / '2']))]
    # As two workers, one process takes the batch in two parts.
    job = write_job(
        tmp_path / 'job', 'scripts', *[list(map(str, command)) for command in (
            ['train.py'] + flags_of(shapes_dir, initial, scratch, max_steps=step,
                                    accumulate_steps=2),
            ['train.py'] + one, ['test.py'] + test + [scores / '1'])])
    with started([job], configs={0: ''}) as alone:
        [(status, alone_output)] = ends_of(alone, TIMEOUT)
    assert status == 0, alone_output
    outputs = [process.communicate(timeout=TIMEOUT)[0] for process in together]
    assert [process.returncode for process in together] == [0, 0], outputs
    for text in (outputs[0], alone_output):
        assert text.count('at step %d (--resume)' % step) == 1, text
    assert outputs[1].count('Benchmark:') == 1, outputs[1]

    before, expected = weights_of(run), weights_of(scratch)
    assert set(before) == set(expected) and before['global_step'] == step
    for name, value in expected.items():
        np.testing.assert_array_equal(before[name], value, err_msg=name)
    check_goes_on_alike(before, weights_of(goes_on[1]), weights_of(goes_on[3]))
    check_validated_alike(goes_on.values())
    check_scored_alike([scores / '1', scores / '2'])


@pytest.mark.skipif(
    tf.__version__.startswith('1.') or 'bf16' not in machine.processor().features,
    reason='needs TensorFlow 2 and a CPU with bf16')
def test_two_workers_train_and_score_in_bf16(shapes_dir, initial, script, tmp_path):
    run = str(tmp_path / 'run')
    for command in ([script('train.py')] + flags_of(
            shapes_dir, initial, run, max_steps=2, mixed_precision='bf16'),
            [script('test.py'), '--checkpoint', run, '--mixed_precision', 'bf16']):
        process = launched(2, *command)
        output = process.communicate(timeout=TIMEOUT)[0]
        assert process.returncode == 0 and 'Mixed precision: bf16.' in output, output
    assert checkpoints.step_of(checkpoints.latest_in(run)) == 2


def test_a_batch_that_does_not_divide_names_those_that_do():
    args = train_flags.parse(['--batch_size', '8'])
    for count in (1, 2, 4, 8):
        flag_checks.check_batch(args, count)
    with pytest.raises(UserError, match='--batch_size 8 --accumulate_steps 1 with 3 workers: .* '
                                        'Give --batch_size 6 or 9'):
        flag_checks.check_batch(args, 3)
    with pytest.raises(UserError, match='Give --batch_size 16'):
        flag_checks.check_batch(args, 16)
    with pytest.raises(UserError, match='parts of one image'):
        flag_checks.check_batch(train_flags.parse(['--batch_size', '8', '--crop_size', '16']), 8)


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
