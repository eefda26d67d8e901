"""Trains DeepLab v3.

    python train.py --output_stride 16
    python train.py --dataset_dir DIR --model_dir runs/mine --crop_size 321

The run directory holds the configuration (config.json), the latest checkpoints,
the best one by validation mIoU (best/), TensorBoard summaries, every logged number
(metrics.jsonl) and a picture of them (curves.png). The same command again continues
a run that was stopped, by Ctrl-C, SIGTERM, a kill or --time_limit.
"""
import contextlib
import os
import time
from collections import deque, namedtuple

import numpy as np
from tqdm import tqdm

import metrics
import network
from common import files
from common.errors import UserError
from dataset import descriptor, voc
from dataset.records import shards
from evaluation import loop
from experiment import (checkpoints, config, curves, history, run_log,
                        train_flags, weights)
from preprocessing import augmentation, inputs
from runtime import slim, tf
from runtime.devices import (is_out_of_memory, limit_threads, select_gpu,
                             session_config)
from training import class_weights, failures, optimization

PANELS_SHOWN = 3
VALIDATION_SPLIT = 'validation'
# Remembered: losses for what is said when one is not finite, and times for the speed.
HISTORY_STEPS = 20

# step: `optimization.TrainStep`. data_wait: float64 scalar, seconds that a run of the
# graph waited for its images. averages: dict from the model's variables to those of
# --ema_decay, or empty.
TrainGraph = namedtuple('TrainGraph', ['graph', 'initializer', 'step', 'train_op', 'global_step',
                                       'learning_rate', 'data_wait', 'panels', 'averages', 'saver',
                                       'best_saver', 'paths'])


def build_panels(example, logits, ignore_label):
    """Pictures of image, label, prediction and error (white: wrong) side by side.

    Returns:
      string scalar, a serialized summary.
    """
    colors = tf.constant(voc.palette(ignore_label))
    predictions = tf.argmax(logits, axis=3, output_type=tf.int32)
    wrong = tf.not_equal(predictions, example.labels) & tf.not_equal(example.labels, ignore_label)
    panels = tf.concat([tf.cast(tf.round(example.image), tf.uint8),
                        tf.gather(colors, example.labels), tf.gather(colors, predictions),
                        tf.tile(255 * tf.cast(wrong, tf.uint8)[..., tf.newaxis], [1, 1, 1, 3])],
                       axis=2)
    return tf.summary.image('image_label_prediction_error', panels, max_outputs=PANELS_SHOWN)


def augmentation_options(args, ignore_label):
    """Returns the `augmentation.Augmentation` that the flags describe."""
    color = (0.0, 0.0, 0.0)
    if args.padding == 'mean':
        color = network.padding_color(args.input_normalization)
    return augmentation.Augmentation(
        args.crop_size, args.min_scale, args.max_scale, args.random_flip, args.color_jitter,
        ignore_label, color, args.crop_position == 'center', args.align_scaling)


def timed_next(iterator):
    """Takes the next batch, and measures how long it had to be waited for.

    Returns:
      (`inputs.Example` of tensors, float64 scalar tensor, seconds).
    """
    before = tf.timestamp()
    with tf.control_dependencies([before]):
        example = iterator.get_next()
    with tf.control_dependencies([example.image]):
        return example, tf.timestamp() - before


