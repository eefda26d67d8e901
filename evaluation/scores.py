"""The scores of an evaluation in both definitions, as lines of text and as scores.json."""
import math

import metrics
from common import html
from experiment import checkpoints

TITLES = (('pixel_accuracy', 'pixel accuracy'), ('mean_accuracy', 'mean accuracy'),
          ('mean_iou', 'mean IoU'), ('frequency_weighted_iou', 'frequency-weighted IoU'))
BENCHMARK_DEFINITION = 'one confusion matrix over the split, whole images (the VOC benchmark)'


def post_definition(crop_size):
    """Says what the post's scores are. Returns str."""
    return ('means over images of the scores of each, on center crops of %dx%d padded with black '
            '(the post)' % (crop_size, crop_size))


def _number(value):
    """A float for JSON, which has no NaN: null stands for an absent class."""
    return None if math.isnan(value) else float(value)


def as_dict(evaluated, interval, info, run, split, passes):
    """The content of scores.json.

    Args:
      evaluated: `loop.Evaluation` with details.
      interval: (low, high) of `metrics.bootstrap_mean_iou`.
      info: `dataset.descriptor.DatasetInfo`.
      run: `loading.LoadedRun`.
      split: str.
      passes: `options.Passes`.

    Returns:
      Dict; `benchmark` and `post` hold the scores of the two definitions.
    """
    def by_class(values):
        return dict(zip(info.class_names, map(_number, values)))

    scores, args = metrics.scores(evaluated.matrix), run.args
    benchmark = {name: _number(getattr(scores, name)) for name, _ in TITLES}
    benchmark.update(
        definition=BENCHMARK_DEFINITION, per_class_iou=by_class(scores.per_class_iou),
        mean_iou_95_interval=list(map(_number, interval)))
    post = None
    if evaluated.post_scores is not None:
        post = {name: _number(mean)
                for (name, _), mean in zip(TITLES, evaluated.post_scores.mean(axis=0))}
        post.update(definition=post_definition(args.crop_size), crop_size=args.crop_size,
                    num_images=len(evaluated.post_scores))
    return dict(
        benchmark=benchmark, post=post,
        boundary_iou={'mean': _number(metrics.mean_iou(evaluated.boundary_counts)),
                      'boundary': '%g of the image diagonal' % metrics.BOUNDARY_SHARE,
                      'per_class': by_class(metrics.boundary_iou(evaluated.boundary_counts))},
        calibration={'expected_calibration_error': _number(
                         metrics.expected_calibration_error(evaluated.bin_counts)),
                     'pixels': evaluated.bin_counts[0].tolist(),
                     'confidence_sum': evaluated.bin_counts[1].tolist(),
                     'right_pixels': evaluated.bin_counts[2].tolist()},
        passes=dict(passes._asdict()), mean_loss=_number(evaluated.mean_loss),
        num_images=info.splits[split]['num_examples'], split=split,
        dataset=info.name, checkpoint=run.checkpoint, step=checkpoints.step_of(run.checkpoint),
        run=run.progress and dict(run.progress._asdict()),
        output_stride=args.output_stride, aspp_rates=args.aspp_rates,
        input_normalization=args.input_normalization, align_corners=args.align_corners)


def as_text(scores, class_names, interval=None, post_scores=None, crop_size=None):
    """Formats per-class IoU and the scores, in both definitions, as lines of text.

    Args:
      scores: `metrics.Scores`, the benchmark's.
      class_names: tuple of str.
      interval: None, or the (low, high) of `metrics.bootstrap_mean_iou`.
      post_scores: None, or float64 [images, 4] of `loop.Evaluation`.
      crop_size: int, of the post's crops.

    Returns:
      str.
    """
    names = tuple(map(html.printable, class_names))
    width = max(map(len, names + ('frequency-weighted IoU',)))
    lines = ['%-*s %s' % (width, name, 'absent' if iou != iou else '%.4f' % iou)
             for name, iou in zip(names, scores.per_class_iou)]
    lines += ['-' * (width + 7), 'Benchmark: ' + BENCHMARK_DEFINITION]
    for field, title in TITLES:
        lines.append('%-*s %.4f' % (width, title, getattr(scores, field)))
        if field == 'mean_iou' and interval:
            lines[-1] += '  (95%% interval over images: %.4f to %.4f)' % interval
    if post_scores is not None:
        lines.append('Post: ' + post_definition(crop_size))
        lines += ['%-*s %.4f' % (width, title, value)
                  for (_, title), value in zip(TITLES, post_scores.mean(axis=0))]
    return '\n'.join(lines)
