"""Builds PASCAL VOC 2012 segmentation, alone or with the annotations of SBD.

    python dataset/build_voc2012.py --voc_root VOCdevkit/VOC2012 --output_dir data/voc2012
    python dataset/build_voc2012.py --voc_root VOCdevkit/VOC2012 \
        --sbd_root benchmark_RELEASE/dataset --output_dir data/voc2012_post

Expect in train, validation and test:
    voc (the first): VOC's train, 1,464; val, 1,449; the same files
    post (the second): 7,427 and 825 of the post's 8,252 lines; val, 1,449
    trainaug (--split_source trainaug): the paper's 10,582; val, 1,449; the same files
VOC keeps the labels of its own test set to itself.
"""
import argparse
import collections
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from common.errors import UserError  # noqa: E402
from dataset import building, descriptor, voc  # noqa: E402
from dataset.records import writing  # noqa: E402
from dataset.sources import sbd, splits  # noqa: E402

HOW_TO_GET_VOC = ('Give the VOCdevkit/VOC2012 folder of VOCtrainval_11-May-2012.tar (2 GB) as '
                  '--voc_root; python dataset/download_voc2012.py fetches and unpacks it.')
HOW_TO_GET_SBD = ('Give the benchmark_RELEASE/dataset folder of benchmark.tgz (1.4 GB), with '
                  'train_noval.txt put into it, as --sbd_root; '
                  'python dataset/download_voc2012.py fetches and unpacks both.')

SPLIT_SOURCES = ('post', 'trainaug', 'voc')
# Flags that only the post's split reads, with their defaults.
POST_DEFAULTS = {'validation_fraction': 0.1, 'seed': 0, 'deduplicate': False}

# split: str. aliases: tuple of str, further names of it. ids: list of str.
# source: str, what names the ids, for messages.
Part = collections.namedtuple('Part', ['split', 'aliases', 'ids', 'source'])


