"""One step of a training graph: the parts of its batch, its scalars, its speed."""
import time
from collections import deque

import numpy as np

from common.errors import UserError
from training.failures import FailedStep, explain_weights

# Remembered: losses for what is said when one is not finite, and times for the speed.
HISTORY_STEPS = 20


class Steps:
    """Runs the steps of a finalized graph; creates no ops.

    Args:
      session: `tf.Session` with all variables restored.
      graph: `graph.TrainGraph`.
      args: the flags.
      start_step: int, the number of steps already trained.
      explain: function that words what a `failures.FailedStep` means.
    """

    def __init__(self, session, graph, args, start_step, explain):
        self.session, self.graph, self.args, self.start_step = session, graph, args, start_step
        self.explain = explain
        self.finished_step = start_step
        self.history = deque(maxlen=HISTORY_STEPS)
        # (seconds, seconds waited for data) of the last steps, without saves and evaluations.
        self.times = deque(maxlen=HISTORY_STEPS)

    def run(self, step, with_panels):
        """Trains on one batch.

        Returns:
          (dict of scalars to log, serialized panels or None).

        Raises:
          UserError: loss or gradients are not finite.
        """
        start, waited = time.time(), 0.0
        for _ in range(self.args.accumulate_steps - 1):
            waited += self.session.run([self.graph.data_wait, self.graph.step.accumulate_op])[0]
        fetches = {'train_op': self.graph.train_op, 'losses': self.graph.step.losses,
                   'norms': self.graph.step.gradient_norms,
                   'learning_rate': self.graph.learning_rate, 'wait': self.graph.data_wait}
        if with_panels:
            fetches['panels'] = self.graph.panels
        values = self.session.run(fetches)
        self.note_time(step, time.time() - start, waited + values['wait'])
        self._check_finite(step, values)
        self.finished_step = step
        self.history.append(float(values['losses'].total))
        scalars = {'loss/' + name: float(value)
                   for name, value in values['losses']._asdict().items()}
        scalars.update(self.speed(), learning_rate=float(values['learning_rate']),
                       gradient_norm=float(np.linalg.norm(values['norms'])))
        return scalars, values.get('panels')

    def checked_step(self):
        """Makes sure that all that a checkpoint would keep of the last finished step is finite.

        The loss says nothing of the last update of the weights, nor of the moving statistics,
        which training does not read.

        Returns:
          int, that step.

        Raises:
          UserError: something is not.
        """
        finite = self.session.run(self.graph.are_finite)
        bad = sorted(name for name, is_finite in finite.items() if not is_finite)
        if bad:
            raise UserError(explain_weights(self.finished_step, bad, len(finite), self.args))
        return self.finished_step

    def note_time(self, step, seconds, waited):
        """Remembers how long a step took, and how long of it there were no data."""
        if step == self.start_step + 2:
            self.times.clear()  # the first step of a process sets things up
        self.times.append((seconds, waited))

    def speed(self):
        """Returns a dict of scalars: images per second, and the share of time without data."""
        seconds, waited = np.sum(self.times, axis=0)
        return {'speed/images_per_second': self.args.batch_size * len(self.times) / seconds,
                'speed/data_wait_share': min(1.0, waited / seconds)}

    def _check_finite(self, step, values):
        if not (np.isfinite(values['losses'].total) and np.isfinite(values['norms']).all()):
            norms = dict(zip(self.graph.step.variable_names, values['norms']))
            raise UserError(self.explain(FailedStep(step, float(values['learning_rate']),
                                                    values['losses'], norms, list(self.history))))
