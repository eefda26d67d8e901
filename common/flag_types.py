"""Types of command-line flags, for argparse; each says what it takes."""
import argparse
import os

_INFINITY = float('inf')


def number(kind, what, accepts):
    """Makes an argparse type of numbers.

    Args:
      kind: int or float.
      what: str, what is taken, in words: `x is not a whole number of at least 1`.
      accepts: function of the number, returns bool; False of NaN.

    Returns:
      A function of text.
    """
    def parse(text):
        try:
            value = kind(text)
            is_accepted = accepts(value)
        except ValueError:
            is_accepted = False
        if not is_accepted:
            raise argparse.ArgumentTypeError('%s is not %s' % (text, what))
        return value
    parse.__name__ = what
    return parse


def path(text):
    """A path, in which `~` is the home folder: shells leave `--flag=~/photos` as it is."""
    return os.path.expanduser(text)


whole_number = number(int, 'a whole number', lambda value: True)
positive_int = number(int, 'a whole number of at least 1', lambda value: value >= 1)
non_negative_int = number(int, 'a whole number of at least 0', lambda value: value >= 0)
any_number = number(float, 'a number', lambda value: -_INFINITY < value < _INFINITY)
non_negative_float = number(float, 'a number of at least 0', lambda value: 0 <= value < _INFINITY)
positive_float = number(float, 'a number above 0', lambda value: 0 < value < _INFINITY)
share = number(float, 'a number above 0 and at most 1', lambda value: 0 < value <= 1)
fraction = number(float, 'a number between 0 and 1', lambda value: 0 < value < 1)
decay_rate = number(float, 'a number of at least 0 and below 1', lambda value: 0 <= value < 1)
