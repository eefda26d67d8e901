"""Pictures and videos as `predict.py` meets them: finding, naming, reading.

Free of TensorFlow: what is wrong with the inputs is said before it is imported.
"""
import collections
import contextlib
import glob
import os
import stat
import warnings

from PIL import Image, UnidentifiedImageError

from common.errors import UserError
from dataset.sources import decoding, opening, views
from inference import videos

# What is looked for in folders; a file that is named may be of any other name.
_PHONE_EXTENSIONS = ('.avif', '.heic', '.heif', '.hif')  # not every Pillow reads these
PICTURE_EXTENSIONS = _PHONE_EXTENSIONS + (
    '.apng', '.bmp', '.gif', '.jfif', '.jp2', '.jpe', '.jpeg', '.jpg', '.pbm', '.pgm', '.png',
    '.pnm', '.ppm', '.tga', '.tif', '.tiff', '.webp')
EXTENSIONS = PICTURE_EXTENSIONS + videos.EXTENSIONS
# Of each part of a name. File systems take 255; results and temporary files add some.
_NAME_BYTES = 200
_SHOWN = 5  # names in a note

# path: str. name: str, a relative path without extension that no other input has.
Item = collections.namedtuple('Item', ['path', 'name'])

# items: list of `Item`. notes: list of str, what a person should know about them.
Found = collections.namedtuple('Found', ['items', 'notes'])


def find_inputs(inputs, output):
    """Lists the files that are meant and gives each a name of its own.

    Folders are searched for pictures and videos, subfolders included. Results of earlier
    runs are left out, and so is what is hidden. A name is the path in the folder, or behind
    a pattern's fixed part, without extension; with it, where two would be the same, and
    numbered where that is not enough or a file of somebody else has the result's name.

    Args:
      inputs: list of str: files, folders, and patterns with `*`, `?`, `[]` and `**`.
      output: `output_folder.OutputFolder`, which will be written to.

    Returns:
      `Found`, of at least one item.

    Raises:
      UserError: an input does not exist or holds nothing.
    """
    relative, left_out, empty = collections.OrderedDict(), [], []
    for given in inputs:
        found = list(_expand(given, left_out))
        own = {path for path, _ in found if output.is_result(path)}
        if not found:
            empty.append('%s %s' % (given, 'holds no picture and no video'
                                    if os.path.isdir(given) else 'is no file and no folder'
                                    if os.path.lexists(given) else 'is not there'))
        elif len(own) == len(found):
            empty.append('%s is nothing but results of an earlier run: give another --output_dir '
                         'to label them' % given)
        for path, root in found:
            # A file that two inputs name is predicted once.
            if path not in own:
                relative.setdefault(os.path.abspath(path), (path, os.path.relpath(path, root)))
    if empty:
        raise UserError('--input: %s. Give files, folders or patterns; folders are searched for '
                        '%s.' % ('; '.join(empty), ' '.join(EXTENSIONS)))
    names, numbered = _unique_names([inside for _, inside in relative.values()], output)
    left_out = [path for path in left_out if not output.is_result(path)]
    notes = ['%d files in the folders are neither pictures nor videos and were left out: %s.'
             % (len(left_out), _shortened(left_out))] if left_out else []
    if numbered:
        notes.append('%d results get a number, because files that are no results have their '
                     'names: %s.' % (len(numbered), _shortened(numbered)))
    return Found([Item(path, name) for (path, _), name in zip(relative.values(), names)], notes)


def _shortened(texts):
    more = len(texts) - _SHOWN
    return ', '.join(texts[:_SHOWN]) + (' and %d more' % more if more > 0 else '')


def _expand(given, left_out):
    """Yields (path, the folder that its name is relative to) of each file that is meant."""
    if os.path.isfile(given):
        yield given, os.path.dirname(given) or '.'
    elif os.path.isdir(given):
        for path in _walk(given, left_out):
            yield path, given
    elif glob.has_magic(given):
        root = given
        while glob.has_magic(root):
            root = os.path.dirname(root)
        for path in sorted(glob.glob(given, recursive=True)):
            if os.path.isdir(path):
                for inner in _walk(path, left_out):
                    yield inner, root or '.'
            elif _may_be_read(path):
                yield path, root or '.'


