"""dataset/download_voc2012.py with small archives in the official layout, from a local server."""
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections import namedtuple

import pytest

from common import http
from dataset import download_voc2012
from dataset.download_voc2012 import ITEMS
from tests.helpers import ROOT, SHARED
from tests.helpers.file_server import closed_port, serve

VOC_FILES = {'VOCdevkit/VOC2012/JPEGImages/a.jpg': b'j' * 5000,
             'VOCdevkit/VOC2012/SegmentationClass/a.png': b'p',
             'VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt': b'a\n'}
SBD_FILES = {'benchmark_RELEASE/dataset/cls/a.mat': b'm', 'benchmark_RELEASE/dataset/val.txt': b'a',
             'benchmark_RELEASE/benchmark_code_RELEASE/a.m': b'code'}
LIST = b'a\nb\n'


def shared(*parts):
    """Returns a path in the shared folder, or skips the test."""
    path = os.path.join(SHARED, *parts)
    if not os.path.exists(path):
        pytest.skip('needs ../shared/%s, which is not part of a clone' % '/'.join(parts))
    return path


def tar(files, mode):
    """Returns the bytes of an archive of {name: bytes}."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def server(monkeypatch):
    """Serves the three files, whose md5s the script takes for the official ones."""
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setattr(http, 'RETRY_DELAYS', (0, 0, 0))
    with serve() as state:
        for name, data in (('voc', tar(VOC_FILES, 'w')), ('sbd', tar(SBD_FILES, 'w:gz')),
                           ('train_noval', LIST)):
            publish(state, monkeypatch, name, data)
        yield state


def publish(server, monkeypatch, name, data):
    server.files['/' + name] = data
    monkeypatch.setitem(ITEMS, name, ITEMS[name]._replace(
        urls=(server.url + '/' + name,), md5=hashlib.md5(data).hexdigest()))


def run(folder, *flags):
    download_voc2012.main(['--output_dir', str(folder)] + list(flags))


def failure(folder, *flags):
    with pytest.raises(SystemExit) as error:
        run(folder, *flags)
    return str(error.value)


def files_below(folder):
    """Returns {path: bytes} of all files but stamps."""
    return {str(path.relative_to(str(folder))): path.read_bytes()
            for path in folder.rglob('*') if path.is_file() and path.name[0] != '.'}


def expected_files():
    expected = dict(VOC_FILES, **{name: data for name, data in SBD_FILES.items()
                                  if name.startswith('benchmark_RELEASE/dataset/')})
    return dict(expected, **{'benchmark_RELEASE/dataset/train_noval.txt': LIST})


def write_files(server, folder):
    """Writes the three files under names of the user's own; returns their paths."""
    paths = []
    for name in ('train_noval', 'sbd', 'voc'):
        path = folder / ('my ' + name)
        path.write_bytes(server.files['/' + name])
        paths.append(str(path))
    return paths


def test_three_files_become_the_folders_that_the_builder_reads(server, tmp_path, capsys):
    run(tmp_path / 'out')
    found = files_below(tmp_path / 'out')
    assert found.pop('train_noval.txt') == LIST and found == expected_files()
    out = str(tmp_path / 'out')
    assert capsys.readouterr().out.endswith(
        'python dataset/build_voc2012.py --voc_root %s/VOCdevkit/VOC2012 --sbd_root '
        '%s/benchmark_RELEASE/dataset --output_dir data/voc2012\n' % (out, out))


def test_what_is_whole_is_skipped(server, tmp_path, capsys):
    run(tmp_path)
    requests = len(server.requests)
    capsys.readouterr()
    run(tmp_path)
    assert len(server.requests) == requests == 3
    assert capsys.readouterr().out.count('is whole, skipped') == 3


@pytest.mark.parametrize('only,command', [
    (['voc'], True), (['sbd'], False), (['sbd', 'voc'], True)])
def test_only_fetches_the_named_items(server, tmp_path, capsys, only, command):
    run(tmp_path, '--only', *only)
    assert sorted(path for path, _ in server.requests) == ['/' + name for name in only]
    printed = capsys.readouterr().out
    assert ('Next: ' in printed) == command and '--sbd_root' not in printed


