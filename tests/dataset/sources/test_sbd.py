"""dataset/sources/sbd.py: labels come out of .mat files, damaged ones are named."""
import io

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from dataset import descriptor, voc
from dataset.sources import decoding, sbd

INFO = descriptor.create('voc', voc.CLASS_NAMES, voc.IGNORE_LABEL)


def write_mat(path, labels, field='Segmentation', struct='GTcls', **options):
    """Writes a file as SBD has them; the boundaries are there but of no interest."""
    savemat(str(path), {struct: {'Boundaries': np.zeros([20, 1], object), field: labels,
                                 'CategoriesPresent': np.array([[1], [20]], np.uint8)}}, **options)
    return str(path)


@pytest.mark.parametrize('compressed', [True, False])
@pytest.mark.parametrize('shape', [(6, 8), (1, 8), (6, 1), (1, 1)])
def test_labels_keep_shape_type_and_values(tmp_path, shape, compressed):
    labels = np.resize(np.array([0, 1, 20], np.uint8), shape)
    path = write_mat(tmp_path / 'a.mat', labels, do_compression=compressed)
    read = sbd.read_mask(decoding.Example('a.jpg', 'a.jpg', path), INFO)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, labels)


def test_masks_of_voc_are_read_by_their_indices(tmp_path):
    mask = Image.fromarray(np.array([[0, 20, 255]], np.uint8))
    mask.putpalette(voc.color_map().tobytes())
    mask.save(str(tmp_path / 'a.png'))
    example = decoding.Example('a.jpg', 'a.jpg', str(tmp_path / 'a.png'))
    np.testing.assert_array_equal(sbd.read_mask(example, INFO), [[0, 20, 255]])


def test_damaged_files_are_invalid_examples_that_name_the_file(tmp_path):
    path = tmp_path / 'a.mat'
    labels = np.random.RandomState(0).randint(0, 21, [30, 40]).astype(np.uint8)
    data = open(write_mat(path, labels, do_compression=True), 'rb').read()
    damages = [data[:length] for length in (0, 1, 100, 130, 200, len(data) // 2, len(data) - 1)]
    damages += [data[:200] + b'????' + data[204:], b'not found\n' * 40]
    for damage in damages:
        path.write_bytes(damage)
        with pytest.raises(decoding.InvalidExampleError, match='a.mat cannot be read as SBD'):
            sbd.read_mat(str(path))
    path.unlink()
    with pytest.raises(decoding.InvalidExampleError, match='a.mat cannot be read.*NotFound'):
        sbd.read_mat(str(path))


@pytest.mark.parametrize('changes, words', [
    (dict(struct='GTinst'), 'KeyError'), (dict(field='Segments'), 'no field of name Segmentation'),
    (dict(labels=np.zeros([2, 2])), r'float64 \[2, 2\]; SBD has uint8'),
    (dict(labels=np.zeros([2, 2, 3], np.uint8)), r'uint8 \[2, 2, 3\]')])
def test_other_layouts_are_invalid_examples(tmp_path, changes, words):
    arguments = dict(dict(labels=np.zeros([2, 2], np.uint8)), **changes)
    path = write_mat(tmp_path / 'a.mat', **arguments)
    with pytest.raises(decoding.InvalidExampleError, match='a.mat.*' + words):
        sbd.read_mat(path)


def test_mat_files_without_a_struct_are_invalid_examples(tmp_path):
    buffer = io.BytesIO()
    savemat(buffer, {'GTcls': np.zeros([2, 2], np.uint8)})
    (tmp_path / 'a.mat').write_bytes(buffer.getvalue())
    with pytest.raises(decoding.InvalidExampleError, match='a.mat cannot be read as SBD'):
        sbd.read_mat(str(tmp_path / 'a.mat'))
