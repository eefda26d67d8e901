"""The ImageNet weights of a ResNet v2 that tf-slim publishes: fetched, checked and recorded.

They are put in resnet/checkpoints/<model>/ once every variable of the backbone was
read from them. No checksum is published: download.json beside them keeps those of
the first download, with which the files and later downloads are compared.
"""
import os
import re
import shutil

from common import archives, files, http
from common.http import DownloadError
from common.interpreter import command
from resnet import architecture, resnet_v2
from runtime import nets, slim, tf

PUBLISHED = ('resnet_v2_50', 'resnet_v2_101', 'resnet_v2_152')
UNPUBLISHED = ('resnet_v2_200',)
BASE_URL = 'https://storage.googleapis.com/download.tensorflow.org/models'
ARCHIVE_NAME = '%s_2017_04_14.tar.gz'
CHECKPOINTS_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'checkpoints')
RECORD_NAME = 'download.json'

# A checkpoint is one file in TensorFlow's first format, which the published ones
# have, and two in the present one.
SUFFIXES = ('', '.data-00000-of-00001', '.index')
_EXAMPLES_SHOWN = 5


def ensure(model, checkpoints_dir=CHECKPOINTS_DIR, file=None, base_url=None):
    """Makes sure that the ImageNet weights of a model are there and the right ones.

    What is installed is compared with its recorded checksum. A checkpoint that was
    put there by hand is checked and recorded as if it were given as `file`.

    Args:
      model: str, such as 'resnet_v2_50'.
      checkpoints_dir: str; the weights are in the folder `model` below it.
      file: str or None, a tar archive or a checkpoint (its file or prefix) to
        install instead of downloading.
      base_url: str, the address of the folder of archives, or None for `BASE_URL`.

    Returns:
      str, the checkpoint's prefix, for `tf.train.Saver.restore`.

    Raises:
      DownloadError: an unknown model, or one without published weights; nothing
        could be fetched; or the weights are not those of this model, or not those
        of the first time. Then nothing is installed.
    """
    if model not in PUBLISHED + UNPUBLISHED:
        raise DownloadError('resnet_model %r: choose one of %s.' % (model, ', '.join(PUBLISHED)))
    folder = os.path.join(checkpoints_dir, model)
    prefix = os.path.join(folder, model + '.ckpt')
    record = read_record(folder)
    found = checkpoint_files(prefix)
    if file is None and record and found:
        verify_installed(model, folder, record)
        return prefix
    os.makedirs(folder, exist_ok=True)
    fetched = None
    try:
        if file is None and not found:
            file = fetched = fetch_archive(model, folder, base_url or BASE_URL)
        install(model, file or prefix, folder, record)
    except DownloadError as error:
        if fetched is None:
            raise
        raise DownloadError('%s\nThe download was removed: run the same command again.\n%s'
                            % (error, by_hand(model)))
    finally:
        if fetched:
            os.remove(fetched)
        if not os.listdir(folder):
            os.rmdir(folder)
    return prefix


def fetch_archive(model, folder, base_url):
    """Downloads the archive of a model into a folder; returns its path."""
    if model in UNPUBLISHED:
        raise DownloadError(
            'There are no published weights of %s. Choose one of %s, install a checkpoint of '
            'your own with --file PATH, or train from random weights.'
            % (model, ', '.join(PUBLISHED)))
    name = ARCHIVE_NAME % model
    url = '%s/%s' % (base_url.rstrip('/'), name)
    print('Downloading %s' % url)
    return http.fetch(url, os.path.join(folder, name), by_hand=by_hand(model))


def by_hand(model):
    """Says how to install an archive without this script's download. Returns str."""
    return ('Or fetch it by hand, on any machine, and install it with --file PATH:\n'
            '  ' + command('resnet/download.py', '--resnet_model', model, '--file',
                           ARCHIVE_NAME % model))


def checkpoint_files(prefix):
    """Returns {suffix: path} of the files of a checkpoint that are there."""
    paths = {suffix: prefix + suffix for suffix in SUFFIXES}
    return {suffix: path for suffix, path in paths.items() if os.path.isfile(path)}


def read_record(folder):
    """Reads what was noted when the weights were installed; raises `DownloadError` if damaged.

    Returns:
      Dict of 'archive_sha256' (str or None) and 'files' (name to sha256), or None for no record.
    """
    path = os.path.join(folder, RECORD_NAME)
    if not os.path.exists(path):
        return None
    try:
        record = files.read_json(path)
        return {'archive_sha256': record['archive_sha256'], 'files': dict(record['files'])}
    except (ValueError, KeyError, TypeError) as error:
        raise DownloadError('%s is damaged (%r). Remove %s to install the weights again.'
                            % (path, error, folder))


def difference(expected, found):
    """Says which of two dicts' checksums differ first, by file name. Returns str, '' for none."""
    for name in sorted(set(expected) | set(found)):
        sums = expected.get(name, 'no file'), found.get(name, 'no file')
        if sums[0] != sums[1]:
            return 'sha256 of %s expected %s, found %s' % ((name,) + sums)
    return ''


def is_installed(path):
    """Whether a checkpoint was installed here, in whatever folder. Returns bool."""
    return os.path.exists(os.path.join(os.path.dirname(path), RECORD_NAME))


