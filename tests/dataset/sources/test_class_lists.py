"""dataset/sources/class_lists.py: names in the forms that tools write; all else is refused."""
import json

import pytest

from common.errors import UserError
from dataset.sources import class_lists, id_maps

NAMES = ['background', 'cat', 'dog']


def read(tmp_path, text, mapping=None, encoding='utf-8'):
    path = tmp_path / 'classes.txt'
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return class_lists.read(str(path), mapping)


@pytest.mark.parametrize('text', [
    'background\ncat\ndog\n', 'background\r\ncat\r\ndog', 'background\rcat\rdog',
    '\ufeffbackground\n\n  cat \n# both are pets\ndog # tame\n#wild\n',
    # Roboflow's _classes.csv
    'Pixel Value, Class\n0, background\n1, cat\n2, dog\n',
    # labelme's labels.txt
    '__ignore__\nbackground\ncat\ndog\n',
    # CVAT's labelmap.txt
    '# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:48,112,32::\ndog:176,112,32::\n',
    '0 background\n1 cat\n2 dog', '2: dog\n0: background\n1: cat', '0;background\n1;cat\n2;dog',
    '0. background\n1. cat\n2. dog', '0 - background\n1 - cat\n2 - dog',
    '0=background\n1 = cat\n2|dog',
    'id\tname\n0\tbackground\n1\tcat\n2\tdog\n', 'name,id\nbackground,0\ncat,1\ndog,2\n',
    'background: 0\ncat: 1\ndog: 2', 'background = 0\ncat = 1\ndog = 2',
    # id name colour
    '0 background 0 0 0\n2 dog 4 5 6\n1 cat 1 2 3\n',
    '0:background:0,0,0\n1:cat:1,2,3\n2:dog:4,5,6',
    'id,name,r,g,b\n0,background,0,0,0\n1,cat,1,2,3\n2,dog,4,5,6\n',
    '0\t0 0 0\tbackground\n1\t1 2 3\tcat\n2\t4 5 6\tdog\n',
    '0 background #000000\n1 cat #0102ff\n2 dog #aabbcc\n',
    # objectInfo150.txt of ADE20K, as text and as CSV
    'Idx\tRatio\tTrain\tName\n0 \t0.1\t9\tbackground\n1\t0.2\t9\tcat\n2\t0.2\t9\tdog\n',
    'Idx,Ratio,Train,Val,Stuff,Name\n2,0.2,487,38,1,dog\n0,0.1,9,1,0,background\n1,0.2,9,2,0,cat\n',
    'name,id,r,g,b\nbackground,0,0,0,0\ndog,2,4,5,6\ncat,1,1,2,3\n',
    json.dumps(NAMES), '{"0": "background", "2": "dog", "1": "cat"}',
    '{"dog": 2, "cat": 1, "background": 0}',
    json.dumps({'class_names': NAMES, 'ignore_label': 255}, indent=2)])
def test_names_are_understood_in_every_known_form(tmp_path, text):
    assert read(tmp_path, text) == NAMES


@pytest.mark.parametrize('text, names', [
    ('zone #1\nzone #2\n#1\nC#', ['zone #1', 'zone #2', '#1', 'C#']),
    ('zone 1\nzone 2', ['zone 1', 'zone 2']), ('0.5 m\n1.6 m', ['0.5 m', '1.6 m']),
    ('2 wheeler\n4 wheeler', ['2 wheeler', '4 wheeler']),
    ('tree, low\nroad', ['tree, low', 'road']), ('polar bear', ['polar bear']),
    ('traffic light: red\nroad', ['traffic light: red', 'road']),
    ('["1 cat", "2 dogs"]', ['1 cat', '2 dogs']), ('größe\nрека', ['größe', 'река'])])
def test_what_looks_odd_in_a_name_stays_in_it(tmp_path, text, names):
    assert read(tmp_path, text) == names


@pytest.mark.parametrize('text, words', [
    ('', 'names no class'), ('# none\n', 'names no class'), ('__ignore__\n', '__ignore__ is no'),
    ('background\n__ignore__\n', '__ignore__ is no class'),
    ('background, cat, dog\n', 'line 1, .background, cat, dog.*commas'),
    ('cat,animal\ndog,animal\n', 'line 1, .*a table'),
    ('names:\n  - cat\n', "line 1, 'names:', looks like YAML"),
    ('- cat\n- dog\n', "line 1, '- cat', looks like YAML"),
    ('nc: 2\nnames: [cat, dog]\n', 'line 1, .*YAML'), ('["cat", "dog"\n', 'looks like JSON, but'),
    ("'cat',\n'dog',\n", 'line 1, .*JSON or code'), ('item {\n name: cat\n}', 'line 1, .*code'),
    ('[[0, 1, 2]]', 'is JSON, but no list of names'), ('<a>cat</a>', 'line 1, .*HTML'),
    ('Idx\tRatio\tTrain\n1\t0.2\t9\n', 'line 1, .*a table'),
    ('Idx\tRatio\tName\n1\t0.2\twall\n1\t0.2\tsky', 'line 1, .*a table'),
    ('id,size,name\n0,2,wall, thick\n1,2,sky\n', 'line 1, .*commas'),
    ('background\n1 cat\n2 dog\n', "line 1, 'background', has no id"),
    ('0 sky\nhouse\n2 pole\nroad', "line 2, 'house', has no id, but 2 others begin with one"),
    ('0 sky\n1 house\n1 pole', "line 3, '1 pole', gives an id that line 2 gives too"),
    ('* sky\n* house', "line 1, '. sky', looks like a list of Markdown"),
    ('Class\nbackground\ncat', "line 1, 'Class', looks like the header"),
    ('class_name\nbackground', 'looks like the header'),
    ('classes = 2\nnames = x', 'line 1, .*YAML'),
    ('version https://git-lfs.github.com/spec/v1\noid a', 'a Git LFS pointer'),
    ('#ff0000 road\n#00ff00 sky', 'line 1, .*--palette'), ('road #ff0000', '--palette'),
    ('0 Unknown 0 0 0 0\n1 Cat 70 130 180 0\n', 'line 1, .*--palette'),
    ('1 cat\n2 dog 4 5 6\n', 'line 2, .*--palette'),
    ('0 cat 1 2 3\n0 dog 4 5 6\n', 'line 1, .*--palette'),
    ('{"categories": [{"id": 1, "name": "cat"}]}', 'no list of names'),
    ('# all\nroad,128,64,128\nsky,1,2,3\n', r"line 2, 'road,128,64,128', .*--palette"),
    ('name,r,g,b\nroad,128,64,128\n', 'line 2, .*--palette'),
    ('128 64 128 road\n', 'line 1, .*--palette'), ('{"road": [128, 64, 128]}', '--palette')])
