"""The report of dataset/check.py as text, as JSON and as one HTML page."""
import collections
import json

import numpy as np
from PIL import Image

from common import html, lettering
from dataset import palette
from dataset.checking.findings import CODES, ERROR, INFO, WARNING
from dataset.checking.statistics import size_range, split_order

FORMAT_VERSION = 1
# Of one code; the JSON report lists `findings.LISTED_PER_CODE`.
_PRINTED_PER_CODE = 10
_NAME_WIDTH = 24
_OVERLAY_OPACITY = 0.55
_SMALLEST_SHARE = 0.001  # percent, where the logarithmic axis begins
_BAR_COLORS = ('#4c72b0', '#dd8452', '#55a868', '#c44e52', '#8172b3', '#937860')

# title: str. info: descriptor.DatasetInfo. inferred: bool, whether its classes
# were taken from the masks. max_images: int or None. statistics: dict from split
# to SplitStatistics. aliases: dict from split to the one it repeats. findings:
# Findings. pictures: list of examination.Result.
Report = collections.namedtuple('Report', [
    'title', 'info', 'inferred', 'max_images', 'statistics', 'aliases', 'findings', 'pictures'])


def emit(text, stream):
    """Writes text to a stream of any encoding; what it cannot show is escaped."""
    encoding = getattr(stream, 'encoding', None) or 'utf-8'
    stream.write(text.encode(encoding, 'backslashreplace').decode(encoding))
    stream.flush()


def as_json(report):
    """Writes the report for programs; equal input gives equal text.

    Args:
      report: `Report`.

    Returns:
      str, one JSON object: `format_version`, `exit_status`, `input`, `name`,
      `class_names`, `classes_inferred`, `ignore_label`, `max_images`, `splits`
      (see `_split_values`), `findings` (the first 50 of each code: `code`,
      `severity`, `split`, `file`, `record`, `text`), `counts` (all, by code) and
      `totals` (all, by severity).
    """
    info, findings = report.info, report.findings
    splits = {split: _split_values(counts, info) for split, counts in report.statistics.items()}
    for split in report.aliases:
        if report.aliases[split] in splits:
            splits[split] = dict(splits[report.aliases[split]], same_as=report.aliases[split])
    values = {
        'format_version': FORMAT_VERSION,
        'exit_status': 0 if findings.clean() else 1,
        'input': report.title,
        'name': info.name,
        'class_names': list(info.class_names),
        'classes_inferred': report.inferred,
        'ignore_label': info.ignore_label,
        'max_images': report.max_images,
        'splits': splits,
        'findings': [finding._asdict() for finding in _sorted(findings)],
        'counts': dict(findings.counts),
        'totals': findings.totals(),
    }
    return json.dumps(values, indent=2, sort_keys=True) + '\n'


def _split_values(counts, info):
    """The JSON object of one split; lists have one value per class."""
    share = counts.ignored_share(info.ignore_label)
    return {
        'num_records': counts.num_records,
        'num_images': counts.num_images,
        'num_masks': counts.num_masks,
        'height': size_range(counts.heights),
        'width': size_range(counts.widths),
        'mean_rgb': counts.mean_rgb(),
        'class_pixels': counts.class_pixels[:info.number_of_classes].tolist(),
        'class_images': counts.class_images[:info.number_of_classes].tolist(),
        'ignored_pixels': int(counts.class_pixels[info.ignore_label]),
        'unknown_pixels': counts.unknown_pixels(info),
        'ignored_share': None if share is None else round(share, 6),
        'same_as': None,
    }


def _sorted(findings):
    """Findings by severity, then code in the order of CODES, then as found."""
    severities, codes = [ERROR, WARNING, INFO], list(CODES)
    return sorted(findings.listed, key=lambda finding: (
        severities.index(finding.severity), codes.index(finding.code)))


def as_text(report):
    """Writes the report for people. Returns str of several lines."""
    info = report.info
    lines = ['%s: %s, %d classes, ignore label %d'
             % (report.title, info.name, info.number_of_classes, info.ignore_label)]
    if report.statistics:
        lines += [''] + _aligned(_split_rows(report)) + ['']
        lines += _aligned([[_short(cell) for cell in row] for row in _class_rows(report)])
    lines += [''] + _finding_lines(report.findings) + [verdict(report.findings)]
    return '\n'.join(html.printable(line).rstrip() for line in lines) + '\n'


def _short(name):
    return name if len(name) <= _NAME_WIDTH else name[:_NAME_WIDTH - 3] + '...'


def _splits(report):
    return sorted(report.statistics, key=split_order)


def _split_rows(report):
    """Rows of cells: a header, then the images of each split."""
    rows = [['split', 'images', 'height min/median/max', 'width min/median/max',
             'mean R, G, B', 'ignored']]
    for split in _splits(report):
        counts = report.statistics[split]
        share = counts.ignored_share(report.info.ignore_label)
        mean = counts.mean_rgb()
        rows.append([split, '%d' % counts.num_images, _range_text(counts.heights),
                     _range_text(counts.widths),
                     '%.1f, %.1f, %.1f' % tuple(mean) if mean else '-',
                     '-' if share is None else '%.2f %%' % (100 * share)])
    for alias, split in sorted(report.aliases.items()):
        rows.append([alias, '= ' + split, '', '', '', ''])
    return rows


