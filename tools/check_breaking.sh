#!/bin/sh
# Holds protos/ to the last release: what is on the wire may grow, never change.
set -eu
cd "$(dirname "$0")/.."
release=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || true)
if [ -z "$release" ]; then
  echo "buf breaking: skipped, there is no release tag to compare with"
  exit 0
fi
echo "buf breaking --against $release"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
git archive "$release" buf.yaml protos third_party | tar -x -C "$scratch"
buf breaking --against "$scratch"
