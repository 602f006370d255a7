#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# Fetches libchdb.so, the embedded ClickHouse that `local_clickhouse` loads, once, into a
# cache outside the tree, and prints its path. Needs npm (which knows its registry), tar,
# sha512sum and base64. A run that finds the library does no network access.
#
# Environment: CHDB_CACHE (default ${XDG_CACHE_HOME:-$HOME/.cache}/otelcol-qpoint/chdb),
# CHDB_ARCH (default: of this machine; `x86_64` or `aarch64`).
set -eu

# Kept equal to libraryVersion in extension/localclickhouseextension/library.go by a test.
version=26.7.3-stable.1
arch=${CHDB_ARCH:-$(uname -m)}

# The SHA-512 is npm's own `dist.integrity` of the pinned version, committed here so that a
# package that changed under its name is refused.
case "$arch" in
x86_64 | amd64)
	package=@chdb/lib-linux-x64-gnu
	sha512=XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==
	;;
aarch64 | arm64)
	package=@chdb/lib-linux-arm64-gnu
	sha512=${CHDB_SHA512:-}
	;;
*)
	echo "fetch-chdb: no libchdb for the architecture $arch" >&2
	exit 1
	;;
esac

cache=${CHDB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/otelcol-qpoint/chdb}
dir=$cache/$version
library=$dir/libchdb.so
if [ -s "$library" ]; then
	echo "$library"
	exit 0
fi
if [ -z "$sha512" ]; then
	echo "fetch-chdb: no SHA-512 of $package $version is committed yet: set CHDB_SHA512 to the package's dist.integrity (without sha512-), after checking it" >&2
	exit 1
fi
for tool in npm tar sha512sum base64 od; do
	command -v "$tool" >/dev/null || {
		echo "fetch-chdb: $tool is missing; install it and run again" >&2
		exit 1
	}
done

mkdir -p "$dir"
work=$(mktemp -d "$dir/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

echo "fetch-chdb: fetching $package $version (about 180 MB)" >&2
(cd "$work" && npm pack --silent "$package@$version" >/dev/null)
set -- "$work"/*.tgz
got=$(sha512sum "$1" | cut -d' ' -f1)
want=$(echo "$sha512" | base64 -d | od -An -v -tx1 | tr -d ' \n')
if [ "$got" != "$want" ]; then
	echo "fetch-chdb: $package $version does not have the committed SHA-512; refusing it" >&2
	exit 1
fi
tar -xzf "$1" -C "$work" package/libchdb.so
# World-readable: an unprivileged user of its own loads it.
chmod 0755 "$work/package/libchdb.so"
# The rename is what makes a half-fetched library impossible, and two runs at once harmless.
mv -f "$work/package/libchdb.so" "$library"
echo "$library"
