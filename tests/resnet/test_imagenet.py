"""resnet/imagenet.py and its script download.py, with checkpoints of a narrow tiny backbone."""
import functools
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
import pytest

from common import http
from common.interpreter import command
from resnet import architecture, download, imagenet, resnet_v2
from runtime import nets, slim, tf
from tests.helpers import ROOT
from tests.helpers.file_server import closed_port, serve

REFERENCE = os.path.join(ROOT, '..', 'shared', 'reference')
TINY = 'resnet_v2_tiny'  # the name that the fixture tiny_backbone makes known
ARCHIVE = '/' + imagenet.ARCHIVE_NAME % TINY
FULL_VARIABLES = imagenet.expected_variables
# 64 times fewer channels.
NARROW = architecture.Architecture((1, 1, 1, 3), base_depth=1)
V1, V2 = tf.train.SaverDef.V1, tf.train.SaverDef.V2


def reference(name):
    """Returns the path of a file of the shared folder, or skips the test."""
    path = os.path.join(REFERENCE, name)
    if not os.path.exists(path):
        pytest.skip('needs ../shared/reference, which is not part of a clone')
    return path


@pytest.fixture(scope='module')
def backbone():
    """Name to shape of the variables of a narrow tiny backbone, counted by the real function."""
    with pytest.MonkeyPatch.context() as context:
        context.setitem(architecture.MODELS, TINY, NARROW)
        return imagenet.expected_variables(TINY)


@pytest.fixture(autouse=True)
def published_tiny_backbone(backbone, tiny_backbone, monkeypatch):
    """Makes the backbone a published one, and spares building it in each test."""
    monkeypatch.setitem(architecture.MODELS, TINY, NARROW)
    monkeypatch.setattr(imagenet, 'expected_variables', lambda model: dict(backbone))
    monkeypatch.setattr(imagenet, 'PUBLISHED', imagenet.PUBLISHED + (TINY,))
    monkeypatch.setattr(http, 'RETRY_DELAYS', (0, 0, 0))
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')


@pytest.fixture
def server():
    with serve() as state:
        yield state


@pytest.fixture
def shapes(backbone):
    """What a published checkpoint holds: the backbone, and what is not needed."""
    return dict(backbone, **{TINY + '/logits/weights': [1, 1, 32, 1001], 'global_step': []})


def checkpoint(shapes, version=V1, value=0.5):
    """Writes a checkpoint of variables full of `value`; returns {file name: bytes}."""
    return dict(_checkpoint(json.dumps(shapes, sort_keys=True), version, value))


@functools.lru_cache(None)
def _checkpoint(shapes, version, value):
    with tf.Graph().as_default(), tf.Session() as session, tempfile.TemporaryDirectory() as folder:
        for name, shape in sorted(json.loads(shapes).items()):
            tf.get_variable(name, shape, initializer=tf.constant_initializer(value))
        session.run(tf.global_variables_initializer())
        tf.train.Saver(write_version=version).save(
            session, os.path.join(folder, TINY + '.ckpt'), write_meta_graph=False)
        return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()
                if path.name != 'checkpoint'}


