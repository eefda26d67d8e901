"""Which image belongs to which mask: by file name, or as a list file says."""
import collections
import os

from common.errors import UserError
from dataset.sources import decoding

# Examples that a message shows of files that have no partner.
_SHOWN = 5


def find(images_dir, masks_dir, list_file=None, image_suffix='', mask_suffix=''):
    """Pairs images and masks as the flags of build_folder.py say.

    Args:
      images_dir, masks_dir: str, folders; None where a two-column list does without.
      list_file: str, a text file with one stem a line, or with two columns, image
        and mask (see `read_list`); None to take all that the folders hold.
      image_suffix, mask_suffix: str, what stems end with beyond the part they share.

    Returns:
      List of `decoding.Example`, in the list's order or sorted by stem.

    Raises:
      UserError: a file is missing, has no partner, or two are in question.
    """
    rows = read_list(list_file) if list_file else []
    if rows and len(rows[0]) == 2:
        if image_suffix or mask_suffix:
            raise UserError(
                '%s has two columns, so nothing is matched by stem: leave out --image_suffix '
                'and --mask_suffix.' % list_file)
        return _check_unique(_listed_pairs(rows, images_dir, masks_dir, list_file), list_file)
    if images_dir is None or masks_dir is None:
        raise UserError(
            '--images and --masks are needed%s.' % (
                ', as %s has one column' % list_file if list_file else ''))
    images = files_by_stem(images_dir, '--images', image_suffix)
    masks = files_by_stem(masks_dir, '--masks', mask_suffix)
    if rows:
        stems = _listed_stems([row[0] for row in rows], images, masks, list_file)
    else:
        _check_partners(images, masks, images_dir, masks_dir, image_suffix, mask_suffix)
        stems = sorted(images)
    return _check_unique(
        [decoding.Example(_relative(images[stem], images_dir), images[stem], masks[stem])
         for stem in stems], list_file)


def _relative(path, folder):
    return os.path.relpath(path, folder).replace(os.sep, '/')


def group_by_stem(folder, suffix=''):
    """Finds the files of each stem, subfolders included, hidden files and folders left out.

    A stem is the path in `folder` with '/' and without extension and `suffix`; files without
    that suffix are left out. Raises `UserError` where a folder cannot be read.

    Returns:
      (dict from stem to list of paths, in order; number of files left out).
    """
    paths, left_out = collections.OrderedDict(), 0
    for path in _walk(folder):
        stem = os.path.splitext(_relative(path, folder))[0]
        if stem.endswith(suffix):
            paths.setdefault(stem[:len(stem) - len(suffix)], []).append(path)
        else:
            left_out += 1
    return paths, left_out


def files_by_stem(folder, flag, suffix=''):
    """Maps stems to paths as `group_by_stem` does, and is strict.

    Raises:
      UserError: no such folder, an empty one, or two files of one stem; `flag` gave it.
    """
    if not os.path.isdir(folder):
        raise UserError('%s %s is no folder.' % (flag, folder))
    paths, left_out = group_by_stem(folder, suffix)
    for same in paths.values():
        if len(same) > 1:
            raise UserError(
                '%s and %s share a stem, so their partner is ambiguous; keep one of them.'
                % tuple(same[:2]))
    if not paths:
        raise UserError('%s %s holds no file%s.' % (
            flag, folder, ' whose stem ends with %r, but %d others' % (suffix, left_out)
            if left_out else ''))
    if left_out:
        print('%s %s: %d files whose stem does not end with %r are left out.'
              % (flag, folder, left_out, suffix))
    return {stem: same[0] for stem, same in paths.items()}


