"""Labels pictures and videos with a trained checkpoint.

    python predict.py --checkpoint runs/deeplab_v3 --input photos --output_dir predictions
    python predict.py --checkpoint RUN --input 'a/*.jpg' b.png clip.mp4 --output_dir DIR

Writes under --output_dir, for each picture at its own size (upright, as EXIF says):
  index/NAME.png            8-bit grey, each value a class id
  palette/NAME.png          the same ids in VOC's colours
  overlay/NAME.png          the colours over the picture, with a legend
  probabilities/NAME.npz    with --save_probabilities: `probabilities`, float16
                            [height, width, classes]
for each video or animated GIF, frame by frame:
  overlay/NAME.mp4 or .gif  the colours over the frames, with a legend, without sound
  frames/NAME/000000.png    with --save_frames: the class ids of each frame
with --save_submission, results/VOC2012/Segmentation/comp6_test_cls/ID.png for VOC's server,
and at the end predictions.json: sizes, and the share of each class in the pixels.
NAME is the path in the folder that was given. What cannot be read is reported and left
out; the exit status is then 1.
"""
import argparse
import itertools
import os
import shutil
import sys

import numpy as np
from tqdm import tqdm

from common import files, flag_types
from common.errors import UserError
from dataset.sources import decoding
from inference import drawing, media, options

FOLDERS = ('index', 'palette', 'overlay', 'probabilities', 'frames', 'results')
RESULT_NAME = 'predictions.json'
# Of a batch by default. Four pictures of 513x513 take 0.8 GiB with ResNet-50; a larger
# picture goes alone, 4000x3000 in 4.2 GiB.
BATCH_PIXELS = 4 * 513 * 513
LARGEST_BATCH = 8


