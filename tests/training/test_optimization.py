"""optimization.py: learning rates by hand, frozen batch norm, and batches in parts."""
import numpy as np
import pytest

import network
import train
from dataset import descriptor
from experiment import config, train_flags
from preprocessing import inputs
from resnet import architecture
from runtime import slim, tf
from tests.helpers import pseudo_random
from training import optimization
from training.graph import augmentation_options

TINY = 'resnet_v2_tiny'


def learning_rates(steps, *flags):
    """The learning rate at each of `steps` finished steps."""
    args = train_flags.parse(['--starting_learning_rate', '0.5'] + list(flags))
    with tf.Graph().as_default(), tf.Session() as session:
        global_step = tf.placeholder(tf.int64, [])
        rate = optimization.build_learning_rate(args, global_step)
        return [session.run(rate, {global_step: step}) for step in steps]


def test_constant_rate_stays():
    assert learning_rates([0, 7, 10 ** 6]) == [0.5] * 3


def test_poly_rate_falls_to_zero_with_the_papers_power():
    rates = learning_rates([0, 1, 5, 10, 12], '--learning_rate_policy', 'poly', '--max_steps', '10')
    assert rates == pytest.approx([0.5, 0.5 * 0.9 ** 0.9, 0.5 * 0.5 ** 0.9, 0, 0])


def test_piecewise_rate_falls_at_its_boundaries():
    rates = learning_rates([0, 3, 4, 8, 9, 100], '--learning_rate_policy', 'piecewise',
                           '--learning_rate_boundaries', '4', '9', '--learning_rate_decay', '0.2')
    assert rates == pytest.approx([0.5, 0.5, 0.1, 0.1, 0.02, 0.02])


@pytest.mark.parametrize('flags, after', [
    ([], [0.5, 0.5]),
    (['--learning_rate_policy', 'poly', '--max_steps', '8'], [0.5 * 0.5 ** 0.9,
                                                              0.5 * 0.375 ** 0.9])])
def test_warm_up_rises_evenly_to_the_rate_of_the_policy(flags, after):
    warm = learning_rates([0, 1, 2, 3, 4, 5], '--warmup_steps', '4', *flags)
    cold = learning_rates([0, 1, 2, 3], *flags)
    assert warm[:4] == pytest.approx([cold[0] / 4, cold[1] / 2, cold[2] * 3 / 4, cold[3]])
    assert warm[4:] == pytest.approx(after)


def toy_steps(num_steps, *flags):
    """Trains one bias per class on one pixel of class 0; returns the values after each step."""
    args = train_flags.parse(['--l2_regularizer', '0', '--starting_learning_rate', '0.5']
                             + list(flags))
    with tf.Graph().as_default(), tf.Session() as session:
        biases = slim.model_variable('biases', [2], initializer=tf.zeros_initializer())
        logits = tf.reshape(biases, [1, 1, 1, 2])
        global_step = tf.train.get_or_create_global_step()
        step = optimization.build_train_step(logits, tf.zeros([1, 1, 1], tf.int32), 255, args,
                                             global_step, tf.constant(0.5))
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        values = []
        for _ in range(num_steps):
            session.run(step.train_op)
            values.append(session.run(biases))
        assert session.run(global_step) == num_steps
        return np.array(values), {v.op.name for v in tf.global_variables()}


def test_momentum_is_the_sum_of_the_decayed_gradients():
    values, names = toy_steps(2, '--optimizer', 'momentum', '--momentum', '0.75')
    first = np.array([-0.5, 0.5])  # softmax - one-hot at logits 0
    after = -0.5 * first
    share = np.exp(after) / np.exp(after).sum()
    second = 0.75 * first + share - [1, 0]
    np.testing.assert_allclose(values, [after, after - 0.5 * second], rtol=1e-5)
    assert 'optimizer_vars/biases/Momentum' in names


@pytest.mark.parametrize('parts', [1, 2])
def test_weight_decay_is_in_the_loss_and_the_gradients_of_a_step(parts):
    args = train_flags.parse(['--optimizer', 'momentum', '--accumulate_steps', str(parts)])
    with tf.Graph().as_default(), tf.Session() as session:
        weights = slim.model_variable('weights', [1, 1, 1, 2], initializer=tf.ones_initializer(),
                                      regularizer=slim.l2_regularizer(0.25))
        # One ignored pixel: nothing but the decay, 0.25 * (1 + 1) / 2, is left to learn from.
        step = optimization.build_train_step(
            0 * weights, tf.fill([1, 1, 1], 255), 255, args,
            tf.train.get_or_create_global_step(), tf.constant(0.5))
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        for _ in range(parts - 1):
            session.run(step.accumulate_op)
        # Without the step, which would change the weights meanwhile.
        assert list(session.run(step.losses)) == pytest.approx([0, 0.25, 0.25])
        session.run(step.train_op)
        np.testing.assert_allclose(session.run(weights).ravel(), [1 - 0.5 * 0.25] * 2)


