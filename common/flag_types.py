"""Types of command-line flags, for argparse; each says what it takes."""
import argparse
import os

_INFINITY = float('inf')


def number(name, kind, accepts, fault):
    """Makes an argparse type of numbers.

    Args:
      name: str, which argparse shows where the text is no number.
      kind: int or float.
      accepts: function of the number, returns bool; False of NaN.
      fault: str, what the message says of a number that is not accepted.

    Returns:
      A function of text.
    """
    def parse(text):
        value = kind(text)
        if not accepts(value):
            raise argparse.ArgumentTypeError('%s is %s' % (text, fault))
        return value
    parse.__name__ = name
    return parse


def path(text):
    """A path, in which `~` is the home folder: shells leave `--flag=~/photos` as it is."""
    return os.path.expanduser(text)


positive_int = number('positive_int', int, lambda value: value >= 1,
                      'not a positive whole number')
non_negative_int = number('non_negative_int', int, lambda value: value >= 0,
                          'not a whole number of at least 0')
non_negative_float = number('non_negative_float', float, lambda value: 0 <= value < _INFINITY,
                            'not a number of at least 0')
positive_float = number('positive_float', float, lambda value: 0 < value < _INFINITY,
                        'not a number above 0')
share = number('share', float, lambda value: 0 < value <= 1, 'not in (0, 1]')
fraction = number('fraction', float, lambda value: 0 < value < 1, 'not between 0 and 1')
decay_rate = number('decay_rate', float, lambda value: 0 <= value < 1, 'not in [0, 1)')
