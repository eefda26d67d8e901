"""loading.py: runs know their classes, older ones by their data set, and how far they have come."""
import json
import os
import shutil

import pytest

from common import files
from common.errors import UserError
from dataset import descriptor, palette, voc
from experiment import checkpoints, config, history, loading, train_flags

NAMES = ('ground', 'cat', 'dog')
COLORS = ((1, 2, 3), (40, 50, 60), (7, 80, 200))


def write_dataset(folder, names=NAMES, ignore_label=255, colors=None):
    """Writes dataset.json and a shard as far as a fingerprint looks at them."""
    folder.mkdir(exist_ok=True)
    (folder / 'a.tfrecord').write_bytes(b'1')
    splits = {'train': {'num_examples': 1, 'shards': ['a.tfrecord']}}
    info = descriptor.create('toy', names, ignore_label, splits, colors)
    descriptor.save(info, str(folder))
    return info


def write_checkpoint(folder, name='model.ckpt-30000'):
    """Writes what is found as a whole checkpoint: by default, of a run that is finished."""
    for extension in ('.index', '.data-00000-of-00001'):
        (folder / (name + extension)).write_bytes(b'')


@pytest.fixture
def run_dir(tmp_path):
    """A run on the data set in tmp_path/data: tmp_path/run."""
    write_dataset(tmp_path / 'data', ignore_label=11, colors=COLORS)
    folder = tmp_path / 'run'
    folder.mkdir()
    args = train_flags.parse(['--dataset_dir', str(tmp_path / 'data'), '--model_dir', str(folder)])
    args.number_of_classes = 3
    config.save(args, str(folder))
    write_checkpoint(folder)
    return folder


def edit(run_dir, change):
    """Rewrites config.json after `change` was called with its content."""
    values = json.loads((run_dir / 'config.json').read_text())
    change(values)
    files.write_json(values, str(run_dir / 'config.json'))


@pytest.fixture
def older_run(run_dir):
    """The run as the commit before wrote it, without its classes."""
    edit(run_dir, lambda values: values.update(
        dataset={'fingerprint': values['dataset']['fingerprint']}))
    return run_dir


def test_a_run_knows_names_ignore_label_and_colours_without_its_data_set(run_dir, tmp_path, capsys):
    (tmp_path / 'data' / 'dataset.json').unlink()
    run = loading.named(loading.load_run(str(run_dir)))
    assert run.info == descriptor.create('toy', NAMES, 11, colors=COLORS)
    assert palette.of_classes(run.info) == COLORS
    assert capsys.readouterr() == ('', '')


def test_what_a_run_was_trained_on_goes_before_what_its_folder_holds_now(run_dir, tmp_path):
    write_dataset(tmp_path / 'data', ('a', 'b', 'c'))
    assert loading.named(loading.load_run(str(run_dir))).info.class_names == NAMES


def test_default_colours_are_kept_in_the_run_too(tmp_path, run_dir):
    write_dataset(tmp_path / 'data')
    config.save(config.load(str(run_dir)), str(run_dir))
    values = json.loads((run_dir / 'config.json').read_text())['dataset']
    assert values['colors'] == [[85, 85, 85], [230, 159, 0], [86, 180, 233]]
    assert (values['class_names'], values['ignore_label']) == (list(NAMES), 255)


def test_an_older_run_has_the_classes_of_its_data_set(older_run, tmp_path, capsys):
    run = loading.load_run(str(older_run))
    assert run.info is None
    assert loading.named(run).info == descriptor.create('toy', NAMES, 11, colors=COLORS)
    assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize('change', ['names', 'shard is gone'])
def test_an_older_run_says_that_its_data_set_was_changed(older_run, tmp_path, capsys, change):
    if change == 'names':
        write_dataset(tmp_path / 'data', ('a', 'b', 'c'))
    else:
        (tmp_path / 'data' / 'a.tfrecord').unlink()
    info = loading.named(loading.load_run(str(older_run))).info
    assert info.class_names == (('a', 'b', 'c') if change == 'names' else NAMES)
    out, err = capsys.readouterr()
    assert not out and err.startswith('Warning: ') and err.count('\n') == 1
    assert 'was changed since' in err and str(tmp_path / 'data') in err and '--classes' in err


