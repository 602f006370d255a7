// SPDX-License-Identifier: Apache-2.0

//go:build linux

package faults

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A file of file_storage is a bbolt database: two copies of its head, of which that with the higher transaction counts.
const (
	boltPage = 4096
	boltTxid = 16 + 48 // in a head: behind the page's header, magic, version, page size, flags, root, freelist and high water mark
)

// TestQueueCorrupted damages the files of the queues while the collector is dead.
func TestQueueCorrupted(t *testing.T) {
	far := startStores(t)
	// filled returns a host whose queues hold all that was sent, and nobody uses them.
	filled := func(t *testing.T) (*host, []string) {
		bucket, clickhouse, h := lines(t, far)
		c := h.start()
		bucket.down()
		clickhouse.down()
		h.send(50)
		h.taken(c, 0, missing{})
		c.kill(t)
		bucket.up(bucket.pass)
		clickhouse.up(clickhouse.pass)
		files, err := filepath.Glob(filepath.Join(h.queue, "*"))
		require.NoError(t, err)
		require.Len(t, files, 3)
		return h, files
	}
	damage := func(t *testing.T, files []string, how func([]byte)) {
		for _, path := range files {
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			how(content)
			require.NoError(t, os.WriteFile(path, content, 0o600))
		}
	}
	t.Run("the older head", func(t *testing.T) {
		h, files := filled(t)
		damage(t, files, func(b []byte) {
			older := 0
			if binary.LittleEndian.Uint64(b[boltPage+boltTxid:]) < binary.LittleEndian.Uint64(b[boltTxid:]) {
				older = boltPage
			}
			clear(b[older : older+boltPage])
		})
		h.start()
		h.whole(far, missing{})
	})
	t.Run("both heads", func(t *testing.T) {
		h, files := filled(t)
		damage(t, files, func(b []byte) { clear(b[:2*boltPage]) })
		c := h.launch()
		require.Eventually(t, c.over, patience, 50*time.Millisecond, "it runs on a queue that it cannot read")
		require.NotZero(t, c.cmd.ProcessState.ExitCode())
		require.Contains(t, c.log.String(), "invalid database")
		// Nothing was changed, so that somebody may look at it. Put aside, it is in nobody's way.
		aside := h.queue + ".damaged"
		require.NoError(t, os.Rename(h.queue, aside))
		lost := missing{2 * h.sent, 2 * h.sent}
		h.start()
		h.send(20)
		h.whole(far, lost)
		left, err := filepath.Glob(filepath.Join(aside, "*"))
		require.NoError(t, err)
		assert.Len(t, left, len(files))
	})
}
