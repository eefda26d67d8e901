"""config.py: the post's defaults, errors that show the value, runs that stay what they are."""
import argparse
import json
import os

import pytest

from common import files
from common.errors import UserError
from dataset import descriptor
from experiment import config, recipes, train_flags
from runtime import tf


def parse(*flags):
    return train_flags.parse(list(flags))


def refuse(capsys, *flags):
    """Returns what the parser says before it exits."""
    with pytest.raises(SystemExit) as error:
        parse(*flags)
    assert error.value.code == 2
    return capsys.readouterr().err


def write_dataset(directory, class_names=('ground', 'cat', 'dog'), shard=b'12'):
    """Writes dataset.json and a shard as far as a fingerprint looks at them."""
    directory.mkdir(exist_ok=True)
    (directory / 'train-00000-of-00001.tfrecord').write_bytes(shard)
    splits = {'train': {'num_examples': 1, 'shards': ['train-00000-of-00001.tfrecord']}}
    descriptor.save(descriptor.create('toy', class_names, 255, splits), str(directory))
    return str(directory)


@pytest.fixture
def run(tmp_path):
    """A saved run: (its flags, its directory)."""
    (tmp_path / 'run').mkdir()
    args = parse('--dataset_dir', write_dataset(tmp_path / 'data'),
                 '--model_dir', str(tmp_path / 'run'), '--init_from', 'random')
    args.number_of_classes = 3
    config.save(args, args.model_dir)
    return args, args.model_dir


def edit(run_dir, change):
    """Rewrites config.json after `change` was called with its content."""
    path = os.path.join(run_dir, config.CONFIG_NAME)
    with open(path) as f:
        values = json.load(f)
    change(values)
    files.write_json(values, path)


@pytest.mark.parametrize('path', ['runs/rate[0.1]', 'runs/*', 'runs/a?', 'runs\\a'])
def test_a_model_dir_that_tensorflow_cannot_restore_from_is_refused(capsys, path):
    with pytest.raises(SystemExit):
        train_flags.parse(['--model_dir', path])
    assert '--model_dir %s: ' % path in capsys.readouterr().err


def test_defaults_are_those_of_the_post():
    args = parse()
    assert args.resnet_model == 'resnet_v2_50'
    assert args.output_stride == 16
    assert args.multi_grid == [1, 2, 4]
    assert args.aspp_rates == [6, 12, 18]
    assert args.starting_learning_rate == 1e-5
    assert args.batch_size == 8
    assert args.batch_norm_decay == 0.9997
    assert args.l2_regularizer == 1e-4
    assert args.crop_size == 513
    assert (args.min_scale, args.max_scale) == (0.5, 2.0)
    assert args.random_flip is True and args.color_jitter is True
    assert args.number_of_classes is None and args.init_from is None


def test_defaults_that_are_not_the_posts_are_these():
    args = parse()
    assert args.batch_norm_epsilon == 1e-5
    assert (args.max_steps, args.eval_every_steps) == (30000, 1000)
    assert (args.save_every_steps, args.summary_every_steps) == (500, 50)
    assert args.seed == 0 and args.gpu_id is None


@pytest.mark.parametrize('output_stride, rates', [
    ('8', [12, 24, 36]), ('16', [6, 12, 18]), ('32', [3, 6, 9])])
def test_aspp_rates_follow_the_output_stride(output_stride, rates):
    assert parse('--output_stride', output_stride).aspp_rates == rates


def test_given_aspp_rates_and_multi_grid_are_taken_as_they_are():
    args = parse('--output_stride', '8', '--aspp_rates', '1', '2', '3',
                 '--multi_grid', '1', '1', '1')
    assert args.aspp_rates == [1, 2, 3]
    assert args.multi_grid == [1, 1, 1]


def test_output_stride_32_has_no_multi_grid(capsys):
    assert parse('--output_stride', '32').multi_grid == [1, 1, 1]
    message = refuse(capsys, '--output_stride', '32', '--multi_grid', '1', '2', '4')
    assert '--output_stride 32 --multi_grid 1 2 4' in message


def test_switches_turn_augmentation_off():
    args = parse('--no_random_flip', '--no_color_jitter')
    assert args.random_flip is False and args.color_jitter is False


