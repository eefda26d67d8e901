"""Fetches PASCAL VOC 2012 and what SBD adds to it: the official archives, by their md5.

    python dataset/download_voc2012.py --output_dir data/downloads
    python dataset/download_voc2012.py --output_dir data/downloads --only voc
    python dataset/download_voc2012.py --output_dir data/downloads \\
        --file VOCtrainval_11-May-2012.tar benchmark.tgz train_noval.txt

Leaves VOCdevkit/VOC2012 and benchmark_RELEASE/dataset, with train_noval.txt in it, in
the output directory. What is whole is skipped, so the same command goes on where it
was stopped; an archive that was downloaded is removed once it is unpacked. The two
are 2 GB and 1.4 GB; on the disk, an archive and what is in it need room together.
"""
import os
import shutil
import sys
from collections import namedtuple

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from common import (archives, command_line, files, flag_types, http,  # noqa: E402
                    scripts)
from common.http import DownloadError  # noqa: E402
from common.interpreter import command  # noqa: E402

# urls: tried in order. folder: what is taken from an archive, and where it goes below
# the output directory; of a single file, the folder that it is put into.
Item = namedtuple('Item', ['title', 'file_name', 'urls', 'md5', 'folder'])

SBD_FOLDER = 'benchmark_RELEASE/dataset'
ITEMS = {
    'voc': Item(
        'PASCAL VOC 2012', 'VOCtrainval_11-May-2012.tar',
        ('http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar',
         'https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar',
         'https://pjreddie.com/media/files/VOCtrainval_11-May-2012.tar'),
        '6cd6e144f989b92b3379bac3b3de84fd', 'VOCdevkit/VOC2012'),
    'sbd': Item(
        'SBD', 'benchmark.tgz',
        ('https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/'
         'semantic_contours/benchmark.tgz',
         'http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/'
         'semantic_contours/benchmark.tgz'),
        '82b4d87ceb2ed10f6038a1cba92111cb', SBD_FOLDER),
    'train_noval': Item(
        "SBD's train_noval list", 'train_noval.txt',
        ('http://home.bharathh.info/pubs/codes/SBD/train_noval.txt',
         'https://www.cs.cornell.edu/~bharathh/train_noval.txt'),
        '79bff800c5f0b1ec6b21080a3c066722', SBD_FOLDER),
}
LIST = 'train_noval'

# Kept in an unpacked folder, written before the folder gets its name.
STAMP_NAME = '.download.json'


def parse_args(argv=None):
    """Returns the parsed flags; argparse exits with usage on a wrong one."""
    parser = command_line.Parser(__doc__)
    parser.add_argument('--output_dir', type=flag_types.path, required=True,
                        help='where the folders are made')
    parser.add_argument('--only', nargs='+', choices=sorted(ITEMS), default=sorted(ITEMS),
                        metavar='ITEM', help='some of: %s (default: all)' % ' '.join(ITEMS))
    parser.add_argument('--file', nargs='+', default=[], metavar='PATH', type=flag_types.path,
                        help='files that were fetched by hand, of any name; they stay there')
    return parser.parse_args(argv)


def target_of(name, output_dir):
    """Returns the path of the folder, or of the list, that an item becomes."""
    folder = os.path.join(output_dir, *ITEMS[name].folder.split('/'))
    return os.path.join(folder, ITEMS[name].file_name) if name == LIST else folder


def is_whole(name, output_dir):
    """Whether an item is in place and of the official file. Returns bool."""
    target = target_of(name, output_dir)
    if name == LIST:
        return os.path.isfile(target) and files.hash_file(target, 'md5') == ITEMS[name].md5
    try:
        return files.read_json(os.path.join(target, STAMP_NAME)) == {'md5': ITEMS[name].md5}
    except (OSError, ValueError):
        return False


def match_files(paths, names):
    """Tells from the md5 which of the files is which of the items that are asked for.

    Returns a dict from item to path; raises `DownloadError` on a file that is absent or none.
    """
    items = {ITEMS[name].md5: name for name in names}
    matched = {}
    for path in paths:
        if not os.path.isfile(path):
            raise DownloadError('--file %s is not there.' % path)
        md5 = files.hash_file(path, 'md5')
        if md5 not in items:
            raise DownloadError(
                '--file %s has md5 %s%s. Expected is one of:\n  %s\nFetch it again.'
                % (path, md5, http.web_page_hint(path), '\n  '.join(
                    '%s %s' % (ITEMS[name].md5, ITEMS[name].file_name) for name in names)))
        matched[items[md5]] = path
    return matched


