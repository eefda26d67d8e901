"""Speed, size and memory of building records from 500x375 JPEG and PNG pairs.

    python benchmarks/build_records.py
    python benchmarks/build_records.py --num_pairs 1000 10000 --num_workers 2

Draws a few photograph-like pairs, links them to as many file names as asked for,
and builds them into a split in a process of its own. Prints images per second of
one core (by the clock and by processor time), the bytes of the shards over those
of the files, the largest resident size of any of the processes, and what the same
build takes that finds all up to date. No image is encoded again: all are JPEGs as VOC's.
"""
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from benchmarks import measuring  # noqa: E402
from common import command_line, flag_types  # noqa: E402

BUILD = '''
import json, os, sys, time; sys.path.insert(0, %r)
from benchmarks import measuring
source, output_dir, num_pairs, num_workers, report = sys.argv[1:]
clock, times = time.perf_counter(), os.times()
measuring.build_split(source, int(num_pairs), output_dir, 'train', int(num_workers))
after, built = os.times(), time.perf_counter()
measuring.build_split(source, int(num_pairs), output_dir, 'train', int(num_workers))
with open(report, 'w') as report_file:
    json.dump({'seconds': built - clock, 'again_seconds': time.perf_counter() - built,
               'processor_seconds': sum(after[:4]) - sum(times[:4])}, report_file)
''' % measuring.ROOT


def measure(num_pairs, num_workers):
    """Builds `num_pairs` pairs.

    Returns:
      Dict: images_per_second and images_per_processor_second, size_ratio of
      output over input, peak_mib of the largest process, again_share of the time that the
      same build takes when all is up to date.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, output = (os.path.join(folder, name) for name in ('source', 'output'))
        os.mkdir(source)
        input_bytes = measuring.write_pairs(source, num_pairs)
        report = os.path.join(folder, 'report.json')
        peak_mib = measuring.peak_mib([
            sys.executable, '-c', BUILD, source, output, str(num_pairs), str(num_workers), report])
        with open(report) as report_file:
            seconds = json.load(report_file)
        output_bytes = sum(os.path.getsize(os.path.join(output, name))
                           for name in os.listdir(output) if name.endswith('.tfrecord'))
    return {'images_per_second': num_pairs / seconds['seconds'],
            'images_per_processor_second': num_pairs / seconds['processor_seconds'],
            'again_share': seconds['again_seconds'] / seconds['seconds'],
            'size_ratio': output_bytes / float(input_bytes), 'peak_mib': peak_mib}


def main(argv=None):
    parser = command_line.Parser(__doc__)
    parser.add_argument('--num_pairs', type=flag_types.positive_int, nargs='+',
                        default=[1000, 10000],
                        help='sizes of the data sets, one after the other (default %(default)s)')
    parser.add_argument('--num_workers', type=flag_types.positive_int, default=1,
                        help='processes that build (default %(default)s)')
    args = parser.parse_args(argv)
    for num_pairs in args.num_pairs:
        found = measure(num_pairs, args.num_workers)
        print('%d pairs, %d worker%s: %.0f images/s, %.0f per second of processor time; '
              'output/input %.4f; peak memory of a process %.0f MiB; the same again, all up to '
              'date, takes %.1f %% of the time'
              % (num_pairs, args.num_workers, '' if args.num_workers == 1 else 's',
                 found['images_per_second'], found['images_per_processor_second'],
                 found['size_ratio'], found['peak_mib'], 100 * found['again_share']), flush=True)


if __name__ == '__main__':
    main()