@pytest.mark.parametrize('flags, shown', [
    (['--weight_decay', '0.1'], '--weight_decay'),
    (['--batch', '4'], '--batch'),  # no abbreviations
    (['--crop_size=abc'], '--crop_size: abc is not a whole number of at least 1'),
    (['--crop_size', '0'], '0 is not a whole number of at least 1'),
    (['--batch_size', '-3'], '-3 is not a whole number of at least 1'),
    (['--max_steps', '1.5'], '1.5 is not a whole number of at least 1'),
    (['--seed', 'x'], 'x is not a whole number\n'),
    (['--min_scale', 'big'], 'big is not a number\n'),
    (['--starting_learning_rate', '-0.1'], '-0.1 is not a number of at least 0'),
    (['--l2_regularizer', 'nan'], 'nan is not'),
    (['--l2_regularizer', 'inf'], 'inf is not'),
    (['--batch_norm_decay', '1'], '1 is not a number of at least 0 and below 1'),
    (['--batch_norm_decay', 'nan'], 'nan is not a number of at least 0 and below 1'),
    # A channel that is constant would be divided by 0, on TensorFlow 2.21.
    (['--batch_norm_epsilon', '0'], '0 is not a number above 0'),
    (['--multi_grid', '1', '2'], '--multi_grid'),
    (['--aspp_rates', '6', '12', '0'], '0 is not a whole number of at least 1'),
    (['--output_stride', '4'], 'choose from 8, 16, 32'),
    (['--warmup_steps', '-1'], '-1 is not a whole number of at least 0'),
    (['--recipe', 'pasta'], "'pasta' (choose from 'post'"),
    (['--learning_rate_policy', 'piecewise'], 'piecewise without --learning_rate_boundaries'),
    (['--learning_rate_boundaries', '5'], 'constant with --learning_rate_boundaries'),
    (['--learning_rate_policy', 'piecewise', '--learning_rate_boundaries', '9', '5'],
     '--learning_rate_boundaries 9 5: give them in rising order'),
    (['--accumulate_steps', '3'], '--batch_size 8 --accumulate_steps 3'),
    (['--freeze_batch_norm'], '--freeze_batch_norm without --init_from'),
    (['--recipe', 'paper_stage2'], '--recipe paper_stage2 without --init_from'),
    (['--allow_missing', 'DeepLab_v3', '--init_from', 'random'],
     '--allow_missing DeepLab_v3 with --init_from random'),
    (['--freeze_batch_norm', '--init_from', 'random'], '--freeze_batch_norm without --init_from'),
    (['--minutes', '5', '--max_steps', '9'], '--max_steps and --minutes both say the same'),
    (['--minutes', '5', '--epochs', '9'], '--epochs and --minutes both say the same'),
    (['--hard_example_steps', '9'], '--hard_example_steps 9 without --hard_example_fraction'),
    (['--input_normalization', 'none'], "'none' (choose from 'mean', 'inception')"),
    (['--resnet_model', 'vgg'], "'vgg' (choose from 'resnet_v2_101'"),
    (['--max_scale', 'nan'], 'nan is not a number'),
    (['--max_scale', 'inf'], 'inf is not a number'),
    (['stray'], 'stray'),
])
def test_wrong_flags_are_refused_showing_the_value(capsys, flags, shown):
    assert shown in refuse(capsys, *flags)


@pytest.mark.parametrize('low, high', [
    ('2', '0.5'), ('0', '1'), ('-1', '1')])
def test_impossible_scales_are_refused_showing_both(capsys, low, high):
    message = refuse(capsys, '--min_scale', low, '--max_scale', high)
    assert '--min_scale %s --max_scale %s' % (low, high) in message


def test_equal_scales_are_possible():
    assert parse('--min_scale', '1', '--max_scale', '1').max_scale == 1


INFO = descriptor.create('toy', ('ground', 'cat', 'dog'), 255)


@pytest.mark.parametrize('flags', [[], ['--number_of_classes', '3']])
def test_number_of_classes_comes_from_the_data_set(flags):
    args = parse(*flags)
    config.resolve_classes(args, INFO)
    assert args.number_of_classes == 3


def test_number_of_classes_other_than_the_data_sets_is_refused_naming_the_classes():
    args = parse('--number_of_classes', '21')
    with pytest.raises(UserError, match=r'--number_of_classes 21.*"toy".* 3 classes '
                       r'\(ground, cat, dog\)'):
        config.resolve_classes(args, INFO)


@pytest.mark.parametrize('trained, tested, rates', [
    ('16', 8, [12, 24, 36]), ('8', 16, [6, 12, 18])])
