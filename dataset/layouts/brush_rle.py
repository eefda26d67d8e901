"""Label Studio's run lengths of brushes: a stream of bits, of which RGBA pixels come out.

The format is that of the package rle-pack of thi.ng/umbrella: 32 bits number of values, 5 bits
word size - 1, four times 4 bits size - 1 of a length; then runs: 1 bit whether one value is
repeated, 2 bits which of the four sizes, length - 1 in so many bits, and a value or `length` of
them, of word size bits each. tests/dataset/layouts/test_brush_rle.py compares with bytes that
label_studio_sdk 2.1.2 encoded.
"""
import numpy as np

_HEADER_BITS = 53
_MOST_BITS = 8


def number_of_values(data):
    """Returns the number that the header of a list of bytes gives; 0 of one too short."""
    return int.from_bytes(_bytes(data[:4]), 'big') if len(data) * 8 >= _HEADER_BITS else 0


def _bytes(data):
    try:
        return bytes(data)
    except (TypeError, ValueError):
        return b''


def decode(data):
    """Decodes a list of int in 0..255.

    Returns:
      uint8 [number_of_values(data)].

    Raises:
      ValueError: it ends early, or holds values of more than 8 bits; the message is a verb's.
    """
    packed = _bytes(data)
    bits = ''.join('{:08b}'.format(byte) for byte in packed)
    if len(bits) < _HEADER_BITS:
        raise ValueError('is no list of bytes')
    total, word = int(bits[:32], 2), int(bits[32:37], 2) + 1
    if word > _MOST_BITS:
        raise ValueError('holds values of %d bits, not 8' % word)
    sizes = [int(bits[start:start + 4], 2) + 1 for start in range(37, _HEADER_BITS, 4)]
    values, done, position = np.zeros([total], np.uint8), 0, _HEADER_BITS
    while done < total:
        # A piece that is cut off by the end of the bits is shorter, or empty.
        is_repeated, size = bits[position:position + 1] == '1', bits[position + 1:position + 3]
        size = sizes[int(size or '0', 2)]
        length = int(bits[position + 3:position + 3 + size] or '0', 2) + 1
        start = position + 3 + size
        position = start + word * (1 if is_repeated else length)
        if position > len(bits) or done + length > total:
            raise ValueError('ends after %d of %d values' % (done, total)
                             if position > len(bits) else 'holds more than %d values' % total)
        values[done:done + length] = [int(bits[place:place + word], 2)
                                      for place in range(start, position, word)]
        done += length
    return values
