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

// TestQueueDiskFull fills the disk under the queues while the stores are away. What does not fit is refused and counted, and
// what was taken is stored when there is space again and the stores are back. In that order, and with queues that are not read
// while the disk is full: README.md says what is lost of those that are.
func TestQueueDiskFull(t *testing.T) {
	far := startStores(t)
	bucket, clickhouse, h := lines(t, far, "exporters::pulse::sending_queue: {batch: null, num_consumers: 1}", "connectors::qpoint_s3::sending_queue::num_consumers: 1")
	disk(t, h.queue, 2048)
	c := h.start()
	bucket.down()
	clickhouse.down()
	h.send(10)
	// The one consumer of each queue has something that it cannot send, and reads no more.
	for _, who := range []string{`"pulse", "otelcol.component.kind": "exporter", "otelcol.signal": "traces"`, `"qpoint_s3"`} {
		require.Eventually(t, func() bool {
			for line := range strings.Lines(c.log.String()) {
				if strings.Contains(line, "Will retry") && strings.Contains(line, `"otelcol.component.id": `+who) {
					return true
				}
			}
			return false
		}, patience, 20*time.Millisecond, "%s", who)
	}
	require.Eventually(t, func() bool {
		h.send(20)
		return strings.Contains(c.log.String(), "no space left on device") &&
			c.total(t, "otelcol_exporter_enqueue_failed_spans", "exporter", "pulse") > 0 &&
			c.total(t, "otelcol_exporter_enqueue_failed_log_records", "exporter", "qpoint_s3") > 0
	}, patience, 50*time.Millisecond, "the disk is never full")
	h.endure()
	require.EventuallyWithT(t, func(col *assert.CollectT) {
		for _, stage := range []string{"spans", "payloads"} {
			require.InDelta(col, 2*h.sent, c.total(t, "otelcol_receiver_qtap_stage_out", "stage", stage)+c.total(t, "otelcol_receiver_qtap_stage_dropped", "stage", stage), 0, stage)
		}
	}, patience, 50*time.Millisecond)
	refused := missing{
		int(c.total(t, "otelcol_receiver_qtap_stage_dropped", "stage", "spans")),
		int(c.total(t, "otelcol_receiver_qtap_stage_dropped", "stage", "payloads")),
	}
	require.NoError(t, unix.Mount("faults", h.queue, "tmpfs", unix.MS_REMOUNT, "mode=0700,size=65536k"))
	h.send(20) // what comes now is taken
	h.taken(c, 0, refused)
	bucket.up(bucket.pass)
	clickhouse.up(clickhouse.pass)
	h.whole(far, refused)
	h.send(20)
	h.whole(far, refused)
	h.books(c, missing{})
	t.Logf("%d ids sent, refused: %+v", h.sent, refused)
}

// TestStoreDiskFull fills the disk of the embedded ClickHouse and of the local bucket. Both refuse for a while, and have
// everything when there is space again.
func TestStoreDiskFull(t *testing.T) {
	data := t.TempDir()
	disk(t, data, 256<<10)
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
