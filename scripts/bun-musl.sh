#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Puts Bun for musl into _build/bun-musl, for the tests: a stripped program with BoringSSL inside, on a C library that
# is not glibc. Of the C++ library for musl Debian has none; glibc's runs with the few functions that musl lacks.
set -euo pipefail
cd "$(dirname "$0")/.."
to=$PWD/_build/bun-musl
[ -x "$to/run" ] && exit 0
[ "$(uname -m)" = x86_64 ] || { echo 'bun-musl.sh: only amd64 is tested' >&2; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm pack --silent --pack-destination "$work" @oven/bun-linux-x64-musl@1.4.5 >/dev/null
tar -xzf "$work"/*.tgz -C "$work"
cat >"$work/shim.c" <<'C'
#include <stdlib.h>
#include <time.h>
#include <locale.h>
unsigned arc4random(void) { return rand(); }
size_t __strftime_l(char *s, size_t n, const char *f, const struct tm *t, locale_t l) { return strftime_l(s, n, f, t, l); }
int __cxa_thread_atexit_impl(void (*f)(void *), void *a, void *b) { return 0; }
char __libc_single_threaded;
int _dl_find_object(void *a, void *b) { return -1; }
int __cpu_indicator_init(void) { return 0; }
struct { unsigned a, b, c, d[1]; } __cpu_model;
C
mkdir -p "$work/root/bin" "$work/root/lib"
musl-gcc -shared -fPIC -o "$work/root/lib/ld-linux-x86-64.so.2" "$work/shim.c"
ln -s /lib/x86_64-linux-musl/libc.so "$work/root/lib/libc.musl-x86_64.so.1"
for lib in libstdc++.so.6 libgcc_s.so.1; do ln -s "/usr/lib/x86_64-linux-gnu/$lib" "$work/root/lib/$lib"; done
mv "$work/package/bin/bun" "$work/root/bin/bun"
printf '#!/bin/sh\nLD_LIBRARY_PATH=%s/lib exec %s/bin/bun "$@"\n' "$to" "$to" >"$work/root/run"
chmod +x "$work/root/run" "$work/root/bin/bun"
mkdir -p "$(dirname "$to")"
rm -rf "$to"
mv "$work/root" "$to"
