#!/usr/bin/env bash
# Makes what a release has besides the programs, in dist-prepared/: npm packages, the bill of
# materials, and systemd units for the paths of the packages. goreleaser calls it with the tag.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=$1
out=$PWD/dist-prepared
rm -rf "$out"
mkdir -p "$out/systemd"

for unit in deploy/systemd/*.service; do
	sed 's#/usr/local/bin/#/usr/lib/gotapi-ws/#g' "$unit" >"$out/systemd/$(basename "$unit")"
done

make sbom VERSION="$tag"
cp bin/sbom.cdx.json "$out/gotapi-ws_${tag#v}.cdx.json"

npm --prefix clients/js ci --no-audit --no-fund
npm --prefix clients/js run build
for package in gotapi-ws node-gotapi-ws; do
	version=$(node -p "require('./clients/js/packages/$package/package.json').version")
	if [ "v$version" != "$tag" ] && [ -z "${SNAPSHOT:-}" ]; then
		echo "npm package $package has version $version, the tag is $tag" >&2
		exit 1
	fi
	(cd "clients/js/packages/$package" && npm pack --ignore-scripts --pack-destination "$out" >/dev/null)
done
