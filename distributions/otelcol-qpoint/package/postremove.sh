#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The data in /var/lib/otelcol-qpoint is the user's: it stays, and the user who owns it does, too. Only `dpkg --purge`, which
# asks for everything to go, removes both, when no other package of ours is there to need them.
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
if [ "$1" = purge ] && [ ! -e /usr/bin/otelcol-qpoint ] && [ ! -e /usr/bin/otelcol-qpoint-agent ]; then
	rm -rf /var/lib/otelcol-qpoint
	rmdir /etc/otelcol-qpoint 2>/dev/null || true
	if getent passwd otelcol-qpoint >/dev/null; then userdel otelcol-qpoint; fi
	if getent group otelcol-qpoint >/dev/null; then groupdel otelcol-qpoint; fi
fi
