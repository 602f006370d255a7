#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the agent and its packages from the commit in two folders of different names, and fails when a byte differs.
set -euo pipefail
commit=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in one another-name; do
	mkdir "$work/$name"
	git archive "$commit" | tar -x -C "$work/$name"
	make -s -C "$work/$name" deb-agent rpm-agent >/dev/null
	(cd "$work/$name/_build" && sha256sum agent/otelcol-qpoint-agent packages/*.deb packages/*.rpm) >"$work/$name.sums"
done
diff "$work/one.sums" "$work/another-name.sums"
cat "$work/one.sums"