def _walk(folder, left_out):
    """Yields the pictures and videos under a folder in order, hidden ones left out.

    A folder that cannot be listed is yielded itself, so that it fails as a file would.
    Paths of files of other kinds are added to `left_out`.
    """
    seen, unreadable = set(), []
    for parent, folders, file_names in os.walk(
            folder, followlinks=True, onerror=lambda error: unreadable.append(error.filename)):
        real = os.path.realpath(parent)
        if real in seen:  # a link leads back
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for name in sorted(file_names):
            path = os.path.join(parent, name)
            if name.startswith('.'):
                continue
            if os.path.splitext(name)[1].lower() in EXTENSIONS and _may_be_read(path):
                yield path
            else:
                left_out.append(path)
    yield from unreadable


def _may_be_read(path):
    """Whether a path is a file or a broken link, which has to be named; no pipe or socket."""
    return not os.path.exists(path) or stat.S_ISREG(os.stat(path).st_mode)


def _unique_names(paths, output):
    """Returns (a name for each relative path, see `find_inputs`; those numbered for others)."""
    shortened = [_short_parts(path) for path in paths]
    counts = collections.Counter(stem for stem, _ in shortened)
    wanted = [stem + (extension if counts[stem] > 1 else '') for stem, extension in shortened]
    names, numbered, used, reserved = [], [], set(), set(wanted)
    for name in wanted:
        unique, number = name, 2
        while (unique in used or unique in reserved and unique != name
               or output.has_others(unique)):
            unique = '%s-%d' % (name, number)
            number += 1
        if output.has_others(name):
            numbered.append(unique)
        used.add(unique)
        names.append(unique)
    return names, numbered


def _short_parts(path):
    """Returns (path without extension, each part of it short enough for a result; extension)."""
    stem, extension = os.path.splitext(path)
    parts = stem.split(os.sep)
    for index, part in enumerate(parts):
        while len(os.fsencode(part)) > _NAME_BYTES:
            part = part[:-1]
        parts[index] = part
    return '/'.join(parts), extension


def read_picture(path, view=views.AS_IT_IS):
    """Reads a picture of any mode as upright RGB.

    What EXIF says about the orientation is applied, transparent parts are put on white and
    16-bit grey is scaled, as where data sets are built. Of several pages the first is read.

    Args:
      path: str.
      view: `views.View`.

    Returns:
      uint8 [height, width, 3].

    Raises:
      UserError: the file is damaged or no picture.
    """
    try:
        return decoding.read_rgb(decoding.Example(path, path, None, view))[0]
    except UserError as error:
        if _extension(path) not in _PHONE_EXTENSIONS:
            raise
        raise UserError('%s If it is whole: export it as JPEG, or install pillow-heif, which '
                        'reads HEIC.' % error)


def add_readers():
    """Lets Pillow read pictures of phones, HEIC, where pillow-heif is installed."""
    with contextlib.suppress(ImportError):
        # Optional: not among the requirements.
        import pillow_heif
        pillow_heif.register_heif_opener()


def _extension(path):
    return os.path.splitext(path)[1].lower()


@contextlib.contextmanager
def _glanced_at(path):
    """Opens a `PIL.Image` of which only the header is looked at."""
    opening.silence()
    with warnings.catch_warnings():
        # As in dataset/sources/decoding.py. What is wrong is said when the file is read.
        warnings.simplefilter('ignore')
        with Image.open(path) as image:
            yield image


def remark_on_pages(path):
    """Returns a sentence on a picture that is not the only page of its file, or None."""
    try:
        num_pages = len(opening.measure(path))
    # As in dataset/sources/decoding.py: Pillow raises nearly anything on damaged files.
    except Exception:
        return None
    return ('%s has %d pages, of which the first is labelled: save the others as files of their '
            'own.' % (path, num_pages)) if num_pages > 1 else None


def by_size(items):
    """Puts items so that pictures of one size follow each other; the order stays within a size.

    Sizes are those of the files' headers: where EXIF turns a picture, or a header cannot be
    read, neighbours may still differ.

    Args:
      items: list of `Item`.

    Returns:
      List of the same.
    """
    groups = collections.OrderedDict()
    for item in items:
        try:
            with _glanced_at(item.path) as image:
                size = image.size
        except Exception:  # as in remark_on_pages
            size = None
        groups.setdefault(size, []).append(item)
    return [item for group in groups.values() for item in group]


def is_video(path):
    """Whether a file is one for `videos.opened`: a video by its name, or an animation.

    A file whose name says nothing is taken for a video where Pillow does not know it.
    """
    if _extension(path) in videos.EXTENSIONS:
        return True
    try:
        with _glanced_at(path) as image:
            return videos.is_animation(image)
    except UnidentifiedImageError:
        return _extension(path) not in PICTURE_EXTENSIONS
    except Exception:  # as in remark_on_pages
        return False
