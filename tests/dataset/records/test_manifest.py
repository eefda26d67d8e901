"""A rebuild notices every change, and what earlier commits built is not built again."""
import base64
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from dataset import descriptor, voc
from dataset.records import encoding, manifest, writing
from dataset.sources import color_masks, decoding, sbd, views
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


def fingerprints(examples, info, reader):
    """Returns (fingerprint of now, set of those of earlier builds)."""
    source = manifest.Source(info, reader)
    for example in examples:
        source.add(example)
    return source.fingerprint(), source.earlier_fingerprints()


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
    # The manifest alone changes: it knows the files by their contents from now on.
    manifest_name = 'train-manifest.json'
    assert {path.name: path.read_bytes() for path in folder.iterdir()
            if path.name != manifest_name} == {
        name: base64.b64decode(text) for name, text in built['files'].items()
        if name != manifest_name}
    entries = manifest.load(str(folder), 'train')[1]
    assert [entry.source for entry in entries] == [
        fingerprints(examples[start:stop], INFO, reader)[0] for start, stop in ((0, 2), (2, 3))]
    assert build(example_files.all_cats).num_reused == 0


@pytest.mark.parametrize('kind', ['sbd', pytest.param('voc_palette', marks=PALETTES_OF_THEN)])
def test_fingerprints_of_then_are_among_those_of_now(kind):
    info, reader = INFO, sbd.read_mask
    if kind == 'voc_palette':
        info = descriptor.create('PASCAL VOC 2012', voc.CLASS_NAMES, voc.IGNORE_LABEL)
        reader = color_masks.PaletteReader(color_masks.read_palette('voc', None, 255)[1])
    examples = [decoding.Example('%d.png' % index, image, b'mask')
                for index, image in enumerate(decoded(BUILT['images']))]
    now, then = fingerprints(examples, info, reader)
    assert BUILT['fingerprints'][kind] in then and BUILT['fingerprints'][kind] != now


def test_the_key_tells_palettes_apart_and_no_module_path_is_in_it(palette):
    other = palette._replace(labels=palette.labels[::-1])
    keys = [color_masks.PaletteReader(one).key for one in (palette, other, palette)]
    assert keys[0] == keys[2] != keys[1]
    assert 'color_masks' not in keys[0]


def build(examples, out, **options):
    return writing.write_split(examples, len(examples), INFO, str(out), 'train',
                               num_shards=len(examples), num_workers=1, **options)


def replace_in_silence(path, data):
    """Writes other bytes of the same number, and puts the time of last change back."""
    before = os.stat(path)
    assert before.st_size == len(data)
    with open(path, 'wb') as handle:
        handle.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_corrected_mask_of_the_same_size_and_time_is_noticed(tmp_path):
    examples = example_files.write_pairs(tmp_path, 'ab', {
        name: example_files.encoded(example_files.grid([0, 1]), 'TIFF') for name in 'ab'})
    build(examples, tmp_path / 'out')
    replace_in_silence(examples[1].mask, example_files.encoded(example_files.grid([0, 2]), 'TIFF'))
    assert build(examples, tmp_path / 'out').num_reused == 1
    labels = example_files.labels_by_name(tmp_path / 'out')
    np.testing.assert_array_equal(labels['a.png'], example_files.grid([0, 1]))
    np.testing.assert_array_equal(labels['b.png'], example_files.grid([0, 2]))


def test_a_changed_image_is_noticed_too(tmp_path):
    examples = example_files.write_pairs(tmp_path, 'ab')
    first, second = [example_files.encoded(example_files.noise(seed=seed), 'BMP')
                     for seed in (5, 6)]
    for data in (first, second):
        with open(examples[0].image, 'wb') as image_file:
            image_file.write(data)
        os.utime(examples[0].image, ns=(0, 0))
        assert build(examples, tmp_path / 'out').num_reused == (0 if data == first else 1)


def test_files_that_were_copied_or_touched_are_the_same(tmp_path):
    examples = example_files.write_pairs(tmp_path, 'ab')
    build(examples, tmp_path / 'out')
    (tmp_path / 'elsewhere').mkdir()
    moved = [example._replace(image=shutil.copy(example.image, str(tmp_path / 'elsewhere')),
                              mask=shutil.copy(example.mask, str(tmp_path / 'elsewhere')))
             for example in examples]
    for example in moved:
        os.utime(example.mask, ns=(0, 0))
    assert build(moved, tmp_path / 'out').num_reused == 2