def _range_text(counter):
    values = size_range(counter)
    return '%d / %g / %d' % (values['min'], values['median'], values['max']) if values else '-'


def _class_rows(report):
    """Rows of cells: a header, then share of pixels and number of images per class."""
    rows = [['class', '']]
    for split in _splits(report):
        rows[0] += [split + ' pixels', 'images']
    for class_id, name in _labels(report.info):
        row = ['%d' % class_id, name]
        for split in _splits(report):
            counts = report.statistics[split]
            row += [_percent(counts.class_pixels[class_id], counts.class_pixels.sum()),
                    '%d' % counts.class_images[class_id]]
        rows.append(row)
    unknown = [report.statistics[split].unknown_pixels(report.info) for split in _splits(report)]
    if any(unknown):
        row = ['', '(no class)']
        for split, pixels in zip(_splits(report), unknown):
            row += [_percent(pixels, report.statistics[split].class_pixels.sum()), '']
        rows.append(row)
    return rows


def _labels(info):
    """Returns (label, name) of every class and of the ignore label."""
    return list(enumerate(info.class_names)) + [(info.ignore_label, '(ignored)')]


def _unknown_labels(counts, info):
    return [(int(label), '%d (no class)' % label) for label in np.flatnonzero(counts)
            if label >= info.number_of_classes and label != info.ignore_label]


def _percent(part, total):
    """A share with two digits; one that is not 0 never reads as 0."""
    if not total:
        return '-'
    share = 100. * part / total
    return '< 0.01 %' if 0 < share < 0.005 else '%.2f %%' % share


