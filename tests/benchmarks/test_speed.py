import os
import time

import pytest

from benchmarks import contenders, own_network, speed, tables, turns
from common.errors import UserError
from runtime import machine, tf
from tests.helpers import tiny_runs

SETTING = {'task': 'training', 'batch_size': 2, 'crop_size': 65, 'output_stride': 16,
           'resnet_model': tiny_runs.TINY, 'form': 'native'}
NATIVE = 'TensorFlow 2.21, native'
# Of 2 images: PyTorch one a second, TensorFlow two.
TIMED = {NATIVE: turns.Timed([1.0, 1.0, 2.0], {'parameters': 7, 'operations': 50e9}, 100.0),
         'PyTorch': turns.Timed([2.0, 2.0, 2.0], {'parameters': 7}, 90.0)}
OWN_BF16 = contenders.Contender('tf2', contenders.OWN, {'form': 'taps'}, 'bf16')


@pytest.fixture
def bench(tmp_path):
    return speed.Bench({name: ['python'] for name in ('tf1', 'tf2', 'torch', 'stock')}, 3,
                       str(tmp_path / 'log'), 1e6, time.monotonic() + 60, [])


def measured_with(ratios, seconds=1.0):
    timed = {name: turns.Timed([seconds], {'parameters': 7, 'operations': 100e9}, 1.0)
             for name in ratios}
    return tables.Measured(SETTING, timed, ratios)


def test_rates_ratios_and_shares_of_the_limit_of_the_own_precision():
    measured = tables.Measured(SETTING, TIMED, {NATIVE: 2, 'PyTorch': 1})
    lines = tables.speed_table(measured, {'fp32': 100e9})
    assert lines[1] == '### Training, batch 2, output stride 16'
    assert '| TensorFlow 2.21, native | 2.00 (1.00 to 2.00) | 2.00 | 50% | 100 |' in lines
    assert '| PyTorch | 1.00 (1.00 to 1.00) | 1.00 | 25% | 90 |' in lines
    measured.timed['PyTorch, bf16'] = TIMED['PyTorch']
    lines = tables.speed_table(measured, {'fp32': 100e9, 'bf16': 500e9})
    assert '| PyTorch, bf16 | 1.00 (1.00 to 1.00) |  | 5% | 90 |' in lines
    assert '| PyTorch, bf16 | 1.00 (1.00 to 1.00) |  |  | 90 |' in tables.speed_table(
        measured, {'fp32': 100e9})


def test_networks_that_differ_are_not_compared():
    other = TIMED['PyTorch']._replace(about={'parameters': 8})
    with pytest.raises(UserError, match="'PyTorch': 8"):
        tables.speed_table(tables.Measured(SETTING, dict(TIMED, PyTorch=other), {}), {})


def test_what_cannot_run_here_is_named():
    names, absent = contenders.runnable(
        contenders.CONTENDERS, {'tf1': 'no Python 3.7', 'stock': 'no wheel'}, frozenset())
    assert names[-1] == 'PyTorch' and not any('1.15' in name for name in names)
    assert absent['TensorFlow 1.15, native'] == 'no Python 3.7'
    assert absent['TensorFlow 1.15, stock build'] == 'no wheel'
    assert absent['PyTorch, bf16'] == 'this CPU has no bf16'
    assert not contenders.runnable(contenders.CONTENDERS, {}, frozenset(['bf16']))[1]


def test_the_stock_build_stands_before_the_mkl_build_and_is_installed_once(
        tmp_path, monkeypatch):
    commands = []

    def check_call(command):
        commands.append(command)
        os.makedirs(command[command.index('--target') + 1])
    folder = str(tmp_path / 'stock')
    monkeypatch.setattr(contenders, 'STOCK_FOLDER', folder)
    monkeypatch.setattr(contenders.subprocess, 'check_call', check_call)
    for _ in range(2):
        assert contenders.add_stock({'tf1': ['python']}) == [
            'env', 'PYTHONPATH=' + folder, 'python']
    assert len(commands) == 1 and commands[0][-1] == 'tensorflow-cpu==1.15.0'


