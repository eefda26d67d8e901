"""README.md says nothing that the code does not know: flags, recipes, tests, files.

Nor do the other pages: what they call a file is there.
"""
import glob
import importlib
import os
import re
import shlex
import subprocess

import pytest

from common import command_line
from experiment import recipes, train_flags
from tests.helpers import ROOT


PAGES = ['README.md', 'CONTRIBUTING.md', 'dataset/README.md', 'serving/README.md',
         'docs/scaling.md']


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
                assert "'--deduplicate'" in read('dataset', 'sources', 'voc2012.py')
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
    changed = {name: value for name, value in train_flags.of_recipe('post_code').items()
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


@pytest.mark.parametrize('page', PAGES)
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


def commands_of(page):
    """The lines of a page that a reader types, as lists of words, shell variables filled in."""
    text = read(page).replace('\\\n', ' ')
    blocks = re.findall(r'^```\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    blocks += re.findall(r'(?:^ {4}\S.*\n?)+', text, re.MULTILINE)
    text = re.sub(r'^```\n.*?^```$', '', text, flags=re.MULTILINE | re.DOTALL)
    lines = re.findall('`([^`]+)`', text)
    variables = {}
    for line in [line for block in blocks for line in block.splitlines()] + lines:
        line = re.sub(r'\$(\w+)', lambda match: variables.get(match.group(1), match.group()), line)
        assignment = re.fullmatch(r'\s*(\w+)=(?:"(.*)"|(\S+))', line)
        if assignment:
            variables[assignment.group(1)] = assignment.group(2) or assignment.group(3)
        elif re.match(r'\s*(\w+=\S+ )*(\S*python[\d.]*|make) ', line):
            words = shlex.split(line, comments=True)
            yield words[next(index for index, word in enumerate(words) if '=' not in word):]


COMMANDS = sorted({tuple(words) for page in PAGES for words in commands_of(page)})


class Parsed(Exception):
    """The flags were taken; the work is not begun."""


def test_the_pages_hold_commands():
    scripts = {words[1] for words in COMMANDS if words[0] != 'make'}
    assert {'train.py', 'test.py', 'predict.py', 'export.py', 'dataset/check.py',
            'dataset/build_folder.py', 'benchmarks/training_memory.py'} <= scripts
    assert len(COMMANDS) > 30


@pytest.mark.parametrize('words', COMMANDS, ids=' '.join)
def test_a_command_of_a_page_is_taken_as_printed(words, monkeypatch):
    if words[0] == 'make':
        assert all('\n%s:' % word in read('Makefile') for word in words[1:] if '=' not in word)
        return
    # The one Python that has the packages.
    assert words[0] == '.venv/bin/python'
    if words[1] == '-m':
        assert words[2] in ('flake8', 'pytest')
        assert all(os.path.exists(os.path.join(ROOT, word)) for word in words[3:]
                   if word.startswith('tests'))
        return
    real = command_line.Parser.parse_args

    def parse_args(parser, argv=None, namespace=None):
        real(parser, argv, namespace)
        raise Parsed
    monkeypatch.setattr(command_line.Parser, 'parse_args', parse_args)
    module = importlib.import_module(os.path.splitext(words[1])[0].replace('/', '.'))
    with pytest.raises(Parsed):
        module.main(list(words[2:]))


def test_no_page_names_another_python():
    for page in PAGES:
        assert not re.search(r'(?<![/\w])python3? (-m|[\w/]+\.py)', read(page)), page
