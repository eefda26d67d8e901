"""dataset/building.py: a format of a few lines is built, and everything ends in one message."""
import numpy as np
import pytest

from common.errors import UserError
from common.interpreter import command
from dataset import building, descriptor
from dataset.sources import contract, decoding, folder, shapes, voc2012
from tests.helpers.example_files import encoded, noise


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


@pytest.mark.parametrize('raised, words', [
    (KeyboardInterrupt(), 'Stopped. The same command again goes on'),
    (UserError('no such thing'), 'no such thing')])
def test_interrupted_builder_says_how_to_go_on(raised, words):
    class Interrupted:
        @staticmethod
        def read(args):
            raise raised

    with pytest.raises(SystemExit) as error:
        building.run(Interrupted, None)
    assert str(error.value).startswith(words)


@pytest.mark.parametrize('source', [folder, shapes, voc2012])
def test_sources_keep_the_contract(source):
    for name in ('add_flags', 'check_flags', 'read'):
        assert '    %s(' % name in contract.__doc__ and getattr(source, name).__doc__
