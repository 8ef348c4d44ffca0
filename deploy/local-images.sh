#!/usr/bin/env bash
# local-images.sh redis|haproxy|golang|prometheus IMAGE: makes a base image from what is
# installed on this Debian machine, for engines that cannot pull. The result
# has the programs, users and folders of the official image that the compose
# file and the Dockerfile rely on, and nothing else. Only for an engine of the
# tests' own: it takes the official name.
set -euo pipefail

kind=$1
image=$2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# add PROGRAM [PATH]: the program, at PATH in the image, and its libraries.
add() {
	local program target=${2:-}
	program=$(readlink -f "$(command -v "$1")")
	install -D "$program" "$root${target:-/usr/local/bin/$1}"
	ldd "$program" 2>/dev/null | grep -o '/[^ ]*' | while read -r lib; do
		[ -e "$root$lib" ] || install -D "$lib" "$root$lib"
	done
}

# user NAME UID GID
user() {
	mkdir -p "$root/etc"
	echo "$1:x:$2:$3::/:/sbin/nologin" >>"$root/etc/passwd"
	echo "$1:x:$3:" >>"$root/etc/group"
}

# The modules that go.mod needs, as a proxy in a folder.
modules() {
	local cache proxy=$root/goproxy
	cache=$(go env GOMODCACHE)/cache/download
	GOWORK=off go mod download
	mkdir -p "$proxy"
	(cd "$cache" && find . -path '*/@v/*' \( -name '*.mod' -o -name '*.info' \) -print0 | tar -c --null -T -) | tar -x -C "$proxy"
	GOWORK=off go mod download -json | sed -n 's/.*"Zip": "\(.*\)".*/\1/p' | while read -r zip; do
		install -D "$zip" "$proxy${zip#"$cache"}"
	done
}

changes=(--change 'ENV PATH=/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin')
user root 0 0
case $kind in
redis)
	user redis 999 1000
	add redis-server
	add redis-cli
	install -d -o 999 -g 1000 "$root/data"
	changes+=(--change 'WORKDIR /data' --change 'VOLUME /data' --change 'CMD ["redis-server"]')
	;;
haproxy)
	user haproxy 99 99
	add haproxy
	mkdir -p "$root/usr/local/etc/haproxy"
	changes+=(--change 'USER haproxy')
	;;
prometheus)
	user nobody 65534 65534
	add prometheus /bin/prometheus
	install -d -o 65534 -g 65534 "$root/prometheus"
	changes+=(--change 'USER nobody' --change 'VOLUME /prometheus' --change 'ENTRYPOINT ["/bin/prometheus"]')
	;;
golang)
	add bash /bin/bash
	ln -s bash "$root/bin/sh"
	install -D /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
	add make
	mkdir -p "$root/usr/local" "$root/root"
	install -d -m 1777 "$root/tmp"
	cp -rL "$(go env GOROOT)" "$root/usr/local/go"
	modules
	changes+=(--change 'ENV GOPROXY=file:///goproxy' --change 'ENV GOSUMDB=off' --change 'ENV GOTOOLCHAIN=local' --change 'ENV HOME=/root')
	;;
*)
	echo "unknown kind $kind" >&2
	exit 2
	;;
esac
tar -c -C "$root" . | docker import "${changes[@]}" - "$image" >/dev/null
echo "made $image from this machine's $kind"
