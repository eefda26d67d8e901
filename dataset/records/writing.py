"""Writes one split of a data set as TFRecord shards, after checking every pair.

Shards are built by several processes in a hidden directory and get their final
names only when the whole split is there; dataset.json is updated last. A build
that stops half-way leaves what was there before, and its finished shards to the
next one.
"""
import collections
import collections.abc
import errno
import itertools
import os
import re
import shutil
import signal

import numpy as np

from common import files, progress
from common.errors import UserError
from dataset.records import encoding, manifest, publishing, workers
from dataset.sources import decoding, id_maps, notes

# num_examples: int. class_pixels: int64 [number_of_classes]. ignored_pixels: int.
# skipped: tuple of str, what was wrong with each example that was left out.
# num_reused: int, how many of the num_shards shards were there already. notes: `notes.Totals`.
SplitSummary = collections.namedtuple(
    'SplitSummary', ['num_examples', 'class_pixels', 'ignored_pixels', 'skipped', 'num_reused',
                     'num_shards', 'notes'], defaults=((), 0, 0, notes.Totals()))

# Fewer examples than this are done before further processes have started.
_FEW_EXAMPLES = 300
# So many bad files are named on the screen; the text file names all.
_LISTED = 50
_MIB = 1024. * 1024


def write_split(examples, num_examples, info, output_dir, split, num_shards=4, aliases=(),
                read_mask=None, num_workers=None, skip_bad=False, hold_back=False, siblings=()):
    """Checks the examples and writes them as `split` of the data set in `output_dir`.

    Replaces an earlier `split` and keeps all others. Shards hold consecutive
    examples; each process has one example in memory at a time. A shard that an
    earlier call finished from the same files is kept when its SHA-256 is right,
    so a second call builds only what is missing, damaged or out of date.

    Args:
      examples, num_examples: as in `sources.contract.Part`; an iterator's examples are
        taken in this process.
      info: `descriptor.DatasetInfo`; its splits are not looked at.
      output_dir: str, made when absent.
      split: str of letters, digits, '_' and '-'.
      num_shards: int, lowered to `num_examples` when larger.
      aliases: further split names that list the same shards.
      read_mask: a reader as `sources.contract` describes it, or None.
      num_workers: int, processes to use, at most one per shard; None for the
        number of cores, or 1 where that is faster. A script that uses more than
        1 needs the usual `if __name__ == '__main__'`.
      skip_bad: bool, whether to leave out examples that fail a check. They are
        listed in `split`-bad-files.txt either way.
      hold_back: bool, whether to look at all and keep finished shards for the next build, but
        leave what `output_dir` holds as it is.
      siblings: the `notes.Totals` of each split whose palettes have to agree with this one's.

    Returns:
      `SplitSummary`.

    Raises:
      InvalidExampleError: examples fail a check, none is left, or all masks hold
        nothing but background. All examples have been checked by then.
      UserError: `output_dir` holds other classes or another ignore
        label, is full or cannot be written, or a name or number is unusable.
    """
    _check_request(examples, num_examples, split, num_shards, aliases, num_workers)
    publishing.present_splits(info, output_dir)
    try:
        with publishing.working_dir(output_dir, split) as folder:
            tasks = _plan(examples, num_examples, min(num_shards, num_examples), folder, split,
                          (info, read_mask, skip_bad))
            return _build(tasks, num_examples, output_dir, folder, split, aliases, num_workers,
                          hold_back, siblings)
    except OSError as error:
        raise UserError('%s cannot be written: %s.' % (output_dir, error))


def _check_request(examples, num_examples, split, num_shards, aliases, num_workers):
    for name in (split,) + tuple(aliases):
        if not re.match(r'[A-Za-z0-9_-]+\Z', name):
            raise UserError(
                'Split name %r: use letters, digits, "_" and "-" only.' % name)
    if num_shards < 1 or num_examples < 1:
        raise UserError(
            'Split %r: %d examples in %d shards; both must be at least 1.'
            % (split, num_examples, num_shards))
    if num_workers is not None and num_workers < 1:
        raise UserError('num_workers is %d; give 1 or more.' % num_workers)
    if _is_sequence(examples):
        _check_count(split, num_examples, len(examples))


def _is_sequence(examples):
    return isinstance(examples, collections.abc.Sequence)


def _check_count(split, announced, found):
    if announced != found:
        raise UserError('Split %r was announced with %d examples but has %d.'
                        % (split, announced, found))


