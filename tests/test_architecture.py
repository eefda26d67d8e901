"""The rooms of the house: who may import whom, and how large a thing may grow.

CONTRIBUTING.md says why. Read from the sources alone; nothing is imported.
"""
import ast
import collections
import os
import re

import pytest

from tests.helpers import ROOT

# A room imports its own floor's ground: rooms of lower floors, never beside or above it.
FLOORS = [
    {'common'},
    {'runtime'},
    {'dataset', 'resnet', 'losses', 'metrics'},
    {'preprocessing', 'network'},
    {'experiment'},
    {'inference'},
    {'evaluation', 'serving'},
    {'training'},
    {'train', 'test', 'predict', 'export'},
    {'notebooks', 'benchmarks'},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
WITHOUT_TENSORFLOW = {'common', 'dataset', 'metrics'}
TENSORFLOW = re.compile(r'(tensorflow|tf_slim|tensorboard)(\.|\Z)')
MOST_ROOT_MODULES = 8
MOST_LINES = collections.defaultdict(lambda: 400, {
    'train.py': 199, 'test.py': 149, 'predict.py': 149, 'export.py': 149})
MOST_FUNCTION_LINES = 50


def sources():
    """The project's modules outside tests as paths relative to its root."""
    found = [name for name in os.listdir(ROOT) if name.endswith('.py')]
    for room in FLOOR_OF:
        for parent, folders, names in os.walk(os.path.join(ROOT, room)):
            folders[:] = [folder for folder in folders if folder[0] not in '._']
            found += [os.path.relpath(os.path.join(parent, name), ROOT)
                      for name in names if name.endswith('.py')]
    return sorted(found)


def tree_of(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as source_file:
        return ast.parse(source_file.read(), path)


SOURCES = sources()
TREES = {path: tree_of(path) for path in SOURCES}


def module_of(path):
    """The dotted name by which a file is imported."""
    name = os.path.splitext(path)[0].replace(os.sep, '.')
    return name[:-len('.__init__')] if name.endswith('.__init__') else name


MODULES = {module_of(path): path for path in SOURCES}


def room_of(path):
    return os.path.splitext(path)[0].split(os.sep)[0]


def is_script(path):
    return any(isinstance(node, ast.If) and '__main__' in ast.dump(node.test)
               for node in TREES[path].body)


def imports_of(tree):
    """Yields (dotted names that one statement may import, the statement)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield [alias.name], node
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield ['%s.%s' % (node.module, alias.name), node.module], node


def project_imports(path):
    """Returns the paths of the project's modules that a file imports, as a set."""
    return {MODULES[next(name for name in names if name in MODULES)]
            for names, _ in imports_of(TREES[path]) if any(name in MODULES for name in names)}


# What is still to be mended; this set only shrinks.
BREACHES = set()


def check(breaches):
    found = set(breaches) - BREACHES
    assert not found, '\n'.join(sorted(found))


def test_every_room_is_on_a_floor():
    rooms = {os.path.splitext(name)[0] for name in os.listdir(ROOT) if name.endswith('.py')
             or os.path.exists(os.path.join(ROOT, name, '__init__.py'))}
    assert rooms == set(FLOOR_OF) | {'tests'}


def test_contributing_shows_the_floors():
    with open(os.path.join(ROOT, 'CONTRIBUTING.md'), encoding='utf-8') as page:
        rows = re.findall(r'^\| (\d+) \| ([^|]+) \|', page.read(), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(FLOORS) + 1))
    assert [set(re.findall('`([^`]+)`', rooms)) for _, rooms in rows] == FLOORS


def test_no_room_imports_its_own_floor_or_a_higher_one():
    breaches = set()
    for path in SOURCES:
        # A room's scripts stand on the floor of what they import.
        if is_script(path) and os.sep in path:
            continue
        for other in project_imports(path):
            here, there = room_of(path), room_of(other)
            if here != there and FLOOR_OF[there] >= FLOOR_OF[here]:
                breaches.add('%s imports %s' % (path, other))
    check(breaches)


def test_imports_form_no_circle():
    arrows = {path: project_imports(path) - {path} for path in SOURCES}
    while True:
        leaves = {path for path, others in arrows.items() if not others}
        if not leaves:
            break
        arrows = {path: others - leaves for path, others in arrows.items() if path not in leaves}
    check('%s -> %s' % (path, ', '.join(sorted(others))) for path, others in arrows.items())


def test_no_script_is_imported():
    breaches = {'%s imports the script %s' % (path, other) for path in SOURCES
                for other in project_imports(path)
                if is_script(other)}
    check(breaches)


def test_tensorflow_comes_through_the_one_tap():
    breaches = {'%s imports %s' % (path, names[0]) for path in SOURCES
                for names, _ in imports_of(TREES[path])
                if TENSORFLOW.match(names[0]) and room_of(path) != 'runtime'}
    check(breaches)


def test_rooms_without_tensorflow_do_not_turn_the_tap():
    breaches = {'%s imports %s' % (path, other) for path in SOURCES
                for other in project_imports(path)
                if room_of(path) in WITHOUT_TENSORFLOW and room_of(other) == 'runtime'}
    check(breaches)


def comments_above(path, line):
    """Whether a comment stands on the line of a statement or on the one above it."""
    with open(os.path.join(ROOT, path), encoding='utf-8') as source_file:
        lines = source_file.read().splitlines()
    return '#' in lines[line - 1] or lines[line - 2].strip().startswith('#')


def test_imports_stand_at_the_top_unless_a_comment_says_why():
    breaches = set()
    for path in SOURCES:
        for function in ast.walk(TREES[path]):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for node in ast.walk(function):
                    if isinstance(node, (ast.Import, ast.ImportFrom)) and not comments_above(
                            path, node.lineno):
                        breaches.add('%s imports within a function' % path)
    check(breaches)


def test_only_scripts_end_the_process():
    allowed = {os.path.join('common', 'scripts.py')}
    breaches = {'%s ends the process' % path for path in SOURCES
                if path not in allowed and not is_script(path)
                for node in ast.walk(TREES[path])
                if isinstance(node, ast.Raise) and 'SystemExit' in ast.dump(node)}
    check(breaches)


def test_the_root_holds_few_modules():
    at_root = [path for path in SOURCES if os.sep not in path]
    assert len(at_root) <= MOST_ROOT_MODULES, at_root


@pytest.mark.parametrize('path', SOURCES)
def test_modules_and_functions_stay_short(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as source_file:
        lines = source_file.read().splitlines()
    breaches = {'%s: %s is too long' % (path, node.name)
                for node, length in functions(path, lines) if length > MOST_FUNCTION_LINES}
    if len(lines) > MOST_LINES[path]:
        breaches.add('%s is too long' % path)
    check(breaches)


def functions(path, lines):
    """Yields (function, number of lines); Python 3.7's trees do not know where one ends."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            last = max(getattr(inner, 'lineno', 0) for inner in ast.walk(node))
            # Closing brackets on lines of their own are no nodes.
            while lines[last:last + 1] and re.match(r' *[\])}]', lines[last]):
                last += 1
            yield node, last - node.lineno + 1


def test_no_two_modules_differ_by_an_ending_alone():
    stems = collections.defaultdict(set)
    for path in SOURCES:
        name = os.path.splitext(os.path.basename(path))[0]
        if name != '__init__':
            stems[re.sub(r'(ings?|ions?|ers?|ors?|ed|s|e|_formats)\Z', '', name)].add(name)
    check(', '.join(sorted(names)) for names in stems.values() if len(names) > 1)
