"""Looks at the structure of JPEG and PNG files, where Pillow and TensorFlow differ.

Both decode pixels with libjpeg and libpng, but not with the same versions and not
with the same patience: these functions say which files both read alike.
"""
import re
import struct
import zlib

_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_PNG_GREY, _PNG_RGB, _PNG_PALETTE = 0, 2, 3
# Channels of each colour type: grey, RGB, palette, grey and alpha, RGBA.
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First row and column of the passes of an interlaced PNG, and their distances.
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
          (1, 0, 2, 1))

_EOI, _SOS, _FILL = 0xd9, 0xda, 0xff
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xc0, 0xc1, 0xc2
# Lossless, hierarchical and arithmetic coding, and heights that are told at the end.
_RARE_MARKERS = {0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf, 0xdc, 0xde}
# A marker in entropy-coded data; stuffed, restart and fill bytes are none.
_MARKER = re.compile(b'\xff[^\x00\xd0-\xd7\xff]')
# Horizontal and vertical factor of the luminance in 4:4:4, 4:2:2 and 4:2:0 files.
_COMMON_SAMPLING = (0x11, 0x21, 0x22)
_COEFFICIENTS = 64


def check_png(data):
    """Raises ValueError on damage that Pillow passes over and TensorFlow refuses.

    Pillow skips the CRC of image data, misses neither the end of a file whose
    pixels are complete nor rows that a complete stream does not hold.
    """
    chunks = _png_chunks(data)
    width, height, depth, color_type, _, _, interlaced = struct.unpack('>2I5B', chunks[0][1])
    bits = depth * _PNG_CHANNELS.get(color_type, 1)
    expected = 0
    for row, column, rows_apart, columns_apart in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        rows, columns = -((row - height) // rows_apart), -((column - width) // columns_apart)
        expected += rows * (1 + (columns * bits + 7) // 8) if columns > 0 else 0
    stream = b''.join(content for kind, content in chunks if kind == b'IDAT')
    inflater, found = zlib.decompressobj(), 0
    while stream and found < expected:
        try:
            found += len(inflater.decompress(stream, 1 << 20))
        except zlib.error as error:
            raise ValueError('the image data of the PNG is damaged (%s)' % error)
        stream = inflater.unconsumed_tail
    if found < expected:
        raise ValueError('the PNG holds %d of the %d bytes that its size of %dx%d takes'
                         % (found, expected, width, height))


def _png_chunks(data):
    """Splits a PNG into its chunks, (type, content) as bytes; raises ValueError on damage."""
    if not data.startswith(_PNG_SIGNATURE):
        raise ValueError('it does not start as a PNG')
    chunks, position = [], len(_PNG_SIGNATURE)
    while not chunks or chunks[-1][0] != b'IEND':
        header = data[position:position + 8]
        end = position + 12 + struct.unpack('>I', header[:4])[0] if len(header) == 8 else 0
        if not 0 < end <= len(data):
            raise ValueError('the PNG is cut short: its last whole chunk ends at byte %d of %d'
                             % (position, len(data)))
        content = data[position + 8:end - 4]
        if zlib.crc32(data[position + 4:end - 4]) != struct.unpack('>I', data[end - 4:end])[0]:
            raise ValueError('the CRC of the PNG chunk at byte %d differs' % position)
        chunks.append((header[4:], content))
        position = end
    if chunks[0][0] != b'IHDR' or len(chunks[0][1]) != 13:
        raise ValueError('the PNG does not start with its header')
    return chunks


def png_reads_alike(data):
    """Whether Pillow and `tf.image.decode_png(channels=3)` see the same pixels in a PNG's bytes.

    True of 8-bit RGB and grey without transparency or animation.
    """
    chunks = _png_chunks(data)
    depth, color_type = chunks[0][1][8:10]
    return (depth == 8 and color_type in (_PNG_GREY, _PNG_RGB)
            and not {b'tRNS', b'acTL'} & {kind for kind, _ in chunks})


def as_grey_png(data):
    """Makes a grey PNG of an 8-bit grey or palette PNG; the palette's indices become the greys.

    The compressed image data, which are the same in both, are not touched. Returns bytes of a
    PNG without metadata, or None where depth, colour type or interlacing do not allow it.
    """
    chunks = _png_chunks(data)
    header = chunks[0][1]
    depth, color_type, interlaced = header[8], header[9], header[12]
    if depth != 8 or color_type not in (_PNG_GREY, _PNG_PALETTE) or interlaced:
        return None
    header = header[:9] + bytes([_PNG_GREY]) + header[10:]
    parts = [_PNG_SIGNATURE]
    for kind, content in [(b'IHDR', header)] + chunks[1:]:
        if content is header or kind in (b'IDAT', b'IEND'):
            crc = struct.pack('>I', zlib.crc32(kind + content))
            parts += [struct.pack('>I', len(content)), kind, content, crc]
    return b''.join(parts)


def palette(data):
    """Returns the palette of a PNG as bytes, red, green and blue of each entry, or None."""
    place = data.find(b'PLTE', 0, data.find(b'IDAT') + 1)
    if not is_png(data) or place < 0:
        return None
    return data[place + 4:place + 4 + struct.unpack('>I', data[place - 4:place])[0]]


def is_png(data):
    """Whether bytes start as a PNG does."""
    return data.startswith(_PNG_SIGNATURE)


def png_grey_factor(data):
    """Pillow stretches 2- and 4-bit grey PNGs to 0..255. Returns the int factor to undo."""
    depth, color_type = _png_chunks(data)[0][1][8:10]
    return {2: 85, 4: 17}.get(depth, 1) if color_type == _PNG_GREY else 1


def jpeg_reads_alike(data):
    """Whether Pillow and `tf.image.decode_jpeg(channels=3)` see the same pixels in a JPEG's bytes.

    False where they do not or might not: the end is missing (TensorFlow refuses
    it), the colour is sampled in a rare way (4:4:0 is interpolated by Pillow's
    libjpeg alone), progressive scans are missing (filled in differently), four
    channels, and rare kinds of coding.
    """
    position, missing = 2, None
    while position + 4 <= len(data) and data[position] == _FILL:
        marker = data[position + 1]
        if marker == _FILL:
            position += 1
            continue
        if marker == _EOI or marker in _RARE_MARKERS:
            break
        end = position + 2 + struct.unpack_from('>H', data, position + 2)[0]
        segment = data[position + 4:end]
        if marker in (_BASELINE, _EXTENDED, _PROGRESSIVE):
            if missing is not None or not _is_common_frame(segment):
                return False
            missing = {component: set(range(_COEFFICIENTS)) for component in segment[6::3]}
        elif marker == _SOS:
            if missing is None or not _is_scan_of(missing, segment):
                return False
            _remove_scan(missing, segment)
            following = _MARKER.search(data, end)
            end = following.start() if following else len(data)
        position = end
    ended = data[position:position + 2] == bytes([_FILL, _EOI])
    return ended and missing is not None and not any(missing.values())


def _is_common_frame(segment):
    """Whether a start-of-frame segment has 8 bits, 1 or 3 components and usual sampling."""
    if len(segment) < 9 or segment[0] != 8 or segment[5] not in (1, 3):
        return False
    components, sampling = segment[6::3], segment[7::3]
    return (len(segment) == 6 + 3 * segment[5] == 6 + 3 * len(set(components))
            and sampling[0] in _COMMON_SAMPLING and set(sampling[1:]) <= {0x11})


def _is_scan_of(missing, segment):
    """Whether a start-of-scan segment is whole and about known components."""
    return (len(segment) >= 6 and len(segment) == 4 + 2 * segment[0]
            and set(segment[1:-3:2]) <= set(missing))


def _remove_scan(missing, segment):
    """Takes the coefficients that a scan completes out of `missing`."""
    first, last, precision = segment[-3:]
    if precision & 15 == 0:
        for component in segment[1:-3:2]:
            missing[component] -= set(range(first, last + 1))
