"""The source behind build_folder.py: a folder of a known layout, or folders of images and masks."""
import os

from common import flag_types
from common.errors import UserError
from common.interpreter import command
from dataset.layouts import known
from dataset.sources import class_changes, class_lists, contract, folder, parts, views

# What is held out where neither the folder nor a flag says what is validation.
DEFAULT_FRACTION = 0.2
# Flags that describe images and masks which a known layout describes itself.
_OF_FOLDERS = ('images', 'masks', 'list_file', 'image_suffix', 'mask_suffix', 'loose_names',
               'palette', 'map_ids', 'zero_is_ignored', 'ignore_label')


def add_flags(parser):
    """See `dataset.sources.contract`."""
    parser.add_argument('folder', nargs='?', metavar='DIR', type=flag_types.path,
                        help='folder of a labelling tool or a published data set: looks what it '
                             'is, and says how it is read')
    parser.add_argument('--format', choices=known.names(),
                        help='how DIR is read, where several ways fit')
    folder.add_flags(parser)
    class_changes.add_flags(parser)


def check_flags(args, parser):
    """See `dataset.sources.contract`."""
    if args.folder is None:
        if args.format:
            parser.error('--format %s says how DIR is read, and there is none.' % args.format)
        folder.check_flags(args, parser)
        return
    for flag in _OF_FOLDERS:
        if getattr(args, flag) != parser.get_default(flag):
            parser.error('--%s has no effect on DIR (%s), which says by itself what it holds. '
                         'Drop one of them.' % (flag, args.folder))
    folder.check_seed(args, parser)
    folder.check_output_dir(args, parser, 'DIR', args.folder)


def read(args):
    """Returns `dataset.sources.contract.Source`; raises `UserError` on what does not fit."""
    if args.folder is None:
        return class_changes.changed(folder.read(args), args.merge, args.drop)
    layout = known.recognize(args.folder, args.format).read(args.folder, args)
    view = views.of_args(args)
    draws, reader = getattr(layout.reader, 'draws', False), layout.reader
    if args.pages and draws:
        raise UserError('--pages takes a mask for each page, and those of %s are drawn, one an '
                        'image. Leave it out.' % args.folder)
    if args.tile and draws:
        reader = parts.CroppingReader(reader)
    chosen = _splits(layout.parts, args)
    return class_changes.changed(contract.Source(
        args.name or os.path.basename(os.path.abspath(args.output_dir)), layout.class_names,
        layout.ignore_label, [
            contract.Part(split, parts.divide(examples, view, args.pages, args.tile, draws),
                          reader=reader) for split, examples in chosen],
        layout.colors, view.bands, view.value_range, _advice(layout, draws, args)),
        args.merge, args.drop, args.classes and class_lists.read(args.classes))


def _advice(layout, draws, args):
    """Says what helps with masks that do not fit, as DIR takes no flags about them."""
    split, examples = next(part for part in layout.parts if part[1])
    lines = ['%s lists the classes: add those that it lacks.' % layout.class_list
             ] if layout.class_list else []
    if not draws:
        image, mask = [os.path.splitext(os.path.basename(path))[0] for path in examples[0][1:3]]
        shared = len(os.path.commonprefix([image, mask]))
        flags = [('--%ss' % name, os.path.commonpath(
            [os.path.dirname(getattr(example, name)) for example in examples]))
            for name in ('image', 'mask')]
        flags += [('--image_suffix', image[shared:]), ('--mask_suffix', mask[shared:]),
                  ('--palette' if layout.colors and layout.class_list else '--classes',
                   layout.class_list or 'FILE'), ('--split', split),
                  ('--validation_fraction', '' if split else str(DEFAULT_FRACTION))]
        lines.append('Flags about masks have no effect on %s. Add them to\n  %s' % (
            args.folder, command('dataset/build_folder.py', *[
                part for flag, value in flags if value for part in (flag, value)],
                '--output_dir', args.output_dir)))
    return '\n'.join(lines)


def _splits(found, args):
    """Returns a list of (split, examples) of a layout's parts, by its own splits or the flags."""
    found = [(split, examples) for split, examples in found if examples]
    if not found:
        raise UserError('%s holds no labelled image. Label some first.' % args.folder)
    named = [split for split, _ in found if split]
    # Names may say so by chance, as my_test_run.json.
    is_alone = len(named) == 1 and named[0] != 'train'
    if not named or is_alone and (args.split or args.validation_fraction):
        everything = [example for _, examples in found for example in examples]
        if args.split:
            return [(args.split, everything)]
        if args.validation_fraction is None:
            print('%s has no splits: %g of the %d images are held out for validation (choose with '
                  '--validation_fraction, --seed or --split).'
                  % (args.folder, DEFAULT_FRACTION, len(everything)))
        return folder.hold_out(everything, args.validation_fraction or DEFAULT_FRACTION,
                               args.seed or 0)
    if args.split:
        raise UserError('%s has splits of its own (%s): leave out --split %s.'
                        % (args.folder, ', '.join(named), args.split))
    if is_alone:
        print('All of %s is of the split %s, as names say: --split train or --validation_fraction '
              '%g takes it otherwise.' % (args.folder, named[0], DEFAULT_FRACTION))
    if args.validation_fraction is None:
        if 'validation' not in named and 'train' in named:
            print('%s has no validation split: --validation_fraction %g takes one from train.'
                  % (args.folder, DEFAULT_FRACTION))
        return found
    if 'validation' in named:
        raise UserError('%s has splits of its own (%s): leave out --validation_fraction %g.'
                        % (args.folder, ', '.join(named), args.validation_fraction))
    return [(split, examples) for split, examples in found if split != 'train'] + folder.hold_out(
        dict(found)['train'], args.validation_fraction, args.seed or 0)
