"""Small videos for the tests of what reads and writes them, and what ffmpeg says of a video."""
import os
import re
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest

from tests.helpers import SHARED

# In some systems ffmpeg crashes on MPEG-TS without it, see inference/videos.py.
ENVIRONMENT = dict(os.environ, GCONV_PATH=os.devnull)


def shared_case(name):
    """Returns a folder of inputs that failed, or skips the test."""
    path = os.path.join(SHARED, 'cases', 'predict', name)
    if not os.path.isdir(path):
        pytest.skip('needs ../shared/cases/predict, which is not part of a clone')
    return path


def ffmpeg(*arguments, data=None):
    """Runs ffmpeg; returns what it prints."""
    return subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), '-v', 'error', '-y'] + list(map(str, arguments)),
        input=data, stdout=subprocess.PIPE, env=ENVIRONMENT, check=True).stdout


def grey_frames(count, height=30, width=40):
    """Returns uint8 [count, height, width, 3], brighter by 10 from each frame to the next."""
    return np.full([count, height, width, 3], 10, np.uint8) * np.arange(
        count, dtype=np.uint8)[:, np.newaxis, np.newaxis, np.newaxis]


def clip(path, *options, count=7, rate='25/2', height=30, width=40):
    """Writes `grey_frames` as a video with ffmpeg's options; returns its path."""
    ffmpeg('-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', '%dx%d' % (width, height), '-r', rate,
           '-i', 'pipe:0', '-pix_fmt', 'yuv420p', *options + ('file:%s' % path,),
           data=grey_frames(count, height, width).tobytes())
    return str(path)


def times_of(path):
    """Returns when each shown frame of a video starts, in seconds, as ffmpeg decodes it."""
    printed = ffmpeg('-i', 'file:%s' % path, '-map', '0:V:0', '-vsync', 'passthrough',
                     '-enc_time_base', '1:90000', '-c:v', 'rawvideo', '-f', 'framecrc', '-')
    return [int(line.split(b',')[2]) / 90000 for line in printed.splitlines()
            if not line.startswith(b'#')]


def header_of(path):
    """Returns what ffmpeg prints about a file."""
    return subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), '-i', 'file:%s' % path],
                          stderr=subprocess.PIPE, env=ENVIRONMENT).stderr.decode()


def length_of(path):
    """Returns the length of a video file in seconds, rounded to 0.01."""
    hours, minutes, seconds = re.search(r'Duration: (\d+):(\d\d):([\d.]+)',
                                        header_of(path)).groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
