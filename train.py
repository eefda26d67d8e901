"""Trains DeepLab v3.

    python train.py --output_stride 16
    python train.py --recipe scratch --dataset_dir DIR --model_dir runs/mine --minutes 45
    python train.py --config runs/mine/config.json --dataset_dir OTHER --model_dir runs/other

The run directory holds the configuration (config.json), the latest checkpoints,
the best one by validation mIoU (best/), TensorBoard summaries, every logged number
(metrics.jsonl) and a picture of them (curves.png). The same command again continues
a run that was stopped, by Ctrl-C, SIGTERM, a kill or --time_limit.

Exit status: 0 at --max_steps or by --patience; 1 after an error, 2 for wrong flags;
130, 143 and 129 after Ctrl-C, SIGTERM and SIGHUP, 75 at --time_limit: saved, to go on.
"""
import functools
import sys

import common.interpreter  # noqa: F401  before what may be missing
import network
from common import progress, scripts
from dataset import descriptor
from experiment import agreement, planning, stopping, train_flags, weights
from experiment.run_dir import RunDirectory, WorkerDirectory
from preprocessing import inputs
from runtime import tf, workers
from runtime.devices import set_up
from training import class_weights, failures, optimization, pace
from training.graph import (TrainGraph, augmentation_options, batch_norm_of, build_averages,
                            build_finite_checks, build_panels, build_savers, timed_next)
from training.steps import Steps
from training.validation import Validation, split_of


def build_train_graph(args, info, network_options, start_step=0, loss_weights=None,
                      group=workers.ALONE):
    """Builds input, network, loss and optimizer.

    Args:
      args: the flags.
      info: `dataset.descriptor.DatasetInfo`.
      network_options: `network.NetworkOptions`.
      start_step: int, the number of steps already trained, where the data go on.
      loss_weights: None, or list of float, the classes' weights in the loss.
      group: `workers.Alone`, or `workers.Workers` who share each batch.

    Returns:
      `TrainGraph`, still open for a restore to be added.

    Raises:
      UserError: no train split, or a shard is not there.
    """
    graph = tf.Graph()
    with graph.as_default(), tf.device(group.device):
        tf.set_random_seed(args.seed)
        # What one run of the graph sees: a part of the batch, or of a worker's share of it.
        part_size = args.batch_size // group.count // args.accumulate_steps
        iterator = tf.data.make_initializable_iterator(inputs.train_dataset(
            info, args.dataset_dir, augmentation_options(args, info.ignore_label), part_size,
            args.seed, start_step * args.accumulate_steps, num_examples=args.overfit,
            share=inputs.share_of(group.rank, group.count, args.batch_size)))
        example, data_wait = timed_next(iterator)

        # Nothing but batch norm differs between training and evaluation mode.
        logits = network.deeplab_v3(example.image, network_options,
                                    is_training=not args.freeze_batch_norm, reuse=None,
                                    batch_norm=batch_norm_of(args, group))

        options = train_flags.pick(optimization.OptimizerOptions, args)
        global_step = tf.train.get_or_create_global_step()
        learning_rate = optimization.build_learning_rate(options, global_step)
        step = optimization.build_train_step(logits, example.labels, info.ignore_label, options,
                                             global_step, learning_rate, loss_weights,
                                             group.all_sum)
        train_op, averages = build_averages(step.train_op, args.ema_decay, global_step)

        saver, best_saver = build_savers(averages, global_step, args.keep_checkpoints)
        return TrainGraph(graph, iterator.initializer, step, train_op, global_step, learning_rate,
                          data_wait, build_panels(example, logits, info), averages,
                          build_finite_checks(), saver, best_saver,
                          descriptor.shard_paths(info, args.dataset_dir, 'train'),
                          group.build_copy(tf.global_variables()))


