#!/usr/bin/env bash
# ensure-browsers.sh BROWSER...: makes sure that there are chromium, firefox, or
# webkit (for GTK, on a screen of Xvfb) for the tests of the pages. CHROMIUM, FIREFOX
# and WEBKIT_DRIVER may name others.
set -euo pipefail
. "$(dirname "$0")/packages.sh"

missing=()
# need PROGRAM PACKAGE
need() { command -v "$1" >/dev/null || missing+=("$2"); }
for browser in "$@"; do
	case $browser in
	chromium) need "${CHROMIUM:-/usr/bin/chromium}" chromium ;;
	firefox) need "${FIREFOX:-/usr/bin/firefox-esr}" firefox-esr ;;
	webkit)
		need "${WEBKIT_DRIVER:-WebKitWebDriver}" webkit2gtk-driver
		need Xvfb xvfb
		;;
	*)
		echo "no browser $browser: want chromium, firefox or webkit" >&2
		exit 2
		;;
	esac
done

if [ ${#missing[@]} -gt 0 ]; then
	install_packages 'the tests of the pages' "${missing[@]}"
fi
