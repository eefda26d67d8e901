"""Which image belongs to which mask: by file name, or as a list file says."""
import os
import re

from common import files
from common.errors import UserError
from dataset.sources import decoding, file_names
from dataset.sources.file_names import composed, relative

# Examples that a message shows of files that have no partner.
_SHOWN = 5
# What the columns of a list are called.
_IMAGE_WORDS = ('image', 'images', 'img', 'photo')
_MASK_WORDS = ('mask', 'masks', 'label', 'labels', 'annotation', 'annotations', 'segmentation')


def find(images_dir, masks_dir, list_file=None, image_suffix='', mask_suffix='',
         loose_names=False):
    """Pairs images and masks as the flags of build_folder.py say.

    Args:
      images_dir, masks_dir: str, folders; None where a two-column list does without.
      list_file: str, a text file with one stem a line, or with two columns, image
        and mask (see `read_list`); None to take all that the folders hold.
      image_suffix, mask_suffix: str, what stems end with beyond the part they share.
      loose_names: bool, whether to match as `file_names.match_loosely` does.

    Returns:
      List of `decoding.Example`, in the list's order or sorted by stem.

    Raises:
      UserError: a file is missing, has no partner, is its own mask, or two are in question.
    """
    rows = []
    if list_file:
        rows = read_list(list_file, images_dir if masks_dir else None, image_suffix)
    if rows and len(rows[0]) == 2:
        if image_suffix or mask_suffix or loose_names:
            raise UserError(
                '%s has two columns, so nothing is matched by stem: leave out --image_suffix, '
                '--mask_suffix and --loose_names.' % list_file)
        return _check_pairs(_listed_pairs(rows, images_dir, masks_dir, list_file), list_file)
    if images_dir is None or masks_dir is None:
        raise UserError(
            '--images and --masks are needed%s.' % (
                ', as %s has one column' % list_file if list_file else ''))
    sides = file_names.both_sides(images_dir, masks_dir, image_suffix, mask_suffix)
    images, masks = map(_only_paths, sides)
    if loose_names:
        image_of = file_names.match_loosely(images, masks)
        masks = {image_of[stem]: path for stem, path in masks.items()}
    if rows:
        stems = _listed_stems([row[0] for row in rows], images, masks, list_file, image_suffix,
                              mask_suffix)
    else:
        _check_partners(images, masks, images_dir, masks_dir, image_suffix, mask_suffix)
        stems = sorted(images, key=lambda stem: file_names.raw_stem(
            relative(images[stem], images_dir), image_suffix))
    return _check_pairs(
        [decoding.Example(relative(images[stem], images_dir), images[stem], masks[stem])
         for stem in stems], list_file)


def _only_paths(side):
    """Returns a dict from stem to path of a `file_names.Side`, and prints what is left out.

    Raises:
      UserError: there is none, or two files have one stem.
    """
    for same in side.paths.values():
        if len(same) > 1:
            raise UserError(
                '%s and %s share a stem, so their partner is ambiguous; keep one of them.'
                % tuple(same[:2]))
    left_out = []
    if side.without_suffix:
        left_out.append('%d files whose stem does not end with %r'
                        % (side.without_suffix, side.suffix))
    if side.no_images:
        left_out.append(file_names.describe_left_out(side.no_images))
    if not side.paths:
        others = ([' whose stem ends with %r, but %d others' % (side.suffix, side.without_suffix)]
                  if side.without_suffix else [''])
        raise UserError('%s %s holds no file%s.' % (
            side.flag, side.folder, ', and '.join(others + left_out[len(others[0]) > 0:])))
    for text in left_out:
        print('%s %s: %s are left out.' % (side.flag, side.folder, text))
    return {stem: same[0] for stem, same in side.paths.items()}


def _check_partners(images, masks, images_dir, masks_dir, image_suffix, mask_suffix):
    lonely = _lonely_lines(
        [relative(images[stem], images_dir) for stem in sorted(set(images) - set(masks))],
        [relative(masks[stem], masks_dir) for stem in sorted(set(masks) - set(images))])
    if lonely:
        raise UserError(
            'Images in %s and masks in %s are matched by path and file name without '
            'extension:\n%s\n%s'
            % (images_dir, masks_dir, '\n'.join(lonely),
               hint(images, masks, image_suffix, mask_suffix)
               or 'Rename, add or remove those files.'))


