"""checkpoints.py: finds what the user means, restores what fits, names what does not."""
import os
import shutil

import numpy as np
import pytest

import checkpoints
import config
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
        saver = tf.train.Saver(max_to_keep=checkpoints.NUM_LATEST_KEPT)
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
    with pytest.raises(SystemExit) as error:
        checkpoints.find(path)
    assert str(error.value).startswith('No checkpoint at %s. Give a run directory' % path)


def test_prefix_of_several_checkpoints_is_not_one_itself(tmp_path):
    write_run(tmp_path, [1, 10])
    with pytest.raises(SystemExit):
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


def test_step_is_read_off_the_name():
    assert checkpoints.step_of('runs/net-2/model.ckpt-500') == 500


def test_best_score_is_read_from_the_best_folder(tmp_path):
    assert checkpoints.best_score(str(tmp_path)) is None
    (tmp_path / checkpoints.BEST_DIR).mkdir()
    config.write_json({'step': 5, 'mean_iou': 0.25},
                      str(tmp_path / checkpoints.BEST_DIR / checkpoints.BEST_SCORE_NAME))
    assert checkpoints.best_score(str(tmp_path)) == 0.25


def start(path, shapes=None):
    """Runs `init_from` on variables of 1; returns (values by name, global step, message)."""
    with tf.Graph().as_default(), tf.Session() as session:
        global_step = build(SHAPES if shapes is None else shapes, 1.0)
        initialise = tf.global_variables_initializer()
        load, message = checkpoints.init_from(path)
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


def test_weights_that_are_all_there_are_restored_at_step_zero(run):
    values, step, message = start(run)
    assert_values(values, restored=SHAPES)
    assert step == 0
    assert message == 'weights from %s, at step 0' % os.path.join(run, 'best', 'model.ckpt-10')


def test_variables_of_the_checkpoint_that_the_network_lacks_do_not_matter(tmp_path):
    prefix = write(tmp_path, 3, shapes=dict(SHAPES, **{'resnet_v2_50/logits/weights': [4]}))
    values, _, message = start(prefix)
    assert_values(values, restored=SHAPES)
    assert 'randomly initialised' not in message


def test_backbone_alone_is_restored_and_the_head_is_said_to_be_new(tmp_path):
    values, step, message = start(write(tmp_path, 100, shapes=BACKBONE))
    assert_values(values, restored=BACKBONE, fresh=HEAD)
    assert step == 0
    assert message.endswith('; randomly initialised: ' + ', '.join(HEAD))


def test_another_number_of_classes_makes_new_logits_and_nothing_else(run):
    shapes = dict(SHAPES, **{'DeepLab_v3/logits/weights': [2, 3], 'DeepLab_v3/logits/biases': [3]})
    values, step, message = start(run, shapes)
    logits = ['DeepLab_v3/logits/biases', 'DeepLab_v3/logits/weights']
    assert_values(values, restored=set(SHAPES) - set(logits), fresh=logits)
    assert values['DeepLab_v3/logits/weights'].shape == (2, 3)
    assert step == 0
    assert message.endswith('; randomly initialised: ' + ', '.join(logits))


def test_long_list_of_new_variables_is_cut(tmp_path):
    head = {'DeepLab_v3/%d/weights' % index: [1] for index in range(8)}
    _, _, message = start(write(tmp_path, 1, shapes=BACKBONE), dict(BACKBONE, **head))
    assert message.endswith('DeepLab_v3/4/weights and 3 more')


def test_backbone_of_another_shape_is_refused_with_counts_and_names(run):
    shapes = dict(SHAPES, **{'resnet_v2_50/conv1/weights': [3, 4],
                             'resnet_v2_50/extra/weights': [1]})
    with pytest.raises(SystemExit, match=(
            r'model.ckpt-10 does not fit.* of 6 variables 1 are missing and 1 have another shape: '
            r'resnet_v2_50/conv1/weights, resnet_v2_50/extra/weights.\n.*--resnet_model')):
        start(run, shapes)


def test_new_logits_are_not_counted_among_what_does_not_fit(run):
    shapes = dict(SHAPES, **{'resnet_v2_50/conv1/weights': [3, 4],
                             'DeepLab_v3/logits/biases': [3], 'DeepLab_v3/logits/weights': [2, 3]})
    with pytest.raises(SystemExit, match='0 are missing and 1 have another shape: '
                                         'resnet_v2_50/conv1/weights\\.'):
        start(run, shapes)


def test_another_backbone_is_refused(run):
    shapes = {name.replace('resnet_v2_50', 'resnet_v2_101'): shape
              for name, shape in SHAPES.items()}
    with pytest.raises(SystemExit, match='2 are missing.*resnet_v2_101/block1/weights'):
        start(run, shapes)


def test_part_of_the_head_missing_is_refused(tmp_path):
    shapes = {name: shape for name, shape in SHAPES.items() if 'ASPP' not in name}
    with pytest.raises(SystemExit, match='1 are missing.*DeepLab_v3/ASPP_layer/weights'):
        start(write(tmp_path, 1, shapes=shapes))


def test_init_from_nothing_is_refused(tmp_path):
    with pytest.raises(SystemExit, match='No checkpoint at'):
        start(str(tmp_path / 'gone'))
