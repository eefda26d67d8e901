"""Packs a built data set into one file for benchmarks/recipe_trials.py.

    python benchmarks/pack_pairs.py --dataset_dir data/camvid --output camvid.npz

Takes the splits train and validation. It runs in the project's environment; what it writes is read
where there is PyTorch and no TensorFlow.
"""
import io
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from benchmarks import packed_pairs  # noqa: E402
from common import command_line, flag_types, scripts  # noqa: E402
from dataset import descriptor  # noqa: E402
from dataset.records import encoding, example_proto, shards  # noqa: E402
from training import class_weights  # noqa: E402


def read(info, dataset_dir, split):
    """Returns the `packed_pairs.Pairs` of a split.

    Args:
      info: `descriptor.DatasetInfo`.
      dataset_dir, split: str.

    Raises:
      UserError: there is no such split, or a shard is damaged.
    """
    pairs = []
    for path in descriptor.shard_paths(info, dataset_dir, split):
        for record in shards.iterate_shard(path):
            values = example_proto.parse(record)
            image, labels = [Image.open(io.BytesIO(values[name][0])) for name in (
                encoding.IMAGE_ENCODED, encoding.LABEL_ENCODED)]
            labels = np.array(labels)
            labels[labels == info.ignore_label] = packed_pairs.IGNORE_LABEL
            pairs.append((np.array(image.convert('RGB')), labels))
    return packed_pairs.join(pairs)


def main(argv=None):
    parser = command_line.Parser(__doc__)
    parser.add_argument('--dataset_dir', type=flag_types.path, required=True,
                        help='what a builder wrote')
    parser.add_argument('--output', type=flag_types.path, required=True, help='the .npz to write')
    args = parser.parse_args(argv)
    with scripts.ending_in_one_message():
        info = descriptor.load(args.dataset_dir)
        splits = [read(info, args.dataset_dir, split) for split in packed_pairs.SPLITS]
        weights = class_weights.median_frequency([
            np.bincount(labels.ravel(), minlength=256)[:info.number_of_classes]
            for labels in splits[0].labels])
        packed_pairs.save(packed_pairs.Packed(info.class_names, weights, *splits), args.output)
        print('Wrote %s: %d and %d pairs, %.1f MB.' % (
            (args.output,) + tuple(len(pairs.sizes) for pairs in splits)
            + (os.path.getsize(args.output) / 1e6,)), flush=True)


if __name__ == '__main__':
    main()