@pytest.mark.parametrize('parts', [1, 2])
@pytest.mark.parametrize('scale, moved', [(None, 0.0), (1024, 1e-8)])
def test_a_scaled_loss_keeps_gradients_that_16_bits_would_lose(monkeypatch, parts, scale, moved):
    monkeypatch.setattr(optimization, 'loss_scale', lambda: scale)
    args = train_flags.parse(['--optimizer', 'momentum', '--accumulate_steps', str(parts)])
    with tf.Graph().as_default(), tf.Session() as session:
        biases = slim.model_variable('biases', [2], initializer=tf.zeros_initializer())
        # What fp16 holds begins at 6e-8; the gradient of one logit is half of 2e-8.
        logits = 2e-8 * tf.cast(tf.cast(biases, tf.float16), tf.float32)
        step = optimization.build_train_step(
            tf.reshape(logits, [1, 1, 1, 2]), tf.zeros([1, 1, 1], tf.int32), 255, args,
            tf.train.get_or_create_global_step(), tf.constant(1.0))
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        for _ in range(parts - 1):
            session.run(step.accumulate_op)
        session.run(step.train_op)
        np.testing.assert_allclose(session.run(biases), [moved, -moved], rtol=0.01)


@pytest.mark.parametrize('parts', [1, 2])
def test_the_loss_is_taken_before_the_weights_change(parts):
    args = train_flags.parse(['--accumulate_steps', str(parts)])
    with tf.Graph().as_default() as graph:
        weights = slim.model_variable('weights', [1, 1, 1, 2], initializer=tf.ones_initializer(),
                                      regularizer=slim.l2_regularizer(0.25))
        step = optimization.build_train_step(weights, tf.zeros([1, 1, 1], tf.int32), 255, args,
                                             tf.train.get_or_create_global_step(), tf.constant(0.5))
        update, = [op for op in graph.get_operations() if op.type == 'ApplyAdam']
        before, waiting = set(), [update]
        while waiting:
            op = waiting.pop()
            if op not in before:
                before.add(op)
                waiting += [tensor.op for tensor in op.inputs] + op.control_inputs
        assert step.losses.total.op in before


def test_adam_is_the_default_with_the_slots_of_the_post():
    values, names = toy_steps(1)
    np.testing.assert_allclose(values[0], [0.5, -0.5], rtol=1e-4)  # one step is the rate
    assert {'optimizer_vars/biases/Adam', 'optimizer_vars/biases/Adam_1',
            'optimizer_vars/beta1_power'} <= names


@pytest.fixture(scope='module')
def run_steps(shapes_dir):
    """Makes a function that trains on a tiny backbone from weights of its names, once per flags."""
    architecture.MODELS[TINY] = architecture.Architecture((1, 1, 1, 3))
    results = {}

    def run(num_steps, *flags, weights=None):
        if (num_steps, flags, weights) not in results:
            args = parse(shapes_dir, '--optimizer', 'momentum', '--starting_learning_rate', '0.01',
                         '--l2_regularizer', '0.01', '--init_from', 'nothing', *flags)
            results[num_steps, flags, weights] = train_some(num_steps, args, weights)
        return results[num_steps, flags, weights]
    yield run
    del architecture.MODELS[TINY]


def parse(dataset_dir, *flags):
    args = train_flags.parse(['--dataset_dir', dataset_dir, '--crop_size', '33',
                              '--batch_size', '4', '--resnet_model', TINY, *flags])
    config.resolve_classes(args, descriptor.load(dataset_dir))
    return args


def train_some(num_steps, args, class_weights=None):
    """Returns the model's variables before and after, and the losses of each step."""
    built = train.build_train_graph(args, descriptor.load(args.dataset_dir),
                                    network.options_of(args),
                                    loss_weights=class_weights)
    with tf.Session(graph=built.graph) as session, built.graph.as_default():
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        pseudo_random.assign(session)
        variables = {v.op.name: v for v in slim.get_model_variables()}
        before = session.run(variables)
        session.run([built.global_step.initializer, built.initializer])
        losses = []
        for _ in range(num_steps):
            for _ in range(args.accumulate_steps - 1):
                session.run(built.step.accumulate_op)
            losses.append(session.run([built.step.losses, built.step.train_op])[0])
        assert session.run(built.global_step) == num_steps
        return before, session.run(variables), losses


