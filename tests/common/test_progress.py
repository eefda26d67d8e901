"""progress.py: a bar on a terminal, a line now and then elsewhere."""
import io
import sys

from common import progress


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self):
        return True


def test_what_is_short_writes_nothing_where_there_is_no_terminal(capsys):
    assert list(progress.bar(range(3), desc='test', unit='image')) == [0, 1, 2]
    with progress.bar(total=3, leave=False) as bar:
        bar.update(3)
    assert capsys.readouterr().err == ''


def test_what_is_long_writes_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, 'SECONDS', 0)
    for _ in progress.bar(range(3), desc='test', unit='image', position=1, disable=None):
        progress.write('between')
    with progress.bar(total=2) as bar:
        bar.update(2)
    lines = capsys.readouterr().err.splitlines()
    assert 'test: 3/3 image, 00:00 gone, 00:00 left' in lines and 'between' in lines
    assert '2/2 it, 00:00 gone, 00:00 left' in lines
    assert not any('\r' in line or '\x1b' in line or '|' in line for line in lines)


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setattr(sys, 'stderr', Terminal())
    assert list(progress.bar(range(3), desc='test')) == [0, 1, 2]
    assert '\rtest: 100%|' in sys.stderr.getvalue()
    with progress.bar(total=3, has_lines=False) as bar:
        assert not bar.disable


def test_who_writes_lines_of_its_own_gets_no_others(capsys):
    with progress.bar(total=3, has_lines=False) as bar:
        assert bar.disable
