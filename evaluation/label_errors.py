"""Ranks the labels of a split by how likely they are wrong, as a trained network sees it.

    python evaluation/label_errors.py --checkpoint runs/deeplab_v3
    python evaluation/label_errors.py --checkpoint RUN --split validation --flip

Look through the first rows and mend what is wrong; boundaries and hard cases come behind. Writes
  label_errors.html     the 60 most suspicious regions with their pictures, and images
  regions.csv           all regions: box, area, given class, likely class, score
  images.csv            all images by the soft minimum of Lad and Mueller (2023)
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from common import command_line, progress, scripts  # noqa: E402
from evaluation import examples, label_review, whole_split  # noqa: E402
from experiment import loading  # noqa: E402
from inference import options, restored  # noqa: E402
from runtime.devices import set_up  # noqa: E402

SHOWN_ROWS = 10


def parse_flags(argv=None):
    """Parses the flags of `label_errors.py`."""
    parser = command_line.Parser(__doc__)
    options.add_checkpoint_flags(parser)
    parser.add_argument('--dataset_dir', help='default: that of the run')
    parser.add_argument('--split', default='train', help='default: train')
    parser.add_argument('--output_dir', help='default: label_errors_SPLIT in the run directory')
    options.add_pass_flags(parser)
    return parser.parse_args(argv)


def review(split_examples, predictor, info, num_examples):
    """Has a network look at all labels.

    Args:
      split_examples: iterable of (name, image, labels), see `examples.read`.
      predictor: `restored.Predictor`, or what predicts as it does.
      info: `dataset.descriptor.DatasetInfo`.
      num_examples: int.

    Returns:
      `label_review.Review`.
    """
    found = label_review.Review(info)
    for name, image, labels in progress.bar(split_examples, total=num_examples, unit='image',
                                            desc='labels', leave=False):
        whole_split.check_labels(name, labels, info)
        probabilities = predictor.predict(image[None], with_probabilities=True).probabilities[0]
        found.add(name, image, labels, probabilities)
    return found


def find_label_errors(flags):
    """Reviews the split, prints the first rows and writes the files."""
    passes = options.passes_of(flags)
    run = loading.load_run(flags.checkpoint, flags.output_stride)
    dataset_dir, info = whole_split.data_set(run, flags.dataset_dir, flags.split)
    output_dir = flags.output_dir or os.path.join(run.run_dir, 'label_errors_' + flags.split)
    print(set_up(flags), flush=True)
    print('%s on split "%s" of %s.' % (run.checkpoint, flags.split, dataset_dir), flush=True)
    with restored.Predictor(run, passes) as predictor:
        found = review(examples.read(info, dataset_dir, flags.split), predictor, info,
                       info.splits[flags.split]['num_examples'])
    for rank, (name, region) in enumerate(found.ranked()[:SHOWN_ROWS], start=1):
        print('%3d. %s: %s, likely %s, %d pixels in (%d, %d)-(%d, %d), score %.1f' % (
            (rank, name, info.class_names[region.given], info.class_names[region.likely],
             region.area) + region.box + (region.score,)))
    os.makedirs(output_dir, exist_ok=True)
    page = found.write('Labels of %s, split %s, by %s' % (info.name, flags.split, run.checkpoint),
                       output_dir)
    print('%d regions in %d images: %s' % (len(found.suspects), len(found.images), page))


def main(argv=None):
    flags = parse_flags(argv)
    with scripts.ending_in_one_message():
        find_label_errors(flags)


if __name__ == '__main__':
    main()