def parse_flags(argv=None):
    """Parses the flags of `predict.py`."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_checkpoint_flags(parser)
    parser.add_argument('--input', required=True, nargs='+', metavar='PATH',
                        help='pictures, videos, folders of them (subfolders included), and '
                             'patterns such as "photos/**/*.jpg"')
    parser.add_argument('--output_dir', required=True, help='where the results are written')
    options.add_classes_flag(parser)
    parser.add_argument('--batch_size', type=flag_types.positive_int,
                        help='how many pictures of one size, or frames, pass the network '
                             'together (default: as many as hold %d pixels, at most %d)'
                             % (BATCH_PIXELS, LARGEST_BATCH))
    options.add_flags(parser)
    # Filled in by `main`, once the classes are known.
    parser.set_defaults(submission_dir=None)
    parser.add_argument('--save_probabilities', action='store_true',
                        help='write the probability of each class in each pixel of a picture')
    parser.add_argument('--save_frames', action='store_true',
                        help='write the class ids of each frame of a video')
    return parser.parse_args(argv)


def batch_limit(flags, height, width):
    """Returns how many pictures of a size are predicted together, an int of at least 1."""
    fitting = min(LARGEST_BATCH, BATCH_PIXELS // (height * width))
    return flags.batch_size or max(1, fitting)


def result_path(flags, folder, name):
    """Returns the path of a result and makes its folder."""
    path = os.path.join(flags.output_dir, folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def class_shares(counts, class_names):
    """Returns a dict from class name to its share of the pixels, as JSON shows it."""
    return {name: float(count) / float(counts.sum()) for name, count in zip(class_names, counts)}


def count_classes(labels, run):
    """Returns int64 [classes], the pixels of each class in integer `labels`."""
    return np.bincount(labels.ravel(), minlength=len(run.class_names))


def predict_pictures(batch, predictor, run, flags):
    """Predicts pictures of one size and writes their results.

    Args:
      batch: list of (`media.Item`, uint8 [height, width, 3]).
      predictor: `restored.Predictor`.
      run: `restored.Run`.
      flags: of this script.

    Returns:
      List of dicts, the entries of predictions.json.

    Raises:
      UserError: they do not fit into memory.
    """
    predicted = predictor.predict(np.stack([image for _, image in batch]),
                                  flags.save_probabilities)
    entries = []
    for index, (item, image) in enumerate(batch):
        labels = predicted.labels[index]
        drawing.save_index_png(labels, result_path(flags, 'index', item.name + '.png'))
        drawing.save_palette_png(
            labels, result_path(flags, 'palette', item.name + '.png'), run.ignore_label)
        if flags.submission_dir:
            drawing.save_palette_png(
                labels, result_path(flags, os.path.relpath(flags.submission_dir, flags.output_dir),
                                    os.path.basename(item.name) + '.png'), run.ignore_label)
        drawing.save_png(
            drawing.overlay(image, labels, run.class_names, run.ignore_label),
            result_path(flags, 'overlay', item.name + '.png'))
        if flags.save_probabilities:
            save_probabilities(predicted.probabilities[index],
                               result_path(flags, 'probabilities', item.name + '.npz'))
        entries.append({
            'input': item.path, 'name': item.name,
            'height': labels.shape[0], 'width': labels.shape[1],
            'class_shares': class_shares(count_classes(labels, run), run.class_names)})
    return entries


def save_probabilities(probabilities, path):
    """Writes float16 [height, width, classes] as a compressed .npz, under a temporary name."""
    temporary = path + '.tmp'
    with open(temporary, 'wb') as npz_file:
        np.savez_compressed(npz_file, probabilities=probabilities)
    os.replace(temporary, path)


def predict_video(item, predictor, run, flags):
    """Predicts a video frame by frame and writes its overlay.

    Args:
      item: `media.Item`.
      predictor, run, flags: as in `predict_pictures`.

    Returns:
      Dict, the entry of predictions.json; shares are of the pixels of all frames.

    Raises:
      UserError: it cannot be read, or its overlay not be written.
      UserError: a frame does not fit into memory.
    """
    video = media.open_video(item.path)
    counts = np.zeros(len(run.class_names), np.int64)
    folder = result_path(flags, 'frames', item.name) if flags.save_frames else None
    temporary = folder + '.tmp' if folder else None

    def overlays():
        numbers = itertools.count()
        for frame, labels in labelled_frames(video, item, predictor, flags):
            counts[:] += count_classes(labels, run)
            if temporary:
                drawing.save_index_png(
                    labels, os.path.join(temporary, '%06d.png' % next(numbers)))
            yield drawing.overlay(frame, labels, run.class_names, run.ignore_label,
                                  all_classes=True)

    try:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
            os.makedirs(temporary)
        path = result_path(flags, 'overlay', item.name + media.video_extension(video))
        media.write_video(overlays(), path, video)
        if temporary:
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(temporary, folder)
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    return {'input': item.path, 'name': item.name, 'height': video.height, 'width': video.width,
            'num_frames': video.num_frames, 'frames_per_second': video.frames_per_second,
            'class_shares': class_shares(counts, run.class_names)}


def labelled_frames(video, item, predictor, flags):
    """Yields (frame uint8 [height, width, 3], labels uint8 [height, width]) of a video."""
    limit = batch_limit(flags, video.height, video.width)
    with tqdm(total=video.num_frames, desc=item.name, unit='frame', leave=False) as progress:
        for frames in chunks(video.frames, limit):
            yield from zip(frames, predictor.predict(np.stack(frames)).labels)
            progress.update(len(frames))


def chunks(iterable, size):
    """Yields lists of `size` consecutive elements, the last one maybe shorter."""
    iterator = iter(iterable)
    return iter(lambda: list(itertools.islice(iterator, size)), [])


def readable(items, fail):
    """Reads one input after the other.

    Args:
      items: list of `media.Item`.
      fail: function that is called with a list of items and what is wrong with them.

    Yields:
      (`media.Item`, uint8 [height, width, 3]), or (`media.Item`, None) for a video.
    """
    for item in items:
        try:
            yield item, None if media.is_video(item.path) else media.read_picture(item.path)
        except (UserError, decoding.InvalidExampleError) as error:
            fail([item], error)


def predict_inputs(items, predictor, run, flags, errors):
    """Predicts all inputs, those of one size together; one batch is in memory at a time.

    Args:
      items: list of `media.Item`.
      predictor, run, flags: as in `predict_pictures`.
      errors: tuple of the exceptions that concern single inputs.

    Returns:
      (entries of the pictures, entries of the videos, list of (path, what is wrong)), each in
      the order of `items`.
    """
    pictures, videos, failures = [], [], []
    order = {item.path: index for index, item in enumerate(items)}
    progress = tqdm(total=len(items), unit='input', leave=False)

    def fail(items, error):
        for item in items:
            text = str(error)
            text = text if item.path in text else '%s: %s' % (item.path, text)
            failures.append((item.path, text))
            tqdm.write('Failed: ' + text, file=sys.stderr)
        progress.update(len(items))

    def size_of(pair):
        return None if pair[1] is None else pair[1].shape[:2]

    with progress:
        for size, group in itertools.groupby(readable(media.by_size(items), fail), size_of):
            for batch in chunks(group, batch_limit(flags, *size) if size else 1):
                batch_items = [item for item, _ in batch]
                try:
                    if size:
                        pictures += predict_pictures(batch, predictor, run, flags)
                    else:
                        videos.append(predict_video(batch_items[0], predictor, run, flags))
                except errors as error:
                    fail(batch_items, error)
                else:
                    progress.update(len(batch))
    for entries in (pictures, videos):
        entries.sort(key=lambda entry: order[entry['input']])
    return pictures, videos, sorted(failures, key=lambda failure: order[failure[0]])


def main(argv=None):
    flags = parse_flags(argv)
    passes = options.passes_of(flags)
    result = os.path.join(flags.output_dir, RESULT_NAME)
    try:
        items = media.find_inputs(
            flags.input, [os.path.join(flags.output_dir, folder) for folder in FOLDERS])
        os.makedirs(flags.output_dir, exist_ok=True)
    except (UserError, OSError) as error:
        raise SystemExit(str(error))
    # TensorFlow takes seconds to import; what is wrong with the inputs is said before.
    from experiment import checkpoints
    from inference import restored
    from runtime.devices import select_gpu
    select_gpu(flags.gpu_id)
    try:
        run = restored.load_run(flags.checkpoint, flags.output_stride, flags.classes)
        # The pictures of VOC's own test set have no labels: they come as a folder.
        flags.submission_dir = flags.save_submission and options.submission_folder(
            flags.output_dir, flags.save_submission, 'test', run.class_names)
        with restored.Predictor(run, passes) as predictor:
            print('%s on %d inputs, output stride %d.'
                  % (run.checkpoint, len(items), run.args.output_stride))
            if os.path.exists(result):
                os.remove(result)  # of an earlier run: it is there when this one is complete
            pictures, videos, failures = predict_inputs(
                items, predictor, run, flags, (UserError, UserError))
    except (ValueError, OSError) as error:
        raise SystemExit(str(error))
    files.write_json({
        'checkpoint': run.checkpoint, 'step': checkpoints.step_of(run.checkpoint),
        'output_stride': run.args.output_stride, 'passes': dict(passes._asdict()),
        'class_names': run.class_names, 'pictures': pictures, 'videos': videos,
        'failed': [{'input': path, 'error': error} for path, error in failures]}, result)
    print('%d pictures and %d videos: %s' % (len(pictures), len(videos), result))
    if failures:
        raise SystemExit('%d of %d inputs failed:\n%s' % (
            len(failures), len(items), '\n'.join('  ' + error for _, error in failures)))


if __name__ == '__main__':
    main()