def test_list_waits_until_sbd_is_there(server, tmp_path):
    run(tmp_path, '--only', 'train_noval')
    assert files_below(tmp_path) == {'train_noval.txt': LIST}
    run(tmp_path, '--only', 'sbd')
    assert files_below(tmp_path)['benchmark_RELEASE/dataset/train_noval.txt'] == LIST
    assert len(server.requests) == 2


def test_given_files_of_any_name_need_no_network_and_stay(server, tmp_path):
    paths = write_files(server, tmp_path)
    run(tmp_path / 'out', '--file', *paths)
    assert files_below(tmp_path / 'out') == expected_files()
    assert not server.requests and all(map(os.path.exists, paths))


def test_given_files_are_installed_although_another_cannot_be_fetched(server, tmp_path):
    paths = write_files(server, tmp_path)
    del server.files['/sbd']
    message = failure(tmp_path / 'out', '--file', paths[2], paths[0])
    assert '404' in message and '/sbd' in message
    assert files_below(tmp_path / 'out') == dict(VOC_FILES, **{'train_noval.txt': LIST})
    run(tmp_path / 'out', '--file', paths[1])
    assert set(expected_files()) < set(files_below(tmp_path / 'out'))


def test_given_list_goes_into_the_folder_that_is_fetched(server, tmp_path):
    run(tmp_path / 'out', '--file', write_files(server, tmp_path)[0])
    assert files_below(tmp_path / 'out') == expected_files()


def test_archive_that_lies_in_the_output_directory_is_used_and_stays(server, tmp_path):
    (tmp_path / ITEMS['voc'].file_name).write_bytes(server.files['/voc'])
    run(tmp_path, '--only', 'voc')
    assert not server.requests
    assert files_below(tmp_path) == dict(VOC_FILES, **{
        ITEMS['voc'].file_name: server.files['/voc']})


@pytest.mark.parametrize('content,hint', [(b'truncated', ''), (b'<html>', 'web page')])
def test_given_file_with_another_md5_is_refused_by_name(server, tmp_path, content, hint):
    path = tmp_path / 'a.tar'
    path.write_bytes(content)
    message = failure(tmp_path / 'out', '--only', 'voc', 'sbd', '--file', str(path))
    for part in (str(path), hashlib.md5(content).hexdigest(), ITEMS['voc'].md5, ITEMS['sbd'].md5,
                 hint):
        assert part in message
    assert ITEMS['train_noval'].md5 not in message
    assert not (tmp_path / 'out').exists() and not server.requests


def test_given_file_that_is_absent_is_named(tmp_path):
    assert '%s is not there' % (tmp_path / 'no') in failure(tmp_path / 'out', '--file',
                                                            str(tmp_path / 'no'))


def test_wrong_md5_names_both_and_leaves_nothing(server, tmp_path):
    server.files['/voc'] += b'x'
    message = failure(tmp_path, '--only', 'voc')
    assert ITEMS['voc'].md5 in message and hashlib.md5(server.files['/voc']).hexdigest() in message
    assert not os.listdir(str(tmp_path))


def test_lost_download_goes_on_at_the_next_call(server, tmp_path):
    size = len(server.files['/voc'])
    server.cut_after = [3000, 0, 0, 0]
    assert 'after 3000 bytes of %d' % size in failure(tmp_path, '--only', 'voc')
    server.sent = 0
    run(tmp_path, '--only', 'voc')
    assert server.sent == size - 3000 and files_below(tmp_path) == VOC_FILES


def test_second_address_is_tried(server, tmp_path, monkeypatch):
    monkeypatch.setitem(ITEMS, 'voc', ITEMS['voc']._replace(
        urls=(closed_port(), server.url + '/voc')))
    run(tmp_path, '--only', 'voc')
    assert files_below(tmp_path) == VOC_FILES


