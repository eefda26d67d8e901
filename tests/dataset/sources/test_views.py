"""Flags that say how files are read: what they refuse, and where they have no effect."""
import pytest

from dataset import build_folder, check
from tests.helpers.example_files import encoded, grid, noise


@pytest.mark.parametrize('flags, words', [
    (['--bands', '1', '2'], '--bands 1 2: give one band, or three'),
    (['--value_range', '9', '3'], '--value_range 9 3: .* the lower one first')])
def test_what_there_is_not_is_refused(tmp_path, flags, words, capsys):
    for folder, data in (('images', encoded(noise())), ('masks', encoded(grid([0, 1])))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'a.png').write_bytes(data)
    (tmp_path / 'classes.txt').write_text('ground\ncat\n')
    flags += ['--images', str(tmp_path / 'images'), '--masks', str(tmp_path / 'masks'),
              '--classes', str(tmp_path / 'classes.txt')]
    with pytest.raises(SystemExit, match=words):
        build_folder.main(flags + ['--split', 'train', '--output_dir', str(tmp_path / 'out')])
    assert check.main(flags) == 2


@pytest.mark.parametrize('flags', [
    ['--ignore_exif'], ['--bands', '1'], ['--value_range', '0', '9'], ['--pages'], ['--tile', '9']])
def test_a_built_data_set_is_looked_at_as_it_is(tmp_path, flags, capsys):
    with pytest.raises(SystemExit):
        check.main([str(tmp_path)] + flags)
    assert 'go with --images' in capsys.readouterr().err
