"""checkpoints.py and weights.py: what is meant is found, what fits restored, the rest named."""
import json
import os
import re
import shutil
import tarfile

import numpy as np
import pytest

from common import files
from common.errors import UserError
from dataset import descriptor
from experiment import checkpoints, config, history, weights
from runtime import slim, tf

# A network in miniature: one backbone, one head that does not depend on the
# number of classes, one that does.
SHAPES = {'resnet_v2_50/conv1/weights': [3, 3], 'resnet_v2_50/block1/weights': [2],
          'DeepLab_v3/ASPP_layer/weights': [2, 2],
          'DeepLab_v3/logits/weights': [2, 21], 'DeepLab_v3/logits/biases': [21]}
BACKBONE = {name: shape for name, shape in SHAPES.items() if name.startswith('resnet')}
HEAD = sorted(set(SHAPES) - set(BACKBONE))


def build(shapes, value):
    """Makes model variables full of `value`, and a global step."""
    for name, shape in sorted(shapes.items()):
        slim.model_variable(name, shape, initializer=tf.constant_initializer(value))
    return tf.train.get_or_create_global_step()


def write(directory, step, value=7.0, shapes=None):
    """Saves a checkpoint of variables full of `value` at `step`; returns its prefix."""
    with tf.Graph().as_default(), tf.Session() as session:
        global_step = build(SHAPES if shapes is None else shapes, value)
        session.run(tf.global_variables_initializer())
        session.run(global_step.assign(step))
        os.makedirs(str(directory), exist_ok=True)
        return tf.train.Saver().save(session, os.path.join(str(directory), checkpoints.PREFIX),
                                     global_step=step, write_meta_graph=False)


def write_run(directory, steps):
    """Saves several checkpoints with one Saver, as `train.py` does."""
    with tf.Graph().as_default(), tf.Session() as session:
        build({'v': [1]}, 0.0)
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver(max_to_keep=2)
        return [saver.save(session, os.path.join(str(directory), checkpoints.PREFIX),
                           global_step=step, write_meta_graph=False) for step in steps]


