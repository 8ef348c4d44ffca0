#!/usr/bin/env bash
# reproducible.sh: builds the programs of HEAD twice, in folders of different
# names and with an empty build cache each, and compares them byte for byte.
set -euo pipefail

tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
for copy in one another; do
	git clone -q . "$tmp/$copy/src"
	echo "building in folder $copy"
	GOCACHE="$tmp/$copy/cache" make -s -C "$tmp/$copy/src" build
	rm -rf "$tmp/$copy/cache"
	(cd "$tmp/$copy/src/bin" && sha256sum -- *) >"$tmp/$copy/sums"
done
cat "$tmp/one/sums"
diff "$tmp/one/sums" "$tmp/another/sums" || { echo 'the two builds differ' >&2; exit 1; }
for program in "$tmp"/one/src/bin/*; do
	if readelf -l "$program" 2>/dev/null | grep -q INTERP; then
		echo "$program is not static" >&2
		exit 1
	fi
done
echo 'the two builds are the same, and static'
