import json
import time

import pytest

from benchmarks import growth, turns
from runtime import machine


def row(model, crop, batch, seconds, mib=1000.0):
    return growth.Row(model, crop, batch, seconds, mib, 3e11 * growth.size_of(crop, batch),
                      '2.21.0')


def by_law(fixed, rate, model=growth.SHALLOW):
    return [row(model, crop, batch, fixed + rate * batch * (crop / 513) ** 2)
            for crop, batch in ((257, 1), (513, 1), (513, 2), (769, 4))]


def test_the_law_is_found_and_its_worst_error_is_relative():
    law = growth.fit(by_law(0.5, 2.0), 'seconds')
    assert (law.fixed, law.rate) == pytest.approx((0.5, 2.0)) and law.worst < 1e-9
    assert law.at(513, 8) == pytest.approx(16.5) and law.at(257, 4) == pytest.approx(
        0.5 + 8 * (257 / 513) ** 2)
    # 3 of the mean of what 1 and 2 seconds measure: relative errors weigh both alike.
    same = [row(growth.SHALLOW, 513, batch, seconds) for batch, seconds in (
        (1, 1.0), (1, 2.0), (2, 1.0), (2, 2.0))]
    law = growth.fit(same, 'seconds')
    # Least squares of x - 1 and x / 2 - 1: 1.2.
    assert law.at(513, 1) == pytest.approx(1.2) and law.at(513, 2) == pytest.approx(1.2)
    assert law.worst == pytest.approx(0.4)
    assert growth.fit(same[:2], 'seconds') is None


def test_a_row_that_the_law_misses_is_marked():
    seconds, memory = growth.Law(0.0, 1.0, 0.0), growth.Law(1000.0, 0.0, 0.0)
    lines = growth.table([row(growth.SHALLOW, 513, 2, 2.1), row(growth.SHALLOW, 513, 4, 3.0)],
                         seconds, memory)
    assert lines[2:] == ['| 513 | 2 | 2.10 | 2.00 (-5%) | 1000 | 1000 (+0%) |',
                         '| 513 | 4 | 3.00 | 4.00 (+33%) * | 1000 | 1000 (+0%) |']


def test_the_posts_training_is_predicted_on_this_cpu_and_a_gpu():
    # 47,449 steps of 8 s; 2.4e12 operations each take 0.24 s at 10 TFLOP/s, and this CPU
    # reaches half of its 600 GFLOP/s.
    lines = growth.predictions(by_law(0.0, 1.0), growth.Law(0.0, 1.0, 0.0), 6e11, 10.0)
    assert '%.3f' % growth.days(8.0) == '4.393'
    assert lines[0] == '- on this CPU: 4.4 days (8.0 s a step)'
    assert 'GPU of 10 TFLOP/s: at least 0.13 days' in lines[1] and '(not run)' in lines[1]
    assert lines[2] == ('- on the same GPU, if a step reaches 50% of the limit as here: 0.26 days '
                        '(not run)')
    assert len(growth.predictions(by_law(0.0, 1.0), growth.Law(0.0, 1.0, 0.0), None, 10.0)) == 2


@pytest.fixture
def fake(monkeypatch):
    asked = []

    def take_turns(commands, num_rounds, log_path):
        [(name, command)] = commands.items()
        setting = json.loads(command[-1])
        if setting['task'] == 'product':
            # The machine is free at the end.
            seconds = [3.0, 2.0] if not asked else [1.0, 2.0]
            return {name: turns.Timed(seconds, {'operations': 6e11}, 1.0)}, {}
        asked.append((setting['resnet_model'], setting['crop_size'], setting['batch_size']))
        if asked[-1][1:] == (769, 1):
            return {}, {name: 'it was killed'}
        size = growth.size_of(*asked[-1][1:])
        about = {'operations': 3e11 * size, 'tensorflow': '2.21.0'}
        return {name: turns.Timed([size, 9 * size, size], about, 1000 + 1000 * size)}, {}
    monkeypatch.setattr(turns, 'take_turns', take_turns)
    monkeypatch.setattr(machine, 'memory', lambda: machine.Memory(16 * 2 ** 30, 10 * 2 ** 30))
    return asked


def test_what_fails_has_no_memory_or_no_time_is_named(fake, tmp_path, capsys):
    path = tmp_path / 'page.md'
    growth.main(['--output', str(path), '--gpu_tflops', '10'])
    page = path.read_text()
    # 1000 + 1000 * 16 MiB are not in 10 GiB; of 8 they are.
    assert set(fake) == set(growth.SETTINGS) - {(growth.SHALLOW, 513, 16)}
    assert ('- not run: resnet_v2_50, 513x513, batch 16: it needs some 17000 MiB, and 10240 are '
            'free') in page
    assert '- not run: resnet_v2_50, 769x769, batch 1: it was killed' in page
    assert '- MiB = 1000 + 1000 * images * (crop / 513)^2, wrong by 0% at most' in page
    assert '- limit, of a product of matrices: 600 GFLOP/s' in page
    assert 'float32, TensorFlow 2.21.0.' in page
    assert '- on this CPU: 4.4 days' in page and '| 513 | 8 | 8.00 | 8.00 ' in page
    rows, left_out = growth.measure(growth.SETTINGS, 1, time.monotonic() - 1, 'log')
    assert not rows and len(left_out) == len(growth.SETTINGS)
    assert left_out[0] == 'resnet_v2_50, 257x257, batch 1: the time was up, see --time_limit'


def test_settings_vary_crop_batch_and_depth():
    models, crops, batches = map(set, zip(*growth.SETTINGS))
    assert models == {'resnet_v2_50', 'resnet_v2_101'}
    assert crops == {257, 513, 769} and batches == {1, 2, 4, 8, 16}
    assert len(set(growth.SETTINGS)) == len(growth.SETTINGS)