def test_environments_that_cannot_be_built_are_named(monkeypatch):
    def fail(command, **_):
        raise contenders.subprocess.CalledProcessError(1, command)
    monkeypatch.setattr(contenders.subprocess, 'check_call', fail)
    monkeypatch.setattr(contenders, 'TORCH_FOLDER', '/nowhere')
    pythons, missing = contenders.environments()
    assert not pythons and missing['tf2'] == '`RUNTIME=tf2 make env` fails here'
    assert missing['stock'] == ('tensorflow-cpu 1.15.0 cannot be installed here '
                                '(`RUNTIME=tf1 make env` fails here)')
    assert missing['torch'].startswith('torch 2.13.0 cannot be installed here (')


@pytest.mark.parametrize('mib, groups', [
    (1e6, [['a', 'b', 'c', 'PyTorch']]), (9200, [['a', 'b', 'PyTorch'], ['c', 'PyTorch']]),
    (10, [['a', 'PyTorch'], ['b', 'PyTorch'], ['c', 'PyTorch']])])
def test_as_many_as_fit_are_in_memory_and_each_ratio_is_of_its_own_turns(
        mib, groups, bench, monkeypatch):
    started = []

    def take_turns(commands, num_rounds, log_path):
        started.append(list(commands))
        base = float(2 ** len(started))  # the machine is slower each time
        return {name: turns.Timed([base / (1 if name == 'PyTorch' else 2)] * num_rounds, {}, base)
                for name in commands}, {}
    monkeypatch.setattr(turns, 'take_turns', take_turns)
    known = dict.fromkeys(['a', 'b', 'c', 'PyTorch'], contenders.CONTENDERS[NATIVE])
    # Some 3,040 MiB of each.
    setting = {'task': 'training', 'batch_size': 2, 'crop_size': 513, 'output_stride': 16}
    _, timed, ratios = speed.measure(bench._replace(free_mib=mib), list(known), setting, known)
    assert started == groups
    assert ratios == {'a': 2, 'b': 2, 'c': 2, 'PyTorch': 1} and list(timed) == list(known)
    # Of each group.
    assert timed['PyTorch'].seconds == [2.0 ** (1 + number) for number in range(len(groups))
                                        for _ in range(3)]
    assert timed['PyTorch'].peak_mib == 2 ** len(groups)


def test_memory_is_estimated_at_least_as_the_table_measured_it():
    rows = {16: 6429, 8: 7491}
    for stride, batch in ((16, 8), (8, 4)):
        assert speed.mib_of({'task': 'training', 'batch_size': batch, 'crop_size': 513,
                             'output_stride': stride}) == pytest.approx(rows[stride], rel=0.03)


def test_what_fails_or_finds_no_time_is_named_on_the_page(bench, monkeypatch):
    monkeypatch.setattr(turns, 'take_turns', lambda *_: (
        {NATIVE: TIMED[NATIVE]}, {'PyTorch': 'it was killed'}))
    measured = speed.measure(bench, [NATIVE, 'PyTorch'], SETTING)
    assert set(measured.timed) == {NATIVE} and not measured.ratios
    late = bench._replace(deadline=time.monotonic() - 1)
    assert not speed.measure(late, [NATIVE, 'PyTorch'], SETTING).timed
    what = 'batch_size 2, output_stride 16, task training'
    assert bench.left_out == [
        'PyTorch, %s: it was killed' % what,
        '%s (%s; PyTorch): the time was up, see --time_limit' % (what, NATIVE)]


def test_the_limit_of_a_precision_is_its_fastest_product(bench, monkeypatch):
    seconds = {('fp32', 'TensorFlow 1.15'): 4.0, ('fp32', 'TensorFlow 2.21'): 2.0,
               ('fp32', 'PyTorch'): 5.0, ('bf16', 'TensorFlow 2.21'): 1.0,
               ('bf16', 'PyTorch'): 0.5}
    monkeypatch.setattr(turns, 'take_turns', lambda commands, *_: (
        {name: turns.Timed([seconds[name], 9.0], {'operations': 8}, 1.0) for name in commands}, {}))
    assert speed.find_limits(bench, {}, frozenset(['bf16'])) == {'fp32': 4, 'bf16': 16}
    assert speed.find_limits(bench, {'tf2': 'no'}, frozenset()) == {'fp32': 2}


