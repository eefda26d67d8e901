"""The evaluations of a run while it trains: when they are due, and what they leave."""
import os

import numpy as np
from tqdm import tqdm

import metrics
from common.errors import UserError
from evaluation import figures, graph, loop, scores
from experiment import checkpoints, curves, history, run_dir, run_log
from preprocessing import inputs
from preprocessing.failures import OutOfMemoryError
from runtime import workers
from training import failures

VALIDATION_SPLIT = 'validation'


def split_of(args, info):
    """Returns str, the split that is evaluated during training, or None where there is none."""
    split = 'train' if args.overfit else VALIDATION_SPLIT
    return split if split in info.splits else None


class Validation:
    """Evaluates the checkpoints of a run.

    Args:
      args: the flags.
      info: `dataset.descriptor.DatasetInfo`.
      network_options: `network.NetworkOptions`.
      run_dir: `run_dir.RunDirectory`.
      stop: `stopping.StopRequest`.
      group: `workers.Alone` or `workers.Workers`.

    Raises:
      UserError: --patience, and nothing to evaluate.
    """

    def __init__(self, args, info, network_options, run_dir, stop, group=workers.ALONE):
        self.args, self.info, self.run_dir, self.stop = args, info, run_dir, stop
        self.group = group
        self.split, self.graph = split_of(args, info), None
        if self.split:
            self.graph = graph.build_eval_graph(
                network_options, info, args.dataset_dir, graph.EvaluationOptions(
                    self.split, num_examples=args.overfit,
                    averaged=args.ema_decay > 0 and group.is_chief,
                    share=inputs.share_of(group.rank, group.count, group.count)))
        elif args.patience:
            raise UserError('--patience %d: %s has no split "%s", so nothing is evaluated. Leave '
                            'the flag out, or build the data set with such a split.'
                            % (args.patience, args.dataset_dir, VALIDATION_SPLIT))
        else:
            print('%s has no split "%s": nothing is evaluated during training and no best '
                  'checkpoint is kept.' % (args.dataset_dir, VALIDATION_SPLIT))

    def is_due(self, step):
        """Whether a step is one to evaluate at. Returns bool."""
        return self.graph is not None and (step % self.args.eval_every_steps == 0
                                           or step == self.args.max_steps)

    def is_missing(self, step):
        """Whether the evaluation of a step that the run goes on from is still to be done."""
        return self.group.of_chief(lambda: bool(step) and self.is_due(step) and not (
            history.is_validated(self.run_dir.path, step)))

    def run(self, step, session, best_saver, log, copy_op=None):
        """Scores the checkpoint of a step, keeps the best one, draws the curves.

        Args:
          step: int.
          session: `tf.Session` of the training graph.
          best_saver: `tf.train.Saver` of the best checkpoint.
          log: `run_log.RunLog`.
          copy_op: None, or the op that gives all workers the chief's variables.

        Returns:
          bool, False where the run is asked to stop before it is through; the same command
          evaluates this step first.

        Raises:
          UserError: an image does not fit into memory, or the loss is not finite.
        """
        path = self.run_dir.path
        if copy_op is not None:
            session.run(copy_op)
        if not self.group.is_chief:
            run_dir.save_checkpoint(best_saver, session, path, step)
        checkpoint = os.path.join(path, '%s-%d' % (checkpoints.PREFIX, step))
        try:
            evaluated = loop.evaluate(self.graph, checkpoint, self.info, self.split,
                                      should_stop=self.stop.is_due, group=self.group)
        except OutOfMemoryError:
            raise UserError(failures.explain_no_memory_evaluating(self.args, step, self.split))
        if evaluated is None:
            return False
        if evaluated is loop.WITH_CHIEF:
            return True
        if not np.isfinite(evaluated.mean_loss):
            raise UserError(failures.explain_evaluation(self.args, step, self.split,
                                                        evaluated.mean_loss))
        result, best = metrics.scores(evaluated.matrix), history.best_score(path)
        num_labelled, num_predicted = [int((np.sum(evaluated.matrix, axis=axis) > 0).sum())
                                       for axis in (1, 0)]
        entries = history.with_validation(path, step, result.mean_iou, evaluated.mean_loss,
                                          num_predicted, num_labelled)
        if history.is_better(entries[-1], best, self.args.best_metric):
            self.run_dir.keep_best(best_saver, session, entries[-1])
        self._log(step, result, entries[-1], evaluated.matrix, log)
        # Last: killed before this, the run evaluates this step again and misses nothing.
        history.save_validations(path, entries)
        self._tell(step, result, evaluated.mean_loss, best)
        return True

    def _log(self, step, result, entry, matrix, log):
        scalars = {'validation/' + name: getattr(result, name) for name, _ in scores.TITLES}
        scalars.update({run_log.VALIDATED_TAG: entry['loss'],
                        'validation/running_loss': entry['running_loss']})
        scalars.update((run_log.iou_tag(name), float(iou))
                       for name, iou in zip(self.info.class_names, result.per_class_iou)
                       if iou == iou)
        log.add_image(step, 'validation/confusion_matrix',
                      *figures.confusion_png(matrix, self.info.class_names))
        log.add(step, scalars)
        curves.draw(run_log.read_metrics(self.run_dir.path), self.run_dir.path, self.info)

    def _tell(self, step, result, loss, best):
        what = 'validation'
        if self.args.overfit:
            what = 'the %d images trained on:' % self.graph.num_examples
        tqdm.write('step %d: %s mIoU %.4f, pixel accuracy %.4f, loss %.4f%s'
                   % (step, what, result.mean_iou, result.pixel_accuracy, loss,
                      '' if best is None else ' (best checkpoint before: step %d, mIoU %.4f)'
                      % (best['step'], best['mean_iou'])))
        if not np.isfinite(result.mean_iou):
            tqdm.write('No pixel of split "%s" is labelled: there is no score, and no best '
                       'checkpoint is kept.' % self.split)
        collapsed = history.collapse_warning(self.run_dir.path)
        if collapsed:
            tqdm.write(collapsed)

    def is_patience_over(self):
        """Whether --patience ends the run; says so in the `StopRequest`. Returns bool."""
        if self.args.patience is None:
            return False
        since = history.evaluations_since_best(self.run_dir.path)
        if since < self.args.patience:
            return False
        self.stop.ask('no better evaluation in %d (--patience); a larger one goes on' % since, 0)
        self.stop.can_go_on = False
        return True