def test_another_output_stride_scales_the_aspp_rates(trained, tested, rates):
    args = parse('--output_stride', trained)
    before = dict(vars(args))
    scaled = config.with_output_stride(args, tested)
    assert (scaled.output_stride, scaled.aspp_rates) == (tested, rates)
    assert vars(args) == before
    others = {name for name in before if vars(scaled)[name] != before[name]}
    assert others == {'output_stride', 'aspp_rates'}


@pytest.mark.parametrize('output_stride', [None, 16])
def test_no_or_the_same_output_stride_gives_an_equal_copy(output_stride):
    args = parse('--aspp_rates', '5', '7', '9')
    scaled = config.with_output_stride(args, output_stride)
    assert scaled == args and scaled is not args


def test_output_stride_without_whole_rates_is_refused_showing_them():
    args = parse('--output_stride', '8', '--aspp_rates', '5', '6', '8')
    with pytest.raises(UserError, match=r'--output_stride 16.*trained at 8.*\[5, 6, 8\]'):
        config.with_output_stride(args, 16)


@pytest.mark.parametrize('output_stride', [4, 32])
def test_output_stride_that_cannot_be_built_is_refused(output_stride):
    with pytest.raises(UserError, match='--output_stride %d for a run trained at 16'
                       % output_stride):
        config.with_output_stride(parse(), output_stride)


def test_saved_flags_load_as_they_were(run):
    args, run_dir = run
    args.mixed_precision = 'off'  # what auto comes to where nothing was set up
    assert isinstance(config.load(run_dir), argparse.Namespace)
    assert config.load(run_dir) == args
    assert os.listdir(run_dir) == [config.CONFIG_NAME]


def test_saved_config_holds_versions_and_the_fingerprint_of_the_data(run):
    args, run_dir = run
    with open(os.path.join(run_dir, config.CONFIG_NAME)) as f:
        values = json.load(f)
    assert values['versions']['tensorflow'] == tf.__version__
    assert values['dataset']['fingerprint'] == descriptor.fingerprint(args.dataset_dir)
    assert 'commit' in values


def test_folder_without_config_is_no_run(tmp_path):
    with pytest.raises(UserError, match='config.json is not there.*not a run directory'):
        config.load(str(tmp_path))


def test_broken_json_is_refused_naming_the_file(run):
    path = os.path.join(run[1], config.CONFIG_NAME)
    with open(path, 'w') as f:
        f.write('{"flags": ')
    with pytest.raises(UserError) as error:
        config.load(run[1])
    assert str(error.value).startswith('%s is not JSON' % path)


@pytest.mark.parametrize('text', ['[]', '"x"', 'null'])
def test_json_that_is_no_object_is_refused_naming_the_file(run, text):
    path = os.path.join(run[1], config.CONFIG_NAME)
    with open(path, 'w') as f:
        f.write(text)
    with pytest.raises(UserError, match=config.CONFIG_NAME):
        config.load(run[1])


def test_another_format_version_is_refused_showing_both(run):
    edit(run[1], lambda values: values.update(format_version=99))
    with pytest.raises(UserError, match='format_version 99; this code reads %d'
                       % config.FORMAT_VERSION):
        config.load(run[1])


@pytest.mark.parametrize('change', [
    lambda values: values['flags'].pop('crop_size'),
    lambda values: values['flags'].update(crop_sizes=values['flags'].pop('crop_size')),
])
def test_missing_and_unknown_flags_are_refused_by_name(run, change):
    edit(run[1], change)
    with pytest.raises(UserError, match='missing or unknown to this code: crop_size'):
        config.load(run[1])


def test_unknown_flag_alone_is_refused_by_name(run):
    edit(run[1], lambda values: values['flags'].update(dropout=0.9))
    with pytest.raises(UserError, match='missing or unknown to this code: dropout'):
        config.load(run[1])


def test_an_older_run_that_began_from_random_weights_says_so(run):
    args, run_dir = run

    def as_before(values):
        values['format_version'] = 4
        values['flags']['init_from'] = None
        for name in ('minutes', 'estimate', 'mixed_precision', 'xla'):
            del values['flags'][name]
    edit(run_dir, as_before)
    assert config.load(run_dir).init_from == 'random'
    config.check_resume(args, run_dir)
    copied = parse('--config', os.path.join(run_dir, config.CONFIG_NAME))
    assert copied.init_from == 'random'