def _lonely_lines(without_mask, without_image):
    return ['  %d %s: %s%s' % (len(names), what, ', '.join(names[:_SHOWN]),
                               ', ...' if len(names) > _SHOWN else '')
            for what, names in (('images without mask', without_mask),
                                ('masks without image', without_image)) if names]


def hint(images, masks, image_suffix='', mask_suffix=''):
    """Returns advice on stems that do not match: what makes all of one side match, or None.

    Args:
      images, masks: dicts from stem to path, not empty.
      image_suffix, mask_suffix: str, as they were given.
    """
    for flag, given, short, long in (('--mask_suffix', mask_suffix, images, masks),
                                     ('--image_suffix', image_suffix, masks, images)):
        what = 'images' if flag == '--mask_suffix' else 'masks'
        first = min(short)
        endings = {stem[len(first):] for stem in long if stem.startswith(first)} - {''}
        fitting = [ending for ending in sorted(endings)
                   if all(stem + ending in long for stem in short)]
        if fitting and not given:
            kinds = sorted(_kinds(short, long).union(fitting))
            if len(kinds) > 1:
                return _advice_on_several(kinds, flag)
            return ('Give %s %s: with it all %d %s have a partner.'
                    % (flag, fitting[0], len(short), what))
    return _loose_hint(images, masks)


def _advice_on_several(kinds, flag):
    return ('There are several %s, whose names end with: %s. Where one kind holds all classes, '
            'choose it with %s%s. Where each holds one class or object, merge them to one mask of '
            'class ids per image first.'
            % ('masks to one image' if flag == '--mask_suffix' else 'images to one mask',
               ', '.join(kind or 'nothing' for kind in kinds[:_SHOWN]), flag,
               '' if kinds[0] else ', or the plain one with a --list_file of stems'))


def _kinds(short, long):
    """Returns the set of endings that stems of `long` have beyond those of `short`."""
    kinds = set()
    for stem in long:
        # `a_b_mask` is of a_b rather than of a.
        for end in range(len(stem), 0, -1):
            if stem[:end] in short and not stem[end:end + 1].isalnum():
                kinds.add(stem[end:])
                break
    return kinds


def _loose_hint(images, masks):
    try:
        image_of = file_names.match_loosely(images, masks)
    except UserError:
        return None
    if len(images) < 2 or set(image_of.values()) != set(images):
        return None
    mask, image = min(image_of.items(), key=lambda pair: pair[::-1])
    return ('Give --loose_names: by the words and numbers that tell their names apart, all %d '
            'images have a partner, as %s and %s.'
            % (len(images), os.path.basename(images[image]), os.path.basename(masks[mask])))


def read_list(path, images_dir=None, image_suffix=''):
    """Reads a list file: one stem a line, or image and mask in two columns.

    Columns are separated by a tab, or by a comma where each line holds one, or by spaces; blank
    lines and lines that start with '#' are skipped. A line that names an image is one name,
    though it starts with '#' or holds spaces or commas.

    Args:
      path: str.
      images_dir, image_suffix: str, where a line's name is looked for, or None.

    Returns:
      List of lists of str, all of one or all of two.

    Raises:
      UserError: the file cannot be read, is empty, or mixes both kinds.
    """
    lines = [(number, line.strip()) for number, line
             in enumerate(files.read_text(path, '--list_file').split('\n'), 1)]
    known = ()
    if images_dir and os.path.isdir(images_dir) and any(
            ' ' in line or ',' in line or line.startswith('#') for _, line in lines):
        known = file_names.group('--images', images_dir, image_suffix).paths
    lines = [(number, line) for number, line in lines
             if line and (not line.startswith('#') or _stem_in(line, known, image_suffix))]
    if any((' ' in line or ',' in line) and _stem_in(line, known, image_suffix)
           for _, line in lines):
        return [[line] for _, line in lines]
    separator = ('\t' if any('\t' in line for _, line in lines) else
                 ',' if all(_has_comma_between(line) for _, line in lines) else None)
    rows = []
    for number, line in lines:
        row = [cell.strip() for cell in line.split(separator)]
        if len(row) > 2 or rows and len(row) != len(rows[0]):
            raise UserError(
                '%s, line %d: %r has %d columns%s; give one stem a line, or image and mask in '
                'each line (with a tab between them where names hold spaces).'
                % (path, number, line, len(row),
                   ' but the lines before have %d' % len(rows[0]) if rows else ''))
        rows.append(row)
    if rows and len(rows[0]) == 2 and _is_header(rows[0]) and not os.path.isfile(
            os.path.join(images_dir or os.path.dirname(path), rows[0][0])):
        del rows[0]
    if not rows:
        raise UserError('--list_file %s names no image.' % path)
    return rows


