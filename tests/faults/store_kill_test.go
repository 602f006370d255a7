// SPDX-License-Identifier: Apache-2.0

//go:build linux

package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lines returns working lines to both stores, and a host whose collector uses them.
func lines(t *testing.T, far *stores, overlays ...string) (bucket, clickhouse *line, h *host) {
	t.Helper()
	bucket, clickhouse = newLine(t, far.dialS3), newLine(t, far.dialClickHouse)
	return bucket, clickhouse, newHost(t, far, "http://"+clickhouse.addr(), "http://"+bucket.addr(), overlays...)
}

// TestKilled kills the collector with SIGKILL, with a full queue and then again and again in the middle of pushes: what its
// queue had taken is in both stores, once.
func TestKilled(t *testing.T) {
	far := startStores(t)
	t.Run("with a full queue", func(t *testing.T) {
		bucket, clickhouse, h := lines(t, far)
		c := h.start()
		bucket.down()
		clickhouse.down()
		h.send(100)
		h.taken(c, 0, missing{})
		c.kill(t)
		h.launch().kill(t) // and once more, before it can do anything
		bucket.up(bucket.pass)
		clickhouse.up(clickhouse.pass)
		c = h.start()
		h.whole(far, missing{})
		h.idle(c)
	})
	t.Run("between work and answer", func(t *testing.T) {
		bucket, clickhouse, h := lines(t, far)
		c := h.start()
		// Both stores do what they are asked to, and the collector never hears of it.
		bucket.up(bucket.slow("PUT "))
		clickhouse.up(clickhouse.slow("INSERT"))
		h.send(50)
		h.taken(c, 0, missing{})
		require.Eventually(t, func() bool { return bucket.met.Load() > 0 && clickhouse.met.Load() > 0 }, patience, 20*time.Millisecond)
		require.Eventually(t, func() bool {
			rows, err := far.spans(h.environment)
			require.NoError(t, err)
			stored, err := far.payloads(t.Context(), h.environment)
			require.NoError(t, err)
			return len(rows) > 0 && len(stored) > 0
		}, patience, 50*time.Millisecond, "the stores did nothing")
		require.Zero(t, c.total(t, "otelcol_exporter_sent_spans", "exporter", "pulse"))
		c.kill(t)
		bucket.up(bucket.pass)
		clickhouse.up(clickhouse.pass)
		c = h.start()
		h.whole(far, missing{})
		h.idle(c)
		require.Positive(t, c.total(t, "otelcol_exporter_qpoint_s3_duplicates"), "what was in the bucket already was recognised")
	})
	t.Run("under load", func(t *testing.T) {
		_, _, h := lines(t, far)
		var wg sync.WaitGroup
		defer wg.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		const most = 1_000_000
		h.sent = most
		wg.Go(func() { // until it is told to stop
			cmd := h.cgroup.Command(ctx, "curl", "-sS", "-o", "/dev/null", "--rate", "200/s", fmt.Sprintf("http://127.0.0.1:%d/id/[1-%d]", h.server, most))
			_ = cmd.Run()
		})
		var spans, payloads float64 // that the queues of all lives had taken, when they were last asked
		for range 3 {
			c := h.start()
			require.Eventually(t, func() bool {
				return c.total(t, "otelcol_exporter_pulse_rows", "table", "requests") > 50 && c.total(t, "otelcol_exporter_qpoint_s3_entries") > 50
			}, patience, 10*time.Millisecond)
			spans += c.total(t, "otelcol_receiver_qtap_stage_out", "stage", "spans")
			payloads += c.total(t, "otelcol_receiver_qtap_stage_out", "stage", "payloads")
			c.kill(t)
		}
		cancel()
		wg.Wait()
		c := h.start()
		var rows map[string]int
		var stored []payload
		require.EventuallyWithT(t, func(col *assert.CollectT) {
			require.Zero(col, c.total(t, "otelcol_exporter_queue_size"))
			var err error
			rows, err = far.spans(h.environment)
			require.NoError(col, err)
			require.GreaterOrEqual(col, float64(len(rows)), spans)
			stored, err = far.payloads(t.Context(), h.environment)
			require.NoError(col, err)
			require.GreaterOrEqual(col, float64(len(stored)), payloads)
		}, patience, 200*time.Millisecond)
		h.distinct(rows, stored)
		t.Logf("at least %.0f spans and %.0f payloads were taken, and %d and %d are stored", spans, payloads, len(rows), len(stored))
	})
}

// child returns the process of the embedded ClickHouse.
func (s *stores) child(t *testing.T) *os.Process {
	t.Helper()
	pid := strconv.Itoa(s.cmd.Process.Pid)
	text, err := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
	require.NoError(t, err)
	tasks, err := os.ReadDir(filepath.Join("/proc", pid, "task"))
	require.NoError(t, err)
	for _, task := range tasks { // a child is listed under the thread that made it
		more, err := os.ReadFile(filepath.Join("/proc", pid, "task", task.Name(), "children"))
		if err == nil {
			text = append(append(text, ' '), more...)
		}
	}
	for _, id := range strings.Fields(string(text)) {
		name, err := os.ReadFile(filepath.Join("/proc", id, "cmdline"))
		if err == nil && strings.HasPrefix(string(name), "otelcol-local-clickhouse") {
			n, err := strconv.Atoi(id)
			require.NoError(t, err)
			process, err := os.FindProcess(n)
			require.NoError(t, err)
			return process
		}
	}
	t.Fatal("the embedded ClickHouse has no process")
	return nil
}

// TestEngineKilled kills the embedded ClickHouse when it has a part of an insert, and when it has done one but not said so.
// It comes back by itself, and has every row once.
func TestEngineKilled(t *testing.T) {
	far := startStores(t)
	_, clickhouse, h := lines(t, far)
	c := h.start()
	h.send(20)
	h.whole(far, missing{})

	var once sync.Once
	clickhouse.up(clickhouse.cut(2500, func() { once.Do(func() { _ = far.child(t).Kill() }) }))
	h.send(50)
	require.Eventually(t, func() bool { return clickhouse.met.Load() > 0 }, patience, 20*time.Millisecond, "no insert was under way")
	clickhouse.up(clickhouse.pass)
	h.whole(far, missing{})

	clickhouse.up(clickhouse.slow("INSERT"))
	h.send(50)
	require.Eventually(t, func() bool {
		rows, err := far.spans(h.environment)
		return err == nil && len(rows) > 2*70
	}, patience, 20*time.Millisecond, "no insert was done")
	require.NoError(t, far.child(t).Kill())
	clickhouse.up(clickhouse.pass)
	h.whole(far, missing{})
	h.books(c, missing{})
	require.Contains(t, far.log.String(), "clickhouse runs again")
}