def build_train_graph(args, info, start_step, weights=None):
    """Builds input, network, loss and optimizer.

    Args:
      args: the flags, with `number_of_classes` resolved.
      info: `dataset.descriptor.DatasetInfo`.
      start_step: int, the number of steps already trained, where the data go on.
      weights: None, or list of float, the classes' weights in the loss.

    Returns:
      `TrainGraph`, still open for a restore to be added.

    Raises:
      UserError: no train split, or a shard is not there.
    """
    options = network.options_of(args)
    graph = tf.Graph()
    with graph.as_default():
        tf.set_random_seed(args.seed)
        # What one run of the graph sees: a part of the batch.
        part_size = args.batch_size // args.accumulate_steps
        iterator = tf.data.make_initializable_iterator(inputs.train_dataset(
            info, args.dataset_dir, augmentation_options(args, info.ignore_label), part_size,
            args.seed, start_step * args.accumulate_steps, num_examples=args.overfit))
        example, data_wait = timed_next(iterator)
        # Nothing but batch norm differs between training and evaluation mode.
        logits = network.deeplab_v3(example.image, options, not args.freeze_batch_norm, reuse=None)
        global_step = tf.train.get_or_create_global_step()
        learning_rate = optimization.build_learning_rate(args, global_step)
        step = optimization.build_train_step(logits, example.labels, info.ignore_label, args,
                                             global_step, learning_rate, weights)
        model, train_op, averages = slim.get_model_variables(), step.train_op, {}
        if args.ema_decay:
            # Early steps average over few: the decay rises to its value.
            average = tf.train.ExponentialMovingAverage(args.ema_decay, num_updates=global_step)
            with tf.control_dependencies([train_op]):
                train_op = average.apply(model)
            averages = {variable: average.average(variable) for variable in model}
        best = {variable.op.name: averages.get(variable, variable) for variable in model}
        return TrainGraph(graph, iterator.initializer, step, train_op, global_step, learning_rate,
                          data_wait, build_panels(example, logits, info.ignore_label), averages,
                          tf.train.Saver(max_to_keep=args.keep_checkpoints),
                          tf.train.Saver(dict(best, global_step=global_step), max_to_keep=1),
                          descriptor.shard_paths(info, args.dataset_dir, 'train'))


def restore_weights(train, args, checkpoint):
    """Decides where the weights come from and says so.

    Returns:
      A function of a session that restores or initialises all variables.

    Raises:
      UserError: the checkpoint does not fit.
    """
    with train.graph.as_default():
        initialise = tf.group(tf.global_variables_initializer(), tf.local_variables_initializer())
        if checkpoint:
            weights.check_complete(checkpoint, tf.global_variables())
            print("Continuing %s at step %d (--resume): weights, optimizer's state, step and "
                  'learning rate go on.' % (checkpoint, checkpoints.step_of(checkpoint)))

            def load_weights(session):
                weights.restore(train.saver, session, checkpoint)
        elif args.init_from:
            load_initial, message = weights.init_from(args.init_from, args.resnet_model,
                                                      args.allow_missing)
            # The averages begin with the loaded weights too.
            copy = tf.group(*[average.assign(variable)
                              for variable, average in train.averages.items()])
            print('Starting %s' % message)

            def load_weights(session):
                load_initial(session)
                session.run(copy)
        else:
            print('Starting at step 0 with random weights (seed %d). For results like the '
                  'published ones give --init_from imagenet.' % args.seed)

            def load_weights(session):
                pass

    def start(session):
        session.run(initialise)
        load_weights(session)
    return start


def save_checkpoint(saver, session, directory, step):
    """Writes a checkpoint; TensorFlow writes it under a temporary name and renames it.

    Raises:
      UserError: it cannot be written; the older ones stay whole.
    """
    try:
        return saver.save(session, os.path.join(directory, checkpoints.PREFIX), global_step=step,
                          write_meta_graph=False)
    except (tf.errors.OpError, OSError) as error:
        raise UserError('The checkpoint of step %d cannot be written to %s: %s.\nMake room there; '
                        'older checkpoints are whole, and the same command goes on from the last '
                        'one.' % (step, directory,
                                  getattr(error, 'message', str(error)).splitlines()[0]))


