"""Scores a checkpoint on a split, whole images at their own size.

    python test.py --checkpoint runs/deeplab_v3
    python test.py --checkpoint RUN/best/model.ckpt-9000 --split validation --output_stride 8 \\
        --scales 0.5 0.75 1 1.25 1.5 1.75 --flip

Prints per-class IoU and the four scores in two definitions, the VOC benchmark's and
the post's. Writes report.html, which shows everything on one page, and beside it:
  scores.json           all numbers
  images.csv            the scores of each image
  predictions/          the predicted label maps as palette PNGs
  worst/                the 16 images with the lowest mean IoU
  confusion_matrix.png, calibration.png, contact_sheet.png
  results/VOC2012/...   with --save_submission, what PASCAL VOC's server takes
What an earlier evaluation wrote there is removed first, no other file; .results lists it.
"""
import os

import common.interpreter  # noqa: F401  before what may be missing
from common import command_line, scripts
from evaluation import whole_split
from experiment import agreement, loading
from inference import options, submission
from runtime.devices import set_up


def parse_flags(argv=None):
    """Parses the flags of `test.py`."""
    parser = command_line.Parser(__doc__)
    options.add_checkpoint_flags(parser)
    parser.add_argument('--dataset_dir', help='default: that of the run')
    parser.add_argument('--split', default='test', help='default: test')
    parser.add_argument('--output_dir', help='default: results_SPLIT in the run directory')
    parser.add_argument('--no_post_scores', dest='post_scores', action='store_false',
                        help="leave out the scores in the post's definition, which take a second "
                             'pass of the network')
    options.add_flags(parser)
    options.add_worker_flags(parser)
    options.add_speed_flags(parser)
    return parser.parse_args(argv)


def test(flags):
    """Scores the checkpoint, prints the scores and writes the report.

    Raises:
      UserError: bad flags, or an image that cannot be evaluated.
    """
    passes = options.passes_of(flags)
    run = loading.load_run(flags.checkpoint, flags.output_stride)
    dataset_dir, info = whole_split.data_set(run, flags.dataset_dir, flags.split)
    with agreement.joined(vars(flags), dataset_dir, checkpoint=run.checkpoint) as group:
        score(flags, passes, run, dataset_dir, info, group)


def score(flags, passes, run, dataset_dir, info, group):
    """Scores with what `test` has read, alone or with other workers."""
    output_dir = flags.output_dir or os.path.join(run.run_dir, 'results_' + flags.split)
    submission_dir = flags.save_submission and submission.folder_in(
        '', flags.save_submission, flags.split, info.class_names)
    print(set_up(flags), flush=True)
    whole_split.score(run, dataset_dir, info, flags.split, output_dir, passes, flags.post_scores,
                      submission_dir, group)
    if submission_dir and group.is_chief:
        print("For PASCAL VOC's server, packed with tar from %s: %s" % (
            output_dir, os.path.join(output_dir, submission_dir)))


def main(argv=None):
    flags = parse_flags(argv)
    with scripts.ending_in_one_message():
        test(flags)


if __name__ == '__main__':
    main()
