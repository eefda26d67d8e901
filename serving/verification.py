"""Compares an export with its checkpoint: each format runs in a process of its own."""
import os
import subprocess
import sys
import tempfile
from typing import NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image

from common.errors import UserError
from inference import restored
from serving import layout

RUNNERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'runners.py')

# Height and width of the images on which exports are compared with their checkpoint, two of
# each: square, wide, and high with odd sides.
CHECKED_SIZES = ((128, 128), (96, 160), (173, 121))
SMALLEST_AGREEMENT = 0.9999  # of the labels
# Of a probability. Two libraries add up in different orders, and `restored.Predictor`
# rounds to float16; a wrong weight shows far above.
LARGEST_DIFFERENCE = 0.01


class Check(NamedTuple):
    """How a format agrees with its checkpoint at one size."""
    name: str  # the format, with the signature where it has two
    size: Tuple[int, int]  # height, width
    agreement: float  # the share of pixels with the checkpoint's label
    difference: Optional[float]  # the largest of the probabilities; None where there are none


def verify(run, formats, folder):
    """Compares every written format with the checkpoint, and prints how they agree.

    Args:
      run: `loading.LoadedRun`.
      formats: list of str of `layout.FORMATS`.
      folder: str, the export.

    Returns:
      List of `Check`.

    Raises:
      UserError: a format cannot be used, or does not agree.
    """
    images, all_checks = checked_images(), []
    with restored.Predictor(run) as predictor:
        expected = [predictor.predict(batch, with_probabilities=True) for batch in images]
    for name in formats:
        checks = compare(name, answers_of(name, folder, images), expected)
        for check in checks:
            print(describe(check), flush=True)
        require_agreement(checks)
        all_checks += checks
    return all_checks


def checked_images():
    """Draws smooth images for the comparison, the same ones each time.

    Returns:
      List of uint8 [2, height, width, 3], one for each of `CHECKED_SIZES`.
    """
    random = np.random.RandomState(0)

    def draw(height, width):
        coarse = Image.fromarray(random.randint(0, 256, [6, 7, 3]).astype(np.uint8))
        return np.array(coarse.resize((width, height), Image.BICUBIC))

    return [np.stack([draw(*size), draw(*size)]) for size in CHECKED_SIZES]


def answers_of(format_name, folder, images):
    """Runs an exported format in a fresh process, which knows nothing but the files.

    Args:
      format_name: str, one of `layout.FORMATS`.
      folder: str, the export.
      images: list of uint8 [batch, height, width, 3].

    Returns:
      List of dicts, see `runners.run_saved_model`.

    Raises:
      UserError: it cannot be loaded or run.
    """
    with tempfile.TemporaryDirectory() as temporary:
        paths = [os.path.join(temporary, name) for name in ('images.npz', 'answers.npz')]
        np.savez(paths[0], **{str(index): batch for index, batch in enumerate(images)})
        child = subprocess.run([sys.executable, RUNNERS, format_name, folder] + paths,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if child.returncode:
            lines = child.stdout.decode(errors='replace').strip().splitlines()
            raise UserError('%s: what was written cannot be used (exit status %d): %s'
                            % (format_name, child.returncode, lines[-1] if lines else ''))
        answers = [{} for _ in images]
        with np.load(paths[1]) as stored:
            for key in stored.files:
                name, index = key.split('/')
                answers[int(index)][name] = stored[key]
    return answers


def compare(format_name, answers, expected):
    """Compares what a format answers with what the checkpoint says.

    Args:
      format_name: str.
      answers: list of dicts, see `answers_of`.
      expected: list of `restored.Prediction` with probabilities.

    Returns:
      List of `Check`.
    """
    checks = []
    for answer, predicted in zip(answers, expected):
        size = predicted.labels.shape[1:]
        difference = largest_difference(answer['probabilities'], predicted.probabilities)
        checks.append(Check(format_name, size, share_equal(answer['labels'], predicted.labels),
                            difference))
        if 'encoded_labels' in answer:
            checks.append(Check('%s (%s)' % (format_name, layout.ENCODED_SIGNATURE), size,
                                share_equal(answer['encoded_labels'], predicted.labels), None))
    return checks


def share_equal(labels, expected):
    """Returns the share of equal values, 0 where the shapes differ."""
    return float((labels == expected).mean()) if labels.shape == expected.shape else 0.0


def largest_difference(probabilities, expected):
    """Returns the largest absolute difference; infinite where shapes differ, NaN where one is."""
    if probabilities.shape != expected.shape:
        return float('inf')
    return float(np.abs(probabilities - expected.astype(np.float32)).max())


def describe(check):
    """Says how a format agrees with its checkpoint at one size. Returns str."""
    text = '%s at %dx%d pixels: %.4f%% of the labels agree' % (
        check.name, check.size[1], check.size[0], 100 * check.agreement)
    if check.difference is not None:
        text += ', probabilities differ by at most %.1e' % check.difference
    return text


def require_agreement(checks):
    """Raises `UserError` for the first check in which a format is not its checkpoint."""
    for check in checks:
        # So written, NaN is refused.
        if not (check.agreement >= SMALLEST_AGREEMENT
                and (check.difference is None or check.difference <= LARGEST_DIFFERENCE)):
            raise UserError(
                '%s. It must be %.2f%%, and at most %g: nothing was written.'
                % (describe(check), 100 * SMALLEST_AGREEMENT, LARGEST_DIFFERENCE))
