#!/usr/bin/env bash
# deadcode.sh BINARY PACKAGE...: fails if a function of ours, in any package
# that the given mains are made of, cannot be reached from them. Tests do not
# count as users. Generated code is left out, and so is what the Go client
# exports: programs of others use it.
set -euo pipefail

deadcode=$1
shift
out=$("$deadcode" -filter '^github.com/gotapi/gotapi-ws' "$@")
out=$(grep -vE '^clients/go/([a-z]+/)?[a-z_]+\.go:.* unreachable func: ([A-Z]|[A-Za-z]+\.[A-Z])' <<<"$out" || true)
if [ -n "$out" ]; then
	echo "functions that no program reaches:" >&2
	echo "$out" >&2
	exit 1
fi
