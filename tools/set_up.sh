#!/bin/sh
# Makes the virtual environment: every package by its hash, this repository's two packages as they stand here.
set -eu
cd "$(dirname "$0")/.."
venv=${1:-.venv}

fail() {
  echo "set-up: $*" >&2
  exit 1
}

usable() {
  "$1" -c 'import sys; sys.exit(sys.implementation.name != "cpython" or sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
  if [ -n "${PYTHON:-}" ]; then
    usable "$PYTHON" || fail "PYTHON=$PYTHON is not CPython 3.11 or newer"
    echo "$PYTHON"
    return
  fi
  for python in python3 python3.14 python3.13 python3.12 python3.11; do
    if usable "$python"; then
      echo "$python"
      return
    fi
  done
  fail "CPython 3.11 or newer is needed and not on the PATH; name one with PYTHON=/path/to/python3"
}

python=$(find_python)
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
  fail "$python cannot make virtual environments: install its venv package (Debian, Ubuntu: apt-get install python3-venv)"

# One that was made by another Python, or somewhere else, is of no use.
identity="$("$python" -c 'import sys; print(sys.version, sys.base_prefix)') $PWD/$venv"
if [ "$(cat "$venv/.identity" 2>/dev/null)" != "$identity" ]; then
  echo "set-up: making $venv with $("$python" --version)"
  "$python" -m venv --clear "$venv"
  echo "$identity" > "$venv/.identity"
fi
echo "set-up: installing packages; the first time takes a minute or two"
"$venv/bin/python" -m pip install --quiet --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e clients/python -e .
touch "$venv/.installed"
