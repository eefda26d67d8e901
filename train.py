"""Trains DeepLab v3.

    python train.py --output_stride 16
    python train.py --dataset_dir DIR --model_dir runs/mine --crop_size 321

The run directory holds the configuration (config.json), the latest checkpoints,
the best one by validation mIoU (best/) and TensorBoard summaries. The same
command again continues a run that was stopped.
"""
import os
from collections import namedtuple

import numpy as np
from tqdm import tqdm

import checkpoints
import config
import evaluation
import losses
import metrics
import network
import visualization
from dataset import descriptor
from preprocessing import augmentation, inputs
from runtime import select_gpu, session_config, slim, tf

PANELS_SHOWN = 3
VALIDATION_SPLIT = 'validation'
POLY_POWER = 0.9  # paper, section 4.1

TrainGraph = namedtuple('TrainGraph', ['graph', 'initializer', 'train_op', 'losses',
                                       'global_step', 'summary', 'saver', 'best_saver'])


def add_summaries(example, logits, loss, learning_rate, ignore_label):
    """Scalars of the loss parts, and panels of image, label and prediction."""
    colors = tf.constant(visualization.palette(ignore_label))
    panels = tf.concat([tf.cast(tf.round(example.image), tf.uint8),
                        tf.gather(colors, example.labels),
                        tf.gather(colors, tf.argmax(logits, axis=3))], axis=2)
    tf.summary.image('image_label_prediction', panels, max_outputs=PANELS_SHOWN)
    for name, value in loss._asdict().items():
        tf.summary.scalar('loss/' + name, value)
    tf.summary.scalar('learning_rate', learning_rate)
    return tf.summary.merge_all()


def build_learning_rate(args, global_step):
    """Constant, or the paper's poly policy: start * (1 - step / max_steps) ^ 0.9."""
    if args.learning_rate_policy == 'constant':
        return tf.constant(args.starting_learning_rate)
    return tf.train.polynomial_decay(args.starting_learning_rate, global_step, args.max_steps,
                                     end_learning_rate=0.0, power=POLY_POWER)


def build_train_graph(args, info, start_step):
    """Builds input, network, loss and optimizer.

    Args:
      args: the flags, with `number_of_classes` resolved.
      info: `dataset.descriptor.DatasetInfo`.
      start_step: int, the number of steps already trained, where the data go on.

    Returns:
      `TrainGraph`, still open for a restore to be added.

    Raises:
      ValueError: no train split, or a shard is not there.
    """
    graph = tf.Graph()
    with graph.as_default():
        tf.set_random_seed(args.seed)
        options = augmentation.Augmentation(args.crop_size, args.min_scale, args.max_scale,
                                            args.random_flip, args.color_jitter,
                                            info.ignore_label)
        iterator = tf.data.make_initializable_iterator(inputs.train_dataset(
            info, args.dataset_dir, options, args.batch_size, args.seed, start_step))
        example = iterator.get_next()
        logits = network.deeplab_v3(example.image, args, is_training=True, reuse=None)
        loss = losses.build_losses(logits, example.labels, info.ignore_label)
        global_step = tf.train.get_or_create_global_step()
        learning_rate = build_learning_rate(args, global_step)
        # The post's scope: its checkpoints keep the slots here.
        with tf.variable_scope('optimizer_vars'):
            optimizer = tf.train.AdamOptimizer(learning_rate)
            # Also runs the updates of the batch-norm statistics.
            train_op = slim.learning.create_train_op(loss.total, optimizer,
                                                     global_step=global_step,
                                                     check_numerics=False)
        summary = add_summaries(example, logits, loss, learning_rate, info.ignore_label)
        return TrainGraph(graph, iterator.initializer, train_op, loss, global_step, summary,
                          tf.train.Saver(max_to_keep=checkpoints.NUM_LATEST_KEPT),
                          tf.train.Saver(slim.get_model_variables() + [global_step],
                                         max_to_keep=1))


def restore_weights(train, args, checkpoint):
    """Decides where the weights come from and says so.

    Returns:
      A function of a session that restores or initialises all variables.
    """
    with train.graph.as_default():
        initialise = tf.global_variables_initializer()
        if checkpoint:
            print('Continuing %s at step %d.' % (checkpoint, checkpoints.step_of(checkpoint)))
            # Lets the savers delete what an earlier part of the run wrote.
            train.saver.recover_last_checkpoints(checkpoints.all_in(args.model_dir))
            train.best_saver.recover_last_checkpoints(
                checkpoints.all_in(os.path.join(args.model_dir, checkpoints.BEST_DIR)))
            return lambda session: train.saver.restore(session, checkpoint)
        if args.init_from:
            load_weights, message = checkpoints.init_from(args.init_from)
            print('Starting: %s.' % message)
        else:
            print('Starting: random initialisation (seed %d). For results like the published '
                  'ones start from weights with --init_from.' % args.seed)

            def load_weights(session):
                pass

    def start(session):
        session.run(initialise)
        load_weights(session)
    return start


