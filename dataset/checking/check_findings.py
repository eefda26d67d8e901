"""What dataset/check.py can find, the counts that it concludes from, and the conclusions.

Free of TensorFlow. `CODES` is the list of everything that can be found.
"""
import collections

import numpy as np

from dataset import descriptor

ERROR, WARNING, INFO = 'error', 'warning', 'info'

# Beyond these, findings of one code are counted but not listed: a thousand bad
# masks have one cause, and the memory must not grow with them.
LISTED_PER_CODE = 50
# More ignored pixels than labelled ones: seldom meant. VOC has some 5 %.
HIGH_IGNORE_SHARE = 0.5
# Ids are guessed to be no class ids when they reach beyond VOC's and are sparse.
_LARGEST_PLAUSIBLE_SPARSE_ID = 20

# code: (severity, meaning). Errors stop or spoil training; warnings are mostly
# mistakes, but can be meant; info is by design or cannot be judged.
CODES = collections.OrderedDict([
    ('dataset_json', (ERROR, 'dataset.json cannot be used')),
    ('shard_missing', (ERROR, 'dataset.json lists a file that is not there')),
    ('shard_unlisted', (WARNING, 'a record file that dataset.json does not list')),
    ('shard_unreadable', (ERROR, 'a record file cannot be opened')),
    ('record_count', (ERROR, 'a split has more or fewer records than dataset.json says')),
    ('record_damaged', (ERROR, 'a record is cut short or its checksum is wrong')),
    ('record_features', (ERROR, 'a record lacks features, or has those of another format')),
    ('no_records', (ERROR, 'a split or record file holds nothing')),
    ('image_without_mask', (ERROR, 'no mask has the name of the image')),
    ('mask_without_image', (ERROR, 'no image has the name of the mask')),
    ('ambiguous_name', (ERROR, 'several files of a folder share a name up to the extension')),
    ('image_unusable', (ERROR, 'an image is damaged, no image, or of a kind that has no colours')),
    ('image_format', (WARNING, 'an image in a record that training may not read as it looks')),
    ('mask_undecodable', (ERROR, 'a mask is damaged, or no image')),
    ('mask_colors', (ERROR, 'a mask has colours instead of class ids')),
    ('mask_palette', (ERROR, 'a mask has colours that the palette lacks, or transparent pixels')),
    ('mask_jpeg', (ERROR, 'a mask is a JPEG, which blurs class ids')),
    ('mask_format', (ERROR, 'a mask in a record that training would not read as ids')),
    ('label_values', (ERROR, 'a mask holds values that are neither class id nor ignore label')),
    ('label_gaps', (WARNING, 'without a list of classes: the masks\' values look like no ids')),
    ('size_mismatch', (ERROR, 'image and mask have different sizes')),
    ('size_features', (WARNING, 'height and width of a record are not those of its image')),
    ('only_background', (ERROR, 'the masks of a split hold nothing but 0 and the ignore label')),
    ('all_ignored', (WARNING, 'a mask holds nothing but the ignore label')),
    ('ignore_share', (WARNING, 'more than half of a split\'s pixels are ignored')),
    ('void_class', (WARNING, 'a class is named like an ignore label')),
    ('class_without_pixels', (WARNING, 'a class occurs nowhere in the training images')),
    ('class_only_in_evaluation', (WARNING, 'a class is evaluated that training never shows')),
    ('class_absent', (INFO, 'a class does not occur in a split used for evaluation')),
    ('duplicate', (WARNING, 'an image occurs twice in a split')),
    ('leakage', (ERROR, 'a training image is also used for evaluation')),
    ('evaluation_overlap', (WARNING, 'validation and test share images, but not all')),
    ('same_images', (INFO, 'two splits used for evaluation are the same by design')),
    ('classes_inferred', (INFO, 'no class list was given; class ids are taken from the masks')),
    ('partial_look', (INFO, 'only the first images were looked at (--max_images)')),
])

_VOID_NAMES = ('void', 'ignore', 'ignored', 'unlabeled', 'unlabelled', 'undefined', 'unknown',
               'unclassified', 'boundary', 'border', 'dontcare', "don't care")

# split, file: str or None. record: int from 0, or None.
Finding = collections.namedtuple(
    'Finding', ['code', 'severity', 'split', 'file', 'record', 'text'])


