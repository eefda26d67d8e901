"""Types of command-line flags, for argparse; each says what it takes. Free of TensorFlow."""
import argparse


def positive_int(text):
    """argparse type: an int of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError('%s is not a positive whole number' % text)
    return value


def non_negative_int(text):
    """argparse type: an int of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError('%s is not a whole number of at least 0' % text)
    return value


def non_negative_float(text):
    """argparse type: a float of at least 0."""
    value = float(text)
    if not value >= 0 or value == float('inf'):
        raise argparse.ArgumentTypeError('%s is not a number of at least 0' % text)
    return value


def positive_float(text):
    """argparse type: a float above 0."""
    value = float(text)
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError('%s is not a number above 0' % text)
    return value


def share(text):
    """argparse type: a float in (0, 1]."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError('%s is not in (0, 1]' % text)
    return value


def decay_rate(text):
    """argparse type: a float in [0, 1)."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError('%s is not in [0, 1)' % text)
    return value
