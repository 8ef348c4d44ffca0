#!/usr/bin/env bash
# fuzz.sh TIME MODULE...: runs every fuzz target of the modules for TIME.
set -euo pipefail

time=$1
shift
found=0
# The folders first: asking the go tool for the targets of all packages builds all their tests.
while read -r folder; do
	while read -r target; do
		found=$((found + 1))
		echo "== $folder $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./$folder"
	done < <(cat "$folder"/*_test.go | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p')
done < <(grep -rl --include='*_test.go' --exclude-dir=node_modules '^func Fuzz' "$@" | xargs -n 1 dirname | sort -u)
echo "$found fuzz targets"
[ "$found" -gt 0 ]
