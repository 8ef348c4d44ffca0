#!/bin/sh
set -e
case "$1" in
upgrade | 1) exit 0 ;; # the new version follows
esac
if [ -d /run/systemd/system ]; then
	systemctl disable --now gotapi-edge.service gotapi-historysvc.service
fi