def save_checkpoint(saver, session, directory, step):
    """Writes a checkpoint; TensorFlow writes it under a temporary name and renames it."""
    return saver.save(session, os.path.join(directory, checkpoints.PREFIX), global_step=step,
                      write_meta_graph=False)


def validate(train, session, eval_graph, info, args, writer, step):
    """Scores the newest checkpoint on the validation split and keeps the best one."""
    matrix = evaluation.evaluate(eval_graph, checkpoints.latest_in(args.model_dir), info,
                                 VALIDATION_SPLIT)
    result = metrics.scores(matrix)
    tags = {'validation/' + name: getattr(result, name) for name in (
        'pixel_accuracy', 'mean_accuracy', 'mean_iou', 'frequency_weighted_iou')}
    tags.update(('validation_iou/' + name, iou)
                for name, iou in zip(info.class_names, result.per_class_iou) if iou == iou)
    writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag=tag, simple_value=value)
                                         for tag, value in sorted(tags.items())]), step)
    best_dir = os.path.join(args.model_dir, checkpoints.BEST_DIR)
    best = checkpoints.best_score(args.model_dir)
    tqdm.write('step %d: validation mIoU %.4f, pixel accuracy %.4f%s'
               % (step, result.mean_iou, result.pixel_accuracy,
                  '' if best is None else ' (best mIoU before: %.4f)' % best))
    if best is None or result.mean_iou > best:
        save_checkpoint(train.best_saver, session, best_dir, step)
        config.write_json({'step': step, 'mean_iou': result.mean_iou},
                          os.path.join(best_dir, checkpoints.BEST_SCORE_NAME))


def check_finite(loss, step, args):
    """Stops the run at a loss that is no number any more."""
    if not np.isfinite(loss):
        raise SystemExit('The loss is %s at step %d (learning rate %g). Lower '
                         '--starting_learning_rate, or check the labels; checkpoints up to the '
                         'last one in %s are whole.'
                         % (loss, step, args.starting_learning_rate, args.model_dir))


def run_training(train, restore, eval_graph, info, args, start_step):
    """The training loop; creates no ops."""
    writer = tf.summary.FileWriter(args.model_dir)
    with tf.Session(graph=train.graph, config=session_config()) as session:
        restore(session)
        session.run(train.initializer)
        with tqdm(total=args.max_steps * args.batch_size, initial=start_step * args.batch_size,
                  unit='image', smoothing=0.05) as bar:
            for step in range(start_step + 1, args.max_steps + 1):
                is_last = step == args.max_steps
                fetches = {'train_op': train.train_op, 'losses': train.losses}
                if step % args.summary_every_steps == 0 or is_last:
                    fetches['summary'] = train.summary
                values = session.run(fetches)
                check_finite(values['losses'].total, step, args)
                if 'summary' in values:
                    writer.add_summary(values['summary'], step)
                bar.set_postfix_str('step %d/%d, loss %.3f'
                                    % (step, args.max_steps, values['losses'].total))
                bar.update(args.batch_size)
                is_eval = eval_graph and (step % args.eval_every_steps == 0 or is_last)
                if step % args.save_every_steps == 0 or is_eval or is_last:
                    save_checkpoint(train.saver, session, args.model_dir, step)
                if is_eval:
                    validate(train, session, eval_graph, info, args, writer, step)
    writer.close()


def main(argv=None):
    args = config.parse_train_flags(argv, __doc__)
    select_gpu(args.gpu_id)
    try:
        info = descriptor.load(args.dataset_dir)
        config.resolve_classes(args, info)
        checkpoint = checkpoints.latest_in(args.model_dir)
        start_step = checkpoints.step_of(checkpoint) if checkpoint else 0
        if checkpoint:
            config.check_resume(args, args.model_dir)
        if start_step >= args.max_steps:
            print('%s is at step %d already. Give a larger --max_steps to go on, or another '
                  '--model_dir.' % (args.model_dir, start_step))
            return
        train = build_train_graph(args, info, start_step)
        eval_graph = None
        if VALIDATION_SPLIT in info.splits:
            eval_graph = evaluation.build_eval_graph(args, info, args.dataset_dir,
                                                     VALIDATION_SPLIT)
        else:
            print('%s has no split "%s": nothing is evaluated during training and no best '
                  'checkpoint is kept.' % (args.dataset_dir, VALIDATION_SPLIT))
    except ValueError as error:
        raise SystemExit(str(error))
    restore = restore_weights(train, args, checkpoint)
    train.graph.finalize()
    os.makedirs(os.path.join(args.model_dir, checkpoints.BEST_DIR), exist_ok=True)
    config.save(args, args.model_dir)
    try:
        run_training(train, restore, eval_graph, info, args, start_step)
    except KeyboardInterrupt:
        raise SystemExit('Stopped. The same command goes on from the last checkpoint in %s.'
                         % args.model_dir)
    print('Done: %s. Score it with: python test.py --checkpoint %s'
          % (args.model_dir, args.model_dir))


if __name__ == '__main__':
    main()
