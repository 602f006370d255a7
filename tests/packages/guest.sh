#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs under systemd in the virtual machine: what a user does with the packages, with the files as they are shipped.
# A gateway (the whole distribution) and an agent, both by their units; nginx and curl as the programs that are watched.
set -eu
say() { echo "packages: $*"; }
fail() {
	say "FAILED: $*"
	for f in /run/log/*; do echo "== $f"; tail -n 30 "$f"; done
	systemctl --no-pager status otelcol-qpoint otelcol-qpoint-agent || true
	exit 1
}
# wait SECONDS WHAT COMMAND...
wait_for() {
	n=$1 what=$2
	shift 2
	while ! "$@" >/dev/null 2>&1; do
		n=$((n - 1))
		[ "$n" -gt 0 ] || fail "waited in vain for $what"
		sleep 1
	done
}
etc=/etc/otelcol-qpoint
state=/var/lib/otelcol-qpoint

configure() {
	cp /test/gateway.yaml $etc/config.yaml
	cp /test/tokens.yaml /test/tls.crt /test/tls.key $etc/
	printf %s "$(cat /test/token)" >$etc/pulse.token
	chown root:otelcol-qpoint $etc/tokens.yaml $etc/tls.key $etc/pulse.token
	chmod 0640 $etc/tokens.yaml $etc/tls.key $etc/pulse.token
	cat >$etc/agent.env <<-EOT
		PULSE_ENDPOINT=localhost:4317
		PULSE_ENVIRONMENT=test
		PULSE_CA_FILE=$etc/tls.crt
		S3_ENDPOINT=http://127.0.0.1:8687
		S3_BUCKET=qpoint
	EOT
	for unit in otelcol-qpoint otelcol-qpoint-agent; do
		mkdir -p /etc/systemd/system/$unit.service.d /run/log
		printf '[Service]\nStandardOutput=append:/run/log/%s\nStandardError=append:/run/log/%s\n' $unit $unit >/etc/systemd/system/$unit.service.d/log.conf
	done
	systemctl daemon-reload
}

# capture PATH: a request over TLS is seen by the agent, its metadata comes to the gateway, its body to the bucket.
capture() {
	wait_for 60 "the gateway" grep -q 'Everything is ready' /run/log/otelcol-qpoint
	sed -n 's/^aws_access_key_id *= */S3_ACCESS_KEY=/p; s/^aws_secret_access_key *= */S3_SECRET_KEY=/p' $state/s3/credentials >>$etc/agent.env
	systemctl start otelcol-qpoint-agent || fail "start the agent"
	wait_for 60 "the agent" grep -q 'Everything is ready' /run/log/otelcol-qpoint-agent
	curl -sS --cacert /test/tls.crt -o /dev/null "https://localhost:8443$1"
	wait_for 60 "the span of $1 at the gateway" grep -q "url.path: Str($1)" /run/log/otelcol-qpoint
	# Below the token's environment, and its receipt says so: Pulse refuses it otherwise.
	wait_for 60 "an object" sh -c "find $state/s3/qpoint/test -type f -name '*.zip' | grep -q ."
	wait_for 60 "a receipt" grep -q 'qpoint.object.environment: Str(test)' /run/log/otelcol-qpoint
	say "captured $1 as $(ps_user) with $(caps)"
}
pid() { systemctl show -p MainPID --value otelcol-qpoint-agent; }
ps_user() { stat -c %U "/proc/$(pid)"; }
caps() { sed -n 's/^CapEff:[[:space:]]*//p' "/proc/$(pid)/status"; }

gone() {
	for left in /usr/bin/otelcol-qpoint /usr/bin/otelcol-qpoint-agent $etc $state /usr/lib/systemd/system/otelcol-qpoint.service /usr/lib/systemd/system/otelcol-qpoint-agent.service; do
		[ ! -e "$left" ] || fail "$left is left: $(ls "$left")"
	done
	! getent passwd otelcol-qpoint || fail "the user is left"
}

say "systemd $(systemctl --version | head -n 1)"
# libc6 is there, only not as a package.
dpkg --install --force-depends /test/*.deb || fail "dpkg --install"
[ "$(systemctl is-enabled otelcol-qpoint-agent || true)" = disabled ] || fail "installing enables the agent"
configure
nginx -c /test/nginx.conf
systemctl start otelcol-qpoint || fail "start the gateway"
capture /from-deb
[ "$(ps_user)" = otelcol-qpoint ] || fail "the agent runs as $(ps_user)"
# CAP_DAC_READ_SEARCH 2, CAP_NET_ADMIN 12, CAP_SYS_PTRACE 19, CAP_PERFMON 38, CAP_BPF 39
[ "$(caps)" = 000000c000081004 ] || fail "the agent has the rights $(caps)"
systemctl stop otelcol-qpoint-agent otelcol-qpoint || fail "stop"
[ "$(systemctl show -p Result --value otelcol-qpoint-agent)" = success ] || fail "the agent did not end well"
dpkg --purge otelcol-qpoint-agent otelcol-qpoint || fail "dpkg --purge"
rm -rf $etc/* # what this script put there
rmdir $etc 2>/dev/null || true
gone
say "deb: installed, captured, removed"

rm -f /run/log/*
rpm --install --nodeps /test/*.rpm || fail "rpm --install"
configure
systemctl start otelcol-qpoint || fail "start the gateway"
capture /from-rpm
systemctl stop otelcol-qpoint-agent otelcol-qpoint || fail "stop"
rpm --erase otelcol-qpoint-agent otelcol-qpoint || fail "rpm --erase"
[ ! -e /usr/bin/otelcol-qpoint-agent ] || fail "the agent is left"
[ -d $state ] || fail "removing took the data"
say "rpm: installed, captured, removed"
