"""PASCAL VOC 2012, alone or with the annotations of SBD; see `contract`."""
import collections
import os
import sys

from common import flag_types
from common.errors import UserError
from dataset import voc
from dataset.sources import (contract, decoding, file_names, sbd, splits,
                             voc_layouts)

HOW_TO_GET_VOC = ('Give the VOCdevkit/VOC2012 folder of VOCtrainval_11-May-2012.tar (2 GB) as '
                  '--voc_root; dataset/download_voc2012.py fetches and unpacks it.')
HOW_TO_GET_SBD = ('Give the benchmark_RELEASE/dataset folder of benchmark.tgz (1.4 GB), with '
                  'train_noval.txt put into it, as --sbd_root; '
                  'dataset/download_voc2012.py fetches and unpacks both.')

SPLIT_SOURCES = ('post', 'trainaug', 'voc')
# Flags that only the post's split reads, with their defaults.
POST_DEFAULTS = {'validation_fraction': 0.1, 'seed': 0, 'deduplicate': False}

# VOC's own is the first; those who rename or convert its images write the others.
_IMAGE_ENDINGS = ('.jpg', '.JPG', '.jpeg', '.JPEG', '.png', '.PNG')

# split: str. aliases: tuple of str, further names of it. ids: list of str.
# source: str, what names the ids, for messages.
IdList = collections.namedtuple('IdList', ['split', 'aliases', 'ids', 'source'])


def add_flags(parser):
    """Adds the flags of build_voc2012.py."""
    parser.add_argument('--voc_root', type=flag_types.path, required=True,
                        help='folder with JPEGImages, SegmentationClass and ImageSets')
    parser.add_argument('--sbd_root', type=flag_types.path,
                        help='folder with img, cls, train.txt, val.txt and train_noval.txt')
    parser.add_argument('--aug_masks', metavar='DIR', type=flag_types.path,
                        help='folder below --voc_root with PNG masks made of SBD\'s, as '
                             'SegmentationClassAug, for images without a mask of VOC (voc only)')
    parser.add_argument('--output_dir', type=flag_types.path,
                        help='where the data set is written')
    parser.add_argument('--split_source', choices=SPLIT_SOURCES,
                        help='where the lists come from (default: post with --sbd_root, '
                             'voc without or with --train_list)')
    parser.add_argument('--train_list',
                        help='list under ImageSets/Segmentation that becomes the split '
                             'train: train, trainval, val, ... (voc only; default train)')
    parser.add_argument('--validation_fraction', type=flag_types.fraction,
                        help='share of the list held out for validation (post only; default %s)'
                        % POST_DEFAULTS['validation_fraction'])
    parser.add_argument('--seed', type=flag_types.whole_number,
                        help='chooses what is held out (post only; default %s)'
                        % POST_DEFAULTS['seed'])
    parser.add_argument('--deduplicate', action='store_true', default=None,
                        help='drop the second copies of the 19 ids listed twice (post only)')
    parser.add_argument('--allow_other_lists', action='store_true',
                        help='go on with lists that are not the official ones')
    parser.add_argument('--list', action='store_true',
                        help='print "split<tab>id" lines and write nothing, whatever else is given')


def check_flags(args, parser):
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
    if args.aug_masks and (args.split_source != 'voc' or args.sbd_root):
        parser.error('--aug_masks %s stands for the masks of --sbd_root; drop one of them. '
                     '--train_list chooses the images.' % args.aug_masks)
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


def read(args):
    """Finds the images and masks of the lists that the flags choose, and prints notes on them.

    Returns `contract.Source`; raises `UserError` where a folder, list or file is missing, or a
    list is not the official one.
    """
    lists, notes = _choose_lists(args)
    for note in notes:
        print(note)
    return contract.Source('PASCAL VOC 2012', voc.CLASS_NAMES, voc.IGNORE_LABEL, [
        _find_examples(id_list, args.voc_root, args.sbd_root, args.aug_masks)
        for id_list in lists])


def list_ids(args):
    """Prints each split's ids as "split<tab>id" lines: cut -f2, grep ^train. Raises as `read`."""
    lists, notes = _choose_lists(args)
    for note in notes:
        print(note, file=sys.stderr)
    lines = ['%s\t%s\n' % (split, image_id) for id_list in lists
             for split in (id_list.split,) + id_list.aliases for image_id in id_list.ids]
    try:
        sys.stdout.write(''.join(lines))
        sys.stdout.flush()
    except BrokenPipeError:
        # `| head` has read enough; the interpreter must not flush into the pipe at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_layout(args):
    """Raises `UserError` naming the first folder that is needed but not there."""
    lists = os.path.join('ImageSets', 'Segmentation')
    other = voc_layouts.advice_on_other_data(args.voc_root)
    if other:
        raise UserError(other)
    _check_folders(args.voc_root, [lists] if args.list else
                   ['JPEGImages', 'SegmentationClass', lists], HOW_TO_GET_VOC)
    if args.aug_masks:
        _check_folders(os.path.join(args.voc_root, args.aug_masks), [], HOW_TO_GET_VOC)
    if args.sbd_root:
        _check_folders(args.sbd_root, [] if args.list else ['cls'], HOW_TO_GET_SBD)


