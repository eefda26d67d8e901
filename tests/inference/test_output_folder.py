"""output_folder.py: results are known again, and nobody's file is overwritten."""
import os

import pytest

from common.errors import UserError
from inference.output_folder import JOURNAL, OutputFolder


def write(path, content='somebody'):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_results_are_known_in_the_next_run_whatever_they_are_called(tmp_path):
    names = ['a', 'day/b\nc', os.fsdecode(b'\xff')]
    output = OutputFolder(str(tmp_path / 'out'))
    for name in names:
        with open(output.place('index', name + '.png'), 'w'):
            pass
    again = OutputFolder(str(tmp_path / 'out'))
    for name in names:
        path = os.path.join(str(tmp_path), 'out', 'index', name + '.png')
        assert again.is_result(path) and again.place('index', name + '.png') == path
        assert not again.has_others(name)
        assert not again.is_result(path + '.jpg')
    with open(str(tmp_path / 'out' / JOURNAL)) as journal:
        assert len(journal.readlines()) == 3


def test_a_result_is_known_although_its_run_was_killed(tmp_path):
    OutputFolder(str(tmp_path)).place('index', 'a.png')
    write(tmp_path / 'index' / 'a.png')
    with open(str(tmp_path / JOURNAL), 'a') as journal:
        journal.write('"index/b.p')  # by a full disk
    again = OutputFolder(str(tmp_path))
    assert again.is_result(str(tmp_path / 'index' / 'a.png'))
    assert not again.is_result(str(tmp_path / 'index' / 'b.png'))


@pytest.mark.parametrize('path', ['index/a.png', 'palette/a.png', 'overlay/a.png', 'overlay/a.gif',
                                  'overlay/a.mp4', 'probabilities/a.npz', 'frames/a/000000.png',
                                  'index/a.png/b.jpg'])
def test_files_of_others_are_seen_in_every_place_of_a_result(tmp_path, path):
    write(tmp_path / path)
    output = OutputFolder(str(tmp_path))
    assert output.has_others('a') and not output.has_others('b')
    parts = path.split('/')[:2]
    with pytest.raises(UserError, match='%s is there.*give another --output_dir' % parts[1]):
        output.place(*parts)
    assert (tmp_path / path).read_text() == 'somebody'


def test_only_results_are_cleared_and_only_those_that_are_named(tmp_path):
    output = OutputFolder(str(tmp_path))
    for name in ('index/a.png', 'index/day/b.png', 'index2/a.png', 'page.html', 'other.html'):
        write(tmp_path / name, output.place(name))
    write(tmp_path / 'index' / 'own.png')
    output.place('index', 'never written.png')
    OutputFolder(str(tmp_path)).clear('index', 'page.html')
    assert sorted(path.name for path in tmp_path.rglob('*') if path.is_file()) == [
        JOURNAL, 'a.png', 'other.html', 'own.png']
    assert (tmp_path / 'index2' / 'a.png').exists()


def test_a_broken_link_is_not_written_through(tmp_path):
    (tmp_path / 'index').mkdir()
    os.symlink(str(tmp_path / 'elsewhere'), str(tmp_path / 'index' / 'a.png'))
    with pytest.raises(UserError, match='a.png is there'):
        OutputFolder(str(tmp_path)).place('index', 'a.png')


def frames(tmp_path, count):
    folder = tmp_path / 'new'
    for index in range(count):
        write(folder / ('%06d.png' % index), 'frame')
    return str(folder)


def test_frames_replace_frames_and_nothing_else(tmp_path):
    write(tmp_path / 'out' / 'frames' / 'a' / 'notes.txt')
    write(tmp_path / 'out' / 'frames' / 'a' / 'clip' / '000000.png')
    output = OutputFolder(str(tmp_path / 'out'))
    assert not output.has_others('a')
    output.place_frames(frames(tmp_path, 3), 'a')
    folder = tmp_path / 'out' / 'frames' / 'a'
    assert OutputFolder(str(tmp_path / 'out')).is_result(str(folder / '000002.png'))
    assert not output.is_result(str(folder / 'notes.txt'))
    output.place_frames(frames(tmp_path, 2), 'a')
    assert sorted(os.listdir(str(folder))) == ['000000.png', '000001.png', 'clip', 'notes.txt']
    assert (folder / 'clip' / '000000.png').read_text() == 'somebody'
    with pytest.raises(UserError, match='clip is there'):
        output.place_frames(frames(tmp_path, 1), 'a/clip')
