"""Moves finished shards of a split into place and enters them in dataset.json.

At every moment dataset.json names only splits whose shards are all there.
"""
import collections
import contextlib
import os
import re
import shutil

from common import files
from common.errors import UserError
from dataset import descriptor
from dataset.records import manifest
from dataset.sources import notes, views

# entries: dict from file name to `manifest.Entry` of shards that need not be built.
# in_place: set of the names of those that are in the output directory itself.
# is_damaged: bool, whether a published shard is not as it was written.
Finished = collections.namedtuple('Finished', ['entries', 'in_place', 'is_damaged'])


def partial_dir(output_dir, split):
    """Returns the path of the hidden folder in which a split grows."""
    return os.path.join(output_dir, '.partial-' + split)


@contextlib.contextmanager
def working_dir(output_dir, split):
    """Makes the folder in which a split grows, yields its path and keeps other builders out of it.

    Raises:
      UserError: another process is building this split.
    """
    folder = partial_dir(output_dir, split)
    os.makedirs(folder, exist_ok=True)
    try:
        with files.folder_locked(folder):
            yield folder
    except BlockingIOError:
        raise UserError(
            'Another process is building split %r in %s. Wait for it, or give another '
            '--output_dir.' % (split, output_dir))


def present_splits(info, output_dir):
    """Lists all splits in `output_dir`, which need not exist, as a copy of `DatasetInfo.splits`.

    Raises:
      UserError: it holds other classes or another ignore label than `info`.
    """
    if not descriptor.exists(output_dir):
        return {}
    present = descriptor.load(output_dir)
    for field in ('class_names', 'ignore_label'):
        ours, theirs = getattr(info, field), getattr(present, field)
        if ours != theirs:
            raise UserError(
                '%s already holds splits with %s %s; this build has %s. Give the same ones, '
                'or another --output_dir.' % (output_dir, field, theirs, ours))
    return dict(present.splits)


def check_others(info, output_dir, names):
    """Makes sure that images are read as those of the splits in `output_dir` that stay.

    Args:
      info: `descriptor.DatasetInfo`; its splits are not looked at.
      output_dir: str, which need not exist.
      names: set of str, the splits that are built now.

    Returns:
      `notes.Totals` of the masks of those splits: which colours their palettes show as which id.

    Raises:
      UserError: they were built with other bands or another range, or as `present_splits`.
    """
    totals, present = notes.Totals(), present_splits(info, output_dir)
    names = names.union(*(_followers(present, name) for name in names))
    others = sorted(set(present) - names)
    if not others:
        return totals
    theirs = descriptor.load(output_dir)
    ours, before = [views.spell(one) or 'neither --bands nor --value_range'
                    for one in (info, theirs)]
    if ours != before:
        raise UserError('%s already holds %s, built with %s; this build has %s. Give the same, or '
                        'another --output_dir.'
                        % (output_dir, ' and '.join(others), before, ours))
    for split in others:
        for entry in manifest.load(output_dir, split)[1]:
            totals.merge({}, entry.colors)
    for class_id, color in enumerate(info.colors or theirs.colors or ()):
        totals.merge({}, {'#%02x%02x%02x' % color: [[class_id, 'the palette of %s' % (
            'this build' if info.colors else output_dir)]]})
    return totals


def _with_colors(info, output_dir):
    """Returns `info` with the colours of the splits that are there, where it has none."""
    if info.colors is None and descriptor.exists(output_dir):
        return info._replace(colors=descriptor.load(output_dir).colors)
    return info


def find_finished(tasks, output_dir, split):
    """Looks for the shards of a list of `encoding.ShardTask` that an earlier build finished.

    Those of builds that did not look into files are entered by the files' contents from now on.

    Returns `Finished`.
    """
    folder = partial_dir(output_dir, split)
    growing, published = ({entry.file: entry for entry in manifest.load(directory, split)[1]}
                          for directory in (folder, output_dir))
    found = Finished({}, set(), False)
    for task, entry in _up_to_date(tasks, growing, published):
        if task.file in found.entries:
            continue
        if manifest.is_whole(entry, output_dir):
            found.entries[task.file] = entry
            found.in_place.add(task.file)
        elif manifest.is_whole(entry, folder):
            found.entries[task.file] = entry
        elif task.file in published and entry.sha256 == published[task.file].sha256:
            found = found._replace(is_damaged=True)
    return found


