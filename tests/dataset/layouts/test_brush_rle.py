"""Label Studio's run lengths, on bytes that label_studio_sdk 2.1.2 (converter/brush.py) wrote."""
import numpy as np
import pytest

from dataset.layouts import brush_rle

# encoded(mask2rle) of 6 x 8 pixels: rows 1 to 3 and columns 2 to 6, and row 5, column 0.
RECTANGLE = [0, 0, 0, 192, 57, 27, 254, 39, 0, 194, 127, 246, 192, 48, 159, 253, 176, 12, 39, 255,
             136, 192, 35, 255, 195, 96, 0]


def pack(*pieces):
    """Writes bits: pieces are (value, number of bits)."""
    bits = ''.join('{:0{}b}'.format(*piece) for piece in pieces)
    bits += '0' * (-len(bits) % 8)
    return [int(bits[start:start + 8], 2) for start in range(0, len(bits), 8)]


def test_bytes_of_the_tool_become_its_mask():
    alpha = brush_rle.decode(RECTANGLE).reshape([6, 8, 4])
    expected = np.zeros([6, 8], np.uint8)
    expected[1:4, 2:7] = expected[5, 0] = 255
    assert alpha.dtype == np.uint8 and (alpha == expected[:, :, None]).all()
    assert brush_rle.number_of_values(RECTANGLE) == 192


def test_values_that_are_not_repeated_and_other_sizes():
    data = pack((5, 32), (3, 5), (1, 4), (0, 4), (0, 4), (0, 4),  # words of 4 bits, lengths of 2
                (0, 1), (0, 2), (2, 2), (7, 4), (1, 4), (9, 4),   # three values as they are
                (1, 1), (1, 2), (1, 1), (5, 4))                   # twice 5, a length of one bit
    assert brush_rle.decode(data).tolist() == [7, 1, 9, 5, 5]


@pytest.mark.parametrize('data, message', [
    (RECTANGLE[:-8], 'ends after 104 of 192 values'),
    ([], 'no list of bytes'),
    (RECTANGLE[:4] + ['x'] + RECTANGLE[5:], 'no list of bytes'),
    (pack((1, 32), (15, 5), (0, 16)), 'values of 16 bits, not 8'),
    (pack((2, 32), (7, 5), (2, 4), (0, 12), (1, 1), (0, 2), (7, 3), (9, 8)), 'more than 2 values')])
def test_what_does_not_fit_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        brush_rle.decode(data)
