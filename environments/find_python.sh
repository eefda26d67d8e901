# Ways to an interpreter, for make_env.sh: each takes a version such as 3.11 and leaves the path
# of a usable Python in $python, or the reason why there is none in $tried.

tried=
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 1' HUP INT TERM

has() {
    command -v "$1" >/dev/null 2>&1
}

# Notes the last line of what a tool said, once; false, as nothing was found.
note() {
    line="  $1: $(grep -v '^[[:space:]]*$' "$log" | tail -n 1)"
    case "$tried" in
        *"$line"*) ;;
        *) tried="$tried
$line" ;;
    esac
    return 1
}

# A candidate counts if it runs (a pyenv shim may not), is CPython of that version and can
# make environments (Debian splits ensurepip off). Prints the interpreter behind any
# environment it belongs to, because ours must outlive an activated one.
usable_python() {
    "$1" -I -c '
import platform, sys
found = "%s %d.%d" % ((platform.python_implementation(),) + sys.version_info[:2])
if found != "CPython " + sys.argv[1]:
    raise SystemExit("is " + found)
import ensurepip, venv
print(getattr(sys, "real_prefix", sys.base_prefix) + "/bin/python" + sys.argv[1])' \
        "$2" </dev/null 2>"$log"
}

every_on_path() {
    echo "$PATH" | tr : '\n' | while read -r folder; do
        [ ! -x "$folder/$1" ] || echo "$folder/$1"
    done
}

# Every one of them, because a shim that does not run may hide one that does.
python_on_path() {
    while read -r candidate; do
        [ -n "$candidate" ] || continue
        python=$(usable_python "$candidate" "$1") && return 0
        note "$candidate" || continue
    done <<EOF
$(every_on_path "python$1"; every_on_path python3)
EOF
    return 1
}

newest() {
    tr -d ' ' | grep "^$1\.[0-9][0-9]*$" | sort -t. -k3,3n | tail -n 1
}

python_of_pyenv() {
    has pyenv || return 1
    release=$(pyenv versions --bare 2>/dev/null | newest "$1")
    prefix=$(pyenv prefix "${release:-$1}" 2>"$log") &&
        python=$(usable_python "$prefix/bin/python$1" "$1") || note pyenv
}

python_of_uv() {
    has uv || return 1
    found=$(UV_PYTHON_DOWNLOADS=never uv python find --system "$1" 2>"$log") &&
        python=$(usable_python "$found" "$1") || note uv
}

# uv offers no 3.7 since its 0.7.0.
python_downloaded_by_uv() {
    has uv || return 1
    uv python install "$1" </dev/null >"$log" 2>&1 || note uv || return 1
    python_of_uv "$1"
}

# Into the environment's folder, with which it is removed.
python_downloaded_by_conda() {
    for tool in conda mamba micromamba; do
        has "$tool" || continue
        say "$tool fetches CPython $1"
        rm -rf "$venv"
        "$tool" create --yes --quiet --prefix "$PWD/$venv/conda" --override-channels \
            --channel conda-forge "python=$1" </dev/null >"$log" 2>&1 &&
            python=$(usable_python "$PWD/$venv/conda/bin/python" "$1") && return 0
        note "$tool" || continue
    done
    return 1
}

python_built_by_pyenv() {
    has pyenv || return 1
    release=$(pyenv install --list 2>"$log" | newest "$1")
    [ -n "$release" ] || note 'pyenv install' || return 1
    say "pyenv builds CPython $release (minutes)"
    pyenv install --skip-existing "$release" </dev/null >"$log" 2>&1 ||
        note 'pyenv install' || return 1
    python_of_pyenv "$1"
}
