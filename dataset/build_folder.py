"""Builds a data set from a folder of images and a folder of masks.

    python dataset/build_folder.py --images photos --masks masks \
        --classes classes.txt --validation_fraction 0.2 --output_dir data/mine

Or call it once per split with --split. Image and mask belong together by path and
file name without extension; classes.txt holds one name per line, the first is
class 0. Masks hold class ids, or with --palette colours.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from dataset import building  # noqa: E402
from dataset.sources import folder  # noqa: E402


def main(argv=None):
    building.run(folder, building.parse_args(folder, __doc__, argv))


if __name__ == '__main__':
    main()
