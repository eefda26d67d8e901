"""README.md says nothing that the code does not know: flags, recipes, tests, files."""
import glob
import os
import re

from experiment import config, recipes
from tests.helpers import ROOT


def read(*parts):
    with open(os.path.join(ROOT, *parts), encoding='utf-8') as f:
        return f.read()


def rows(title):
    """The cells of the first table behind a heading, header and rule left out."""
    section = read('README.md').split('\n## %s\n' % title)[1].split('\n## ')[0]
    lines = [line for line in section.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[2:]]


def test_every_deviation_names_a_test_that_exists():
    sources = ''.join(read(path) for path in glob.glob(os.path.join(ROOT, 'tests', 'test_*.py')))
    table = rows('Deviations from the post')
    assert len(table) >= 12
    for cells in table:
        name = re.fullmatch('`(test_[a-z0-9_]+)`', cells[-1]).group(1)
        assert 'def %s(' % name in sources, name


def test_ways_back_are_flags_that_exist():
    for cells in rows('Deviations from the post'):
        for command in re.findall('`(--[^`]+)`', cells[4]):
            if command.startswith('--deduplicate'):
                assert "'--deduplicate'" in read('dataset', 'sources', 'voc2012.py')
            else:
                config.parse_train_flags(command.split())


def test_recipe_post_code_takes_the_ways_back_of_the_table():
    ways = {}
    for cells in rows('Deviations from the post'):
        for command in re.findall('`(--[^`]+)`', cells[4]):
            if not command.startswith(('--deduplicate', '--init_from', '--batch_norm_decay')):
                before = vars(config.parse_train_flags([]))
                after = vars(config.parse_train_flags(command.split()))
                ways.update({name: value for name, value in after.items()
                             if before[name] != value})
    # At the default output stride these rates are the default anyway.
    ways['aspp_rates'] = [6, 12, 18]
    default = vars(config.parse_train_flags([]))
    changed = {name: value for name, value in recipes.RECIPES['post_code'].items()
               if default[name] != value or name == 'aspp_rates'}
    assert changed == ways


def test_commands_use_flags_that_exist():
    text = read('README.md').replace('\\\n', ' ')
    known = set(config.build_parser()._option_string_actions)
    commands = re.findall(r'python train\.py ([^\n`#]*)', text)
    assert len(commands) > 6
    for command in commands:
        assert set(re.findall(r'--\w+', command)) <= known, command


def test_recipes_table_lists_every_recipe():
    assert [cells[0].split('`')[1] for cells in rows('Recipes')] == list(recipes.RECIPES)


def test_layout_names_files_that_exist():
    for cells in rows('Layout'):
        for name in re.findall('`([^`]+)`', ' '.join(cells)):
            assert os.path.exists(os.path.join(ROOT, name)), name
