"""Labels pictures and videos with a trained checkpoint.

    python predict.py --checkpoint runs/deeplab_v3 --input photos --output_dir predictions
    python predict.py --checkpoint RUN --input 'a/*.jpg' b.png clip.mp4 --output_dir DIR

Writes under --output_dir, for each picture at its own size (upright, as EXIF says):
  index/NAME.png            8-bit grey, each value a class id
  palette/NAME.png          the same ids in the colours of the classes
  overlay/NAME.png          the colours over the picture, with a legend
  probabilities/NAME.npz    with --save_probabilities: `probabilities`, float16
                            [height, width, classes]
for each video or animated GIF, PNG or WebP, each frame once and shown at its own time:
  overlay/NAME.mp4 or .gif  the colours over the frames, with a legend, without sound
  frames/NAME/000000.png    with --save_frames: the class ids of each frame
with --save_submission, results/VOC2012/Segmentation/comp6_test_cls/ID.png for VOC's server,
and at the end predictions.json: sizes, and the share of each class in the pixels.
NAME is the path in the folder that was given. What cannot be read is reported and left
out; the exit status is then 1. No result takes the place of a file that is none: .results
lists them.
"""
import os
import sys

import common.interpreter  # noqa: F401  before what may be missing
from common import command_line, files, flag_types, scripts
from common.errors import UserError
from dataset.sources import views
from experiment import checkpoints, loading
from inference import labelling, media, options, output_folder, restored, submission
from runtime.devices import set_up

RESULT_NAME = 'predictions.json'


def parse_flags(argv=None):
    """Parses the flags of `predict.py`."""
    parser = command_line.Parser(__doc__)
    options.add_checkpoint_flags(parser)
    options.add_speed_flags(parser)
    parser.add_argument('--input', required=True, nargs='+', metavar='PATH',
                        help='pictures, videos, folders of them (subfolders included), and '
                             'patterns such as "photos/**/*.jpg"')
    parser.add_argument('--output_dir', required=True, help='where the results are written')
    options.add_classes_flag(parser)
    views.add_band_flags(parser)
    parser.add_argument('--batch_size', type=flag_types.positive_int,
                        help='how many pictures of one size, or frames, pass the network '
                             'together (default: as many as hold %d pixels, at most %d)'
                             % (labelling.BATCH_PIXELS, labelling.LARGEST_BATCH))
    options.add_flags(parser)
    parser.add_argument('--save_probabilities', action='store_true',
                        help='write the probability of each class in each pixel of a picture')
    parser.add_argument('--save_frames', action='store_true',
                        help='write the class ids of each frame of a video')
    return parser.parse_args(argv)


def predict(flags):
    """Labels all inputs and writes the results.

    Raises:
      UserError: bad flags, or inputs that failed, after all others are written.
    """
    passes = options.passes_of(flags)
    # Before anything that takes TensorFlow, whose import takes seconds.
    folder = output_folder.OutputFolder(flags.output_dir)
    items, notes = media.find_inputs(flags.input, folder)
    for note in notes:
        print(note, file=sys.stderr)
    media.add_readers()
    os.makedirs(flags.output_dir, exist_ok=True)
    run = loading.named(loading.load_run(flags.checkpoint, flags.output_stride), flags.classes)
    run = run._replace(info=views.chosen(run.info, flags))
    # The pictures of VOC's own test set have no labels: they come as a folder.
    submission_dir = flags.save_submission and submission.folder_in(
        '', flags.save_submission, 'test', run.info.class_names)
    print(set_up(flags), flush=True)
    result = folder.place(RESULT_NAME)
    with restored.Predictor(run, passes) as predictor:
        print('%s on %d inputs, output stride %d.'
              % (run.checkpoint, len(items), run.args.output_stride))
        if os.path.exists(result):
            os.remove(result)  # of an earlier run: it is there when this one is complete
        pictures, videos, failures = labelling.Labeller(predictor, run, labelling.Outputs(
            folder, flags.save_probabilities, flags.save_frames, submission_dir),
            flags.batch_size).label(items)
    files.write_json({
        'checkpoint': run.checkpoint, 'step': checkpoints.step_of(run.checkpoint),
        'output_stride': run.args.output_stride, 'passes': dict(passes._asdict()),
        'class_names': run.info.class_names, 'pictures': pictures, 'videos': videos,
        'failed': [{'input': path, 'error': error} for path, error in failures]}, result)
    print('%d pictures and %d videos: %s' % (len(pictures), len(videos), result))
    if failures:
        raise UserError('%d of %d inputs failed:\n%s' % (
            len(failures), len(items), '\n'.join('  ' + error for _, error in failures)))


def main(argv=None):
    flags = parse_flags(argv)
    with scripts.ending_in_one_message():
        predict(flags)


if __name__ == '__main__':
    main()
