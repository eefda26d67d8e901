"""multiscale.py: windows; test_restored.py compares scales with single passes."""
import numpy as np
import pytest

from inference import multiscale


@pytest.mark.parametrize('length, window, overlap, starts', [
    (10, 10, 3, [0]), (4, 10, 3, [0]), (11, 10, 3, [0, 1]), (24, 10, 3, [0, 7, 14]),
    (25, 10, 3, [0, 7, 14, 15]), (20, 10, 0, [0, 10])])
def test_windows_cover_the_line_and_end_with_it(length, window, overlap, starts):
    assert multiscale.window_starts(length, window, overlap) == starts


def test_windows_are_averaged_where_they_overlap():
    seen = []

    def predict(part):
        seen.append(part.shape[1:3])
        return np.full(part.shape[:3] + (2,), len(seen), np.float32)

    found = multiscale.predict_windows(predict, np.zeros([1, 4, 7, 3]), 4, 1)
    assert seen == [(4, 4), (4, 4)]
    np.testing.assert_array_equal(found[0, 0, :, 1], [1, 1, 1, 1.5, 2, 2, 2])
