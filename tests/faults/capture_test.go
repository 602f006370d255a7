// SPDX-License-Identifier: Apache-2.0

//go:build linux

package faults

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/tests/exactness"
)

// captureLong makes the tests of what is captured as large as the README says; else they are short.
var captureLong = flag.Bool("long", false, "the long form: 100,000 connections, 1 GiB of headers, 1,000 cgroups")

func shortOrLong(short, long int) string {
	if *captureLong {
		short = long
	}
	return fmt.Sprint(short)
}

// captureWithin is how long the traffic of a fault may take.
func captureWithin() time.Duration {
	if *captureLong {
		return time.Hour
	}
	return 5 * time.Minute
}

// captureStart starts a collector, a server that it watches, and shows that encrypted requests are read.
func captureStart(t *testing.T, o exactness.Options) (*exactness.Collector, *exactness.Traffic) {
	t.Helper()
	c := exactness.Start(t, o)
	tr := exactness.Serve(t, c.Cgroup)
	tr.Warm(t, c)
	return c, tr
}

// captureWell is what must hold after every fault: the collector is alive, the books balance at every stage, and numbered
// requests, HTTP and HTTPS, on old connections and on new ones, are whole at both ends, in ClickHouse and in the bucket.
func captureWell(t *testing.T, c *exactness.Collector, tr *exactness.Traffic) exactness.Books {
	t.Helper()
	require.True(t, c.Alive())
	requests := c.Expect(t, tr)
	requests.Add(t, tr.Send(t, exactness.Load{Rate: 50, Duration: 2 * time.Second, First: requests.Next(), Connections: 4, Fresh: 10}))
	requests.Account(t, c).RequireAll(t)
	return c.RequireConserved(t)
}

// captureEnd ends the collector: nothing may be in flight, and it ends in peace.
func captureEnd(t *testing.T, c *exactness.Collector) {
	t.Helper()
	require.Zero(t, c.Stop().ExitCode())
	require.NotContains(t, c.Log(), "panic")
}

// TestCaptureStorm opens and closes connections as fast as it can, half of them by a reset.
func TestCaptureStorm(t *testing.T) {
	c, tr := captureStart(t, exactness.Options{})
	before := c.RequireConserved(t)
	said := tr.Do(t, captureWithin(), nil, "storm", "-http", tr.HTTP, "-connections", shortOrLong(5000, 100_000))
	require.Zero(t, said["failed"])
	after := captureWell(t, c, tr)
	// Each end of each connection was seen, or its event was lost and counted.
	opened := after.Values[exactness.Metric("connections_opened")] - before.Values[exactness.Metric("connections_opened")]
	require.GreaterOrEqual(t, opened+after.Lost, float64(2*said["opened"]))
	require.GreaterOrEqual(t, after.Stages["exchanges"].In-before.Stages["exchanges"].In+after.Lost, float64(2*said["asked"]))
	t.Logf("storm: %v; ends of connections seen: %.0f, events lost: %.0f", said, opened, after.Lost)
	captureEnd(t, c)
}

// TestCaptureSlowloris sends heads byte by byte on many connections: each byte a packet, and no head that ends.
func TestCaptureSlowloris(t *testing.T) {
	c, tr := captureStart(t, exactness.Options{})
	said := tr.Do(t, captureWithin(), nil, "slow", "-http", tr.HTTP, "-connections", shortOrLong(200, 5000), "-bytes", shortOrLong(200, 400))
	after := captureWell(t, c, tr)
	require.GreaterOrEqual(t, after.Stages["capture"].In+after.Lost, float64(2*said["bytes"]))
	t.Logf("slowloris: %v", said)
	captureEnd(t, c)
}

// TestCaptureCgroups makes and removes cgroups below the one that is watched, each with a process in a network namespace
// of its own that talks, and moves processes between them.
func TestCaptureCgroups(t *testing.T) {
	c, tr := captureStart(t, exactness.Options{})
	talk := []byte(`{"name":"in a namespace","says":[{"client":true,"data":"R0VUIC9jZ3JvdXAgSFRUUC8xLjENCkhvc3Q6IGENCg0K"},{"client":false,"data":"SFRUUC8xLjEgMjAwIE9LDQpDb250ZW50LUxlbmd0aDogMg0KDQpvaw=="}]}`)
	before := c.RequireConserved(t)
	var count int
	_, err := fmt.Sscan(shortOrLong(100, 1000), &count)
	require.NoError(t, err)
	in := filepath.Join(t.TempDir(), "talk")
	require.NoError(t, os.WriteFile(in, talk, 0o600))
	script := `set -e
up="$1"; load="$2"; in="$3"; count="$4"
for i in $(seq "$count"); do
  mkdir -p "$up/a$i/b"
  # One process: it moves into the new cgroup, and on into the other when it has talked.
  sh -c 'echo $$ >"$1/cgroup.procs"; exec unshare -n sh -c "ip link set lo up; $2 play <$3 >/dev/null; echo \$\$ >$4/cgroup.procs; $2 play <$3 >/dev/null"' - "$up/a$i/b" "$load" "$in" "$up/a$i"
  rmdir "$up/a$i/b" "$up/a$i" 2>/dev/null || { sleep 0.05; rmdir "$up/a$i/b" "$up/a$i"; }
done`
	c.Cgroup.Run(t, captureWithin(), nil, "sh", "-c", script, "-", c.Cgroup.Path, tr.Program(), in, fmt.Sprint(count))
	after := captureWell(t, c, tr)
	require.GreaterOrEqual(t, after.Stages["exchanges"].In-before.Stages["exchanges"].In+after.Lost, float64(2*2*count), "both ends of two exchanges in each")
	captureEnd(t, c)
}