def _plan(examples, num_examples, num_shards, folder, split, how):
    """Divides the examples among shards; returns a list of `ShardTask`.

    The tasks of an iterator must be run in their order, in this process.
    """
    manifest.keys_of(how[1])
    tasks, stream = [], iter(examples)
    starts = [-(-index * num_examples // num_shards) for index in range(num_shards + 1)]
    for index, (start, stop) in enumerate(zip(starts, starts[1:])):
        file_name = '%s-%05d-of-%05d.tfrecord' % (split, index, num_shards)
        if _is_sequence(examples):
            part = examples[start:stop]
        else:
            # The last takes all that come, so that a wrong number is noticed.
            is_last = index == num_shards - 1
            part = itertools.islice(stream, None if is_last else stop - start)
        path = os.path.join(folder, file_name + files.TEMPORARY)
        tasks.append(encoding.ShardTask(file_name, path, part, _is_sequence(examples), *how))
    return tasks


def _build(tasks, num_examples, output_dir, folder, split, aliases, num_workers, hold_back,
           siblings):
    """Builds what is not there in `folder` and publishes it; returns `SplitSummary`."""
    info, skip_bad = tasks[0].info, tasks[0].skip_bad
    try:
        finished = publishing.find_finished(tasks, output_dir, split)
        if finished.is_damaged and not hold_back:
            # Until it is mended no dataset.json may promise this split.
            publishing.withdraw(info, output_dir, split)
        left = [task for task in tasks if task.file not in finished.entries]
        built = _build_shards(left, num_examples, num_workers, finished.entries, split)
        entries = [built[task.file] for task in tasks]
        summary = _sum_up(entries, len(left))
        _check_count(split, num_examples, summary.num_examples + len(summary.skipped))
        _list_bad_files(summary, output_dir, split, skip_bad)
        _check_not_only_background(summary, tasks[0], split)
        _check_palettes((summary.notes,) + tuple(siblings))
        if hold_back:
            return summary
        publishing.publish(info, output_dir, split, aliases, entries, finished.in_place)
        shutil.rmtree(folder)
        return summary
    except OSError as error:
        raise UserError(_explain(error, output_dir, folder, split))
    finally:
        publishing.clean(folder, split)


def _sum_up(entries, num_built):
    totals = notes.Totals()
    for entry in entries:
        totals.merge(entry.notes, entry.colors)
    return SplitSummary(
        sum(entry.records for entry in entries),
        np.sum([entry.class_pixels for entry in entries], axis=0, dtype=np.int64),
        sum(entry.ignored_pixels for entry in entries),
        tuple(message for entry in entries for message in entry.skipped),
        len(entries) - num_built, len(entries), totals)


def _build_shards(tasks, num_examples, num_workers, finished, split):
    """Runs the tasks; returns `finished` (dict from file name to `manifest.Entry`) and theirs.

    Each shard that can be used gets its name and enters the manifest of the hidden
    folder at once: what is finished then survives whatever happens next.
    """
    entries, by_file = dict(finished), {task.file: task for task in tasks}
    is_stream = not all(task.is_listed for task in tasks)
    if not is_stream:
        num_examples = sum(len(task.examples) for task in tasks)
    if num_workers is None:
        num_workers = workers.default_number() if num_examples >= _FEW_EXAMPLES else 1
    may_crash = any(getattr(task.read_mask, 'may_crash', False) for task in tasks)

    def keep(entry):
        entries[entry.file] = entry
        _keep(by_file[entry.file], entries, split)

    try:
        with progress.bar(total=num_examples, desc=split, unit='image',
                          disable=not tasks or None) as bar:
            workers.run(encoding.build_shard, tasks, 1 if is_stream else num_workers,
                        bar.update, keep, isolated=may_crash and not is_stream)
    except workers.WorkerDiedError as error:
        raise UserError(_explain_death(error))
    return entries


def _keep(task, entries, split):
    """Gives the shard of a task its name and enters it in the manifest, if it is of use."""
    entry = entries[task.file]
    if not entry.records or entry.skipped and not task.skip_bad:
        os.remove(task.path)
    else:
        os.replace(task.path, task.path[:-len(files.TEMPORARY)])
    if task.is_listed:
        manifest.save(os.path.dirname(task.path), split, (), [
            entry for entry in entries.values() if task.skip_bad or not entry.skipped])


def _explain_death(error):
    """Words what the end of a process means, by what it was working on."""
    done, examples = error.done, error.task.examples
    if error.status == -signal.SIGKILL:
        advice = 'Usually memory ran out: give a smaller --num_workers'
    else:
        advice = 'If it dies there again, one of these files is damaged: replace it or leave it out'
    example = examples[min(done, len(examples) - 1)]
    return ('A process that was building %s died (exit status %s) at number %d of its %d '
            'examples:\n  image %s\n  mask %s\n%s. The same command again goes on with the '
            'shards that are finished.'
            % (error.task.file, error.status, done + 1, len(examples),
               decoding.name_of(example, 'image'), decoding.name_of(example, 'mask'), advice))


def _list_bad_files(summary, output_dir, split, skip_bad):
    """Writes SPLIT-bad-files.txt, or removes an old one; raises unless enough is left."""
    path = os.path.join(output_dir, split + '-bad-files.txt')
    bad = summary.skipped
    if not bad:
        if os.path.exists(path):
            os.remove(path)
        return
    with files.replacing(path, errors='backslashreplace') as list_file:
        list_file.writelines(message + '\n' for message in bad)
    if skip_bad and summary.num_examples:
        return
    count = len(bad) + summary.num_examples
    raise decoding.InvalidExampleError(
        '%d of %d examples of split %r cannot be used:\n%s\nAll are listed in %s. %s'
        % (len(bad), count, split, _first_lines(bad), path,
           'None is left to build from: mend them and run the same command again.'
           if not summary.num_examples else
           'Mend them and run the same command again: finished shards are kept. --skip_bad '
           'leaves them out instead.'))


def _first_lines(messages):
    lines = ['  ' + message for message in messages[:_LISTED]]
    if len(messages) > _LISTED:
        lines.append('  ... and %d more' % (len(messages) - _LISTED))
    return '\n'.join(lines)


def _check_not_only_background(summary, task, split):
    """A folder of 0/255 masks passes pixel by pixel when 255 is the ignore label.

    Without it there may be a split to test on that has no object, but none to train on.
    """
    info = task.info
    if summary.class_pixels[1:].any():
        return
    if split == 'train' and not summary.ignored_pixels and info.number_of_classes > 1:
        raise decoding.InvalidExampleError(
            'All masks of split %r hold nothing but 0: the network would learn to answer %r '
            'everywhere. If they show objects, export them again, with a class id for each.%s'
            % (split, info.class_names[0],
               ''.join('\nNote: ' + sentence for sentence in summary.notes.describe())))
    if summary.ignored_pixels and not getattr(task.read_mask, 'draws', False):
        raise decoding.InvalidExampleError(
            'All masks of split %r hold nothing but 0 and the ignore label %d. %s'
            % (split, info.ignore_label, id_maps.object_drawn_as(
                info.ignore_label, info.class_names)))


def _check_palettes(found):
    """Palettes of other orders make other ids of what looks alike."""
    totals = notes.Totals()
    for other in found:
        totals.merge(other.texts, other.colors)
    differing = totals.differing_palettes()
    if differing:
        raise decoding.InvalidExampleError(differing)


def _explain(error, output_dir, folder, split):
    """Words what an OSError while building means; call it before the folder is cleaned."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return '%s cannot be written: %s.' % (output_dir, error)
    written = sum(entry.stat().st_size for entry in os.scandir(folder))
    return ('The disk that holds %s is full (%.1f MiB free, or a quota): %.1f MiB of split %r '
            'had been written to %s. Make room and run the same command again, finished shards '
            'are kept; or give another --output_dir.'
            % (output_dir, shutil.disk_usage(output_dir).free / _MIB, written / _MIB, split,
               folder))


def describe(summary, info, split, holds_ids=True):
    """Returns the table that the builders print for a `SplitSummary`: pixel share per class.

    Points out a class without pixels, what was left out and what was there already. `holds_ids`
    says whether masks hold class ids as they are, which may start at 1.
    """
    labelled = int(summary.class_pixels.sum())
    total = labelled + summary.ignored_pixels
    lines = ['%s: %d images, %d classes, pixel shares:'
             % (split, summary.num_examples, info.number_of_classes)]
    for class_id, (name, count) in enumerate(zip(info.class_names, summary.class_pixels)):
        lines.append('  %3d %-16s %6.2f %%%s' % (class_id, name, 100. * count / total,
                                                 '' if count else '  <- no pixel in this split'))
    lines.append('  %3d %-16s %6.2f %%' % (info.ignore_label, '(ignored)',
                                           100. * summary.ignored_pixels / total))
    if holds_ids and not summary.class_pixels[0] and labelled:
        lines.append('%r has id 0 and no pixel. If the ids of the masks start at 1, build again '
                     'with %s (build_folder.py).'
                     % (info.class_names[0], id_maps.from_one(info.number_of_classes)))
    if summary.num_reused:
        lines.append('%d of %d shards were there already, whole and up to date.'
                     % (summary.num_reused, summary.num_shards))
    lines += ['Note: ' + sentence for sentence in summary.notes.describe()]
    if summary.skipped:
        lines.append('%d examples were left out (see the file of bad files beside the shards):\n%s'
                     % (len(summary.skipped), _first_lines(summary.skipped)))
    return '\n'.join(lines)