@pytest.mark.parametrize('content', [None, 'no JSON', 'other count'])
def test_an_older_run_whose_data_set_is_gone_says_that_its_names_are_numbers(
        older_run, tmp_path, capsys, content):
    path = tmp_path / 'data' / 'dataset.json'
    path.unlink()
    if content == 'other count':
        write_dataset(tmp_path / 'data', ('a', 'b'))
    elif content:
        path.write_text(content)
    info = loading.named(loading.load_run(str(older_run))).info
    assert (info.class_names, info.ignore_label) == (('class 0', 'class 1', 'class 2'), 255)
    err = capsys.readouterr().err
    assert err.startswith('Warning: %s does not know the names of its 3 classes' % older_run)
    assert err.count('\n') == 1 and 'class 0 to class 2' in err and '--classes FILE' in err


def test_any_21_classes_are_not_vocs(older_run, tmp_path, capsys):
    (tmp_path / 'data' / 'dataset.json').unlink()
    edit(older_run, lambda values: values['flags'].update(number_of_classes=21))
    info = loading.named(loading.load_run(str(older_run))).info
    assert info.class_names[:2] == ('class 0', 'class 1') and capsys.readouterr().err


def write_post_run(tmp_path, number_of_classes):
    (tmp_path / 'data.json').write_text(json.dumps(
        {'number_of_classes': number_of_classes, 'output_stride': 16}))
    write_checkpoint(tmp_path, 'model.ckpt')


def test_run_of_the_post_has_vocs_names_whatever_lies_in_its_default_folder(tmp_path, monkeypatch,
                                                                            capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'dataset').mkdir()
    write_dataset(tmp_path / 'dataset' / 'tfrecords', ['c%d' % label for label in range(21)])
    write_post_run(tmp_path, 21)
    run = loading.named(loading.load_run(str(tmp_path), 8))
    assert run.info.class_names == voc.CLASS_NAMES and run.info.ignore_label == voc.IGNORE_LABEL
    assert palette.of_classes(run.info)[1] == (128, 0, 0)
    assert run.args.output_stride == 8 and run.args.align_corners is False
    assert run.checkpoint == str(tmp_path / 'model.ckpt')
    assert capsys.readouterr() == ('', '')


def test_run_of_the_post_with_another_count_has_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'dataset').mkdir()
    write_dataset(tmp_path / 'dataset' / 'tfrecords')
    write_post_run(tmp_path, 3)
    assert loading.named(loading.load_run(str(tmp_path))).info.class_names[2] == 'class 2'
    assert 'does not know the names of its 3 classes' in capsys.readouterr().err


def test_checkpoint_without_the_settings_of_its_run_is_refused(tmp_path):
    write_checkpoint(tmp_path, 'model.ckpt')
    with pytest.raises(UserError, match='No config.json beside .*model.ckpt'):
        loading.load_run(str(tmp_path))


@pytest.mark.parametrize('run_fixture', ['run_dir', 'older_run'])
def test_names_of_a_file_go_before_all_others_and_keep_the_colours(request, tmp_path, capsys,
                                                                   run_fixture):
    folder = request.getfixturevalue(run_fixture)
    path = tmp_path / 'classes.txt'
    path.write_text('# ours\nBoden\n\nKatze  # miau\nHund\n')
    info = loading.named(loading.load_run(str(folder)), str(path)).info
    assert info.class_names == ('Boden', 'Katze', 'Hund')
    assert (info.ignore_label, info.colors) == (11, COLORS)
    assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize('content, message', [
    ('a\nb\n', 'holds 2 names, but the checkpoint has 3 classes'),
    ('a\nb\na\n', 'occur more than once: a'),
    (b'\xff\xfe\x00', 'cannot be read'),
    (None, 'cannot be read')])
