"""dataset/sources/splits.py: the derived lists are the published ones, wrong files are named."""
import collections
import os

import pytest

from common.errors import UserError
from dataset.sources import splits
from tests.helpers import SHARED

LISTS = os.path.join(SHARED, 'data', 'splits')


def shared_ids(name):
    """Returns the ids of a real list in the shared folder, or skips the test."""
    path = os.path.join(LISTS, name + '.txt')
    if not os.path.exists(path):
        pytest.skip('needs %s, which is not part of a clone' % os.path.normpath(path))
    return splits.read_ids(path)


def write(path, ids):
    """Writes a list, the folders above it included."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as list_file:
        list_file.write(''.join(image_id + '\n' for image_id in ids))


@pytest.fixture
def paths(tmp_path):
    """Writes the official lists, as far as they are known, and returns their paths.

    Of VOC train 330 ids are known and that all others are in the SBD parts; of SBD val
    2,299 and that all others are in VOC val; of SBD train how many are new to the rest.
    """
    known = {name: shared_ids(name) for name in (
        'voc2012_train_not_in_sbd_lists', 'sbd_val_minus_voc2012_val', 'sbd_train_noval',
        'voc2012_val')}
    lonely, val_part, train_noval, voc_val = known.values()
    lists = {
        'voc_train': sorted(lonely + val_part[:1134]),
        'voc_val': voc_val,
        'sbd_val': sorted(val_part + voc_val[:558]),
        'sbd_train_noval': train_noval,
    }
    both = set(val_part) & set(train_noval)
    new = ['2012_9%05d' % index for index in range(10582 - 8233)]
    lists['sbd_train'] = ([image_id for image_id in train_noval if image_id not in both] + new
                          + voc_val[558:])[:8498]
    # The rest of SBD train is in VOC val too.
    assert len(lists['sbd_train']) == 8498
    result = splits.list_paths(str(tmp_path / 'voc'), str(tmp_path / 'sbd'))
    for key, path in result.items():
        write(path, lists[key])
    return result


def change(path, edit):
    """Rewrites a list as `edit(ids)`."""
    write(path, edit(splits.read_ids(path)))


def test_post_list_is_the_published_one_line_by_line(paths):
    derived = splits.post_list(paths)
    assert derived.ids == shared_ids('voc_aug_8252') and not derived.problems
    assert len(derived.ids) == 8252 and len(set(derived.ids)) == 8233
    assert not set(derived.ids) & set(shared_ids('voc2012_val'))


def test_post_list_fingerprint_is_the_published_lists():
    assert splits.fingerprint(set(shared_ids('voc_aug_8252'))) == splits.POST_SHA256


def test_fingerprint_is_sha256_of_sorted_lines():
    # printf 'a\nb' | sha256sum
    assert splits.fingerprint(['b', 'a']) == (
        '7e18f737311b2dc3b2f269dd78396b0351f14fb66efa879f768cb23181883c78')


@pytest.mark.parametrize('key', ['voc_train', 'voc_val', 'sbd_val', 'sbd_train_noval'])
def test_post_list_names_the_file_that_is_too_short_and_both_counts(paths, key):
    change(paths[key], lambda ids: ids[:-3])
    problem, = splits.post_list(paths).problems
    count = splits.OFFICIAL[key].count
    assert problem == '%s lists %d images; the official %s lists %d.' % (
        paths[key], count - 3, splits.OFFICIAL[key].what, count)


@pytest.mark.parametrize('key, words', [
    ('voc_val', 'but other ones: sha256'), ('sbd_train_noval', 'but other ones: sha256'),
    ('sbd_val', 'VOC 2012 val is 2298 images, not 2299'),
    ('voc_train', 'neither SBD part is 329 images, not 330')])
def test_post_list_names_the_file_of_right_length_that_lists_other_images(paths, key, words):
    # The first line of VOC train is one of the 330; that of SBD val is in VOC val.
    place = 0 if key != 'sbd_val' else -1
    other = {'voc_train': shared_ids('sbd_train_noval')[0], 'sbd_val': '2007_000033'}

    def exchange(ids):
        ids[place] = other.get(key, '2030_000000')
        return ids

    change(paths[key], exchange)
    problem, = splits.post_list(paths).problems
    assert problem.startswith(paths[key]) and words in problem


@pytest.mark.parametrize('key', ['sbd_val', 'voc_train'])
def test_post_list_sees_an_exchanged_id_that_keeps_all_counts(paths, key):
    known = set(shared_ids('voc2012_val' if key == 'sbd_val' else 'sbd_val_minus_voc2012_val'))
    change(paths[key], lambda ids: ['2030_000000'] + [
        image_id for image_id in ids if image_id in known] + [
        image_id for image_id in ids if image_id not in known][1:])
    problem, = splits.post_list(paths).problems
    assert problem.startswith(paths[key]) and 'names other images: sha256' in problem


def test_train_aug_is_voc_train_and_sbd_without_voc_val(paths):
    derived = splits.train_aug_list(paths)
    assert not derived.problems and len(derived.ids) == len(set(derived.ids)) == 10582
    assert set(shared_ids('voc_aug_8252')) <= set(derived.ids)
    assert not set(derived.ids) & set(shared_ids('voc2012_val'))


def test_train_aug_names_wrong_files(paths):
    change(paths['sbd_train'], lambda ids: ids[1:] + [ids[1]])
    problem, = splits.train_aug_list(paths).problems
    assert ('10582' in problem and paths['sbd_train'] in problem
            and paths['voc_train'] in problem)
    change(paths['sbd_train'], lambda ids: ids + ['2030_000001'])
    problem, = splits.train_aug_list(paths).problems
    assert problem == '%s lists 8499 images; the official SBD train lists 8498.' % (
        paths['sbd_train'])


def test_small_other_lists_still_derive_in_the_posts_order(tmp_path):
    small = splits.list_paths(str(tmp_path), str(tmp_path))
    for key, ids in (('voc_train', 'abc'), ('voc_val', 'vw'), ('sbd_val', 'wbd'),
                     ('sbd_train_noval', 'dea'), ('sbd_train', 'ev')):
        small[key] = str(tmp_path / (key + '.txt'))
        write(small[key], ids)
    derived = splits.post_list(small)
    assert ''.join(derived.ids) == 'c' + 'bd' + 'dea'
    assert len(derived.problems) == 4
    assert ''.join(splits.train_aug_list(small).ids) == 'abcde'


def test_read_ids_takes_first_words_and_names_unusable_files(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_bytes(b'\xef\xbb\xbfx  1\r\n\r\ny -1\r\n')
    assert splits.read_ids(str(path)) == ['x', 'y']
    path.write_text('\n')
    with pytest.raises(UserError, match='a.txt names no image'):
        splits.read_ids(str(path))
    with pytest.raises(UserError, match='b.txt cannot be read'):
        splits.read_ids(str(tmp_path / 'b.txt'))


def test_hold_out_of_the_post_list_has_825_lines_and_no_id_on_both_sides():
    ids = shared_ids('voc_aug_8252')
    train, validation = splits.hold_out(ids, 0.1, 0)
    assert len(validation) == 825 and len(train) == 7427
    assert sorted(train + validation) == list(range(8252))
    assert not {ids[i] for i in train} & {ids[i] for i in validation}


@pytest.mark.parametrize('seed', range(5))
def test_hold_out_never_tears_equal_keys_apart(seed):
    keys = list('aabbccddeeffgghhij')
    train, validation = splits.hold_out(keys, 0.4, seed)
    # 7 are wanted; where both single keys are held out, 7 cannot be reached with pairs.
    assert len(validation) in (6, 7) and len(train) + len(validation) == len(keys)
    assert not {keys[i] for i in train} & {keys[i] for i in validation}


def test_hold_out_follows_the_seed_and_not_the_order_of_the_keys():
    keys = ['k%d' % index for index in range(40)]

    def held(keys, seed):
        return {keys[i] for i in splits.hold_out(keys, 0.25, seed)[1]}

    assert held(keys, 3) == held(keys, 3) == held(keys[::-1], 3)
    assert len({frozenset(held(keys, seed)) for seed in range(5)}) == 5
    # Of this seed, for ever: a data set that is built again must not move its borders.
    assert held(keys[:8], 0) == {'k2', 'k6'}


@pytest.mark.parametrize('keys, fraction, sizes', [
    ('ab', 0.01, (1, 1)), ('ab', 0.99, (1, 1)), ('abc', 0.5, (1, 2)), ('aaabbb', 0.1, (3, 3)),
    ('aaabb', 0.1, (3, 2)), ('aaaab', 0.5, (4, 1))])
def test_hold_out_leaves_neither_side_of_a_tiny_list_empty(keys, fraction, sizes):
    assert tuple(len(side) for side in splits.hold_out(list(keys), fraction, 0)) == sizes


@pytest.mark.parametrize('keys', ['', 'a', 'aaa'])
def test_hold_out_needs_two_different_keys(keys):
    with pytest.raises(UserError, match='two\\s+different .* With --split train '):
        splits.hold_out(list(keys), 0.5, 0)


def test_drop_repeats_keeps_first_copies_in_order():
    assert splits.drop_repeats(list('bacab')) == list('bac')
    counts = collections.Counter(shared_ids('voc_aug_8252'))
    assert sum(count - 1 for count in counts.values()) == 19