def loop(session, graph, validation, log, run_dir, args, stop, group):
    """Trains from the step of the run directory to the last, or until it is asked to stop.

    Args: a session with all variables restored, and what `train` made.

    Returns:
      int, the step reached.
    """
    start_step = run_dir.start_step
    validate = functools.partial(validation.run, session=session, best_saver=graph.best_saver,
                                 log=log, copy_op=graph.copy_op)
    if validation.is_missing(start_step) and not validate(start_step) and group.is_due(stop):
        stop.reason += (', before the evaluation of step %d was through. Where that is so each '
                        'time, give a larger --time_limit or --eval_every_steps' % start_step)
        return start_step
    steps = Steps(session, graph, args, start_step, group.chiefs(functools.partial(
        failures.explain_non_finite, args=args, info=validation.info)))

    def save():
        with stop.timed('save'):
            run_dir.save(graph.saver, session, steps.checked_step())
    with failures.saving_what_is_finished(save, args), group.explained(), progress.bar(
            total=args.max_steps * args.batch_size, initial=start_step * args.batch_size,
            unit='image', smoothing=0.05, has_lines=False, disable=group.is_quiet) as bar:
        for step in range(start_step + 1, args.max_steps + 1):
            validation.is_patience_over()
            if group.is_due(stop):
                save()
                return step - 1
            is_last = step == args.max_steps
            is_logged = group.is_chief and (step % args.summary_every_steps == 0 or is_last)
            with stop.timed('step'):
                scalars, panels = steps.run(step, is_logged)
            if is_logged:
                log.add(step, scalars, panels)
            text = 'step %d/%d, loss %.3f' % (step, args.max_steps, scalars['loss/total'])
            bar.set_postfix_str(text)
            bar.update(args.batch_size)
            if bar.disable and (step % args.log_every_steps == 0 or is_last):
                print('%s, learning rate %.3g, %.2f images/s'
                      % (text, scalars['learning_rate'], scalars['speed/images_per_second']),
                      flush=True)
            # With a time limit also at once, to know how long a checkpoint takes.
            if (step % args.save_every_steps == 0 or validation.is_due(step) or is_last
                    or stop.is_unknown('save')):
                save()
            if validation.is_due(step) and not group.is_due(stop):
                bar.clear()  # the evaluation's takes its line
                validate(step)
    return args.max_steps


def train(args, stop, group):
    """Trains as the flags say: data, graph, weights, loop.

    Args:
      args: the flags.
      stop: `stopping.StopRequest`.
      group: `workers.Alone` or `workers.Workers`; the chief alone writes the run directory.

    Returns:
      int, the exit status: that of `stop` where the run was stopped, 0 where it is through.
    """
    with RunDirectory(args) if group.is_chief else WorkerDirectory() as run_dir:
        info = descriptor.load(args.dataset_dir)
        print(set_up(args), flush=True)  # before TensorFlow, which reads the threads once
        group.start_server()
        planning.resolve(args, info, group, functools.partial(
            pace.measure, build_train_graph=build_train_graph, info=info, group=group, stop=stop))
        if args.estimate:
            return 0
        run_dir.find_start(group)
        if group.of_chief(lambda: run_dir.is_finished(run_dir.start_step, split_of(args, info))):
            print(run_dir.describe_finished())
            return 0
        loss_weights = group.of_chief(lambda: class_weights.resolve(
            args.class_weights, info, args.dataset_dir, args.overfit))
        run_dir.check_class_weights(loss_weights)
        if loss_weights:
            print(class_weights.describe(loss_weights, info))
        network_options = network.options_of(args)
        graph = build_train_graph(args, info, network_options, run_dir.start_step, loss_weights,
                                  group)
        validation = Validation(args, info, network_options, run_dir, stop, group)
        with graph.graph.as_default():
            restore = weights.start_of(args, run_dir.checkpoint, graph.saver, graph.averages,
                                       graph.copy_op, group.is_chief)
        graph.graph.finalize()
        run_dir.begin((graph.saver, graph.best_saver), loss_weights)
        with run_dir.log() as log, failures.explained(args, graph.paths), \
                tf.Session(group.target, graph.graph, group.session_config()) as session:
            restore(session)
            session.run(graph.initializer)
            step = loop(session, graph, validation, log, run_dir, args, stop, group)
        is_through = group.of_chief(lambda: run_dir.is_finished(step, validation.split))
        if group.is_due(stop) and not is_through:
            print('Stopped at step %d: %s' % (step, stop.describe()))
            return stop.status
        print(run_dir.describe_done(validation.split, info))
        return 0


def main(argv=None):
    args = train_flags.parse(argv, __doc__)
    stop = stopping.StopRequest(args.time_limit)
    with scripts.ending_in_one_message(no_room_hint=failures.NO_ROOM), \
            stopping.lasting_output(), stop.on_signals(), \
            agreement.joined(vars(args), args.dataset_dir, stop) as group:
        print(train_flags.describe_recipe(args), flush=True)
        status = train(args, stop, group)
    if status:
        sys.exit(status)


if __name__ == '__main__':
    main()
