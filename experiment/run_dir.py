"""The run directory as `train.py` holds it: one process, and nothing changed before all is sure.

The order in which it is written is that of the package's docstring.
"""
import contextlib
import os
import tempfile

from common import files
from common.errors import UserError
from common.interpreter import command
from experiment import checkpoints, config, history, run_log
from runtime import tf, workers
from runtime.devices import first_line

LOCK_NAME = '.lock'


@contextlib.contextmanager
def locked(model_dir):
    """Holds a run directory for this process; the lock ends with the process, however it ends.

    Raises:
      UserError: another process trains there.
    """
    with open(os.path.join(model_dir, LOCK_NAME), 'a+') as lock_file:
        try:
            files.lock(lock_file)
        except BlockingIOError:
            lock_file.seek(0)
            raise UserError('%s is in use: process %s trains there. Stop it, or give another '
                            '--model_dir.' % (model_dir, lock_file.read().strip() or '(unknown)'))
        lock_file.truncate(0)
        lock_file.write('%d\n' % os.getpid())
        lock_file.flush()
        yield


class RunDirectory:
    """The run directory of some flags, locked while the `with` statement lasts.

    A folder that is not there yet is made, and locked, by `begin`.

    Args:
      args: the flags of `train.py`.

    Attributes:
      path: str.
      checkpoint: str, the prefix that the run goes on from, or None.
      start_step: int, its step, or 0.
    """

    def __init__(self, args):
        self.path, self.checkpoint, self.start_step = args.model_dir, None, 0
        self._args, self._damaged, self._saved_step = args, {}, 0
        self._is_new = not os.path.isdir(self.path)
        self._lock = contextlib.ExitStack()

    def __enter__(self):
        if not self._is_new:
            self._lock.enter_context(locked(self.path))
        return self

    def __exit__(self, *error):
        self._lock.close()

    def find_start(self, group=workers.ALONE):
        """Finds the checkpoint that the run goes on from; changes no file.

        Args:
          group: `workers.Alone` or `workers.Workers`, whom the step is told.

        Raises:
          UserError: --resume does not fit what is there, the run there has other flags, or a
            file of it is damaged.
        """
        args = self._args
        checkpoint, self._damaged = checkpoints.latest_readable(self.path)
        if args.resume == 'always' and not checkpoint:
            raise UserError('--resume always: there is no checkpoint in %s.' % self.path)
        if checkpoint and args.resume == 'never':
            raise UserError('--resume never: %s holds a run already (%s). Give another '
                            '--model_dir.' % (self.path, os.path.basename(checkpoint)))
        if checkpoint and checkpoints.step_of(checkpoint) is None:
            raise UserError("%s is no checkpoint of this train.py, so it cannot be continued: "
                            'give another --model_dir, and --init_from %s to start from its '
                            'weights.' % (checkpoint, self.path))
        if checkpoint:
            config.check_resume(args, self.path)
            self.checkpoint, self.start_step = checkpoint, checkpoints.step_of(checkpoint)
        else:
            checkpoints.check_best_belongs(self.path)
        history.check(self.path)
        run_log.read_metrics(self.path)
        group.of_chief(lambda: self.start_step)

    def is_finished(self, step, is_evaluated):
        """Whether nothing is left to train or to evaluate at a step.

        Args:
          step: int.
          is_evaluated: bool, whether the run evaluates at all.
        """
        last = self._args.max_steps
        return step > last or step == last and (
            not is_evaluated or history.is_validated(self.path, step))

    def describe_finished(self):
        """Says that nothing is left to do, and how the run could go on. Returns str."""
        text = 'Give a larger --max_steps to go on, or another --model_dir.'
        if self._args.learning_rate_policy == 'poly':
            text = ('The policy poly has come to its end there: give another --model_dir, with '
                    '--init_from %s to start from its weights.' % self.path)
        return '%s is at step %d already. %s' % (self.path, self.start_step, text)

    def describe_done(self, split, info):
        """Says that a run is through, and how it is scored.

        Args:
          split: str or None, the split that was evaluated meanwhile.
          info: `dataset.descriptor.DatasetInfo`.

        Returns:
          str.
        """
        split = 'test' if 'test' in info.splits else split or 'train'
        return 'Done: %s. Score it with: %s' % (self.path, command(
            'test.py', '--checkpoint', self.path,
            *(() if split == 'test' else ('--split', split))))

    def log(self):
        """Opens the `run_log.RunLog` of the run, to be used in a `with` statement."""
        is_validated = history.is_validated(self.path, self.start_step)
        return contextlib.closing(run_log.RunLog(self.path, self.start_step, is_validated))

    def check_class_weights(self, class_weights):
        """Makes sure that a run is continued with the class weights it was begun with.

        Args:
          class_weights: None, or list of float.

        Raises:
          UserError: the file of --class_weights was changed.
        """
        if self.checkpoint:
            config.check_class_weights(class_weights, self.path)

    def begin(self, savers, class_weights):
        """Makes the folder, takes away what an abandoned future left, and writes config.json.

        Args:
          savers: (`tf.train.Saver` of the run, that of its best checkpoint).
          class_weights: None, or list of float.

        Raises:
          UserError: another process was faster.
        """
        if self._is_new:
            os.makedirs(self.path, exist_ok=True)
            self._lock.enter_context(locked(self.path))
            if config.is_run_dir(self.path):
                raise UserError('%s was begun by another process meanwhile. Give another '
                                '--model_dir, or the same command again to go on from there.'
                                % self.path)
        checkpoints.set_aside(self._damaged)
        for folder, saver, keep in zip((self.path, os.path.join(self.path, checkpoints.BEST_DIR)),
                                       savers, (self._args.keep_checkpoints, 1)):
            os.makedirs(folder, exist_ok=True)
            checkpoints.remove_leftovers(folder, keep)
            # Lets the saver delete what an earlier part of the run wrote.
            saver.recover_last_checkpoints(checkpoints.all_in(folder))
        history.cut_validations(self.path, self.start_step)
        config.save(self._args, self.path, class_weights)
        self._saved_step = self.start_step

    def save(self, saver, session, step):
        """Writes the checkpoint of a step, unless it is there; raises as `save_checkpoint`."""
        if step > self._saved_step:
            save_checkpoint(saver, session, self.path, step)
            self._saved_step = step

    def keep_best(self, saver, session, entry):
        """Writes the best checkpoint, and its score behind it.

        Args:
          saver: `tf.train.Saver`.
          session: `tf.Session`.
          entry: dict of `history.with_validation`.
        """
        folder = os.path.join(self.path, checkpoints.BEST_DIR)
        save_checkpoint(saver, session, folder, entry['step'])
        files.write_json(entry, os.path.join(folder, history.BEST_SCORE_NAME))


