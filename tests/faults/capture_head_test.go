// SPDX-License-Identifier: Apache-2.0

//go:build linux

package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/tests/exactness"
)

// TestCaptureEndlessHead sends heads that do not end, of many lines and of one, and looks while they are open: what is kept of each is at
// most what the parser may keep of a head, the rest is counted as given up, and the process has grown by no part of what was sent.
func TestCaptureEndlessHead(t *testing.T) {
	c, tr := captureStart(t, exactness.Options{})
	before := captureRSS(t, c)
	var size int64
	_, err := fmt.Sscan(shortOrLong(128<<20, 1<<30), &size)
	require.NoError(t, err)
	for _, kind := range []string{"-one-line=false", "-one-line=true"} {
		written, end := captureHead(t, tr, kind, size)
		require.Greater(t, written, size-1<<20)
		tr.Quiet(t, c) // its bytes have been read, as the engine takes events in their order
		open := c.RequireConserved(t)
		held := open.Stages["http1"].InFlight + open.Stages["protocol"].InFlight
		require.LessOrEqual(t, held, float64(4*64<<10), "bytes kept of a head that is open, at both ends")
		end()
	}
	peak := captureRSS(t, c)
	after := captureWell(t, c, tr)
	require.NotZero(t, after.Stages["http1"].Dropped["too_large"]+after.Stages["http1"].Dropped["resync"], "what is given up of a head that is too large is counted")
	require.LessOrEqual(t, c.Number(t, "SELECT count() FROM qpoint.requests WHERE path = '/head'"), uint64(4), "one at each end of each, cut short")
	// The ring may come to be resident (64 MiB), and garbage as much again as what lives. Both ends' bytes, kept, would be four times size.
	require.Less(t, peak-before, 2*size)
	t.Logf("resident memory before: %d MiB, at most: %d MiB; events lost: %.0f", before>>20, peak>>20, after.Lost)
	captureEnd(t, c)
}

// captureHead sends a head. The connection stays open until end is called.
func captureHead(t *testing.T, tr *exactness.Traffic, kind string, size int64) (written int64, end func()) {
	t.Helper()
	cmd := tr.Cgroup.Command(context.Background(), tr.Program(), "head", kind, "-bytes", fmt.Sprint(size))
	stdin, err := cmd.StdinPipe() // its life
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	ended := false
	t.Cleanup(func() {
		if !ended {
			_ = stdin.Close()
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	require.NoError(t, err)
	var said map[string]int64
	require.NoError(t, json.Unmarshal(line, &said))
	return said["written"], func() {
		ended = true
		require.NoError(t, stdin.Close())
		require.NoError(t, cmd.Wait())
	}
}

// captureRSS is the most memory that was resident of the collector so far, in bytes, without its child's.
func captureRSS(t *testing.T, c *exactness.Collector) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Cmd.Process.Pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			var kib int64
			_, err := fmt.Sscan(rest, &kib)
			require.NoError(t, err)
			return kib << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
