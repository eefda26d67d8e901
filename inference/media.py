"""Pictures and videos as `predict.py` meets them: finding, naming, reading, writing.

Free of TensorFlow: what is wrong with the inputs is said before it is imported.
"""
import collections
import contextlib
import glob
import os
import subprocess

import numpy as np
from PIL import Image

from common import files
from common.errors import UserError
from dataset.sources import decoding

# What is looked for in folders; a file that is named may be of any other name.
PICTURE_EXTENSIONS = ('.bmp', '.gif', '.jfif', '.jp2', '.jpe', '.jpeg', '.jpg', '.pbm', '.pgm',
                      '.png', '.pnm', '.ppm', '.tga', '.tif', '.tiff', '.webp')
VIDEO_EXTENSIONS = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv')
_FRAMES_PER_SECOND = 25  # of videos that do not say

# path: str. name: str, a relative path without extension that no other input has.
Item = collections.namedtuple('Item', ['path', 'name'])

# height, width, num_frames: int. frames: iterator of uint8 [height, width, 3].
# frames_per_second: float, None for a GIF. durations: milliseconds of each frame of a GIF,
# else None. loop: how often a GIF is repeated, 0 for ever; None for once.
Video = collections.namedtuple('Video', ['height', 'width', 'num_frames', 'frames',
                                         'frames_per_second', 'durations', 'loop'])


def _ffmpeg():
    # imageio_ffmpeg takes 0.2 s to import; `--help` and pictures do without.
    import imageio_ffmpeg
    return imageio_ffmpeg


def find_inputs(inputs, own_folders=()):
    """Lists the files that are meant and gives each a name of its own.

    Folders are searched for pictures and videos, subfolders included. A name is the path
    in the folder, or behind a pattern's fixed part, without extension; with it, where
    two would be the same, and numbered where that is not enough.

    Args:
      inputs: list of str: files, folders, and patterns with `*`, `?`, `[]` and `**`.
      own_folders: list of str, folders that will be written to: not searched.

    Returns:
      List of `Item`, not empty.

    Raises:
      UserError: an input does not exist, holds nothing, or would be overwritten.
    """
    own_folders = [os.path.realpath(folder) for folder in own_folders]
    relative, empty = collections.OrderedDict(), []
    for given in inputs:
        found = list(_expand(given, own_folders))
        if not found:
            empty.append('%s %s' % (given, 'holds no picture and no video'
                                    if os.path.isdir(given) else 'is not there'))
        for path, root in found:
            # A file that two inputs name is predicted once.
            relative.setdefault(os.path.abspath(path), (path, os.path.relpath(path, root)))
    if empty:
        raise UserError('--input: %s. Give files, folders or patterns; folders are searched for '
                        '%s.' % ('; '.join(empty), ' '.join(PICTURE_EXTENSIONS + VIDEO_EXTENSIONS)))
    for path in relative:
        if any(os.path.realpath(path).startswith(folder + os.sep) for folder in own_folders):
            raise UserError('--input %s is in a folder of results that would be written to: '
                            'give another --output_dir.' % path)
    names = _unique_names([inside for _, inside in relative.values()])
    return [Item(path, name) for (path, _), name in zip(relative.values(), names)]


def _expand(given, own_folders):
    """Yields (path, the folder that its name is relative to) of each file that is meant."""
    if os.path.isfile(given):
        yield given, os.path.dirname(given) or '.'
    elif os.path.isdir(given):
        for path in _walk(given, own_folders):
            yield path, given
    elif glob.has_magic(given):
        root = given
        while glob.has_magic(root):
            root = os.path.dirname(root)
        for path in sorted(glob.glob(given, recursive=True)):
            for inner in [path] if os.path.isfile(path) else _walk(path, own_folders):
                yield inner, root or '.'


