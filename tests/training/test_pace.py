"""pace.py: a measurement takes what the run's own graph takes, and leaves nothing."""
import os
import time

import pytest

import train
from dataset import descriptor
from experiment import planning, stopping, train_flags
from runtime import workers
from tests.helpers import tiny_runs
from training import pace


def measured(shapes_dir, tmp_path, monkeypatch, *flags, seconds=0.5):
    """Measures a tiny run by a clock on which all takes `seconds`; returns (pace, what it did)."""
    did = []

    def on_the_clock(function):
        did.append(function)
        function()
        return seconds
    monkeypatch.setattr(pace, '_seconds', on_the_clock)
    with tiny_runs.tiny_network(8):
        return measured_tiny(shapes_dir, tmp_path, flags) + (did,)


def measured_tiny(shapes_dir, tmp_path, flags):
    args = train_flags.parse([
        '--resnet_model', tiny_runs.TINY, '--dataset_dir', shapes_dir, '--crop_size', '33',
        '--batch_size', '2', '--init_from', 'random', '--model_dir', str(tmp_path / 'run'),
        *flags])
    info = descriptor.load(shapes_dir)
    args.number_of_classes = info.number_of_classes
    facts = planning.look_at(info, args, workers.ALONE)
    return pace.measure(args, facts, train.build_train_graph, info, workers.ALONE,
                        stopping.StopRequest()), facts


def test_steps_evaluations_and_checkpoints_are_measured(shapes_dir, tmp_path, monkeypatch):
    found, facts, did = measured(shapes_dir, tmp_path, monkeypatch, '--accumulate_steps', '2')
    # The first step, four more, the network alone, a checkpoint.
    assert len(did) == 7 and (found.step, found.save) == (0.5, 0.5)
    # Two validation images, at their size by half a second for a crop; the first step sets up
    # nothing on this clock.
    height, width = facts.size
    assert found.evaluation == pytest.approx(2 * 0.5 * height * width / 33.0 ** 2 + 0.5 + 2.0)
    assert found.start >= 0.5 and found.spent > 0
    assert not os.path.exists(str(tmp_path / 'run'))


def test_an_estimate_makes_do_with_one_step_more(shapes_dir, tmp_path, monkeypatch):
    assert len(measured(shapes_dir, tmp_path, monkeypatch, '--estimate')[2]) == 4


def test_without_a_validation_split_no_evaluation_takes_time(shapes_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(pace, 'split_of', lambda args, info: None)
    assert measured(shapes_dir, tmp_path, monkeypatch)[0].evaluation == 0


def test_seconds_are_those_that_a_function_takes():
    assert 0.02 <= pace._seconds(lambda: time.sleep(0.02)) < 2
