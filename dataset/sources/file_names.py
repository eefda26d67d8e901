"""The files under a folder, and what their names have in common.

A stem is the path in the folder with '/', without extension and suffix, in Unicode's composed
form: a Mac writes the same name decomposed.
"""
import collections
import os
import re
import unicodedata
import warnings

from PIL import Image, UnidentifiedImageError

from common.errors import UserError

HOW_TO_GET_CONTENT = ('Fetch what it stands for (git annex get, dvc pull or dvc checkout, or '
                      'mount its disk), or remove it.')

# paths: OrderedDict from stem to list of paths. without_suffix: int, images left out because
# their stem does not end with `suffix`. no_images: Counter of the extensions of other files.
Side = collections.namedtuple(
    'Side', ['flag', 'folder', 'suffix', 'paths', 'without_suffix', 'no_images'])


def relative(path, folder):
    """Returns the path in a folder, with '/'."""
    return os.path.relpath(path, folder).replace(os.sep, '/')


def raw_stem(name, suffix=''):
    """Returns a relative path without extension and `suffix`, as it is written."""
    stem = os.path.splitext(name)[0]
    return stem[:len(stem) - len(suffix)]


def composed(name):
    """Returns a name in the form in which stems are compared."""
    return unicodedata.normalize('NFC', name)


def both_sides(images_dir, masks_dir, image_suffix='', mask_suffix=''):
    """Finds the images and masks of two folders, subfolders included; what is hidden is left out.

    Where one folder lies in the other, its files are of its side alone. In one folder for both,
    a file belongs to the side whose suffix it has, the longer one where it has both.

    Returns:
      (`Side` of images, `Side` of masks).

    Raises:
      UserError: no such folder, or nothing tells images and masks in one folder apart.
    """
    for flag, folder in (('--images', images_dir), ('--masks', masks_dir)):
        if not os.path.isdir(folder):
            raise UserError('%s %s is no folder.' % (flag, folder))
    real = [os.path.realpath(folder) for folder in (images_dir, masks_dir)]
    is_one = real[0] == real[1]
    if is_one and image_suffix == mask_suffix:
        raise UserError(
            '--images and --masks are one folder, %s, so each file would be its own mask. %s'
            % (images_dir, _advice_on_one_folder(group('--images', images_dir).paths)))
    sides = []
    for flag, folder, suffix, other, other_folder in (
            ('--images', images_dir, image_suffix, mask_suffix, real[1]),
            ('--masks', masks_dir, mask_suffix, image_suffix, real[0])):
        sides.append(group(flag, folder, suffix, None if is_one else other_folder,
                           other if is_one and len(other) > len(suffix) else None))
        if is_one:
            # They are of the other side.
            sides[-1] = sides[-1]._replace(without_suffix=0)
    return sides


def group(flag, folder, suffix='', skipped_folder=None, other_suffix=None):
    """Finds the images of a folder by stem; returns `Side`.

    Args:
      flag: str, what gave the folder.
      folder, suffix: str.
      skipped_folder: real path of a folder that is not entered, or None.
      other_suffix: str, ending of stems that are left out, or None.
    """
    side = Side(flag, folder, suffix, collections.OrderedDict(), 0, collections.Counter())
    without_suffix = 0
    for path in walk(folder, skipped_folder):
        if not _is_image(path):
            side.no_images[os.path.splitext(path)[1].lower()] += 1
            continue
        stem = composed(raw_stem(relative(path, folder)))
        if not stem.endswith(composed(suffix)) or other_suffix and stem.endswith(other_suffix):
            without_suffix += 1
            continue
        side.paths.setdefault(stem[:len(stem) - len(composed(suffix))], []).append(path)
    return side._replace(without_suffix=without_suffix)


def advice_on_links(missing):
    """Returns a sentence with a space before it where missing paths are links, else ''."""
    links = [path for path in missing if os.path.islink(path)]
    return ' %s is a link to %s, which is not there. %s' % (
        links[0], os.readlink(links[0]), HOW_TO_GET_CONTENT) if links else ''


def describe_left_out(no_images):
    """Returns '3 files that are no images (2 .json, 1 .txt)' of a Counter."""
    kinds = ', '.join('%d %s' % (count, ascii(kind)[1:-1] or 'without extension')
                      for kind, count in sorted(no_images.items()))
    total = sum(no_images.values())
    return '%d files that are no images (%s)' % (total, kinds)


