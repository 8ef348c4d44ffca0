#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
# Empty directories only: secrets are the administrator's to delete.
rmdir /etc/gotapi/edge /etc/gotapi/historysvc 2>/dev/null || true