def test_no_flag_is_added_to_a_format_that_runs_were_written_in():
    assert {flag.name for flag in train_flags.FLAGS if flag.since == 4} == {
        'epochs', 'worker_timeout', 'sync_batch_norm'}
    assert max(flag.since for flag in train_flags.FLAGS) == config.FORMAT_VERSION


def test_mixed_precision_is_kept_as_what_auto_came_to(run, monkeypatch):
    args, run_dir = run
    assert args.mixed_precision == 'auto' and config.load(run_dir).mixed_precision == 'off'
    monkeypatch.setattr(config.devices, 'mixed_precision', lambda: 'bf16')
    config.save(args, run_dir)
    assert config.load(run_dir).mixed_precision == 'bf16'
    config.check_resume(args, run_dir)


def test_unchanged_run_may_be_continued(run):
    config.check_resume(*run)


@pytest.mark.parametrize('name, value, shown', [
    ('batch_size', 4, r'--batch_size 4 \(was: 8\)'),
    ('aspp_rates', [1, 2, 3], r'--aspp_rates 1 2 3 \(was: \[6, 12, 18\]\)'),
    ('starting_learning_rate', 0.1, r'--starting_learning_rate 0.1 \(was: 1e-05\)'),
    ('seed', 1, r'--seed 1 \(was: 0\)'),
])
def test_resuming_with_another_flag_is_refused_showing_both_values(run, name, value, shown):
    args, run_dir = run
    setattr(args, name, value)
    with pytest.raises(UserError, match=shown):
        config.check_resume(args, run_dir)


def test_every_flag_but_the_free_ones_is_checked_on_resume(run):
    args, run_dir = run
    refused = set()
    for name in vars(args):
        if name == 'dataset_dir':
            continue
        changed = argparse.Namespace(**dict(vars(args), **{name: 'changed'}))
        try:
            config.check_resume(changed, run_dir)
        except UserError as error:
            assert name in str(error) and 'was: %s' % vars(args)[name] in str(error)
            refused.add(name)
    assert set(vars(args)) - refused == {
        'max_steps', 'eval_every_steps', 'save_every_steps', 'summary_every_steps', 'gpu_id',
        'model_dir', 'dataset_dir', 'recipe', 'resume', 'allow_missing', 'log_every_steps',
        'keep_checkpoints', 'patience', 'time_limit', 'num_threads', 'worker_timeout', 'epochs',
        'allow_unsupported_gpu', 'minutes', 'estimate', 'xla', 'mixed_precision'}


def test_resuming_names_each_changed_flag(run):
    args, run_dir = run
    args.batch_size, args.crop_size = 4, 257
    with pytest.raises(UserError, match=r'--batch_size 4 .*, --crop_size 257 '):
        config.check_resume(args, run_dir)


def test_refused_switch_is_shown_under_the_name_it_has_on_the_command_line(run):
    args, run_dir = run
    args.random_flip = False
    with pytest.raises(UserError, match='--no_random_flip'):
        config.check_resume(args, run_dir)


def test_data_set_may_move_but_not_change(run, tmp_path):
    args, run_dir = run
    args.dataset_dir = write_dataset(tmp_path / 'moved')
    config.check_resume(args, run_dir)
    for changed in (dict(shard=b'123'), dict(class_names=('ground', 'cat', 'cow'))):
        args.dataset_dir = write_dataset(tmp_path / 'moved', **changed)
        with pytest.raises(UserError, match='trained on another data set than .*moved'):
            config.check_resume(args, run_dir)


def test_recipe_post_is_the_default():
    assert vars(parse()) == vars(parse('--recipe', 'post'))
    args = parse()
    assert (args.optimizer, args.learning_rate_policy) == ('adam', 'constant')


def test_recipe_paper_is_the_papers_stage_one():
    args = parse('--recipe', 'paper')
    assert (args.optimizer, args.momentum) == ('momentum', 0.9)
    assert (args.learning_rate_policy, args.starting_learning_rate) == ('poly', 0.007)
    assert (args.batch_size, args.max_steps, args.batch_norm_decay) == (16, 30000, 0.9997)
    assert args.color_jitter is False and args.freeze_batch_norm is False
    assert args.output_stride == 16


def test_recipe_paper_stage2_freezes_batch_norm_at_stride_8():
    args = parse('--recipe', 'paper_stage2', '--init_from', 'runs/stage1')
    assert args.freeze_batch_norm is True and args.color_jitter is False
    assert (args.output_stride, args.aspp_rates) == (8, [12, 24, 36])
    assert (args.starting_learning_rate, args.learning_rate_policy) == (0.001, 'poly')


