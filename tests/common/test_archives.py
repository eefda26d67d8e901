"""common/archives.py against archives that are damaged or made to do harm."""
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections import namedtuple

import numpy as np
import pytest

from common import archives, http
from tests.helpers import ROOT

BODY = np.random.RandomState(0).bytes(300000)
OTHER = np.random.RandomState(1).bytes(len(BODY))


def write_tar(path, members, mode='w:gz'):
    """Writes (name, bytes or TarInfo changes) in order; returns the path as str."""
    with tarfile.open(str(path), mode) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, dict):
                for key, value in content.items():
                    setattr(member, key, value)
                content = b''
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return str(path)


def everything(name):
    return name


@pytest.mark.parametrize('mode', ['w', 'w:gz'])
def test_chosen_files_become_one_folder(tmp_path, mode):
    archive = write_tar(tmp_path / 'a', [
        ('./top', dict(type=tarfile.DIRTYPE)), ('./top/a/b.txt', BODY), ('top/empty', b''),
        ('elsewhere/link', dict(type=tarfile.SYMTYPE, linkname='/etc/passwd')),
        ('elsewhere/c.txt', b'c')], mode)
    destination = str(tmp_path / 'made' / 'out')
    seen = []

    def finish(folder):
        seen.append(sorted(os.listdir(folder)))
        assert not os.path.exists(destination)
    archives.extract(archive, destination,
                     lambda name: name[4:] if name.startswith('top/') else None, 'top',
                     finish)
    assert seen == [['a', 'empty']]
    assert sorted(os.listdir(destination)) == ['a', 'empty']
    with open(os.path.join(destination, 'a', 'b.txt'), 'rb') as handle:
        assert handle.read() == BODY
    assert os.listdir(os.path.dirname(destination)) == ['out']
    # Others may read it as they may read what was made beside it.
    assert os.stat(destination).st_mode == os.stat(os.path.dirname(destination)).st_mode


@pytest.mark.parametrize('name,content,message', [
    ('../evil', b'x', 'leads out'),
    ('a/../../evil', b'x', 'leads out'),
    ('/evil', b'x', 'leads out'),
    ('evil', dict(type=tarfile.SYMTYPE, linkname='../../evil'), 'link or a device'),
    ('evil', dict(type=tarfile.LNKTYPE, linkname='good'), 'link or a device'),
    ('evil', dict(type=tarfile.CHRTYPE), 'link or a device'),
    ('evil', dict(type=tarfile.FIFOTYPE), 'link or a device'),
    ('evil', b'x' * 5001, '5001 bytes; at most 5000'),
    ('evil', b'x' * 4999, 'passes the 8000 bytes allowed in all'),
    ('good/evil', b'x', 'could not be unpacked')])
def test_dangerous_archive_is_refused_and_nothing_of_it_is_kept(tmp_path, name, content, message):
    archive = write_tar(tmp_path / 'a.tgz', [('good', b'x' * 2500), (name, content)])
    with pytest.raises(http.DownloadError) as error:
        archives.extract(archive, str(tmp_path / 'out'), everything, 'x', max_member_bytes=5000,
                         max_total_bytes=8000)
    assert message in str(error.value) and archive in str(error.value)
    assert os.listdir(str(tmp_path)) == ['a.tgz']


@pytest.mark.parametrize('name', ['../evil', '/evil'])
def test_path_that_leads_out_is_refused_even_where_it_is_not_chosen(tmp_path, name):
    archive = write_tar(tmp_path / 'a.tgz', [('good', b'x'), (name, b'x')])
    with pytest.raises(http.DownloadError, match='leads out'):
        archives.extract(archive, str(tmp_path / 'out'),
                         lambda name: name if name == 'good' else None, 'good')
    assert os.listdir(str(tmp_path)) == ['a.tgz']


def test_members_of_negative_size_are_refused():
    class Tar(list):
        name = 'a.tar'
    member = tarfile.TarInfo('evil')
    member.size = -512
    with pytest.raises(http.DownloadError, match='holds -512 bytes'):
        list(archives.safe_members(Tar([member]), everything))


def test_endless_zeros_behind_the_last_member_are_refused(tmp_path):
    plain = write_tar(tmp_path / 'a.tar', [('good', b'x')], 'w')
    with open(plain, 'ab') as handle:
        handle.write(bytes(10 ** 6))
    with pytest.raises(http.DownloadError, match='follow its last member'):
        archives.extract(plain, str(tmp_path / 'out'), everything, 'x', max_total_bytes=500000)
    assert os.listdir(str(tmp_path)) == ['a.tar']


def damage_end(data):
    return data[:-200]