def test_a_text_that_is_no_list_of_names_is_refused_with_its_line(tmp_path, text, words):
    with pytest.raises(UserError, match=words) as error:
        read(tmp_path, text)
    assert '--classes %s' % (tmp_path / 'classes.txt') in str(error.value)


def test_ids_that_do_not_start_at_0_ask_for_a_map_and_the_map_named_is_right(tmp_path):
    text = 'id,name\n1,cat\n3,dog\n4,cow\n'
    with pytest.raises(UserError, match=r'the ids 1, 3, 4; .* 0\.\.2.*give --map_ids 1:0 3-4:1-2 '):
        read(tmp_path, text)
    mapping = id_maps.merge(map(id_maps.parse_item, ['1:0', '3-4:1-2']))
    assert read(tmp_path, text, mapping) == ['cat', 'dog', 'cow']
    # What becomes void is no class, and the classes' order is that of what ids become.
    assert read(tmp_path, text, {1: id_maps.VOID, 3: 1, 4: 0}) == ['cow', 'dog']
    with pytest.raises(UserError, match='the ids 1, 3, 4'):
        read(tmp_path, text, {1: 0, 3: 1})


def test_an_id_given_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match='a key is there twice'):
        read(tmp_path, '{"0": "cat", "1": "dog", "1": "cow"}')


def test_encodings_are_told_by_their_mark_or_refused_in_words(tmp_path):
    for encoding in ('utf-8', 'utf-8-sig', 'utf-16'):
        assert read(tmp_path, 'größe\nfluß', encoding=encoding) == ['größe', 'fluß']
    with pytest.raises(UserError, match='line 2 is not UTF-8, but Latin-1 perhaps'):
        read(tmp_path, 'see\ngröße', encoding='latin-1')
    with pytest.raises(UserError, match='holds zero bytes.*UTF-16'):
        read(tmp_path, 'see', encoding='utf-16-le')
    with pytest.raises(UserError, match='--classes .*absent cannot be read'):
        class_lists.read(str(tmp_path / 'absent'))


@pytest.mark.parametrize('text, rows', [
    ('128 64 128 road\n0 0 0\tvoid\n', [(None, 'road', [128, 64, 128]), (None, 'void', [0, 0, 0])]),
    ('#804080 road\n#000000: night sky',
     [(None, 'road', [128, 64, 128]), (None, 'night sky', [0, 0, 0])]),
    ('Name Color\nroad (128, 64, 128)\nsky [1 2 3]',
     [(None, 'road', [128, 64, 128]), (None, 'sky', [1, 2, 3])]),
    ('9 sky 1 2 3\n7 road 128 64 128', [(7, 'road', [128, 64, 128]), (9, 'sky', [1, 2, 3])]),
    ('zone 1,1,2,3\nzone 2,4,5,6', [(None, 'zone 1', [1, 2, 3]), (None, 'zone 2', [4, 5, 6])]),
    # What may mean something else, or is not alike.
    ('zone 1 2 3 4', None), ('1,2,3,4', None), ('road 1 2 3\n4 5 6 sky', None), ('road', None),
    ('b,g,r,name\n1,2,3,road', None), ('', None)])
def test_rows_of_names_and_colours_are_read_in_either_order(text, rows):
    assert class_lists.color_rows(text) == rows


def test_ids_of_a_list_are_given_where_it_has_some(tmp_path):
    path = tmp_path / 'classes.txt'
    for text, expected in (('7 road\n11 sky', {7: 'road', 11: 'sky'}),
                           ('7 road 1 2 3\n0 void 0 0 0', {7: 'road', 0: 'void'}),
                           ('road\nsky', None), ('["1 cat", "2 dogs"]', None),
                           ('{"7": "road", "11": "sky"}', {7: 'road', 11: 'sky'}),
                           ('{"sky": 11}', {11: 'sky'}), ('{"sky": [1, 2, 3]}', None)):
        path.write_text(text)
        assert class_lists.ids_of(str(path)) == expected
