#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Both packages share one user without a shell or a password.
set -e
getent group otelcol-qpoint >/dev/null || groupadd --system otelcol-qpoint
getent passwd otelcol-qpoint >/dev/null ||
	useradd --system --gid otelcol-qpoint --home-dir /var/lib/otelcol-qpoint --no-create-home --shell /usr/sbin/nologin otelcol-qpoint
