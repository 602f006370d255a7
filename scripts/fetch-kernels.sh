#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# Fetches the Debian kernels that the capture is tested on into a cache outside the tree, without
# installing them, and prints a line `name path-of-bzImage release` for each. The newest of each line is
# taken once a day; when no mirror answers, what is in the cache is used. Needs apt and a Debian host,
# whose mirrors are used.
#
# Arguments: the lines wanted, default: 5.10 6.1 6.12 7 arm64
# Environment: KERNELS_CACHE (default ${XDG_CACHE_HOME:-$HOME/.cache}/otelcol-qpoint/kernels).
set -euo pipefail

cache=${KERNELS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/otelcol-qpoint/kernels}
[ $# -gt 0 ] || set -- 5.10 6.1 6.12 7 arm64
apt=$cache/apt
mkdir -p "$apt/lists/partial" "$apt/archives/partial"
options=(
	-o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
	-o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt" -o APT::Sandbox::User=root
	-o APT::Architectures::=amd64 -o APT::Architectures::=arm64
	-o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
)

# The host's own mirrors, and the suites that carry the kernels.
sources() {
	apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | sort -u | while read -r site; do
		case $site in
		*-security*) suites='bullseye-security bookworm-security' ;;
		*) suites='bullseye bookworm bookworm-backports trixie-backports' ;;
		esac
		for suite in $suites; do
			arch=amd64
			[ "$suite" != bookworm-backports ] || arch=amd64,arm64
			echo "deb [arch=$arch] $site $suite main"
		done
	done
}

update() {
	sources >"$apt/sources.new"
	if [ -n "$(find "$apt/updated" -mmin -1440 2>/dev/null)" ] && cmp -s "$apt/sources.new" "$apt/sources.list"; then
		return 0
	fi
	mv "$apt/sources.new" "$apt/sources.list"
	if apt-get "${options[@]}" update -q >/dev/null; then
		touch "$apt/updated"
	else
		echo 'fetch-kernels: no mirror answers; using what is in the cache' >&2
	fi
}

# A kernel is one package, or a pair of binary and modules; without the modules it boots all the same.
pattern() {
	case $1 in
	5.10) echo '^linux-image-5\.10\.0-[0-9]+-cloud-amd64$' ;;
	6.1) echo '^linux-image-6\.1\.0-[0-9]+-cloud-amd64$' ;;
	6.12) echo '^linux-image-6\.12\.[0-9]+\+deb12(\.[0-9]+)?-cloud-amd64$' ;;
	arm64) echo '^linux-image-6\.12\.[0-9]+\+deb12(\.[0-9]+)?-cloud-arm64$' ;;
	7) echo '^linux-binary-7\.[0-9.]+\+deb13-cloud-amd64$' ;;
	*)
		echo "fetch-kernels: unknown line $1" >&2
		return 1
		;;
	esac
}

fetch() { # line
	local wanted package dir image arch=amd64
	[ "$1" != arm64 ] || arch=arm64
	wanted=$(pattern "$1")
	for package in $(apt-cache "${options[@]}" search --names-only "$wanted" | cut -d' ' -f1 | sort -Vr); do
		dir=$cache/$package
		if [ ! -d "$dir" ]; then
			# A suite may still list what its mirror has dropped: then the next older one is taken.
			rm -rf "$apt/unpacked"
			mkdir -p "$apt/unpacked/root"
			(cd "$apt/unpacked" && apt-get "${options[@]}" download -q "$package:$arch" >/dev/null) || continue
			dpkg -x "$apt/unpacked/"*.deb "$apt/unpacked/root"
			mv "$apt/unpacked/root" "$dir"
			rm -rf "$apt/unpacked"
		fi
		# Packages of 7.x keep the image beside the modules.
		image=$(find "$dir" -name 'vmlinuz*' -size +1M | head -1)
		if [ -n "$image" ]; then
			package=${package#linux-image-}
			echo "$1 $image ${package#linux-binary-}"
			return
		fi
	done
	echo "fetch-kernels: no kernel of the line $1 could be fetched" >&2
	return 1
}

update
for line in "$@"; do
	fetch "$line"
done
