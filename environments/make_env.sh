#!/bin/sh
# Builds a Python environment of this project, unless it is there and current.
#
#   RUNTIME=tf1   TensorFlow 1.15 on CPython 3.7
#   RUNTIME=tf2   TensorFlow 2.21 on CPython 3.11, 3.12 or 3.13
#   unset         what .venv holds, else tf1 where a CPython 3.7 can be had, else tf2
#
#   GPU=1         the build for CUDA: requirements.txt or environments/requirements-tf2-gpu.txt
#   GPU=0         the CPU build: requirements-cpu.txt or requirements-tf2.txt of environments/
#   unset         what the environment holds, else GPU=0
#
# .venv holds the runtime that was chosen first; the other one stands beside it, in .venv-tf1
# or .venv-tf2. `--folder` prints the one that RUNTIME means, and builds nothing.
set -eu
cd -P "$(dirname "$0")/.."

# An activated environment, a PYTHONPATH or pip settings that redirect the
# installation must not leak into ours.
unset VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH PYENV_VERSION
unset PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV PIP_CONSTRAINT

say() {
    echo "make env: $*"
}

fail() {
    say "$*" >&2
    exit 1
}

# The stamp is written last, without it a folder is a torso. Its first word: cpu or gpu (tf1),
# tf2-cpu or tf2-gpu.
kind_in() {
    if [ -x "$1/bin/python" ] && [ -f "$1/complete" ]; then
        cut -d ' ' -f 1 "$1/complete"
    fi
}

runtime_in() {
    case "$(kind_in "$1")" in
        '') ;;
        tf2-*) echo tf2 ;;
        *) echo tf1 ;;
    esac
}

folder_of() {
    case "$(runtime_in .venv)" in
        "$1") echo .venv ;;
        '') if [ -n "$(runtime_in ".venv-$1")" ]; then echo ".venv-$1"; else echo .venv; fi ;;
        *) echo ".venv-$1" ;;
    esac
}

case "${RUNTIME:=}" in
    tf1 | tf2) runtime=$RUNTIME; venv=$(folder_of "$runtime") ;;
    '') runtime=$(runtime_in .venv); venv=.venv ;;
    *) fail "RUNTIME=$RUNTIME: choose tf1 (TensorFlow 1.15) or tf2 (TensorFlow 2.21)" ;;
esac
if [ "${1:-}" = --folder ]; then
    echo "$venv"
    exit 0
fi

. environments/find_python.sh

machine="$(uname -s) $(uname -m)"

runs_here() {
    case "$1 $machine" in
        'tf1 Linux x86_64' | 'tf2 Linux x86_64' | 'tf2 Linux aarch64' | 'tf2 Darwin arm64') ;;
        *) return 1 ;;
    esac
}

versions_of() {
    case "$1" in
        tf1) echo 3.7 ;;
        tf2) echo 3.13 3.12 3.11 ;;
    esac
}

at_hand() {
    for version in $(versions_of "$1"); do
        python_on_path "$version" || python_of_pyenv "$version" || python_of_uv "$version" ||
            continue
        return 0
    done
    return 1
}

downloaded() {
    version=$(versions_of "$1" | cut -d ' ' -f 1)
    python_downloaded_by_uv "$version" || python_downloaded_by_conda "$version"
}

built() {
    python_built_by_pyenv "$(versions_of "$1" | cut -d ' ' -f 1)"
}

no_python() {
    missing=
    for tool in python3.7 python3.11 python3.12 python3.13 pyenv uv conda mamba micromamba; do
        has "$tool" || missing="$missing $tool"
    done
    [ -z "$missing" ] || tried="$tried
  not on the PATH:$missing"
    case "$runtime" in
        tf1) advice='Install pyenv, which builds CPython 3.7; or choose RUNTIME=tf2.' ;;
        *) advice='Install Python 3.11, 3.12 or 3.13 and its venv (Debian, Ubuntu: python3-venv).' ;;
    esac
    fail "no usable Python. TensorFlow 1.15 (RUNTIME=tf1) needs CPython 3.7, TensorFlow 2.21
