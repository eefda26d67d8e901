"""options.py: the flags of how images pass the network."""
import argparse

import pytest

from common.errors import UserError
from inference import options


def parse(*argv):
    parser = argparse.ArgumentParser()
    options.add_flags(parser)
    return parser.parse_args(argv)


def test_without_flags_images_pass_once_and_whole():
    assert options.passes_of(parse()) == options.SINGLE_PASS


def test_the_overlap_is_a_quarter_of_the_window_unless_given():
    assert options.passes_of(parse('--window', '513')).overlap == 128
    assert options.passes_of(parse('--window', '513', '--overlap', '0')).overlap == 0
    passes = options.passes_of(parse('--scales', '0.5', '1', '--flip'))
    assert passes == options.Passes((0.5, 1.0), True, None, 0)


@pytest.mark.parametrize('argv, message', [
    (['--overlap', '9'], '--overlap 9 without --window'),
    (['--window', '65', '--overlap', '65'], '--window 65 --overlap 65: .* smaller')])
def test_flags_that_do_not_go_together_are_refused(argv, message):
    with pytest.raises(UserError, match=message):
        options.passes_of(parse(*argv))


@pytest.mark.parametrize('argv, message', [
    (['--scales', '0'], 'not a number above 0 and at most 8'),
    (['--scales', '-1'], 'not a number above 0 and at most 8'),
    (['--scales', 'nan'], 'not a number above 0 and at most 8'),
    (['--window', '7'], '7 is not a whole number of at least 33'),
    (['--overlap', '-1'], '-1 is not a whole number of at least 0'),
    (['--window', 'x'], 'x is not a whole number of at least 33'),
    (['--save_submission', 'comp7'], 'comp5')])
def test_values_that_make_no_sense_are_refused(argv, message, capsys):
    with pytest.raises(SystemExit):
        parse(*argv)
    assert message in capsys.readouterr().err


def test_a_submission_is_of_a_network_that_saw_more_than_voc_unless_told():
    assert parse('--save_submission').save_submission == 'comp6'
    assert parse().save_submission is None