class Trainer:
    """Runs a finalized graph: steps, logs, checkpoints and evaluations. Creates no ops.

    Args:
      session: `tf.Session` with all variables restored.
      train: `TrainGraph`.
      eval_graph: `loop.EvalGraph`, or None.
      eval_split: str, the split of `eval_graph`.
      info: `dataset.descriptor.DatasetInfo`.
      args: the flags.
      log: `run_log.RunLog`.
      stop: `run_log.StopRequest`.
      start_step: int, the number of steps already trained.
    """

    def __init__(self, session, train, eval_graph, eval_split, info, args, log, stop, start_step):
        self.session, self.train, self.eval_graph = session, train, eval_graph
        self.eval_split, self.info, self.args = eval_split, info, args
        self.log, self.stop, self.start_step = log, stop, start_step
        self.finished_step = self.saved_step = start_step
        self.history = deque(maxlen=HISTORY_STEPS)
        # (seconds, seconds waited for data) of the last steps, without saves and evaluations.
        self.times = deque(maxlen=HISTORY_STEPS)

    def step(self, step, with_panels):
        """Trains on one batch.

        Returns:
          (dict of scalars to log, without those of `speed`; serialized panels or None).

        Raises:
          UserError: loss or gradients are not finite.
        """
        start, waited = time.time(), 0.0
        for _ in range(self.args.accumulate_steps - 1):
            waited += self.session.run([self.train.data_wait, self.train.step.accumulate_op])[0]
        fetches = {'train_op': self.train.train_op, 'losses': self.train.step.losses,
                   'norms': self.train.step.gradient_norms,
                   'learning_rate': self.train.learning_rate, 'wait': self.train.data_wait}
        if with_panels:
            fetches['panels'] = self.train.panels
        values = self.session.run(fetches)
        seconds = time.time() - start
        self.stop.took('step', seconds)
        self._check_finite(step, values)
        self.history.append(float(values['losses'].total))
        scalars = {'loss/' + name: float(value)
                   for name, value in values['losses']._asdict().items()}
        scalars.update({
            'learning_rate': float(values['learning_rate']),
            'gradient_norm': float(np.linalg.norm(values['norms']))})
        self.note_time(step, seconds, waited + values['wait'])
        return scalars, values.get('panels')

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
        if np.isfinite(values['losses'].total) and np.isfinite(values['norms']).all():
            return
        options = augmentation_options(self.args, self.info.ignore_label)
        batch = failures.read_batch(self.info, self.args.dataset_dir, options, self.args, step)
        norms = dict(zip(self.train.step.variable_names, values['norms']))
        raise UserError(failures.explain_non_finite(
            step, float(values['learning_rate']), values['losses'], norms, list(self.history),
            batch, self.args, self.info))

    def save(self, step):
        """Writes a checkpoint of all variables."""
        start = time.time()
        save_checkpoint(self.train.saver, self.session, self.args.model_dir, step)
        self.saved_step = step
        self.stop.took('save', time.time() - start)

    def save_finished(self):
        """Saves the last finished step, if that was not done; call it between two steps."""
        if self.saved_step < self.finished_step:
            self.save(self.finished_step)

    def validate(self, step):
        """Scores the checkpoint of a step, keeps the best one, draws the curves.

        Returns:
          bool, False where the run is asked to stop before it is through; the same command
          evaluates this step first.

        Raises:
          UserError: an image does not fit into memory.
        """
        checkpoint = os.path.join(self.args.model_dir, '%s-%d' % (checkpoints.PREFIX, step))
        try:
            evaluated = loop.evaluate(self.eval_graph, checkpoint, self.info,
                                      self.eval_split, should_stop=self.stop.is_due)
        except loop.NoMemoryError:
            raise UserError(failures.explain_no_memory_evaluating(self.args, step,
                                                                  self.eval_split))
        if evaluated is None:
            return False
        result = metrics.scores(evaluated.matrix)
        best = history.best_score(self.args.model_dir)
        num_labelled, num_predicted = [int((np.sum(evaluated.matrix, axis=axis) > 0).sum())
                                       for axis in (1, 0)]
        entries = history.with_validation(self.args.model_dir, step, result.mean_iou,
                                          evaluated.mean_loss, num_predicted, num_labelled)
        if history.is_better(entries[-1], best, self.args.best_metric):
            best_dir = os.path.join(self.args.model_dir, checkpoints.BEST_DIR)
            save_checkpoint(self.train.best_saver, self.session, best_dir, step)
            files.write_json(entries[-1], os.path.join(best_dir, history.BEST_SCORE_NAME))
        self._log_validation(step, result, entries[-1], evaluated.matrix)
        # Last: killed before this, the run evaluates this step again and misses nothing.
        history.save_validations(self.args.model_dir, entries)
        what = 'validation'
        if self.args.overfit:
            what = 'the %d images trained on:' % self.eval_graph.num_examples
        tqdm.write('step %d: %s mIoU %.4f, pixel accuracy %.4f, loss %.4f%s'
                   % (step, what, result.mean_iou, result.pixel_accuracy, evaluated.mean_loss,
                      '' if best is None else ' (best checkpoint before: step %d, mIoU %.4f)'
                      % (best['step'], best['mean_iou'])))
        collapsed = history.collapse_warning(self.args.model_dir)
        if collapsed:
            tqdm.write(collapsed)
        return True

    def _log_validation(self, step, result, entry, matrix):
        scalars = {'validation/' + name: getattr(result, name) for name, _ in loop.TITLES}
        scalars.update({run_log.VALIDATED_TAG: entry['loss'],
                        'validation/running_loss': entry['running_loss']})
        scalars.update(('validation_iou/' + name, float(iou))
                       for name, iou in zip(self.info.class_names, result.per_class_iou)
                       if iou == iou)
        self.log.add_image(step, 'validation/confusion_matrix',
                           *curves.confusion_png(matrix, self.info.class_names))
        self.log.add(step, scalars)
        curves.draw(run_log.read_metrics(self.args.model_dir), self.args.model_dir)

    def is_evaluated(self, step):
        """Whether a step is one to evaluate at. Returns bool."""
        return self.eval_graph is not None and (step % self.args.eval_every_steps == 0
                                                or step == self.args.max_steps)

    def run(self):
        """Trains from `start_step` to the last step, or until it is asked to stop.

        Returns:
          int, the step reached.
        """
        args, start_step = self.args, self.start_step
        if start_step and self.is_evaluated(start_step) and not history.is_validated(
                args.model_dir, start_step) and not self.validate(start_step):
            self.stop.reason += (', before the evaluation of step %d was through. Where that is '
                                 'so each time, give a larger --time_limit or --eval_every_steps'
                                 % start_step)
            return start_step
        # disable=None: no bar where standard error is no terminal.
        with tqdm(total=args.max_steps * args.batch_size, initial=start_step * args.batch_size,
                  unit='image', smoothing=0.05, disable=None) as bar:
            for step in range(start_step + 1, args.max_steps + 1):
                if self.stop.is_due() or self._is_patience_over():
                    self.save_finished()
                    return step - 1
                is_last = step == args.max_steps
                is_logged = step % args.summary_every_steps == 0 or is_last
                scalars, panels = self.step(step, is_logged)
                self.finished_step = step
                scalars.update(self.speed())
                if is_logged:
                    self.log.add(step, scalars, panels)
                text = 'step %d/%d, loss %.3f' % (step, args.max_steps, scalars['loss/total'])
                bar.set_postfix_str(text)
                bar.update(args.batch_size)
                if bar.disable and (step % args.log_every_steps == 0 or is_last):
                    print('%s, learning rate %.3g, %.2f images/s'
                          % (text, scalars['learning_rate'], scalars['speed/images_per_second']),
                          flush=True)
                is_eval = self.is_evaluated(step)
                # With a time limit also at once, to know how long a checkpoint takes.
                if (step % args.save_every_steps == 0 or is_eval or is_last
                        or self.stop.is_unknown('save')):
                    self.save(step)
                if is_eval and not self.stop.is_due():
                    bar.clear()  # the evaluation's takes its line
                    self.validate(step)
        return args.max_steps

    def _is_patience_over(self):
        if self.args.patience is None:
            return False
        since = history.evaluations_since_best(self.args.model_dir)
        if since < self.args.patience:
            return False
        self.stop.reason = ('no better evaluation in %d (--patience); a larger one goes on'
                            % since)
        self.stop.can_go_on = False
        return True


