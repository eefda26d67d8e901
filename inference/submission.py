"""Where PASCAL VOC's server looks for label maps, and whose it takes."""
import os

from common.errors import UserError
from dataset import descriptor, voc
from inference import drawing

# Trained on VOC's own data alone, or on others too, such as SBD's labels and ImageNet's images.
COMPETITIONS = ('comp5', 'comp6')
VOC_SPLITS = {'validation': 'val'}


def folder_in(output_dir, competition, split, class_names):
    """The folder in which PASCAL VOC's server looks for label maps.

    Args:
      output_dir: str.
      competition: str, one of `COMPETITIONS`.
      split: str; `validation` is VOC's val.
      class_names: sequence of str, the network's.

    Returns:
      str.

    Raises:
      UserError: the classes are not VOC's.
    """
    if tuple(class_names) != voc.CLASS_NAMES:
        raise UserError("--save_submission: PASCAL VOC's server takes its own %d classes, and "
                        'these are %d (%s, ...). Leave the flag out.'
                        % (len(voc.CLASS_NAMES), len(class_names), ', '.join(class_names[:3])))
    return os.path.join(output_dir, 'results', 'VOC2012', 'Segmentation',
                        '%s_%s_cls' % (competition, VOC_SPLITS.get(split, split)))


def save_png(label_map, path):
    """Writes label ids as the palette PNG of VOC's masks, whatever colours the data set has.

    Args:
      label_map: integer [height, width], ids in 0..255.
      path: str; written to a temporary name and renamed.
    """
    drawing.save_palette_png(label_map, path, descriptor.of_raw_records())
