"""Images that occur more than once, in one split or in two."""
import collections

from dataset.checking.findings import LISTED_PER_CODE
from dataset.checking.statistics import is_training, split_order


class Duplicates:
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
        """Looks one `examination.Result` up and remembers it."""
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


def repeated_splits(splits):
    """Finds splits for evaluation that list the same files, as VOC's test and validation do.

    Returns a dict from such a split to the one (first by `split_order`) that it repeats.
    """
    first, repeated = {}, {}
    for split in sorted(splits, key=split_order):
        shards = frozenset(splits[split]['shards'])
        if not is_training(split):
            if shards in first:
                repeated[split] = first[shards]
            first.setdefault(shards, split)
    return repeated