def remove(prefix, suffix=''):
    folder, name = os.path.split(prefix)
    for file_name in os.listdir(folder):
        if file_name.startswith(name + '.' + suffix):
            os.remove(os.path.join(folder, file_name))


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run directory with step 20 as the latest and step 10 as the best checkpoint."""
    directory = tmp_path_factory.mktemp('run')
    (directory / config.CONFIG_NAME).write_text('{}')
    write(directory, 20)
    write(directory / checkpoints.BEST_DIR, 10)
    return str(directory)


def test_run_directory_means_its_best_checkpoint(run):
    for path in (run, run + os.sep):
        prefix, run_dir = checkpoints.find(path)
        assert os.path.basename(prefix) == 'model.ckpt-10'
        assert os.path.samefile(run_dir, run)


def test_run_directory_without_best_means_its_latest_checkpoint(tmp_path):
    (tmp_path / config.CONFIG_NAME).write_text('{}')
    (tmp_path / checkpoints.BEST_DIR).mkdir()
    prefixes = write_run(tmp_path, [10, 20])
    assert checkpoints.find(str(tmp_path)) == (prefixes[1], str(tmp_path))


@pytest.mark.parametrize('suffix', ['', '.index', '.data-00000-of-00001', '.meta'])
def test_prefix_or_one_of_the_files_means_that_checkpoint(run, suffix):
    prefix = os.path.join(run, 'model.ckpt-20')
    assert checkpoints.find(prefix + suffix) == (prefix, run)


def test_run_is_found_from_its_best_folder(run):
    best = os.path.join(run, checkpoints.BEST_DIR)
    expected = os.path.join(best, 'model.ckpt-10'), run
    assert checkpoints.find(best) == expected
    assert checkpoints.find(expected[0] + '.index') == expected


def test_checkpoint_is_found_by_a_relative_path(run, monkeypatch):
    monkeypatch.chdir(run)
    prefix, run_dir = checkpoints.find('model.ckpt-20')
    assert (prefix, os.path.realpath(run_dir)) == ('model.ckpt-20', os.path.realpath(run))
    prefix, run_dir = checkpoints.find('.')
    assert os.path.samefile(run_dir, run)
    assert checkpoints.step_of(prefix) == 10


def test_checkpoint_without_a_config_near_has_no_run(tmp_path):
    prefix = write(tmp_path / 'far' / 'away', 5)
    assert checkpoints.find(prefix) == (prefix, None)


@pytest.mark.parametrize('name', ['', 'nothing', 'model.ckpt-20', 'model.ckpt-20.index'])
def test_path_without_a_checkpoint_is_refused_by_name(tmp_path, name):
    path = os.path.join(str(tmp_path), name)
    with pytest.raises(UserError) as error:
        checkpoints.find(path)
    assert str(error.value).startswith('No checkpoint at %s. Give a run directory' % path)


def test_prefix_of_several_checkpoints_is_not_one_itself(tmp_path):
    write_run(tmp_path, [1, 10])
    with pytest.raises(UserError):
        checkpoints.find(str(tmp_path / 'model.ckpt'))


def test_latest_is_the_newest_and_none_where_there_is_none(tmp_path):
    assert checkpoints.latest_in(str(tmp_path)) is None
    assert checkpoints.latest_in(str(tmp_path / 'missing')) is None
    prefixes = write_run(tmp_path, [9, 10, 11])
    assert checkpoints.latest_in(str(tmp_path)) == prefixes[-1]


def test_latest_falls_back_to_the_one_before_when_its_files_are_gone(tmp_path):
    prefixes = write_run(tmp_path, [10, 20])
    remove(prefixes[1])
    assert checkpoints.latest_in(str(tmp_path)) == prefixes[0]
    remove(prefixes[0])
    assert checkpoints.latest_in(str(tmp_path)) is None


def test_latest_falls_back_when_only_the_data_of_the_newest_are_gone(tmp_path):
    prefixes = write_run(tmp_path, [10, 20])
    remove(prefixes[1], 'data')
    assert checkpoints.latest_in(str(tmp_path)) == prefixes[0]


def test_latest_is_found_in_a_folder_that_was_moved(tmp_path):
    old, new = str(tmp_path / 'old'), str(tmp_path / 'new')
    os.mkdir(old)
    write_run(old, [10, 20])
    # Absolute paths of the old place, as TensorFlow writes them for a Saver elsewhere.
    with open(os.path.join(old, 'checkpoint'), 'w') as f:
        for field, step in (('', 20), ('all_', 10), ('all_', 20)):
            f.write('%smodel_checkpoint_path%s: "%s/model.ckpt-%d"\n'
                    % (field, 's' if field else '', old, step))
    shutil.move(old, new)
    assert checkpoints.latest_in(new) == os.path.join(new, 'model.ckpt-20')


def test_latest_is_that_of_the_latest_step_whatever_the_state_file_names(tmp_path):
    prefixes = write_run(tmp_path, [10, 20])
    tf.train.update_checkpoint_state(str(tmp_path), 'model.ckpt-10', ['model.ckpt-10'])
    assert checkpoints.latest_in(str(tmp_path)) == prefixes[1]


def test_copies_beside_the_checkpoints_do_not_count(tmp_path):
    prefixes = write_run(tmp_path, [10, 20])
    for extension in ('.index', '.data-00000-of-00001'):
        shutil.copy(prefixes[0] + extension, prefixes[0] + '-old' + extension)
    assert checkpoints.all_in(str(tmp_path)) == prefixes


def test_weights_that_are_not_finite_are_a_problem(tmp_path):
    assert checkpoints.problem_of(write(tmp_path, 1)) is None
    assert checkpoints.problem_of(write(tmp_path, 2, value=float('nan'))).endswith(
        'holds numbers that are not finite')


def test_of_checkpoints_all_damaged_the_best_is_named_to_start_from(tmp_path):
    write(tmp_path, 2, value=float('inf'))
    with pytest.raises(UserError, match='All checkpoints in .* --model_dir.$'):
        checkpoints.latest_readable(str(tmp_path))
    best = write(tmp_path / checkpoints.BEST_DIR, 1)
    with pytest.raises(UserError, match='All checkpoints in .*--init_from %s ' % best):
        checkpoints.latest_readable(str(tmp_path))


def test_a_best_checkpoint_that_is_not_finite_is_not_advised(tmp_path):
    for folder in (tmp_path, tmp_path / checkpoints.BEST_DIR):
        write(folder, 2, value=float('nan'))
    with pytest.raises(UserError) as error:
        checkpoints.latest_readable(str(tmp_path))
    assert '--init_from' not in str(error.value)
    assert refusal(str(tmp_path)).endswith('holds numbers that are not finite. Give another '
                                           'checkpoint.')


def test_a_best_checkpoint_without_its_score_has_that_of_its_evaluation(tmp_path):
    run = str(tmp_path)
    for step, mean_iou in ((5, 0.5), (10, 0.25)):
        history.save_validations(run, history.with_validation(run, step, mean_iou, 1.0))
    assert history.best_score(run) is None
    write(tmp_path / checkpoints.BEST_DIR, 5)
    assert history.best_score(run)['mean_iou'] == 0.5
    path = tmp_path / checkpoints.BEST_DIR / history.BEST_SCORE_NAME
    path.write_text('{"st')
    with pytest.raises(UserError, match='%s is not JSON.*Take the file away: val' % path):
        history.best_score(run)
    os.remove(os.path.join(run, history.VALIDATION_NAME))
    with pytest.raises(UserError, match='%s is not JSON.*keep a copy of .*best: the nex' % path):
        history.best_score(run)


def test_a_score_that_is_not_finite_is_never_better():
    nan = {'mean_iou': float('nan'), 'running_loss': float('inf')}
    for metric in nan:
        assert not history.is_better(nan, None, metric) and not history.is_better(nan, nan, metric)
        assert history.is_better({metric: 0.0}, nan, metric)


@pytest.mark.parametrize('content', [b'', b'\xff\xfe\0', b'model_checkpoint_path: "mod', b'null'])
def test_a_damaged_file_of_tensorflows_state_hides_no_checkpoint(tmp_path, content):
    prefix = write(tmp_path, 3)
    for path in tmp_path.glob('model.ckpt-3.*'):
        path.rename(str(path).replace('-3', ''))  # as the post's, without a step
    (tmp_path / 'checkpoint').write_bytes(content)
    assert checkpoints.find(str(tmp_path))[0] == prefix[:-len('-3')]


@pytest.mark.parametrize('name', ['a[b]', 'a*', '?', 'a\\b', 'a b'])
def test_checkpoints_are_read_from_any_path(tmp_path, name):
    folder = str(tmp_path / name)
    write(tmp_path / 'plain', 3)
    write(tmp_path / 'abcd', 3, value=1.0)  # what the patterns match
    os.rename(str(tmp_path / 'plain'), folder)
    assert checkpoints.latest_readable(folder) == (os.path.join(folder, 'model.ckpt-3'), {})
    values, _, message = start(folder)
    assert_values(values, restored=SHAPES)
    assert os.path.join(folder, 'model.ckpt-3') in message
    with open(os.path.join(folder, 'model.ckpt-3.data-00000-of-00001'), 'r+b') as data:
        data.truncate(40)
    assert refusal(folder).startswith(os.path.join(folder, 'model.ckpt-3') + ' is damaged: ')


@pytest.mark.parametrize('suffix, size', [('.data-00000-of-00001', 0), ('.index', 0),
                                          ('.data-00000-of-00001', 40), ('.index', 40)])
def test_what_is_cut_short_is_told_in_one_line_without_tensorflows(tmp_path, capfd, suffix, size):
    prefix = write(tmp_path, 1)
    with open(prefix + suffix, 'r+b') as cut:
        cut.truncate(size)
    capfd.readouterr()
    message = refusal(prefix)
    assert message.startswith(prefix) and len(message.splitlines()) == 1
    assert message.endswith('Give another checkpoint, or copy it again.')
    assert capfd.readouterr() == ('', '')
    assert len(checkpoints.problem_of(prefix).splitlines()) == 1


def test_loss_that_is_not_finite_leaves_the_running_mean_and_never_stays_best(tmp_path):
    run, nan = str(tmp_path), float('nan')
    for step, loss in enumerate([nan, 2.0, nan, 4.0]):
        history.save_validations(run, history.with_validation(run, step, 0.1, loss))
    entries = history.validations(run)
    assert [entry['running_loss'] for entry in entries[1:]] == [2.0, 2.0, 3.0]
    assert history.is_better(entries[1], entries[0], 'running_loss')
    assert not history.is_better(entries[0], entries[1], 'running_loss')


def test_step_is_read_off_the_name():
    assert checkpoints.step_of('runs/net-2/model.ckpt-500') == 500


def test_validations_behind_a_step_are_cut(tmp_path):
    run = str(tmp_path)
    history.cut_validations(run, 3)
    for step in (5, 10, 15):
        history.save_validations(run, history.with_validation(run, step, 0.1, 1.0))
    history.cut_validations(run, 10)
    assert [entry['step'] for entry in history.validations(run)] == [5, 10]


@pytest.mark.parametrize('predicted, labelled, warned', [
    ((1, 1), (6, 6), True), ((1, 2), (6, 6), False), ((2, 1), (6, 6), False),
    ((1, 1), (1, 1), False), ((1,), (6,), False)])
def test_one_predicted_class_is_warned_about_where_there_are_more(tmp_path, predicted, labelled,
                                                                  warned):
    run = str(tmp_path)
    for step, (num_predicted, num_labelled) in enumerate(zip(predicted, labelled)):
        history.save_validations(run, history.with_validation(
            run, step, 0.1, 1.0, num_predicted, num_labelled))
    assert bool(history.collapse_warning(run)) is warned


def test_validations_are_kept_in_order_and_count_once_they_are_saved(tmp_path):
    run = str(tmp_path)
    history.save_validations(run, history.with_validation(run, 5, 0.1, 4.0))
    entries = history.with_validation(run, 10, 0.25, 3.0)
    assert history.is_validated(run, 5) and not history.is_validated(run, 10)
    history.save_validations(run, entries)
    assert history.is_validated(run, 10)
    assert entries[-1] == {'step': 10, 'mean_iou': 0.25, 'loss': 3.0, 'running_loss': 3.5,
                           'num_predicted': None, 'num_labelled': None}
    with open(os.path.join(run, history.VALIDATION_NAME)) as f:
        assert [entry['step'] for entry in json.load(f)] == [5, 10]


def test_best_score_is_the_entry_in_the_best_folder(tmp_path):
    assert history.best_score(str(tmp_path)) is None
    (tmp_path / checkpoints.BEST_DIR).mkdir()
    entry, = history.with_validation(str(tmp_path), 5, 0.25, 1.0)
    files.write_json(entry, str(tmp_path / checkpoints.BEST_DIR / history.BEST_SCORE_NAME))
    assert history.best_score(str(tmp_path)) == entry


@pytest.mark.parametrize('metric, better', [('mean_iou', False), ('running_loss', True)])
def test_better_is_a_higher_iou_or_a_lower_running_loss(metric, better):
    best = {'mean_iou': 0.5, 'running_loss': 2.0}
    assert history.is_better({'mean_iou': 0.4, 'running_loss': 1.9}, best, metric) is better
    assert history.is_better({'mean_iou': 0.6, 'running_loss': 2.1}, best, metric) is not better
    assert not history.is_better(best, best, metric)
    assert history.is_better(best, None, metric)


def start(path, shapes=None, allow_missing=()):
    """Runs `init_from` on variables of 1; returns (values by name, global step, message)."""
    with tf.Graph().as_default(), tf.Session() as session:
        global_step = build(SHAPES if shapes is None else shapes, 1.0)
        initialise = tf.global_variables_initializer()
        load, message = weights.init_from(path, 'resnet_v2_50', allow_missing)
        tf.get_default_graph().finalize()
        session.run(initialise)
        load(session)
        variables = {variable.op.name: variable for variable in slim.get_model_variables()}
        return session.run(variables), session.run(global_step), message


def assert_values(values, restored, fresh=()):
    """Restored variables are 7, fresh ones still 1."""
    assert set(values) == set(restored) | set(fresh)
    for name in values:
        expected = 7 if name in restored else 1
        np.testing.assert_array_equal(values[name], np.full(values[name].shape, expected))


def refusal(*args, **kwargs):
    with pytest.raises(UserError) as error:
        start(*args, **kwargs)
    return str(error.value)


def test_weights_that_are_all_there_are_restored_at_step_zero(run):
    values, step, message = start(run)
    assert_values(values, restored=SHAPES)
    assert step == 0
    assert message.startswith('at step 0 with the weights of %s (--init_from)'
                              % os.path.join(run, 'best', 'model.ckpt-10'))
    assert '5 variables match, 0 are missing in the checkpoint, 0 have another shape there, ' \
           '1 of the checkpoint are not used.\n  not used: global_step' in message


def test_averages_are_taken_before_the_weights_they_are_of(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        build(SHAPES, 2.0)
        model = slim.get_model_variables()
        averages = {name: tf.get_variable(name.replace('/', '.'), variable.shape,
                                          initializer=tf.constant_initializer(7.0))
                    for name, variable in weights.averaged_names(model).items()}
        session.run(tf.global_variables_initializer())
        prefix = tf.train.Saver(dict(averages, **{v.op.name: v for v in model})).save(
            session, str(tmp_path / 'model.ckpt'))
    values, _, message = start(prefix)
    assert_values(values, restored=SHAPES)
    assert message.startswith('at step 0 with the averaged weights of ' + prefix)
    shapes = dict(SHAPES, **{'DeepLab_v3/logits/weights': [2, 3], 'DeepLab_v3/logits/biases': [3]})
    logits = ['DeepLab_v3/logits/biases', 'DeepLab_v3/logits/weights']
    values, _, _ = start(prefix, shapes)
    assert_values(values, restored=set(SHAPES) - set(logits), fresh=logits)


def test_other_classes_are_said_beside_what_else_begins_at_random(run, monkeypatch):
    monkeypatch.setattr(weights.config, 'load_classes',
                        lambda _: descriptor.create('x', ['a', 'b'], 255))
    monkeypatch.setattr(weights.descriptor, 'load',
                        lambda _: descriptor.create('y', ['b', 'a'], 255))
    with tf.Graph().as_default():
        build(dict(SHAPES, **{'DeepLab_v3/more': [1]}), 1.0)
        _, message = weights.init_from(run, 'resnet_v2_50', ['DeepLab_v3/more'], 'the folder')
    assert re.search(r'randomly initialised: DeepLab_v3/logits/biases, .*DeepLab_v3/more '
                     r'\(class 0 is "a" in the run and "b" in the data', message)


def test_variables_of_the_checkpoint_that_the_network_lacks_do_not_matter(tmp_path):
    prefix = write(tmp_path, 3, shapes=dict(SHAPES, **{'resnet_v2_50/logits/weights': [4]}))
    values, _, message = start(prefix)
    assert_values(values, restored=SHAPES)
    assert 'randomly initialised' not in message
    assert 'not used: global_step, resnet_v2_50/logits/weights' in message


def test_backbone_alone_is_refused_with_the_way_to_a_random_head(tmp_path):
    prefix = write(tmp_path, 100, shapes=BACKBONE)
    message = refusal(prefix)
    assert 'backbone alone' in message and '--allow_missing DeepLab_v3' in message
    assert '2 variables match, 3 are missing' in message
    values, step, message = start(prefix, allow_missing=['DeepLab_v3'])
    assert_values(values, restored=BACKBONE, fresh=HEAD)
    assert step == 0
    assert message.endswith('randomly initialised: ' + ', '.join(HEAD))


def test_allow_missing_names_whole_scopes_or_single_variables(tmp_path):
    prefix = write(tmp_path, 100, shapes=BACKBONE)
    assert 'backbone alone' in refusal(prefix, allow_missing=['DeepLab'])
    assert 'backbone alone' in refusal(prefix, allow_missing=['DeepLab_v3/logits'])
    values, _, _ = start(prefix, allow_missing=['DeepLab_v3/logits',
                                                'DeepLab_v3/ASPP_layer/weights'])
    assert_values(values, restored=BACKBONE, fresh=HEAD)


def test_imagenet_means_the_downloaded_backbone_and_a_random_head(tmp_path, monkeypatch):
    prefix = write(tmp_path, 100, shapes=BACKBONE)
    monkeypatch.setattr(weights.imagenet, 'ensure', {'resnet_v2_50': prefix}.get)
    values, _, message = start('imagenet')
    assert_values(values, restored=BACKBONE, fresh=HEAD)
    assert 'the weights of ' + prefix in message


def test_imagenet_weights_that_were_installed_elsewhere_need_no_flag(tmp_path):
    prefix = write(tmp_path, 100, shapes=BACKBONE)
    assert 'resnet/download.py --file' in refusal(prefix)
    (tmp_path / weights.imagenet.RECORD_NAME).write_text('{}')
    values, _, _ = start(prefix)
    assert_values(values, restored=BACKBONE, fresh=HEAD)


def test_an_archive_of_weights_is_refused_with_the_command_that_installs_it(tmp_path):
    path = tmp_path / 'a.tar.gz'
    tarfile.open(str(path), 'w:gz').close()
    with pytest.raises(UserError, match='is an archive.*--init_from imagenet: .*download.py '
                                        '--resnet_model resnet_v2_50 --file ' + str(path)):
        weights.check_start(str(path), 'resnet_v2_50')


def test_another_number_of_classes_makes_new_logits_and_nothing_else(run):
    shapes = dict(SHAPES, **{'DeepLab_v3/logits/weights': [2, 3], 'DeepLab_v3/logits/biases': [3]})
    values, step, message = start(run, shapes)
    logits = ['DeepLab_v3/logits/biases', 'DeepLab_v3/logits/weights']
    assert_values(values, restored=set(SHAPES) - set(logits), fresh=logits)
    assert values['DeepLab_v3/logits/weights'].shape == (2, 3)
    assert step == 0
    assert message.endswith('randomly initialised: %s (another number of classes)'
                            % ', '.join(logits))


def test_long_lists_are_cut_after_five_examples(tmp_path):
    head = {'DeepLab_v3/%d/weights' % index: [1] for index in range(8)}
    message = refusal(write(tmp_path, 1, shapes=BACKBONE), dict(BACKBONE, **head))
    assert 'missing: DeepLab_v3/0/weights, ' in message
    assert 'DeepLab_v3/4/weights and 3 more' in message and 'DeepLab_v3/5' not in message


def renamed(old, new):
    return {name.replace(old, new): shape for name, shape in SHAPES.items()}


@pytest.mark.parametrize('stored, cause', [
    (renamed('resnet_v2_50', 'resnet_v2_101'), 'another depth: give --resnet_model resnet_v2_101'),
    (renamed('resnet_v2_50', 'resnet_v1_50'), 'a ResNet v1; this network is built on v2'),
    ({'MobilenetV2/Conv/weights': [3]}, 'not one variable has a name of this one'),
    ({'layer/kernel/.ATTRIBUTES/VARIABLE_VALUE': [3]}, 'Keras or TensorFlow 2'),
    (dict(SHAPES, **{'resnet_v2_50/conv1/weights': [3, 4]}), 'other code, or is incomplete')])
def test_refusals_guess_the_cause(tmp_path, stored, cause):
    message = refusal(write(tmp_path, 1, shapes=stored))
    assert cause in message and 'does not fit this network' in message


def test_other_classes_are_the_cause_only_where_nothing_else_is_wrong(run):
    logits = {'DeepLab_v3/logits/biases': [3], 'DeepLab_v3/logits/weights': [2, 3]}
    with tf.Graph().as_default():
        build(dict(SHAPES, **logits), 1.0)
        with pytest.raises(UserError, match='(?s)trained on another number of classes.*'
                           '2 have another shape'):
            weights.check_complete(checkpoints.find(run)[0], {
                variable.op.name: variable for variable in slim.get_model_variables()})
    message = refusal(run, dict(SHAPES, **{'resnet_v2_50/conv1/weights': [3, 4]}, **logits))
    assert 'number of classes' not in message and '3 have another shape' in message


def test_part_of_the_head_missing_is_refused(tmp_path):
    shapes = {name: shape for name, shape in SHAPES.items() if 'ASPP' not in name}
    message = refusal(write(tmp_path, 1, shapes=shapes))
    assert '1 are missing' in message and 'missing: DeepLab_v3/ASPP_layer/weights' in message


def test_init_from_nothing_is_refused(tmp_path):
    assert refusal(str(tmp_path / 'gone')).startswith('No checkpoint at')


def test_damaged_checkpoints_are_refused_naming_the_file(tmp_path):
    prefix = write(tmp_path, 1)
    with open(prefix + '.data-00000-of-00001', 'r+b') as f:
        f.truncate(40)
    assert refusal(prefix).startswith(prefix + ' is damaged')
    with open(prefix + '.index', 'wb') as f:
        f.write(b'no index at all' * 9)
    assert refusal(prefix).startswith(prefix + ' cannot be read as a checkpoint')
    page = tmp_path / 'resnet_v2_50.ckpt'
    page.write_text('<html>not found</html>')
    assert refusal(str(page)).startswith('%s cannot be read as a checkpoint' % page)


def test_checkpoint_of_tensorflows_first_format_is_restored(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        build(SHAPES, 7.0)
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver(write_version=tf.train.SaverDef.V1)
        prefix = saver.save(session, str(tmp_path / 'resnet_v2_50.ckpt'))
    assert os.path.isfile(prefix)
    values, _, _ = start(prefix)
    assert_values(values, restored=SHAPES)


def test_folder_without_its_checkpoint_file_means_the_newest(tmp_path):
    write_run(tmp_path, [9, 10])
    os.remove(str(tmp_path / 'checkpoint'))
    assert checkpoints.find(str(tmp_path))[0] == str(tmp_path / 'model.ckpt-10')


def test_a_part_that_a_kill_left_hides_no_whole_checkpoint_and_is_removed(tmp_path):
    for step in (1, 2, 3):
        for extension in ('.index', '.data-00000-of-00001'):
            (tmp_path / ('model.ckpt-%d%s' % (step, extension))).write_bytes(b'x')
    # Killed while the data of step 3 were written, and between data and index of step 4.
    parts = ['model.ckpt-3.data-00000-of-00001.tempstate17', 'model.ckpt-3.index.tempstate9',
             'model.ckpt-4.data-00000-of-00001']
    for name in parts:
        (tmp_path / name).write_bytes(b'x')
    (tmp_path / 'damaged-model.ckpt-2.index').write_bytes(b'x')
    folder = str(tmp_path)
    assert [checkpoints.step_of(prefix) for prefix in checkpoints.all_in(folder)] == [1, 2, 3]
    assert checkpoints.latest_in(folder).endswith('model.ckpt-3')
    checkpoints.remove_leftovers(folder, 2)
    assert sorted(os.listdir(folder)) == [
        'damaged-model.ckpt-2.index', 'model.ckpt-2.data-00000-of-00001', 'model.ckpt-2.index',
        'model.ckpt-3.data-00000-of-00001', 'model.ckpt-3.index']
