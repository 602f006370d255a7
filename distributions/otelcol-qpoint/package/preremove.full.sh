#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# rpm calls this with 0 for a removal and 1 for an upgrade, dpkg with words.
set -e
case "$1" in
remove | 0) if [ -d /run/systemd/system ]; then systemctl disable --now otelcol-qpoint.service || true; fi ;;
esac
