"""Flags that messages name exist in a script that says the message, or that it speaks of."""
import ast
import importlib.util
import os
import re

import pytest

from tests.helpers import ROOT
from tests.test_architecture import SOURCES, TREES, project_imports, room_of
from tests.test_scripts import SCRIPTS

# Flags of other programs.
FOREIGN = {'always', 'dirty', 'abbrev', 'exclude', 'format', 'query', 'logdir'}
MESSAGES_OF = [path for path in SOURCES if room_of(path) != 'benchmarks']


def reached_by(script):
    """Returns the paths of all modules that a script imports, itself among them, as a set."""
    reached, left = set(), {script}
    while left:
        reached |= left
        left = set().union(*map(project_imports, left)) - reached
    return reached


REACHED = {script: reached_by(script) for script in SCRIPTS}


@pytest.fixture(scope='module')
def flags_of():
    """Dict from script to the names of its flags, by its --help."""
    found = {}
    for script in SCRIPTS:
        spec = importlib.util.spec_from_file_location('script', os.path.join(ROOT, script))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        printed = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr('argparse.ArgumentParser.print_help',
                          lambda parser, file=None: printed.append(parser.format_help()))
            with pytest.raises(SystemExit):
                module.main(['--help'])
        found[script] = set(re.findall(r'--(\w+)', printed[0]))
    return found


def texts(tree):
    """Yields (line, text) of what a module says: no docstrings, no help of flags."""
    silent = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            silent.add(id(node.value))
        elif isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'add_argument':
            silent |= set(map(id, ast.walk(node)))
    for node in ast.walk(tree):
        value = getattr(node, 's', None)
        if isinstance(value, str) and id(node) not in silent:
            yield node.lineno, value


def scripts_in(text):
    """Returns a list of the scripts that a text names."""
    return [script for script in SCRIPTS
            if re.search(r'(?<!\w)%s' % re.escape(os.path.basename(script)), text)]


@pytest.mark.parametrize('path', MESSAGES_OF)
def test_flags_in_messages_exist(path, flags_of):
    said = list(texts(TREES[path]))
    # Commands are put together of several texts, of which the first names the script.
    others = [script for script in SCRIPTS if path in REACHED[script]] + scripts_in(
        ' '.join(text for _, text in said))
    for line, text in said:
        # In brackets stands whose flags they are.
        theirs = scripts_in(' '.join(re.findall(r'\([\w/.]+\.py(?:, [\w/.]+\.py)*\)', text)))
        known = set().union(*(flags_of[script] for script in theirs or others))
        unknown = set(re.findall(r'(?<![\w-])--([a-z]\w*[a-z])(?!\w)', text)) - FOREIGN - known
        assert not unknown, '%s:%d: %s' % (path, line, sorted(unknown))
