// SPDX-License-Identifier: Apache-2.0

//go:build linux

package localclickhouseextension

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// statusOf reads a field of /proc/<pid>/status; 0 when the process is gone.
func statusOf(pid int, field string) (n int) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			_, _ = fmt.Sscan(rest, &n)
		}
	}
	return n
}

// TestWritersAndDashboards has several write and several ask while the engine's process is killed three times: every row
// is there once, the sums are off by no more than the pushes that the kills hit, and the process stays within what it was given.
func TestWritersAndDashboards(t *testing.T) {
	const writers, pushes, perPush, dashboards, kills = 3, 12, 2000, 3, 3
	e := newTestExtension(t, t.TempDir())
	e.cfg.MaxMemoryMiB = minMemoryMiB
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	require.NoError(t, e.Start(ctx, componenttest.NewNopHost()))
	store := func() *pulsestore.Store {
		s, err := pulsestore.Open(e.ClickHouseOptions(), pulsestore.DefaultDatabase)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, s.Close()) })
		return s
	}
	require.NoError(t, store().Migrate(ctx, pulsestore.SchemaOptions{}))

	var pushed, asked, failed, memory, threads atomic.Int64
	var writing, asking sync.WaitGroup
	for w := range writers {
		s := store()
		writing.Go(func() {
			for push := range pushes {
				rows := pulsestore.NewRows()
				for i := range perPush {
					r := pulsestore.Request{Time: time.Now().UTC(), Kind: "client", Method: "GET", ServerAddress: fmt.Sprint("s", i%50), Template: fmt.Sprint("/", i%20), Duration: time.Duration(i)}
					binary.BigEndian.PutUint64(r.TraceID[:], uint64(w)<<40|uint64(push)<<20|uint64(i))
					binary.BigEndian.PutUint64(r.SpanID[:], uint64(w)<<40|uint64(push)<<20|uint64(i)|1<<60)
					rows.AddRequest(&r)
				}
				for s.Insert(ctx, rows) != nil && ctx.Err() == nil { // as the exporter does: the same rows again
					failed.Add(1)
					time.Sleep(50 * time.Millisecond)
				}
				pushed.Add(perPush)
			}
		})
	}
	done := make(chan struct{})
	for range dashboards {
		conn := open(t, e)
		asking.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				var n uint64
				if conn.QueryRow(ctx, "SELECT sum(requests) FROM qpoint.requests_1m WHERE time > now() - 3600").Scan(&n) == nil &&
					conn.QueryRow(ctx, "SELECT uniq(server_address) FROM qpoint.requests FINAL").Scan(&n) == nil {
					asked.Add(1)
				}
				pid := childPID(t, e)
				memory.Store(max(memory.Load(), int64(statusOf(pid, "RssAnon"))))
				threads.Store(max(threads.Load(), int64(statusOf(pid, "Threads"))))
			}
		})
	}
	for kill := range kills {
		for pushed.Load() < int64((kill+1)*writers*pushes*perPush/(kills+1)) && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		if pid := childPID(t, e); pid > 0 {
			require.NoError(t, unix.Kill(pid, unix.SIGKILL))
			assert.Eventually(t, func() bool { now := childPID(t, e); return now > 0 && now != pid }, testkit.Patience, 10*time.Millisecond)
		}
	}
	writing.Wait()
	close(done)
	asking.Wait()
	require.NoError(t, ctx.Err())
	const want = writers * pushes * perPush
	conn := open(t, e)
	ask := func(question string) (n uint64) {
		require.NoError(t, conn.QueryRow(ctx, question).Scan(&n))
		return n
	}
	for _, question := range []string{"SELECT count() FROM qpoint.requests", "SELECT count() FROM qpoint.requests FINAL"} {
		assert.EqualValues(t, want, ask(question), question)
	}
	// The engine remembers a push for each table and each view by itself, and a kill may come between what it remembers and what
	// it has stored: a view then takes the retry for a duplicate and misses the push, or counts it again. Each writer has
	// one push in flight at a kill.
	for _, sums := range []string{"requests_1m", "requests_1h", "processes_1m", "processes_1h"} {
		assert.InDelta(t, want, ask("SELECT sum(requests) FROM qpoint."+sums), kills*writers*perPush, sums)
	}
	t.Logf("%d answers, %d pushes failed and were made again, at most %d MiB of its own and %d threads", asked.Load(), failed.Load(), memory.Load()>>10, threads.Load())
	assert.Positive(t, asked.Load())
	assert.Less(t, memory.Load()>>10, int64(minMemoryMiB+256), "MiB")
	assert.Less(t, threads.Load(), int64(64+32*2+64))
}