def fetch(name, output_dir):
    """Downloads an item's file into the output directory, or finds it there; returns its path."""
    item = ITEMS[name]
    print('%s: downloading %s' % (item.title, item.file_name))
    return http.fetch(
        item.urls, os.path.join(output_dir, item.file_name), md5=item.md5,
        by_hand='Or fetch it by hand, on any machine (md5 %s), and add --file PATH:\n'
                '  %s' % (item.md5, command('dataset/download_voc2012.py', '--output_dir',
                                            output_dir, '--file', item.file_name)))


def unpack(name, archive, output_dir):
    """Unpacks the item's folder of an archive, with a stamp in it."""
    item, start = ITEMS[name], ITEMS[name].folder + '/'

    def choose(member):
        return member[len(start):] if member.startswith(start) else None

    def stamp(folder):
        files.write_json({'md5': item.md5}, os.path.join(folder, STAMP_NAME))
    print('%s: unpacking %s' % (item.title, archive))
    archives.extract(archive, target_of(name, output_dir), choose, wanted=start, finish=stamp)


def place_list(path, output_dir):
    """Copies the train_noval list into SBD's folder, or to where it waits for that."""
    target = target_of(LIST, output_dir)
    if not os.path.isdir(os.path.dirname(target)):
        # The folder cannot be made for it: unpacking SBD makes a new one.
        target = waiting_list(output_dir)
        print('%s waits in %s for SBD.' % (ITEMS[LIST].title, target))
    if not os.path.exists(target) or not os.path.samefile(path, target):
        with open(path, 'rb') as source, files.replacing(target, 'wb') as copy:
            shutil.copyfileobj(source, copy)


def waiting_list(output_dir):
    """Returns the path of the train_noval list where there is no SBD yet."""
    return os.path.join(output_dir, ITEMS[LIST].file_name)


def provide(name, given, output_dir):
    """Puts one of `ITEMS` in place, from a file whose md5 was checked or the network (None).

    Raises as `http.fetch` and `archives.extract`.
    """
    if is_whole(name, output_dir):
        print('%s: %s is whole, skipped.' % (ITEMS[name].title, target_of(name, output_dir)))
    elif name == LIST:
        place_list(given or fetch(name, output_dir), output_dir)
    else:
        archives.check_unused(target_of(name, output_dir))
        archive = os.path.join(output_dir, ITEMS[name].file_name)
        ours = not given and not os.path.exists(archive)
        unpack(name, given or fetch(name, output_dir), output_dir)
        if ours:
            os.remove(archive)


def next_command(output_dir):
    """Returns the command that builds a data set of what is there, or None."""
    if not is_whole('voc', output_dir):
        return None
    flags = ['--voc_root', target_of('voc', output_dir)]
    if is_whole('sbd', output_dir) and is_whole(LIST, output_dir):
        flags += ['--sbd_root', target_of('sbd', output_dir)]
    return command('dataset/build_voc2012.py', *flags + ['--output_dir', 'data/voc2012'])


def download(args):
    """Puts all items in place that the flags ask for; one that fails does not stop the others.

    Raises:
      DownloadError: some could not be had, with all the reasons.
    """
    # In this order, which has the list after the folder that it goes into.
    names = [name for name in ITEMS if name in args.only]
    given, errors = match_files(args.file, names), []
    os.makedirs(args.output_dir, exist_ok=True)
    if LIST not in names and os.path.isfile(waiting_list(args.output_dir)):
        names.append(LIST)
    for name in names:
        try:
            provide(name, given.get(name), args.output_dir)
        except http.NoRoomError:
            raise
        except DownloadError as error:
            errors.append(str(error))
    if errors:
        raise DownloadError('\n\n'.join(errors))


def main(argv=None):
    args = parse_args(argv)
    with scripts.ending_in_one_message('Stopped. The same command goes on where it was.'):
        download(args)
    following = next_command(args.output_dir)
    if following:
        print('Next: %s' % following)


if __name__ == '__main__':
    main()
