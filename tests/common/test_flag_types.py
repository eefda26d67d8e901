"""flag_types.py: what each type takes, and in which words it refuses."""
import argparse
import os

import pytest

from common import flag_types


@pytest.mark.parametrize('name, good, bad, what', [
    ('whole_number', ['0', '-7', '12'], ['1.5', 'x', '', 'nan'], 'a whole number'),
    ('positive_int', ['1', '12'], ['0', '-1', '1.5', 'x'], 'a whole number of at least 1'),
    ('non_negative_int', ['0', '12'], ['-1', '0.5'], 'a whole number of at least 0'),
    ('any_number', ['-1.5', '0', '1e3'], ['nan', 'inf', 'x'], 'a number'),
    ('non_negative_float', ['0', '1e-5'], ['-0.1', 'nan', 'inf'], 'a number of at least 0'),
    ('positive_float', ['0.1'], ['0', 'inf', 'nan'], 'a number above 0'),
    ('share', ['0.1', '1'], ['0', '1.1', 'nan'], 'a number above 0 and at most 1'),
    ('fraction', ['0.1'], ['0', '1', 'nan'], 'a number between 0 and 1'),
    ('decay_rate', ['0', '0.9'], ['1', '-0.1', 'nan'], 'a number of at least 0 and below 1')])
def test_numbers_are_taken_or_refused_in_words(name, good, bad, what):
    parse = getattr(flag_types, name)
    assert [parse(text) for text in good] == [float(text) for text in good]
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError) as refused:
            parse(text)
        assert str(refused.value) == '%s is not %s' % (text, what)


def test_the_home_folder_is_put_for_its_sign_at_the_start_alone(monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    assert flag_types.path('~/photos') == os.path.join('/home/me', 'photos')
    assert flag_types.path('photos/~a') == 'photos/~a'
