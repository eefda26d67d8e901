"""planning.py: what is open when a run begins, and how many steps fit into a time."""
import os

import pytest

from common.errors import UserError
from dataset import descriptor
from experiment import config, planning, train_flags
from experiment.planning import Pace
from resnet import imagenet
from runtime import machine, workers
from tests.helpers.fake_machine import AMPERE, TURING

PACE = Pace(spent=20.0, start=10.0, step=2.0, evaluation=12.0, save=3.0)


def resolved(shapes_dir, tmp_path, *flags, measure=None):
    args = train_flags.parse(['--dataset_dir', shapes_dir, '--model_dir', str(tmp_path / 'run'),
                              *flags])
    planning.resolve(args, descriptor.load(shapes_dir), workers.ALONE, measure)
    return args


def begun(args):
    """Makes the run directory of a run of which a checkpoint is there."""
    os.makedirs(args.model_dir)
    config.save(args, args.model_dir)
    for end in ('index', 'data-00000-of-00001'):
        open(os.path.join(args.model_dir, 'model.ckpt-1.' + end), 'w').close()


def test_scratch_looks_at_the_data_and_says_what_it_chose(shapes_dir, tmp_path, capsys):
    args = resolved(shapes_dir, tmp_path, '--recipe', 'scratch')
    # 6 images whose shorter sides are below 48.
    assert (args.crop_size, args.max_steps, args.batch_norm_decay) == (33, 1000, 0.98)
    assert (args.init_from, args.eval_every_steps) == ('random', 100)
    said = capsys.readouterr().out
    assert '  for 6 images of ' in said and '--crop_size 33 --max_steps 1000' in said
    assert None not in planning.values_of_recipe(args).values()


def test_what_is_typed_stays_and_the_rest_follows_it(shapes_dir, tmp_path):
    args = resolved(shapes_dir, tmp_path, '--recipe', 'scratch', '--max_steps', '50',
                    '--crop_size', '65', '--warmup_steps', '7')
    assert (args.max_steps, args.crop_size, args.warmup_steps) == (50, 65, 7)
    assert (args.batch_norm_decay, args.eval_every_steps) == (0.9, 5)
    args = resolved(shapes_dir, tmp_path, '--recipe', 'scratch', '--epochs', '4')
    assert (args.max_steps, args.eval_every_steps) == (3, 1)  # 24 images in batches of 8


def test_flags_that_contradict_what_the_recipe_chose_are_refused(shapes_dir, tmp_path):
    with pytest.raises(UserError, match='--crop_size 16 .* with parts of one image: batch norm'):
        resolved(shapes_dir, tmp_path, '--recipe', 'scratch', '--batch_size', '1',
                 '--crop_size', '16')


def test_a_run_that_goes_on_keeps_what_it_began_with(shapes_dir, tmp_path):
    args = resolved(shapes_dir, tmp_path, '--recipe', 'scratch', '--minutes', '5',
                    measure=lambda *_: PACE)
    begun(args)
    slower = PACE._replace(step=9.0)
    again = resolved(shapes_dir, tmp_path, '--recipe', 'scratch', '--minutes', '5',
                     measure=lambda *_: slower)
    assert vars(again) == vars(args)
    with pytest.raises(UserError, match=r'--minutes 6: .* was begun with --minutes 5, by which'):
        resolved(shapes_dir, tmp_path, '--recipe', 'scratch', '--minutes', '6')


def test_a_run_of_earlier_commits_goes_on_from_random_weights(shapes_dir, tmp_path):
    begun(resolved(shapes_dir, tmp_path, '--init_from', 'random'))
    assert resolved(shapes_dir, tmp_path).init_from == 'random'


def test_without_weights_nothing_begins_and_three_ways_are_named(shapes_dir, tmp_path,
                                                                 monkeypatch):
    monkeypatch.setattr(imagenet, 'CHECKPOINTS_DIR', str(tmp_path / 'none'))
    monkeypatch.setattr(imagenet.ensure, '__defaults__', (
        str(tmp_path / 'none'), None, 'http://127.0.0.1:9/'))
    for recipe in ('post', 'post_code', 'paper', 'finetune'):
        with pytest.raises(UserError) as error:
            resolved(shapes_dir, tmp_path, '--recipe', recipe)
        error.match(r'(?s)ImageNet weights .*install it with --file PATH:\n.*download.py '
                    r'--resnet_model resnet_v2_50 --file .*\nOr train without them:\n'
                    r'  --init_from random: .*\n  --recipe scratch: ')
    assert resolved(shapes_dir, tmp_path, '--init_from', 'random').init_from == 'random'


