"""dataset/sources/id_maps.py: what values become, spelled and read back."""
import argparse

import numpy as np
import pytest

from common.errors import UserError
from dataset.sources import id_maps


def parse(text):
    return id_maps.merge(map(id_maps.parse_item, text.split()))


def test_ranges_shift_or_join_and_void_is_no_class():
    assert parse('0:void 1-3:0-2 7:2 8-9:1') == {
        0: id_maps.VOID, 1: 0, 2: 1, 3: 2, 7: 2, 8: 1, 9: 1}


@pytest.mark.parametrize('text', [
    '0:void 1-3:0-2', '0-2:0 3:1', '0-1:void 5:0', '1:0 3-4:1-2', '0:1 1-2:0', '65535:0',
    '0-2:0-2 3-4:void 5-6:3-4'])
def test_spelling_is_short_and_means_the_same(text):
    assert id_maps.spell(parse(text)) == '--map_ids ' + text
    assert parse(id_maps.spell(parse(text))[len('--map_ids '):]) == parse(text)


@pytest.mark.parametrize('text, words', [
    ('1', 'not VALUE:CLASS'), ('a:1', 'not VALUE:CLASS'), ('1:cat', 'not VALUE:CLASS'),
    ('3-1:0', 'values rise'), ('65536:0', 'up to 65535'), ('1-3:0-1', 'different length'),
    ('1-2:void-3', 'not VALUE:CLASS'), ('7:255', 'ids are 0..254'),
    ('0-9:250-259', 'ids are 0..254')])
def test_unusable_texts_are_refused(text, words):
    with pytest.raises(argparse.ArgumentTypeError, match=words):
        id_maps.parse_item(text)


def test_a_value_named_twice_and_classes_too_many_or_without_value_are_refused():
    with pytest.raises(UserError, match='names 2 twice'):
        parse('1-2:0 2:1')
    id_maps.check(parse('0:void 5:0 7:1'), ['cat', 'dog'])
    with pytest.raises(UserError, match='7:2: --classes lists 2 classes, so ids are 0..1, or void'):
        id_maps.check(parse('5:0 6:1 7:2'), ['cat', 'dog'])
    # Void's name was left in the list.
    with pytest.raises(UserError, match="no value becomes class 2, 'dog'.*void has no line"):
        id_maps.check(parse('0:void 1:0 2:1'), ['void', 'cat', 'dog'])


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int32])
def test_values_are_mapped_whatever_their_type(dtype):
    values = np.array([[0, 7, 200], [255, 9, 7]], dtype)
    labels, unknown = id_maps.apply(parse('0:void 7:0 9:1 200:1'), values, 255)
    assert labels.dtype == np.uint8 and labels.tolist() == [[255, 0, 1], [255, 1, 0]]
    assert unknown == []


def test_large_values_are_mapped_and_those_without_a_place_are_listed():
    values = np.array([[1000, 26001, 26999, 5], [70000, -1, 9, 9]], np.int32)
    labels, unknown = id_maps.apply(parse('1000:0 26000-26999:1 9:void'), values, 9)
    assert labels[0, :3].tolist() == [0, 1, 1] and unknown == [-1, 5, 70000]


def test_the_ignore_label_stays_unless_it_is_named():
    values = np.array([[0, 255]], np.uint8)
    assert id_maps.apply({0: 0}, values, 255)[0].tolist() == [[0, 255]]
    assert id_maps.apply({0: 0, 255: 1}, values, 255)[0].tolist() == [[0, 1]]


def test_flags_for_void_ids_and_ids_from_1_are_spelled():
    assert id_maps.without({0}, 3) == '--map_ids 0:void 1-2:0-1'
    assert id_maps.without([1, 3], 4) == '--map_ids 0:0 1:void 2:1 3:void'
    assert id_maps.from_one(1) == '--map_ids 1:0' and id_maps.from_one(20) == '--map_ids 1-20:0-19'
    assert id_maps.in_order([0, 7, 11, 255], 3, 255) == '--map_ids 0:0 7:1 11:2'
    assert id_maps.in_order([0, 128, 255], 3, 255) == '--map_ids 0:0 128:1 255:2'
    assert id_maps.in_order([0, 7], 3, 255) is None
    assert id_maps.in_order([-1, 0, 1], 3, 255) is None