def test_targets_compare_the_fastest_of_each_side(monkeypatch):
    monkeypatch.setitem(contenders.CONTENDERS, 'own bf16', OWN_BF16)
    found = tables.speed_targets(measured_with({
        'TensorFlow 1.15, native': 1.1, NATIVE: 1.2, 'PyTorch': 1.0, 'PyTorch, bf16': 1.5,
        'PyTorch, bf16, torch.compile': 2.0, 'own bf16': 2.9}), {'bf16': 250e9})
    assert [target.is_reached for target in found] == [False, True, True]
    assert [target.value for target in found] == ['1.45 times', '1.20 times', '0.40 of it']
    assert found[1].name == NATIVE and found[0].name == found[2].name == 'own bf16'
    assert found[0].setting == SETTING
    without = tables.speed_targets(measured_with({NATIVE: 1.14, 'PyTorch': 1.0}), {})
    assert [target.is_reached for target in without] == [None, False, None]
    page = '\n'.join(tables.targets_table(found))
    assert ('| training in fp32 at least 1.15 times PyTorch | 1.20 times | reached | %s |'
            % NATIVE) in page


def test_targets_of_sizes_and_of_the_wait_for_data():
    found = tables.other_targets({NATIVE: (13.0, 10.0), 'PyTorch': (14.0, 10.0)},
                                 [('a', 5.0, 0.01), ('b', 5.0, 0.04), ('c', 5.0, None)], SETTING)
    assert [target.is_reached for target in found] == [True, False, False]
    assert found[1].setting == SETTING and found[2].value == '4.0%'
    assert tables.other_targets({}, [('a', 5.0, None)], SETTING)[0].is_reached is None


class Fake:
    """Measures in no time; TensorFlow is half as fast as PyTorch."""

    def __init__(self):
        self.asked, self.profiled = [], []

    def take_turns(self, commands, num_rounds, log_path):
        found = {}
        for name, command in commands.items():
            setting = speed.json.loads(command[-1])
            self.asked.append((setting['task'], setting.get('batch_size'), num_rounds))
            about = {'parameters': 7, 'operations': 4e9, 'pictures': 10, 'tensorflow': '2.21.0'}
            if 'timeline' in setting:
                self.profiled.append((setting['task'], name, os.path.basename(setting['timeline'])))
                about['profile'] = [['Conv2D', 3, 0.75]]
            found[name] = turns.Timed([1.0 if name == 'PyTorch' else 2.0], about, 1.0)
        return found, {}


@pytest.fixture
def fake(monkeypatch):
    found = Fake()
    monkeypatch.setattr(contenders, 'environments', lambda: (
        {'tf2': ['python'], 'torch': ['python']}, {'tf1': 'no 3.7', 'stock': 'no 3.7'}))
    processor = machine.Processor('C', 2, frozenset(['bf16']))
    monkeypatch.setattr(machine, 'processor', lambda: processor)
    monkeypatch.setattr(turns, 'take_turns', found.take_turns)
    monkeypatch.setattr(speed, 'wait_share', lambda bench, contender, *_: 0.02)
    monkeypatch.setattr(speed, 'NUM_PAIRS', 2)
    return found


