#!/usr/bin/env bash
# modules.sh MODULE...: each module is tidy, vets without the workspace, and is
# built of the same versions with the workspace as without it: what is tested
# here is what `go install` and `go get` give others.
set -euo pipefail

# versions: the modules that this folder's packages and their tests are made of.
versions() {
	go list -deps -test -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}' ./... |
		grep -v '^github.com/gotapi/gotapi-ws ' | sort -u
}

for module in "$@"; do
	echo "module $module: tidy, builds alone, same versions in the workspace"
	(
		cd "$module"
		GOWORK=off go mod tidy -diff
		GOWORK=off go vet ./...
		diff <(GOWORK=off versions) <(versions) || {
			echo "$module: versions differ between its go.mod and the workspace: run 'go work sync' and 'go mod tidy'" >&2
			exit 1
		}
	)
done
