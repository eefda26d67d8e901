import pytest

from benchmarks import own_network, speed, turns
from common.errors import UserError
from runtime import tf
from tests.helpers import tiny_runs

SETTING = {'task': 'training', 'batch_size': 2, 'crop_size': 65, 'output_stride': 16,
           'resnet_model': tiny_runs.TINY, 'form': 'native'}
# Of 2 images: PyTorch one a second, TensorFlow two.
TIMED = {'TensorFlow 2.21, native': turns.Timed([1.0, 1.0, 2.0], {
             'parameters': 7, 'operations': 50e9}, 100.0),
         'PyTorch': turns.Timed([2.0, 2.0, 2.0], {'parameters': 7}, 90.0)}


def test_rates_ratios_and_shares():
    lines = speed.table(TIMED, {'TensorFlow 2.21, native': 2, 'PyTorch': 1}, SETTING, 100e9)
    assert lines[1] == '### Training, batch 2, output stride 16'
    assert '| TensorFlow 2.21, native | 2.00 (1.00 to 2.00) | 2.00 | 50% | 100 |' in lines
    assert '| PyTorch | 1.00 (1.00 to 1.00) | 1.00 | 25% | 90 |' in lines


def test_networks_that_differ_are_not_compared():
    other = TIMED['PyTorch']._replace(about={'parameters': 8})
    with pytest.raises(UserError, match="'PyTorch': 8"):
        speed.table(dict(TIMED, PyTorch=other), {}, SETTING, 1e9)


def test_what_cannot_run_here_is_named():
    pythons = {'tf2': 'python', 'torch': 'python'}
    names, absent = speed.runnable(pythons, {'tf1': 'no Python 3.7'}, frozenset())
    assert names[-1] == 'PyTorch' and not any('1.15' in name for name in names)
    assert absent['TensorFlow 1.15, native'] == 'no Python 3.7'
    assert absent['PyTorch, bf16'] == 'this CPU has no bf16'
    assert not speed.runnable(pythons, {}, frozenset(['bf16']))[1]


@pytest.mark.parametrize('batch_size, groups', [
    (2, [['a', 'b', 'PyTorch']]), (8, [['a', 'PyTorch'], ['b', 'PyTorch']])])
def test_of_large_batches_two_are_in_memory_and_each_ratio_is_of_its_own_turns(
        batch_size, groups, monkeypatch):
    started = []

    def take_turns(commands, num_rounds, log_path):
        started.append(sorted(commands, key=str.swapcase))
        base = float(2 ** len(started))  # the machine is slower each time
        return {name: turns.Timed([base / (1 if name == 'PyTorch' else 2)] * num_rounds, {}, 1.0)
                for name in commands}
    monkeypatch.setattr(turns, 'take_turns', take_turns)
    monkeypatch.setattr(speed, 'CONTENDERS', dict.fromkeys(
        ['a', 'b', 'PyTorch'], ('tf2', 'program', {}, None)))
    timed, ratios = speed.measure({'tf2': 'python'}, ['a', 'b', 'PyTorch'],
                                  {'batch_size': batch_size}, 3, 'log')
    assert started == groups
    assert ratios == {'a': 2, 'b': 2, 'PyTorch': 1} and set(timed) == set(ratios)


def test_the_page_holds_every_setting(tmp_path, monkeypatch, capsys):
    asked = []

    def measure(pythons, names, setting, num_rounds, log_path):
        asked.append(setting['task'])
        about = {'parameters': 7, 'operations': 1e9, 'pictures': 10}
        return {name: turns.Timed([1.0] * num_rounds, about, 1.0) for name in names}, {}
    monkeypatch.setattr(speed, 'environments', lambda: ({}, {'torch': 'no wheel'}))
    monkeypatch.setattr(speed, 'measure', measure)
    speed.main(['--tasks', 'inference', '--output', str(tmp_path / 'page.md')])
    page = (tmp_path / 'page.md').read_text()
    assert asked == ['product'] + ['inference'] * len(speed.SIZES) + ['sizes'] * 4
    assert '- not run: PyTorch (no wheel)' in page and '1 GFLOP/s' in page
    assert page.count('### Inference, batch') == len(speed.SIZES)
    assert '| TensorFlow 1.15, native | 10.00 | 10.00 | 1.00 |' in page


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
    step, about = own_network.build({'task': 'product'})
    step()
    assert about['operations'] == 1024
