"""TensorFlow 1.15 and 2.21 do the same, on a machine that has both environments.

Each works in processes of its own (tests/helpers/parity_worker.py), on the same files.
"""
import glob
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from common import files
from runtime import tf
from tests.helpers import ROOT, SHARED, parity_worker, tiny_runs

NETWORKS = [(model, stride) for model in ('resnet_v2_50', 'resnet_v2_101') for stride in (8, 16)]
TRAIN = ['--resnet_model', tiny_runs.TINY, '--num_threads', '1', '--batch_size', '4',
         '--crop_size', '65', '--batch_norm_decay', '0.9', '--optimizer', 'momentum',
         '--starting_learning_rate', '0.001', '--summary_every_steps', '1']
SIDES = ('1.15', '2.21')


def interpreters():
    """Returns dict from side to path of the environments that stand here."""
    found = {}
    for folder in ('.venv-tf2', '.venv-tf1', '.venv'):
        python = os.path.join(ROOT, folder, 'bin', 'python')
        if os.path.exists(python):
            is_37 = glob.glob(os.path.join(ROOT, folder, 'lib', 'python3.7'))
            found['1.15' if is_37 else '2.21'] = python
    return found


PYTHONS = interpreters()
pytestmark = pytest.mark.skipif(
    len(PYTHONS) < 2, reason='needs both environments: RUNTIME=tf1 make env; RUNTIME=tf2 make env')


def work(side, folder, *jobs):
    """Has one runtime do jobs of `parity_worker`; returns what it printed."""
    path = os.path.join(str(folder), 'jobs.json')
    files.write_json(jobs, path)
    worker = subprocess.run([PYTHONS[side], parity_worker.__file__, path], cwd=ROOT,
                            env=dict(os.environ, OMP_NUM_THREADS='1'), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, universal_newlines=True)
    assert worker.returncode == 0, worker.stdout
    return worker.stdout


def other(side):
    return SIDES[1 - SIDES.index(side)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('parity')


@pytest.fixture(scope='module')
def start(folder, shapes_dir):
    """A run of the tiny network, whose weights others start from."""
    path = str(folder / 'start')
    with tiny_runs.tiny_network():
        tiny_runs.write_run(path, shapes_dir)
    return path


@pytest.fixture(scope='module')
def runs(folder, start, shapes_dir):
    """Dict from side to a run of 20 steps, and (side, other side) to one of 4 steps and 4 more."""
    flags = TRAIN + ['--dataset_dir', shapes_dir, '--init_from', start]
    paths = {side: str(folder / ('run' + side)) for side in SIDES}
    paths.update({(side, other(side)): str(folder / ('from' + side)) for side in SIDES})
    for side in SIDES:
        work(side, folder,
             ['script', 'train', '--model_dir', paths[side], '--max_steps', '20'] + flags,
             ['script', 'train', '--model_dir', paths[side, other(side)], '--max_steps', '4']
             + flags)
    for side in SIDES:
        work(side, folder, ['script', 'train', '--model_dir', paths[other(side), side],
                            '--max_steps', '8'] + flags)
    return paths


def metrics_of(run):
    """Returns the numbers of metrics.jsonl that are no speeds, as float [steps, numbers]."""
    with open(os.path.join(run, 'metrics.jsonl')) as lines:
        rows = [json.loads(line) for line in lines]
    return {(row['step'], name): value for row in rows for name, value in row.items()
            if not name.startswith(('speed', 'time', 'memory')) and name != 'step'}


@pytest.mark.parametrize('model, stride', NETWORKS)
def test_a_checkpoint_has_the_same_logits(model, stride, folder):
    prefix, answers = str(folder / model), [str(folder / (side + '.npy')) for side in SIDES]
    for side, answer in zip(SIDES, answers):
        work(side, folder, ['logits', model, stride, prefix, answer])
    old, new = [np.load(answer) for answer in answers]
    assert old.std() > 0.01
    assert np.abs(old - new).max() <= 1e-5 * np.abs(old).max()