class Findings(object):
    """Collects findings: all are counted, the first `LISTED_PER_CODE` of a code are listed.

    Args:
      accepted: codes whose findings are demoted to info.
    """

    def __init__(self, accepted=()):
        self._accepted = frozenset(accepted)
        self.counts = collections.Counter()
        self.listed = []
        self._splits = set()

    def add(self, code, text, split=None, file=None, record=None):
        """Counts a finding; `code` is a key of `CODES`, `text` a sentence with a remedy."""
        self.counts[code] += 1
        self._splits.add((code, split))
        if self.counts[code] <= LISTED_PER_CODE:
            self.listed.append(
                Finding(code, self.severity(code), split, file, record, text))

    def severity(self, code):
        """Returns 'error', 'warning' or 'info'."""
        return INFO if code in self._accepted else CODES[code][0]

    def concern(self, code, split):
        """Whether there is a finding of this code in the split."""
        return (code, split) in self._splits

    def totals(self):
        """Returns a dict from each severity to the number of findings."""
        totals = {ERROR: 0, WARNING: 0, INFO: 0}
        for code, count in self.counts.items():
            totals[self.severity(code)] += count
        return totals

    def clean(self):
        """Whether nothing but notes was found."""
        totals = self.totals()
        return not totals[ERROR] + totals[WARNING]


class SplitStatistics(object):
    """What is counted over the images of one split; does not grow with their number."""

    def __init__(self):
        self.num_records = 0
        self.num_images = 0
        self.num_masks = 0
        self.class_pixels = np.zeros([descriptor.LARGEST_LABEL + 1], np.int64)
        self.class_images = np.zeros([descriptor.LARGEST_LABEL + 1], np.int64)
        self.heights = collections.Counter()
        self.widths = collections.Counter()
        self.record_kinds = set()
        self._rgb_sum = np.zeros([3], np.int64)
        self._thumbnail_sum = 0
        self._num_pixels = 0

    def add(self, result):
        """Counts one `check_examples.Result`."""
        self.num_records += 1
        self.record_kinds |= {result.kind} - {None}
        if result.size is not None:
            height, width = result.size
            self.num_images += 1
            self.heights[height] += 1
            self.widths[width] += 1
            self._rgb_sum += result.rgb_sum
            self._num_pixels += height * width
            self._thumbnail_sum += result.thumbnail.astype(np.int64)
        if result.label_counts is not None:
            self.num_masks += 1
            self.class_pixels += result.label_counts
            self.class_images += result.label_counts > 0

    def mean_rgb(self):
        """Returns the mean of all pixels as [R, G, B] in 0..255, or None without an image."""
        if not self._num_pixels:
            return None
        return [round(float(value), 3) for value in self._rgb_sum / self._num_pixels]

    def mean_image(self):
        """Returns the mean of all images, each resized to `check_examples.THUMBNAIL_SIZE`.

        Returns:
          uint8 [height, width, 3], or None without an image.
        """
        if not self.num_images:
            return None
        return np.rint(self._thumbnail_sum / self.num_images).astype(np.uint8)

    def unknown_pixels(self, info):
        """Returns the number of pixels whose label is neither class id nor ignore label."""
        return int(np.delete(self.class_pixels, info.ignore_label)[info.number_of_classes:].sum())

    def ignored_share(self, ignore_label):
        """Returns the share of ignored pixels in 0..1, or None without a mask."""
        total = int(self.class_pixels.sum())
        return float(self.class_pixels[ignore_label]) / total if total else None


