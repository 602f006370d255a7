#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The data in /var/lib/otelcol-qpoint is the user's: it stays, and the user who owns it does, too. Only `dpkg --purge`, which
# asks for everything to go, removes both, when no other package of ours is there, or was removed and may come back to them.
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
others=$(find /var/lib/dpkg/info -name 'otelcol-qpoint*.postrm' ! -name "${DPKG_MAINTSCRIPT_PACKAGE:-none}.postrm" 2>/dev/null || true)
if [ "$1" = purge ] && [ -z "$others" ]; then
	rm -rf /var/lib/otelcol-qpoint
	rmdir /etc/otelcol-qpoint 2>/dev/null || true
	if getent passwd otelcol-qpoint >/dev/null; then userdel otelcol-qpoint; fi
	if getent group otelcol-qpoint >/dev/null; then groupdel otelcol-qpoint; fi
fi
