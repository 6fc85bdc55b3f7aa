#!/usr/bin/env bash
# Make the virtual environment that the Makefile asks for: the newest Python >= 3.12 that can be found.
set -euo pipefail

venv=$1
needed=3.12

usable() { # prints "major.minor path" of a Python that can make virtual environments
    "$1" - "$1" <<'PY' 2>/dev/null || true
import ensurepip, sys, venv
if sys.version_info >= (3, 12):
    print("%d.%02d" % sys.version_info[:2], sys.argv[1])
PY
}

candidates() {
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON"
        return
    fi
    for minor in 14 13 12; do
        path=$(command -v "python3.$minor" || true)
        [ -z "$path" ] || usable "$path"
    done
    for path in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3 "$(command -v python3 || true)"; do
        [ ! -x "$path" ] || usable "$path"
    done
    # A pyenv that is on PATH need not lie in HOME.
    shim=$(command -v pyenv || true)
    if [ -n "$shim" ]; then
        for path in "$(dirname "$(readlink -f "$shim")")"/../{,../}versions/3.*/bin/python3; do
            [ ! -x "$path" ] || usable "$path"
        done
    fi
}

python=$(candidates | sort -Vr | head -n 1 | cut -d' ' -f2-)
if [ -z "$python" ] && [ -z "${PYTHON:-}" ]; then
    uv=$(command -v uv || { python3 -m pip install --quiet --target .cache/uv uv 2>/dev/null && echo .cache/uv/bin/uv; } || true)
    [ -z "$uv" ] || python=$("$uv" python install --quiet 3.13 && "$uv" python find 3.13 || true)
fi
if [ -z "$python" ]; then
    cat >&2 <<EOF
setup: no usable Python >= $needed with venv was found${PYTHON:+ at PYTHON=$PYTHON}.
Remedy: install one (Debian 13, Ubuntu 24.04: apt-get install python3-venv; elsewhere pyenv or uv), then
        run make again, or name it: make setup PYTHON=/path/to/python3.13
EOF
    exit 1
fi

if [ -L "$venv" ]; then
    echo "setup: $venv is a link: what it leads to would be emptied. Remedy: remove the link, then run make again." >&2
    exit 1
fi
echo "setup: $("$python" --version) at $python"
rm -f "$venv/.complete"
"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check pip==26.1
"$venv/bin/python" - <<'PY' > "$venv/requirements.txt"
import pathlib, tomllib

project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())
print("\n".join(project["project"]["dependencies"] + project["dependency-groups"]["dev"]))
PY
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$venv/requirements.txt"
touch "$venv/.complete"
