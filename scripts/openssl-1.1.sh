#!/usr/bin/env bash
# Unpacks OpenSSL 1.1.1 of Debian bullseye into _build/openssl-1.1, for the tests, beside what is
# installed. apt keeps lists of its own for it, and takes the mirror that this host uses.
set -euo pipefail
cd "$(dirname "$0")/.."
to=$PWD/_build/openssl-1.1
[ -x "$to/usr/bin/openssl" ] && exit 0
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' | head -1)
[ -n "$mirror" ] || { echo 'openssl-1.1.sh: apt has no Debian source' >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/lists/partial "$work"/cache/archives/partial "$work"/root
keys=/usr/share/keyrings/debian-archive-bullseye
echo "deb [signed-by=$keys-stable.gpg,$keys-automatic.gpg] $mirror bullseye main" >"$work/sources.list"
apt=(apt-get -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
	-o Dir::State::Lists="$work/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$work/cache"
	-o APT::Sandbox::User=root -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false)
"${apt[@]}" update >/dev/null
(cd "$work" && "${apt[@]}" download openssl libssl1.1 >/dev/null)
for deb in "$work"/*.deb; do dpkg-deb -x "$deb" "$work/root"; done
mkdir -p "$(dirname "$to")"
rm -rf "$to"
mv "$work/root" "$to"