def test_the_page_holds_every_setting_and_the_profile_of_what_misses_a_target(
        fake, tmp_path, capsys):
    speed.main(['--tasks', 'inference', '--output', str(tmp_path / 'page.md')])
    page = (tmp_path / 'page.md').read_text()
    assert [task for task, _, _ in fake.asked if task == 'product'] == ['product'] * 4
    assert {(batch, rounds) for task, batch, rounds in fake.asked if task == 'inference'
            and rounds > 1} == {(2, 5), (8, 3), (2, 3)}
    assert '- not run: TensorFlow 1.15, native (no 3.7)' in page
    assert '- limits, of a product of matrices: bf16 2 GFLOP/s, fp32 2 GFLOP/s' in page
    assert '- versions: tensorflow 2.21.0' in page
    assert page.count('### Inference, batch') == len(contenders.SIZES)
    # Measured at the first size alone, and for training alone.
    assert page.count("| TensorFlow 2.21, slim's convolutions |") == 1
    assert '| TensorFlow 2.21, matrix products |' not in page
    assert 'training' not in page.split('## Targets')[0].split('### Input')[0]
    assert page.count('| ONNX Runtime, our export |') == 3
    assert '| TensorFlow 2.21, native | 5.00 | 5.00 | 1.00 |' in page
    assert '| TensorFlow 2.21, native | 4.0 | 2.0% |' in page
    assert ('| inference in fp32 at least 1.10 times PyTorch | 0.50 times | not reached | %s |'
            % NATIVE) in page
    assert fake.profiled == [('inference', 'TensorFlow 2.21, bf16, native',
                              'inference__TensorFlow_2_21__bf16__native.json'),
                             ('inference', NATIVE, 'inference__TensorFlow_2_21__native.json')]
    assert '### Where the time goes: inference, TensorFlow 2.21, native' in page
    assert '| Conv2D | 3 | 75.0% |' in page
    assert (tmp_path / 'profiles').is_dir()


def test_profile_traces_each_own_way_once(fake, tmp_path, capsys):
    speed.main(['--profile', '--output', str(tmp_path / 'page.md')])
    assert len(fake.profiled) == len(set(fake.profiled)) == 11
    assert {name for task, name, _ in fake.profiled if task == 'training'} == {
        NATIVE, "TensorFlow 2.21, slim's convolutions", 'TensorFlow 2.21, matrix products',
        'TensorFlow 2.21, bf16, native', 'TensorFlow 2.21, bf16, matrix products'}


def test_the_wait_is_what_train_py_logs_and_a_failing_one_is_named(bench, tmp_path, monkeypatch):
    commands = []

    def call(command, **_):
        commands.append(command)
        os.makedirs(str(tmp_path / 'run'), exist_ok=True)
        (tmp_path / 'run' / 'metrics.jsonl').write_text(
            '{"step": 8, "speed/data_wait_share": 0.25}\n')
        return 0 if len(commands) == 1 else 3
    monkeypatch.setattr(speed.subprocess, 'call', call)
    args = speed.parse(['--crop_size', '65'])
    values = [speed.wait_share(bench, OWN_BF16._replace(own={'mixed_precision': 'bf16'}), args,
                               'data', str(tmp_path / 'run')) for _ in range(2)]
    assert values == [0.25, None] and bench.left_out == ['train.py, tf2: it ended with status 3']
    command = ' '.join(commands[0])
    assert '--mixed_precision bf16' in command and '--crop_size 65 --batch_size 2' in command


@pytest.mark.parametrize('changes', [
    {}, {'task': 'sizes', 'are_different': True}])
def test_a_step_of_each_task_runs(changes, monkeypatch):
    monkeypatch.setattr(own_network, 'NUM_PIXELS', 33 * 33)
    monkeypatch.setattr(own_network, 'NUM_PICTURES', 2)
    monkeypatch.setattr(own_network, 'LOWEST', 33)
    setting = dict(SETTING, **changes)
    with tiny_runs.tiny_network():
        step, about = own_network.build(setting)
    step()
    assert about['tensorflow'] == tf.__version__
    if setting['task'] != 'sizes':
        assert about['operations'] > about['parameters'] > 1e6


def test_a_product_of_matrices(monkeypatch):
    monkeypatch.setattr(own_network, 'PRODUCT_SIZE', 8)
    step, about = own_network.build({'task': 'product', 'precision': 'fp32'})
    step()
    assert about['operations'] == 1024