def test_a_file_that_changes_while_it_is_built_is_noticed_by_the_next_build(tmp_path):
    examples = example_files.write_pairs(tmp_path, 'a')

    def changing(example, info):
        with open(examples[0].mask, 'wb') as mask_file:
            mask_file.write(b'changed')
        return np.ones([6, 8], np.uint8)
    changing.key = 'changing'
    build(examples, tmp_path / 'out', read_mask=changing)
    assert build(examples, tmp_path / 'out', read_mask=changing).num_reused == 0


def by_status(examples, out):
    """Makes what `build` wrote look like an earlier build's: known by path, size and time."""
    _, entries = manifest.load(str(out), 'train')
    known = []
    for entry, example in zip(entries, examples):
        source = manifest.Source(INFO, None)
        source.add(example)
        known.append(entry._replace(source=source._earlier[0].hexdigest()))
    manifest.save(str(out), 'train', (), known)


def test_what_an_earlier_commit_built_is_kept_and_known_by_contents_from_then_on(tmp_path):
    examples = example_files.write_pairs(tmp_path, 'ab')
    build(examples, tmp_path / 'out')
    by_status(examples, tmp_path / 'out')
    assert build(examples, tmp_path / 'out').num_reused == 2
    other = example_files.encoded(example_files.grid([0, 2, 1, 255]))
    replace_in_silence(examples[0].mask, other)
    assert build(examples, tmp_path / 'out').num_reused == 1


def with_palette(*palette):
    image = Image.fromarray(example_files.grid([0, 1, 2]))
    image.putpalette(palette)
    return example_files.encoded(image)


@pytest.mark.parametrize('masks, number_kept', [
    (['PNG', 'PPM'], 1),  # it may have been stretched
    (['PNG', 'TIFF'], 1),
    ([example_files.with_orientation(example_files.grid([0, 1]), kind, 3)
      for kind in ('PNG', 'TIFF')], 0),
    ([example_files.tiff_file(example_files.grid([0, 1])[:, :, None], t262=white)
      for white in (0, 1)], 0),
    ([example_files.encoded(Image.fromarray(example_files.grid([0, 1])), 'PNG', bits=bits)
      for bits in (4, 8)], 2),
    ([with_palette(0, 0, 0, 1, 1, 1, 2, 0, 0), with_palette(0, 0, 0, 1, 1, 1, 2, 0, 0)], 2),
    ([with_palette(0, 0, 0, 1, 1, 1, 2, 0, 0), with_palette(0, 0, 0, 3, 1, 1, 4, 0, 0)], 0)])
def test_what_earlier_commits_may_have_read_otherwise_is_built_again(tmp_path, masks, number_kept):
    ids = example_files.grid([0, 1, 2])
    files = [example_files.encoded(ids, mask) if isinstance(mask, str) else mask for mask in masks]
    examples = example_files.write_pairs(tmp_path, 'ab', dict(zip('ab', files)))
    build(examples, tmp_path / 'out')
    by_status(examples, tmp_path / 'out')
    assert build(examples, tmp_path / 'out').num_reused == number_kept
    assert build(examples, tmp_path / 'out').num_reused == 2


def test_notes_are_said_again_of_shards_that_are_kept(tmp_path):
    stack = example_files.encoded(Image.fromarray(example_files.noise()), 'TIFF', save_all=True,
                                  append_images=[Image.fromarray(example_files.noise())])
    examples = example_files.write_pairs(tmp_path, 'ab')
    for example in examples:
        with open(example.image, 'wb') as image_file:
            image_file.write(stack)
    for num_reused in (0, 2):
        summary = build(examples, tmp_path / 'out')
        assert summary.num_reused == num_reused
        sentence, = summary.notes.describe()
        assert 'holds 2 pages' in sentence and sentence.endswith('So it is with 2 examples.')


def test_the_files_of_tiles_are_read_once(tmp_path, monkeypatch):
    example, = example_files.write_pairs(tmp_path, ['a'])
    tiles = [example._replace(filename='a-%d.png' % left,
                              view=views.View(box=(left, 0, left + 4, 6))) for left in (0, 4)]
    reads, real = [], manifest._read
    monkeypatch.setattr(manifest, '_read', lambda source: reads.append(source) or real(source))
    source = manifest.Source(INFO, None)
    for tile in tiles:
        source.add(tile)
    assert reads == [example.image, example.mask]
    another = manifest.Source(INFO, None)
    another.add(tiles[0])
    another.add(tiles[0])
    assert another.fingerprint() != source.fingerprint()