def test_imagenet_weights_want_images_as_tf_slim_had_them_wherever_they_are(tmp_path):
    prefix, folder = str(tmp_path / 'resnet_v2_50.ckpt'), str(tmp_path)
    for end in ('.index', '.data-00000-of-00001'):
        open(prefix + end, 'w').close()
    (tmp_path / 'checkpoint').write_text(''.join(  # as a `tf.train.Saver` leaves it
        '%s_checkpoint_path%s: "resnet_v2_50.ckpt"\n' % pair
        for pair in (('model', ''), ('all_model', 's'))))
    starts = [prefix, prefix + '.index', folder, folder + os.sep]
    assert [planning.flags_of_start(start) for start in starts + ['random']] == [{}] * 5
    (tmp_path / imagenet.RECORD_NAME).write_text('{}')
    assert [planning.flags_of_start(start) for start in starts + ['imagenet']] == [
        {'input_normalization': 'inception'}] * 5


def test_steps_fill_the_time_with_evaluations_and_checkpoints():
    args = train_flags.parse(['--minutes', '10', '--save_every_steps', '100'])
    args.eval_every_steps = None
    # 0.97 * 600 - 30 s; 15% of 600 s hold 6 evaluations of 15 s; a step takes 2 + 3 / 100 s.
    assert planning.evaluations_in(args, PACE) == 6
    assert planning.steps_in(args, PACE) == int((552 - 90) / 2.03)
    args.eval_every_steps = 50
    assert planning.steps_in(args, PACE) == int((552 - 15) / (2.03 + 15 / 50))
    without = PACE._replace(evaluation=0.0)
    args.eval_every_steps = None
    assert planning.evaluations_in(args, without) == 1
    args.minutes = 0.5
    with pytest.raises(UserError, match='--minutes 0.5 is too short: .* a step takes 2.0 s, an '
                                        'evaluation 12.0 s, and .* the first step 130.0 s'):
        planning.steps_in(args, PACE._replace(spent=PACE.spent + 100))


def test_minutes_decide_steps_and_what_hangs_on_them(shapes_dir, tmp_path, capsys):
    seen = []

    def measure(flags, facts):
        seen.append((flags.max_steps, flags.batch_norm_decay, facts.num_images))
        return PACE
    args = resolved(shapes_dir, tmp_path, '--recipe', 'scratch', '--minutes', '10',
                    measure=measure)
    assert seen == [(10000, 0.998, 6)]
    steps = int((552 - 6 * 15) / (2 + 3 / 500))
    assert (args.max_steps, args.eval_every_steps) == (steps, -(-steps // 6))
    assert args.batch_norm_decay == round(1 - 20 / steps, 4)
    assert '%d steps of 2 s, with evaluations and checkpoints about ' % steps \
        in capsys.readouterr().out


def test_minutes_go_with_other_recipes_too(shapes_dir, tmp_path):
    args = resolved(shapes_dir, tmp_path, '--init_from', 'random', '--minutes', '10',
                    measure=lambda *_: PACE)
    assert args.max_steps == int((552 - 15) / (2 + 3 / 500 + 15 / 1000))


def test_an_estimate_counts_steps_evaluations_and_checkpoints(shapes_dir, tmp_path, capsys):
    args = resolved(shapes_dir, tmp_path, '--init_from', 'random', '--estimate', '--max_steps',
                    '1500', measure=lambda *_: PACE)
    # 10 + 1500 * 2 + 2 * 12 + (3 + 2) * 3 s.
    assert planning.seconds_of(args, PACE) == 3049
    assert '1500 steps of 2 s, with evaluations and checkpoints about 51 minutes.' \
        in capsys.readouterr().out


@pytest.mark.parametrize('seconds, words', [
    (0.2, '1 seconds'), (89, '89 seconds'), (90, '2 minutes'), (5300, '88 minutes'),
    (5400, '1.5 hours')])
def test_times_are_said_in_words(seconds, words):
    assert planning.in_words(seconds) == words


def test_the_memory_for_training_is_that_of_the_smallest_gpu_or_of_the_machine(monkeypatch):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    monkeypatch.setattr(machine, 'memory', lambda: machine.Memory(2 ** 35, 2 ** 33))
    monkeypatch.setattr(machine, 'gpus', lambda: [AMPERE, TURING._replace(memory_mib=15360)])
    monkeypatch.setattr(planning.tf.test, 'is_built_with_cuda', lambda: True)
    assert planning.memory_for(workers.ALONE) == 15
    monkeypatch.setattr(planning.tf.test, 'is_built_with_cuda', lambda: False)
    assert planning.memory_for(workers.ALONE) == 8