def parse_args(argv=None):
    """Returns the parsed flags; argparse exits with usage on a wrong one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--voc_root', required=True,
                        help='folder with JPEGImages, SegmentationClass and ImageSets')
    parser.add_argument('--sbd_root',
                        help='folder with img, cls, train.txt, val.txt and train_noval.txt')
    parser.add_argument('--output_dir', help='where the data set is written')
    parser.add_argument('--split_source', choices=SPLIT_SOURCES,
                        help='where the lists come from (default: post with --sbd_root, '
                             'voc without or with --train_list)')
    parser.add_argument('--train_list',
                        help='list under ImageSets/Segmentation that becomes the split '
                             'train: train, trainval, val, ... (voc only; default train)')
    parser.add_argument('--validation_fraction', type=building.fraction,
                        help='share of the list held out for validation (post only; default %s)'
                        % POST_DEFAULTS['validation_fraction'])
    parser.add_argument('--seed', type=int,
                        help='chooses what is held out (post only; default %s)'
                        % POST_DEFAULTS['seed'])
    parser.add_argument('--deduplicate', action='store_true', default=None,
                        help='drop the second copies of the 19 ids listed twice (post only)')
    parser.add_argument('--allow_other_lists', action='store_true',
                        help='go on with lists that are not the official ones')
    parser.add_argument('--list', action='store_true',
                        help='print "split<tab>id" lines and write nothing, whatever else is given')
    building.add_writing_flags(parser)
    args = parser.parse_args(argv)
    _complete(args, parser)
    return args


def _complete(args, parser):
    """Fills in the defaults that depend on other flags, and refuses what has no effect."""
    if args.split_source is None:
        args.split_source = 'post' if args.sbd_root and not args.train_list else 'voc'
    if not args.output_dir and not args.list:
        parser.error('--output_dir is needed, or --list to write nothing.')
    if args.split_source != 'voc' and not args.sbd_root:
        parser.error('--split_source %s needs --sbd_root.' % args.split_source)
    if args.split_source != 'voc' and args.train_list:
        parser.error('--train_list %s has no effect with --split_source %s; drop one of them.'
                     % (args.train_list, args.split_source))
    if args.seed is not None and not 0 <= args.seed < 2 ** 32:
        parser.error('--seed %d: give 0 to 2**32 - 1.' % args.seed)
    if args.split_source == 'voc' and args.allow_other_lists:
        parser.error('--allow_other_lists has no effect with --split_source voc, which takes '
                     'any list.')
    args.train_list = args.train_list or 'train'
    for flag, default in POST_DEFAULTS.items():
        if getattr(args, flag) is None:
            setattr(args, flag, default)
        elif args.split_source != 'post':
            parser.error('--%s has no effect with --split_source %s.' % (flag, args.split_source))


def check_layout(args):
    """Raises `UserError` naming the first folder that is needed but not there."""
    lists = os.path.join('ImageSets', 'Segmentation')
    _check_folders(args.voc_root, [lists] if args.list else
                   ['JPEGImages', 'SegmentationClass', lists], 'VOC2012', HOW_TO_GET_VOC)
    if args.sbd_root:
        _check_folders(args.sbd_root, [] if args.list else ['cls'], 'dataset', HOW_TO_GET_SBD)


def _check_folders(root, parts, inner, advice):
    for folder in [root] + [os.path.join(root, part) for part in parts]:
        if not os.path.isdir(folder):
            below = os.path.join(root, inner)
            raise UserError('%s is no folder. %s' % (
                folder, 'Did you mean %s?' % below if os.path.isdir(below) else advice))


def choose_parts(args):
    """Decides which images each split holds.

    Args:
      args: flags, as `parse_args` returns them.

    Returns:
      (list of `Part`, list of str to tell the user).

    Raises:
      UserError: a list is missing or, without --allow_other_lists, not the
        official one.
    """
    if args.split_source == 'voc':
        return voc_parts(args.voc_root, args.train_list)
    paths = splits.list_paths(args.voc_root, args.sbd_root)
    not_read = 'sbd_train' if args.split_source == 'post' else 'sbd_train_noval'
    missing = [key for key in sorted(paths) if key != not_read and not os.path.isfile(paths[key])]
    if missing:
        raise UserError('Lists are missing: %s. %s' % (
            ', '.join(paths[key] for key in missing),
            HOW_TO_GET_SBD if missing[0].startswith('sbd') else HOW_TO_GET_VOC))
    derive = splits.post_list if args.split_source == 'post' else splits.train_aug_list
    derived = derive(paths)
    if derived.problems and not args.allow_other_lists:
        raise UserError(
            '%s\nUnpack the official file again (remove the folder that holds it and run '
            'python dataset/download_voc2012.py), or give --allow_other_lists to go on with '
            'these.' % '\n'.join(derived.problems))
    test_ids = splits.read_ids(paths['voc_val'])
    parts = post_parts if args.split_source == 'post' else train_aug_parts
    return (parts(args, derived.ids, test_ids, paths['voc_val']),
            ['Note: ' + problem for problem in derived.problems])


def post_parts(args, ids, test_ids, test_source):
    """Splits the post's list into training and validation. Returns a list of `Part`."""
    if args.deduplicate:
        ids = splits.drop_repeats(ids)
    train, validation = splits.hold_out(ids, args.validation_fraction, args.seed)
    source = "The post's list"
    # Test first: an older validation, which test may still be another name of, goes last.
    return [Part('test', (), test_ids, test_source),
            Part('validation', (), [ids[position] for position in validation], source),
            Part('train', (), [ids[position] for position in train], source)]


def train_aug_parts(args, ids, test_ids, test_source):
    """Trains on the whole list, validates on VOC 2012 val. Returns a list of `Part`."""
    del args
    return [Part('validation', ('test',), test_ids, test_source),
            Part('train', (), ids, 'The train_aug list')]


