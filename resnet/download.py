"""Fetches the ImageNet weights of a ResNet v2 that tf-slim publishes, and checks them.

    python resnet/download.py --resnet_model resnet_v2_50
    python resnet/download.py --resnet_model resnet_v2_50 --file resnet_v2_50_2017_04_14.tar.gz

`resnet/imagenet.py` says how they are checked.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from common import command_line, scripts  # noqa: E402
from common.interpreter import command  # noqa: E402
from resnet import imagenet  # noqa: E402


def parse_args(argv=None):
    """Returns the parsed flags; argparse exits with usage on a wrong one."""
    parser = command_line.Parser(__doc__)
    parser.add_argument('--resnet_model', default='resnet_v2_50',
                        help='%s (default %%(default)s)' % ', '.join(imagenet.PUBLISHED))
    parser.add_argument('--checkpoints_dir', default=imagenet.CHECKPOINTS_DIR,
                        help='where the folder of the model is made (default %(default)s)')
    parser.add_argument('--file', help='an archive or a checkpoint that was fetched by hand')
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    with scripts.ending_in_one_message('Stopped. The same command goes on where it was.'):
        prefix = imagenet.ensure(args.resnet_model, args.checkpoints_dir, args.file)
        folder = os.path.dirname(prefix)
        archive_sha256 = imagenet.read_record(folder)['archive_sha256']
    if archive_sha256:
        print('The archive has sha256 %s (kept in %s; none is published).'
              % (archive_sha256, os.path.join(folder, imagenet.RECORD_NAME)))
    print('The weights of %s are in %s' % (args.resnet_model, prefix))
    default = os.path.abspath(args.checkpoints_dir) == imagenet.CHECKPOINTS_DIR
    print('Next: ' + command('train.py', '--resnet_model', args.resnet_model, '--init_from',
                             'imagenet' if default else prefix))


if __name__ == '__main__':
    main()
