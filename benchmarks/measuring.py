"""What the benchmarks share: peak memory of a process, and photograph-like pairs to build from."""
import os
import subprocess
import sys

import numpy as np
from PIL import Image, ImageFilter

from common.errors import UserError
from dataset import descriptor, voc
from dataset.records import writing
from dataset.sources import decoding

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WIDTH, HEIGHT = 500, 375
# So many different pairs; the others are links to them.
DIFFERENT = 16


def peak_mib(command):
    """Runs a command in the project's folder and returns its peak resident size, in MiB.

    Call it from a small process: a child's peak begins at the size of its parent.

    Raises:
      UserError: the command fails.
    """
    pid = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL).pid
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise UserError('%s failed with status %d.' % (' '.join(command), status))
    return usage.ru_maxrss / (1 if sys.platform == 'darwin' else 1024.0)


def draw_pair(seed):
    """Draws one pair as detailed as VOC's: an image of some 90 kB, a mask of some 3 kB.

    Args:
      seed: int.

    Returns:
      (`PIL.Image` of mode RGB, `PIL.Image` of mode P with VOC's palette).
    """
    rng = np.random.RandomState(seed)
    image = np.zeros([HEIGHT, WIDTH, 3], np.float32)
    for cells, strength in ((5, 150), (25, 60), (120, 35)):
        noise = rng.rand(cells * 3 // 4, cells, 3) * 255
        image += strength / 255 * np.asarray(Image.fromarray(noise.astype(np.uint8)).resize(
            (WIDTH, HEIGHT), Image.BICUBIC), np.float32)
    image += rng.normal(0, 7, image.shape)
    clouds = Image.fromarray((rng.rand(5, 7) * 255).astype(np.uint8)).resize(
        (WIDTH, HEIGHT), Image.BICUBIC)
    objects = clouds.point(lambda value: 255 * (value > 165))
    border = (np.asarray(objects.filter(ImageFilter.MaxFilter(5))) > 0) & ~(
        np.asarray(objects.filter(ImageFilter.MinFilter(5))) > 0)
    labels = np.where(np.asarray(objects) > 0, 1 + seed % (len(voc.CLASS_NAMES) - 1), 0)
    labels[border] = voc.IGNORE_LABEL
    mask = Image.fromarray(labels.astype(np.uint8))
    mask.putpalette(voc.color_map().tobytes())
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)), mask


def write_pairs(folder, num_pairs):
    """Writes pairs 00000.jpg, 00000.png and so on; returns the sum of their bytes."""
    num_bytes = 0
    for index in range(num_pairs):
        stem, first = (os.path.join(folder, '%05d' % number)
                       for number in (index, index % DIFFERENT))
        if index < DIFFERENT:
            image, mask = draw_pair(index)
            image.save(stem + '.jpg', quality=92)
            mask.save(stem + '.png')
        else:
            for extension in ('.jpg', '.png'):
                os.link(first + extension, stem + extension)
        num_bytes += os.path.getsize(stem + '.jpg') + os.path.getsize(stem + '.png')
    return num_bytes


def build_split(source, num_pairs, output_dir, split, num_workers=1):
    """Builds pairs of `write_pairs` in the folder `source` into a split of VOC's classes."""
    info = descriptor.create('benchmark', voc.CLASS_NAMES, voc.IGNORE_LABEL)
    examples = [decoding.Example('%05d.jpg' % index, os.path.join(source, '%05d.jpg' % index),
                                 os.path.join(source, '%05d.png' % index))
                for index in range(num_pairs)]
    writing.write_split(examples, num_pairs, info, output_dir, split, num_workers=num_workers)