def _aligned(rows):
    """Lines of a table: the first column left, numbers right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ['  '.join(cell.ljust(width) if html.is_text(rows, column) else cell.rjust(width)
                      for column, (cell, width) in enumerate(zip(row, widths)))
            for row in rows]


def _finding_lines(findings):
    lines, printed = [], collections.Counter()
    for finding in _sorted(findings):
        printed[finding.code] += 1
        if printed[finding.code] <= _PRINTED_PER_CODE:
            lines.append('%-7s %s: %s%s' % (_severity_word(finding), finding.code,
                                            _where(finding), finding.text))
        total = findings.counts[finding.code]
        if printed[finding.code] == min(_PRINTED_PER_CODE, total) < total:
            lines.append('%-7s %s: and %d more' % ('', finding.code, total - _PRINTED_PER_CODE))
    return lines


def _severity_word(finding):
    return 'note' if finding.severity == INFO else finding.severity


def _where(finding):
    """Returns 'FILE record 3: ', 'train: ' or ''."""
    place = finding.file or finding.split or ''
    if finding.record is not None:
        place += ' record %d' % finding.record
    return place + ': ' if place else ''


def verdict(findings):
    """Returns a line such as '2 errors, 1 warning, 3 notes.'"""
    totals = findings.totals()
    parts = ['%d %s%s' % (totals[severity], word, '' if totals[severity] == 1 else 's')
             for severity, word in ((ERROR, 'error'), (WARNING, 'warning'), (INFO, 'note'))]
    return '%s%s.' % ('Clean: ' if findings.clean() else '', ', '.join(parts))


def as_html(report):
    """Writes the report as one page that needs no other file.

    All pictures are in it: the mean image of each split, the histogram of classes, and each of
    `report.pictures` as image, overlay and mask with a legend.
    """
    colors = palette.of(report.info)
    totals = report.findings.totals()
    state = next((severity for severity in (ERROR, WARNING) if totals[severity]), INFO)
    parts = ['<p>%s, %d classes, ignore label %d</p>'
             % (html.escape(report.info.name), report.info.number_of_classes,
                report.info.ignore_label),
             '<p class="verdict %s">%s</p>' % (state, html.escape(verdict(report.findings))),
             _findings_html(report.findings)]
    if report.statistics:
        swatches = [html.swatch(colors[label]) for label, _ in _labels(report.info)]
        parts += ['<h2>Images</h2>', html.table(_split_rows(report)), _means_html(report),
                  '<h2>Classes</h2>', html.image(histogram(report), 'pixels and images per class'),
                  html.table(_class_rows(report), [''] + swatches + [''])]
    if report.pictures:
        parts.append('<h2>%d images at random</h2>' % len(report.pictures))
        parts += [_example_html(result, report.info, colors) for result in report.pictures]
    return html.page('Check of ' + report.title, parts)


def _findings_html(findings):
    rows = []
    for finding in _sorted(findings):
        rows.append('<tr><td class="text %s">%s</td><td class="text">%s</td>'
                    '<td class="long">%s%s</td></tr>'
                    % (finding.severity, _severity_word(finding), finding.code,
                       html.escape(_where(finding)), html.escape(finding.text)))
    if not rows:
        return ''
    hidden = sum(findings.counts.values()) - len(rows)
    more = '<p>and %d more of the same codes</p>' % hidden if hidden else ''
    return '<h2>Findings</h2>\n<table class="findings">\n%s\n</table>%s' % ('\n'.join(rows), more)


def _means_html(report):
    """The mean image of each split: what all have in common, such as the sky above."""
    means = [(split, report.statistics[split].mean_image()) for split in _splits(report)]
    return '<div class="means">%s</div>' % ''.join(
        html.captioned(Image.fromarray(mean), 'mean of all images of %s, each resized to %dx%d'
                       % ((split,) + mean.shape[1::-1]))
        for split, mean in means if mean is not None)


def _example_html(result, info, colors):
    """One image, the overlay and the mask side by side, and the classes in it."""
    pixels, labels = result.picture
    pictures = ''.join(html.captioned(picture, word)
                       for word, picture in (
                           ('image', Image.fromarray(pixels)),
                           ('overlay', overlay(pixels, labels, colors)),
                           ('mask', Image.fromarray(colors[labels]))))
    item, counts = result.item, result.label_counts
    legend = ''.join('<span>%s%s %s</span>' % (
        html.swatch(colors[label]), html.escape(name), _percent(counts[label], counts.sum()))
        for label, name in _labels(info) + _unknown_labels(counts, info) if counts[label])
    place = item.file if item.record is None else '%s record %d' % (item.file, item.record)
    return ('<div class="example">\n<h3>%s</h3>\n<div class="row">%s</div>\n'
            '<div class="legend">%s</div>\n</div>'
            % (html.escape('%s: %s' % (item.split, ', '.join(filter(None, [
                result.name if item.record is not None else '', place])))), pictures, legend))


def overlay(pixels, labels, colors):
    """Lays the colours of the labels over an image.

    Args:
      pixels: uint8 [height, width, 3].
      labels: uint8 [height, width].
      colors: uint8 [256, 3].

    Returns:
      `PIL.Image`, RGB.
    """
    return Image.blend(Image.fromarray(pixels), Image.fromarray(colors[labels]), _OVERLAY_OPACITY)


def histogram(report):
    """Draws the share of pixels and of images per class and split; there must be a split.

    Returns `PIL.Image`, RGB, 1140 pixels wide.
    """
    # Matplotlib takes half a second, which only --html has to spend.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # for the same reason
    splits, labels = _splits(report), _labels(report.info)
    height = 1.1 + len(labels) * max(0.24, 0.13 * len(splits))
    figure = Figure(figsize=(11.4, height), dpi=100)
    canvas = FigureCanvasAgg(figure)
    pixel_axes, image_axes = figure.subplots(1, 2, sharey=True)
    ids, handles = [label for label, _ in labels], []
    for index, split in enumerate(splits):
        counts = report.statistics[split]
        places = np.arange(len(labels)) + (index + 0.5) / len(splits) * 0.8 - 0.4
        for axes, values, total in ((pixel_axes, counts.class_pixels, counts.class_pixels.sum()),
                                    (image_axes, counts.class_images, counts.num_masks)):
            axes.barh(places, 100. * values[ids] / max(total, 1), height=0.8 / len(splits),
                      color=_BAR_COLORS[index % len(_BAR_COLORS)])
        handles.append(pixel_axes.containers[-1])
        _mark_unseen(pixel_axes, places, counts.class_pixels[ids])
    _dress_axes(pixel_axes, image_axes, report.info)
    lettering.legend(figure, handles, [lettering.plain(split, _NAME_WIDTH) for split in splits],
                     loc='upper right', frameon=False, ncol=min(len(splits), 6))
    figure.subplots_adjust(left=0.19, right=0.98, wspace=0.06, bottom=0.5 / height,
                           top=1 - 0.45 / height)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])


def _mark_unseen(axes, places, pixels):
    """Says 'none' or '< 0.001' where the bar of a share lies outside of the axis."""
    for place, share in zip(places, 100. * pixels / max(pixels.sum(), 1)):
        if share < _SMALLEST_SHARE:
            axes.text(_SMALLEST_SHARE * 1.06, place, '< %g' % _SMALLEST_SHARE if share else 'none',
                      va='center', size=7, color='#777777')


def _dress_axes(pixel_axes, image_axes, info):
    pixel_axes.set_xscale('log')
    pixel_axes.set_xlim(_SMALLEST_SHARE, 130)
    ticks = [_SMALLEST_SHARE, 0.01, 0.1, 1, 10, 100]
    pixel_axes.set_xticks(ticks)
    pixel_axes.set_xticklabels(['%g' % tick for tick in ticks])
    pixel_axes.minorticks_off()
    pixel_axes.set_xlabel('share of pixels, % (logarithmic)')
    image_axes.set_xlim(0, 102)
    image_axes.set_xlabel('images that show the class, %')
    names = lettering.labels(info.class_names, _NAME_WIDTH) + ('(ignored)',)
    lettering.label_ticks(pixel_axes.yaxis, names)
    pixel_axes.set_ylim(len(names) - 0.4, -0.6)
    for axes in (pixel_axes, image_axes):
        axes.grid(axis='x', color='#e4e4e4')
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)