def verify_installed(model, folder, record):
    """Raises `DownloadError` if an installed file is missing or not as it was installed."""
    wrong = difference(record['files'], {
        name: files.hash_file(os.path.join(folder, name)) for name in record['files']
        if os.path.isfile(os.path.join(folder, name))})
    if wrong:
        raise DownloadError(
            '%s is not as it was installed: %s. Remove %s and run: %s' % (
                folder, wrong, folder, command('resnet/download.py', '--resnet_model', model)))


def install(model, source, folder, record):
    """Checks an archive or checkpoint and puts it in `folder`, the record last.

    Args:
      model: str.
      source: str, path of a tar archive, or of a checkpoint's file, or its prefix.
      folder: str, an existing folder.
      record: as `read_record` returned it.

    Raises:
      DownloadError: it is not what it should be; the folder is as it was.
    """
    with files.temporary_folder(folder, '.install-') as temporary:
        staged = os.path.join(temporary, 'files')
        archive_sha256 = stage(model, source, staged)
        names = sorted(os.listdir(staged))
        new = {'archive_sha256': archive_sha256,
               'files': {name: files.hash_file(os.path.join(staged, name)) for name in names}}
        if record:
            check_same(new, record, source, folder)
            new['archive_sha256'] = new['archive_sha256'] or record['archive_sha256']
        check_variables(os.path.join(staged, model + '.ckpt'), model, source)
        for name in names:
            os.replace(os.path.join(staged, name), os.path.join(folder, name))
        files.write_json(dict(new, model=model, source=os.path.basename(source)),
                         os.path.join(folder, RECORD_NAME))


def stage(model, source, staged):
    """Copies or unpacks the files of a checkpoint into a new folder, under the model's name.

    Returns the archive's sha256, or None for a bare checkpoint.

    Raises:
      DownloadError: no such file, or an archive that is damaged, dangerous or another one.
    """
    present = checkpoint_files(re.sub(r'\.(index|data-00000-of-00001)$', '', source))
    if not present:
        raise DownloadError('%s is not there. Give the path of an archive or checkpoint.' % source)
    if is_archive(source):
        names = [model + '.ckpt' + suffix for suffix in SUFFIXES]
        archives.extract(source, staged, lambda name: name if name in names else None,
                         wanted=model + '.ckpt')
        return files.hash_file(source)
    os.mkdir(staged)
    for suffix, path in present.items():
        shutil.copyfile(path, os.path.join(staged, model + '.ckpt' + suffix))
    return None


def is_archive(path):
    """Whether a file is a tar archive, of any name. Returns bool."""
    try:
        archives.open_tar(path).close()
    except (DownloadError, OSError):  # the prefix of a checkpoint is no file
        return False
    return True


def check_same(new, record, source, folder):
    """Raises `DownloadError` if `source` is not what was installed in `folder` the first time.

    Args:
      new, record: as `read_record` returns them, of `source` and of the first time.
    """
    expected, found = record['files'], new['files']
    # A bare checkpoint has no archive's sum.
    if record['archive_sha256'] and new['archive_sha256']:
        expected, found = ({os.path.basename(source): each['archive_sha256']}
                           for each in (record, new))
    wrong = difference(expected, found)
    if wrong:
        raise DownloadError(
            '%s differs from what was installed the first time: %s. If you trust the new one, '
            'remove %s and run the same command again.' % (source, wrong, folder))


def expected_variables(model):
    """Builds the backbone of a model; returns {name: shape, a list of int} of its variables."""
    with tf.Graph().as_default(), slim.arg_scope(nets.resnet_utils.resnet_arg_scope()):
        resnet_v2.resnet_v2(tf.placeholder(tf.float32, [1, 33, 33, 3]), model,
                            architecture.MODELS[model], is_training=False)
        return {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}


def check_variables(prefix, model, source):
    """Reads every variable of the backbone from a checkpoint, which has ImageNet's logits too.

    Args:
      prefix, model: str.
      source: str, what the message calls the checkpoint.

    Raises:
      DownloadError: it is damaged or no checkpoint, variables are missing or
        have another shape, or it was trained for something else.
    """
    expected = expected_variables(model)
    try:
        reader = tf.train.NewCheckpointReader(prefix)
        stored = reader.get_variable_to_shape_map()
        wrong = sorted(name for name, shape in expected.items() if stored.get(name) != shape)
        if not wrong:
            # Only reading shows that data are cut short or damaged.
            for name in expected:
                reader.get_tensor(name)
            if not any(name.startswith(model + '/logits/') for name in stored):
                raise DownloadError(
                    '%s has no logits of ImageNet (%s/logits): it was trained for something else, '
                    'as a run of train.py. Nothing was installed. Start from it with --init_from '
                    '%s (train.py).' % (source, model, source))
            return
    # IndexError: so says TensorFlow 2 that data are cut short.
    except (tf.errors.OpError, IndexError) as error:
        raise DownloadError(
            '%s holds no checkpoint that can be read%s: %s'
            % (source, http.web_page_hint(source) if os.path.isfile(source) else '',
               getattr(error, 'message', str(error)).replace(
                   prefix, os.path.basename(prefix))))
    examples = ['%s %s' % (name, 'is missing' if name not in stored else
                           'is %s instead of %s' % (stored[name], expected[name]))
                for name in wrong[:_EXAMPLES_SHOWN]]
    raise DownloadError(
        '%s is no checkpoint of %s: of %d variables %d are missing or have another shape:\n  %s%s\n'
        'Give the weights of this model. Nothing was installed.'
        % (source, model, len(expected), len(wrong), '\n  '.join(examples),
           '\n  ...' if len(wrong) > _EXAMPLES_SHOWN else ''))