BATCH_NORM = ('gamma', 'beta', 'moving_mean', 'moving_variance')


def test_frozen_batch_norm_is_not_changed_by_a_bit_while_filters_learn(run_steps):
    before, after, _ = run_steps(2, '--freeze_batch_norm')
    names = [name for name in before if name.endswith(BATCH_NORM)]
    assert len(names) > 40
    for name in names:
        np.testing.assert_array_equal(before[name], after[name])
    for name in set(before) - set(names):
        assert (before[name] != after[name]).any(), name


def test_batch_norm_that_is_not_frozen_changes(run_steps):
    before, after, _ = run_steps(1)
    for name in before:
        if name.endswith(BATCH_NORM[2:]) and 'postnorm' not in name:
            assert (before[name] != after[name]).any(), name
    name = 'DeepLab_v3/ASPP_layer/conv_1x1_output/BatchNorm/gamma'
    assert (before[name] != after[name]).any()


def test_frozen_batch_norm_normalizes_with_the_stored_statistics(run_steps, shapes_dir):
    _, _, frozen = run_steps(2, '--freeze_batch_norm')
    _, _, of_batch = run_steps(1)
    args, info = parse(shapes_dir), descriptor.load(shapes_dir)
    with tf.Graph().as_default(), tf.Session() as session:
        # The same batch through the network in evaluation mode.
        tf.set_random_seed(args.seed)
        example = tf.data.make_one_shot_iterator(inputs.train_dataset(
            info, shapes_dir, augmentation_options(args, info.ignore_label), 4,
            args.seed)).get_next()
        logits = network.deeplab_v3(example.image, network.options_of(args), False, None)
        loss = optimization.losses.masked_cross_entropy(logits, example.labels, 255)
        pseudo_random.assign(session)
        expected = session.run(loss)
    assert frozen[0].cross_entropy == pytest.approx(expected, rel=1e-4)
    assert abs(of_batch[0].cross_entropy - expected) > 0.01 * expected


@pytest.mark.parametrize('weights', [None, (0.25, 1, 3, 2, 1, 0)])
def test_a_batch_in_parts_equals_the_whole_with_frozen_batch_norm(run_steps, weights):
    before, whole, whole_losses = run_steps(2, '--freeze_batch_norm', weights=weights)
    _, parts, part_losses = run_steps(2, '--freeze_batch_norm', '--accumulate_steps', '4',
                                      weights=weights)
    for one, other in zip(whole_losses, part_losses):
        assert list(one) == pytest.approx(list(other), rel=1e-4)
    for name in before:
        change = np.linalg.norm(whole[name] - before[name])
        difference = np.linalg.norm(whole[name] - parts[name])
        assert difference <= 1e-3 * change, name


def test_no_checkpoint_holds_the_sums_of_a_batch_in_parts():
    _, names = toy_steps(1)
    assert toy_steps(1, '--accumulate_steps', '2')[1] == names


def test_hard_fraction_falls_evenly_over_its_steps():
    args = train_flags.parse(['--hard_example_fraction', '0.2', '--hard_example_steps',
                              '8'])
    with tf.Graph().as_default(), tf.Session() as session:
        global_step = tf.placeholder(tf.int64, [])
        fraction = optimization.build_hard_fraction(args, global_step)
        assert [session.run(fraction, {global_step: step}) for step in (0, 4, 8, 99)] \
            == pytest.approx([1, 0.6, 0.2, 0.2])


def test_without_a_ramp_the_hard_fraction_holds_from_the_first_step():
    args = train_flags.parse(['--hard_example_fraction', '0.25'])
    with tf.Graph().as_default(), tf.Session() as session:
        assert session.run(optimization.build_hard_fraction(args, tf.constant(0))) == 0.25


def test_without_hard_examples_all_pixels_count():
    assert optimization.build_hard_fraction(train_flags.parse([]), None) is None


def test_gradient_norms_are_those_of_the_named_variables():
    args = train_flags.parse(['--l2_regularizer', '0'])
    with tf.Graph().as_default(), tf.Session() as session:
        biases = slim.model_variable('biases', [2], initializer=tf.zeros_initializer())
        step = optimization.build_train_step(
            tf.reshape(biases, [1, 1, 1, 2]), tf.zeros([1, 1, 1], tf.int32), 255, args,
            tf.train.get_or_create_global_step(), tf.constant(0.5))
        session.run(tf.global_variables_initializer())
        assert step.variable_names == ['biases']
        assert session.run(step.gradient_norms) == pytest.approx([np.sqrt(0.5)])
