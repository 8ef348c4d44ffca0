#!/usr/bin/env bash
# fuzz.sh RUNS MODULE...: runs every fuzz target of the modules RUNS times, such as 50000x,
# or for RUNS, such as 10m. Go before 1.27 may end the latter with "context deadline exceeded"
# and no failing input: go.dev/issue/75804. What is new is minimized in few steps; by default it
# takes up to a minute each, in which nothing else is tried.
set -euo pipefail

runs=$1
shift
found=0
# The folders first: asking the go tool for the targets of all packages builds all their tests.
while read -r folder; do
	while read -r target; do
		found=$((found + 1))
		echo "== $folder $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$runs" -fuzzminimizetime 20x "./$folder"
	done < <(cat "$folder"/*_test.go | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p')
done < <(grep -rl --include='*_test.go' --exclude-dir=node_modules '^func Fuzz' "$@" | xargs -n 1 dirname | sort -u)
echo "$found fuzz targets"
[ "$found" -gt 0 ]
