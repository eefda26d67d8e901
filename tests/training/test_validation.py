"""Evaluations while several workers train: all score the weights, or averages, of the chief."""
import numpy as np
import pytest

import network
from dataset import descriptor
from evaluation import loop
from experiment import config, train_flags
from experiment.run_dir import WorkerDirectory
from runtime import tf, workers
from tests.helpers import tiny_runs
from training.graph import build_averages, build_savers
from training.validation import Validation


class Group(workers.Alone):
    """Two workers of which one is here."""

    def __init__(self, rank):
        self.rank, self.count, self.is_chief = rank, 2, rank == 0


@pytest.mark.parametrize('rank', [0, 1])
def test_the_chief_alone_reads_averages_of_ema_decay(shapes_dir, rank):
    # What another worker evaluates, it has saved under the names of the model.
    with tiny_runs.tiny_network():
        args = train_flags.parse(['--resnet_model', tiny_runs.TINY, '--ema_decay', '0.9',
                                  '--dataset_dir', shapes_dir])
        info = descriptor.load(shapes_dir)
        config.resolve_classes(args, info)
        graph = Validation(args, info, network.options_of(args), None, None, Group(rank)).graph
    [restored] = [op for op in graph.graph.get_operations() if op.type == 'RestoreV2']
    names = restored.inputs[1].op.get_attr('value').string_val
    assert len(names) == len(graph.variables)
    assert {name.endswith(b'/ExponentialMovingAverage') for name in names} == {rank == 0}


def test_another_worker_saves_what_the_chief_has_copied_for_its_evaluation(monkeypatch):
    seen = []

    def evaluate(graph, checkpoint, *_, **__):
        reader = tf.train.load_checkpoint(checkpoint)
        seen.extend(reader.get_tensor(name) for name in ('model', 'global_step'))
        return loop.WITH_CHIEF
    monkeypatch.setattr(loop, 'evaluate', evaluate)
    validation = Validation.__new__(Validation)
    with WorkerDirectory() as folder, tf.Graph().as_default(), tf.Session() as session:
        model = tf.Variable(2.0, name='model')
        tf.add_to_collection(tf.GraphKeys.MODEL_VARIABLES, model)
        step = tf.train.get_or_create_global_step()
        _, averages = build_averages(tf.no_op(), 0.5, step)
        savers = build_savers(averages, step, 1)
        copy_op = tf.group(averages[model].assign(7.0), step.assign(3))
        session.run(tf.global_variables_initializer())
        validation.run_dir, validation.group = folder, Group(1)
        validation.graph = validation.info = validation.split = None
        validation.stop = type('Stop', (), {'is_due': None})
        assert validation.run(3, session, savers[1], None, copy_op) is True
    np.testing.assert_array_equal(seen, [7.0, 3])
