#!/usr/bin/env bash
# fuzz.sh TIME MODULE...: runs every fuzz target of the modules for TIME.
set -euo pipefail

time=$1
shift
found=0
for module in "$@"; do
	while read -r package target; do
		found=$((found + 1))
		echo "== $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
	done < <(go test -list '^Fuzz' "./$module/..." |
		awk '/^Fuzz/ {names[++n] = $1} $1 == "ok" {for (i = 1; i <= n; i++) print $2, names[i]; n = 0}')
done
echo "$found fuzz targets"
[ "$found" -gt 0 ]
