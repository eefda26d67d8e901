"""Videos and animations: every frame once, at its own time, and written with these times.

ffmpeg decodes and encodes in processes of its own, which frames pass one by one. PyAV was
weighed against it: it reads and writes times itself, but has no wheels for CPython 3.7.
Pillow reads animated GIF, PNG, WebP and AVIF files.
"""
import contextlib
import io
import math
import os
import queue
import re
import struct
import subprocess
import tempfile
import threading
from fractions import Fraction
from typing import Iterator, NamedTuple, Optional

import numpy as np
from PIL import Image

from common import files
from common.errors import UserError

# What is looked for in folders.
EXTENSIONS = ('.3g2', '.3gp', '.asf', '.avi', '.divx', '.dv', '.f4v', '.flv', '.m2t', '.m2ts',
              '.m2v', '.m4v', '.mjpeg', '.mkv', '.mov', '.mp4', '.mpe', '.mpeg', '.mpg', '.mts',
              '.mxf', '.ogm', '.ogv', '.qt', '.rm', '.rmvb', '.ts', '.vob', '.webm', '.wmv',
              '.wtv')
# As ffmpeg calls them. It would also draw texts, and open what a playlist names.
_FORMATS = ('asf,avi,dv,flv,gxf,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,mxf,'
            'nut,ogg,rm,vc1,wtv,yuv4mpegpipe')
_ANIMATED_FORMATS = ('AVIF', 'GIF', 'PNG', 'WEBP')  # as Pillow calls them
_TICKS = 90000  # a second in MP4: all common rates and milliseconds are whole numbers of them
_FRAME_SECONDS = Fraction(1, 25)  # of a video of one frame that does not say
# Browsers take a frame of an animation that stays no longer than this for one of 0.1 s.
_SHORTEST_MILLISECONDS = 10
_CONTAINER_ROUNDING = Fraction(1, 100)  # seconds, of the length that ffmpeg prints

_LENGTH = re.compile(r'Duration: (\d+):(\d\d):(\d\d\.\d+)')
_TIME_BASE = re.compile(r'showinfo.*config in time_base: (\d+/\d+)')
_FRAME = re.compile(r'showinfo.* n: *\d+ pts: *(-?\d+|NOPTS) .* sar:(\d+)/(\d+) s:(\d+)x(\d+)')
_FRAME_LENGTH = re.compile(r' duration: *(\d+)')


class Video(NamedTuple):
    """An open video or animation.

    Attributes:
      height, width: int, upright.
      frames: iterator of (uint8 [height, width, 3], how long it is shown in seconds as
        Fraction). Raises `UserError` where the file is damaged.
      seconds: float, the length as the file says, or None. What its frames sum up to counts.
      pixel_aspect: Fraction, width of a pixel by its height.
      is_gif: bool.
      loop: how often a GIF is repeated, 0 for ever; None for once.
    """
    height: int
    width: int
    frames: Iterator
    seconds: Optional[float] = None
    pixel_aspect: Fraction = Fraction(1)
    is_gif: bool = False
    loop: Optional[int] = None


def is_animation(image):
    """Whether an opened `PIL.Image` moves; pages of a TIFF are no animation."""
    return image.format in _ANIMATED_FORMATS and getattr(image, 'is_animated', False)


@contextlib.contextmanager
def opened(path):
    """Opens a video or animation, within the block; its frames are decoded as they are taken.

    Args:
      path: str.

    Yields:
      `Video`.

    Raises:
      UserError: it cannot be read.
    """
    with contextlib.ExitStack() as stack:
        try:
            image = stack.enter_context(Image.open(path))
        # Pillow raises nearly anything; ffmpeg says what is wrong.
        except Exception:
            image = None
        if image is not None and is_animation(image):
            yield Video(image.height, image.width, _animation_frames(image, path),
                        is_gif=image.format == 'GIF', loop=image.info.get('loop'))
        else:
            yield stack.enter_context(_decoding(path))


def _animation_frames(image, path):
    """Yields the frames as a viewer shows them, transparent parts on white."""
    # The first picture of an APNG may be one for viewers that know no animations.
    for index in range(bool(image.info.get('default_image')), image.n_frames):
        try:
            image.seek(index)
            frame = Image.new('RGBA', image.size, 'white')
            frame.alpha_composite(image.convert('RGBA'))
        # As in dataset/sources/decoding.py: Pillow raises nearly anything on damaged files.
        except Exception as error:
            raise UserError('%s cannot be decoded: %s. Fetch or export it again.' % (path, error))
        milliseconds = Fraction(image.info.get('duration') or 0)
        if image.format != 'GIF' and milliseconds <= _SHORTEST_MILLISECONDS:
            milliseconds = Fraction(100)
        yield np.array(frame.convert('RGB')), milliseconds / 1000


