// SPDX-License-Identifier: Apache-2.0

//go:build linux

package faults

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestStoppedWhileStoresAreAway stops the collector as a user does, while neither store can be reached. It says "Dropping
// data" of what it could not send, but its queue has it, and the next start sends it.
func TestStoppedWhileStoresAreAway(t *testing.T) {
	far := startStores(t)
	bucket, clickhouse, h := lines(t, far)
	bucket.down()
	clickhouse.down()
	for range 5 { // components are stopped in an order that differs from time to time
		c := h.start()
		before := h.sent
		h.send(20)
		h.taken(c, before, missing{})
		require.Zero(t, c.stop(), "%s", &c.log)
		for _, refusal := range []string{"Rejecting data", "not open", "queue is stopped"} {
			require.NotContains(t, c.log.String(), refusal, "something came after its queue was closed")
		}
	}
	bucket.up(bucket.pass)
	clickhouse.up(clickhouse.pass)
	c := h.start()
	h.whole(far, missing{})
	h.idle(c)
}