class WorkerDirectory:
    """What a worker has that is not the chief, which alone writes the run directory.

    Attributes:
      path: str, a temporary folder, for the weights that it evaluates.
      checkpoint, start_step: as of `RunDirectory`, of which the chief tells.
    """

    def __init__(self):
        self.path, self.checkpoint, self.start_step = None, None, 0
        self._folder = contextlib.ExitStack()

    def __enter__(self):
        self.path = self._folder.enter_context(tempfile.TemporaryDirectory())
        return self

    def __exit__(self, *error):
        self._folder.close()

    def find_start(self, group):
        """As of `RunDirectory`."""
        self.start_step = group.of_chief(None)

    def begin(self, savers, class_weights):
        """As of `RunDirectory`."""

    def save(self, saver, session, step):
        """As of `RunDirectory`."""

    def check_class_weights(self, class_weights):
        """As of `RunDirectory`."""

    def log(self):
        """As of `RunDirectory`: the chief logs."""
        return contextlib.ExitStack()

    def describe_done(self, split, info):
        """As of `RunDirectory`: the chief tells."""

    def describe_finished(self):
        """As of `RunDirectory`: the chief tells."""


def save_checkpoint(saver, session, folder, step):
    """Writes a checkpoint; TensorFlow writes it under a temporary name and renames it.

    Raises:
      UserError: it cannot be written; the older ones stay whole.
    """
    try:
        saver.save(session, os.path.join(folder, checkpoints.PREFIX), global_step=step,
                   write_meta_graph=False)
    except (tf.errors.OpError, OSError) as error:
        raise UserError('The checkpoint of step %d cannot be written to %s: %s.\nMake room there; '
                        'older checkpoints are whole, and the same command goes on from the last '
                        'one.' % (step, folder, first_line(error)))