def voc_parts(voc_root, train_list):
    """Takes the splits from VOC's own lists.

    Args:
      voc_root: str.
      train_list: str, name of the list to train on.

    Returns:
      (list of `Part`, list of str to tell the user).

    Raises:
      UserError: `train_list` was asked for but is absent, or nothing is there.
    """
    folder = os.path.join(voc_root, 'ImageSets', 'Segmentation')
    present = sorted(file_name[:-len('.txt')] for file_name in os.listdir(folder)
                     if file_name.endswith('.txt'))
    train_path = os.path.join(folder, train_list + '.txt')
    notes, chosen = [], [('validation', 'val', ('test',))] if 'val' in present else []
    if train_list in present:
        chosen.append(('train', train_list, ()))
    elif train_list != 'train' or not chosen:
        raise UserError(
            '%s is missing; lists that are there: %s. %s'
            % (train_path, ', '.join(present) or 'none', HOW_TO_GET_VOC))
    else:
        notes.append('%s is missing: no split train, only validation and test. '
                     '--train_list val would train on the val images.' % train_path)
    if 'val' not in present:
        notes.append('%s is missing: no splits validation and test.'
                     % os.path.join(folder, 'val.txt'))
    parts = []
    for split, name, aliases in chosen:
        path = os.path.join(folder, name + '.txt')
        parts.append(Part(split, aliases, splits.read_ids(path), path))
        notes += _notes_on_list(name, len(parts[-1].ids))
    if train_list in ('val', 'trainval'):
        notes.append('Note: train contains the validation images; scores on them measure memory.')
    return parts, splits.drop_repeats(notes)


def _notes_on_list(name, count):
    expected = voc.SPLIT_SIZES.get(name, count)
    return [] if count == expected else [
        'Note: %s.txt lists %d images; the published one lists %d.' % (name, count, expected)]


def find_examples(part, voc_root, sbd_root):
    """Finds image and mask of every id; where VOC and SBD have one, VOC's is taken.

    VOC's masks are the benchmark's own and mark object borders as void; SBD's have
    no void.

    Args:
      part: `Part`.
      voc_root: str.
      sbd_root: str or None.

    Returns:
      List of `writing.Example` in the order of the ids.

    Raises:
      UserError: files are not there.
    """
    examples, missing = [], []
    for image_id in part.ids:
        images = [os.path.join(voc_root, 'JPEGImages', image_id + '.jpg')]
        masks = [os.path.join(voc_root, 'SegmentationClass', image_id + '.png')]
        if sbd_root:
            images.append(os.path.join(sbd_root, 'img', image_id + '.jpg'))
            masks.append(os.path.join(sbd_root, 'cls', image_id + sbd.SUFFIX))
        found = [next(filter(os.path.isfile, paths), None) for paths in (images, masks)]
        missing += ['%s names %s, but %s is missing' % (part.source, image_id, ' or '.join(paths))
                    for paths, path in zip((images, masks), found) if path is None]
        examples.append(writing.Example(image_id + '.jpg', *found))
    if missing:
        raise UserError('%s%s. %s%s' % (
            missing[0],
            ' (and %d files more)' % (len(missing) - 1) if len(missing) > 1 else '',
            HOW_TO_GET_VOC, ' ' + HOW_TO_GET_SBD if sbd_root else ''))
    return examples


def list_ids(parts):
    """Prints each split's ids as "split<tab>id" lines: cut -f2, grep ^train."""
    lines = ['%s\t%s\n' % (split, image_id) for part in parts
             for split in (part.split,) + part.aliases for image_id in part.ids]
    try:
        sys.stdout.write(''.join(lines))
        sys.stdout.flush()
    except BrokenPipeError:
        # `| head` has read enough; the interpreter must not flush into the pipe at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def build(args):
    """Writes or lists the splits that the flags describe. Raises as `write_split`."""
    check_layout(args)
    parts, notes = choose_parts(args)
    for note in notes:
        print(note, file=sys.stderr if args.list else sys.stdout)
    if args.list:
        list_ids(parts)
        return
    info = descriptor.create('PASCAL VOC 2012', voc.CLASS_NAMES, voc.IGNORE_LABEL)
    examples = [find_examples(part, args.voc_root, args.sbd_root) for part in parts]
    for part, pairs in zip(parts, examples):
        from_sbd = sum(pair.mask.endswith(sbd.SUFFIX) for pair in pairs)
        if args.sbd_root:
            print('%s: %d masks of VOC, %d of SBD.'
                  % (part.split, len(pairs) - from_sbd, from_sbd))
        building.write(pairs, info, args, part.split, part.aliases,
                       read_mask=sbd.read_mask if from_sbd else None)
    building.print_next(args.output_dir)


def main(argv=None):
    building.run(build, parse_args(argv))


if __name__ == '__main__':
    main()
