"""What the tests of several processes have each of them do.

    TF_CONFIG=... python tests/helpers/worker_job.py JOB.json

`fault`: joins without TensorFlow, and goes on until it is stopped. `compute`: sums, a batch norm
and steps of training. `sum_faults`: what ends within sums. `scripts`: runs scripts with the tiny
network.
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


def scripts_of(*commands):
    """Runs train.py and test.py with the tiny network, one after another.

    Args:
      *commands: lists of str, a script and its flags.
    """
    from tests.helpers import tiny_runs  # with TensorFlow
    with tiny_runs.tiny_network(BASE_DEPTH):
        for command in commands:
            sys.argv[:] = command
            runpy.run_path(os.path.join(ROOT, command[0]), run_name='__main__')


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


def compute(folder, dataset_dir, argv, num_steps):
    """Computes into FOLDER/RANK.npz, together or, without TF_CONFIG, alone.

    Args:
      folder: str.
      dataset_dir: str.
      argv: list of str, flags of `train.py`.
      num_steps: int, how long that trains.
    """
    # Several workers are to be there first: TensorFlow takes seconds.
    import train
    from dataset import descriptor
    from experiment import train_flags
    from runtime.devices import Settings, set_up
    from tests.helpers import tiny_runs, worker_job
    with agreement.joined({'worker_timeout': 20}, dataset_dir, stopping.StopRequest()) as group:
        set_up(Settings(num_threads=1))
        group.start_server()
        found = worker_job.sums(group) if group.count > 1 else {}
        for num_parts in (2, 4):
            found.update(worker_job.small_steps(group, num_parts, num_steps))
        with tiny_runs.tiny_network(BASE_DEPTH):
            found.update(('network:' + name, value) for name, value in worker_job.trained(
                train, train_flags.parse(argv), descriptor.load(dataset_dir), group,
                num_steps).items())
        np.savez(os.path.join(folder, '%d.npz' % (group.rank if group.count > 1 else 9)), **found)


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


def small_steps(group, num_parts, num_steps):
    """Trains two convolutions on a batch in parts, each with a batch norm of its own.

    Args:
      group: `workers.Alone` or `workers.Workers`, who share the parts.
      num_parts: int, of the batch of four images.
      num_steps: int.

    Returns:
      Dict of arrays: 'small' and `num_parts`, a colon and the name of a variable; `copied` before
      it where all have the chief's values.
    """
    from runtime import slim, tf
    from tests.helpers import pseudo_random
    from training import graph as training_graph, optimization
    size, num_own = 4 // num_parts, num_parts // group.count
    with tf.Graph().as_default() as graph, tf.device(group.device):
        images = tf.placeholder(tf.float32, [size, 5, 6, 3])
        labels = tf.placeholder(tf.int32, [size, 5, 6])
        features = slim.conv2d(images, 4, 3, normalizer_fn=slim.batch_norm, normalizer_params=dict(
            is_training=True, decay=0.5, scale=True))
        logits = slim.conv2d(features, 3, 1, activation_fn=None)
        step_variable = tf.train.get_or_create_global_step()
        step = optimization.build_train_step(
            logits, labels, 255, optimization.OptimizerOptions(
                'momentum', 0.9, 0.1, 'constant', None, 0.1, 0, 9, num_own, False, 0.5, 0),
            step_variable, tf.constant(0.1), all_sum=group.all_sum)
        train_op, _ = training_graph.build_averages(step.train_op, 0.9, step_variable)
        copy_op = group.build_copy(tf.global_variables())
        initialise = [tf.local_variables_initializer(), tf.global_variables_initializer()]
        variables = {variable.op.name: variable for variable in tf.global_variables()}
    images_fed, labels_fed = small_batch()
    parts = [{images: images_fed[part * size:][:size], labels: labels_fed[part * size:][:size]}
             for part in range(num_parts)]
    with tf.Session(group.target, graph, group.session_config()) as session:
        session.run(initialise)
        with graph.as_default():
            pseudo_random.assign(session, seed=group.rank)  # the chief's are copied
        if copy_op is not None:
            session.run(copy_op)
        for _ in range(num_steps):
            own = parts[group.rank * num_own:][:num_own]
            for part in own[:-1]:
                session.run(step.accumulate_op, part)
            loss = session.run([train_op, step.losses.total], own[-1])[1]
        found = dict(session.run(variables), loss=loss)
        if copy_op is not None:
            session.run(copy_op)
        copied = session.run(variables)
    return {'%s%d:%s' % (prefix, num_parts, name): value
            for prefix, values in (('small', found), ('copied', copied))
            for name, value in values.items()}


def small_batch():
    """Returns float32 [4, 5, 6, 3] and int32 [4, 5, 6]: of the first, few pixels count."""
    random = np.random.RandomState(5)
    labels = random.randint(0, 3, size=[4, 5, 6]).astype(np.int32)
    labels[0, 1:] = 255
    return random.normal(size=[4, 5, 6, 3]).astype(np.float32), labels


def sum_faults(folder, dataset_dir, timeout, groups):
    """Has several groups of two sum in processes of their own, where one of each ends or stops.

    They fork once TensorFlow is imported, which takes most of their time, and before it computes.
    Writes FOLDER/GROUP.RANK, the output, and FOLDER/ends.json: [group][rank] to [exit status,
    seconds since the fault].

    Args:
      folder: str.
      dataset_dir: str.
      timeout: float, of a worker without a sign of life.
      groups: list of [addresses, rank at fault, number of the signal it gives itself].
    """
    os.environ['TF_CPP_MIN_LOG_LEVEL'] = '2'  # as `workers.joined` sets it before the import
    from runtime import collective_ops, tf, workers
    tf.Graph, collective_ops.all_reduce  # imports them
    children = {}
    for number, (addresses, victim, signal_number) in enumerate(groups):
        for rank in range(len(addresses)):
            child = os.fork()
            if not child:
                output = os.open(os.path.join(folder, '%d.%d' % (number, rank)),
                                 os.O_WRONLY | os.O_CREAT)
                os.dup2(output, 1)
                os.dup2(output, 2)
                os.environ['TF_CONFIG'] = workers.tf_config(addresses, rank)
                sum_on(dataset_dir, timeout, rank == victim and signal_number, os.path.join(
                    folder, '%d.fault' % number))
            children[child] = number, rank
    ends = [[None] * len(addresses) for addresses, _, _ in groups]
    while children:
        child, status = os.waitpid(-1, 0)
        number, rank = children.pop(child)
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        fault = os.path.join(folder, '%d.fault' % number)
        ends[number][rank] = code, os.path.exists(fault) and time.time() - os.path.getmtime(fault)
        # One that is stopped is alone left.
        for other, (group, other_rank) in children.items():
            if group == number and other_rank == groups[number][1]:
                os.kill(other, signal.SIGKILL)
    with open(os.path.join(folder, 'ends.json'), 'w') as ends_file:
        json.dump(ends, ends_file)


def sum_on(dataset_dir, timeout, signal_number, fault):
    """Sums again and again, for ever or until the signal that this process gives itself."""
    from runtime import tf
    from runtime.devices import Settings, set_up
    with scripts.ending_in_one_message(), agreement.joined(
            {'worker_timeout': timeout}, dataset_dir, stopping.StopRequest()) as group:
        set_up(Settings(num_threads=1))
        group.start_server()
        with tf.Graph().as_default() as graph, tf.device(group.device):
            added = group.all_sum([tf.ones([2])])
        with tf.Session(group.target, graph, group.session_config()) as session:
            for count in range(10 ** 9):
                session.run(added)
                if signal_number and count == 9:
                    open(fault, 'w').close()
                    os.kill(os.getpid(), signal_number)


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
    {'scripts': scripts_of, 'fault': fault, 'compute': compute, 'sum_faults': sum_faults}[name](
        *arguments, **options)
