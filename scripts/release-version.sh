#!/usr/bin/env bash
# release-version.sh 0.2.0: writes the version of the next release wherever the repository names it:
# the chart, which release-prepare.sh compares with the tag, and the npm packages. A test in
# deploy/verify compares them. The section of CHANGELOG.md gets today's date.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1#v}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || { echo "not a version: $1" >&2; exit 2; }

sed -i "s/^## ${version//./\\.} - unreleased\$/## $version - $(date +%F)/" CHANGELOG.md
sed -i -E "s/^(version|appVersion): .*/\1: $version/" deploy/helm/gotapi-ws/Chart.yaml
VERSION=$version node -e '
	const { readFileSync, writeFileSync } = require("node:fs");
	const change = (file, set) => {
		const json = JSON.parse(readFileSync(file, "utf8"));
		set(json);
		writeFileSync(file, `${JSON.stringify(json, null, 2)}\n`);
	};
	for (const name of ["gotapi-ws", "node-gotapi-ws"]) {
		const set = (json) => { json.version = process.env.VERSION; };
		change(`clients/js/packages/${name}/package.json`, set);
		change("clients/js/package-lock.json", (json) => set(json.packages[`packages/${name}`]));
	}'
# What is generated has it, too.
make web manifests
