// SPDX-License-Identifier: Apache-2.0

//go:build linux

package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestQueueFull fills queues while the stores are away. By default what comes last is refused and counted; with
// `block_on_overflow` it waits in the receiver.
func TestQueueFull(t *testing.T) {
	far := startStores(t)
	const small = "exporters::pulse::sending_queue: {storage: null, sizer: items, queue_size: 1000, batch: {min_size: 100, max_size: 200}}"
	t.Run("the newest is refused", func(t *testing.T) {
		bucket, clickhouse, h := lines(t, far, small, "connectors::qpoint_s3::sending_queue: {storage: null, sizer: requests, queue_size: 5}")
		c := h.start()
		bucket.down()
		clickhouse.down()
		require.Eventually(t, func() bool {
			h.send(10)
			return c.total(t, "otelcol_exporter_enqueue_failed_spans", "exporter", "pulse") > 0 &&
				c.total(t, "otelcol_exporter_enqueue_failed_log_records", "exporter", "qpoint_s3") > 0
		}, patience, 50*time.Millisecond, "the queues are never full")
		h.endure()
		// The receiver knows what was refused.
		require.EventuallyWithT(t, func(col *assert.CollectT) {
			require.InDelta(col, 2*h.sent, c.total(t, "otelcol_receiver_qtap_stage_out", "stage", "spans")+c.total(t, "otelcol_receiver_qtap_stage_dropped", "stage", "spans", "reason", "refused"), 0)
			require.InDelta(col, 2*h.sent, c.total(t, "otelcol_receiver_qtap_stage_out", "stage", "payloads")+c.total(t, "otelcol_receiver_qtap_stage_dropped", "stage", "payloads", "reason", "refused"), 0)
		}, patience, 50*time.Millisecond)
		refused := missing{
			int(c.total(t, "otelcol_receiver_qtap_stage_dropped", "stage", "spans")),
			int(c.total(t, "otelcol_receiver_qtap_stage_dropped", "stage", "payloads")),
		}
		require.InDelta(t, refused.rows, c.total(t, "otelcol_exporter_enqueue_failed_spans", "exporter", "pulse"), 0)
		require.InDelta(t, refused.payloads, c.total(t, "otelcol_exporter_enqueue_failed_log_records", "exporter", "qpoint_s3"), 0)
		bucket.up(bucket.pass)
		clickhouse.up(clickhouse.pass)
		h.whole(far, refused)
		h.books(c, missing{})
		h.send(10)
		h.whole(far, refused)
		t.Logf("%d ids sent, refused: %+v", h.sent, refused)
	})
	t.Run("the sender waits", func(t *testing.T) {
		_, clickhouse, h := lines(t, far, strings.Replace(small, "queue_size", "block_on_overflow: true, queue_size", 1))
		c := h.start()
		clickhouse.down()
		require.Eventually(t, func() bool {
			h.send(100)
			return 2*h.sent > 1000 && c.total(t, "otelcol_receiver_qtap_stage_in_flight", "stage", "spans") > 0
		}, patience, 200*time.Millisecond, "nothing waits in the receiver")
		h.endure()
		clickhouse.up(clickhouse.pass)
		// The receiver has room for 64 batches, and counts what it has no room for.
		require.EventuallyWithT(t, func(col *assert.CollectT) {
			for _, stage := range []string{"spans", "payloads"} {
				require.InDelta(col, 2*h.sent, c.total(t, "otelcol_receiver_qtap_stage_out", "stage", stage)+c.total(t, "otelcol_receiver_qtap_stage_dropped", "stage", stage, "reason", "queue_full"), 0, stage)
			}
		}, patience, 50*time.Millisecond)
		require.Zero(t, c.total(t, "otelcol_exporter_enqueue_failed_spans", "exporter", "pulse"))
		lost := missing{int(c.total(t, "otelcol_receiver_qtap_stage_dropped", "stage", "spans")), int(c.total(t, "otelcol_receiver_qtap_stage_dropped", "stage", "payloads"))}
		h.whole(far, lost)
		h.books(c, missing{})
		t.Logf("%d ids sent, dropped: %+v", h.sent, lost)
	})
}
