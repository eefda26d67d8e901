"""What PASCAL VOC 2012 defines: classes, ignore label, split sizes, colours.

Free of TensorFlow, so notebooks and data scripts may import it cheaply.
"""
import numpy as np

from common.errors import UserError

CLASS_NAMES = (
    'background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat',
    'chair', 'cow', 'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant',
    'sheep', 'sofa', 'train', 'tvmonitor')

# Void: object borders and pixels that the annotators left undecided.
IGNORE_LABEL = 255

# Images per list: VOC's own under ImageSets/Segmentation, those of SBD, and two
# that dataset/sources/splits.py derives from both: `train_aug` of the paper and
# `voc_aug_8252` behind the post, counted in lines.
SPLIT_SIZES = {
    'train': 1464,
    'val': 1449,
    'trainval': 2913,
    'sbd_train': 8498,
    'sbd_val': 2857,
    'sbd_train_noval': 5623,
    'train_aug': 10582,
    'voc_aug_8252': 8252,
}


def color_map(number_of_colors=256):
    """Computes the PASCAL VOC colour of every label as uint8 [number_of_colors, 3], RGB.

    Bits 0, 1 and 2 of a label become the top bits of red, green and blue, its
    bits 3, 4 and 5 the bits below those, and so on: neighbouring labels get
    colours that are far apart (tests/dataset/test_voc.py pins known colours).

    Raises:
      UserError: `number_of_colors` is not in 1..256.
    """
    if not 1 <= number_of_colors <= 256:
        raise UserError('number_of_colors is %r; labels are 8 bits, so give 1 to 256.'
                        % (number_of_colors,))
    labels = np.arange(number_of_colors)
    colors = np.zeros([number_of_colors, 3], np.uint8)
    for level in range(3):
        for channel in range(3):
            bits = labels >> (3 * level + channel) & 1
            colors[:, channel] |= (bits << (7 - level)).astype(np.uint8)
    return colors
