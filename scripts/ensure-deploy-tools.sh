#!/usr/bin/env bash
# Makes sure that there are promtool, haproxy, docker-compose and the like for the tests of deploy/:
# as root on Debian they are installed; elsewhere what is missing is skipped by
# the tests, which say so. In CI (the environment has CI) they fail instead.
set -euo pipefail

missing=()
for need in promtool:prometheus haproxy:haproxy docker-compose:docker-compose systemd-analyze:systemd openssl:openssl; do
	command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
if [ ${#missing[@]} -eq 0 ]; then
	exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "tests that need ${missing[*]} are skipped" >&2
	exit 0
fi
echo "installing ${missing[*]}"
apt-get update -qq
# RUNLEVEL=1 keeps packages from starting their services.
RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
