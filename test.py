"""Scores a checkpoint on a split, whole images at their own size.

    python test.py --checkpoint runs/deeplab_v3
    python test.py --checkpoint RUN/best/model.ckpt-9000 --split validation --output_stride 8

Prints per-class IoU and the four scores in two definitions, the VOC benchmark's and
the post's, and writes scores.json, the predicted label maps as palette PNGs
(predictions/) and a contact sheet to look at.
"""
import argparse
import math
import os

import checkpoints
import config
import evaluation
import metrics
import visualization
from dataset import descriptor
from resnet import resnet_v2
from runtime import select_gpu

SHEET_ROWS = 12


def parse_flags(argv=None):
    """Parses the flags of `test.py`."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--checkpoint', required=True,
                        help="a run directory (its best checkpoint), also one of the post's "
                             'code, or a checkpoint in one')
    parser.add_argument('--dataset_dir', help='default: that of the run')
    parser.add_argument('--split', default='test', help='default: test')
    parser.add_argument('--output_stride', type=int, choices=resnet_v2.OUTPUT_STRIDES,
                        help='default: that of the run; the ASPP rates are adapted')
    parser.add_argument('--output_dir', help='default: results_SPLIT in the run directory')
    parser.add_argument('--no_post_scores', dest='post_scores', action='store_false',
                        help="leave out the scores in the post's definition, which take a second "
                             'pass of the network')
    parser.add_argument('--gpu_id', help='the GPUs to use; -1: none')
    return parser.parse_args(argv)


def load_run(flags):
    """Finds the checkpoint and the settings of its run.

    Returns:
      (checkpoint prefix, run's flags with this evaluation's stride, `DatasetInfo`,
      data set directory, output directory).

    Raises:
      SystemExit: no checkpoint, no config.json, or a data set with other classes.
    """
    checkpoint, run_dir = checkpoints.find(flags.checkpoint)
    if run_dir is None:
        raise SystemExit("No config.json beside %s, and no data.json of the post's code: give a "
                         'checkpoint in the run directory that train.py wrote.' % checkpoint)
    args = config.with_output_stride(config.load(run_dir), flags.output_stride)
    dataset_dir = flags.dataset_dir or args.dataset_dir
    info = descriptor.load(dataset_dir)
    if info.number_of_classes != args.number_of_classes:
        raise SystemExit('%s has %d classes, but %s was trained on %d. Give the --dataset_dir '
                         'that fits.' % (dataset_dir, info.number_of_classes, checkpoint,
                                         args.number_of_classes))
    output_dir = flags.output_dir or os.path.join(run_dir, 'results_' + flags.split)
    return checkpoint, args, info, dataset_dir, output_dir


def picture_writer(output_dir, num_examples, ignore_label):
    """Makes the function that writes each prediction and collects rows for the sheet.

    Returns:
      (function for `evaluation.evaluate`, list that it fills with rows).
    """
    folder = os.path.join(output_dir, 'predictions')
    rows = []
    every = max(1, num_examples // SHEET_ROWS)

    def on_example(name, image, labels, predictions):
        stem = os.path.splitext(name)[0]
        path = os.path.join(folder, stem + '.png')
        os.makedirs(os.path.dirname(path), exist_ok=True)
        visualization.save_palette_png(predictions, path, ignore_label)
        on_example.count += 1
        if (on_example.count - 1) % every == 0 and len(rows) < SHEET_ROWS:
            rows.append((name, image, labels, predictions))
    on_example.count = 0
    return on_example, rows


def number(value):
    """A float for JSON, which has no NaN: null stands for an absent class."""
    return None if math.isnan(value) else float(value)


def scores_as_dict(evaluated, interval, info, checkpoint, flags, args):
    """The content of scores.json.

    Args:
      evaluated: `evaluation.Evaluation`.
      interval: (low, high) of `metrics.bootstrap_mean_iou`.
      info: `dataset.descriptor.DatasetInfo`.
      checkpoint: str.
      flags: of this script.
      args: of the run.

    Returns:
      Dict; `benchmark` and `post` hold the scores of the two definitions.
    """
    scores = metrics.scores(evaluated.matrix)
    benchmark = {name: number(getattr(scores, name)) for name, _ in evaluation.TITLES}
    benchmark.update(
        definition=evaluation.BENCHMARK_DEFINITION,
        mean_iou_95_interval=list(map(number, interval)),
        per_class_iou={name: number(iou)
                       for name, iou in zip(info.class_names, scores.per_class_iou)})
    post = None
    if evaluated.post_scores is not None:
        means = evaluated.post_scores.mean(axis=0)
        post = {name: number(mean) for (name, _), mean in zip(evaluation.TITLES, means)}
        post.update(definition=evaluation.post_definition(args.crop_size),
                    crop_size=args.crop_size, num_images=len(evaluated.post_scores))
    return dict(
        benchmark=benchmark, post=post, mean_loss=number(evaluated.mean_loss),
        num_images=info.splits[flags.split]['num_examples'], split=flags.split,
        dataset=info.name, checkpoint=checkpoint, step=checkpoints.step_of(checkpoint),
        output_stride=args.output_stride, aspp_rates=args.aspp_rates,
        input_normalization=args.input_normalization, align_corners=args.align_corners)


def main(argv=None):
    flags = parse_flags(argv)
    select_gpu(flags.gpu_id)
    try:
        checkpoint, args, info, dataset_dir, output_dir = load_run(flags)
        eval_graph = evaluation.build_eval_graph(
            args, info, dataset_dir, flags.split, flags.post_scores,
            averaged=checkpoints.is_averaged(checkpoint))
        checkpoints.names_in(checkpoint, eval_graph.variables)
        print('%s on split "%s" of %s, output stride %d.'
              % (checkpoint, flags.split, dataset_dir, args.output_stride))
        on_example, rows = picture_writer(
            output_dir, info.splits[flags.split]['num_examples'], info.ignore_label)
        evaluated = evaluation.evaluate(eval_graph, checkpoint, info, flags.split, on_example)
    except ValueError as error:
        raise SystemExit(str(error))
    interval = metrics.bootstrap_mean_iou(evaluated.image_counts)
    result = scores_as_dict(evaluated, interval, info, checkpoint, flags, args)
    print(evaluation.report(metrics.scores(evaluated.matrix), info.class_names, interval,
                            evaluated.post_scores, args.crop_size))
    sheet_path = os.path.join(output_dir, 'contact_sheet.png')
    visualization.save_png(visualization.contact_sheet(rows, info.ignore_label), sheet_path)
    scores_path = os.path.join(output_dir, 'scores.json')
    config.write_json(result, scores_path)
    print('Scores: %s\nPictures: %s' % (scores_path, sheet_path))


if __name__ == '__main__':
    main()