def test_a_file_of_names_that_does_not_fit_is_refused(tmp_path, run_dir, content, message):
    path = tmp_path / 'classes.txt'
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as error:
        loading.named(loading.load_run(str(run_dir)), str(path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize('change, message', [
    (lambda dataset: dataset.pop('ignore_label'), 'ignore_label'),
    (lambda dataset: dataset.update(class_names=['a', 'a', 'b']), 'more than once: a'),
    (lambda dataset: dataset.update(colors=[[1, 2, 3]]), 'must list 3 different'),
    (lambda dataset: dataset.update(class_names=['a', 'b'], colors=None),
     'names 2 classes, but number_of_classes is 3')])
def test_damaged_classes_are_refused_naming_the_file(run_dir, change, message):
    edit(run_dir, lambda values: change(values['dataset']))
    with pytest.raises(UserError, match=message) as error:
        loading.load_run(str(run_dir))
    assert os.path.join(str(run_dir), 'config.json') in str(error.value)


def check(run_dir, names):
    loading.check_data_set(loading.load_run(str(run_dir)), descriptor.create('other', names, 255),
                           'the folder')


def test_a_data_set_with_the_runs_classes_is_taken_without_a_word(run_dir, capsys):
    check(run_dir, NAMES)
    assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize('names', [('ground', 'dog', 'cat'), ('ground', 'dog', 'horse')])
def test_a_data_set_with_a_class_under_another_id_is_refused(run_dir, names):
    with pytest.raises(UserError) as error:
        check(run_dir, names)
    assert 'class 1 is "cat" in the run and "dog" in the data' in str(error.value)
    assert 'the folder' in str(error.value) and '--dataset_dir' in str(error.value)


def test_a_data_set_with_other_names_is_said_in_one_line(run_dir, capsys):
    check(run_dir, ('ground', 'Katze', 'Hund'))
    err = capsys.readouterr().err
    assert err.startswith('Warning: ') and err.count('\n') == 1 and 'the folder' in err
    assert ('class 1 is "cat" in the run and "Katze" in the data, '
            'class 2 is "dog" in the run and "Hund" in the data') in err


def test_a_data_set_of_other_bands_or_range_is_said_in_one_line(run_dir, capsys):
    run = loading.load_run(str(run_dir))
    for views in ({'bands': [8, 3, 2]}, {'value_range': [0, 4095]}):
        info = descriptor.create('other', NAMES, 255, **views)
        loading.check_data_set(run, info, 'the folder')
        err = capsys.readouterr().err
        assert err.startswith('Warning: ') and err.count('\n') == 1
        assert 'read with neither --bands nor --value_range, and the folder holds images read ' \
            'with --' + ('bands 8 3 2:' if 'bands' in views else 'value_range 0 4095:') in err
        loading.check_data_set(run._replace(info=info), info, 'the folder')
        assert capsys.readouterr() == ('', '')
    # The bands that are taken without a flag.
    loading.check_data_set(run, descriptor.create('other', NAMES, 255, bands=[1, 2, 3]), 'it')
    assert capsys.readouterr() == ('', '')


def test_another_number_of_classes_is_refused(run_dir):
    with pytest.raises(UserError, match='the folder has 2 classes, but .* was trained on 3'):
        check(run_dir, ('a', 'b'))


def test_an_older_run_takes_a_data_set_of_as_many_classes(older_run, capsys):
    check(older_run, ('a', 'b', 'c'))
    assert capsys.readouterr() == ('', '')


@pytest.fixture
def stopped(run_dir):
    """A run of 160 steps that was stopped at step 44, with the best at step 40."""
    (run_dir / checkpoints.BEST_DIR).mkdir()
    for path in run_dir.glob('model.ckpt-*'):
        path.unlink()
    edit(run_dir, lambda values: values['flags'].update(max_steps=160, patience=2))
    write_checkpoint(run_dir, 'model.ckpt-44')
    write_checkpoint(run_dir / checkpoints.BEST_DIR, 'model.ckpt-40')
    return run_dir


def progress(path, capsys):
    found = loading.load_run(str(path)).progress
    return found, capsys.readouterr().out


def test_a_stopped_run_is_unfinished_whichever_checkpoint_is_meant(stopped, capsys):
    best = stopped / checkpoints.BEST_DIR
    for path in (stopped, best / 'model.ckpt-40', stopped / 'model.ckpt-44'):
        found, printed = progress(path, capsys)
        assert found == (44, 160, False)
        assert 'is unfinished: 44 of 160 steps' in printed


def test_a_run_at_its_last_step_is_finished(stopped, capsys):
    write_checkpoint(stopped, 'model.ckpt-160')
    assert progress(stopped, capsys) == ((160, 160, True), '')


def test_a_run_that_patience_ended_is_finished_and_a_damaged_history_no_obstacle(stopped, capsys):
    run = str(stopped)
    for step in (20, 30, 40, 42):
        history.save_validations(run, history.with_validation(run, step, 0.1, 1.0))
    assert not progress(stopped, capsys)[0].is_finished
    history.save_validations(run, history.with_validation(run, 44, 0.1, 1.0))
    assert progress(stopped, capsys) == ((44, 160, True), '')
    (stopped / history.VALIDATION_NAME).write_text('')
    assert not progress(stopped, capsys)[0].is_finished


def test_of_a_copied_best_checkpoint_nothing_is_claimed(stopped, tmp_path, capsys):
    copy = tmp_path / 'copy'
    copy.mkdir()
    shutil.copy(str(stopped / config.CONFIG_NAME), str(copy))
    shutil.copytree(str(stopped / checkpoints.BEST_DIR), str(copy / checkpoints.BEST_DIR))
    assert progress(copy, capsys) == (None, '')
