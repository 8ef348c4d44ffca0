#!/usr/bin/env bash
# Makes sure that there is a Chromium for the tests of the pages. CHROMIUM may
# name another one.
set -euo pipefail

if [ -x "${CHROMIUM:-/usr/bin/chromium}" ]; then
	exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "the tests of the pages need Chromium: name it in CHROMIUM; on Debian: apt-get install chromium" >&2
	exit 1
fi
echo "installing chromium"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium >/dev/null
