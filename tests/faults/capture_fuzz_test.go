// SPDX-License-Identifier: Apache-2.0

//go:build linux

package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/tests/exactness"
)

// TestCaptureMalformed puts the seeds of every fuzz target that reads what comes from a wire on a wire, and bytes that are made of them:
// between two processes, in both directions, in the clear and inside TLS, each framed as what it is the seed of.
func TestCaptureMalformed(t *testing.T) {
	c, tr := captureStart(t, exactness.Options{})
	all := corpus(t)
	for i, rnd, seeds := 0, rand.New(rand.NewPCG(7, 7)), len(all); i < captureMutations(); i++ {
		for _, seed := range all[:seeds] {
			all = append(all, mutated(rnd, seed, all[rnd.IntN(seeds)], i))
		}
	}
	streams := 0
	var in bytes.Buffer
	for _, conv := range all {
		if !conv.Datagrams {
			streams++
		}
		text, err := json.Marshal(conv)
		require.NoError(t, err)
		in.Write(append(text, '\n'))
	}
	// The first time, what may grow once does: pools, caches, the trees of learned paths.
	var before resources
	for round := range 2 {
		// A network namespace of its own has every port free.
		var said struct {
			Played int `json:"played"`
			Bytes  int `json:"bytes"`
			Client int `json:"client_pid"`
			Server int `json:"server_pid"`
		}
		out := c.Cgroup.Run(t, captureWithin(), in.Bytes(), "unshare", "-n", "sh", "-c", `ip link set lo up && exec "$0" play`, tr.Program())
		require.NoError(t, json.Unmarshal(out, &said))
		require.Equal(t, len(all), said.Played)
		require.True(t, c.Alive())
		tr.Quiet(t, c)
		after := c.RequireConserved(t)
		// Both ends of every connection have their record, or their events were lost and counted.
		records := c.Number(t, fmt.Sprintf("SELECT uniqExact(pid, connection_id, start, local_port) FROM qpoint.connections WHERE pid IN (%d, %d)", said.Client, said.Server))
		require.GreaterOrEqual(t, float64(records)+after.Lost, float64(2*streams))
		require.Zero(t, after.Values["otelcol_exporter_pulse_refused"], "what is made of it can be stored")
		requireNothingInFlight(t, c)
		if round == 0 {
			before = captureResources(t, c)
			t.Logf("%d conversations, %d of them streams, %d bytes: %d records of ends; %+v", said.Played, streams, said.Bytes, records, before)
			continue
		}
		// What stays of every connection would be as many as there were. Looking opens a connection itself, and programs of the host that come
		// and go are watched by file descriptors.
		require.EventuallyWithT(t, func(col *assert.CollectT) {
			now := captureResources(t, c)
			assert.Less(col, now.connections, before.connections+streams/2)
			assert.Less(col, now.files, before.files+streams/2)
			assert.Less(col, now.heap, before.heap+64<<20)
		}, exactness.Patience, time.Second)
	}
	captureWell(t, c, tr)
	require.NotContains(t, c.Log(), "has failed")
	captureEnd(t, c)
}

// captureMutations is how many conversations are made of each seed's.
func captureMutations() int {
	if *captureLong {
		return 20
	}
	return 1
}

// resources are what the collector holds.
type resources struct {
	connections, files int
	heap               int64 // bytes, with what is not collected yet
}

func captureResources(t *testing.T, c *exactness.Collector) resources {
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.Cmd.Process.Pid))
	require.NoError(t, err)
	b := c.Books(t)
	return resources{int(b.Values[exactness.Metric("connections")]), len(files), int64(b.Values["otelcol_process_runtime_heap_alloc_bytes"])}
}

// requireNothingInFlight waits until no stage holds anything: all connections are closed, and what was begun is given up.
func requireNothingInFlight(t *testing.T, c *exactness.Collector) {
	t.Helper()
	require.EventuallyWithT(t, func(col *assert.CollectT) {
		for name, s := range c.Books(t).Stages {
			assert.Zero(col, s.InFlight, "stage %s", name)
		}
	}, exactness.Patience, 100*time.Millisecond)
}
