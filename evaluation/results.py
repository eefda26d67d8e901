"""The files of an evaluation: predictions, pictures, tables, report.html and scores.json."""
import contextlib
import csv
import glob
import heapq
import math
import os
from collections import namedtuple

import metrics
from common import files, html, pictures
from dataset import descriptor
from evaluation import figures, report
from inference import drawing, output_folder, submission

SHEET_ROWS = 12
WORST_SHOWN = 16
SCORES_NAME = 'scores.json'
REPORT_NAME = 'report.html'
IMAGES_NAME = 'images.csv'
WORST_DIR, PREDICTIONS_DIR = 'worst', 'predictions'
_PICTURES = ('contact_sheet.png', 'confusion_matrix.png', 'calibration.png')
_FILES = (SCORES_NAME, REPORT_NAME) + _PICTURES + (IMAGES_NAME,)
_COLUMNS = ['image', 'mean_iou', 'pixel_accuracy', 'labelled_pixels']

# confusion, calibration: bytes of a PNG. worst: list of (name, mean IoU, `PIL.Image` of
# `drawing.comparison`), the lowest first. sheet: `PIL.Image`, images across the split.
Drawings = namedtuple('Drawings', ['confusion', 'calibration', 'worst', 'sheet'])


def about_data(info, dataset_dir):
    """Returns a dict, as scores.json has it, of what results must share to be compared."""
    return {'dataset_dir': os.path.abspath(dataset_dir),
            'fingerprint': descriptor.fingerprint(dataset_dir),
            'class_names': list(info.class_names), 'ignore_label': info.ignore_label}


def prediction_path(output_dir, name):
    """Returns where the predictions of the image of a name are."""
    return os.path.join(output_dir, PREDICTIONS_DIR, os.path.splitext(name)[0] + '.png')


class Pictures:
    """Writes the predictions of a split, and keeps what the report shows of it.

    Args:
      folder: `OutputFolder` of `begin`; None where there is nothing to add.
      num_examples: int, of the split.
      info: `dataset.descriptor.DatasetInfo`.
      submission_dir: str or None, where copies for PASCAL VOC's server go, within the folder.
    """

    def __init__(self, folder, num_examples, info, submission_dir=None):
        self._folder, self._info = folder, info
        self._submission_dir = submission_dir
        # _worst: heap of (negative mean IoU, index, name, arrays of `drawing.shrink`).
        self._rows, self._worst, self._index = [], [], 0
        self._every = max(1, num_examples // SHEET_ROWS)

    def add(self, name, image, labels, predictions, matrix):
        """Takes one image; see `loop.evaluate`."""
        path = self._folder.place(prediction_path('', name))
        drawing.save_palette_png(predictions, path, self._info)
        if self._submission_dir:
            submission.save_png(predictions, self._folder.place(
                self._submission_dir, os.path.basename(path)))
        if self._index % self._every == 0 and len(self._rows) < SHEET_ROWS:
            self._rows.append((name, image, labels, predictions))
        score = float(metrics.mean_iou(metrics.counts(matrix)))
        is_shown = len(self._worst) < WORST_SHOWN or -score > self._worst[0][0]
        if is_shown and score == score:
            # Small ones, as the heap holds many; those that stay are drawn at the end.
            small = drawing.shrink(image, labels, predictions)
            heapq.heappush(self._worst, (-score, self._index, name, small))
            if len(self._worst) > WORST_SHOWN:
                heapq.heappop(self._worst)
        self._index += 1

    def drawn(self, evaluated):
        """Returns the `Drawings` of all images; `evaluated` is a `loop.Evaluation`."""
        worst = [(name, -score, drawing.comparison(*small, self._info))
                 for score, _, name, small in sorted(self._worst, key=lambda one: -one[0])]
        return Drawings(figures.confusion_png(evaluated.matrix, self._info.class_names)[0],
                        figures.calibration_png(evaluated.bin_counts), worst,
                        drawing.contact_sheet(self._rows, self._info))


def write_images_csv(evaluated, path):
    """Writes the benchmark's scores of each image alone, to a temporary name first.

    Args:
      evaluated: `loop.Evaluation`.
      path: str.
    """
    with files.replacing(path, newline='') as csv_file:
        rows = csv.writer(csv_file)
        rows.writerow(_COLUMNS)
        for name, counts in zip(evaluated.names, evaluated.image_counts):
            num_right, num_labelled = counts[0].sum(), counts[1].sum()
            rows.writerow([name, '%.6f' % metrics.mean_iou(counts),
                           '%.6f' % (num_right / num_labelled if num_labelled else math.nan),
                           num_labelled])


def begin(output_dir, *more):
    """Opens a folder for an evaluation, and removes what an earlier one wrote there.

    Args:
      output_dir: str.
      *more: str, further folders in it that will be written to.

    Returns:
      `output_folder.OutputFolder`.

    Raises:
      UserError: a file that no evaluation wrote has the name of one of its files.
    """
    folder = output_folder.OutputFolder(output_dir)
    if not folder.is_result(os.path.join(output_dir, IMAGES_NAME)):
        for path in _of_earlier_commits(output_dir):
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
    folder.clear(PREDICTIONS_DIR, WORST_DIR, *_FILES, *more)
    for name in _FILES:
        folder.place(name)
    return folder


def _of_earlier_commits(output_dir):
    """Returns the paths of what an evaluation wrote that kept no list of it."""
    with contextlib.suppress(OSError, ValueError, csv.Error), open(
            os.path.join(output_dir, IMAGES_NAME), newline='', encoding='utf-8') as csv_file:
        rows = csv.DictReader(csv_file)
        if rows.fieldnames == _COLUMNS:
            worst = os.path.join(glob.escape(output_dir), WORST_DIR, '[0-9][0-9]-*.png')
            return [prediction_path(output_dir, row['image']) for row in rows] + glob.glob(
                worst) + [os.path.join(output_dir, name) for name in _FILES]
    return []


def write(result, evaluated, info, args, drawings, folder):
    """Writes all files but the predictions; scores.json, which says that all is there, last.

    Args:
      result: dict, see `scores.as_dict`.
      evaluated: `loop.Evaluation`.
      info: `dataset.descriptor.DatasetInfo`.
      args: the run's flags.
      drawings: `Drawings`.
      folder: `OutputFolder` of `begin`.
    """
    for index, (name, _, picture) in enumerate(drawings.worst, start=1):
        stem = os.path.splitext(name)[0].replace('/', '-')
        pictures.save_png(picture, folder.place(WORST_DIR, '%02d-%s.png' % (index, stem)))
    sheet, confusion, calibration = map(folder.place, _PICTURES)
    pictures.save_png(drawings.sheet, sheet)
    pictures.save_bytes(drawings.confusion, confusion)
    pictures.save_bytes(drawings.calibration, calibration)
    write_images_csv(evaluated, folder.place(IMAGES_NAME))
    html.write(report.as_html(result, evaluated, info, args, drawings), folder.place(REPORT_NAME))
    files.write_json(result, folder.place(SCORES_NAME))