def run_training(train, restore, eval_graph, eval_split, info, args, start_step, stop):
    """Opens the session and runs a `Trainer` in it.

    Returns:
      (int, the step reached; None, or str, why it ended before the last one).

    Raises:
      UserError: the run cannot go on; the message says why and what to do.
    """
    log = run_log.RunLog(args.model_dir, start_step,
                         history.is_validated(args.model_dir, start_step))
    try:
        with tf.Session(graph=train.graph, config=session_config()) as session:
            restore(session)
            session.run(train.initializer)
            trainer = Trainer(session, train, eval_graph, eval_split, info, args, log, stop,
                              start_step)
            try:
                return trainer.run(), stop.reason
            except (tf.errors.OpError, OSError) as error:
                # Neither images that cannot be read nor a full disk touch the weights; of a
                # batch in parts, earlier ones may have moved the batch-norm statistics.
                if isinstance(error, OSError) or (args.accumulate_steps == 1
                                                  and is_of_input(error)):
                    trainer.save_finished()
                raise
    except tf.errors.DataLossError:
        raise UserError(shards.explain_data_loss(train.paths))
    except tf.errors.InvalidArgumentError as error:
        raise UserError(shards.explain_invalid(train.paths, error.message))
    except tf.errors.OpError as error:
        if is_out_of_memory(error):
            raise UserError(failures.explain_no_memory(args))
        if not is_of_input(error):
            raise
        raise UserError('Images could not be read on: %s\nMend this, and the same command goes '
                        'on.' % error.message.splitlines()[0])
    finally:
        log.close()


