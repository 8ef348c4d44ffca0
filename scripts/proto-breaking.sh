#!/usr/bin/env bash
# Fails if proto/ breaks what main promises. The base is taken from the local
# repository: main if there is such a branch, else origin/main, else HEAD (a
# clone of a single branch, or a detached one). BASE overrides it.
set -euo pipefail

base=${BASE:-}
for candidate in main origin/main HEAD; do
	[ -n "$base" ] && break
	git rev-parse --verify --quiet "$candidate^{commit}" >/dev/null && base=$candidate
done
if [ -z "$base" ] || ! git cat-file -e "$base:proto" 2>/dev/null; then
	echo "buf breaking: there is no proto/ to compare with yet"
	exit 0
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
git archive "$base" buf.yaml proto | tar -x -C "$tmp"
echo "buf breaking --against $base"
buf breaking --against "$tmp"
