#!/usr/bin/env bash
# ensure-redis.sh [STORE DIR]: makes sure that the tests find a redis-server and a
# redis-cli. They start servers of their own; the one that a Debian package may start
# is not used.
#
# Without arguments: those of this machine, installed if need be (Debian, as root).
# STORE redis8 or valkey: those of Debian trixie. They and their libraries come from
# this machine's own Debian mirror into DIR/trixie, and run through the dynamic loader
# there: nothing is installed but debootstrap, which fetches and verifies them.
# DIR/STORE then has programs with the names redis-server and redis-cli, for the front
# of PATH.
set -euo pipefail

. "$(dirname "$0")/packages.sh"

store=${1-} dir=${2-}

# fetch DIR: the packages of both products, and the libraries that they need.
fetch() {
	command -v debootstrap >/dev/null || install_packages 'the tests' debootstrap
	local mirror debs=$1.debs
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2>/dev/null | sed -n 1p)
	rm -rf "$1.new" "$debs"
	mkdir -p "$1.new"
	debootstrap --download-only --variant=minbase --include=redis-server,valkey-server trixie "$debs" "${mirror:-http://deb.debian.org/debian}" >"$1.log" ||
		{ tail -n 20 "$1.log" >&2; return 1; }
	for deb in "$debs"/var/cache/apt/archives/{lib,redis-,valkey-}*.deb; do
		dpkg-deb --extract "$deb" "$1.new"
	done
	rm -rf "$debs" "$1"
	mv "$1.new" "$1"
}

# wrap NAME PROGRAM: DIR/STORE/NAME runs PROGRAM of trixie.
wrap() {
	local loader=("$dir"/trixie/usr/lib/*-linux-gnu*/ld-linux-*.so.*)
	cat >"$dir/$store/$1.new" <<-END
		#!/bin/sh
		exec '${loader[0]}' --library-path '$(dirname "${loader[0]}")' '$dir/trixie/usr/bin/$2' "\$@"
	END
	chmod +x "$dir/$store/$1.new"
	mv "$dir/$store/$1.new" "$dir/$store/$1"
}

case $store in
'')
	command -v redis-server >/dev/null || install_packages 'the tests' redis-server
	;;
redis8 | valkey)
	mkdir -p "$dir/$store"
	exec 9>"$dir/lock" # one at a time
	flock 9
	[ -d "$dir/trixie" ] || fetch "$dir/trixie"
	product=${store%8}
	wrap redis-server "$product-server"
	wrap redis-cli "$product-cli"
	"$dir/$store/redis-server" --version
	;;
*)
	echo "no store $store: want redis8 or valkey, or none for this machine's own redis-server" >&2
	exit 2
	;;
esac
