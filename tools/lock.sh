#!/bin/sh
# Rewrites requirements.lock from pyproject.toml: hashes, no URLs, every platform and extra.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The client is a folder of this repository, not a package of a registry.
grep -v '"authsvc-client",' pyproject.toml > "$work/pyproject.toml"
cd "$work"
uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --extra dev \
  pyproject.toml --output-file requirements.lock
mv requirements.lock "$OLDPWD/requirements.lock"
