#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs Debian packages that are missing. Each argument is `what:package`: a command or an
# absolute path that the package brings.
set -euo pipefail
missing=()
for pair in "$@"; do
	what=${pair%%:*} package=${pair##*:}
	case $what in
	/*) [ -e "$what" ] || missing+=("$package") ;;
	*) PATH="$PATH:/usr/sbin:/sbin" command -v "$what" >/dev/null || missing+=("$package") ;;
	esac
done
[ ${#missing[@]} -eq 0 ] && exit 0
echo "installing Debian packages: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
$sudo apt-get update -q >/dev/null
# In runlevel 1 package scripts start no service: the tests start their own.
$sudo env RUNLEVEL=1 apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
