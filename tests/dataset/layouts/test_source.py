"""dataset/layouts/source.py: splits of layouts, and flags that do or do not go with DIR."""
import collections
import re

import pytest

from common.errors import UserError
from dataset import build_folder, descriptor
from dataset.layouts import source
from dataset.sources import decoding
from tests.dataset.layouts import test_labelme_voc as labelme_voc
from tests.dataset.layouts.test_labelme import rectangle, write_image, write_json

Args = collections.namedtuple('Args', ['folder', 'split', 'validation_fraction', 'seed'],
                              defaults=('DIR', None, None, None))


def examples(count):
    return [decoding.Example('%d.png' % number, b'%d' % number, b'') for number in range(count)]


def divided(parts, **flags):
    """Returns a dict from split to the number of its examples."""
    return {split: len(found) for split, found in source._splits(parts, Args(**flags))}


@pytest.mark.parametrize('flags, expected', [
    ({}, {'train': 8, 'validation': 2}), ({'validation_fraction': 0.5}, {'train': 5,
                                                                         'validation': 5}),
    ({'split': 'test'}, {'test': 10})])
def test_what_has_no_splits_is_divided_by_the_flags_or_a_fifth_held_out(flags, expected, capsys):
    assert divided([(None, examples(10))], **flags) == expected
    assert ('0.2 of the 10 images are held out' in capsys.readouterr().out) == (not flags)


def test_the_seed_chooses_what_is_held_out():
    chosen = [tuple(example.filename for example in dict(source._splits(
        [(None, examples(10))], Args(seed=seed)))['validation']) for seed in (None, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_splits_of_the_folder_stay_and_validation_can_be_taken_from_train(capsys):
    parts = [('test', examples(3)), ('train', examples(10)), ('validation', [])]
    assert divided(parts) == {'test': 3, 'train': 10}
    assert '--validation_fraction 0.2 takes one from train' in capsys.readouterr().out
    assert divided(parts, validation_fraction=0.2) == {'test': 3, 'train': 8, 'validation': 2}


def test_a_split_that_stands_alone_can_be_taken_otherwise(capsys):
    parts = [('test', examples(10))]
    assert divided(parts) == {'test': 10}
    assert 'All of DIR is of the split test, as names say: --split train or' in (
        capsys.readouterr().out)
    assert divided(parts, split='train') == {'train': 10}
    assert divided(parts, validation_fraction=0.2) == {'train': 8, 'validation': 2}
    assert not capsys.readouterr().out


def test_where_some_images_are_of_no_split_a_flag_is_asked_for():
    parts = [(None, examples(2)), ('test', examples(3))]
    with pytest.raises(UserError, match='DIR holds images of test, as names say, and others of no '
                                        'split, as 0.png: .*--validation_fraction 0.2 or --split'):
        source._splits(parts, Args())
    assert divided(parts, split='train') == {'train': 5}
    assert divided(parts, validation_fraction=0.2) == {'train': 4, 'validation': 1}
    with pytest.raises(UserError, match=r'splits of its own \(train, test\)'):
        source._splits([('train', examples(2)), ('test', examples(3))], Args(split='train'))


@pytest.mark.parametrize('parts, flags, words', [
    ([('train', examples(2))], {'split': 'test'},
     r'splits of its own \(train\): leave out --split'),
    ([('train', examples(2)), ('validation', examples(1))], {'validation_fraction': 0.5},
     'leave out --validation_fraction 0.5'),
    ([(None, [])], {}, 'DIR holds no labelled image')])
def test_flags_that_contradict_the_folder_are_refused(parts, flags, words):
    with pytest.raises(UserError, match=words):
        source._splits(parts, Args(**flags))


@pytest.mark.parametrize('flags, words', [
    (['DIR', '--images', 'x'], r'--images has no effect on DIR \(DIR\), which says by itself'),
    (['DIR', '--ignore_label', '0'], '--ignore_label has no effect'),
    (['DIR', '--zero_is_ignored'], '--zero_is_ignored has no effect'),
    (['DIR', '--split', 'train', '--seed', '1'], '--seed has no effect without'),
    (['DIR', '--seed', '-1'], r'--seed -1: give 0 to 2\*\*32 - 1'),
    (['DIR', '--format', 'coconut'], 'invalid choice'),
    (['--format', 'labelme', '--split', 'train'], '--format labelme says how DIR is read'),
    (['--images', 'x', '--masks', 'y', '--classes', 'z'],
     'one of the arguments --split --validation_fraction is required'),
    (['--output_dir', 'DIR/out', 'DIR'], 'lies in DIR DIR: the next build would look for images')])
def test_flags_without_effect_are_refused(flags, words, capsys):
    with pytest.raises(SystemExit) as error:
        build_folder.main(['--output_dir', 'out'] + flags)
    assert error.value.code == 2
    assert re.search(words, capsys.readouterr().err)


def build(tmp_path, capsys, *flags):
    """Returns all that a build of a folder printed or ended with."""
    ending = ''
    try:
        build_folder.main([str(tmp_path / 'data'), '--output_dir', str(tmp_path / 'out')]
                          + list(flags))
    except SystemExit as error:
        ending = str(error)
    return capsys.readouterr().out + ending


def test_what_masks_lack_is_said_with_the_class_list_and_the_flags_that_dir_does_not_take(
        tmp_path, capsys):
    data, both = tmp_path / 'data', 'Flags about masks go with --images and --masks, in the place'
    labelme_voc.write_export(data)
    (data / 'class_names.txt').write_text('_background_\nzebra')
    text = build(tmp_path, capsys)
    assert 'a.png holds 2; with 2 classes' in text
    assert '%s lists the classes: add those that it lacks.\n%s of %s.' % (
        data / 'class_names.txt', both, data) in text
    build_folder.main([
        '--images', str(data / 'JPEGImages'), '--masks', str(data / 'SegmentationClass'),
        '--classes', str(data / 'class_names.txt'), '--validation_fraction', '0.2',
        '--output_dir', str(tmp_path / 'out'), '--map_ids', '0:0', '1-2:1'])
    assert descriptor.load(str(tmp_path / 'out')).class_names == ('_background_', 'zebra')
    (data / 'JPEGImages' / 'a.jpg').write_bytes(b'no image')
    (data / 'class_names.txt').write_text('_background_\nzebra\nape')
    assert both not in build(tmp_path, capsys, '--merge', 'zebra=zebra,ape')
    labelme_voc.write_export(tmp_path / 'arrays' / 'data', png='Others')
    (tmp_path / 'arrays' / 'data' / 'class_names.txt').write_text('_background_')
    text = build(tmp_path / 'arrays', capsys)
    assert 'class_names.txt lists the classes' in text and both not in text


def test_name_bands_and_classes_go_with_dir(tmp_path):
    for seed, name in enumerate('ab'):
        write_json(tmp_path / 'data' / (name + '.json'), [rectangle('cat', 0, 0, 1, 1)],
                   name + '.png')
        write_image(tmp_path / 'data' / (name + '.png'), seed)
    (tmp_path / 'names').write_text('cat\nbackground\ndog\n')
    build_folder.main([str(tmp_path / 'data'), '--output_dir', str(tmp_path / 'out'), '--name',
                       'pets', '--bands', '3', '2', '1', '--classes', str(tmp_path / 'names')])
    info = descriptor.load(str(tmp_path / 'out'))
    assert (info.name, info.bands, info.class_names) == (
        'pets', (3, 2, 1), ('cat', 'background', 'dog'))
