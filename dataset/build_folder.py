"""Builds a data set from what a labelling tool wrote, or from folders of images and masks.

    python dataset/build_folder.py DIR --output_dir data/mine
    python dataset/build_folder.py --images photos --masks masks \
        --classes classes.txt --validation_fraction 0.2 --output_dir data/mine

The first looks what DIR is and says how it is read. With the second, call it once per
split with --split instead. Image and mask belong together by path and
file name without extension; classes.txt holds one name per line, the first is
class 0. Masks hold class ids, or with --palette colours.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from dataset import building  # noqa: E402
from dataset.layouts import source  # noqa: E402


def main(argv=None):
    building.run(source, building.parse_args(source, __doc__, argv))


if __name__ == '__main__':
    main()
