"""loading.py: how far a run has come, whichever of its checkpoints is meant."""
import shutil

import pytest

from experiment import checkpoints, config, history, loading, train_flags
from tests.experiment.test_checkpoints import write


@pytest.fixture
def run(tmp_path, shapes_dir):
    """A run of 160 steps that was stopped at step 44, with the best at step 40."""
    args = train_flags.parse(['--dataset_dir', shapes_dir, '--max_steps', '160',
                              '--patience', '2'])
    config.save(args, str(tmp_path))
    write(tmp_path, 44, shapes={'v': [1]})
    write(tmp_path / checkpoints.BEST_DIR, 40, shapes={'v': [1]})
    return tmp_path


def progress(path, capsys):
    found = loading.load_run(str(path)).progress
    return found, capsys.readouterr().out


def test_a_stopped_run_is_unfinished_whichever_checkpoint_is_meant(run, capsys):
    for path in (run, run / checkpoints.BEST_DIR / 'model.ckpt-40', run / 'model.ckpt-44'):
        found, printed = progress(path, capsys)
        assert found == (44, 160, False)
        assert 'is unfinished: 44 of 160 steps' in printed


def test_a_run_at_its_last_step_is_finished(run, capsys):
    write(run, 160, shapes={'v': [1]})
    assert progress(run, capsys) == ((160, 160, True), '')


def test_a_run_that_patience_ended_is_finished_and_a_damaged_history_is_no_obstacle(run, capsys):
    for step in (20, 30, 40, 42):
        history.save_validations(str(run), history.with_validation(str(run), step, 0.1, 1.0))
    assert not progress(run, capsys)[0].is_finished
    history.save_validations(str(run), history.with_validation(str(run), 44, 0.1, 1.0))
    assert progress(run, capsys) == ((44, 160, True), '')
    (run / history.VALIDATION_NAME).write_text('')
    assert not progress(run, capsys)[0].is_finished


def test_of_a_copied_best_checkpoint_nothing_is_claimed(run, tmp_path, capsys):
    copy = tmp_path / 'copy'
    copy.mkdir()
    shutil.copy(str(run / config.CONFIG_NAME), str(copy))
    shutil.copytree(str(run / checkpoints.BEST_DIR), str(copy / checkpoints.BEST_DIR))
    assert progress(copy, capsys) == (None, '')
