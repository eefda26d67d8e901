"""What the values of masks become, where they are no class ids: --map_ids.

Free of images, so that messages can spell the flag that helps.
"""
import argparse
import re

import numpy as np

from common.errors import UserError

FLAG = '--map_ids'
VOID = 'void'
# What pixels without class are called in lists of classes.
VOID_NAMES = ('void', 'ignore', 'ignored', 'unlabeled', 'unlabelled', 'undefined', 'unknown',
              'unclassified', 'boundary', 'border', 'dontcare', "don't care")
LARGEST_VALUE = 65535  # masks have 8 or 16 bits
LARGEST_CLASS = 254  # and one more is the ignore label

_ITEM = re.compile(r'(\d+)(?:-(\d+))?:(?:(\d+)(?:-(\d+))?|%s)\Z' % VOID)


def parse_item(text):
    """Parses '7:2', '7-9:2', '7-9:2-4' or '7-9:void', as an argparse type.

    Returns a dict from value to class id or `VOID`; raises `argparse.ArgumentTypeError`.
    """
    match = _ITEM.match(text)
    if not match:
        raise argparse.ArgumentTypeError(
            '%r is not VALUE:CLASS, as in 7:2, 7-9:2, 7-9:2-4 or 7:%s' % (text, VOID))
    first, last, target, last_target = [group and int(group) for group in match.groups()]
    last = first if last is None else last
    if not first <= last <= LARGEST_VALUE:
        raise argparse.ArgumentTypeError('%r: values rise, up to %d' % (text, LARGEST_VALUE))
    if target is None:
        return {value: VOID for value in range(first, last + 1)}
    if max(target, last_target or 0) > LARGEST_CLASS:
        raise argparse.ArgumentTypeError('%r: class ids are 0..%d' % (text, LARGEST_CLASS))
    if last_target is None:
        return {value: target for value in range(first, last + 1)}
    if last - first != last_target - target:
        raise argparse.ArgumentTypeError('%r: the ranges are of different length' % text)
    return {value: target + value - first for value in range(first, last + 1)}


def merge(items):
    """Joins what `parse_item` returned; raises `UserError` where two name the same value."""
    mapping = {}
    for item in items:
        twice = sorted(set(item) & set(mapping))
        if twice:
            raise UserError('%s names %d twice; give each value once.' % (FLAG, twice[0]))
        mapping.update(item)
    return mapping


def spell(mapping):
    """Returns the shortest text of the flag for a dict from value to class id or `VOID`."""
    runs = []  # [first value, last value, first target, last target, whether targets rise]
    for value, target in sorted(mapping.items()):
        run = runs[-1] if runs else None
        rises = bool(run) and VOID not in (target, run[3]) and target == run[3] + 1
        if run and value == run[1] + 1 and (rises or target == run[3]) and (
                run[4] in (None, rises)):
            run[1:] = [value, run[2], target, rises]
        else:
            runs.append([value, value, target, target, None])
    return FLAG + ''.join(
        ' %d%s:%s%s' % (first, '-%d' % last if last > first else '', target,
                        '-%d' % last_target if rises else '')
        for first, last, target, last_target, rises in runs)


def without(void, number_of_classes):
    """Returns the flag that makes ids of a list void and closes the gaps that they leave.

    Args:
      void: ids in 0..number_of_classes - 1.
      number_of_classes: int, with those of `void`.
    """
    left = iter(range(number_of_classes))
    return spell({value: VOID if value in void else next(left)
                  for value in range(number_of_classes)})


def zero_is_void(number_of_classes):
    """Returns a dict as of `merge`, for masks in which 0 is void and classes start at 1."""
    return {value: value - 1 if value else VOID for value in range(number_of_classes + 1)}


def from_one(number_of_classes):
    """Returns the flag for masks whose ids start at 1."""
    return spell({class_id + 1: class_id for class_id in range(number_of_classes)})


def in_order(values, number_of_classes, ignore_label):
    """Returns the flag that makes values the classes in their order, or None for another number.

    The ignore label counts as one of the values only where the number asks for it.
    """
    for chosen in ([value for value in values if value != ignore_label], values):
        if len(chosen) == number_of_classes and can_name(chosen):
            return spell({int(value): place for place, value in enumerate(chosen)})
    return None


def can_name(values):
    """Whether the flag can name all of ascending `values`."""
    return 0 <= values[0] and values[-1] <= LARGEST_VALUE


def unnamed(ignore_label):
    """Advises on values that the flag cannot name."""
    return ('masks hold 0..%d: save them as PNG of class ids, with void as %d'
            % (LARGEST_VALUE, ignore_label))


def object_drawn_as(ignore_label, class_names):
    """Advises on masks that hold nothing but 0 and the ignore label.

    Args:
      ignore_label: int.
      class_names: those of the list, or None where there is none.

    Returns:
      Sentences.
    """
    flag = spell({0: 0, ignore_label: 1})
    if class_names is None:
        return ('If %d stands for an object, its pixels need a class id instead: give %s, and '
                '--classes with a line for background and one for the object (build_folder.py).'
                % (ignore_label, flag))
    if len(class_names) == 1:
        return ('With %r alone there is nothing to tell apart: add background to --classes as '
                'the first line. If %d stands for %r, then give %s to build_folder.py; if 0 does, '
                'and %d for all else, %s. In a palette, call void background.'
                % (class_names[0], ignore_label, class_names[0], flag, ignore_label,
                   spell({0: 1, ignore_label: 0})))
    return ('If %d stands for an object, its pixels need the class id instead: %s makes it %r '
            '(build_folder.py).' % (ignore_label, flag, class_names[1]))


def check(mapping, class_names):
    """Raises `UserError` unless the values become all classes of the list, and no other."""
    for value, target in sorted(mapping.items()):
        if target != VOID and target >= len(class_names):
            raise UserError('%s %d:%d: --classes lists %d classes, so ids are 0..%d, or %s.'
                            % (FLAG, value, target, len(class_names), len(class_names) - 1, VOID))
    for class_id in sorted(set(range(len(class_names))) - set(mapping.values())):
        raise UserError(
            '%s: no value becomes class %d, %r. What becomes %s has no line in --classes; ids of '
            'the others are their places there, the first is 0.'
            % (FLAG, class_id, class_names[class_id], VOID))


def apply(mapping, values, ignore_label):
    """Maps values, integers [height, width].

    The ignore label stays what it is where `mapping` does not name it.

    Returns:
      (uint8 [height, width], ascending list of int, the values that have no place in `mapping`).
    """
    table = np.full([LARGEST_VALUE + 1], -1, np.int16)
    table[ignore_label] = ignore_label
    table[list(mapping)] = [ignore_label if target == VOID else target
                            for target in mapping.values()]
    inside = (values >= 0) & (values <= LARGEST_VALUE)
    labels = np.where(inside, table[np.where(inside, values, 0)], -1)
    unknown = np.unique(values[labels < 0])
    return labels.astype(np.uint8), [int(value) for value in unknown]
