"""What the tests of several processes have each of them do.

    TF_CONFIG=... python tests/helpers/worker_job.py JOB.json

`script`: runs a script with the tiny network. `fault`: joins without TensorFlow, and goes on until
it is stopped. `compute`: sums, a batch norm and steps of training.
"""
import contextlib
import json
import os
import runpy
import signal
import socket
import sys
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[0] = ROOT

from common import scripts  # noqa: E402
from common.errors import UserError  # noqa: E402
from experiment import agreement, stopping  # noqa: E402
from runtime import channel  # noqa: E402

BASE_DEPTH = 8  # makes checkpoints small and steps fast


def script(path, *argv):
    """Runs train.py or test.py."""
    from tests.helpers import tiny_runs  # with TensorFlow
    sys.argv[:] = [path] + list(argv)
    with tiny_runs.tiny_network(BASE_DEPTH):
        runpy.run_path(os.path.join(ROOT, path), run_name='__main__')


def fault(folder, dataset_dir, timeout, flags=None, code=None, fails=None, closed=False):
    """Joins, says so in a file of its process id, and waits for the end.

    Args:
      folder: str, where the file goes.
      dataset_dir: str.
      timeout: float, of a worker without a sign of life.
      flags: dict, those that this worker has otherwise.
      code: None, or str, another root whose modules are its code.
      fails: None, or str, what this worker fails with once it has joined.
      closed: bool, whether nobody listens at this worker's address.
    """
    agreement.ROOT = code or ROOT
    stop = stopping.StopRequest()
    with scripts.ending_in_one_message(), stop.on_signals(), agreement.joined(
            dict({'worker_timeout': timeout, 'crop_size': 33}, **(flags or {})), dataset_dir,
            stop) as group, contextlib.ExitStack() as stack:
        if not closed:
            listener = stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(('127.0.0.1', channel.split_address(
                group.channel.addresses[group.rank])[1]))
            listener.listen(9)
        group.channel.check_addresses()
        with open(os.path.join(folder, '%d.part' % group.rank), 'w') as pid_file:
            pid_file.write('%d' % os.getpid())
        os.rename(pid_file.name, os.path.join(folder, str(group.rank)))
        while not group.is_due(stop):
            if fails:
                raise UserError(fails)
            time.sleep(0.05)
    print(stop.reason, file=sys.stderr)
    sys.exit(stop.status)


def compute(folder, dataset_dir, variants, num_steps):
    """Computes into FOLDER/RANK.npz, together or, without TF_CONFIG, alone; then one dies.

    Args:
      folder: str.
      dataset_dir: str.
      variants: dict from name to flags of `train.py`, each trained for `num_steps`.
      num_steps: int.
    """
    # Several workers are to be there first: TensorFlow takes seconds.
    import train
    from dataset import descriptor
    from experiment import train_flags
    from runtime.devices import set_up
    from tests.helpers import tiny_runs, worker_job
    with tiny_runs.tiny_network(BASE_DEPTH):
        parsed = {name: train_flags.parse(argv) for name, argv in variants.items()}
    with agreement.joined({'worker_timeout': 20}, dataset_dir, stopping.StopRequest()) as group:
        set_up(num_threads=1)
        group.start_server()
        found = worker_job.sums(group) if group.count > 1 else {}
        with tiny_runs.tiny_network(BASE_DEPTH):
            for name, args in parsed.items():
                for variable, value in worker_job.trained(
                        train, args, descriptor.load(dataset_dir), group, num_steps).items():
                    found['%s:%s' % (name, variable)] = value
        np.savez(os.path.join(folder, '%d.npz' % (group.rank if group.count > 1 else 9)), **found)
        if group.count > 1:
            group.of_chief(lambda: None)
            worker_job.die_within_a_sum(group)


def sums(group):
    """Returns a dict of arrays: sums over the workers, and a synced batch norm."""
    from resnet import resnet_utils
    from runtime import slim, tf
    with tf.Graph().as_default() as graph, tf.device(group.device):
        added = group.all_sum([tf.fill([2, 2], 1.5 + group.rank),
                               tf.constant(7 + group.rank, tf.int64)])
        with slim.arg_scope([slim.batch_norm], is_training=True, decay=0.9, epsilon=0.01,
                            scale=True):
            inputs = tf.constant(batch(group.count)[group.rank::group.count])
            normed = resnet_utils.synced_batch_norm(inputs, group.all_sum, group.count)
        answers = batch_norm_answers(inputs, normed)
        initialise = tf.global_variables_initializer()
    with tf.Session(group.target, graph, group.session_config()) as session:
        session.run(initialise)
        return dict(session.run(answers), floats=session.run(added[0]), int=session.run(added[1]))


def die_within_a_sum(group):
    """Sums again and again; worker 1 kills itself after the first."""
    from runtime import tf
    with tf.Graph().as_default() as graph, tf.device(group.device):
        added = group.all_sum([tf.ones([2])])
    with tf.Session(group.target, graph, group.session_config()) as session:
        while True:
            session.run(added)
            if group.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)


def batch(count):
    """Returns float32 images far from 0, one for each worker twice."""
    random = np.random.RandomState(3)
    return (random.normal(size=[2 * count, 5, 4, 3]) + [50, -3, 0]).astype(np.float32)


def batch_norm_answers(inputs, normed):
    """Returns a dict of tensors: values, gradients and moving statistics of a batch norm."""
    from runtime import tf
    loss = tf.reduce_sum(tf.sin(normed) * (0.1 * inputs + 1))
    answers = {'normed': normed, 'gradient': tf.gradients(loss, inputs)[0]}
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        for variable in tf.global_variables():
            answers[variable.op.name] = tf.identity(variable.read_value())
    for variable in tf.trainable_variables():
        answers['gradient of ' + variable.op.name] = tf.gradients(loss, variable)[0]
    return answers


def trained(train, args, info, group, num_steps):
    """Trains some steps without a run directory; returns a dict of weights and of the loss."""
    import network
    from experiment import config, weights
    from runtime import tf
    config.resolve_classes(args, info)
    graph = train.build_train_graph(args, info, network.options_of(args), group=group)
    with graph.graph.as_default():
        restore = weights.start_of(args, None, graph.saver, graph.averages, graph.copy_op,
                                   group.is_chief)
        variables = {variable.op.name: variable for variable in tf.global_variables()}
    with tf.Session(group.target, graph.graph, group.session_config()) as session:
        restore(session)
        session.run(graph.initializer)
        for _ in range(num_steps):
            for _ in range(args.accumulate_steps - 1):
                session.run(graph.step.accumulate_op)
            loss = session.run([graph.train_op, graph.step.losses.total])[1]
        return dict(session.run(variables), loss=loss)


if __name__ == '__main__':
    with open(sys.argv[1]) as job_file:
        name, arguments, options = json.load(job_file)
    {'script': script, 'fault': fault, 'compute': compute}[name](*arguments, **options)