def is_of_input(error):
    """Whether a `tf.errors.OpError` came with the next batch: nothing was computed from it."""
    return error.op is not None and error.op.type == 'IteratorGetNext'


def find_start(args):
    """Finds the checkpoint that the run goes on from; changes no file.

    Returns:
      (prefix or None, int step, dict of damaged checkpoints of `checkpoints.latest_readable`).

    Raises:
      UserError: --resume does not fit what is in --model_dir, or the run there has
        other flags.
    """
    checkpoint, damaged = checkpoints.latest_readable(args.model_dir)
    if args.resume == 'always' and not checkpoint:
        raise UserError('--resume always: there is no checkpoint in %s.' % args.model_dir)
    if checkpoint and args.resume == 'never':
        raise UserError('--resume never: %s holds a run already (%s). Give another --model_dir.'
                        % (args.model_dir, os.path.basename(checkpoint)))
    if checkpoint and checkpoints.step_of(checkpoint) is None:
        raise UserError("%s is no checkpoint of this train.py, so it cannot be continued: give "
                        'another --model_dir, and --init_from %s to start from its weights.'
                        % (checkpoint, args.model_dir))
    if checkpoint:
        config.check_resume(args, args.model_dir)
    else:
        checkpoints.check_best_belongs(args.model_dir)
    return checkpoint, checkpoints.step_of(checkpoint) if checkpoint else 0, damaged


def tidy(args, train, start_step, damaged):
    """Prepares a run directory to go on from a step: nothing of an abandoned future stays.

    Args:
      args: the flags.
      train: `TrainGraph`.
      start_step: int.
      damaged: dict of `checkpoints.latest_readable`.
    """
    checkpoints.set_aside(damaged)
    for directory, saver, keep in (
            (args.model_dir, train.saver, args.keep_checkpoints),
            (os.path.join(args.model_dir, checkpoints.BEST_DIR), train.best_saver, 1)):
        os.makedirs(directory, exist_ok=True)
        checkpoints.remove_leftovers(directory, keep)
        # Lets the savers delete what an earlier part of the run wrote.
        saver.recover_last_checkpoints(checkpoints.all_in(directory))
    history.cut_validations(args.model_dir, start_step)


def evaluated_split(args, info):
    """Returns str, the split that is evaluated during training, or None where there is none."""
    split = 'train' if args.overfit else VALIDATION_SPLIT
    return split if split in info.splits else None


def build_evaluation(args, info):
    """Builds the evaluation during training.

    Returns:
      (`loop.EvalGraph` or None, str, its split, or None).

    Raises:
      UserError: --patience, and nothing to evaluate.
    """
    split = evaluated_split(args, info)
    if split is None:
        if args.patience:
            raise UserError('--patience %d: %s has no split "%s", so nothing is evaluated. Leave '
                            'the flag out, or build the data set with such a split.'
                            % (args.patience, args.dataset_dir, VALIDATION_SPLIT))
        print('%s has no split "%s": nothing is evaluated during training and no best checkpoint '
              'is kept.' % (args.dataset_dir, VALIDATION_SPLIT))
        return None, None
    return loop.build_eval_graph(network.options_of(args), info, args.dataset_dir,
                                 loop.EvaluationOptions(split, num_examples=args.overfit,
                                                        averaged=args.ema_decay > 0)), split


