"""dataset/building.py: a format of a few lines is built, and everything ends in one message."""
import re

import numpy as np
import pytest

from common.errors import UserError
from common.interpreter import command
from dataset import build_folder, building, descriptor
from dataset.sources import contract, decoding, folder, shapes, voc2012
from tests.helpers.example_files import encoded, grid, labels_by_name, noise


class Quarters:
    """A format whose masks are files of two numbers: the classes left and right."""

    @staticmethod
    def add_flags(parser):
        parser.add_argument('--output_dir', required=True)
        parser.add_argument('--folder', required=True)

    @staticmethod
    def check_flags(args, parser):
        if args.folder == args.output_dir:
            parser.error('--folder is --output_dir')

    @staticmethod
    def read(args):
        example = decoding.Example('a.png', encoded(noise(4, 6)), args.folder + '/a.txt')
        return contract.Source('quarters', ('ground', 'cat'), 255, [
            contract.Part('train', [example], aliases=('more',), reader=read_two_numbers,
                          note='one of them')])


def read_two_numbers(example, info):
    with open(example.mask, encoding='ascii') as mask_file:
        return np.repeat(np.array([mask_file.read().split()], int), [4], 0).repeat(3, 1)


read_two_numbers.key = 'two numbers'


def build(folder_of_masks, output_dir):
    building.run(Quarters, building.parse_args(
        Quarters, 'help', ['--folder', str(folder_of_masks), '--output_dir', str(output_dir)]))


def test_a_format_of_a_few_lines_is_built(tmp_path, capsys):
    (tmp_path / 'a.txt').write_text('0 1')
    for _ in range(2):
        build(tmp_path, tmp_path / 'out')
    info = descriptor.load(str(tmp_path / 'out'))
    assert info.class_names == ('ground', 'cat') and sorted(info.splits) == ['more', 'train']
    printed = capsys.readouterr().out
    assert printed.startswith('one of them\ntrain and more: 1 images, 2 classes')
    assert '  1 cat               50.00 %' in printed and 'Next: ' + command('train.py') in printed
    assert '1 of 1 shards were there already' in printed


def test_what_a_user_can_mend_ends_in_one_message(tmp_path, capsys):
    with pytest.raises(SystemExit, match='a.txt cannot be read'):
        build(tmp_path, tmp_path / 'out')
    with pytest.raises(SystemExit):
        build(tmp_path, tmp_path)
    assert '--folder is --output_dir' in capsys.readouterr().err


@pytest.mark.parametrize('raised, status, said', [
    (KeyboardInterrupt(), 130, 'Stopped. The same command again goes on'),
    (UserError('no such thing'), 'no such thing', '')])
def test_interrupted_builder_says_how_to_go_on(raised, status, said, capsys):
    class Interrupted:
        @staticmethod
        def read(args):
            raise raised

    with pytest.raises(SystemExit) as error:
        building.run(Interrupted, None)
    assert error.value.code == status and capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize('source', [folder, shapes, voc2012])
def test_sources_keep_the_contract(source):
    for name in ('add_flags', 'check_flags', 'read'):
        assert '    %s(' % name in contract.__doc__ and getattr(source, name).__doc__


def write_six(directory, good=()):
    """Writes six pairs, whose masks are empty files but for the good ones; returns flags."""
    for folder_name in ('images', 'masks'):
        (directory / folder_name).mkdir(exist_ok=True)
    for number in range(6):
        (directory / 'images' / ('%d.png' % number)).write_bytes(encoded(noise(seed=number)))
        (directory / 'masks' / ('%d.png' % number)).write_bytes(
            encoded(grid([0, 1])) if number in good else b'')
    (directory / 'classes.txt').write_text('ground\ncat\n')
    return ['--images', str(directory / 'images'), '--masks', str(directory / 'masks'),
            '--classes', str(directory / 'classes.txt'), '--validation_fraction', '0.5',
            '--output_dir', str(directory / 'out'), '--num_shards', '1']


def test_all_bad_files_of_all_splits_are_named_at_once(tmp_path):
    flags = write_six(tmp_path)
    with pytest.raises(SystemExit) as error:
        build_folder.main(flags)
    message = str(error.value)
    for number in range(6):
        assert message.count('masks/%d.png cannot be decoded' % number) == 1
    for split in ('train', 'validation'):
        assert '3 of 3 examples of split %r' % split in message
        assert (tmp_path / 'out' / (split + '-bad-files.txt')).read_text().count('\n') == 3
    build_folder.main(write_six(tmp_path, range(6)))
    assert sorted(descriptor.load(str(tmp_path / 'out')).splits) == ['train', 'validation']


def test_a_split_is_not_replaced_beside_one_that_failed_but_its_shards_are_kept(
        tmp_path, capsys):
    flags = write_six(tmp_path, range(6))
    build_folder.main(flags)
    before = {split: labels_by_name(tmp_path / 'out', split) for split in ('train', 'validation')}
    held = {int(name[0]) for name in before['validation']}
    (tmp_path / 'masks' / ('%d.png' % min(set(range(6)) - held))).write_bytes(b'')
    (tmp_path / 'masks' / ('%d.png' % min(held))).write_bytes(encoded(grid([1, 1, 0])))
    with pytest.raises(SystemExit, match='1 of 3 examples of split .train.'):
        build_folder.main(flags)
    for split, labels in before.items():
        found = labels_by_name(tmp_path / 'out', split)
        assert all((found[name] == labels[name]).all() for name in labels)
    capsys.readouterr()
    build_folder.main(flags + ['--skip_bad'])
    assert '1 of 1 shards were there already' in capsys.readouterr().out
    found = labels_by_name(tmp_path / 'out', 'validation')
    np.testing.assert_array_equal(found['%d.png' % min(held)], grid([1, 1, 0]))


def test_the_next_command_has_the_recipe_that_fits(tmp_path):
    found = building.describe_next('data/mine', str(tmp_path / 'none'))
    assert found.startswith('Next: %s\n' % command('train.py', '--recipe', 'scratch',
                                                   '--dataset_dir', 'data/mine'))
    assert command('train.py', '--recipe', 'finetune') in building.describe_next(
        'data/mine', str(tmp_path))
    # What it says of flags is so.
    assert {'--estimate', '--minutes'} <= set(re.findall(r'--\w+', found))
