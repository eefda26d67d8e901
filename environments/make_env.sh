#!/bin/sh
# Builds .venv, the Python 3.7 environment of this project, unless it is there and current.
#
#   GPU=1   tensorflow-gpu 1.15.0 (requirements.txt)
#   GPU=0   intel-tensorflow 1.15.2 (environments/requirements-cpu.txt)
#   unset   what the present .venv holds, else GPU=0
set -eu
cd "$(dirname "$0")/.."

# An activated environment, a PYTHONPATH or pip settings that redirect the
# installation must not leak into .venv.
unset VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH PYENV_VERSION
unset PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV PIP_CONSTRAINT

pip_version=24.0  # the last one for Python 3.7
stamp=.venv/complete  # written last: without it .venv is a torso

fail() {
    echo "make env: $*" >&2
    exit 1
}

# A candidate counts if it runs (a pyenv shim may not), is CPython 3.7 and can make
# environments (Debian splits ensurepip off). Prints the interpreter behind any
# environment it belongs to, because .venv must outlive an activated one.
usable_python() {
    "$1" -I -c '
import ensurepip, platform, sys, venv
assert sys.version_info[:2] == (3, 7) and platform.python_implementation() == "CPython"
prefix = getattr(sys, "real_prefix", sys.base_prefix)
print(prefix + "/bin/python3.7")' 2>/dev/null
}

venv_from() {
    python=$(usable_python "$1") && rm -rf .venv && "$python" -I -m venv .venv
}

venv_by_uv() {
    command -v uv >/dev/null 2>&1 || return 1
    rm -rf .venv
    # Its messages would hide the one line that says what to do.
    uv venv --quiet --seed --python cpython@3.7 .venv >/dev/null 2>&1
}

newest_37() {
    tr -d ' ' | grep '^3\.7\.[0-9][0-9]*$' | sort -t. -k3,3n | tail -n 1
}

venv_by_pyenv() {
    command -v pyenv >/dev/null 2>&1 || return 1
    version=$(pyenv versions --bare | newest_37)
    if [ -z "$version" ]; then
        version=$(pyenv install --list | newest_37)
        [ -n "$version" ] && pyenv install --skip-existing "$version" || return 1
    fi
    venv_from "$(PYENV_VERSION=$version pyenv prefix)/bin/python3.7"
}

venv_by_system() {
    command -v python3.7 >/dev/null 2>&1 && venv_from python3.7
}

case "${GPU:-}" in
    1) kind=gpu ;;
    0) kind=cpu ;;
    '') kind=cpu; [ ! -f "$stamp" ] || read -r kind _ < "$stamp" ;;
    *) fail "GPU=$GPU: choose 1 (tensorflow-gpu) or 0 (intel-tensorflow)" ;;
esac
case $kind in
    gpu) requirements=requirements.txt ;;
    *) kind=cpu; requirements=environments/requirements-cpu.txt ;;
esac

# The folder is part of it: an environment does not survive being moved.
current="$kind $({ pwd -P; echo "$pip_version"; cat "$requirements" environments/requirements-common.txt; } | cksum)"
if [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$current" ]; then
    exit 0
fi

case "$(uname -s)-$(uname -m)" in
    Linux-x86_64 | Linux-amd64) ;;
    *) fail "TensorFlow 1.15 wheels exist only for x86_64 (those pinned here: Linux); this is $(uname -s) $(uname -m)" ;;
esac

rm -f "$stamp"
venv_by_uv || venv_by_pyenv || venv_by_system || {
    rm -rf .venv
    fail "TensorFlow 1.15 needs CPython 3.7: install uv, or pyenv (pyenv install 3.7), or a python3.7 with venv on the PATH"
}

echo "make env: building .venv from $requirements with $(.venv/bin/python --version) (some minutes)"
.venv/bin/python -I -m pip install --quiet --disable-pip-version-check "pip==$pip_version"
.venv/bin/python -I -m pip install --quiet --disable-pip-version-check -r "$requirements"
.venv/bin/python -I -m pip check
# Imported once here, so that a machine it cannot run on (no AVX) is noticed now.
TF_CPP_MIN_LOG_LEVEL=2 .venv/bin/python -I -W ignore -c '
import tensorflow, tf_slim
print("make env: TensorFlow", tensorflow.__version__, "in .venv")' ||
    fail "TensorFlow was installed but does not import (its wheels need a CPU with AVX)"
echo "$current" > "$stamp"
