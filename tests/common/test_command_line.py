"""command_line.py: a wrong flag is answered in two lines, with the nearest one."""
import os

import pytest

from common import command_line, flag_types
from tests.helpers import ROOT


def refusal(capsys, *argv):
    """The lines with which a small parser refuses."""
    parser = command_line.Parser('What it does.')
    parser.prog = 'train.py'
    parser.add_argument('--crop_size', type=flag_types.positive_int, help='h' * 80)
    parser.add_argument('--learning_rate_decay', type=flag_types.any_number)
    parser.add_argument('--starting_learning_rate', metavar='A_LONG_NAME')
    parser.add_argument('--output_stride', type=flag_types.whole_number, choices=(8, 16))
    parser.add_argument('--checkpoint', required=True)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(list(argv))
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize('argv, message', [
    # Before the complaint that --checkpoint is missing: it is what was meant.
    (['--checkpont', 'x'],
     '--checkpont is no flag here; the nearest: --checkpoint. train.py --help lists all.'),
    (['--crop-size=5'],
     '--crop-size is no flag here; the nearest: --crop_size. train.py --help lists all.'),
    (['--learning_rate', '1'], '--learning_rate is no flag here; the nearest: '
     '--learning_rate_decay, --starting_learning_rate. train.py --help lists all.'),
    (['--crop', '5'],  # no abbreviations
     '--crop is no flag here; the nearest: --crop_size. train.py --help lists all.'),
    (['--lr', '5'], '--lr is no flag here. train.py --help lists all.'),
    (['--checkpoint', 'x', '-crop_size', '5'],
     '-crop_size is no flag here; the nearest: --crop_size. train.py --help lists all.'),
    (['--checkpoint', 'x', 'output_stride', '8'],
     'output_stride is no flag here; the nearest: --output_stride. train.py --help lists all.'),
    (['--crop_size', 'x'], 'argument --crop_size: x is not a whole number of at least 1'),
    (['--learning_rate_decay', 'nan'], 'argument --learning_rate_decay: nan is not a number'),
    (['--output_stride', '8.5'], 'argument --output_stride: 8.5 is not a whole number')])
def test_a_wrong_flag_is_answered_in_two_lines(capsys, argv, message):
    usage, error = refusal(capsys, *argv)
    assert usage.startswith('usage: train.py [-h] [--crop_size CROP_SIZE]')
    assert usage.endswith(' ...')
    assert error == 'train.py: error: ' + message


def test_values_that_look_like_flags_are_values_behind_an_equals_sign_and_with_blanks():
    parser = command_line.Parser('What it does.')
    parser.add_argument('--mask_suffix')
    parser.add_argument('paths', nargs='*')
    assert parser.parse_args(['--mask_suffix=--mask']).mask_suffix == '--mask'
    assert parser.parse_args(['--', '--odd', 'b']).paths == ['--odd', 'b']
    assert parser.parse_args(['--my photo.jpg']).paths == ['--my photo.jpg']


def test_help_begins_with_the_description_as_it_is(capsys):
    with pytest.raises(SystemExit) as ended:
        command_line.Parser('One.\n\n    python train.py\n', epilog='a\n  b').parse_args(['--help'])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert '\nOne.\n\n    python train.py\n' in text and text.endswith('a\n  b\n')


def test_every_parser_is_this_one():
    found = []
    for folder, _, names in os.walk(ROOT):
        if os.path.relpath(folder, ROOT).split(os.sep)[0].startswith(('.', 'tests', 'runs')):
            continue
        for name in names:
            if name.endswith('.py') and name != 'command_line.py':
                with open(os.path.join(folder, name), encoding='utf-8') as source:
                    if 'argparse.ArgumentParser(' in source.read():
                        found.append(name)
    assert not found
