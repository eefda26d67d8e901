"""Labels pictures and videos, and writes the results of each as predict.py describes them."""
import contextlib
import errno
import itertools
import os
from typing import NamedTuple, Optional

import numpy as np

from common import files, pictures
from common.errors import UserError
from common.progress import bar, write
from dataset.sources import notes, views
from inference import drawing, media, submission, videos
from inference.output_folder import OutputFolder

# Of a batch by default. Four pictures of 513x513 take 0.8 GiB with ResNet-50; a larger
# picture goes alone, 4000x3000 in 4.2 GiB.
BATCH_PIXELS = 4 * 513 * 513
LARGEST_BATCH = 8
# Kinds of `sources.notes` that are said of the first picture with them.
_PICTURE_NOTES = ('alpha_band', 'dark_image', 'undeclared_band')


class Outputs(NamedTuple):
    """What is written, and where.

    Attributes:
      folder: `output_folder.OutputFolder`.
      probabilities: bool, whether those of each class in each pixel of a picture are.
      frames: bool, whether the class ids of each frame of a video are.
      submission_dir: None, or str, where the pictures' ids go for PASCAL VOC's server, within
        the folder.
    """
    folder: OutputFolder
    probabilities: bool = False
    frames: bool = False
    submission_dir: Optional[str] = None


