"""loop.py: what is said where an image is too large."""
import pytest

import network
from dataset import descriptor
from evaluation import graph, loop
from experiment import loading
from preprocessing.failures import OutOfMemoryError
from runtime import tf
from tests.helpers import tiny_runs


@pytest.fixture(scope='module')
def run(shapes_dir, tmp_path_factory):
    """A run of pseudo-random weights."""
    folder = str(tmp_path_factory.mktemp('run'))
    with tiny_runs.tiny_network():
        tiny_runs.write_run(folder, shapes_dir)
        yield loading.load_run(folder)


@pytest.mark.parametrize('error, raised', [
    (tf.errors.ResourceExhaustedError(None, None, 'OOM'), OutOfMemoryError),
    (tf.errors.InternalError(None, None, 'Dst tensor is not initialized.'), OutOfMemoryError),
    (tf.errors.InternalError(None, None, 'Blas GEMM launch failed'), tf.errors.InternalError)])
def test_out_of_memory_names_the_data_and_the_way_out(run, shapes_dir, monkeypatch, error, raised):
    info = descriptor.load(shapes_dir)
    eval_graph = graph.build_eval_graph(network.options_of(run.args), info, shapes_dir,
                                        graph.EvaluationOptions('test'))
    real = tf.Session.run

    def failing(session, fetches, *args, **kwargs):
        if isinstance(fetches, dict) and 'predictions' in fetches:
            raise error
        return real(session, fetches, *args, **kwargs)
    monkeypatch.setattr(tf.Session, 'run', failing)
    with pytest.raises(raised) as caught:
        loop.evaluate(eval_graph, run.checkpoint, info, 'test')
    if raised is OutOfMemoryError:
        caught.match('An image in %s does not fit into memory: test.py --window 513' % shapes_dir)