def test_recipe_post_code_brings_back_every_defect():
    args = parse('--recipe', 'post_code', '--output_stride', '8')
    assert (args.l2_regularizer, args.aspp_rates) == (0.0, [6, 12, 18])
    assert args.align_corners is False and args.align_scaling is False
    assert (args.crop_position, args.padding) == ('center', 'zero')
    assert args.best_metric == 'running_loss' and args.color_jitter is True
    assert args.mixed_precision == 'off'


@pytest.mark.parametrize('recipe', sorted(recipes.RECIPES))
def test_every_flag_of_a_recipe_exists_and_can_be_overridden(recipe):
    others = dict(optimizer='adam', learning_rate_policy='constant', aspp_rates=[1, 2, 3],
                  crop_position='random', padding='mean', best_metric='mean_iou',
                  mixed_precision='auto')
    if recipe == 'post':
        others.update(optimizer='momentum', learning_rate_policy='poly')
    others.update(input_normalization='inception', class_weights='median_frequency')
    for name, value in recipes.RECIPES[recipe].items():
        if callable(value):
            value = vars(parse())[name]
        if name == 'init_from':
            continue  # typed below
        if isinstance(value, bool):
            other = not value
        elif isinstance(value, (int, float)):
            other = 0.5 if isinstance(value, float) else 8 * value if name != 'output_stride' \
                else 16
        else:
            other = others[name]
        if name == 'max_scale':
            other = 1.75
        # The flags as they are typed, for example --no_color_jitter.
        typed = train_flags.option(name, other).split()
        args = parse('--recipe', recipe, '--init_from', 'x', *typed)
        assert getattr(args, name) == other


def test_recipe_and_overridden_flags_are_said_as_typed():
    args = parse('--recipe', 'paper', '--batch_size', '4', '--color_jitter')
    said = train_flags.describe_recipe(args)
    assert said.startswith('Recipe paper: ') and '--no_color_jitter' in said
    assert '--starting_learning_rate 0.007' in said
    assert said.endswith('overridden: --batch_size 4 --color_jitter')
    assert ' --aspp_relu (by weights) ' in train_flags.describe_recipe(parse(
        '--recipe', 'finetune'))


def test_switches_are_all_the_flags_that_are_true_or_false():
    assert {name for name, value in vars(parse()).items() if isinstance(value, bool)} \
        == set(train_flags.SWITCHES)


def write_post_run(directory, **changes):
    """Writes a data.json as the post's train.py does."""
    flags = dict(batch_norm_epsilon=1e-5, batch_norm_decay=0.9997, number_of_classes=21,
                 l2_regularizer=0.0001, starting_learning_rate=1e-5, multi_grid=[1, 2, 4],
                 output_stride=16, gpu_id=0, crop_size=513, resnet_model='resnet_v2_101',
                 current_best_val_loss='0.31', accumulated_validation_miou=0, batch_size=8)
    flags.update(changes)
    path = directory / config.POST_CONFIG_NAME
    path.write_text(json.dumps({name: value for name, value in flags.items()
                                if value is not None}))
    return str(directory)


def test_run_of_the_posts_code_loads_with_what_its_code_builds(tmp_path):
    run = write_post_run(tmp_path, output_stride=8, multi_grid=['4', '8'], crop_size=321)
    args = config.load(run)
    assert set(vars(args)) == set(vars(parse()))
    assert (args.resnet_model, args.output_stride, args.crop_size) == ('resnet_v2_101', 8, 321)
    assert (args.multi_grid, args.aspp_rates) == ([1, 2, 4], [6, 12, 18])
    assert args.align_corners is False and args.aspp_relu is False
    assert args.input_normalization == 'mean' and args.number_of_classes == 21


def test_run_of_an_early_version_of_the_posts_code_loads(tmp_path):
    args = config.load(write_post_run(tmp_path, crop_size=None, resnet_model=None))
    assert (args.resnet_model, args.crop_size) == ('resnet_v2_50', 513)


@pytest.mark.parametrize('changes, message', [
    (dict(number_of_classes=None), 'number_of_classes and output_stride must be there'),
    (dict(output_stride=4), 'output_stride 4: choose one of'),
    (dict(resnet_model='vgg'), "resnet_model 'vgg'")])
def test_data_json_that_cannot_be_built_is_refused_naming_the_file(tmp_path, changes, message):
    with pytest.raises(UserError) as error:
        config.load(write_post_run(tmp_path, **changes))
    assert str(error.value).startswith(str(tmp_path / 'data.json'))
    error.match(message)


