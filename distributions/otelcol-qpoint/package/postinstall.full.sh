#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An upgrade (dpkg names the version before, rpm counts to 2) restarts what runs: the binary before may have been mended.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	if [ "$1" = configure ] && [ -n "$2" ] || [ "$1" = 2 ]; then systemctl try-restart otelcol-qpoint.service || true; fi
fi
