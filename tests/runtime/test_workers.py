"""TF_CONFIG, sums over processes, and training steps of several processes that equal one's."""
import json

import numpy as np
import pytest

import train
from common.errors import UserError
from dataset import descriptor
from experiment import train_flags
from runtime import collective_ops, slim, tf, workers
from tests.helpers import tiny_runs, worker_job
from tests.helpers.worker_groups import ends_of, started, write_job


def test_the_engine_is_where_both_versions_have_it():
    assert collective_ops.__name__ == 'tensorflow.python.ops.collective_ops'
    assert callable(collective_ops.all_reduce)


def task(kind, index, **cluster):
    return workers.task_of(json.dumps({'cluster': cluster, 'task': {'type': kind, 'index': index}}))


def test_tf_config_of_kubeflow_and_vertex_gives_addresses_and_the_place_in_them():
    # Kubeflow's training operator; Vertex AI adds "job", and its index may be a string.
    assert task('worker', 1, chief=['a:1'], worker=['b:2', 'c:3']) == (['a:1', 'b:2', 'c:3'], 2)
    assert task('chief', 0, worker=['b:2'], chief=['a:1']) == (['a:1', 'b:2'], 0)
    assert task('master', '0', master=['a:1'], worker=['b:2']) == (['a:1', 'b:2'], 0)
    # Without a chief the first worker is it.
    assert task('worker', 1, worker=['a:1', 'b:2']) == (['a:1', 'b:2'], 1)
    for alone in (None, '', '{}', '{"cluster": {"chief": ["a:1"]}, "task": {"type": "chief"}}',
                  '{"task": {"type": "worker", "index": 0}, "environment": "cloud"}'):
        assert workers.task_of(alone) is None
    with workers.joined(None, about=None) as group:
        assert group is workers.ALONE and group.all_sum is None and group.target == ''


@pytest.mark.parametrize('config, message', [
    ('{', 'TF_CONFIG is not'), ('[]', 'TF_CONFIG is not'), ('{"cluster": 3}', 'TF_CONFIG is not'),
    ({'type': 'evaluator', 'index': 0}, 'has the role evaluator: there are only chief and worker'),
    ({'type': 'worker', 'index': 1}, 'the task worker 1 is not in the cluster')])
def test_tf_config_that_cannot_be_joined_is_refused(config, message):
    if isinstance(config, dict):
        config = json.dumps({'cluster': {'chief': ['a:1'], 'worker': ['b:2']}, 'task': config})
    with pytest.raises(UserError, match=message):
        workers.task_of(config)
    with pytest.raises(UserError, match='role ps:'):
        task('worker', 0, chief=['a:1'], worker=['b:2'], ps=['c:3'])
    with pytest.raises(UserError, match='one address'):
        task('worker', 0, chief=['a:1'], worker=['a:1'])
    with pytest.raises(UserError, match='HOST:PORT'):
        task('worker', 0, chief=['a'], worker=['b:1'])


FLAGS = ['--resnet_model', tiny_runs.TINY, '--crop_size', '33', '--batch_size', '2',
         '--optimizer', 'momentum', '--starting_learning_rate', '0.01', '--sync_batch_norm',
         '--batch_norm_decay', '0.5', '--num_threads', '1', '--worker_timeout', '20']
STEPS = 2


@pytest.fixture(scope='module')
def argv(shapes_dir, tmp_path_factory):
    """The flags, with weights to begin with: random ones depend on the ops of the graph."""
    folder = str(tmp_path_factory.mktemp('initial'))
    with tiny_runs.tiny_network(worker_job.BASE_DEPTH):
        tiny_runs.write_run(folder, shapes_dir)
    return FLAGS + ['--dataset_dir', shapes_dir, '--init_from', folder]


@pytest.fixture(scope='module')
def computed(argv, tmp_path_factory):
    """What two processes compute together; and how the chief ends when the other one dies."""
    folder = tmp_path_factory.mktemp('computed')
    job = write_job(folder / 'job', 'compute', folder, argv, STEPS)
    with started([job] * 2) as processes:
        ends = ends_of(processes, 300)
    assert ends[1][0] == -9, ends
    return [np.load(str(folder / ('%d.npz' % rank))) for rank in (0, 1)], ends[0]


def test_sums_are_those_of_all_workers_on_each(computed):
    for found in computed[0]:
        np.testing.assert_array_equal(found['floats'], np.full([2, 2], 4, np.float32))
        assert found['int'] == 15 and found['int'].dtype == np.int64


def test_synced_batch_norm_is_slims_over_the_whole_batch(computed):
    images = worker_job.batch(2)
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = tf.constant(images)
        normed = slim.batch_norm(inputs, is_training=True, decay=0.9, epsilon=0.01, scale=True)
        answers = worker_job.batch_norm_answers(inputs, normed)
        session.run(tf.global_variables_initializer())
        alone = session.run(answers)
    for rank, found in enumerate(computed[0]):
        for name in ('normed', 'gradient'):
            np.testing.assert_allclose(found[name], alone[name][rank::2], rtol=1e-4, atol=2e-5)
        for name in ('moving_mean', 'moving_variance'):
            np.testing.assert_allclose(found['BatchNorm/' + name], alone['BatchNorm/' + name],
                                       rtol=1e-6)
    for name in ('gradient of BatchNorm/beta', 'gradient of BatchNorm/gamma'):
        np.testing.assert_allclose(sum(found[name] for found in computed[0]), alone[name],
                                   rtol=1e-4)


def test_steps_with_synced_batch_norm_are_those_of_one_process(computed, argv, shapes_dir):
    with tiny_runs.tiny_network(worker_job.BASE_DEPTH):
        args = train_flags.parse(argv)
        alone = worker_job.trained(train, args, descriptor.load(shapes_dir), workers.ALONE, STEPS)
    (chief, other), worst = computed[0], {}
    assert alone['loss'] == pytest.approx(chief['loss'], rel=1e-5)
    # Of biases before a batch norm the gradient is 0 but for rounding: the largest is the measure.
    largest = max(np.abs(value).max() for name, value in alone.items() if 'Momentum' in name)
    for name in sorted(set(alone) - {'loss'}):
        if 'postnorm' in name:  # which is built but unused, and each worker's own
            continue
        np.testing.assert_array_equal(chief[name], other[name])
        scale = largest if 'Momentum' in name else np.abs(alone[name]).max()
        worst[name] = np.abs(chief[name] - alone[name]).max() / scale if scale else 0
    assert max(worst.values()) < 1e-5, sorted(worst.items(), key=lambda pair: -pair[1])[:9]


def test_a_worker_that_dies_within_a_sum_ends_the_others(computed):
    status, output = computed[1]
    assert status == 1 and ') died. The same command goes on from the last' in output
    assert output.strip().splitlines()[-1].startswith('Worker 1 (127.0.0.1:')


def test_the_image_level_features_of_an_image_on_each_worker_have_a_variance(computed):
    # That alone they have not, so that their moving statistics would stay.
    name = 'DeepLab_v3/ASPP_layer/image_level_conv_1x1/BatchNorm/moving_variance'
    assert np.abs(computed[0][0][name] - 1).max() > 0.01
