"""Draws a small VOC-like data set: five kinds of shapes on textured grounds.

    python dataset/build_shapes.py --output_dir data/shapes

Needs no download and takes seconds: a set to try training, evaluation and
notebooks on. Outline, texture and hue tell the classes apart, each of them not
always: a run of a few minutes on a CPU must find the shapes. As in VOC, later
objects hide earlier ones and a thin void border surrounds each.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from dataset import building  # noqa: E402
from dataset.sources import shapes  # noqa: E402


def main(argv=None):
    building.run(shapes, building.parse_args(shapes, __doc__, argv, made_on_the_fly=True))


if __name__ == '__main__':
    main()