def _walk(folder, own_folders):
    """Yields the pictures and videos under a folder in order, hidden ones left out."""
    seen = set()
    for parent, folders, file_names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        # A link may lead back. A folder that was given itself is complained of later.
        if real in seen or real in own_folders and parent != folder:
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for name in sorted(file_names):
            extension = os.path.splitext(name)[1].lower()
            if (extension in PICTURE_EXTENSIONS + VIDEO_EXTENSIONS and not name.startswith('.')
                    and os.path.isfile(os.path.join(parent, name))):
                yield os.path.join(parent, name)


def _unique_names(paths):
    """Returns a name for each relative path, see `find_inputs`."""
    counts = collections.Counter(os.path.splitext(path)[0] for path in paths)
    wanted = [path if counts[os.path.splitext(path)[0]] > 1 else os.path.splitext(path)[0]
              for path in paths]
    names, used, reserved = [], set(), set(wanted)
    for name in wanted:
        unique, number = name, 2
        while unique in used or unique in reserved and unique != name:
            unique = '%s-%d' % (name, number)
            number += 1
        used.add(unique)
        names.append(unique.replace(os.sep, '/'))
    return names


def read_picture(path):
    """Reads a picture of any mode as upright RGB.

    What EXIF says about the orientation is applied, transparent parts are put on white and
    16-bit grey is scaled, as where data sets are built.

    Args:
      path: str.

    Returns:
      uint8 [height, width, 3].

    Raises:
      InvalidExampleError: the file is damaged or no picture.
    """
    return decoding.read_rgb(decoding.Example(path, path, None))[0]


def by_size(items):
    """Puts items so that pictures of one size follow each other; the order stays within a size.

    Sizes are those of the files' headers: where EXIF turns a picture, or a header cannot be
    read, neighbours may still differ.

    Args:
      items: list of `Item`.

    Returns:
      List of the same.
    """
    groups = collections.OrderedDict()
    for item in items:
        try:
            with Image.open(item.path) as image:
                size = image.size
        # As in dataset/sources/decoding.py. What is wrong with a file is said when it is read.
        except Exception:
            size = None
        groups.setdefault(size, []).append(item)
    return [item for group in groups.values() for item in group]


def is_video(path):
    """Whether a file has the name of a video, or is a GIF of several frames.

    Raises:
      UserError: a GIF that is damaged.
    """
    extension = os.path.splitext(path)[1].lower()
    return extension in VIDEO_EXTENSIONS or extension == '.gif' and len(_durations(path)[0]) > 1


def open_video(path):
    """Opens a video, whose frames are then read one by one.

    Args:
      path: str, a file that `is_video`.

    Returns:
      `Video`; its frames raise `UserError` where the file is damaged.

    Raises:
      UserError: it cannot be read.
    """
    if os.path.splitext(path)[1].lower() == '.gif':
        durations, loop, (width, height) = _durations(path)
        return Video(height, width, len(durations), _gif_frames(path), None, durations, loop)
    # Decoded once from end to end, in far less time than the network takes: damage shows
    # before any frame is predicted, and the number of frames is known.
    num_frames = count_frames(path)
    reader = _ffmpeg().read_frames('file:' + path)
    try:
        meta = next(reader)
    except OSError as error:
        raise UserError('%s cannot be decoded as a video: %s' % (path, error))
    width, height = meta['size']
    return Video(height, width, num_frames, _video_frames(reader, path, height, width),
                 meta['fps'] or _FRAMES_PER_SECOND, None, None)


