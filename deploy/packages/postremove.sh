#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
case "$1" in
upgrade | 1) exit 0 ;; # the new version needs them
esac
# Empty directories only: secrets are the administrator's to delete.
rmdir /etc/gotapi/edge /etc/gotapi/historysvc 2>/dev/null || true
