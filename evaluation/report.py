"""report.html of test.py: all results of an evaluation on one page that needs no other file."""
import io

from PIL import Image

import metrics
from common import html
from dataset import palette
from evaluation.scores import TITLES


def _score(value):
    return '-' if value is None or value != value else '%.4f' % value


def _share(part, total):
    return '-' if not total else '%.2f %%' % (100. * part / total)


def _scores_html(result):
    """Both definitions side by side, and what they are. Returns (HTML, HTML)."""
    columns = [result['benchmark']] + [result['post']] * bool(result['post'])
    rows = [['', 'benchmark', 'post'][:1 + len(columns)]]
    for name, title in TITLES:
        rows.append([title] + [_score(column[name]) for column in columns])
    for title, value in (
            ('mean boundary IoU', result['boundary_iou']['mean']),
            ('expected calibration error', result['calibration']['expected_calibration_error'])):
        rows.append([title, _score(value)] + [''] * (len(columns) - 1))
    notes = ['<p class="info">%s: %s.</p>' % (name, html.escape(column['definition']))
             for name, column in zip(('benchmark', 'post'), columns)]
    return html.table(rows), ''.join(notes)


def class_rows(evaluated, class_names):
    """The per-class table of the report.

    Args:
      evaluated: `loop.Evaluation` with details.
      class_names: tuple of str.

    Returns:
      List of rows of str: headings, then one row a class.
    """
    correct, in_labels, predicted = metrics.counts(evaluated.matrix)
    iou = metrics.scores(evaluated.matrix).per_class_iou
    boundary = metrics.boundary_iou(evaluated.boundary_counts)
    rows = [['class', 'IoU', 'boundary IoU', 'accuracy', 'precision', 'pixels in labels',
             'pixels predicted']]
    for index, name in enumerate(class_names):
        rows.append([name, _score(iou[index]), _score(boundary[index]),
                     _share(correct[index], in_labels[index]),
                     _share(correct[index], predicted[index]),
                     _share(in_labels[index], in_labels.sum()),
                     _share(predicted[index], predicted.sum())])
    return rows


def _progress(run):
    if run is None:
        return 'unknown'
    return '%sfinished: %d of %d steps' % ('' if run['is_finished'] else 'un', run['steps_done'],
                                           run['max_steps'])


def _settings_html(result, args):
    passes = result['passes']
    return html.table([['setting', '']] + [[name, str(value)] for name, value in (
        ('checkpoint', result['checkpoint']), ('step', result['step']),
        ('run', _progress(result['run'])),
        ('data set', '%s, split %s, %d images' % (result['dataset'], result['split'],
                                                  result['num_images'])),
        ('backbone', args.resnet_model), ('output stride', result['output_stride']),
        ('ASPP rates', ' '.join(map(str, result['aspp_rates']))),
        ('scales', ' '.join('%g' % scale for scale in passes['scales'])),
        ('flip', 'yes' if passes['flip'] else 'no'),
        ('window', '%d, overlap %d' % (passes['window'], passes['overlap'])
         if passes['window'] else 'none'),
        ('mixed precision', result['mixed_precision']),
        ('mean loss', _score(result['mean_loss'])))])


def as_html(result, evaluated, info, args, drawings):
    """Puts the page together.

    Args:
      result: dict, the content of scores.json.
      evaluated: `loop.Evaluation` with details.
      info: `dataset.descriptor.DatasetInfo`.
      args: the run's flags.
      drawings: `results.Drawings`.

    Returns:
      str, HTML.
    """
    def picture(content, description):
        return html.image(Image.open(io.BytesIO(content)), description)

    benchmark = result['benchmark']
    swatches = [''] + [html.swatch(color) for color in palette.of_classes(info)]
    interval = tuple(map(_score, benchmark['mean_iou_95_interval']))
    scores, definitions = _scores_html(result)
    parts = ['<p class="verdict">mean IoU %s <span class="note">(95%% interval over images: '
             '%s to %s)</span></p>' % ((_score(benchmark['mean_iou']),) + interval),
             _columns('Scores', scores, 'Settings', _settings_html(result, args)), definitions,
             '<h2>Classes</h2>', html.table(class_rows(evaluated, info.class_names), swatches),
             _columns('Confusion matrix',
                      picture(drawings.confusion, 'confusion matrix, each row a label'),
                      'Calibration', picture(drawings.calibration, 'accuracy over confidence')),
             '<h2>The %d images with the lowest mean IoU</h2>' % len(drawings.worst)]
    for name, score, drawn in drawings.worst:
        parts.append('<div class="example"><h3>%s: %s</h3>%s</div>' % (
            html.escape(name), _score(score), html.image(drawn, name, 'JPEG')))
    parts += ['<h2>Images across the split</h2>',
              html.image(drawings.sheet, 'contact sheet', 'JPEG')]
    return html.page('%s on %s' % (result['checkpoint'], result['dataset']), parts)


def _columns(left_title, left, right_title, right):
    """Puts HTML side by side, each under its heading. Returns HTML."""
    return ('<div class="columns"><div><h2>%s</h2>%s</div><div><h2>%s</h2>%s</div></div>'
            % (left_title, left, right_title, right))
