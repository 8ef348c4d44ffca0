#!/usr/bin/env bash
# Makes sure that there is a redis-server for the tests. They start servers of
# their own; the one that the Debian package may start is not used.
set -euo pipefail

if command -v redis-server >/dev/null; then
	exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "the tests need redis-server (6.2 or later) in PATH; on Debian: apt-get install redis-server" >&2
	exit 1
fi
echo "installing redis-server"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends redis-server >/dev/null