(RUNTIME=tf2) CPython 3.11, 3.12 or 3.13, either with venv and ensurepip. Tried:$tried
$advice"
}

# Minutes of compiling come after every other way, those of the other runtime included.
choose_runtime() {
    if ! runs_here tf1; then
        runtime=tf2
        say "RUNTIME=tf2 (TensorFlow 2.21), as TensorFlow 1.15 has no wheels for $machine"
    elif at_hand tf1 || downloaded tf1; then
        runtime=tf1
        say 'RUNTIME=tf1 (TensorFlow 1.15), as a CPython 3.7 can be had'
    elif at_hand tf2 || downloaded tf2; then
        runtime=tf2
        hint=; ! has pyenv || hint='; RUNTIME=tf1 has pyenv build one'
        say "RUNTIME=tf2 (TensorFlow 2.21), as no CPython 3.7 is at hand$hint"
    elif built tf1; then
        runtime=tf1
        say 'RUNTIME=tf1 (TensorFlow 1.15), as pyenv built a CPython 3.7'
    else
        runtime=tf2
        built tf2 || no_python
    fi
}

case "${GPU:=}" in
    0 | 1 | '') ;;
    *) fail "GPU=$GPU: choose 1 (CUDA) or 0 (CPU)" ;;
esac
python=
[ -n "$runtime" ] || choose_runtime
runs_here "$runtime" || fail "RUNTIME=$runtime on $machine: TensorFlow 1.15 (tf1) has wheels for
Linux x86_64, TensorFlow 2.21 (tf2) for Linux x86_64, Linux aarch64 and Darwin arm64"

case "$GPU-$(kind_in "$venv")" in
    1-* | -gpu | -tf2-gpu) build=gpu ;;
    *) build=cpu ;;
esac
case "$runtime-$build" in
    tf1-cpu) files='environments/requirements-cpu.txt environments/requirements-common.txt' ;;
    tf1-gpu) files='requirements.txt environments/requirements-common.txt' ;;
    tf2-cpu) files='environments/requirements-tf2.txt' ;;
    tf2-gpu) files='environments/requirements-tf2-gpu.txt environments/requirements-tf2.txt' ;;
esac
requirements=${files%% *}
case "$runtime" in
    tf1) kind=$build; pip_version=24.0 ;;  # the last one for Python 3.7
    tf2) kind=tf2-$build; pip_version=26.3 ;;
esac
[ "$kind" != tf2-gpu ] || [ "$machine" = 'Linux x86_64' ] ||
    fail "GPU=1: $requirements is for Linux x86_64, this is $machine; GPU=0 takes the CPU build"

# The folder is part of it: an environment does not survive being moved.
# shellcheck disable=SC2086  # several files
current="$kind $({ echo "$(pwd -P)${venv#.venv}"; echo "$pip_version"; cat $files; } | cksum)"
if [ -n "$(kind_in "$venv")" ] && [ "$(cat "$venv/complete")" = "$current" ]; then
    exit 0
fi

[ -n "$python" ] || at_hand "$runtime" || downloaded "$runtime" || built "$runtime" || no_python
rm -f "$venv/complete"
case "$python" in
    "$PWD/$venv/"*) ;;
    *) rm -rf "$venv" ;;
esac
"$python" -I -m venv "$venv"

in_venv() {
    "$venv/bin/python" -I "$@"
}

say "building $venv from $requirements with $(in_venv --version) (some minutes)"
in_venv -m pip install --quiet --disable-pip-version-check "pip==$pip_version"
in_venv -m pip install --quiet --disable-pip-version-check -r "$requirements"
in_venv -m pip check
# Imported once here, so that a machine it cannot run on (no AVX) is noticed now.
in_venv -W ignore -c '
import sys
sys.path.insert(0, ".")
from runtime import slim, tf
slim.conv2d
print("make env: TensorFlow", tf.__version__, "in", sys.argv[1])' "$venv" ||
    fail "TensorFlow was installed but does not import (its wheels need a CPU with AVX)"
echo "$current" > "$venv/complete"