def batch_limit(batch_size, height, width):
    """Returns how many pictures of a size are predicted together: `batch_size` unless None."""
    return batch_size or max(1, min(LARGEST_BATCH, BATCH_PIXELS // (height * width)))


def _chunks(iterable, size):
    """Yields lists of `size` consecutive elements, the last one maybe shorter."""
    iterator = iter(iterable)
    return iter(lambda: list(itertools.islice(iterator, size)), [])


class Labeller:
    """Labels inputs and writes their results.

    Args:
      predictor: `restored.Predictor`.
      run: `loading.LoadedRun`.
      outputs: `Outputs`.
      batch_size: int, how many pictures of one size, or frames, pass the network together;
        None for as many as `batch_limit` says.
    """

    def __init__(self, predictor, run, outputs, batch_size=None):
        self._predictor, self._run, self._outputs = predictor, run, outputs
        self._batch_size, self._submitted, self._told = batch_size, set(), set()

    def label(self, items):
        """Labels all inputs, those of one size together; one batch is in memory at a time.

        Args:
          items: list of `media.Item`.

        Returns:
          (entries of the pictures, entries of the videos, list of (path, what is wrong)), each
          in the order of `items`; entries are dicts, as predictions.json has them.
        """
        pictures_done, videos_done, failures = [], [], []
        order = {item.path: index for index, item in enumerate(items)}

        @contextlib.contextmanager
        def failing(items):
            """Within it an error is one of these items, and the others go on."""
            try:
                yield
            # An OSError: the name of a result is too long, its folder cannot be made.
            except (UserError, OSError, MemoryError) as error:
                if getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT):
                    raise  # all others would fail as well
                for item in items:
                    text = str(error) or type(error).__name__
                    text = text if item.path in text else '%s: %s' % (item.path, text)
                    failures.append((item.path, text))
                    write('Failed: ' + text)
                progress.update(len(items))

        def read():
            for item in media.by_size(items):
                with failing([item]):
                    yield item, None if media.is_video(item.path) else self._picture(item)

        with bar(total=len(items), unit='input', leave=False) as progress:
            for batch in self._batches(read()):
                with failing([item for item, _ in batch]):
                    results = [None] if batch[0][1] is None else self._predict(batch)
                    for (item, image), result in zip(batch, results):
                        with failing([item]):
                            if image is None:
                                videos_done.append(self._label_video(item))
                            else:
                                pictures_done.append(self._write_picture(item, image, *result))
                            progress.update()
        for entries in (pictures_done, videos_done):
            entries.sort(key=lambda entry: order[entry['input']])
        return pictures_done, videos_done, sorted(failures, key=lambda failure: order[failure[0]])

    def _batches(self, pairs):
        """Yields lists of (item, image): pictures of one size, or one video with None for it."""
        for size, group in itertools.groupby(
                pairs, lambda pair: None if pair[1] is None else pair[1].shape[:2]):
            yield from _chunks(group, batch_limit(self._batch_size, *size) if size else 1)

    def _entry(self, item, height, width, counts, **more):
        """An entry of predictions.json; `counts` are pixels by class."""
        shares = {name: float(count) / float(counts.sum())
                  for name, count in zip(self._run.info.class_names, counts)}
        return dict(more, input=item.path, name=item.name, height=height, width=width,
                    class_shares=shares)

    def _count(self, labels):
        return np.bincount(labels.ravel(), minlength=len(self._run.info.class_names))

    def _picture(self, item):
        """Reads a picture; says so where there are more in its file, or it may look otherwise."""
        with notes.collected() as noted:
            image = media.read_picture(item.path, views.of_info(self._run.info))
        for kind in sorted(set(noted.texts) & set(_PICTURE_NOTES) - self._told):
            self._told.add(kind)
            write('Note: %s.' % noted.texts[kind])
        remark = media.remark_on_pages(item.path)
        if remark:
            write(remark)
        return image

    def _predict(self, batch):
        """Predicts pictures of one size; returns a list of (labels, probabilities or None)."""
        predicted = self._predictor.predict(np.stack([image for _, image in batch]),
                                            self._outputs.probabilities)
        probabilities = predicted.probabilities
        return list(zip(predicted.labels,
                        [None] * len(batch) if probabilities is None else probabilities))

    def _write_picture(self, item, image, labels, probabilities):
        """Writes the results of a picture; returns its entry."""
        folder, _, _, submission_dir = self._outputs
        name = item.name + '.png'
        drawing.save_index_png(labels, folder.place('index', name))
        drawing.save_palette_png(labels, folder.place('palette', name), self._run.info)
        if submission_dir:
            self._submit(labels, os.path.join(submission_dir, os.path.basename(name)))
        pictures.save_png(drawing.overlay(image, labels, self._run.info),
                          folder.place('overlay', name))
        if probabilities is not None:
            path = folder.place('probabilities', item.name + '.npz')
            with files.replacing(path, 'wb') as npz_file:
                np.savez_compressed(npz_file, probabilities=probabilities)
        return self._entry(item, *labels.shape, self._count(labels))

    def _submit(self, labels, path):
        if path in self._submitted:
            raise UserError("another input has its file for VOC's server, %s: give inputs of one "
                            'folder.' % path)
        self._submitted.add(path)
        submission.save_png(labels, self._outputs.folder.place(path))

    def _label_video(self, item):
        """Labels a video frame by frame; returns its entry, with shares of all its pixels."""
        counts = np.zeros(len(self._run.info.class_names), np.int64)
        shown = []  # seconds of each frame

        def overlays(video, folder):
            for frame, seconds, labels in self._labelled_frames(video, item):
                counts[:] += self._count(labels)
                if folder:
                    drawing.save_index_png(labels, os.path.join(folder, '%06d.png' % len(shown)))
                shown.append(seconds)
                yield drawing.overlay(frame, labels, self._run.info, all_classes=True), seconds

        with videos.opened(item.path) as video, self._frames_folder(item) as folder:
            path = self._outputs.folder.place('overlay', item.name + videos.extension(video))
            videos.write(overlays(video, folder), path, video)
        length = float(sum(shown))
        return self._entry(item, video.height, video.width, counts, num_frames=len(shown),
                           seconds=length,
                           frames_per_second=len(shown) / length if length else None)

    @contextlib.contextmanager
    def _frames_folder(self, item):
        """Yields a folder whose files move to frames/NAME when the block ends well, or None."""
        if not self._outputs.frames:
            yield None
            return
        parent, name = os.path.split(os.path.join(self._outputs.folder.path, 'frames', item.name))
        os.makedirs(parent, exist_ok=True)
        with files.temporary_folder(parent, '.%s-' % name) as folder:
            yield folder
            self._outputs.folder.place_frames(folder, item.name)

    def _labelled_frames(self, video, item):
        """Yields (frame uint8 [height, width, 3], seconds, labels uint8 [height, width])."""
        limit, seconds = batch_limit(self._batch_size, video.height, video.width), 0.0
        with bar(total=video.seconds, desc=item.name, unit='s', unit_scale=True,
                 leave=False) as progress:
            for chunk in _chunks(video.frames, limit):
                frames, shown = zip(*chunk)
                yield from zip(frames, shown, self._predictor.predict(np.stack(frames)).labels)
                seconds += float(sum(shown))
                # What the file says of its length is no promise.
                progress.update(min(seconds, video.seconds or seconds) - progress.n)
