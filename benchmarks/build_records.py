"""Speed, size and memory of building records from 500x375 JPEG and PNG pairs.

    python benchmarks/build_records.py
    python benchmarks/build_records.py --num_pairs 1000 10000 --num_workers 2

Draws a few photograph-like pairs, links them to as many file names as asked for,
and builds them into a split in a process of its own. Prints images per second of
one core (by the clock and by processor time), the bytes of the shards over those
of the files, and the largest resident size of any of the processes. No image is
encoded again: all are JPEGs as VOC's.
"""
import argparse
import json
import os
import sys
import tempfile

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from benchmarks import training_memory  # noqa: E402
from dataset import voc  # noqa: E402

WIDTH, HEIGHT = 500, 375
# So many different pairs; the others are links to them.
DIFFERENT = 16

BUILD = '''
import json, os, sys, time; sys.path.insert(0, %r)
from dataset import descriptor, voc
from dataset.records import writing
from dataset.sources import decoding
source, output_dir, num_pairs, num_workers, report = sys.argv[1:]
info = descriptor.create('benchmark', voc.CLASS_NAMES, voc.IGNORE_LABEL)
examples = [decoding.Example('%%05d.jpg' %% i, os.path.join(source, '%%05d.jpg' %% i),
                             os.path.join(source, '%%05d.png' %% i))
            for i in range(int(num_pairs))]
clock, times = time.perf_counter(), os.times()
writing.write_split(examples, len(examples), info, output_dir, 'train',
                    num_workers=int(num_workers))
after = os.times()
with open(report, 'w') as report_file:
    json.dump({'seconds': time.perf_counter() - clock,
               'processor_seconds': sum(after[:4]) - sum(times[:4])}, report_file)
''' % training_memory.ROOT


def parse_args(argv=None):
    """Returns the parsed flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--num_pairs', type=int, nargs='+', default=[1000, 10000],
                        help='sizes of the data sets, one after the other (default %(default)s)')
    parser.add_argument('--num_workers', type=int, default=1,
                        help='processes that build (default %(default)s)')
    return parser.parse_args(argv)


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


def measure(num_pairs, num_workers):
    """Builds `num_pairs` pairs.

    Returns:
      Dict: images_per_second and images_per_processor_second, size_ratio of
      output over input, peak_mib of the largest process.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, output = (os.path.join(folder, name) for name in ('source', 'output'))
        os.mkdir(source)
        input_bytes = write_pairs(source, num_pairs)
        report = os.path.join(folder, 'report.json')
        peak_mib = training_memory.peak_mib([
            sys.executable, '-c', BUILD, source, output, str(num_pairs), str(num_workers), report])
        with open(report) as report_file:
            seconds = json.load(report_file)
        output_bytes = sum(os.path.getsize(os.path.join(output, name))
                           for name in os.listdir(output) if name.endswith('.tfrecord'))
    return {'images_per_second': num_pairs / seconds['seconds'],
            'images_per_processor_second': num_pairs / seconds['processor_seconds'],
            'size_ratio': output_bytes / float(input_bytes), 'peak_mib': peak_mib}


def main(argv=None):
    args = parse_args(argv)
    for num_pairs in args.num_pairs:
        found = measure(num_pairs, args.num_workers)
        print('%d pairs, %d worker%s: %.0f images/s, %.0f per second of processor time; '
              'output/input %.4f; peak memory of a process %.0f MiB'
              % (num_pairs, args.num_workers, '' if args.num_workers == 1 else 's',
                 found['images_per_second'], found['images_per_processor_second'],
                 found['size_ratio'], found['peak_mib']), flush=True)


if __name__ == '__main__':
    main()
