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

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
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

// captureRecords returns, for each connection of a process whose end has been reported, the bytes that it sent.
func captureRecords(t *testing.T, c *exactness.Collector, pid int64) (sent []uint64) {
	t.Helper()
	c.Query(t, fmt.Sprintf("SELECT max(sent_bytes) FROM qpoint.connections WHERE pid = %d GROUP BY connection_id, start, local_port", pid), func(rows driver.Rows) error {
		var n uint64
		err := rows.Scan(&n)
		sent = append(sent, n)
		return err
	})
	return sent
}

// TestCaptureStorm opens and closes connections as fast as it can, half of them by a reset.
func TestCaptureStorm(t *testing.T) {
	c, tr := captureStart(t, exactness.Options{})
	said := tr.Do(t, captureWithin(), nil, "storm", "-http", tr.HTTP, "-connections", shortOrLong(5000, 100_000))
	require.Zero(t, said["failed"])
	after := captureWell(t, c, tr)
	// The storm's own: each connection has its record, and each request its spans, or their events were lost and counted.
	records := captureRecords(t, c, said["pid"])
	require.GreaterOrEqual(t, float64(len(records))+after.Lost, float64(said["opened"]))
	require.LessOrEqual(t, int64(len(records)), said["opened"])
	asked := c.Number(t, "SELECT count() FROM qpoint.requests WHERE path = '/storm'")
	require.GreaterOrEqual(t, float64(asked)+after.Lost, float64(2*said["asked"]))
	require.LessOrEqual(t, int64(asked), 2*said["asked"])
	t.Logf("storm: %v; records of the client: %d, spans: %d, events lost: %.0f", said, len(records), asked, after.Lost)
	captureEnd(t, c)
}

// TestCaptureSlowloris sends heads byte by byte on many connections: each byte a packet, and no head that ends.
func TestCaptureSlowloris(t *testing.T) {
	c, tr := captureStart(t, exactness.Options{})
	said := tr.Do(t, captureWithin(), nil, "slow", "-http", tr.HTTP, "-connections", shortOrLong(200, 5000), "-bytes", shortOrLong(200, 400))
	after := captureWell(t, c, tr)
	records := captureRecords(t, c, said["pid"])
	require.GreaterOrEqual(t, float64(len(records))+after.Lost, float64(said["connections"]))
	var bytes uint64
	for _, sent := range records {
		bytes += sent
	}
	if after.Lost == 0 {
		require.EqualValues(t, said["bytes"], bytes)
		require.Len(t, records, int(said["connections"]))
	}
	// What there was of each head when its connection was closed, at both ends.
	cut := c.Number(t, "SELECT count() FROM qpoint.requests WHERE path = '/slow'")
	require.LessOrEqual(t, cut, uint64(2*said["connections"]))
	require.GreaterOrEqual(t, float64(cut)+after.Lost, float64(2*said["connections"]))
	t.Logf("slowloris: %v; records of the client: %d, with %d bytes, events lost: %.0f", said, len(records), bytes, after.Lost)
	captureEnd(t, c)
}

// TestCaptureCgroups makes and removes cgroups below the one that is watched, each with a process in a network namespace
// of its own that talks, and moves processes between them.
func TestCaptureCgroups(t *testing.T) {
	c, tr := captureStart(t, exactness.Options{})
	talk := []byte(`{"name":"in a namespace","says":[{"client":true,"data":"R0VUIC9jZ3JvdXAgSFRUUC8xLjENCkhvc3Q6IGENCg0K"},{"client":false,"data":"SFRUUC8xLjEgMjAwIE9LDQpDb250ZW50LUxlbmd0aDogMg0KDQpvaw=="}]}`)
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
  # The kernel lets go of a cgroup a moment after its last process was reaped.
  for d in "$up/a$i/b" "$up/a$i"; do until rmdir "$d" 2>/dev/null; do sleep 0.01; done; done
done`
	c.Cgroup.Run(t, captureWithin(), nil, "sh", "-c", script, "-", c.Cgroup.Path, tr.Program(), in, fmt.Sprint(count))
	after := captureWell(t, c, tr)
	seen := c.Number(t, "SELECT count() FROM qpoint.requests WHERE path = '/cgroup'")
	require.GreaterOrEqual(t, float64(seen)+after.Lost, float64(2*2*count), "both ends of two exchanges in each")
	require.LessOrEqual(t, seen, uint64(2*2*count))
	t.Logf("cgroups: %d, spans: %d, events lost: %.0f", count, seen, after.Lost)
	captureEnd(t, c)
}
