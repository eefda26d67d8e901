"""Builds one split from a folder of images and a folder of masks.

    python dataset/build_folder.py --images photos --masks masks \
        --classes classes.txt --split train --output_dir data/mine

Call it once per split. Image and mask belong together by file stem; classes.txt
holds one name per line, the first is class 0.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from dataset import descriptor, records, voc  # noqa: E402  (needs the project's root)


def parse_args(argv=None):
    """Returns the parsed flags; argparse exits with usage on a wrong one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', required=True, help='folder of images')
    parser.add_argument('--masks', required=True,
                        help='folder of one-channel masks whose values are class ids')
    parser.add_argument('--classes', required=True,
                        help='text file, one class name per line, class 0 first')
    parser.add_argument('--split', required=True,
                        help='name of the split to write: train, validation, test')
    parser.add_argument('--output_dir', required=True, help='where the data set is written')
    parser.add_argument('--ignore_label', type=int, default=voc.IGNORE_LABEL,
                        help='mask value of pixels without class (default %(default)s)')
    parser.add_argument('--num_shards', type=int, default=4,
                        help='number of files to spread the split over (default %(default)s)')
    parser.add_argument('--name', default=None,
                        help='name of the data set (default: that of --output_dir)')
    return parser.parse_args(argv)


def read_class_names(path):
    """Reads class names, one per line; blank lines and `#` comments are skipped.

    Args:
      path: str.

    Returns:
      List of str, position is class id.

    Raises:
      DatasetError: the file cannot be read or names no class.
    """
    try:
        with open(path, encoding='utf-8-sig') as classes_file:
            names = [line.split('#')[0].strip() for line in classes_file]
    except (OSError, UnicodeDecodeError) as error:
        raise descriptor.DatasetError('--classes %s cannot be read: %s' % (path, error))
    names = [name for name in names if name]
    if not names:
        raise descriptor.DatasetError(
            '--classes %s names no class; write one name per line.' % path)
    return names


def files_by_stem(folder, flag):
    """Maps file stems to paths, hidden files left out.

    Args:
      folder: str.
      flag: str, the flag that gave the folder, for messages.

    Returns:
      Dict from stem to path.

    Raises:
      DatasetError: no such folder, an empty one, or two files of one stem.
    """
    if not os.path.isdir(folder):
        raise descriptor.DatasetError('%s %s is no folder.' % (flag, folder))
    paths = {}
    for file_name in sorted(os.listdir(folder)):
        path = os.path.join(folder, file_name)
        stem = os.path.splitext(file_name)[0]
        # Desktop litter: neither .DS_Store nor Thumbs.db is meant to be an image.
        if file_name.startswith('.') or file_name == 'Thumbs.db' or not os.path.isfile(path):
            continue
        if stem in paths:
            raise descriptor.DatasetError(
                '%s and %s share a stem, so their partner is ambiguous; keep one of them.'
                % (paths[stem], path))
        paths[stem] = path
    if not paths:
        raise descriptor.DatasetError('%s %s holds no file.' % (flag, folder))
    return paths


def match(images_dir, masks_dir):
    """Pairs images and masks by file stem.

    Args:
      images_dir: str.
      masks_dir: str.

    Returns:
      List of `records.Example`, sorted by stem.

    Raises:
      DatasetError: a file has no partner, or as `files_by_stem`.
    """
    images, masks = files_by_stem(images_dir, '--images'), files_by_stem(masks_dir, '--masks')
    lonely = []
    for what, alone in (('images without mask', sorted(set(images) - set(masks))),
                        ('masks without image', sorted(set(masks) - set(images)))):
        if alone:
            lonely.append('  %d %s: %s%s' % (len(alone), what, ', '.join(alone[:5]),
                                             ', ...' if len(alone) > 5 else ''))
    if lonely:
        raise descriptor.DatasetError(
            'Images in %s and masks in %s are matched by file name without extension:\n%s\n'
            'Rename, add or remove those files.' % (images_dir, masks_dir, '\n'.join(lonely)))
    return [records.Example(os.path.basename(images[stem]), images[stem], masks[stem])
            for stem in sorted(images)]


def build(args):
    """Writes the split that the flags describe. Returns None; raises as `write_split`."""
    name = args.name or os.path.basename(os.path.abspath(args.output_dir))
    info = descriptor.create(name, read_class_names(args.classes), args.ignore_label)
    examples = match(args.images, args.masks)
    summary = records.write_split(
        examples, len(examples), info, args.output_dir, args.split, args.num_shards)
    print(records.describe(summary, info, args.split))
    print('Next: python train.py --dataset_dir %s' % args.output_dir)


def main(argv=None):
    try:
        build(parse_args(argv))
    except (descriptor.DatasetError, records.InvalidExampleError) as error:
        raise SystemExit(str(error))


if __name__ == '__main__':
    main()
