"""dataset/descriptor.py: dataset.json is checked strictly, with a way out in each message."""
import json

import pytest

from common.errors import UserError
from dataset import descriptor


def write_data_set(directory, **changes):
    """Writes a dataset.json with `changes` (None removes a key) and its shard."""
    values = {'format_version': 1, 'name': 'toy', 'class_names': ['ground', 'cat'],
              'number_of_classes': 2, 'ignore_label': 255,
              'splits': {'train': {'num_examples': 3, 'shards': ['a.tfrecord']}}}
    values.update(changes)
    values = {key: value for key, value in values.items() if value is not None}
    (directory / 'dataset.json').write_text(json.dumps(values))
    (directory / 'a.tfrecord').write_bytes(b'12345')
    return str(directory)


def test_save_then_load_gives_the_same_info(tmp_path):
    info = descriptor.create('toy', ['ground', 'größe'], 7,
                             {'val': {'num_examples': 2, 'shards': ['x.tfrecord']}})
    descriptor.save(info, str(tmp_path))
    assert descriptor.load(str(tmp_path)) == info
    assert info.number_of_classes == 2 and info.class_names == ('ground', 'größe')
    assert [path.name for path in tmp_path.iterdir()] == ['dataset.json']


def test_colours_are_kept_and_a_description_without_is_as_earlier_builders_wrote_it(tmp_path):
    plain = descriptor.create('größe', ['ground', 'cat'], 7,
                              {'val': {'num_examples': 2, 'shards': ['x.tfrecord']}})
    descriptor.save(plain, str(tmp_path))
    assert 'colors' not in json.loads((tmp_path / 'dataset.json').read_text(encoding='utf-8'))
    info = descriptor.create('größe', ['ground', 'cat'], 7, plain.splits, [[1, 2, 3], [4, 5, 6]])
    descriptor.save(info, str(tmp_path))
    assert descriptor.load(str(tmp_path)) == info and info.colors == ((1, 2, 3), (4, 5, 6))
    written = json.loads((tmp_path / 'dataset.json').read_text(encoding='utf-8'))
    assert written['colors'] == [[1, 2, 3], [4, 5, 6]]


def test_colours_that_are_added_or_changed_leave_the_fingerprint(tmp_path):
    splits = {'train': {'num_examples': 3, 'shards': ['a.tfrecord']}}
    (tmp_path / 'a.tfrecord').write_bytes(b'12345')
    found = set()
    for colors in (None, [[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [7, 8, 9]]):
        descriptor.save(descriptor.create('größe', ['ground', '猫'], 7, splits, colors),
                        str(tmp_path))
        found.add(descriptor.fingerprint(str(tmp_path)))
    assert len(found) == 1
    descriptor.save(descriptor.create('größe', ['ground', '犬'], 7, splits, colors), str(tmp_path))
    assert descriptor.fingerprint(str(tmp_path)) not in found


def test_load_without_dataset_json_names_directory_and_three_builders(tmp_path):
    with pytest.raises(ValueError) as error:
        descriptor.load(str(tmp_path / 'nowhere'))
    message = str(error.value)
    assert str(tmp_path / 'nowhere') in message
    for script in ('build_voc2012.py', 'build_folder.py', 'build_shapes.py'):
        assert 'python dataset/' + script in message


@pytest.mark.parametrize('changes, words', [
    ({'ignore_label': None}, 'missing keys: ignore_label'),
    ({'extra': 1}, 'unknown keys: extra'),
    ({'format_version': 2}, 'format_version is 2'),
    ({'ignore_label': 1}, 'ignore_label is 1, but class ids take 0..1'),
    ({'ignore_label': 256}, 'choose a value in 2..255'),
    ({'ignore_label': '255'}, "ignore_label is '255'"),
    ({'class_names': ['cat', 'cat']}, 'more than once: cat'),
    ({'class_names': []}, 'at least one'),
    ({'class_names': ['c%d' % i for i in range(256)], 'number_of_classes': 256},
     '256 classes are too many'),
    ({'number_of_classes': 3}, 'number_of_classes is 3, but class_names lists 2'),
    ({'splits': {}}, 'no split'),
    ({'colors': [[1, 2, 3]]}, 'it must list 2 different'),
    ({'colors': [[1, 2, 3], [1, 2, 3]]}, 'it must list 2 different'),
    ({'colors': [[1, 2, 3], [1, 2, 256]]}, '256'),
    ({'colors': [[1, 2, 3], [1, 2]]}, 'it must list 2 different'),
    ({'colors': [[1, 2, 3], [1, 2, True]]}, 'True'),
    ({'colors': 'red'}, "'red'"),
    ({'splits': {'train': {'num_examples': 3}}}, "Split 'train' must hold"),
    ({'splits': {'train': {'num_examples': 0, 'shards': ['a']}}}, 'positive'),
    ({'splits': {'train': {'num_examples': 3, 'shards': ['../a']}}}, 'file names of this'),
])
def test_load_rejects_contradictions_naming_file_and_value(tmp_path, changes, words):
    with pytest.raises(UserError) as error:
        descriptor.load(write_data_set(tmp_path, **changes))
    assert words in str(error.value) and 'dataset.json' in str(error.value)


def test_load_rejects_broken_json(tmp_path):
    (tmp_path / 'dataset.json').write_text('{"name":')
    with pytest.raises(UserError, match='is not JSON'):
        descriptor.load(str(tmp_path))


def test_shard_paths_lists_existing_files(tmp_path):
    info = descriptor.load(write_data_set(tmp_path))
    assert descriptor.shard_paths(info, str(tmp_path), 'train') == [str(tmp_path / 'a.tfrecord')]


def test_shard_paths_names_the_splits_there_are(tmp_path):
    info = descriptor.load(write_data_set(tmp_path))
    with pytest.raises(ValueError, match="no split 'val'; it has: train"):
        descriptor.shard_paths(info, str(tmp_path), 'val')


def test_shard_paths_names_a_missing_file(tmp_path):
    info = descriptor.load(write_data_set(tmp_path))
    (tmp_path / 'a.tfrecord').unlink()
    with pytest.raises(ValueError, match='a.tfrecord'):
        descriptor.shard_paths(info, str(tmp_path), 'train')


def test_fingerprint_follows_description_and_shard_sizes(tmp_path):
    directory = write_data_set(tmp_path)
    first = descriptor.fingerprint(directory)
    assert len(first) == 64 and first == descriptor.fingerprint(directory)
    (tmp_path / 'a.tfrecord').write_bytes(b'123456')
    second = descriptor.fingerprint(directory)
    write_data_set(tmp_path, name='other')
    assert len({first, second, descriptor.fingerprint(directory)}) == 3
