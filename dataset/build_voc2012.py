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
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from common import scripts  # noqa: E402
from dataset import building  # noqa: E402
from dataset.sources import voc2012  # noqa: E402


def main(argv=None):
    args = building.parse_args(voc2012, __doc__, argv)
    if args.list:
        with scripts.ending_in_one_message():
            voc2012.list_ids(args)
    else:
        building.run(voc2012, args)


if __name__ == '__main__':
    main()