def _up_to_date(tasks, growing, published):
    """Returns a list of (task, entry) of what was built of just the files that a task names.

    A build that stopped while publishing left its manifest in the one directory and files in
    the other: `growing` and `published` are dicts from file name to `manifest.Entry` of both.
    """
    entries = [(task, [entry for entry in (growing.get(task.file), published.get(task.file))
                       if entry is not None and (task.skip_bad or not entry.skipped)])
               for task in tasks if task.is_listed]
    sources = {}
    for task, candidates in entries:
        if candidates:
            sources[task.file] = manifest.Source(task.info, task.read_mask)
            for example in task.examples:
                sources[task.file].add(example)
    earlier = manifest.earlier_fingerprints(sources)
    return [(task, entry._replace(source=sources[task.file].fingerprint()))
            for task, candidates in entries for entry in candidates
            if entry.source in earlier[task.file] | {sources[task.file].fingerprint()}]


def withdraw(info, output_dir, split):
    """Takes a split, and the others that list its files, out of dataset.json."""
    with files.folder_locked(output_dir, wait=True):
        present = present_splits(info, output_dir)
        names = {split} | _followers(present, split)
        if names & set(present):
            _save_without(_with_colors(info, output_dir), output_dir, present, names)


def publish(info, output_dir, split, aliases, entries, in_place):
    """Gives the shards their final names and enters them in dataset.json.

    A split that lists this one's files (VOC's test lists validation's) lists the
    new ones from now on.

    Args:
      info: `descriptor.DatasetInfo`; its splits are not looked at.
      output_dir, split: str.
      aliases: further split names that list the same shards.
      entries: list of `manifest.Entry`, in the order of the examples.
      in_place: set of names of the shards that are in `output_dir` already; the others
        are in `partial_dir`.
    """
    with files.folder_locked(output_dir, wait=True):
        present = present_splits(info, output_dir)
        earlier_aliases, earlier_entries = manifest.load(output_dir, split)
        names = {split} | set(aliases) | _followers(present, split) | (
            set(earlier_aliases) - set(present))
        shards = [entry.file for entry in entries if entry.records]
        entered = {'num_examples': sum(entry.records for entry in entries), 'shards': shards}
        splits = dict(present, **{name: entered for name in names})
        info = _with_colors(info, output_dir)
        if splits == present and set(shards) <= in_place and entries == earlier_entries:
            if any(getattr(info, field) != getattr(descriptor.load(output_dir), field)
                   for field in descriptor.LATER_FIELDS):
                descriptor.save(info._replace(splits=splits), output_dir)
            return
        # While files are being exchanged no dataset.json may promise this split.
        others = _save_without(info, output_dir, present, names)
        _exchange(output_dir, split, names, others, shards, in_place)
        manifest.save(output_dir, split, names - {split}, entries)
        descriptor.save(info._replace(splits=splits), output_dir)


def _followers(present, split):
    """Returns the names of the splits that list shards of `split`, as a set."""
    return {name for name, entry in present.items()
            if any(_belongs_to([split], shard) for shard in entry['shards'])}


def _save_without(info, output_dir, present, names):
    """Rewrites dataset.json without `names`; returns the splits that stay."""
    others = {name: entry for name, entry in present.items() if name not in names}
    if others:
        descriptor.save(info._replace(splits=others), output_dir)
    elif descriptor.exists(output_dir):
        os.remove(os.path.join(output_dir, descriptor.FILE_NAME))
    return others


def _exchange(output_dir, split, names, others, shards, in_place):
    """Removes the files of the earlier split and moves the new ones to their places."""
    kept = {shard for entry in others.values() for shard in entry['shards']} | in_place
    for file_name in os.listdir(output_dir):
        if _belongs_to(names, file_name) and file_name not in kept:
            os.remove(os.path.join(output_dir, file_name))
    folder = partial_dir(output_dir, split)
    for file_name in shards:
        if file_name not in in_place:
            os.replace(os.path.join(folder, file_name), os.path.join(output_dir, file_name))


def _belongs_to(splits, file_name):
    pattern = r'(%s)(-\d{5}-of-\d{5}\.tfrecord|-manifest\.json)\Z' % '|'.join(
        map(re.escape, splits))
    return re.match(pattern, file_name) is not None


def clean(folder, split):
    """Removes all but finished shards from a `partial_dir`, and it when empty; it may be gone."""
    keep = {entry.file for entry in manifest.load(folder, split)[1]}
    present = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    if not keep & present:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for file_name in present - keep - {os.path.basename(manifest.path(folder, split))}:
        os.remove(os.path.join(folder, file_name))
