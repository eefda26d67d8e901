"""Builds the PASCAL VOC 2012 segmentation splits from an unpacked VOCdevkit.

    python dataset/build_voc2012.py --voc_root VOCdevkit/VOC2012 --output_dir data/voc2012

Expect 1,464 images in `train` and 1,449 in `validation`. VOC keeps the labels of
its test set to itself, so `test` lists the same files as `validation`.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from dataset import descriptor, records, voc  # noqa: E402  (needs the project's root)

HOW_TO_GET_VOC = ('Unpack VOCtrainval_11-May-2012.tar (2 GB, from the PASCAL VOC 2012 page) '
                  'and give the VOCdevkit/VOC2012 folder in it as --voc_root.')


def parse_args(argv=None):
    """Returns the parsed flags; argparse exits with usage on a wrong one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--voc_root', required=True,
                        help='folder with JPEGImages, SegmentationClass and ImageSets')
    parser.add_argument('--output_dir', required=True, help='where the data set is written')
    parser.add_argument('--train_list', default='train',
                        help='list under ImageSets/Segmentation that becomes the split '
                             'train: train, trainval, val, ... (default %(default)s)')
    parser.add_argument('--num_shards', type=int, default=4,
                        help='number of files to spread a split over (default %(default)s)')
    return parser.parse_args(argv)


def check_layout(voc_root):
    """Raises `DatasetError` naming the first part of VOC 2012 that is not in `voc_root`."""
    for parts in ((), ('JPEGImages',), ('SegmentationClass',), ('ImageSets', 'Segmentation')):
        folder = os.path.join(voc_root, *parts)
        if not os.path.isdir(folder):
            raise descriptor.DatasetError('%s is no folder. %s' % (folder, HOW_TO_GET_VOC))


def list_path(voc_root, list_name):
    """Returns the path of a list of image ids."""
    return os.path.join(voc_root, 'ImageSets', 'Segmentation', list_name + '.txt')


def read_examples(voc_root, list_name):
    """Finds image and mask of every id in a list.

    Args:
      voc_root: str.
      list_name: str, without '.txt'.

    Returns:
      List of `records.Example` in the list's order.

    Raises:
      DatasetError: an empty list, or a file it names is not there.
    """
    path, examples = list_path(voc_root, list_name), []
    with open(path) as list_file:
        image_ids = [line.split()[0] for line in list_file if line.strip()]
    if not image_ids:
        raise descriptor.DatasetError('%s names no image. %s' % (path, HOW_TO_GET_VOC))
    for image_id in image_ids:
        example = records.Example(
            image_id + '.jpg', os.path.join(voc_root, 'JPEGImages', image_id + '.jpg'),
            os.path.join(voc_root, 'SegmentationClass', image_id + '.png'))
        for file_path in example[1:]:
            if not os.path.isfile(file_path):
                raise descriptor.DatasetError('%s names %s, but %s is missing. %s'
                                              % (path, image_id, file_path, HOW_TO_GET_VOC))
        examples.append(example)
    return examples


def choose_lists(voc_root, train_list):
    """Decides which list becomes which split.

    Args:
      voc_root: str.
      train_list: str, name of the list to train on.

    Returns:
      List of (split, list name, further names of the split).

    Raises:
      DatasetError: `train_list` was asked for but is absent, or nothing is there.
    """
    folder = os.path.dirname(list_path(voc_root, ''))
    present = sorted(file_name[:-len('.txt')] for file_name in os.listdir(folder)
                     if file_name.endswith('.txt'))
    chosen = []
    if 'val' in present:
        chosen.append(('validation', 'val', ('test',)))
    if train_list in present:
        chosen.append(('train', train_list, ()))
    elif train_list != 'train' or not chosen:
        raise descriptor.DatasetError(
            '%s is missing; lists that are there: %s. %s'
            % (list_path(voc_root, train_list), ', '.join(present) or 'none', HOW_TO_GET_VOC))
    else:
        print('%s is missing: no split train, only validation and test. '
              '--train_list val would train on the val images.'
              % list_path(voc_root, train_list))
    if 'val' not in present:
        print('%s is missing: no splits validation and test.' % list_path(voc_root, 'val'))
    return chosen


def build(args):
    """Writes the splits that the flags describe. Returns None; raises as `write_split`."""
    check_layout(args.voc_root)
    info = descriptor.create('PASCAL VOC 2012', voc.CLASS_NAMES, voc.IGNORE_LABEL)
    for split, list_name, aliases in choose_lists(args.voc_root, args.train_list):
        examples = read_examples(args.voc_root, list_name)
        summary = records.write_split(examples, len(examples), info, args.output_dir, split,
                                      args.num_shards, aliases)
        print(records.describe(summary, info, ' and '.join((split,) + aliases)))
        expected = voc.SPLIT_SIZES.get(list_name, len(examples))
        if len(examples) != expected:
            print('Note: %s.txt lists %d images; the published one lists %d.'
                  % (list_name, len(examples), expected))
    if args.train_list in ('val', 'trainval'):
        print('Note: train contains the validation images; scores on them measure memory.')
    print('Next: python train.py --dataset_dir %s' % args.output_dir)


def main(argv=None):
    try:
        build(parse_args(argv))
    except (descriptor.DatasetError, records.InvalidExampleError) as error:
        raise SystemExit(str(error))


if __name__ == '__main__':
    main()
