"""dataset/voc.py: what PASCAL VOC publishes."""
import subprocess
import sys

import numpy as np
import pytest

from dataset import voc
from tests.helpers import ROOT


def test_color_map_has_the_published_colors():
    colors = voc.color_map()
    assert colors.shape == (256, 3) and colors.dtype == np.uint8
    published = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0),
                 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    for label, color in published.items():
        assert tuple(colors[label]) == color


def test_color_map_colors_differ_and_prefix_is_stable():
    assert len(np.unique(voc.color_map(), axis=0)) == 256
    np.testing.assert_array_equal(voc.color_map(5), voc.color_map()[:5])


@pytest.mark.parametrize('number', [0, 257])
def test_color_map_rejects_sizes_beyond_eight_bits(number):
    with pytest.raises(ValueError, match=str(number)):
        voc.color_map(number)


def test_voc_has_21_classes_background_first():
    assert len(voc.CLASS_NAMES) == len(set(voc.CLASS_NAMES)) == 21
    assert voc.CLASS_NAMES[0] == 'background' and voc.CLASS_NAMES[15] == 'person'


@pytest.mark.parametrize('modules', ['descriptor, voc', 'build_folder, build_voc2012'])
def test_descriptions_and_builders_do_not_import_tensorflow(modules):
    root = ROOT
    code = ('import sys; from dataset import %s; assert "tensorflow" not in sys.modules'
            % modules)
    subprocess.check_call([sys.executable, '-c', code], cwd=root)


def test_split_sizes_add_up():
    sizes = voc.SPLIT_SIZES
    assert sizes['train'] + sizes['val'] == sizes['trainval']
    # 330 of VOC's train and 2,299 of SBD's val are what the post's list adds.
    assert 330 + 2299 + sizes['sbd_train_noval'] == sizes['voc_aug_8252']
    # All images of SBD are 11,355.
    assert sizes['sbd_train'] + sizes['sbd_val'] == 11355