def train(args, stop):
    """Trains as the flags say, in a run directory that is held by this process alone.

    Args:
      args: the flags.
      stop: `run_log.StopRequest`.
    """
    with contextlib.ExitStack() as stack:
        # A folder that is not there yet is made, and locked, once the flags proved good.
        is_locked = os.path.isdir(args.model_dir)
        if is_locked:
            stack.enter_context(run_log.locked(args.model_dir))
        train_locked(args, stop, stack, is_locked)


def make_run_dir(args, stack):
    """Makes a run directory and locks it in `stack`.

    Raises:
      UserError: another process was faster.
    """
    os.makedirs(args.model_dir, exist_ok=True)
    stack.enter_context(run_log.locked(args.model_dir))
    if config.is_run_dir(args.model_dir):
        raise UserError('%s was begun by another process meanwhile. Give another --model_dir, '
                        'or the same command again to go on from there.' % args.model_dir)


def is_finished(args, info, start_step):
    """Whether a run has nothing left to train or to evaluate. Returns bool."""
    return start_step > args.max_steps or start_step == args.max_steps and (
        evaluated_split(args, info) is None
        or history.is_validated(args.model_dir, start_step))


def train_locked(args, stop, stack, is_locked):
    """`train` once the run directory, where it exists, is locked; locks a new one in `stack`."""
    info = descriptor.load(args.dataset_dir)
    config.resolve_classes(args, info)
    checkpoint, start_step, damaged = find_start(args)
    if is_finished(args, info, start_step):
        print('%s is at step %d already. %s'
              % (args.model_dir, start_step,
                 'The policy poly has come to its end there: give another --model_dir, with '
                 '--init_from %s to start from its weights.' % args.model_dir
                 if args.learning_rate_policy == 'poly' else
                 'Give a larger --max_steps to go on, or another --model_dir.'))
        return
    weights = class_weights.resolve(args.class_weights, info, args.dataset_dir, args.overfit)
    if weights:
        print('Class weights: %s' % ', '.join(
            '%s %.3g' % pair for pair in zip(info.class_names, weights)))
    if checkpoint:
        config.check_class_weights(weights, args.model_dir)
    graph = build_train_graph(args, info, start_step, weights)
    eval_graph, eval_split = build_evaluation(args, info)
    restore = restore_weights(graph, args, checkpoint)
    graph.graph.finalize()
    if not is_locked:
        make_run_dir(args, stack)
    tidy(args, graph, start_step, damaged)
    config.save(args, args.model_dir, weights)
    step, reason = run_training(graph, restore, eval_graph, eval_split, info, args, start_step,
                                stop)
    if reason and not is_finished(args, info, step):
        print('Stopped at step %d: %s.%s' % (step, reason, ' The same command goes on from there.'
                                             if stop.can_go_on else ''))
    else:
        split = 'test' if 'test' in info.splits else eval_split or 'train'
        print('Done: %s. Score it with: python test.py --checkpoint %s%s'
              % (args.model_dir, args.model_dir, '' if split == 'test' else ' --split ' + split))


def main(argv=None):
    args = train_flags.parse(argv, __doc__)
    stop = run_log.StopRequest(args.time_limit)
    select_gpu(args.gpu_id)
    limit_threads(args.num_threads)
    try:
        with run_log.lasting_output(), stop.on_signals():
            print(train_flags.describe_recipe(args), flush=True)
            train(args, stop)
    except ValueError as error:
        raise SystemExit(str(error))
    except OSError as error:
        raise SystemExit('%s\nMake room if a disk is full, or give another --model_dir; '
                         'checkpoints that are there are whole, and the same command goes on from '
                         'the last one.' % error)


if __name__ == '__main__':
    main()