def _walk(folder):
    """Yields the files under `folder` in order, desktop litter and hidden ones left out."""
    def fail(error):
        raise UserError('%s cannot be read: %s' % (error.filename, error))

    for parent, folders, file_names in os.walk(folder, onerror=fail, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for file_name in sorted(file_names):
            path = os.path.join(parent, file_name)
            # Neither .DS_Store nor Thumbs.db is meant to be an image.
            if (not file_name.startswith('.') and file_name != 'Thumbs.db'
                    and os.path.isfile(path)):
                yield path


def _check_partners(images, masks, images_dir, masks_dir, image_suffix, mask_suffix):
    lonely = _lonely_lines(sorted(set(images) - set(masks)), sorted(set(masks) - set(images)))
    if lonely:
        raise UserError(
            'Images in %s and masks in %s are matched by path and file name without '
            'extension:\n%s\n%s'
            % (images_dir, masks_dir, '\n'.join(lonely),
               _suffix_hint(images, masks, image_suffix, mask_suffix)
               or 'Rename, add or remove those files.'))


def _lonely_lines(without_mask, without_image):
    return ['  %d %s: %s%s' % (len(stems), what, ', '.join(stems[:_SHOWN]),
                               ', ...' if len(stems) > _SHOWN else '')
            for what, stems in (('images without mask', without_mask),
                                ('masks without image', without_image)) if stems]


def _suffix_hint(images, masks, image_suffix, mask_suffix):
    """Returns advice when one suffix makes all of one side match, or None."""
    for flag, given, short, long in (('--mask_suffix', mask_suffix, images, masks),
                                     ('--image_suffix', image_suffix, masks, images)):
        first = min(short)
        endings = {stem[len(first):] for stem in long if stem.startswith(first)} - {''}
        for ending in sorted(endings) if not given else []:
            if all(stem + ending in long for stem in short):
                return ('Give %s %s: with it all %d %s have a partner.'
                        % (flag, ending, len(short),
                           'images' if flag == '--mask_suffix' else 'masks'))
    return None


def read_list(path):
    """Reads a list file: one stem a line, or image and mask in two columns.

    Columns are separated by a tab, or by spaces in a file without tabs; blank lines
    and lines that start with '#' are skipped.

    Returns:
      List of lists of str, all of one or all of two.

    Raises:
      UserError: the file cannot be read, is empty, or mixes both kinds.
    """
    try:
        with open(path, encoding='utf-8-sig') as list_file:
            lines = [line.strip() for line in list_file]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError('--list_file %s cannot be read: %s' % (path, error))
    separator = '\t' if any('\t' in line for line in lines) else None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line or line.startswith('#'):
            continue
        row = [cell.strip() for cell in line.split(separator)]
        if len(row) > 2 or rows and len(row) != len(rows[0]):
            raise UserError(
                '%s, line %d: %r has %d columns%s; give one stem a line, or image and mask in '
                'each line (with a tab between them where names hold spaces).'
                % (path, number, line, len(row),
                   ' but the lines before have %d' % len(rows[0]) if rows else ''))
        rows.append(row)
    if not rows:
        raise UserError('--list_file %s names no image.' % path)
    return rows


def _listed_stems(names, images, masks, list_file):
    # A listed name may carry its image's extension.
    stems = [name if name in images else os.path.splitext(name)[0] for name in names]
    lonely = _lonely_lines([stem for stem in stems if stem not in masks],
                           [stem for stem in stems if stem not in images])
    if lonely:
        raise UserError(
            'Of the %d names in %s some lack a file:\n%s\nA name is the path under --images and '
            '--masks without extension.' % (len(stems), list_file, '\n'.join(lonely)))
    return stems


def _listed_pairs(rows, images_dir, masks_dir, list_file):
    here = os.path.dirname(os.path.abspath(list_file))
    images = [os.path.join(images_dir or here, row[0]) for row in rows]
    masks = [os.path.join(masks_dir or here, row[1]) for row in rows]
    missing = [path for path in images + masks if not os.path.isfile(path)]
    if missing:
        raise UserError(
            '%d of the %d files that %s names are missing: %s%s. Paths are relative to --images '
            'and --masks, or without them to the folder of the list.'
            % (len(missing), 2 * len(rows), list_file, ', '.join(missing[:_SHOWN]),
               ', ...' if len(missing) > _SHOWN else ''))
    # Names in the records must not lead out of a folder that predictions are written to.
    common = os.path.commonpath([os.path.abspath(os.path.dirname(path)) for path in images])
    return [decoding.Example(_relative(os.path.abspath(image), common), image, mask)
            for image, mask in zip(images, masks)]


def _check_unique(examples, list_file):
    """Returns `examples`; predictions are stored by stem, so each stem must be there once."""
    path_of = {}
    for example in examples:
        stem = os.path.splitext(example.filename)[0]
        if stem in path_of:
            raise UserError('%s names %s and %s, which share a stem; keep one.'
                            % (list_file, path_of[stem], example.image))
        path_of[stem] = example.image
    return examples
