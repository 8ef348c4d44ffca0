#!/bin/sh
# The services need settings first, so none is started here. Running ones go on with the new programs.
set -e
if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers /usr/lib/sysusers.d/gotapi.conf
	for service in edge historysvc; do
		install -d -m 0750 -g "gotapi-$service" "/etc/gotapi/$service"
	done
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart gotapi-historysvc.service gotapi-edge.service
fi
