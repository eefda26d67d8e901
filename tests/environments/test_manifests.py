"""What starts jobs on clusters: the commands that it comes to are those of this project."""
import os
import subprocess

import pytest

from experiment import flag_checks, train_flags
from runtime import launch
from tests.helpers import ROOT


def test_the_slurm_script_starts_one_launcher_on_each_node(tmp_path):
    programs = {
        # As Slurm's: one node a line; srun starts the command on each.
        'bin/scontrol': 'test "$*" = "show hostnames node[1-2]" && printf "node1\\nnode2\\n"',
        'bin/srun': 'for SLURM_NODEID in 0 1; do export SLURM_NODEID; "$@"; done',
        '.venv/bin/python': 'for word; do printf "%s\\n" "$word"; done; echo'}
    for name, text in programs.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('#!/bin/sh\n%s\n' % text)
        path.chmod(0o755)
    output = subprocess.check_output(
        ['sh', os.path.join(ROOT, 'environments', 'slurm.sh'), '--model_dir', 'runs/with a blank'],
        cwd=str(tmp_path), env={'PATH': '%s:%s' % (tmp_path / 'bin', os.environ['PATH']),
                                'SLURM_JOB_NODELIST': 'node[1-2]'}).decode()
    commands = [words.split('\n') for words in output.strip().split('\n\n')]
    assert [command[0] for command in commands] == ['runtime/launch.py'] * 2
    for host, command in enumerate(commands):
        flags = launch.parse_flags(command[1:])
        assert (flags.workers, flags.hosts, flags.host) == (4, ['node1', 'node2'], host)
        assert flags.command == ['train.py', '--model_dir', 'runs/with a blank']


def test_the_kubernetes_manifest_is_a_tfjob_whose_flags_train_py_takes():
    yaml = pytest.importorskip('yaml')
    with open(os.path.join(ROOT, 'environments', 'tfjob.yaml')) as manifest_file:
        manifest = yaml.safe_load(manifest_file)
    assert (manifest['apiVersion'], manifest['kind']) == ('kubeflow.org/v1', 'TFJob')
    worker = manifest['spec']['tfReplicaSpecs']['Worker']
    [container] = worker['template']['spec']['containers']
    assert container['name'] == 'tensorflow' and container['command'][1] == 'train.py'
    flag_checks.check_batch(train_flags.parse(container['command'][2:]), worker['replicas'])
