"""What layouts ask of a folder: its files, their heads, splits by the names of its folders."""
import collections
import os

from common.errors import UserError
from dataset.sources import file_names, folder

_HEAD_BYTES = 4096
_SHOWN = 10


def files_below(directory, ending):
    """Returns the sorted paths of the files under a folder whose names end so, hidden ones not."""
    return [path for path in file_names.walk(directory) if path.lower().endswith(ending)]


def images_below(directory):
    """Returns the sorted paths of the images under a folder, by their extensions."""
    return [path for path in file_names.walk(directory)
            if file_names.is_image_extension(os.path.splitext(path)[1].lower())]


def images_by_name(directory):
    """Returns a dict from the names of the images under a folder to lists of their paths."""
    by_name = collections.defaultdict(list)
    for path in images_below(directory):
        by_name[file_names.composed(os.path.basename(path))].append(path)
    return by_name


def heads(directory, ending, number=3):
    """Yields the first bytes of the first few files under a folder whose names end so."""
    for path in file_names.walk(directory):
        if number and path.lower().endswith(ending):
            number -= 1
            with open(path, 'rb') as head_file:
                yield head_file.read(_HEAD_BYTES)


def by_folder(directory, examples, path_of):
    """Divides examples by the first folders of their paths, those that are named for splits.

    Args:
      directory: str.
      examples: `decoding.Example`s.
      path_of: function that returns the path of an example below `directory`.

    Returns:
      Parts as of `contract.Layout`.
    """
    return by_split((folder.known_split(
        file_names.relative(path_of(example), directory).split('/')[0]), example)
                    for example in examples)


def by_split(pairs):
    """Returns (split or None, `decoding.Example`) pairs as parts of `contract.Layout`."""
    parts = collections.defaultdict(list)
    for split, example in pairs:
        parts[split].append(example)
    return sorted(parts.items(), key=lambda part: part[0] or '')


def refuse(problems, what, skip_bad):
    """Raises `UserError` on problems of annotation files, or prints them where they are skipped.

    Args:
      problems: list of str, each names its file and says what to do.
      what: str, as 'JSON files of labelme'.
      skip_bad: bool, what --skip_bad says.
    """
    if not problems:
        return
    text = '%d of the %s cannot be used:\n%s%s\n' % (
        len(problems), what, '\n'.join('  ' + problem for problem in problems[:_SHOWN]),
        '\n  ...' if len(problems) > _SHOWN else '')
    if not skip_bad:
        raise UserError(text + 'Mend them and run the same command again, or leave them out with '
                        '--skip_bad.')
    print(text + 'They are left out.')
