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

# One that works is never made anew: somebody may be using it. One that was copied here, or whose
# Python is gone, does not: its commands still start what was there before.
works() {
  usable "$venv/bin/python" || return 1
  here=$("$venv/bin/python" -c 'import pip; print(pip.__path__[0])' 2>/dev/null) || return 1
  there=$("$venv/bin/pip" --version 2>/dev/null | sed 's/.* from \(.*\) (python .*/\1/')
  # shellcheck disable=SC3013  # not in POSIX, and in every shell that is some machine's sh
  [ -n "$there" ] && [ "$here" -ef "$there" ]
}

if ! works; then
  python=$(find_python)
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments: install its venv package (Debian, Ubuntu: apt-get install python3-venv)"
  echo "set-up: making $venv with $("$python" --version)"
  "$python" -m venv --clear "$venv"
fi
echo "set-up: installing packages; the first time takes a minute or two"
# --no-deps: the lock is complete, and a resolver that meets `coverage[toml]` looks for a newer coverage than the locked.
"$venv/bin/python" -m pip install --quiet --require-hashes --no-deps -r requirements.lock
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e clients/python -e .
"$venv/bin/python" -m pip check >/dev/null || "$venv/bin/python" -m pip check
touch "$venv/.installed"
