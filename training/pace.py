"""How long the parts of a run take here: some steps on the run's own graph, which are forgotten."""
import os
import tempfile
import time

import numpy as np

import network
from experiment import checkpoints
from experiment.planning import Pace
from preprocessing import inputs
from runtime import tf
from training import failures
from training.validation import split_of

STEPS = 4
# For --estimate, where somebody waits for the answer.
ROUGH_STEPS = 1
# Of an evaluation, beside its images and the start of its session: scores and curves are drawn.
DRAWING_SECONDS = 2.0


def measure(args, facts, build_train_graph, info, group, stop):
    """Measures the parts of a run; nothing of it stays.

    Args:
      args: the flags, complete; with `estimate` the answer is a rough one.
      facts: `recipes.Facts`.
      build_train_graph: as that of train.py.
      info: `dataset.descriptor.DatasetInfo`.
      group: `workers.Alone` or `workers.Workers`.
      stop: `stopping.StopRequest`, which knows when the process began.

    Returns:
      `planning.Pace`.

    Raises:
      UserError: out of memory, or images that cannot be read.
    """
    begun = time.time()
    graph = build_train_graph(args, info, network.options_of(args), group=group)
    with graph.graph.as_default():
        initialise = tf.group(tf.global_variables_initializer(), tf.local_variables_initializer())
    graph.graph.finalize()
    with failures.explained(args, graph.paths), tempfile.TemporaryDirectory() as folder, \
            tf.Session(group.target, graph.graph, group.session_config()) as session:
        opened = time.time()
        session.run([initialise, graph.initializer])

        def step():
            for _ in range(args.accumulate_steps - 1):
                session.run(graph.step.accumulate_op)
            session.run(graph.train_op)

        first = _seconds(step)
        times = [_seconds(step) for _ in range(ROUGH_STEPS if args.estimate else STEPS)]
        forward = _seconds(lambda: session.run(graph.panels))
        save = _seconds(lambda: graph.saver.save(
            session, os.path.join(folder, checkpoints.PREFIX), write_meta_graph=False))
    seconds = float(np.median(times))
    sets_up = max(0.0, first - seconds)
    images = args.batch_size // group.count // args.accumulate_steps
    evaluation = 0.0
    if split_of(args, info):
        share = facts.size[0] * facts.size[1] / float(images * args.crop_size ** 2)
        num_images = inputs.epoch_size(info, split_of(args, info), args.overfit)
        evaluation = (forward * share * num_images / group.count + sets_up + save
                      + DRAWING_SECONDS)
    return Pace(stop.seconds(), opened - begun + first, seconds, evaluation, save)


def _seconds(function):
    """Returns how long a function takes, a float."""
    begun = time.time()
    function()
    return time.time() - begun
