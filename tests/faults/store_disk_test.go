// SPDX-License-Identifier: Apache-2.0

//go:build linux

package faults

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// disk mounts a small file system of its own on a folder; it goes with the test.
func disk(t *testing.T, dir string, kib int) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, unix.Mount("faults", dir, "tmpfs", 0, "mode=0700,size="+strconv.Itoa(kib)+"k"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
}

// TestQueueDiskFull fills the disk under the queues while the stores are away, to its last page. What does not fit is refused and counted, and
// all that was taken is stored, whatever comes first: space, the stores, or the end of the collector.
func TestQueueDiskFull(t *testing.T) {
	far := startStores(t)
	for _, first := range []string{"space", "stores", "a kill"} {
		t.Run(first+" first", func(t *testing.T) {
			bucket, clickhouse, h := lines(t, far)
			disk(t, h.queue, 2048)
			c := h.start()
			bucket.down()
			clickhouse.down()
			require.Eventually(t, func() bool {
				h.send(20)
				return strings.Contains(c.log.String(), "no space left on device") &&
					c.total(t, "otelcol_exporter_enqueue_failed_spans", "exporter", "pulse") > 0 &&
					c.total(t, "otelcol_exporter_enqueue_failed_log_records", "exporter", "qpoint_s3") > 0
			}, patience, 50*time.Millisecond, "the disk is never full")
			h.endure()
			refused := h.refused(c)
			before := h.sent
			space := func() {
				require.NoError(t, unix.Mount("faults", h.queue, "tmpfs", unix.MS_REMOUNT, "mode=0700,size=65536k"))
			}
			stores := func() {
				bucket.up(bucket.pass)
				clickhouse.up(clickhouse.pass)
			}
			switch first {
			case "space":
				space()
				h.send(20) // what comes now is taken
				h.taken(c, 0, refused)
				stores()
			case "stores":
				stores()
				h.rows(far, refused)
				space() // payloads may wait for it: their receipts need some
			case "a kill":
				c.kill(t)
				c = h.start()
				stores()
				h.rows(far, refused)
				space()
			}
			h.whole(far, refused)
			h.idle(c)
			h.send(20)
			h.whole(far, refused)
			if first != "a kill" {
				h.books(c, missing{})
			}
			t.Logf("%d ids sent until the disk was full, refused: %+v", before, refused)
		})
	}
}

// rows waits until ClickHouse has what was sent, except what is missing.
func (h *host) rows(far *stores, less missing) {
	h.t.Helper()
	require.EventuallyWithT(h.t, func(col *assert.CollectT) {
		rows, err := far.spans(h.environment)
		require.NoError(col, err)
		require.Len(col, rows, 2*h.sent-less.rows)
	}, patience, 200*time.Millisecond)
}

// refused waits until the receiver knows of all that was sent whether it was taken, and returns what was not.
func (h *host) refused(c *collector) missing {
	h.t.Helper()
	require.EventuallyWithT(h.t, func(col *assert.CollectT) {
		for _, stage := range []string{"spans", "payloads"} {
			require.InDelta(col, 2*h.sent, c.total(h.t, "otelcol_receiver_qtap_stage_out", "stage", stage)+c.total(h.t, "otelcol_receiver_qtap_stage_dropped", "stage", stage), 0, stage)
		}
	}, patience, 50*time.Millisecond)
	return missing{
		int(c.total(h.t, "otelcol_receiver_qtap_stage_dropped", "stage", "spans")),
		int(c.total(h.t, "otelcol_receiver_qtap_stage_dropped", "stage", "payloads")),
	}
}

// TestStoreDiskFull fills the disk of the embedded ClickHouse and of the local bucket. Both refuse for a while, and have
// everything when there is space again.
func TestStoreDiskFull(t *testing.T) {
	data := t.TempDir()
	disk(t, data, 256<<10)
	// The S3 server keeps what it knows of objects in attributes of their files.
	require.NoError(t, unix.Setxattr(data, "user.faults", []byte("1"), 0), "a tmpfs with attributes of users is needed: Linux 6.6 or newer")
	far := startStoresIn(t, data)
	_, _, h := lines(t, far)
	c := h.start()
	h.send(20)
	h.whole(far, missing{})

	// A file takes what is left, to the last block.
	ballast := filepath.Join(data, "ballast")
	fill := func() {
		f, err := os.OpenFile(ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		require.NoError(t, err)
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		require.ErrorIs(t, err, unix.ENOSPC)
		require.NoError(t, f.Close())
	}
	failures := func() (float64, int) {
		log := c.log.String()
		return c.total(t, "otelcol_exporter_qpoint_s3_failures"), strings.Count(log, "ClickHouse did not take rows") + strings.Count(log, "ClickHouse has too much to do or no room")
	}
	require.Eventually(t, func() bool {
		fill() // what merges gave back is taken, too
		h.send(10)
		puts, inserts := failures()
		return puts > 0 && inserts > 0
	}, patience, 100*time.Millisecond, "the stores never refuse")
	h.endure()
	h.taken(c, 0, missing{})
	require.NoError(t, os.Remove(ballast))
	h.send(10)
	h.whole(far, missing{})
	h.books(c, missing{})
}
