import json

from benchmarks import own_network, traces
from tests.helpers import tiny_runs

OPERATIONS = [('a', 'Conv2D', 1, 1000, 30), ('b', 'Conv2D', 2, 1010, 30),
              ('c', 'Relu', 1, 1030, 20)]


def test_kinds_are_summed_the_heaviest_first(monkeypatch):
    assert traces.heaviest(OPERATIONS) == [['Conv2D', 2, 0.75], ['Relu', 1, 0.25]]
    monkeypatch.setattr(traces, 'ROWS_SHOWN', 1)
    # Shares are of the time of all.
    assert traces.heaviest(OPERATIONS) == [['Conv2D', 2, 0.75]]


def test_a_timeline_is_what_chrome_reads(tmp_path):
    path = str(tmp_path / 'timeline.json')
    traces.write_timeline(OPERATIONS, path)
    with open(path) as timeline:
        events = json.load(timeline)['traceEvents']
    assert events[1] == {'ph': 'X', 'pid': 0, 'tid': 2, 'ts': 1010, 'dur': 30, 'name': 'Conv2D',
                         'args': {'name': 'b'}}


def test_a_step_of_training_is_traced(tmp_path):
    path = str(tmp_path / 'timeline.json')
    with tiny_runs.tiny_network():
        _, about = own_network.build({
            'task': 'training', 'batch_size': 2, 'crop_size': 65, 'output_stride': 16,
            'resnet_model': tiny_runs.TINY, 'form': 'native', 'timeline': path})
    # MKL's kernels have names of their own.
    kinds = [kind for kind, _, _ in about['profile']]
    assert any('Conv2DBackpropFilter' in kind for kind in kinds)
    assert 0.5 < sum(share for _, _, share in about['profile']) <= 1
    with open(path) as timeline:
        events = json.load(timeline)['traceEvents']
    assert len(events) > 300 and all(event['dur'] >= 0 and event['ts'] > 1e15 for event in events)
