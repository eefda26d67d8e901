"""prediction.py: names of classes whose data set may be gone, rounding, the predictor."""
import argparse

import numpy as np
import pytest

import prediction
from dataset import descriptor, voc


def run_flags(number_of_classes, dataset_dir='/nowhere'):
    return argparse.Namespace(number_of_classes=number_of_classes, dataset_dir=str(dataset_dir))


def save_info(folder, names, ignore_label=255):
    splits = {'train': {'num_examples': 1, 'shards': ['a.tfrecord']}}
    descriptor.save(descriptor.create('toy', names, ignore_label, splits), str(folder))


def test_names_are_those_of_the_data_set_where_it_fits(tmp_path):
    save_info(tmp_path, ('ground', 'cat', 'dog'), 11)
    assert prediction.class_names_of(run_flags(3, tmp_path)) == (('ground', 'cat', 'dog'), 11)
    assert prediction.class_names_of(run_flags(2, tmp_path)) == (('class 0', 'class 1'), 255)


@pytest.mark.parametrize('content', [None, 'no JSON'])
def test_names_do_without_a_data_set_that_is_gone_or_damaged(tmp_path, content):
    if content:
        (tmp_path / 'dataset.json').write_text(content)
    assert prediction.class_names_of(run_flags(21, tmp_path)) == (voc.CLASS_NAMES, 255)
    assert prediction.class_names_of(run_flags(1, tmp_path)) == (('class 0',), 255)


def test_names_of_a_file_go_before_all_others(tmp_path):
    save_info(tmp_path, ('ground', 'cat', 'dog'), 11)
    path = tmp_path / 'classes.txt'
    path.write_text('# ours\nBoden\n\nKatze  # miau\nHund\n')
    assert prediction.class_names_of(run_flags(3, tmp_path), str(path)) == (
        ('Boden', 'Katze', 'Hund'), 11)


def test_run_of_the_post_has_vocs_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # away from what the post's flags name: dataset/tfrecords
    (tmp_path / 'data.json').write_text('{"number_of_classes": 21, "output_stride": 16}')
    for extension in ('.index', '.data-00000-of-00001'):
        (tmp_path / ('model.ckpt' + extension)).write_bytes(b'')
    run = prediction.load_run(str(tmp_path), 8)
    assert run.class_names == voc.CLASS_NAMES and run.ignore_label == voc.IGNORE_LABEL
    assert run.args.output_stride == 8 and run.args.align_corners is False
    assert run.checkpoint == str(tmp_path / 'model.ckpt')


def test_checkpoint_without_the_settings_of_its_run_is_refused(tmp_path):
    for extension in ('.index', '.data-00000-of-00001'):
        (tmp_path / ('model.ckpt' + extension)).write_bytes(b'')
    with pytest.raises(SystemExit, match='No config.json beside .*model.ckpt'):
        prediction.load_run(str(tmp_path))


@pytest.mark.parametrize('content, message', [
    ('a\nb\n', 'holds 2 names, but the checkpoint has 3 classes'),
    ('a\nb\na\n', 'occur more than once: a'),
    (b'\xff\xfe\x00', 'cannot be read'),
    (None, 'cannot be read')])
def test_a_file_of_names_that_does_not_fit_is_refused(tmp_path, content, message):
    path = tmp_path / 'classes.txt'
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(descriptor.DatasetError, match=message) as error:
        prediction.class_names_of(run_flags(3), str(path))
    assert str(path) in str(error.value)


def test_rounding_keeps_the_largest_probability_at_the_label():
    # Closer together than float16 can tell.
    close = [0.25, 0.37501, 0.37499, 0.0]
    probabilities = np.array([[[close, close, [0.1, 0.2, 0.3, 0.4]]]], np.float32)
    labels = np.array([[[1, 2, 3]]], np.uint8)
    rounded = prediction._rounded(probabilities, labels)
    assert rounded.dtype == np.float16
    np.testing.assert_array_equal(rounded.argmax(axis=3), labels)
    np.testing.assert_allclose(rounded, probabilities, atol=2 ** -11)
    assert rounded[0, 0, 0, 1] == np.float16(0.375)
