"""Labels pictures and videos, and writes the results of each as predict.py describes them."""
import contextlib
import itertools
import os
import shutil
import sys
from typing import NamedTuple, Optional

import numpy as np
from tqdm import tqdm

from common import files, pictures
from common.errors import UserError
from common.progress import bar
from inference import drawing, media

FOLDERS = ('index', 'palette', 'overlay', 'probabilities', 'frames', 'results')
# Of a batch by default. Four pictures of 513x513 take 0.8 GiB with ResNet-50; a larger
# picture goes alone, 4000x3000 in 4.2 GiB.
BATCH_PIXELS = 4 * 513 * 513
LARGEST_BATCH = 8


class Outputs(NamedTuple):
    """What is written, and where.

    Attributes:
      folder: str.
      probabilities: bool, whether those of each class in each pixel of a picture are.
      frames: bool, whether the class ids of each frame of a video are.
      submission_dir: None, or str, where the pictures' ids go for PASCAL VOC's server.
    """
    folder: str
    probabilities: bool = False
    frames: bool = False
    submission_dir: Optional[str] = None


def batch_limit(batch_size, height, width):
    """Returns how many pictures of a size are predicted together: `batch_size` unless None."""
    return batch_size or max(1, min(LARGEST_BATCH, BATCH_PIXELS // (height * width)))


def _made(*parts):
    """Joins a path and makes the folder that it is in."""
    path = os.path.join(*parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def _chunks(iterable, size):
    """Yields lists of `size` consecutive elements, the last one maybe shorter."""
    iterator = iter(iterable)
    return iter(lambda: list(itertools.islice(iterator, size)), [])


class Labeller:
    """Labels inputs and writes their results.

    Args:
      predictor: `restored.Predictor`.
      run: `restored.Run`.
      outputs: `Outputs`.
      batch_size: int, how many pictures of one size, or frames, pass the network together;
        None for as many as `batch_limit` says.
    """

    def __init__(self, predictor, run, outputs, batch_size=None):
        self._predictor, self._run, self._outputs = predictor, run, outputs
        self._batch_size = batch_size

    def label(self, items):
        """Labels all inputs, those of one size together; one batch is in memory at a time.

        Args:
          items: list of `media.Item`.

        Returns:
          (entries of the pictures, entries of the videos, list of (path, what is wrong)), each
          in the order of `items`; entries are dicts, as predictions.json has them.
        """
        labelled, videos, failures = [], [], []
        order = {item.path: index for index, item in enumerate(items)}

        def fail(items, error):
            for item in items:
                text = str(error)
                text = text if item.path in text else '%s: %s' % (item.path, text)
                failures.append((item.path, text))
                tqdm.write('Failed: ' + text, file=sys.stderr)
            progress.update(len(items))

        def read():
            for item in media.by_size(items):
                try:
                    yield item, None if media.is_video(item.path) else media.read_picture(item.path)
                except UserError as error:
                    fail([item], error)

        with bar(total=len(items), unit='input', leave=False) as progress:
            for batch in self._batches(read()):
                batch_items = [item for item, _ in batch]
                try:
                    if batch[0][1] is None:
                        videos.append(self._label_video(batch_items[0]))
                    else:
                        labelled += self._label_pictures(batch)
                except UserError as error:
                    fail(batch_items, error)
                else:
                    progress.update(len(batch))
        for entries in (labelled, videos):
            entries.sort(key=lambda entry: order[entry['input']])
        return labelled, videos, sorted(failures, key=lambda failure: order[failure[0]])

    def _batches(self, pairs):
        """Yields lists of (item, image): pictures of one size, or one video with None for it."""
        for size, group in itertools.groupby(
                pairs, lambda pair: None if pair[1] is None else pair[1].shape[:2]):
            yield from _chunks(group, batch_limit(self._batch_size, *size) if size else 1)

    def _entry(self, item, height, width, counts, **more):
        """An entry of predictions.json; `counts` are pixels by class."""
        shares = {name: float(count) / float(counts.sum())
                  for name, count in zip(self._run.class_names, counts)}
        return dict(more, input=item.path, name=item.name, height=height, width=width,
                    class_shares=shares)

    def _count(self, labels):
        return np.bincount(labels.ravel(), minlength=len(self._run.class_names))

    def _label_pictures(self, batch):
        """Labels pictures of one size; returns their entries."""
        predicted = self._predictor.predict(np.stack([image for _, image in batch]),
                                            self._outputs.probabilities)
        for index, (item, image) in enumerate(batch):
            self._write_picture(item, image, predicted.labels[index])
            if self._outputs.probabilities:
                path = _made(self._outputs.folder, 'probabilities', item.name + '.npz')
                with files.replacing(path, 'wb') as npz_file:
                    np.savez_compressed(npz_file, probabilities=predicted.probabilities[index])
        return [self._entry(item, *labels.shape, self._count(labels))
                for (item, _), labels in zip(batch, predicted.labels)]

    def _write_picture(self, item, image, labels):
        (folder, _, _, submission_dir), ignore_label = self._outputs, self._run.ignore_label
        name = item.name + '.png'
        drawing.save_index_png(labels, _made(folder, 'index', name))
        drawing.save_palette_png(labels, _made(folder, 'palette', name), ignore_label)
        if submission_dir:
            drawing.save_palette_png(labels, _made(submission_dir, os.path.basename(name)),
                                     ignore_label)
        pictures.save_png(drawing.overlay(image, labels, self._run.class_names, ignore_label),
                          _made(folder, 'overlay', name))

    def _label_video(self, item):
        """Labels a video frame by frame; returns its entry, with shares of all its pixels."""
        video = media.open_video(item.path)
        counts = np.zeros(len(self._run.class_names), np.int64)

        def overlays(folder):
            for index, (frame, labels) in enumerate(self._labelled_frames(video, item)):
                counts[:] += self._count(labels)
                if folder:
                    drawing.save_index_png(labels, os.path.join(folder, '%06d.png' % index))
                yield drawing.overlay(frame, labels, self._run.class_names,
                                      self._run.ignore_label, all_classes=True)

        path = _made(self._outputs.folder, 'overlay', item.name + media.video_extension(video))
        with self._frames_folder(item) as folder:
            media.write_video(overlays(folder), path, video)
        return self._entry(item, video.height, video.width, counts, num_frames=video.num_frames,
                           frames_per_second=video.frames_per_second)

    @contextlib.contextmanager
    def _frames_folder(self, item):
        """Yields a folder that becomes frames/NAME when the block ends well, or None."""
        if not self._outputs.frames:
            yield None
            return
        path = _made(self._outputs.folder, 'frames', item.name)
        parent, name = os.path.split(path)
        with files.temporary_folder(parent, '.%s-' % name) as temporary:
            # One level deeper, because the temporary folder is closed to other users.
            folder = os.path.join(temporary, name)
            os.mkdir(folder)
            yield folder
            shutil.rmtree(path, ignore_errors=True)
            os.replace(folder, path)

    def _labelled_frames(self, video, item):
        """Yields (frame uint8 [height, width, 3], labels uint8 [height, width])."""
        limit = batch_limit(self._batch_size, video.height, video.width)
        with bar(total=video.num_frames, desc=item.name, unit='frame', leave=False) as progress:
            for frames in _chunks(video.frames, limit):
                yield from zip(frames, self._predictor.predict(np.stack(frames)).labels)
                progress.update(len(frames))
