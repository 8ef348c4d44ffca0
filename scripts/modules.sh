#!/usr/bin/env bash
# modules.sh MODULE...: each module is tidy, and builds and vets without the
# workspace, as it does for whoever imports it alone.
set -euo pipefail

export GOWORK=off
for module in "$@"; do
	echo "module $module: tidy, builds alone"
	(cd "$module" && go mod tidy -diff && go vet ./...)
done