def count_frames(path):
    """Decodes a whole video and counts its frames, as `open_video` gives them.

    Raises:
      UserError: it is damaged, or no video.
    """
    try:
        ffmpeg = _ffmpeg().get_ffmpeg_exe()
    except RuntimeError as error:
        raise UserError('%s: videos need ffmpeg, and none was found (%s): install it, or '
                        'imageio-ffmpeg as environments/requirements-common.txt has it.'
                        % (path, error))
    result = subprocess.run(
        [ffmpeg, '-nostdin', '-v', 'error', '-xerror', '-progress',
         'pipe:1', '-i', 'file:' + path, '-map', '0:v:0', '-vsync', 'cfr', '-f', 'null', '-'],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    if result.returncode:
        lines = result.stderr.decode(errors='replace').strip().splitlines()
        raise UserError('%s cannot be decoded as a video: %s. Fetch or export it again.'
                        % (path, '; '.join(lines[-2:]) or 'no reason given'))
    counts = [line[len(b'frame='):] for line in result.stdout.splitlines()
              if line.startswith(b'frame=')]
    if not counts or not int(counts[-1]):
        raise UserError('%s holds no frame.' % path)
    return int(counts[-1])


def _video_frames(reader, path, height, width):
    try:
        for frame in reader:
            yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)
    except (OSError, RuntimeError) as error:
        raise UserError('%s: %s' % (path, error))


@contextlib.contextmanager
def _opened(path):
    """Within it errors of a GIF, a `PIL.Image`, become `UserError`."""
    try:
        with Image.open(path) as image:
            yield image
    # As in dataset/sources/decoding.py: Pillow raises nearly anything on damaged files.
    except Exception as error:
        raise UserError('%s cannot be decoded: %s. Fetch or export it again.' % (path, error))


def _durations(path):
    """Returns (milliseconds of each frame of a GIF, how often it repeats, (width, height))."""
    durations = []
    with _opened(path) as image:
        for index in range(getattr(image, 'n_frames', 1)):
            image.seek(index)
            durations.append(image.info.get('duration', 0))
        return durations, image.info.get('loop'), image.size


def _gif_frames(path):
    """Yields the frames as a viewer shows them, transparent parts on white."""
    with _opened(path) as image:
        for index in range(image.n_frames):
            image.seek(index)
            frame = Image.new('RGBA', image.size, 'white')
            frame.alpha_composite(image.convert('RGBA'))
            yield np.array(frame.convert('RGB'))


def video_extension(video):
    """Returns '.gif' or '.mp4', the kind that `write_video` writes for a `Video`."""
    return '.mp4' if video.durations is None else '.gif'


def write_video(pictures, path, video):
    """Writes pictures with the timing of the video they were made from, without sound.

    A GIF becomes a GIF, whose frames are held in memory with one byte a pixel; all
    others become H.264 in MP4, and are passed on one by one.

    Args:
      pictures: iterator of `PIL.Image`, RGB, all of one size.
      path: str, ending in `video_extension`; written to a temporary name and renamed.
      video: `Video`.

    Raises:
      UserError: it cannot be written.
    """
    with files.replacing(path, 'wb') as video_file:
        if video.durations is None:
            _write_mp4(pictures, video_file.name, video.frames_per_second)
        else:
            options = {} if video.loop is None else {'loop': video.loop}
            next(pictures).save(video_file, format='GIF', save_all=True, append_images=pictures,
                                duration=video.durations, **options)


def _write_mp4(pictures, path, frames_per_second):
    writer, count = None, 0
    try:
        for picture in pictures:
            # The common pixel format halves the colours' resolution: even sizes only.
            size = tuple(side + side % 2 for side in picture.size)
            canvas = Image.new('RGB', size, 'white')
            canvas.paste(picture)
            if writer is None:
                writer = _ffmpeg().write_frames(
                    'file:' + path, size, fps=frames_per_second, codec='libx264', quality=7,
                    macro_block_size=2, ffmpeg_log_level='error', output_params=['-f', 'mp4'])
                writer.send(None)
            writer.send(canvas.tobytes())
            count += 1
    except OSError as error:
        raise UserError('%s cannot be written: %s' % (path, str(error).strip()))
    finally:
        if writer is not None:
            writer.close()
    # ffmpeg's end does not say whether all went well.
    if count_frames(path) != count:
        raise UserError('%s does not hold the %d frames that were written: is the disk full?'
                        % (path, count))
