"""Which Python runs a script: says where it lacks the packages, and how commands are typed with it.

Every script imports this before all else but the standard library (`import common.interpreter`),
for what the import does: a package that is missing, or Ctrl-C outside of `main`'s own guard, ends
the script in one message.
"""
import contextlib
import os
import platform
import shlex
import shutil
import sys

from common import scripts

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# As `make env` builds them; the first one is what the README's commands name.
_ENVIRONMENTS = ('.venv', '.venv-tf1', '.venv-tf2')


def command(script, *words):
    """Returns a command line that starts a script from here, with the Python that runs now.

    Args:
      script: str, its path from the project's root.
      *words: str, what follows it; quoted where a shell needs that.
    """
    python = sys.executable
    if shutil.which('python') == python:
        python = 'python'  # an activated environment
    return ' '.join(map(shlex.quote, (_from_here(python), _from_here(os.path.join(ROOT, script)))
                        + words))


def _from_here(path):
    """Returns a path as it is typed: relative to the working folder where it lies below."""
    relative = os.path.relpath(path) if os.path.isabs(path) else path
    return path if relative.startswith(os.pardir) else relative


def build_command(root, name):
    """Returns the command that builds an environment as it was, or for the first time.

    Args:
      root: str, the project's root.
      name: str, '.venv', '.venv-tf1' or '.venv-tf2'.
    """
    kind = ''  # the first word of the file that make_env.sh writes last: cpu, gpu, tf2-cpu, tf2-gpu
    with contextlib.suppress(OSError), open(os.path.join(root, name, 'complete')) as stamp:
        kind = stamp.read().split(' ')[0]
    runtime = name[len('.venv-'):] or (kind and ('tf2' if kind.startswith('tf2') else 'tf1'))
    return '%s%smake env' % ('RUNTIME=%s ' % runtime if runtime else '',
                             'GPU=1 ' if kind.endswith('gpu') else '')


def explain_missing(package, argv):
    """Says what to do where a package is missing.

    Args:
      package: str.
      argv: list of str, the script and its flags.

    Returns:
      str.
    """
    text = '%s needs the package %s, which %s (Python %s) does not have.\n' % (
        argv[0], package, sys.executable, platform.python_version())
    pythons = [os.path.join(ROOT, name, 'bin', 'python') for name in _ENVIRONMENTS]
    if sys.executable in pythons:
        name = _ENVIRONMENTS[pythons.index(sys.executable)]
        return text + 'Build it again: rm -r %s && %s' % (name, build_command(ROOT, name))
    found = [path for path in pythons if os.path.exists(path)]
    return '%s%s %s' % (text, 'Use:' if found else 'Run `make env` once, then:', ' '.join(
        map(shlex.quote, [_from_here((found or pythons)[0])] + argv)))


def _end_in_one_message(kind, error, traceback):
    """As `sys.excepthook`, but for Ctrl-C and packages that are missing."""
    if issubclass(kind, KeyboardInterrupt):
        with scripts.ending_in_one_message():
            raise error
    is_missing = issubclass(kind, ModuleNotFoundError)
    package = (error.name or '').split('.')[0] if is_missing else ''
    is_ours = os.path.exists(os.path.join(ROOT, package)) or os.path.exists(
        os.path.join(ROOT, package + '.py'))
    if package and not is_ours:
        sys.stderr.write(explain_missing(package, sys.argv) + '\n')
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _end_in_one_message
