"""Inference by ONNX Runtime on what export.py writes, timed by benchmarks/speed.py.

    PYTHON benchmarks/onnx_network.py '{"task": "inference", "crop_size": 513, ...}'
"""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing

import numpy as np  # noqa: E402

from benchmarks import settings, turns  # noqa: E402
from common import files  # noqa: E402
from runtime import tf  # noqa: E402
from runtime.devices import session_config  # noqa: E402
from serving import formats, layout  # noqa: E402


def export(setting, folder):
    """Writes the export of random weights, without the probabilities, which others do not compute.

    Args:
      setting: dict, see `settings.options_of`.
      folder: str; it gets labels.onnx and about.json, what the network is.
    """
    import onnx  # not for the process that is measured
    graph = formats.build_export_graph(settings.options_of(setting))
    with graph.as_default(), tf.Session(config=session_config()) as session:
        tf.set_random_seed(0)
        session.run(tf.global_variables_initializer())
        formats.write_onnx(formats.frozen_graph_def(session), folder, layout.DEFAULT_OPSET)
        about = {'parameters': settings.count_parameters()}
    onnx.utils.extract_model(os.path.join(folder, layout.ONNX),
                             os.path.join(folder, 'labels.onnx'), ['images'], ['labels'])
    files.write_json(about, os.path.join(folder, 'about.json'))


def build(setting):
    """Builds a step, as `own_network.build`, from what a process of its own exports."""
    import onnxruntime  # not for the process that exports
    with tempfile.TemporaryDirectory() as folder:
        subprocess.check_call([sys.executable, os.path.abspath(__file__), json.dumps(setting),
                               folder], stdout=subprocess.DEVNULL)
        session = onnxruntime.InferenceSession(os.path.join(folder, 'labels.onnx'),
                                               providers=['CPUExecutionProvider'])
        about = files.read_json(os.path.join(folder, 'about.json'))
    images = np.random.RandomState(0).randint(
        0, 256, [setting['batch_size']] + [setting['crop_size']] * 2 + [3]).astype(np.uint8)

    def step():
        return session.run(['labels'], {'images': images})
    return step, dict(about, onnxruntime=onnxruntime.__version__)


if __name__ == '__main__':
    if len(sys.argv) > 2:
        export(json.loads(sys.argv[1]), sys.argv[2])
    else:
        turns.serve(*build(json.loads(sys.argv[1])))
