"""files.py: files are there whole or not at all, and locks end with who holds them."""
import hashlib
import os
import subprocess
import sys
import tempfile

import pytest

from common import files
from common.errors import UserError
from tests.helpers import ROOT


def test_a_file_is_replaced_when_it_is_whole_and_left_alone_where_writing_fails(tmp_path):
    path = tmp_path / 'a.txt'
    with files.replacing(str(path)) as handle:
        handle.write('old \u00e9')
        assert not path.exists()
    assert path.read_bytes() == 'old \u00e9'.encode('utf-8')
    with pytest.raises(ZeroDivisionError):
        with files.replacing(str(path), 'wb') as handle:
            handle.write(b'half')
            raise ZeroDivisionError
    assert path.read_bytes() == 'old \u00e9'.encode('utf-8')
    assert [entry.name for entry in tmp_path.iterdir()] == ['a.txt']


def test_what_is_no_json_is_refused_naming_the_file(tmp_path):
    path = str(tmp_path / 'a.json')
    files.write_json({'b': [1], 'a': None}, path)
    assert files.read_json(path) == {'a': None, 'b': [1]}
    with open(path, 'w') as handle:
        handle.write('{"a"')
    with pytest.raises(UserError, match='a.json is not JSON'):
        files.read_json(path)


def test_checksums_are_hashlibs(tmp_path):
    content = os.urandom(3 * 2 ** 20 + 7)
    (tmp_path / 'a').write_bytes(content)
    assert files.hash_file(str(tmp_path / 'a')) == hashlib.sha256(content).hexdigest()
    assert files.hash_file(str(tmp_path / 'a'), 'md5') == hashlib.md5(content).hexdigest()


HOLD = '''
import sys; sys.path.insert(0, %r)
from common import files
with files.temporary_folder(sys.argv[1], '.work-') as folder:
    print(folder, flush=True); sys.stdin.read()
'''


def test_folders_of_killed_processes_are_removed_and_those_of_others_kept(tmp_path):
    holders = [subprocess.Popen([sys.executable, '-c', HOLD % ROOT, str(tmp_path)],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    dead, living = [process.stdout.readline().decode().strip() for process in holders]
    holders[0].kill()
    holders[0].wait()
    with files.temporary_folder(str(tmp_path), '.work-') as folder:
        assert not os.path.exists(dead) and os.path.exists(living) and os.path.exists(folder)
        with pytest.raises(BlockingIOError), files.folder_locked(living):
            pass
    holders[1].communicate(b'')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('is_open', [False, True])
def test_a_folder_that_another_process_takes_for_abandoned_is_made_again(
        tmp_path, monkeypatch, is_open):
    taken, make, lock = [], tempfile.mkdtemp, files.lock

    def remove():
        if len(taken) == 1 and os.path.isdir(taken[0]):
            os.rmdir(taken[0])

    def made_and_taken(**kwargs):
        taken.append(make(**kwargs))
        if not is_open:
            remove()
        return taken[-1]

    def locked_late(handle, wait=False):
        remove()
        return lock(handle, wait)
    monkeypatch.setattr(files.tempfile, 'mkdtemp', made_and_taken)
    monkeypatch.setattr(files, 'lock', locked_late)
    with files.temporary_folder(str(tmp_path), '.work-') as folder:
        assert len(taken) == 2 and taken[1] == folder and os.path.isdir(folder)
        with pytest.raises(BlockingIOError), files.folder_locked(folder):
            pass
    assert not list(tmp_path.iterdir())


def test_without_locks_nothing_counts_as_abandoned(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(95, 'Operation not supported')
    monkeypatch.setattr(files.fcntl, 'flock', unsupported)
    (tmp_path / '.work-other').mkdir()
    with files.temporary_folder(str(tmp_path), '.work-'):
        assert (tmp_path / '.work-other').is_dir()
