"""serving/publishing.py: an export replaces an earlier one, and nothing else."""
import os

import pytest

from common import files
from common.errors import UserError
from serving import publishing


@pytest.mark.parametrize('name', ['a[b]', 'a*', 'a?', 'a\\b'])
def test_a_saved_model_that_could_not_be_loaded_is_refused(tmp_path, name):
    with pytest.raises(UserError, match='--formats without saved_model'):
        publishing.check_loadable(str(tmp_path / name / 'out'))
    publishing.check_loadable(str(tmp_path / 'a b'))


def test_overwrite_replaces_an_export_and_nothing_else(tmp_path):
    folder = tmp_path / 'out'
    folder.mkdir()
    (folder / 'old.pb').write_text('old')
    with pytest.raises(UserError, match='not empty'):
        publishing.check_output_dir(str(folder), overwrite=False)
    with pytest.raises(UserError, match='holds no export.json'):
        publishing.check_output_dir(str(folder), overwrite=True)
    files.write_json({'files': {}}, str(folder / 'export.json'))
    with pytest.raises(UserError, match='did not write, such as old.pb'):
        publishing.check_output_dir(str(folder), overwrite=True)
    files.write_json({'files': {'old.pb': {}}}, str(folder / 'export.json'))
    publishing.check_output_dir(str(folder), overwrite=True)
    with pytest.raises(ZeroDivisionError), publishing.published(str(folder)) as new:
        open(os.path.join(new, 'new.pb'), 'w').close()
        raise ZeroDivisionError
    assert sorted(os.listdir(str(folder))) == ['export.json', 'old.pb']
    with publishing.published(str(folder)) as new:
        open(os.path.join(new, 'new.pb'), 'w').close()
    assert os.listdir(str(folder)) == ['new.pb'] and os.listdir(str(tmp_path)) == ['out']