def damage_middle(data):
    return data[:len(data) // 2] + b'damage' + data[len(data) // 2 + 6:]


def damage_checksum(data):
    return data[:-8] + b'\0\0\0\0' + data[-4:]


@pytest.mark.parametrize('damage', [damage_end, damage_middle, damage_checksum])
def test_damaged_archive_is_refused_and_nothing_of_it_is_kept(tmp_path, damage):
    archive = write_tar(tmp_path / 'a.tgz', [('a', BODY), ('b', OTHER)])
    (tmp_path / 'a.tgz').write_bytes(damage((tmp_path / 'a.tgz').read_bytes()))
    with pytest.raises(http.DownloadError, match='a.tgz could not be unpacked'):
        archives.extract(archive, str(tmp_path / 'out'), everything, 'x')
    assert os.listdir(str(tmp_path)) == ['a.tgz']


@pytest.mark.parametrize('content,hint', [(b'<html>no</html>', 'web page'), (b'', ''),
                                          (b'\x1f\x8b', ''), (b'\x1f\x8bx', '')])
def test_file_that_is_no_archive_is_refused(tmp_path, content, hint):
    (tmp_path / 'a.tar').write_bytes(content)
    with pytest.raises(http.DownloadError, match='a.tar is no tar archive.*' + hint):
        archives.extract(str(tmp_path / 'a.tar'), str(tmp_path / 'out'), everything, 'x')
    assert os.listdir(str(tmp_path)) == ['a.tar']


def test_archive_without_a_chosen_file_is_refused(tmp_path):
    archive = write_tar(tmp_path / 'a.tgz', [('good', b'x'), ('better', b'x')])
    with pytest.raises(http.DownloadError, match='a.tgz holds no best, but good, better'):
        archives.extract(archive, str(tmp_path / 'out'), lambda name: None, 'best')
    assert os.listdir(str(tmp_path)) == ['a.tgz']


def test_folder_with_files_is_never_replaced_and_an_empty_one_is(tmp_path):
    archive = write_tar(tmp_path / 'a.tgz', [('good', b'x')])
    destination = tmp_path / 'out'
    destination.mkdir()
    archives.extract(archive, str(destination), everything, 'x')
    with pytest.raises(http.DownloadError, match='there already'):
        archives.extract(archive, str(destination), everything, 'x')
    assert (destination / 'good').read_bytes() == b'x'


def test_disk_too_small_for_the_archive_is_reported(tmp_path, monkeypatch):
    archive = write_tar(tmp_path / 'a.tar', [('good', b'x')], 'w')
    monkeypatch.setattr(shutil, 'disk_usage',
                        lambda _: namedtuple('Usage', 'free')(10))
    with pytest.raises(http.NoRoomError):
        archives.extract(archive, str(tmp_path / 'out'), everything, 'x')
    assert os.listdir(str(tmp_path)) == ['a.tar']


def test_disk_that_fills_up_while_unpacking_is_reported(tmp_path, monkeypatch):
    archive = write_tar(tmp_path / 'a.tgz', [('good', BODY)])
    real = open
    # Whatever is written lands on a device that is always full.
    monkeypatch.setattr(archives, 'open', lambda path, mode='r', **options: real(
        '/dev/full' if 'w' in mode else path, mode, **options), raising=False)
    with pytest.raises(http.NoRoomError, match='disk is full'):
        archives.extract(archive, str(tmp_path / 'out'), everything, 'x')
    assert os.listdir(str(tmp_path)) == ['a.tgz']


def test_interrupted_unpacking_leaves_nothing(tmp_path):
    archive = write_tar(tmp_path / 'a.tgz', [('a', b'x'), ('b', b'x')])

    def interrupt(folder):
        assert os.listdir(folder)
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        archives.extract(archive, str(tmp_path / 'out'), everything, 'x', interrupt)
    assert os.listdir(str(tmp_path)) == ['a.tgz']


def test_what_a_killed_process_left_is_removed_and_a_running_ones_stays(tmp_path):
    archive = write_tar(tmp_path / 'a.tgz', [('a', b'x')])
    code = ('import os, sys; from common import files\n'
            'with files.temporary_folder(sys.argv[1], ".unpacking-out-") as folder:\n'
            '    open(os.path.join(folder, "half"), "w").close()\n'
            '    print(folder, flush=True)\n'
            '    sys.stdin.read()\n')
    processes = [subprocess.Popen([sys.executable, '-c', code, str(tmp_path)], cwd=ROOT,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  universal_newlines=True) for _ in range(2)]
    killed, running = [process.stdout.readline().strip() for process in processes]
    processes[0].kill()
    processes[0].communicate()
    assert os.path.exists(killed)
    archives.extract(archive, str(tmp_path / 'out'), everything, 'x')
    assert os.listdir(running) == ['half'] and not os.path.exists(killed)
    processes[1].communicate()
    assert sorted(os.listdir(str(tmp_path))) == ['a.tgz', 'out']
