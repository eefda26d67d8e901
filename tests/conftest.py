"""Puts the project's root on the path, and makes the small data set and backbone of the tests."""
import functools
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture(autouse=True, scope='session')
def float32_by_default():
    """Has --mixed_precision auto come to float32, because tests compare digits."""
    from runtime import precision

    @functools.wraps(precision.choose)
    def choose(choice, *about):
        return choose.__wrapped__('off' if choice == 'auto' else choice, *about)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, 'choose', choose)
        yield


@pytest.fixture
def tiny_backbone(monkeypatch):
    """A ResNet v2 with one unit in each block but the last; returns its name."""
    from resnet import architecture
    from tests.helpers.tiny_runs import TINY
    monkeypatch.setitem(architecture.MODELS, TINY,
                        architecture.Architecture((1, 1, 1, 3)))
    return TINY


@pytest.fixture(scope='session')
def shapes_dir(tmp_path_factory):
    """A data set of 6 + 2 + 3 small pictures; returns its folder."""
    from dataset import build_shapes
    folder = str(tmp_path_factory.mktemp('shapes'))
    build_shapes.main(['--output_dir', folder, '--num_train', '6', '--num_validation', '2',
                       '--num_test', '3', '--image_size', '48'])
    return folder
