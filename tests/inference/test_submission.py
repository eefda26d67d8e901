"""submission.py: where label maps lie for PASCAL VOC's server."""
import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from dataset import voc
from inference import submission


def test_submissions_lie_where_vocs_server_looks_and_hold_vocs_classes():
    assert submission.folder_in('out', 'comp6', 'validation', voc.CLASS_NAMES) == \
        'out/results/VOC2012/Segmentation/comp6_val_cls'
    assert submission.folder_in('out', 'comp5', 'test', voc.CLASS_NAMES).endswith(
        'Segmentation/comp5_test_cls')
    with pytest.raises(UserError, match='takes its own 21 classes, and these are 2 .a, b'):
        submission.folder_in('out', 'comp6', 'test', ('a', 'b'))


def test_submissions_have_the_palette_of_vocs_masks(tmp_path):
    submission.save_png([[0, 20], [255, 15]], str(tmp_path / 'a.png'))
    with Image.open(str(tmp_path / 'a.png')) as image:
        np.testing.assert_array_equal(np.array(image), [[0, 20], [255, 15]])
        np.testing.assert_array_equal(np.array(image.convert('RGB')), [
            [(0, 0, 0), (0, 64, 128)], [(224, 224, 192), (192, 128, 128)]])