def _is_header(row):
    return [re.sub(r'[^a-z]|files?|paths?|names?', '', cell.lower()) for cell in row] in [
        [image, mask] for image in _IMAGE_WORDS for mask in _MASK_WORDS]


def _has_comma_between(line):
    """Whether the only comma of a line is between columns, and not within one of two names."""
    return line.count(',') == 1 and (len(line.split()) != 2 or ', ' in line or ' ,' in line)


def _stem_in(name, stems, suffix):
    """Returns which of `stems` a listed name means: it may have extension and suffix, or None."""
    name = composed(os.path.normpath(name).replace(os.sep, '/'))
    for stem in (name, os.path.splitext(name)[0]):
        for candidate in (stem, stem[:len(stem) - len(suffix)] if stem.endswith(suffix) else stem):
            if candidate in stems:
                return candidate
    return None


def _listed_stems(names, images, masks, list_file, image_suffix, mask_suffix):
    found = [(name, _stem_in(name, images, image_suffix)) for name in names]
    lonely = _lonely_lines(
        [name for name, stem in found if (stem or _stem_in(name, masks, '')) not in masks],
        [name for name, stem in found if stem is None])
    if lonely:
        raise UserError(
            'Of the %d names in %s some lack a file:\n%s\n%s'
            % (len(names), list_file, '\n'.join(lonely),
               not set(images) & set(masks) and hint(images, masks, image_suffix, mask_suffix)
               or 'A name is the path under --images and --masks without extension.'))
    return [stem for _, stem in found]


def _listed_pairs(rows, images_dir, masks_dir, list_file):
    here = os.path.dirname(os.path.abspath(list_file))
    images = [os.path.join(images_dir or here, row[0]) for row in rows]
    masks = [os.path.join(masks_dir or here, row[1]) for row in rows]
    missing = [path for path in images + masks if not os.path.isfile(path)]
    if missing:
        raise UserError(
            '%d of the %d files that %s names are missing: %s%s. Paths are relative to --images '
            'and --masks, or without them to the folder of the list.%s'
            % (len(missing), 2 * len(rows), list_file, ', '.join(missing[:_SHOWN]),
               ', ...' if len(missing) > _SHOWN else '', file_names.advice_on_links(missing)))
    # Names in the records must not lead out of a folder that predictions are written to.
    common = os.path.commonpath([os.path.abspath(os.path.dirname(path)) for path in images])
    return [decoding.Example(relative(os.path.abspath(image), common), image, mask)
            for image, mask in zip(images, masks)]


def _check_pairs(examples, list_file):
    """Returns `examples`; predictions are stored by stem, so each stem must be there once.

    Raises:
      UserError: two share a stem, or an image is its own mask.
    """
    path_of = {}
    for example in examples:
        stem = os.path.splitext(example.filename)[0]
        if stem in path_of:
            raise UserError('%s names %s and %s, which share a stem; keep one.'
                            % (list_file, path_of[stem], example.image))
        path_of[stem] = example.image
        if os.path.samefile(example.image, example.mask):
            raise UserError('%s is image and mask at once: %s. Give each image a mask of its own.'
                            % (example.image, 'both are one file'
                               if example.image == example.mask else
                               '%s is the same file' % example.mask))
    return examples
