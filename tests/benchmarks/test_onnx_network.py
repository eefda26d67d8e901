import os

import numpy as np
import pytest

from benchmarks import onnx_network
from tests.helpers import tiny_runs

SETTING = {'task': 'inference', 'batch_size': 2, 'crop_size': 33, 'output_stride': 16,
           'resnet_model': tiny_runs.TINY}


def test_the_export_of_random_weights_gives_labels_alone(monkeypatch):
    onnxruntime = pytest.importorskip('onnxruntime')
    made = []

    def check_call(command, **_):
        made.append(command)
        onnx_network.export(SETTING, command[-1])
        assert sorted(os.listdir(command[-1])) == ['about.json', 'labels.onnx', 'model.onnx']
    monkeypatch.setattr(onnx_network.subprocess, 'check_call', check_call)
    with tiny_runs.tiny_network():
        step, about = onnx_network.build(SETTING)
    assert about['onnxruntime'] == onnxruntime.__version__ and about['parameters'] > 1e6
    # In a process of its own, whose memory is not that of the inference.
    assert made[0][1].endswith('onnx_network.py') and not os.path.exists(made[0][-1])
    [labels] = step()
    assert labels.shape == (2, 33, 33) and labels.dtype == np.uint8