def test_run_of_the_first_format_loads_with_what_its_code_did(run):
    def make_old(values):
        values['format_version'] = 1
        for name in did:
            del values['flags'][name]
    did = dict(
        recipe='post', resume='auto', allow_missing=[], optimizer='adam', momentum=0.9,
        learning_rate_boundaries=None, learning_rate_decay=0.1, warmup_steps=0,
        accumulate_steps=1, freeze_batch_norm=False, best_metric='mean_iou',
        crop_position='random', padding='mean', align_scaling=True, input_normalization='mean',
        aspp_relu=False, log_every_steps=10, keep_checkpoints=2, ema_decay=0.0, patience=None,
        time_limit=None, num_threads=None, overfit=None, class_weights='none',
        hard_example_fraction=1.0, hard_example_steps=0)
    edit(run[1], make_old)
    loaded = vars(config.load(run[1]))
    assert set(loaded) == set(vars(parse()))
    assert {name: loaded[name] for name in did} == did


@pytest.fixture
def earlier(tmp_path):
    """The config.json of a run with flags of its own."""
    args = parse('--recipe', 'paper', '--crop_size', '257', '--no_random_flip', '--epochs', '3',
                 '--dataset_dir', write_dataset(tmp_path / 'data'), '--model_dir', str(tmp_path),
                 '--num_threads', '1', '--time_limit', '5')
    args.number_of_classes = 3
    config.save(args, str(tmp_path))
    return str(tmp_path / config.CONFIG_NAME)


def test_flags_of_a_run_are_the_defaults_of_another_but_for_place_and_time(earlier):
    args, plain = parse('--config', earlier, '--crop_size', '129', '--random_flip'), parse()
    assert (args.recipe, args.optimizer, args.batch_size, args.epochs) == (
        'paper', 'momentum', 16, 3)
    assert args.crop_size == 129 and args.random_flip
    for name in ('dataset_dir', 'model_dir', 'num_threads', 'time_limit', 'number_of_classes'):
        assert getattr(args, name) == getattr(plain, name)
    assert set(vars(args)) == set(vars(plain))
    assert parse('--config', earlier, '--max_steps', '7').epochs is None


def test_rates_of_a_run_follow_another_stride_unless_they_were_chosen(earlier, run):
    at_8 = parse('--config', earlier, '--output_stride', '8')
    assert at_8.aspp_rates == [12, 24, 36] and at_8.multi_grid == [1, 2, 4]
    edit(run[1], lambda values: values['flags'].update(aspp_rates=[3, 5, 7]))
    assert parse('--config', os.path.join(run[1], 'config.json'),
                 '--output_stride', '8').aspp_rates == [3, 5, 7]


def test_a_config_that_is_none_and_flags_that_say_the_same_are_refused(capsys, tmp_path, earlier):
    assert 'none.json cannot be read (No such file' in refuse(capsys, '--config', 'none.json')
    files.write_json([], str(tmp_path / 'list.json'))
    assert 'has no "flags"' in refuse(capsys, '--config', str(tmp_path / 'list.json'))
    files.write_json({'flags': {'speed': 1}}, str(tmp_path / 'other.json'))
    assert 'does not know: speed' in refuse(capsys, '--config', str(tmp_path / 'other.json'))
    assert '--config and --recipe' in refuse(capsys, '--config', earlier, '--recipe', 'post')
    assert '--max_steps and --epochs' in refuse(capsys, '--max_steps', '3', '--epochs', '1')


@pytest.mark.parametrize('flags, max_steps', [
    (['--epochs', '2'], 5),  # 20 images
    (['--epochs', '3', '--overfit', '3'], 3),  # 9 images
    ([], 30000)])
def test_epochs_are_so_many_steps(flags, max_steps):
    args = parse('--batch_size', '4', *flags)
    config.resolve_steps(args, descriptor.create('toy', ['a', 'b'], 255, {
        'train': {'num_examples': 10, 'shards': ['a']}}))
    assert args.max_steps == max_steps


def test_write_json_replaces_the_file_and_leaves_nothing_else(tmp_path):
    for value in ({'step': 1}, {'step': 2}):
        files.write_json(value, str(tmp_path / 'a.json'))
    assert json.loads((tmp_path / 'a.json').read_text()) == {'step': 2}
    assert os.listdir(str(tmp_path)) == ['a.json']