def _check_folders(root, parts, advice):
    for folder in [root] + [os.path.join(root, part) for part in parts]:
        if not os.path.isdir(folder):
            found = voc_layouts.find_root(root, parts)
            raise UserError('%s is no folder. %s' % (
                folder, 'Did you mean %s?' % found if found else advice))


def _choose_lists(args):
    """Decides which images each split holds.

    Returns (list of `IdList`, list of str to tell the user); raises `UserError` where a folder
    or list is missing or, without --allow_other_lists, a list is not the official one.
    """
    _check_layout(args)
    if args.split_source == 'voc':
        return _voc_lists(args.voc_root, args.train_list)
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
            'dataset/download_voc2012.py), or give --allow_other_lists to go on with '
            'these.' % '\n'.join(derived.problems))
    test = IdList('test', (), splits.read_ids(paths['voc_val']), paths['voc_val'])
    notes = ['Note: ' + problem for problem in derived.problems]
    if args.split_source == 'trainaug':
        return [test._replace(split='validation', aliases=('test',)),
                IdList('train', (), derived.ids, 'The train_aug list')], notes
    ids = splits.drop_repeats(derived.ids) if args.deduplicate else derived.ids
    train, validation = splits.hold_out(ids, args.validation_fraction, args.seed)
    # Test first: an older validation, which test may still be another name of, goes last.
    return [test] + [
        IdList(split, (), [ids[position] for position in positions], "The post's list")
        for split, positions in (('validation', validation), ('train', train))], notes


def _voc_lists(voc_root, train_list):
    """Takes the splits from VOC's own lists, the training images from that called `train_list`.

    Returns as `_choose_lists`; raises `UserError` where what was asked for is absent, or all.
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
    lists = []
    for split, name, aliases in chosen:
        path = os.path.join(folder, name + '.txt')
        lists.append(IdList(split, aliases, splits.read_ids(path), path))
        notes += _notes_on_list(name, len(lists[-1].ids))
    if train_list in ('val', 'trainval'):
        notes.append('Note: train contains the validation images; scores on them measure memory.')
    return lists, splits.drop_repeats(notes)


def _advice_on_missing(paths, voc_root, sbd_root, aug_masks):
    links = file_names.advice_on_links(paths)
    if links:
        return links.strip()
    is_mask = os.path.dirname(paths[0]).endswith('SegmentationClass')
    for folder in () if aug_masks or sbd_root or not is_mask else sorted(os.listdir(voc_root)):
        if os.path.isfile(os.path.join(voc_root, folder, os.path.basename(paths[0]))):
            return '%s has it: give --aug_masks %s.' % (os.path.join(voc_root, folder), folder)
    return HOW_TO_GET_VOC + (' ' + HOW_TO_GET_SBD if sbd_root else '')


def _notes_on_list(name, count):
    expected = voc.SPLIT_SIZES.get(name, count)
    return [] if count == expected else [
        'Note: %s.txt lists %d images; the published one lists %d.' % (name, count, expected)]


def _find_examples(id_list, voc_root, sbd_root, aug_masks):
    """Finds image and mask of every id; where VOC and SBD have one, VOC's is taken.

    VOC's masks are the benchmark's own and mark object borders as void; SBD's have
    no void. Returns `contract.Part`; raises `UserError` where files are missing.
    """
    examples, missing = [], []
    for image_id in id_list.ids:
        images = [os.path.join(voc_root, 'JPEGImages', image_id + '.jpg')]
        masks = [os.path.join(voc_root, 'SegmentationClass', image_id + '.png')]
        if aug_masks:
            masks.append(os.path.join(voc_root, aug_masks, image_id + '.png'))
        if sbd_root:
            images.append(os.path.join(sbd_root, 'img', image_id + '.jpg'))
            masks.append(os.path.join(sbd_root, 'cls', image_id + sbd.SUFFIX))
        found = [next(filter(os.path.isfile, paths), None) for paths in (
            [path[:-len('.jpg')] + ending for path in images for ending in _IMAGE_ENDINGS], masks)]
        missing += [(image_id, paths) for paths, path in zip((images, masks), found)
                    if path is None]
        examples.append(decoding.Example(image_id + os.path.splitext(found[0] or '')[1], *found))
    if missing:
        image_id, paths = missing[0]
        raise UserError('%s names %s, but %s is missing%s. %s' % (
            id_list.source, image_id, ' or '.join(paths),
            ' (and %d files more)' % (len(missing) - 1) if len(missing) > 1 else '',
            _advice_on_missing(paths, voc_root, sbd_root, aug_masks)))
    of_voc = os.path.join(voc_root, 'SegmentationClass', '')
    others = sum(not example.mask.startswith(of_voc) for example in examples)
    note = '%s: %d masks of VOC, %d of %s.' % (
        id_list.split, len(examples) - others, others, 'SBD' if sbd_root else aug_masks)
    return contract.Part(id_list.split, examples, aliases=id_list.aliases,
                         reader=sbd.read_mask if sbd_root and others else None,
                         note=note if sbd_root or aug_masks else '')
