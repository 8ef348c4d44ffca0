#!/usr/bin/env bash
# Makes what a release has besides the programs, in dist-prepared/: npm packages, the Helm chart, the
# bill of materials, and systemd units for the paths of the packages. goreleaser calls it with the tag.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=$1
chart=deploy/helm/gotapi-ws
version=$(sed -n 's/^version: //p' $chart/Chart.yaml)
if [ "v$version" != "$tag" ] && [ -z "${SNAPSHOT:-}" ]; then
	echo "the repository has version $version, the tag is $tag: run scripts/release-version.sh $tag" >&2
	exit 1
fi
out=$PWD/dist-prepared
rm -rf "$out"
mkdir -p "$out/systemd"

for unit in deploy/systemd/*.service; do
	sed 's#/usr/local/bin/#/usr/lib/gotapi-ws/#g' "$unit" >"$out/systemd/$(basename "$unit")"
done

make sbom VERSION="$tag"
install -m 0644 bin/sbom.cdx.json "$out/gotapi-ws_${tag#v}.cdx.json"

# As `helm package` does; npm has the name gotapi-ws-VERSION.tgz.
tar --create --use-compress-program="gzip -9n" --file "$out/gotapi-ws-chart-$version.tgz" --directory "$(dirname $chart)" \
	--sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" "$(basename $chart)"

npm --prefix clients/js ci --no-audit --no-fund
npm --prefix clients/js run build
for package in gotapi-ws node-gotapi-ws; do
	(cd "clients/js/packages/$package" && npm pack --ignore-scripts --pack-destination "$out" >/dev/null)
done
