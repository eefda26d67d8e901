"""Peak memory of training, and of the input pipeline at two data set sizes.

    python benchmarks/training_memory.py
    python benchmarks/training_memory.py --batch_size 8 --crop_size 513
    python benchmarks/training_memory.py --table

Runs train.py for three steps on a generated data set in a process of its own
and prints the largest resident size that the operating system saw; then reads
all records of a small and of a ten times larger data set through the training
pipeline, without a network, and prints the same for both.

--table measures training alone, at settings that differ in one flag each, and writes
training_memory.json: train.py quotes it where memory runs out.
"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from benchmarks import measuring  # noqa: E402
from common import files, scripts  # noqa: E402
from experiment import train_flags  # noqa: E402

TABLE_PATH = os.path.join(measuring.ROOT, 'benchmarks', 'training_memory.json')
TABLE_BASE = {'crop_size': 513, 'batch_size': 4, 'output_stride': 16,
              'resnet_model': 'resnet_v2_50'}
TABLE_CHANGES = ({}, {'batch_size': 8}, {'batch_size': 2}, {'crop_size': 321},
                 {'output_stride': 8}, {'resnet_model': 'resnet_v2_101'})

READ_ALL = '''
import sys; sys.path.insert(0, %r)
from dataset import descriptor
from experiment import train_flags
from preprocessing import inputs
from runtime import tf
from training import graph
data, num_batches = sys.argv[1], int(sys.argv[2])
info, args = descriptor.load(data), train_flags.parse(['--crop_size', '129'])
example = tf.data.make_one_shot_iterator(inputs.train_dataset(
    info, data, graph.augmentation_options(args, info.ignore_label), 8, 0)).get_next()
with tf.Session() as session:
    for _ in range(num_batches):
        session.run(example)
''' % measuring.ROOT


def build_shapes(folder, num_train):
    """Makes a generated data set with `num_train` training pictures."""
    subprocess.check_call([sys.executable, 'dataset/build_shapes.py', '--output_dir', folder,
                           '--num_train', str(num_train), '--num_validation', '1',
                           '--num_test', '1'], cwd=measuring.ROOT, stdout=subprocess.DEVNULL)


def input_mib(data, num_batches=300):
    """Returns the peak resident size of reading batches of 8 as training does, in MiB."""
    return measuring.peak_mib([sys.executable, '-c', READ_ALL, data, str(num_batches)])


def training_mib(data, model_dir, flags):
    """Returns the peak resident size of three training steps, in MiB."""
    return measuring.peak_mib([
        sys.executable, 'train.py', '--dataset_dir', data, '--model_dir', model_dir,
        '--max_steps', '3', '--init_from', 'random'] + flags)


def measure_table(folder, measure=training_mib, path=TABLE_PATH):
    """Measures each setting of the table, prints it, and writes the table at the end.

    Args:
      folder: str, an empty folder to work in.
      measure: function like `training_mib`.
      path: str, of the JSON file.
    """
    data = os.path.join(folder, 'data')
    build_shapes(data, 32)
    rows = []
    for index, changes in enumerate(TABLE_CHANGES):
        row = dict(TABLE_BASE, **changes)
        flags = [word for name, value in sorted(row.items()) for word in ('--' + name, str(value))]
        peak = measure(data, os.path.join(folder, 'run%d' % index), flags)
        print('train.py %s: peak %.0f MiB' % (' '.join(flags), peak), flush=True)
        rows.append(dict(row, peak_mib=int(round(peak))))
    files.write_json({'rows': rows}, path)


def main(argv=None):
    flags = sys.argv[1:] if argv is None else argv
    with scripts.ending_in_one_message(), tempfile.TemporaryDirectory() as folder:
        if flags == ['--table']:
            measure_table(folder)
            return
        train_flags.parse(flags, __doc__)  # a wrong one is found now, not minutes later
        for num_train in (200, 2000):
            data = os.path.join(folder, str(num_train))
            build_shapes(data, num_train)
            print('input pipeline, %d images, 300 batches of 8: peak %.0f MiB'
                  % (num_train, input_mib(data)), flush=True)
        training = training_mib(os.path.join(folder, '200'), os.path.join(folder, 'run'), flags)
        print('train.py %s: peak %.1f GiB' % (' '.join(flags), training / 1024.0))


if __name__ == '__main__':
    main()
