#!/usr/bin/env bash
# Makes sure that there are promtool, haproxy, nginx, caddy, docker-compose and the like for the tests of deploy/:
# as root on Debian they are installed; elsewhere what is missing is skipped by
# the tests, which say so. In CI (the environment has CI) they fail instead.
set -euo pipefail
. "$(dirname "$0")/packages.sh"

missing=()
for need in promtool:prometheus haproxy:haproxy docker-compose:docker-compose systemd-analyze:systemd openssl:openssl nginx:nginx-light caddy:caddy curl:curl; do
	command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
if [ ${#missing[@]} -eq 0 ]; then
	exit 0
fi
if ! can_install; then
	echo "tests that need ${missing[*]} are skipped" >&2
	exit 0
fi
# RUNLEVEL=1 keeps packages from starting their services.
RUNLEVEL=1 install_packages 'the tests of deploy/' "${missing[@]}"
