"""What evaluation/compare.py prints, and its page."""
from common import html
from dataset import palette


def verdict(difference):
    """Returns a sentence: which of two is better, where the interval says so."""
    if difference.low > 0:
        return 'The second is better.'
    if difference.high < 0:
        return 'The first is better.'
    return 'These images do not tell which is better: the interval of the difference holds 0.'


def rows(scores, differences, info):
    """Returns a list of rows of str: headings, the mean IoU, then one row a class."""
    mean, by_class = differences
    found = [['', 'first', 'second', 'difference', '95% interval']]
    values = [[one['benchmark']['mean_iou'] for one in scores]] + [
        [one['benchmark']['per_class_iou'][name] for one in scores] for name in info.class_names]
    for name, (first, second), difference in zip(
            ('mean IoU',) + tuple(map(html.printable, info.class_names)), values,
            [mean] + by_class):
        found.append([name, _score(first), _score(second), _signed(difference.mean),
                      '%s to %s' % (_signed(difference.low), _signed(difference.high))])
    return found


def _score(value):
    return 'absent' if value is None else '%.4f' % value


def _signed(value):
    return '-' if value != value else '%+.4f' % value


def _titles(folders, scores):
    """What each of the two is. Returns list of str."""
    return ['%s: %s, scales %s%s (%s)' % (
        word, one['checkpoint'], ' '.join('%g' % scale for scale in one['passes']['scales']),
        ', flip' * one['passes']['flip'], folder)
        for word, folder, one in zip(('first', 'second'), folders, scores)]


def as_text(folders, scores, differences, info):
    """Returns the table as lines of text, under what is compared and above the verdict."""
    table = rows(scores, differences, info)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ['%-*s  %s' % (widths[0], row[0], '  '.join(
        cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))) for row in table]
    return '\n'.join(_titles(folders, scores) + lines + [verdict(differences[0])])


def as_html(folders, scores, differences, pairs, info):
    """Returns the page, HTML that needs no other file; `pairs` is a `contrast.Pairs`."""
    swatches = ['', ''] + [html.swatch(color) for color in palette.of_classes(info)]
    parts = ['<p>%s</p>' % html.escape(title) for title in _titles(folders, scores)]
    parts += ['<p class="verdict">mean IoU %s <span class="note">(95%% interval over images: %s to '
              '%s)</span>. %s</p>' % (tuple(map(_signed, differences[0]))
                                      + (verdict(differences[0]),)),
              html.table(rows(scores, differences, info), swatches),
              '<p class="info">Split %s of %s, %d images, one confusion matrix each. The intervals '
              'are of a paired bootstrap: both are scored on the same draws of images.</p>'
              % (html.escape(scores[0]['split']), html.escape(info.name), len(pairs.names)),
              '<h2>The %d images that changed most</h2>' % len(pairs.changed)]
    for change, name, drawn in pairs.changed:
        parts.append('<div class="example"><h3>%s: %s mean IoU</h3>%s</div>' % (
            html.escape(name), _signed(change), ''.join(
                '<span class="note">%s</span>%s' % (word, html.image(picture, word, 'JPEG'))
                for word, picture in zip(('first', 'second'), drawn))))
    return html.page('%s and %s' % tuple(folders), parts)
