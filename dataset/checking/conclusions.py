"""What only the counts over whole splits show."""
import numpy as np

from dataset import descriptor
from dataset.checking.statistics import is_training, split_order
from dataset.sources import id_maps

# More ignored pixels than labelled ones: seldom meant. VOC has some 5 %.
HIGH_IGNORE_SHARE = 0.5
# Ids are guessed to be no class ids when they reach beyond VOC's and are sparse.
_LARGEST_PLAUSIBLE_SPARSE_ID = 20


def conclude(inputs, statistics, max_images, findings):
    """Judges what only the counts over whole splits show.

    Args:
      inputs: `inputs.Inputs`.
      statistics: dict from split to `SplitStatistics`.
      max_images: int, or None where all images of each split were looked at.
      findings: `Findings` to add to.

    Returns:
      `descriptor.DatasetInfo`, with as many classes as the masks hold if there was no list.
    """
    info = inputs.info
    if max_images is not None:
        findings.add('partial_look', 'Looked at no more than the first %d images of each split: '
                     'the number of records and classes without pixels were not judged, and '
                     'damage further on was not seen.' % max_images)
    else:
        _judge_counts(inputs, statistics, findings)
    if inputs.inferred:
        info = _as_seen(info, statistics)
        findings.add('classes_inferred', 'No list of classes was given: the masks are taken to '
                     'have %d. Give --classes to have their ids checked.'
                     % info.number_of_classes)
    telling = _judge_splits(statistics, info, inputs.inferred, max_images is not None, findings)
    if inputs.inferred:
        _judge_inferred(telling, info, findings)
    else:
        _judge_names(info, findings)
        if max_images is None:
            _judge_classes(telling, info, findings)
    return info


def _judge_counts(inputs, statistics, findings):
    """Compares the number of records with dataset.json's, where all were read."""
    for split, expected in sorted(inputs.expected.items()):
        found = statistics[split].num_records if split in statistics else 0
        unread = any(findings.concern(code, split)
                     for code in ('record_damaged', 'shard_unreadable'))
        if found != expected and not unread:
            findings.add('record_count', 'The files hold %d records, but dataset.json says %d. '
                         'Build the split again, or copy the whole directory.'
                         % (found, expected), split)


def _as_seen(info, statistics):
    """`info` with as many classes as the largest id in the masks asks for."""
    ids = _seen_ids(statistics, info)
    return descriptor.create(info.name, info.class_names[:ids[-1] + 1 if len(ids) else 1],
                             info.ignore_label)


def _seen_ids(statistics, info):
    """Returns the labels that occur, ascending, but the ignore label."""
    pixels = _sum_pixels(statistics.values())
    pixels[info.ignore_label] = 0
    return np.flatnonzero(pixels)


def _judge_splits(statistics, info, inferred, partial, findings):
    """Judges each split alone; returns the statistics of those that say something of classes."""
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
            if labelled[0] and not labelled[1:].any() and (
                    info.number_of_classes > 1 or counts.class_pixels[info.ignore_label]):
                if not partial:
                    _add_only_background(counts, info, inferred, split, findings)
            elif labelled.any():
                telling[split] = counts
    return telling


def _judge_ignored(counts, info, split, findings):
    share = counts.ignored_share(info.ignore_label)
    if share > HIGH_IGNORE_SHARE:
        findings.add('ignore_share', '%.1f %% of the pixels have the ignore label %d and teach '
                     'nothing. Check that no class is drawn with it.'
                     % (100 * share, info.ignore_label), split)


def _add_only_background(counts, info, inferred, split, findings):
    ignored = bool(counts.class_pixels[info.ignore_label])
    findings.add('only_background', 'All masks hold nothing but 0%s: the network would learn to '
                 'answer %s everywhere. %s'
                 % (' and the ignore label %d' % info.ignore_label if ignored else '',
                    0 if inferred else repr(info.class_names[0]),
                    id_maps.object_drawn_as(
                        info.ignore_label, None if inferred else info.class_names) if ignored else
                    'Export the masks again, with a class id for each object.'), split)


def _judge_names(info, findings):
    void = [class_id for class_id, name in enumerate(info.class_names)
            if name.strip().lower() in id_maps.VOID_NAMES]
    for class_id in void:
        findings.add('void_class', 'Class %d is named %r and is trained and scored like any other. '
                     'If it stands for pixels without class, take its line out of --classes and '
                     'give %s to build_folder.py; in a palette, call it void.'
                     % (class_id, info.class_names[class_id],
                        id_maps.without(void, info.number_of_classes)))


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
            hint = (' Ids that start at 1 instead of 0 look like this: %s makes them start at 0 '
                    '(build_folder.py).' % id_maps.from_one(info.number_of_classes)
                    if class_id == 0 else '')
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
    ids = _seen_ids(statistics, info)
    if len(ids) and ids[-1] > _LARGEST_PLAUSIBLE_SPARSE_ID and 2 * len(ids) <= ids[-1]:
        findings.add('label_gaps', 'The masks hold %s, less than half of the ids up to %d. '
                     'Likely cause: masks made for viewing, or palette colours decoded as grey; '
                     'give the list of --classes to be sure, and --map_ids to say what each value '
                     'becomes.'
                     % (_few([str(value) for value in ids]), ids[-1]))


def _few(names, most=8):
    return ', '.join(names[:most]) + (' and %d more' % (len(names) - most)
                                      if len(names) > most else '')