def _ffmpeg(path):
    """Returns ffmpeg's program, whose absence is an error of the video `path`."""
    # imageio_ffmpeg takes 0.2 s to import; `--help` and pictures do without.
    import imageio_ffmpeg
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise UserError('%s: videos need ffmpeg, and none was found (%s): install it, or '
                        'imageio-ffmpeg as environments/requirements-common.txt has it.'
                        % (path, error))


def _start(path, arguments, **pipes):
    # The program is linked statically and would crash on MPEG-TS with character sets of
    # another glibc.
    return subprocess.Popen([_ffmpeg(path), '-nostdin', '-nostats'] + arguments,
                            env=dict(os.environ, GCONV_PATH=os.devnull), **pipes)


@contextlib.contextmanager
def _ended(process):
    """Within it a process runs, and is gone afterwards, whatever happens."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                # What is still to be written goes nowhere.
                with contextlib.suppress(OSError):
                    pipe.close()


class _Log(threading.Thread):
    """Reads what ffmpeg says, always, so that it never waits for that.

    Attributes:
      frames: `queue.Queue` of ((height, width), pixel aspect, seconds or None, how long it
        is shown in seconds or None) of each frame, said before the frame is written; None
        at the end.
      errors: list of str.
      seconds: float, the length of the file, or None.
      streams: int, of any kind in the file.
    """

    def __init__(self, pipe):
        super().__init__(daemon=True)
        self.frames, self.errors, self.seconds, self.streams = queue.Queue(), [], None, 0
        self._pipe, self._time_base, self._mapped = pipe, None, False
        self.start()

    def run(self):
        for line in io.TextIOWrapper(self._pipe, errors='replace'):
            self._take(line.strip())
        self.frames.put(None)

    def _take(self, line):
        frame, time_base, length = (pattern.search(line)
                                    for pattern in (_FRAME, _TIME_BASE, _LENGTH))
        if frame:
            ticks, across, down, width, height = frame.groups()
            shown = _FRAME_LENGTH.search(line)  # ffmpeg 4 does not say
            self.frames.put((
                (int(height), int(width)), Fraction(int(across) or 1, int(down) or 1),
                None if ticks == 'NOPTS' else int(ticks) * self._time_base,
                shown and int(shown.group(1)) * self._time_base or None))
        elif time_base:
            self._time_base = Fraction(time_base.group(1))
        elif length and not self.streams:
            hours, minutes, seconds = length.groups()
            self.seconds = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        elif 'Estimating duration from bitrate' in line:
            self.seconds = None
        elif re.search(r'\[info\] +Stream #0:\d+[^>]*: [VASDU]', line) and not self._mapped:
            self.streams += 1
        elif 'Stream mapping:' in line:
            self._mapped = True  # what follows are the streams of the output
        elif '[error]' in line or '[fatal]' in line:
            self.errors.append(re.sub(r'^(\[[^\]]*\] )*', '', line))


@contextlib.contextmanager
def _decoding(path):
    """`opened` by ffmpeg, which decodes the first stream of pictures that is no cover."""
    process = _start(path, [
        '-v', 'level+info', '-xerror', '-format_whitelist', _FORMATS, '-i', 'file:' + path,
        # Each frame as it comes, its time in the log. A raw stream has no times; those far
        # apart are never rounded to the same.
        '-map', '0:V:0', '-vsync', 'passthrough', '-vf', 'showinfo,setpts=1000*N/TB',
        '-f', 'rawvideo', '-pix_fmt', 'rgb24', 'pipe:1'],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with _ended(process):
        log = _Log(process.stderr)
        first = log.frames.get()
        if first is None:
            raise _undecodable(path, log)
        (height, width), pixel_aspect = first[:2]
        yield Video(height, width, _timed(_decoded(process, log, path, first), log),
                    log.seconds, pixel_aspect)


def _undecodable(path, log):
    return UserError('%s cannot be decoded as a video: %s. Fetch or export it again.'
                     % (path, '; '.join(log.errors[:2]) or 'it holds no frame'))


def _decoded(process, log, path, first):
    """Yields (pixels, seconds or None, how long it is shown or None) of each frame."""
    said, (height, width) = first, first[0]
    while said is not None:
        pixels = process.stdout.read(height * width * 3)
        if len(pixels) < height * width * 3:
            break
        yield (np.frombuffer(pixels, np.uint8).reshape(height, width, 3),) + said[2:]
        said = log.frames.get()
    if process.wait() or said is not None:
        log.join()
        raise _undecodable(path, log)


def _timed(frames, log):
    """Yields (pixels, how long it is shown) of what `_decoded` yields.

    In a file of several streams the first frame is shown from the file's start on, so that
    its sound would fit. Times that go back are taken for the next tick.
    """
    pending, shown = None, None
    for pixels, seconds, told in frames:
        if pending is None:
            start = (seconds or Fraction(0)) if log.streams == 1 else Fraction(0)
            end = start + Fraction(log.seconds or 0)
        else:
            if seconds is None:
                seconds = start + (shown or _FRAME_SECONDS)
            shown = max(Fraction(1, _TICKS), seconds - start)
            yield pending, shown
            start += shown
        pending, last_told = pixels, told
    shown = last_told or shown or _FRAME_SECONDS
    # With sound, the length of the file may be that of the sound.
    if log.streams == 1 and log.seconds is not None:
        rest = end - start
        if rest > _CONTAINER_ROUNDING and abs(rest - shown) > _CONTAINER_ROUNDING:
            shown = rest
    yield pending, shown


def extension(video):
    """Returns '.gif' or '.mp4', the kind that `write` makes of a `Video`."""
    return '.gif' if video.is_gif else '.mp4'


def write(pictures, path, video):
    """Writes pictures with the times of the video they were made from, without sound.

    A GIF becomes a GIF, whose frames are held in memory with one byte a pixel; all
    others become H.264 in MP4, and are passed on one by one.

    Args:
      pictures: iterator of (`PIL.Image`, RGB, all of one size; seconds it is shown).
      path: str, ending in `extension`; written to a temporary name and renamed.
      video: `Video`.

    Raises:
      UserError: it cannot be written.
    """
    with files.replacing(path, 'wb') as video_file:
        if video.is_gif:
            _write_gif(pictures, video_file, video.loop)
        else:
            _write_mp4(pictures, video_file.name, video.pixel_aspect)


def _write_gif(pictures, gif_file, loop):
    milliseconds = []  # grows while Pillow takes picture after picture

    def taken():
        for picture, seconds in pictures:
            milliseconds.append(int(round(1000 * seconds)))
            yield picture

    frames = taken()
    next(frames).save(gif_file, format='GIF', save_all=True, append_images=frames,
                      duration=milliseconds, **({} if loop is None else {'loop': loop}))


def _write_mp4(pictures, path, pixel_aspect):
    process, time, count = None, Fraction(0), 0
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile())
        for picture, seconds in pictures:
            # The common pixel format halves the colours' resolution: even sizes only.
            canvas = Image.new('RGB', tuple(side + side % 2 for side in picture.size), 'white')
            canvas.paste(picture)
            if process is None:
                process = stack.enter_context(_ended(_encoder(path, pixel_aspect, errors)))
                _send(process, _ivf_header(*canvas.size), path, errors)
            _send(process, _ivf_frame(canvas, time), path, errors)
            time, count = time + seconds, count + 1
        # A frame lasts to the next one. This one tells how long the last lasts; it has no
        # length itself and comes on the millisecond, so that players leave it out.
        end = Fraction(math.ceil(1000 * time), 1000)
        _send(process, _ivf_frame(canvas, end), path, errors)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        if process.wait():
            raise _unwritable(path, errors)
    # ffmpeg's end does not say whether all went well.
    if count_packets(path) != count + 1:
        raise UserError('%s does not hold the %d frames that were written: is the disk full?'
                        % (path, count))


def _encoder(path, pixel_aspect, errors):
    # What has no length is added at the end: frames must not be reordered, nor tell a length
    # that ffmpeg guesses (setpts takes it away).
    return _start(path, [
        '-v', 'error', '-xerror', '-y', '-f', 'ivf', '-c:v', 'rawvideo', '-i', 'pipe:0', '-map',
        '0:v:0', '-vsync', 'passthrough', '-enc_time_base', '1:%d' % _TICKS,
        '-vf', 'setpts=PTS,setsar=%d/%d' % (pixel_aspect.numerator, pixel_aspect.denominator),
        '-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-crf', '15', '-bf', '0', '-f', 'mp4',
        'file:' + path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)


def _ivf_header(width, height):
    """Starts a stream of RGB frames in IVF, the plainest format that has frames' times."""
    return struct.pack('<4s2H4s2H4I', b'DKIF', 0, 32, b'RGB\x18', width, height, _TICKS, 1, 0, 0)


def _ivf_frame(picture, seconds):
    pixels = picture.tobytes()
    return struct.pack('<IQ', len(pixels), int(round(seconds * _TICKS))) + pixels


def _send(process, data, path, errors):
    try:
        process.stdin.write(data)
    except BrokenPipeError:
        process.wait()
        raise _unwritable(path, errors)


def _unwritable(path, errors):
    errors.seek(0)
    return UserError('%s cannot be written: %s' % (
        path, errors.read().decode(errors='replace').strip() or 'ffmpeg stopped'))


def count_packets(path):
    """Counts the frames of an MP4, shown or not, without decoding them; 0 if it is damaged."""
    process = _start(path, ['-v', 'error', '-xerror', '-ignore_editlist', '1', '-i', 'file:' + path,
                            '-map', '0:V:0', '-c', 'copy', '-f', 'framecrc', 'pipe:1'],
                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with _ended(process):
        count = sum(not line.startswith(b'#') for line in process.stdout)
        return 0 if process.wait() else count
