"""Data sets that were built before readers of masks had keys are not built again."""
import base64
import json
import os

import numpy as np
import pytest

from dataset import descriptor, voc
from dataset.records import encoding, manifest, writing
from dataset.sources import color_masks, decoding, sbd
from tests.helpers import example_files

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                       'built_before_keys.json')) as fixture_file:
    # What the commit before keys wrote: images and masks, and all files of two builds.
    BUILT = json.load(fixture_file)
PALETTES_OF_THEN = pytest.mark.skipif(np.__version__[0] != '1',
                                      reason='NumPy 2 pickles palettes otherwise')
INFO = descriptor.create('toy', ('ground', 'cat', 'dog'), 255)


def decoded(texts):
    return [base64.b64decode(text) for text in texts]


@pytest.fixture
def palette(tmp_path):
    path = tmp_path / 'palette.csv'
    path.write_text(BUILT['palette_csv'])
    return color_masks.read_palette(str(path), None, 255)[1]


@pytest.mark.parametrize('kind', ['ids', pytest.param('palette', marks=PALETTES_OF_THEN)])
def test_what_was_built_before_keys_is_kept(tmp_path, palette, kind, monkeypatch):
    built, folder = BUILT['builds'][kind], tmp_path / 'data'
    folder.mkdir()
    for name, text in built['files'].items():
        (folder / name).write_bytes(base64.b64decode(text))
    examples = [decoding.Example('%d.png' % index, *pair) for index, pair in enumerate(
        zip(decoded(BUILT['images']), decoded(built['masks'])))]

    def build(reader):
        return writing.write_split(examples, 3, INFO, str(folder), 'train', num_shards=2,
                                   num_workers=1, read_mask=reader)
    reader = color_masks.PaletteReader(palette) if kind == 'palette' else None
    with monkeypatch.context() as patched:
        patched.setattr(encoding, 'build_shard', None)  # nothing may be built
        assert build(reader).num_reused == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: base64.b64decode(text) for name, text in built['files'].items()}
    assert build(example_files.all_cats).num_reused == 0


@pytest.mark.parametrize('kind', ['sbd', pytest.param('voc_palette', marks=PALETTES_OF_THEN)])
def test_fingerprints_of_then_are_among_those_of_now(kind):
    info, reader = INFO, sbd.read_mask
    if kind == 'voc_palette':
        info = descriptor.create('PASCAL VOC 2012', voc.CLASS_NAMES, voc.IGNORE_LABEL)
        reader = color_masks.PaletteReader(color_masks.read_palette('voc', None, 255)[1])
    examples = [decoding.Example('%d.png' % index, image, b'mask')
                for index, image in enumerate(decoded(BUILT['images']))]
    now, then = manifest.source_fingerprints(examples, info, reader)
    assert then == BUILT['fingerprints'][kind] != now


def test_the_key_tells_palettes_apart_and_no_module_path_is_in_it(palette):
    other = palette._replace(labels=palette.labels[::-1])
    keys = [color_masks.PaletteReader(one).key for one in (palette, other, palette)]
    assert keys[0] == keys[2] != keys[1]
    assert 'color_masks' not in keys[0]
