"""Scores a checkpoint on a split, whole images at their own size.

    python test.py --checkpoint runs/deeplab_v3
    python test.py --checkpoint RUN/best/model.ckpt-9000 --split validation --output_stride 8 \\
        --scales 0.5 0.75 1 1.25 1.5 1.75 --flip

Prints per-class IoU and the four scores in two definitions, the VOC benchmark's and
the post's. Writes report.html, which shows everything on one page, and beside it:
  scores.json           all numbers
  images.csv            the scores of each image
  predictions/          the predicted label maps as palette PNGs
  worst/                the 16 images with the lowest mean IoU
  confusion_matrix.png, calibration.png, contact_sheet.png
  results/VOC2012/...   with --save_submission, what PASCAL VOC's server takes
"""
import argparse
import csv
import heapq
import math
import os
import shutil

import metrics
import network
from common import files, html
from common.errors import UserError
from dataset import descriptor
from evaluation import loop, report
from experiment import checkpoints, config, curves, weights
from inference import drawing, options
from runtime.devices import select_gpu

SHEET_ROWS = 12
WORST_SHOWN = 16
SCORES_NAME = 'scores.json'
REPORT_NAME = 'report.html'


def parse_flags(argv=None):
    """Parses the flags of `test.py`."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_checkpoint_flags(parser)
    parser.add_argument('--dataset_dir', help='default: that of the run')
    parser.add_argument('--split', default='test', help='default: test')
    parser.add_argument('--output_dir', help='default: results_SPLIT in the run directory')
    parser.add_argument('--no_post_scores', dest='post_scores', action='store_false',
                        help="leave out the scores in the post's definition, which take a second "
                             'pass of the network')
    options.add_flags(parser)
    return parser.parse_args(argv)


def load_run(flags):
    """Finds the checkpoint and the settings of its run.

    Returns:
      (checkpoint prefix, run's flags with this evaluation's stride, `DatasetInfo`,
      data set directory, output directory).

    Raises:
      UserError: no checkpoint, no config.json, or a data set with other classes.
    """
    checkpoint, run_dir = checkpoints.find(flags.checkpoint)
    if run_dir is None:
        raise UserError("No config.json beside %s, and no data.json of the post's code: give a "
                        'checkpoint in the run directory that train.py wrote.' % checkpoint)
    args = config.with_output_stride(config.load(run_dir), flags.output_stride)
    dataset_dir = flags.dataset_dir or args.dataset_dir
    info = descriptor.load(dataset_dir)
    if info.number_of_classes != args.number_of_classes:
        raise UserError('%s has %d classes, but %s was trained on %d. Give the --dataset_dir '
                        'that fits.' % (dataset_dir, info.number_of_classes, checkpoint,
                                        args.number_of_classes))
    output_dir = flags.output_dir or os.path.join(run_dir, 'results_' + flags.split)
    return checkpoint, args, info, dataset_dir, output_dir


class Pictures:
    """Writes the predictions of a split, and keeps what the report shows of it.

    Args:
      output_dir: str.
      num_examples: int, of the split.
      info: `dataset.descriptor.DatasetInfo`.
      submission_dir: str or None, where copies for PASCAL VOC's server go.

    Attributes:
      rows: list for `drawing.contact_sheet`, images across the split.
      worst: heap of (negative mean IoU, index, name, arrays of `drawing.shrink`).
    """

    def __init__(self, output_dir, num_examples, info, submission_dir):
        self.folder, self.info = os.path.join(output_dir, 'predictions'), info
        self.submission_dir = submission_dir
        self.rows, self.worst, self._index = [], [], 0
        self._every = max(1, num_examples // SHEET_ROWS)

    def add(self, name, image, labels, predictions, matrix):
        """Takes one image; see `loop.evaluate`."""
        stem = os.path.splitext(name)[0]
        paths = [os.path.join(self.folder, stem + '.png')]
        if self.submission_dir:
            paths.append(os.path.join(self.submission_dir, os.path.basename(stem) + '.png'))
        for path in paths:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            drawing.save_palette_png(predictions, path, self.info.ignore_label)
        if self._index % self._every == 0 and len(self.rows) < SHEET_ROWS:
            self.rows.append((name, image, labels, predictions))
        score = float(metrics.mean_iou(metrics.counts(matrix)))
        is_shown = len(self.worst) < WORST_SHOWN or self.worst and -score > self.worst[0][0]
        if is_shown and score == score:
            # Small ones, as the heap holds many; those that stay are drawn at the end.
            small = drawing.shrink(image, labels, predictions)
            heapq.heappush(self.worst, (-score, self._index, name, small))
            if len(self.worst) > WORST_SHOWN:
                heapq.heappop(self.worst)
        self._index += 1

    def worst_first(self):
        """Returns a list of (name, mean IoU, `PIL.Image`), the lowest first."""
        return [(name, -score, drawing.comparison(
                    *small, class_names=self.info.class_names,
                    ignore_label=self.info.ignore_label))
                for score, _, name, small in sorted(self.worst, key=lambda one: -one[0])]


def number(value):
    """A float for JSON, which has no NaN: null stands for an absent class."""
    return None if math.isnan(value) else float(value)


def scores_as_dict(evaluated, interval, info, checkpoint, flags, args, passes):
    """The content of scores.json.

    Args:
      evaluated: `loop.Evaluation`.
      interval: (low, high) of `metrics.bootstrap_mean_iou`.
      info: `dataset.descriptor.DatasetInfo`.
      checkpoint: str.
      flags: of this script.
      args: of the run.
      passes: `options.Passes`.

    Returns:
      Dict; `benchmark` and `post` hold the scores of the two definitions.
    """
    scores = metrics.scores(evaluated.matrix)
    benchmark = {name: number(getattr(scores, name)) for name, _ in loop.TITLES}
    benchmark.update(
        definition=loop.BENCHMARK_DEFINITION,
        mean_iou_95_interval=list(map(number, interval)),
        per_class_iou={name: number(iou)
                       for name, iou in zip(info.class_names, scores.per_class_iou)})
    post = None
    if evaluated.post_scores is not None:
        means = evaluated.post_scores.mean(axis=0)
        post = {name: number(mean) for (name, _), mean in zip(loop.TITLES, means)}
        post.update(definition=loop.post_definition(args.crop_size),
                    crop_size=args.crop_size, num_images=len(evaluated.post_scores))
    boundary = metrics.boundary_iou(evaluated.boundary_counts)
    return dict(
        benchmark=benchmark, post=post,
        boundary_iou={'mean': number(metrics.mean_iou(evaluated.boundary_counts)),
                      'boundary': '%g of the image diagonal' % metrics.BOUNDARY_SHARE,
                      'per_class': dict(zip(info.class_names, map(number, boundary)))},
        calibration={'expected_calibration_error': number(
                         metrics.expected_calibration_error(evaluated.bin_counts)),
                     'pixels': evaluated.bin_counts[0].tolist(),
                     'confidence_sum': evaluated.bin_counts[1].tolist(),
                     'right_pixels': evaluated.bin_counts[2].tolist()},
        passes=dict(passes._asdict()), mean_loss=number(evaluated.mean_loss),
        num_images=info.splits[flags.split]['num_examples'], split=flags.split,
        dataset=info.name, checkpoint=checkpoint, step=checkpoints.step_of(checkpoint),
        output_stride=args.output_stride, aspp_rates=args.aspp_rates,
        input_normalization=args.input_normalization, align_corners=args.align_corners)


def write_images_csv(evaluated, path):
    """Writes the benchmark's scores of each image alone, to a temporary name first.

    Args:
      evaluated: `loop.Evaluation`.
      path: str.
    """
    with open(path + '.tmp', 'w', newline='', encoding='utf-8') as csv_file:
        rows = csv.writer(csv_file)
        rows.writerow(['image', 'mean_iou', 'pixel_accuracy', 'labelled_pixels'])
        for name, counts in zip(evaluated.names, evaluated.image_counts):
            num_right, num_labelled = counts[0].sum(), counts[1].sum()
            rows.writerow([name, '%.6f' % metrics.mean_iou(counts),
                           '%.6f' % (num_right / num_labelled if num_labelled else math.nan),
                           num_labelled])
    os.replace(path + '.tmp', path)


def write_results(result, evaluated, info, args, pictures, output_dir):
    """Writes all files but the predictions; scores.json, which says that all is there, last.

    Args:
      result: dict, see `scores_as_dict`.
      evaluated: `loop.Evaluation`.
      info: `dataset.descriptor.DatasetInfo`.
      args: the run's flags.
      pictures: `Pictures`.
      output_dir: str.
    """
    worst, folder = pictures.worst_first(), os.path.join(output_dir, 'worst')
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for index, (name, _, picture) in enumerate(worst, start=1):
        stem = os.path.splitext(name)[0].replace('/', '-')
        drawing.save_png(picture, os.path.join(folder, '%02d-%s.png' % (index, stem)))
    sheet = drawing.contact_sheet(pictures.rows, info.ignore_label)
    drawing.save_png(sheet, os.path.join(output_dir, 'contact_sheet.png'))
    for name, content in (
            ('confusion_matrix.png', curves.confusion_png(evaluated.matrix, info.class_names)[0]),
            ('calibration.png', curves.calibration_png(evaluated.bin_counts))):
        drawing.save_bytes(content, os.path.join(output_dir, name))
    write_images_csv(evaluated, os.path.join(output_dir, 'images.csv'))
    html.write(report.as_html(result, evaluated, info, args, worst, sheet),
               os.path.join(output_dir, REPORT_NAME))
    files.write_json(result, os.path.join(output_dir, SCORES_NAME))


def main(argv=None):
    flags = parse_flags(argv)
    passes = options.passes_of(flags)
    select_gpu(flags.gpu_id)
    try:
        checkpoint, args, info, dataset_dir, output_dir = load_run(flags)
        submission_dir = flags.save_submission and options.submission_folder(
            output_dir, flags.save_submission, flags.split, info.class_names)
        eval_graph = loop.build_eval_graph(
            network.options_of(args), info, dataset_dir, loop.EvaluationOptions(
                flags.split, args.crop_size if flags.post_scores else None,
                averaged=weights.is_averaged(checkpoint), passes=passes))
        weights.check_complete(checkpoint, {
            variable.op.name + weights.AVERAGED * weights.is_averaged(checkpoint): variable
            for variable in eval_graph.variables})
        print('%s on split "%s" of %s, output stride %d.'
              % (checkpoint, flags.split, dataset_dir, args.output_stride))
        scores_path = os.path.join(output_dir, SCORES_NAME)
        if os.path.exists(scores_path):
            os.remove(scores_path)  # of an earlier evaluation: it is there when all is
        pictures = Pictures(output_dir, info.splits[flags.split]['num_examples'], info,
                            submission_dir)
        evaluated = loop.evaluate(eval_graph, checkpoint, info, flags.split, pictures.add,
                                  details=True)
    except (ValueError, OSError) as error:
        raise SystemExit(str(error))
    interval = metrics.bootstrap_mean_iou(evaluated.image_counts)
    result = scores_as_dict(evaluated, interval, info, checkpoint, flags, args, passes)
    print(loop.report(metrics.scores(evaluated.matrix), info.class_names, interval,
                      evaluated.post_scores, args.crop_size))
    write_results(result, evaluated, info, args, pictures, output_dir)
    print('mean boundary IoU %.4f, expected calibration error %.4f' % (
        metrics.mean_iou(evaluated.boundary_counts),
        metrics.expected_calibration_error(evaluated.bin_counts)))
    print('Report: %s\nScores: %s' % (os.path.join(output_dir, REPORT_NAME), scores_path))
    if submission_dir:
        print("For PASCAL VOC's server, packed with tar from %s: %s" % (output_dir, submission_dir))


if __name__ == '__main__':
    main()
