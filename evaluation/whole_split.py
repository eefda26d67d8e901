"""A run on a whole split: the data set that fits, its scores and their report."""
import os

import numpy as np

import metrics
import network
from common.errors import UserError
from dataset import descriptor
from evaluation import graph, loop, results, scores
from experiment import loading
from inference import options
from preprocessing import inputs
from runtime import workers
from runtime.devices import mixed_precision


def data_set(run, dataset_dir, split):
    """Finds a data set with the classes of a run.

    Args:
      run: `loading.LoadedRun`.
      dataset_dir: str, or None for that of the run.
      split: str.

    Returns:
      (directory, `descriptor.DatasetInfo`).

    Raises:
      UserError: it has other classes, or no such split.
    """
    dataset_dir = dataset_dir or run.args.dataset_dir
    info = descriptor.load(dataset_dir)
    loading.check_data_set(run, info, dataset_dir)
    if split not in info.splits:
        raise UserError('%s has no split %r: give --split %s.'
                        % (dataset_dir, split, ' or '.join(sorted(info.splits))))
    return dataset_dir, info


def check_labels(name, labels, info):
    """Raises `UserError` where a label is neither a class nor ignored; names the image."""
    wrong = labels[(labels >= info.number_of_classes) & (labels != info.ignore_label)]
    if wrong.size:
        raise UserError('%s: label value %d is neither one of the %d classes nor the ignore label '
                        '%d. Build the data set again.' % (name, np.min(wrong),
                                                           info.number_of_classes,
                                                           info.ignore_label))


def score(run, dataset_dir, info, split, output_dir, passes=options.SINGLE_PASS,
          with_post_scores=True, submission_dir=None, group=workers.ALONE):
    """Scores a run, prints the scores and writes all files of the results, scores.json last.

    Args:
      run: `loading.LoadedRun`.
      dataset_dir, info: as `data_set` returns them.
      split, output_dir: str.
      passes: `options.Passes`.
      with_post_scores: bool, whether to score in the post's definition too.
      submission_dir: None, or str, where copies for PASCAL VOC's server go, within `output_dir`.
      group: `workers.Alone` or `workers.Workers`.

    Raises:
      UserError: an image that cannot be evaluated, or a file in the place of a result.
    """
    eval_graph = graph.build_eval_graph(
        network.options_of(run.args), info, dataset_dir, graph.EvaluationOptions(
            split, run.args.crop_size if with_post_scores else None,
            checkpoint=run.checkpoint, passes=passes,
            share=inputs.share_of(group.rank, group.count, group.count)))
    print('%s on split "%s" of %s, output stride %d.'
          % (run.checkpoint, split, dataset_dir, run.args.output_stride))
    folder = results.begin(output_dir, *filter(None, [submission_dir])) if group.is_chief else None
    pictures = results.Pictures(folder, eval_graph.num_examples, info, submission_dir)
    evaluated = loop.evaluate(eval_graph, run.checkpoint, info, split, pictures.add,
                              details=True, group=group)
    if evaluated is loop.WITH_CHIEF:
        return
    interval = metrics.bootstrap_mean_iou(evaluated.image_counts)
    print(scores.as_text(metrics.scores(evaluated.matrix), info.class_names, interval,
                         evaluated.post_scores, run.args.crop_size))
    results.write(dict(scores.as_dict(evaluated, interval, info, run, split, passes),
                       data=results.about_data(info, dataset_dir),
                       mixed_precision=mixed_precision() or 'off'),
                  evaluated, info, run.args, pictures.drawn(evaluated), folder)
    print('mean boundary IoU %.4f, expected calibration error %.4f' % (
        metrics.mean_iou(evaluated.boundary_counts),
        metrics.expected_calibration_error(evaluated.bin_counts)))
    print('Report: %s\nScores: %s' % (os.path.join(output_dir, results.REPORT_NAME),
                                      os.path.join(output_dir, results.SCORES_NAME)))
