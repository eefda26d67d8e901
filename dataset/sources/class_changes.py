"""Classes that are joined or left out, of any source: --merge and --drop."""
import argparse
import shlex

import numpy as np

from common.errors import UserError
from dataset import descriptor
from dataset.sources import decoding, notes


def parse_merge(text):
    """Parses 'road=street,lane', as an argparse type; returns ('road', ['street', 'lane'])."""
    name, equals, others = text.partition('=')
    others = [other.strip() for other in others.split(',')]
    if not equals or not name.strip() or not all(others):
        raise argparse.ArgumentTypeError(
            '%r is not NEW=NAME,NAME, as in road=street,lane' % text)
    return name.strip(), others


def add_flags(parser):
    """Adds the flags that change which classes there are."""
    parser.add_argument('--merge', action='append', type=parse_merge, metavar='NEW=NAME,NAME',
                        help='make one class of several, as road=street,lane, in the place of the '
                             'first; background=car makes cars background; may be repeated')
    parser.add_argument('--drop', action='append', metavar='NAME',
                        help='a class whose pixels become void, without class; may be repeated')


def changed(source, merges=None, drops=None, order=None):
    """Joins, leaves out and orders classes of a source.

    Args:
      source: `contract.Source`.
      merges: list of what `parse_merge` returns, or None.
      drops: list of str, or None.
      order: list of str, all classes that shall be there in the end, further ones too; or None.

    Returns:
      `contract.Source`.

    Raises:
      UserError: there is no such class, one or none is left, or `order` lacks a class.
    """
    if not merges and not drops and not order:
        return source
    names, targets = _plan(list(source.class_names), merges or (), drops or ())
    if order:
        names, targets = _ordered(names, targets, order)
    if len(names) == 1 < len(source.class_names):
        raise UserError('--merge and --drop leave one class, %r, of %s: there is nothing to tell '
                        'it from. Leave more.' % (names[0], ', '.join(source.class_names)))
    before = descriptor.create(source.name, source.class_names, source.ignore_label)
    colors = None  # as where the source has none for a class
    if source.colors and set(range(len(names))) <= set(targets):
        colors = [source.colors[targets.index(label)] for label in range(len(names))]
    return source._replace(
        class_names=names, colors=colors,
        parts=[part._replace(reader=ChangedClassesReader(part.reader, before, targets))
               for part in source.parts])


def _plan(names, merges, drops):
    """Returns (names that are left, for each of `names` its new class id or None)."""
    renamed, named = {name: name for name in names}, {}
    for flag, name in [('--merge', name) for _, others in merges for name in others] + [
            ('--drop', name) for name in drops]:
        if name not in renamed:
            raise UserError('%s: there is no class %r, but %s.'
                            % (flag, name, ', '.join(names)))
        if name in named:
            raise UserError('%s names the class %r, which %s names too; give it once.'
                            % (flag, name, named[name]))
        named[name] = flag
    renamed.update(dict.fromkeys(drops))
    for new, others in merges:
        if new in drops:
            raise UserError('--merge makes a class %r, but --drop makes the one of that name void. '
                            'Give another name, or leave out --drop.' % new)
        renamed.update((name, new) for name in others)
    left = list(dict.fromkeys(renamed[name] for name in names if renamed[name] is not None))
    if not left:
        raise UserError('--drop leaves no class of %s.' % ', '.join(names))
    return left, [None if renamed[name] is None else left.index(renamed[name]) for name in names]


def _ordered(names, targets, order):
    """Returns what `_plan` does, in an order that may write background as _background_."""
    places = []
    for name in names:
        same = [other for other in order if other.strip('_') == name.strip('_')]
        if not same:
            raise UserError('--classes lacks %r, but lists %s. Add it, or give --drop %s.'
                            % (name, ', '.join(order), shlex.quote(name)))
        places.append(order.index(name if name in order else same[0]))
    return list(order), [None if target is None else places[target] for target in targets]


class ChangedClassesReader:
    """A reader, as `contract` describes it, of what another one reads, with other classes.

    Args:
      reader: as `contract` describes it, or None.
      before: `descriptor.DatasetInfo` of what it reads.
      targets: list, for each of its classes the class id that it becomes, or None for void.
    """

    def __init__(self, reader, before, targets):
        self.reader, self.before, self.targets = reader, before, targets
        self.may_crash = getattr(reader, 'may_crash', False)

    def __call__(self, example, info):
        read = self.reader or decoding.read_labels
        labels = decoding.check_labels(np.asarray(read(example, self.before)), self.before,
                                       decoding.name_of(example, 'mask'))
        table = np.full([descriptor.LARGEST_LABEL + 1], info.ignore_label, np.uint8)
        table[:len(self.targets)] = [info.ignore_label if target is None else target
                                     for target in self.targets]
        table[self.before.ignore_label] = info.ignore_label
        notes.map_colors(lambda index: int(table[index]))
        return table[labels]

    @property
    def key(self):
        return 'classes %s of %s, %s' % (self.targets, list(self.before.class_names),
                                         getattr(self.reader, 'key', 'ids'))
