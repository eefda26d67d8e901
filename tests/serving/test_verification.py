"""serving/verification.py: what counts as the checkpoint's own answer, and what does not."""
import contextlib

import numpy as np
import pytest

from common.errors import UserError
from inference import restored
from serving import verification


def checks_of(labels, probabilities, expected):
    return verification.compare('onnx', [{'labels': labels, 'probabilities': probabilities}],
                                [restored.Prediction(*expected)])


def test_one_label_in_ten_thousand_may_differ_and_not_two():
    labels, probabilities = np.zeros([1, 100, 100], np.uint8), np.ones([1, 100, 100, 1], np.float32)
    expected = (labels.copy(), probabilities.astype(np.float16))
    for column, agreement in enumerate([0.9999, 0.9998]):
        labels[0, 0, column] = 1
        checks = checks_of(labels, probabilities, expected)
        assert checks == [verification.Check('onnx', (100, 100), agreement, 0.0)]
        with contextlib.ExitStack() as stack:
            if agreement < 0.9999:
                stack.enter_context(pytest.raises(UserError, match='99.9800% of the'))
            verification.require_agreement(checks)


@pytest.mark.parametrize('probabilities', [
    np.full([1, 2, 2, 2], 0.52), np.full([1, 2, 2, 2], np.nan), np.full([1, 2, 2, 1], 0.5)])
def test_other_probabilities_are_refused_though_the_labels_agree(probabilities):
    labels = np.zeros([1, 2, 2], np.uint8)
    checks = checks_of(labels, probabilities, (labels, np.full([1, 2, 2, 2], 0.5, np.float16)))
    with pytest.raises(UserError, match='100.0000% of the labels agree'):
        verification.require_agreement(checks)


def test_labels_of_another_shape_do_not_agree():
    assert verification.share_equal(np.zeros([1, 2, 2]), np.zeros([1, 2, 1])) == 0
