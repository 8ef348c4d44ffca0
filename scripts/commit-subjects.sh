#!/usr/bin/env bash
# commit-subjects.sh: fails if a commit after the one that added this check has a subject of more
# than 72 characters.
set -euo pipefail
cd "$(dirname "$0")/.."
first=$(git log --diff-filter=A --format=%H -- scripts/commit-subjects.sh | tail -1)
long=$(git log --no-merges --ancestry-path --format=%s "${first:-HEAD}..HEAD" | awk 'length > 72')
[ -z "$long" ] || { printf 'longer than 72 characters:\n%s\n' "$long" >&2; exit 1; }
