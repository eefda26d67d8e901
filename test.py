"""Scores a checkpoint on a split, whole images at their own size.

    python test.py --checkpoint runs/deeplab_v3
    python test.py --checkpoint RUN/best/model.ckpt-9000 --split validation --output_stride 8

Prints per-class IoU and the four scores, and writes scores.json, the predicted
label maps as palette PNGs (predictions/) and a contact sheet to look at.
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
                        help='a run directory (its best checkpoint), or a checkpoint in one')
    parser.add_argument('--dataset_dir', help='default: that of the run')
    parser.add_argument('--split', default='test', help='default: test')
    parser.add_argument('--output_stride', type=int, choices=resnet_v2.OUTPUT_STRIDES,
                        help='default: that of the run; the ASPP rates are adapted')
    parser.add_argument('--output_dir', help='default: results_SPLIT in the run directory')
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
        raise SystemExit('No config.json beside %s: give a checkpoint in the run directory that '
                         'train.py wrote.' % checkpoint)
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


def scores_as_dict(scores, info, checkpoint, flags, args):
    """The content of scores.json; an absent class's IoU is null."""
    def number(value):
        return None if math.isnan(value) else float(value)

    result = {name: number(getattr(scores, name)) for name in (
        'pixel_accuracy', 'mean_accuracy', 'mean_iou', 'frequency_weighted_iou')}
    result.update(
        per_class_iou={name: number(iou)
                       for name, iou in zip(info.class_names, scores.per_class_iou)},
        num_images=info.splits[flags.split]['num_examples'], split=flags.split,
        dataset=info.name, checkpoint=checkpoint, step=checkpoints.step_of(checkpoint),
        output_stride=args.output_stride, aspp_rates=args.aspp_rates)
    return result


def main(argv=None):
    flags = parse_flags(argv)
    select_gpu(flags.gpu_id)
    try:
        checkpoint, args, info, dataset_dir, output_dir = load_run(flags)
        eval_graph = evaluation.build_eval_graph(args, info, dataset_dir, flags.split)
        print('%s on split "%s" of %s, output stride %d.'
              % (checkpoint, flags.split, dataset_dir, args.output_stride))
        on_example, rows = picture_writer(
            output_dir, info.splits[flags.split]['num_examples'], info.ignore_label)
        matrix = evaluation.evaluate(eval_graph, checkpoint, info, flags.split, on_example)
    except ValueError as error:
        raise SystemExit(str(error))
    scores = metrics.scores(matrix)
    print(evaluation.report(scores, info.class_names))
    sheet_path = os.path.join(output_dir, 'contact_sheet.png')
    visualization.save_png(visualization.contact_sheet(rows, info.ignore_label), sheet_path)
    scores_path = os.path.join(output_dir, 'scores.json')
    config.write_json(scores_as_dict(scores, info, checkpoint, flags, args), scores_path)
    print('Scores: %s\nPictures: %s' % (scores_path, sheet_path))


if __name__ == '__main__':
    main()