def size_range(counter):
    """Returns {'min', 'median', 'max'} of a `Counter` of lengths, or None of an empty one."""
    if not counter:
        return None
    values = sorted(counter)
    ends = np.cumsum([counter[value] for value in values])
    middle = [values[int(np.searchsorted(ends, rank, side='right'))]
              for rank in ((ends[-1] - 1) // 2, ends[-1] // 2)]
    return {'min': values[0], 'median': sum(middle) / 2., 'max': values[-1]}


def is_training(split):
    """Whether a split is for training, by its name: train, trainval, train_aug."""
    return split.startswith('train')


def split_order(split):
    """Sort key that puts train before validation before test before all others."""
    ranks = [rank for rank, start in enumerate(('train', 'val', 'test'))
             if split.startswith(start)]
    return (ranks[0] if ranks else 3, split)


class Duplicates(object):
    """Finds images whose pixels occurred before, in the same split or in another.

    Compares a 128-bit hash of the decoded RGB pixels and the size: other bytes
    around the same pixels (a JPEG's metadata, another PNG compression) still
    match, a changed pixel does not, nor does a near copy such as the next frame of
    a film. Keeps some 500 bytes per image.
    """

    def __init__(self):
        self._seen = {}
        self._distinct = collections.Counter()
        self._common = collections.Counter()
        self._overlaps = []

    def add(self, result, findings):
        """Looks one `check_examples.Result` up and remembers it."""
        if result.image_digest is None:
            return
        split, here = result.item.split, _place(result)
        places = self._seen.setdefault(result.image_digest, {})
        if split in places:
            there, label_digest = places[split]
            same = label_digest == result.label_digest
            findings.add('duplicate', '%s has the pixels of %s, and %s mask. %s' % (
                here, there, 'the same' if same else 'another',
                'Leave one out, or it counts twice.' if same
                else 'Keep the one whose mask is right.'),
                split, result.item.file, result.item.record)
            return
        for other, (there, _) in sorted(places.items()):
            self._add_pair(other, there, result, findings)
        self._distinct[split] += 1
        places[split] = (here, result.label_digest)

    def _add_pair(self, other, there, result, findings):
        split, here = result.item.split, _place(result)
        pair = tuple(sorted((split, other)))
        self._common[pair] += 1
        if is_training(split) and is_training(other):
            return  # train and trainval overlap by their names
        where = (split, result.item.file, result.item.record)
        if is_training(split) or is_training(other):
            findings.add('leakage', '%s of %s has the pixels of %s of %s: scores on it measure '
                         'memory. Leave it out of one of them.'
                         % (here, split, there, other), *where)
        elif self._common[pair] <= LISTED_PER_CODE:
            self._overlaps.append((pair, '%s of %s has the pixels of %s of %s. Leave it out of '
                                   'one of them.' % (here, split, there, other), where))

    def conclude(self, findings):
        """Reports splits for evaluation that overlap; complete overlap is taken as meant."""
        whole = {pair for pair, common in self._common.items()
                 if common == self._distinct[pair[0]] == self._distinct[pair[1]]
                 and not any(is_training(split) for split in pair)}
        for pair in sorted(whole, key=lambda pair: sorted(pair, key=split_order)):
            first, second = sorted(pair, key=split_order)
            add_same_images(findings, second, first)
        listed = [overlap for overlap in self._overlaps if overlap[0] not in whole]
        for _, text, where in listed:
            findings.add('evaluation_overlap', text, *where)
        total = sum(common for pair, common in self._common.items()
                    if pair not in whole and not any(is_training(split) for split in pair))
        if total:
            findings.counts['evaluation_overlap'] = total


def _place(result):
    item = result.item
    if item.record is None:
        return result.name
    return 'record %d (%s)' % (item.record, result.name) if result.name else (
        'record %d' % item.record)


def add_same_images(findings, alias, split):
    """Notes that two splits used for evaluation hold the same images."""
    findings.add('same_images', 'It holds the images of %s, as for VOC, whose test labels are '
                 'not public: their scores are the same.' % split, alias)


def conclude(statistics, info, inferred, partial, findings):
    """Judges what only the counts over whole splits show.

    Args:
      statistics: dict from split to `SplitStatistics`.
      info: `descriptor.DatasetInfo`, its splits are not looked at.
      inferred: bool, whether the classes were taken from the masks.
      partial: bool, whether only some of the images were looked at.
      findings: `Findings` to add to.
    """
    telling = {}
    for split in sorted(statistics, key=split_order):
        counts = statistics[split]
        if len(counts.record_kinds) > 1:
            findings.add('record_features', 'The split mixes records of this project with raw '
                         'records of the post, but is read as the kind of its first. Build it '
                         'again.', split)
        if counts.class_pixels.any():
            _judge_ignored(counts, info, split, findings)
            labelled = np.delete(counts.class_pixels, info.ignore_label)
            if labelled[0] and not labelled[1:].any() and info.number_of_classes > 1:
                if not partial:
                    _add_only_background(counts, info, split, findings)
            elif labelled.any():
                telling[split] = counts
    if inferred:
        _judge_inferred(telling, info, findings)
    else:
        _judge_names(info, findings)
        if not partial:
            _judge_classes(telling, info, findings)


def _judge_ignored(counts, info, split, findings):
    share = counts.ignored_share(info.ignore_label)
    if share > HIGH_IGNORE_SHARE:
        findings.add('ignore_share', '%.1f %% of the pixels have the ignore label %d and teach '
                     'nothing. Check that no class is drawn with it.'
                     % (100 * share, info.ignore_label), split)


def _add_only_background(counts, info, split, findings):
    ignored = bool(counts.class_pixels[info.ignore_label])
    findings.add('only_background', 'All masks hold nothing but 0%s: the network would learn to '
                 'answer %r everywhere. %s'
                 % (' and the ignore label %d' % info.ignore_label if ignored else '',
                    info.class_names[0],
                    'If %d stands for an object, give its pixels the class id instead.'
                    % info.ignore_label if ignored else
                    'Export the masks again, with a class id for each object.'), split)


def _judge_names(info, findings):
    for class_id, name in enumerate(info.class_names):
        if name.strip().lower() in _VOID_NAMES:
            findings.add('void_class', 'Class %d is named %r and is trained and scored like any '
                         'other. If it stands for pixels without class, take it out of the list '
                         'and make its id the ignore label (%d now).'
                         % (class_id, name, info.ignore_label))


def _judge_classes(statistics, info, findings):
    """Compares the classes that occur in training and in evaluation."""
    training = [counts for split, counts in statistics.items() if is_training(split)]
    trained = _sum_pixels(training)
    for class_id, name in enumerate(info.class_names):
        evaluated = [split for split, counts in sorted(statistics.items())
                     if not is_training(split) and counts.class_pixels[class_id]]
        if not training or trained[class_id]:
            continue
        if evaluated:
            findings.add('class_only_in_evaluation', 'Class %d %r occurs in %s but never in '
                         'training, so its IoU will be 0. Move images with it to train.'
                         % (class_id, name, ' and '.join(evaluated)), evaluated[0])
        else:
            hint = (' Ids that start at 1 instead of 0 look like this.' if class_id == 0
                    else '')
            findings.add('class_without_pixels', 'Class %d %r has no pixel in training. Add '
                         'images with it, or take it out of the list of classes.%s'
                         % (class_id, name, hint), 'train')
    for split, counts in sorted(statistics.items()):
        absent = [name for class_id, name in enumerate(info.class_names)
                  if not counts.class_pixels[class_id]
                  and (trained[class_id] or not training)]
        if absent and not is_training(split):
            findings.add('class_absent', 'No pixel of %s here; their IoU says nothing about '
                         'these classes.' % _few(absent), split)


def _sum_pixels(statistics):
    """Returns int64 [256], the pixels of each label over several splits."""
    return sum((counts.class_pixels for counts in statistics),
               np.zeros([descriptor.LARGEST_LABEL + 1], np.int64))


def _judge_inferred(statistics, info, findings):
    """Looks for masks whose values are grey levels or colours rather than ids."""
    pixels = _sum_pixels(statistics.values())
    pixels[info.ignore_label] = 0
    ids = np.flatnonzero(pixels)
    if len(ids) and ids[-1] > _LARGEST_PLAUSIBLE_SPARSE_ID and 2 * len(ids) <= ids[-1]:
        findings.add('label_gaps', 'The masks hold %s, less than half of the ids up to %d. '
                     'Likely cause: masks made for viewing, or palette colours decoded as grey; '
                     'give the list of --classes to be sure.'
                     % (_few([str(value) for value in ids]), ids[-1]))


def _few(names, most=8):
    return ', '.join(names[:most]) + (' and %d more' % (len(names) - most)
                                      if len(names) > most else '')


def aliases(splits):
    """Finds splits for evaluation that list the same files, as VOC's test and validation do.

    Args:
      splits: dict as in `descriptor.DatasetInfo`.

    Returns:
      Dict from such a split to the one (first by `split_order`) that it repeats.
    """
    first, repeated = {}, {}
    for split in sorted(splits, key=split_order):
        shards = frozenset(splits[split]['shards'])
        if not is_training(split):
            if shards in first:
                repeated[split] = first[shards]
            first.setdefault(shards, split)
    return repeated