def walk(folder, skipped_folder=None):
    """Yields the files under `folder` in order, hidden ones left out; raises `UserError`."""
    def fail(error):
        raise UserError('%s cannot be read: %s' % (error.filename, error))

    # The real paths of the folders above each: a link that leads back is not followed.
    above = {folder: frozenset([os.path.realpath(folder)])}
    for parent, folders, file_names in os.walk(folder, onerror=fail, followlinks=True):
        above_here, kept = above.pop(parent), []
        for name in sorted(folders):
            path = os.path.join(parent, name)
            real = os.path.realpath(path)
            if not name.startswith('.') and real not in above_here and real != skipped_folder:
                above[path] = above_here | {real}
                kept.append(name)
        folders[:] = kept
        for name in sorted(file_names):
            path = os.path.join(parent, name)
            if name.startswith('.'):
                continue
            if os.path.isfile(path):
                yield path
            elif os.path.islink(path):
                raise UserError(advice_on_links([path]).strip())


def is_image_extension(extension):
    """Whether Pillow opens files of an extension, '.jpg' in lower case."""
    return Image.registered_extensions().get(extension) in Image.OPEN


def _is_image(path):
    """Whether a file is one by its extension or, where Pillow has no such, by its content."""
    if is_image_extension(os.path.splitext(path)[1].lower()):
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with Image.open(path):
                return True
    except UnidentifiedImageError:
        return False
    # Pillow's readers raise nearly anything. It began like an image: decoding will say more.
    except Exception:
        return True


def _advice_on_one_folder(paths):
    """Says how to tell images and masks in one folder apart, for its dict from stem to paths."""
    first = min(paths, default='')
    for ending in sorted({stem[len(first):] for stem in paths if stem.startswith(first)} - {''}):
        long = {stem for stem in paths if stem.endswith(ending)}
        if long == {stem + ending for stem in paths if stem not in long}:
            is_image = _photo_likeness(paths[first + ending][0]) > _photo_likeness(paths[first][0])
            return ('Give --%s_suffix %s: with it all %d images have a mask.'
                    % ('image' if is_image else 'mask', ending, len(long)))
    return ('Give another folder, or --mask_suffix where the names of masks end alike, or a '
            '--list_file with image and mask in two columns.')


def _photo_likeness(path):
    """Returns 2 of a JPEG, which is no mask, 1 of colours, else 0."""
    try:
        with Image.open(path) as image:
            return 2 if image.format in ('JPEG', 'MPO') else int(image.mode in ('RGB', 'RGBA'))
    # As in _is_image; the advice is as good without.
    except Exception:
        return 0


def telling_words(stems):
    """Finds the words and numbers of each name that not all names have.

    Letter case and zeros before numbers do not count: of um_000007 and um_000012 that is (7)
    and (12). Names of which there is only one keep all.

    Args:
      stems: iterable of different str.

    Returns:
      Dict from each stem to a tuple of str.
    """
    words = {stem: [word.lstrip('0') or '0' if word.isdigit() else word
                    for word in re.findall(r'\d+|[^\W\d_]+', stem.casefold())]
             for stem in stems}
    common = collections.Counter()
    if len(words) > 1:
        counts = [collections.Counter(parts) for parts in words.values()]
        common = counts[0]
        for count in counts[1:]:
            common = common & count
    telling = {}
    for stem, parts in words.items():
        left, kept = common.copy(), []
        for word in parts:
            if left[word]:
                left[word] -= 1
            else:
                kept.append(word)
        telling[stem] = tuple(kept)
    return telling


def match_loosely(images, masks):
    """Finds for masks the stems of their images by `telling_words`.

    Args:
      images, masks: iterables of stems.

    Returns:
      Dict from stem of a mask to that of its image, or to its own where no image fits.

    Raises:
      UserError: two names of one side do not differ by their words, or two masks fit one image.
    """
    by_words = []
    for stems in (images, masks):
        telling, stem_of = telling_words(stems), {}
        for stem, words in sorted(telling.items()):
            if words in stem_of:
                raise UserError('--loose_names: by their words and numbers %s and %s do not '
                                'differ.' % (stem_of[words], stem))
            stem_of[words] = stem
        by_words.append(stem_of)
    image_of, mask_of = {}, {}
    for words, stem in sorted(by_words[1].items()):
        image_of[stem] = by_words[0].get(words, stem)
        if image_of[stem] in mask_of:
            raise UserError('--loose_names: the masks %s and %s both fit the image %s.'
                            % (mask_of[image_of[stem]], stem, image_of[stem]))
        mask_of[image_of[stem]] = stem
    return image_of
