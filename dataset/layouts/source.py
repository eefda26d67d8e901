"""The source behind build_folder.py: a folder of a known layout, or folders of images and masks."""
import os

from common import flag_types
from common.errors import UserError
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
    lines = ['%s lists the classes: add those that it lacks.' % layout.class_list
             ] if layout.class_list else []
    if not draws:
        lines.append('Flags about masks go with --images and --masks, in the place of %s.'
                     % args.folder)
    return '\n'.join(lines)


def _splits(found, args):
    """Returns a list of (split, examples) of a layout's parts, by its own splits or the flags."""
    found = [(split, examples) for split, examples in found if examples]
    if not found:
        raise UserError('%s holds no labelled image. Label some first.' % args.folder)
    named = [split for split, _ in found if split]
    # Names may say so by chance, as my_test_run.json.
    is_mixed = 0 < len(named) < len(found)
    is_alone = named in (['validation'], ['test']) and not is_mixed
    is_asked = args.split or args.validation_fraction
    if is_mixed and not is_asked:
        raise UserError('%s holds images of %s, as names say, and others of no split, as %s: name '
                        'those too, or take all as one with --validation_fraction %g or --split '
                        'train.' % (args.folder, ' and '.join(named), dict(found)[None][0].filename,
                                    DEFAULT_FRACTION))
    if not named or (is_mixed or is_alone) and is_asked:
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