def test_dead_host_of_one_does_not_stop_the_others_and_says_what_to_do(server, tmp_path,
                                                                       monkeypatch):
    url = closed_port()
    monkeypatch.setitem(ITEMS, 'voc', ITEMS['voc']._replace(urls=(url,)))
    message = failure(tmp_path)
    assert url in message and 'Connection refused' in message and ITEMS['voc'].md5 in message
    assert '--file %s' % ITEMS['voc'].file_name in message
    assert not set(VOC_FILES) & set(files_below(tmp_path))
    assert set(expected_files()) - set(VOC_FILES) <= set(files_below(tmp_path))


def test_interrupted_unpacking_is_done_again_without_a_download(server, tmp_path, monkeypatch,
                                                                capsys):
    def interrupt(*args, **options):
        raise KeyboardInterrupt
    with monkeypatch.context() as context:
        context.setattr(http.os, 'rename', interrupt)
        assert failure(tmp_path, '--only', 'voc') == '130'
    assert 'goes on' in capsys.readouterr().err
    assert not (tmp_path / 'VOCdevkit' / 'VOC2012').exists()
    run(tmp_path, '--only', 'voc')
    assert set(VOC_FILES) < set(files_below(tmp_path)) and len(server.requests) == 1


def test_folder_of_the_users_own_is_not_replaced_and_noticed_at_once(server, tmp_path):
    own = tmp_path / 'VOCdevkit' / 'VOC2012'
    own.mkdir(parents=True)
    (own / 'mine').write_bytes(b'x')
    assert 'Move it away' in failure(tmp_path, '--only', 'voc')
    assert files_below(tmp_path) == {'VOCdevkit/VOC2012/mine': b'x'} and not server.requests


def test_other_years_beside_voc2012_stay(server, tmp_path):
    other = tmp_path / 'VOCdevkit' / 'VOC2007'
    other.mkdir(parents=True)
    (other / 'mine').write_bytes(b'x')
    run(tmp_path, '--only', 'voc')
    assert files_below(tmp_path) == dict(VOC_FILES, **{'VOCdevkit/VOC2007/mine': b'x'})


def test_malicious_archive_writes_nothing(server, tmp_path, monkeypatch):
    evil = tar(dict(VOC_FILES, **{'VOCdevkit/VOC2012/../../../evil': b'x'}), 'w')
    publish(server, monkeypatch, 'voc', evil)
    assert 'leads out' in failure(tmp_path / 'out', '--only', 'voc')
    assert list(files_below(tmp_path)) == ['out/' + ITEMS['voc'].file_name]


def test_archive_of_another_layout_is_refused(server, tmp_path, monkeypatch):
    publish(server, monkeypatch, 'sbd', tar(VOC_FILES, 'w'))
    assert 'holds no benchmark_RELEASE/dataset/' in failure(tmp_path, '--only', 'sbd')


def test_full_disk_is_reported_and_stops_at_once(server, tmp_path, monkeypatch):
    monkeypatch.setattr(http.shutil, 'disk_usage',
                        lambda _: namedtuple('Usage', 'free')(1))
    message = failure(tmp_path)
    assert 'No room' in message and str(tmp_path) in message and len(server.requests) == 1


@pytest.mark.parametrize('name', sorted(ITEMS))
def test_addresses_and_sums_are_the_official_ones(name):
    with open(shared('reference', 'FACTS.md')) as handle:
        row, = [line for line in handle if '/%s' % ITEMS[name].file_name in line]
    assert ITEMS[name].urls[0] in row and ITEMS[name].md5 in row


def test_real_list_is_recognised_and_installed(tmp_path):
    path = shared('data', 'splits', 'sbd_train_noval.txt')
    run(tmp_path, '--only', 'train_noval', '--file', path)
    with open(path, 'rb') as handle:
        assert files_below(tmp_path) == {'train_noval.txt': handle.read()}


def test_script_runs_without_tensorflow(tmp_path):
    command = [sys.executable, '-X', 'importtime',
               os.path.join(ROOT, 'dataset', 'download_voc2012.py'), '--output_dir',
               str(tmp_path / 'out'), '--file', str(tmp_path / 'no')]
    done = subprocess.run(command, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert 'is not there' in done.stderr
    assert 'tarfile' in done.stderr and 'tensorflow' not in done.stderr


def test_unknown_item_is_refused_with_the_choices(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, '--only', 'coco')
    assert 'train_noval' in capsys.readouterr().err
