"""What evaluation/label_errors.py writes: regions.csv, images.csv and one page with overlays."""
import csv
import heapq
import os
from collections import namedtuple

from common import files, html
from dataset import palette
from evaluation import label_quality
from inference import drawing

REGIONS_NAME, IMAGES_NAME, PAGE_NAME = 'regions.csv', 'images.csv', 'label_errors.html'
SHOWN_REGIONS = 60
# Of a picture on the page: what is shown around a region, as a share of its longer side.
_AROUND, _LEAST_AROUND = 0.6, 24
_LEAST_SIDE = 280  # pixels; what is smaller is enlarged as often as it fits

# image: str. region: `label_quality.Region`.
Suspect = namedtuple('Suspect', ['image', 'region'])


class Review:
    """Ranks regions and images as they come, and keeps pictures of those that the page shows.

    Args:
      info: `dataset.descriptor.DatasetInfo`.

    Attributes:
      images: list of (soft minimum, name, int, its regions), in the order of the split.
      suspects: list of `Suspect`, in the order of the split.
    """

    def __init__(self, info):
        self._info, self.images, self.suspects = info, [], []
        self._shown = []  # heap of (score, negative index of the suspect, `PIL.Image`)

    def add(self, name, image, labels, probabilities):
        """Takes one image.

        Args:
          name: str.
          image: uint8 [height, width, 3], RGB.
          labels: integer [height, width].
          probabilities: float [height, width, classes].
        """
        ignore_label = self._info.ignore_label
        valid = labels != ignore_label
        confidences = label_quality.of_labels(labels, probabilities, ignore_label)[valid]
        regions = label_quality.find_regions(labels, probabilities, ignore_label)
        self.images.append((label_quality.image_score(confidences), name, len(regions)))
        predictions = probabilities.argmax(axis=2)
        for region in regions:
            place = (region.score, -len(self.suspects))
            self.suspects.append(Suspect(name, region))
            if len(self._shown) == SHOWN_REGIONS and place < self._shown[0][:2]:
                continue
            heapq.heappush(self._shown, place + (
                _picture(image, labels, predictions, region, self._info),))
            if len(self._shown) > SHOWN_REGIONS:
                heapq.heappop(self._shown)

    def ranked(self):
        """Returns the `Suspect`s, the most suspicious first."""
        return sorted(self.suspects, key=lambda suspect: -suspect.region.score)

    def write(self, title, output_dir):
        """Writes the two tables, and the page last.

        Args:
          title: str, of the page.
          output_dir: str, an existing folder.

        Returns:
          str, the path of the page.
        """
        ranked = self.ranked()
        images = sorted(self.images, key=lambda image: (image[0] != image[0], image))
        with files.replacing(os.path.join(output_dir, REGIONS_NAME), newline='') as csv_file:
            rows = csv.writer(csv_file)
            rows.writerow(['rank', 'image', 'left', 'top', 'right', 'bottom', 'area',
                           'given_class', 'likely_class', 'score'])
            for rank, (name, region) in enumerate(ranked, start=1):
                rows.writerow((rank, name) + region.box + (region.area,) + self._names(region)
                              + ('%.2f' % region.score,))
        with files.replacing(os.path.join(output_dir, IMAGES_NAME), newline='') as csv_file:
            rows = csv.writer(csv_file)
            rows.writerow(['rank', 'image', 'score', 'regions'])
            for rank, (score, name, count) in enumerate(images, start=1):
                rows.writerow([rank, name, '%.6f' % score, count])
        path = os.path.join(output_dir, PAGE_NAME)
        html.write(self._page(title, ranked, images), path)
        return path

    def _names(self, region):
        return tuple(self._info.class_names[label] for label in (region.given, region.likely))

    def _page(self, title, ranked, images):
        colors = palette.of_classes(self._info)
        parts = ['<p>%d regions in %d images where the network disagrees with the label, the most '
                 'suspicious first; %s lists all. A region is of one given class, the likely one '
                 'is what most of it is taken for. Its score is the mean logarithm of how many '
                 'times as probable the likely class is, times the root of the number of its '
                 'pixels that are not at its edge.</p>'
                 % (len(ranked), len(images), REGIONS_NAME),
                 '<p class="info">A network has seen the labels that it was trained on, and may '
                 'have learnt their errors: those of other splits are judged more freely.</p>',
                 '<h2>The %d most suspicious regions</h2>' % len(self._shown)]
        for rank, (_, index, picture) in enumerate(sorted(self._shown, reverse=True,
                                                          key=lambda one: one[:2]), start=1):
            name, region = self.suspects[-index]
            parts.append(
                '<div class="example"><h3>%d. %s: %s%s, likely %s%s</h3>%s<span class="note">'
                '%d pixels from (%d, %d), score %.1f</span></div>' % (
                    rank, html.escape(name), html.swatch(colors[region.given]),
                    html.escape(self._names(region)[0]), html.swatch(colors[region.likely]),
                    html.escape(self._names(region)[1]), html.image(picture, name, 'JPEG'),
                    region.area, region.box[0], region.box[1], region.score))
        rows = [['image', 'score', 'regions']] + [
            [name, '-' if score != score else '%.4f' % score, str(count)]
            for score, name, count in images[:SHOWN_REGIONS]]
        parts += ['<h2>The %d most suspicious images</h2>' % (len(rows) - 1),
                  '<p class="info">Score: the soft minimum of the probabilities that the network '
                  'gives the labels (Lad and Mueller, 2023, arXiv 2307.05080), 1 where it agrees '
                  'with all of them.</p>', html.table(rows)]
        return html.page(title, parts)


def _picture(image, labels, predictions, region, info):
    """Draws a region's surroundings: image, label, prediction, what is wrong, and its box."""
    left, top, right, bottom = region.box
    around = max(_LEAST_AROUND, int(_AROUND * max(right - left, bottom - top)))
    upper, first = max(0, top - around), max(0, left - around)
    cut = [values[upper:bottom + around, first:right + around]
           for values in (image, labels, predictions)]
    times = max(1, _LEAST_SIDE // max(cut[0].shape[:2]))
    return drawing.comparison(
        *[values.repeat(times, axis=0).repeat(times, axis=1) for values in cut], info,
        box=tuple(times * side for side in (left - first, top - upper, right - first,
                                            bottom - upper)))
