"""README.md says nothing that the code does not know: flags, recipes, tests, files.

Nor do the other pages: what they call a file is there.
"""
import glob
import os
import re
import subprocess

import pytest

from experiment import recipes, train_flags
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
    sources = ''.join(read(path) for path in glob.glob(
        os.path.join(ROOT, 'tests', '**', 'test_*.py'), recursive=True))
    table = rows('Deviations from the post')
    assert len(table) >= 12
    for cells in table:
        name = re.fullmatch('`(test_[a-z0-9_]+)`', cells[-1]).group(1)
        assert 'def %s(' % name in sources, name


def test_ways_back_are_flags_that_exist():
    for cells in rows('Deviations from the post'):
        for command in re.findall('`(--[^`]+)`', cells[4]):
            if command.startswith('--deduplicate'):
                assert "'--deduplicate'" in read('dataset', 'build_voc2012.py')
            else:
                train_flags.parse(command.split())


def test_recipe_post_code_takes_the_ways_back_of_the_table():
    ways = {}
    for cells in rows('Deviations from the post'):
        for command in re.findall('`(--[^`]+)`', cells[4]):
            if not command.startswith(('--deduplicate', '--init_from', '--batch_norm_decay')):
                before = vars(train_flags.parse([]))
                after = vars(train_flags.parse(command.split()))
                ways.update({name: value for name, value in after.items()
                             if before[name] != value})
    # At the default output stride these rates are the default anyway.
    ways['aspp_rates'] = [6, 12, 18]
    default = vars(train_flags.parse([]))
    changed = {name: value for name, value in recipes.RECIPES['post_code'].items()
               if default[name] != value or name == 'aspp_rates'}
    assert changed == ways


def test_commands_use_flags_that_exist():
    text = read('README.md').replace('\\\n', ' ')
    known = {'--' + prefix + flag.name for flag in train_flags.FLAGS
             for prefix in ('', 'no_')[:1 + (flag.name in train_flags.SWITCHES)]}
    commands = re.findall(r'python train\.py ([^\n`#]*)', text)
    assert len(commands) > 6
    for command in commands:
        assert set(re.findall(r'--\w+', command)) <= known, command


def test_recipes_table_lists_every_recipe():
    assert [cells[0].split('`')[1] for cells in rows('Recipes')] == list(recipes.RECIPES)


def test_commands_run_tests_that_exist():
    commands = re.findall(r'pytest (\S+\.py)(?: -k (\w+))?', read('README.md'))
    assert len(commands) > 1
    for path, name in commands:
        assert re.search(r'def test_\w*%s' % name, read(path)), path


def test_layout_is_what_git_has_at_the_top():
    # Other folders at the top are the user's: data, runs, a second environment.
    run = subprocess.run(['git', '-c', 'core.quotePath=off', 'ls-files'], cwd=ROOT,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if run.returncode or not os.path.exists(os.path.join(ROOT, '.git')):
        pytest.skip('no clone of the repository')
    paths = run.stdout.decode().splitlines()
    top = {re.sub('/.*', '/', path) for path in paths if not path.startswith('.')}
    layout = [cells[0].strip('`') for cells in rows('Layout')]
    assert sorted(layout) == sorted(top)


@pytest.mark.parametrize('page', ['README.md', 'CONTRIBUTING.md', 'dataset/README.md',
                                  'serving/README.md'])
def test_files_that_a_page_names_exist(page):
    folders = (ROOT, os.path.dirname(os.path.join(ROOT, page)))
    named = re.findall(r'[\w./-]*\w\.(?:py|sh|md|cfg|cff|ipynb)\b|[\w/]*requirements[\w-]*\.txt',
                       read(page))
    missing = [name for name in named
               if not any(os.path.exists(os.path.join(folder, name)) for folder in folders)]
    assert named and not missing


def test_changelog_names_modules_that_exist():
    table = re.findall(r'^\| `[^|]+ \| ([^|]+) \|$', read('CHANGELOG.md'), re.MULTILINE)
    modules = re.findall('`([^`]+)`', ' '.join(table))
    assert len(modules) > 20
    for name in modules:
        path = os.path.join(ROOT, *name.split('.'))
        assert os.path.exists(path + '.py') or os.path.exists(os.path.join(path, '__init__.py')), \
            name


def test_citation_has_what_the_format_requires():
    text = read('CITATION.cff')
    keys = re.findall('^([a-z-]+):', text, re.MULTILINE)
    assert sorted(keys) == sorted(set(keys))
    assert {'cff-version', 'message', 'title', 'authors', 'abstract', 'license',
            'references'} <= set(keys)
    assert re.search(r'Copyright \(c\) \d+ (.*)', read('LICENSE')).group(1) in text
    references = text.split('\nreferences:')[1].split('\n  - type: ')[1:]
    assert len(references) == 2
    for reference in references:
        assert {'title', 'authors', 'year'} <= set(re.findall('^    ([a-z]+):', reference, re.M))