def archive(files):
    """Returns the bytes of a .tar.gz as they are published: a checkpoint and two graphs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w:gz') as tar:
        for name, content in dict(files, **{'train.graph': b'g', 'eval.graph': b'g'}).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def ensure(server, folder, file=None):
    return imagenet.ensure(TINY, str(folder), file=file and str(file), base_url=server.url + '/')


def refusal(server, folder, file=None):
    """Lets `ensure` fail; returns the message. What is below `folder` must not change."""
    before = everything_below(folder)
    with pytest.raises(http.DownloadError) as error:
        ensure(server, folder, file)
    assert everything_below(folder) == before
    return str(error.value)


def everything_below(folder):
    return {str(path.relative_to(str(folder))): path.read_bytes()
            for path in folder.rglob('*') if path.is_file()}


def values_of(prefix):
    reader = tf.train.NewCheckpointReader(prefix)
    return [reader.get_tensor(name) for name in imagenet.expected_variables(TINY)]


@pytest.mark.parametrize('version', [V1, V2])
def test_weights_are_fetched_checked_and_recorded(server, shapes, tmp_path, version):
    files = checkpoint(shapes, version)
    server.files[ARCHIVE] = archive(files)
    folder = tmp_path / 'checkpoints'
    prefix = ensure(server, folder)
    assert prefix == str(folder / TINY / (TINY + '.ckpt'))
    assert all((value == 0.5).all() for value in values_of(prefix))
    installed = everything_below(folder / TINY)
    record = json.loads(installed.pop(imagenet.RECORD_NAME).decode())
    assert installed == files
    assert record == {'archive_sha256': sha256(server.files[ARCHIVE]), 'model': TINY,
                      'source': ARCHIVE[1:],
                      'files': {name: sha256(data) for name, data in files.items()}}


def test_a_saver_restores_the_backbone_from_what_is_installed(server, shapes, tmp_path):
    server.files[ARCHIVE] = archive(checkpoint(shapes, value=0.25))
    prefix = ensure(server, tmp_path)
    with tf.Graph().as_default(), tf.Session() as session:
        with slim.arg_scope(nets.resnet_utils.resnet_arg_scope()):
            resnet_v2.resnet_v2(tf.zeros([1, 33, 33, 3]), TINY, NARROW, is_training=False)
        tf.train.Saver().restore(session, prefix)
        assert all((value == 0.25).all() for value in session.run(tf.global_variables()))


def test_second_call_needs_no_network_and_verifies(server, shapes, tmp_path):
    server.files[ARCHIVE] = archive(checkpoint(shapes))
    prefix = ensure(server, tmp_path)
    assert ensure(server, tmp_path) == prefix and len(server.requests) == 1
    with open(prefix, 'r+b') as handle:
        original = sha256(handle.read())
        handle.seek(100)
        handle.write(b'bad')
    message = refusal(server, tmp_path)
    assert original in message and sha256(pathlib.Path(prefix).read_bytes()) in message
    assert 'Remove %s' % (tmp_path / TINY) in message and len(server.requests) == 1
    os.remove(prefix)
    assert ensure(server, tmp_path) == prefix
    assert sha256(pathlib.Path(prefix).read_bytes()) == original and len(server.requests) == 2


def test_one_lost_file_of_two_is_noticed(server, shapes, tmp_path):
    server.files[ARCHIVE] = archive(checkpoint(shapes, V2))
    prefix = ensure(server, tmp_path)
    os.remove(prefix + '.data-00000-of-00001')
    assert 'found no file' in refusal(server, tmp_path)


@pytest.mark.parametrize('by_file', [True, False])
def test_archive_that_differs_from_the_first_is_refused_with_both_sums(server, shapes, tmp_path,
                                                                       by_file):
    server.files[ARCHIVE] = archive(checkpoint(shapes))
    prefix = ensure(server, tmp_path)
    first = sha256(server.files[ARCHIVE])
    server.files[ARCHIVE] = archive(checkpoint(shapes, value=1))
    file = tmp_path / 'other.tar.gz' if by_file else None
    if file:
        file.write_bytes(server.files[ARCHIVE])
    else:
        os.remove(prefix)
    message = refusal(server, tmp_path, file)
    assert first in message and sha256(server.files[ARCHIVE]) in message
    assert 'remove %s' % (tmp_path / TINY) in message


@pytest.mark.parametrize('version,suffix', [(V1, ''), (V2, ''), (V2, '.index'),
                                            (V2, '.data-00000-of-00001')])
def test_checkpoint_of_any_name_can_be_given(server, shapes, tmp_path, version, suffix):
    files = checkpoint(shapes, version)
    for name, data in files.items():
        (tmp_path / name.replace(TINY + '.ckpt', 'by hand')).write_bytes(data)
    ensure(server, tmp_path, tmp_path / ('by hand' + suffix))
    installed = everything_below(tmp_path / TINY)
    record = json.loads(installed.pop(imagenet.RECORD_NAME).decode())
    assert installed == files and record['archive_sha256'] is None and not server.requests


def test_archive_can_be_given_and_stays_where_it_is(server, shapes, tmp_path):
    data = archive(checkpoint(shapes))
    for name in ('by hand', 'by hand.tar.gz'):
        (tmp_path / name).write_bytes(data)
        ensure(server, tmp_path, tmp_path / name)
        assert (tmp_path / name).read_bytes() == data
    assert not server.requests


def test_bare_checkpoint_is_compared_with_the_one_of_the_first_archive(server, shapes, tmp_path):
    first = checkpoint(shapes)
    server.files[ARCHIVE] = archive(first)
    ensure(server, tmp_path)
    record = (tmp_path / TINY / imagenet.RECORD_NAME).read_text()
    path = tmp_path / 'bare.ckpt'
    for files in (checkpoint(shapes, value=1),
                  checkpoint(shapes, V2)):
        for name, data in files.items():
            (tmp_path / name.replace(TINY, 'bare')).write_bytes(data)
        assert 'expected' in refusal(server, tmp_path, path)
        for name in files:
            os.remove(str(tmp_path / name.replace(TINY, 'bare')))
    path.write_bytes(first[TINY + '.ckpt'])
    ensure(server, tmp_path, path)
    again = (tmp_path / TINY / imagenet.RECORD_NAME).read_text()
    assert json.loads(again) == dict(json.loads(record), source='bare.ckpt')


def test_checkpoint_put_there_by_hand_is_checked_and_recorded(server, shapes, tmp_path):
    (tmp_path / TINY).mkdir()
    files = checkpoint(shapes)
    (tmp_path / TINY / (TINY + '.ckpt')).write_bytes(files[TINY + '.ckpt'])
    ensure(server, tmp_path)
    record = json.loads((tmp_path / TINY / imagenet.RECORD_NAME).read_text())
    assert record['files'] == {TINY + '.ckpt': sha256(files[TINY + '.ckpt'])}
    assert not server.requests


def first_variable(shapes):
    return sorted(name for name in shapes if '/block1/' in name)[0]


def without_one(shapes):
    name = first_variable(shapes)
    return {key: shape for key, shape in shapes.items() if key != name}, name + ' is missing'


def with_one_reshaped(shapes):
    name = first_variable(shapes)
    return dict(shapes, **{name: [77]}), '%s is [77] instead of %s' % (name, shapes[name])


def of_another_depth(shapes):
    other = {name.replace(TINY, 'resnet_v2_101'): shape for name, shape in shapes.items()}
    return other, '%s/block1/unit_1/bottleneck_v2/conv1/BatchNorm/beta is missing' % TINY


@pytest.mark.parametrize('change', [without_one, with_one_reshaped, of_another_depth])
@pytest.mark.parametrize('packed', [True, False])
def test_checkpoint_that_does_not_fit_is_not_installed(server, shapes, tmp_path, change, packed):
    changed, expected = change(shapes)
    files = checkpoint(changed)
    server.files[ARCHIVE] = archive(files)
    path = None if packed else tmp_path / 'bare'
    if path:
        path.write_bytes(files[TINY + '.ckpt'])
    message = refusal(server, tmp_path, path)
    assert expected in message and message.count(' is ') <= 1 + 5
    assert not (tmp_path / TINY).exists()


def test_a_checkpoint_of_a_run_is_not_installed_as_imagenets(server, backbone, tmp_path):
    path = tmp_path / 'model.ckpt-16'
    files = checkpoint(dict(backbone, **{'DeepLab_v3/logits/biases': [2]}))
    path.write_bytes(files[TINY + '.ckpt'])
    message = refusal(server, tmp_path, path)
    assert 'no logits of ImageNet' in message and '--init_from %s (train.py)' % path in message
    assert not (tmp_path / TINY).exists()


def test_archive_of_another_model_is_named(server, shapes, tmp_path):
    files = checkpoint(shapes)
    server.files[ARCHIVE] = archive({'resnet_v2_101.ckpt': files[TINY + '.ckpt']})
    message = refusal(server, tmp_path)
    assert 'no %s.ckpt' % TINY in message and 'resnet_v2_101.ckpt' in message
    assert not (tmp_path / TINY).exists()


def cut_in_half(files):
    return {name: data[:len(data) // 2] for name, data in files.items()}


def damaged(files):
    return {name: data[:len(data) // 2] + b'damaged' + data[len(data) // 2 + 7:]
            for name, data in files.items()}


def without_data(files):
    return {name: data for name, data in files.items() if '.data-' not in name}


@pytest.mark.parametrize('version,change', [
    (V1, cut_in_half), (V1, damaged), (V2, cut_in_half), (V2, damaged), (V2, without_data)])
def test_damaged_checkpoint_is_not_installed(server, shapes, tmp_path, version, change):
    server.files[ARCHIVE] = archive(change(checkpoint(shapes, version)))
    message = refusal(server, tmp_path)
    assert 'no checkpoint that can be read' in message and '.install-' not in message
    assert not (tmp_path / TINY).exists()


def test_data_cut_short_behind_a_whole_index_are_noticed(server, shapes, tmp_path):
    files = checkpoint(shapes, V2)
    data = TINY + '.ckpt.data-00000-of-00001'
    server.files[ARCHIVE] = archive(dict(files, **{data: files[data][:-5000]}))
    assert 'no checkpoint that can be read' in refusal(server, tmp_path)


def test_truncated_archive_is_not_installed(server, shapes, tmp_path):
    server.files[ARCHIVE] = archive(checkpoint(shapes))[:-1000]
    message = refusal(server, tmp_path)
    assert 'damaged' in message and 'run the same command again' in message
    assert '--resnet_model %s --file %s' % (TINY, ARCHIVE[1:]) in message
    assert not (tmp_path / TINY).exists()


@pytest.mark.parametrize('by_file', ['page.tar.gz', 'page', None])
def test_web_page_in_place_of_the_archive_is_called_one(server, tmp_path, by_file):
    page = b'<!DOCTYPE html><title>Please log in</title>'
    server.files[ARCHIVE] = page
    if by_file:
        (tmp_path / by_file).write_bytes(page)
    assert 'web page' in refusal(server, tmp_path, by_file and tmp_path / by_file)
    assert not (tmp_path / TINY).exists()


def test_malicious_archive_writes_nothing(server, shapes, tmp_path):
    files = checkpoint(shapes)
    server.files[ARCHIVE] = archive(dict(files, **{'../evil': b'x'}))
    assert 'leads out' in refusal(server, tmp_path)
    assert not (tmp_path / TINY).exists()


def test_lost_download_goes_on_at_the_next_call(server, shapes, tmp_path):
    data = server.files[ARCHIVE] = archive(dict(checkpoint(shapes),
                                                more=np.random.RandomState(0).bytes(20000)))
    server.cut_after = [10000, 0, 0, 0]
    with pytest.raises(http.DownloadError):
        ensure(server, tmp_path)
    assert sorted(everything_below(tmp_path / TINY)) == [ARCHIVE[1:] + '.part',
                                                         ARCHIVE[1:] + '.part.json']
    server.cut_after, server.sent = [], 0
    ensure(server, tmp_path)
    assert server.sent == len(data) - 10000
    assert sorted(everything_below(tmp_path / TINY)) == [imagenet.RECORD_NAME, TINY + '.ckpt']


def test_interrupted_script_keeps_what_has_arrived(server, shapes, tmp_path, monkeypatch, capsys):
    server.files[ARCHIVE] = archive(checkpoint(shapes))
    monkeypatch.setattr(imagenet, 'BASE_URL', server.url)
    flags = ['--resnet_model', TINY, '--checkpoints_dir', str(tmp_path)]

    def interrupt(*args):
        raise KeyboardInterrupt
    with monkeypatch.context() as context:
        context.setattr(http, '_verify', interrupt)
        with pytest.raises(SystemExit, match='130'):
            download.main(flags)
    assert 'goes on' in capsys.readouterr().err
    assert sorted(everything_below(tmp_path / TINY)) == [ARCHIVE[1:] + '.part',
                                                         ARCHIVE[1:] + '.part.json']
    download.main(flags)
    assert (tmp_path / TINY / (TINY + '.ckpt')).exists() and len(server.requests) == 1


def test_missing_archive_and_dead_host_say_what_to_do_by_hand(server, tmp_path):
    url = closed_port()
    for base_url in (server.url, url):
        with pytest.raises(http.DownloadError) as error:
            imagenet.ensure(TINY, str(tmp_path), base_url=base_url)
        assert base_url + ARCHIVE in str(error.value)
        assert (command('resnet/download.py', '--resnet_model', TINY, '--file', ARCHIVE[1:])
                in str(error.value))
        assert not os.listdir(str(tmp_path))


def test_unpublished_and_unknown_models_are_told_apart(tmp_path):
    with pytest.raises(http.DownloadError, match='no published weights of resnet_v2_200'):
        imagenet.ensure('resnet_v2_200', str(tmp_path))
    with pytest.raises(http.DownloadError, match="'resnet_v2_51': choose one of resnet_v2_50"):
        imagenet.ensure('resnet_v2_51', str(tmp_path))
    assert not os.listdir(str(tmp_path))


def test_every_backbone_is_published_or_said_not_to_be():
    known = set(imagenet.PUBLISHED + imagenet.UNPUBLISHED)
    assert known == set(architecture.MODELS) and not set(imagenet.PUBLISHED) & {'resnet_v2_200'}


@pytest.mark.parametrize('text', ['no JSON', '{}', '[]', '{"archive_sha256": null, "files": 1}'])
def test_damaged_record_is_named(server, tmp_path, text):
    (tmp_path / TINY).mkdir()
    (tmp_path / TINY / imagenet.RECORD_NAME).write_text(text)
    assert str(tmp_path / TINY / imagenet.RECORD_NAME) in refusal(server, tmp_path)


def test_given_file_that_is_absent_is_named(server, tmp_path):
    assert '%s is not there' % (tmp_path / 'no') in refusal(server, tmp_path, tmp_path / 'no')


def test_script_installs_and_prints_prefix_sum_and_next_command(shapes, tmp_path, capsys,
                                                                monkeypatch):
    data = archive(checkpoint(shapes))
    (tmp_path / 'a.tar.gz').write_bytes(data)
    flags = ['--resnet_model', TINY, '--file', str(tmp_path / 'a.tar.gz')]
    download.main(flags + ['--checkpoints_dir', str(tmp_path)])
    prefix = str(tmp_path / TINY / (TINY + '.ckpt'))
    printed = capsys.readouterr().out
    assert prefix in printed and sha256(data) in printed
    assert printed.endswith('Next: %s\n' % command('train.py', '--resnet_model', TINY,
                                                   '--init_from', prefix))
    monkeypatch.setattr(imagenet, 'CHECKPOINTS_DIR', str(tmp_path / 'default'))
    download.main(flags)
    assert capsys.readouterr().out.endswith('--init_from imagenet\n')
    assert (tmp_path / 'default' / TINY).is_dir()


def test_script_fails_with_one_message_and_without_tensorflow(tmp_path):
    command = [sys.executable, '-X', 'importtime', os.path.join(ROOT, 'resnet', 'download.py'),
               '--resnet_model', 'resnet_v2_200', '--checkpoints_dir', str(tmp_path)]
    done = subprocess.run(command, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert 'no published weights of resnet_v2_200' in done.stderr
    assert 'tarfile' in done.stderr and 'tensorflow' not in done.stderr


def test_checked_variables_are_those_of_the_published_graph():
    with open(reference('variables_resnet_v2_50.json')) as handle:
        published = {name: shape for name, shape in json.load(handle).items()
                     if name.startswith('resnet_v2_50/') and '/logits/' not in name}
    assert FULL_VARIABLES('resnet_v2_50') == published


def test_address_is_the_published_one():
    with open(reference('FACTS.md')) as handle:
        assert '%s/%s ' % (imagenet.BASE_URL, imagenet.ARCHIVE_NAME % 'resnet_v2_50') \
            in handle.read()
