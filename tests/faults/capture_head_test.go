// SPDX-License-Identifier: Apache-2.0

//go:build linux

package faults

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/tests/exactness"
)

// TestCaptureEndlessHead sends heads that do not end, of many lines and of one: what is held is bounded, the rest is
// counted, and nothing is made of it.
func TestCaptureEndlessHead(t *testing.T) {
	c, tr := captureStart(t, exactness.Options{})
	for _, kind := range []string{"-one-line=false", "-one-line=true"} {
		tr.Do(t, captureWithin(), nil, "head", kind, "-bytes", shortOrLong(32<<20, 1<<30))
	}
	peak := captureRSS(t, c)
	after := captureWell(t, c, tr)
	require.NotZero(t, after.Stages["http1"].Dropped["too_large"]+after.Stages["http1"].Dropped["resync"], "what is given up of a head that is too large is counted")
	// 64 MiB in short, 2 GiB in long: it is not kept. Ten times what it has in peace would be.
	require.Less(t, peak, int64(1<<30))
	t.Logf("collector's resident memory afterwards: %d MiB", peak>>20)
	captureEnd(t, c)
}

// captureRSS is the collector's resident memory in bytes, without its child's.
func captureRSS(t *testing.T, c *exactness.Collector) int64 {
	t.Helper()
	return captureStatus(t, c, "VmHWM:")
}

// captureStatus is a line of /proc/<pid>/status in bytes.
func captureStatus(t *testing.T, c *exactness.Collector, name string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Cmd.Process.Pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			var kib int64
			_, err := fmt.Sscan(rest, &kib)
			require.NoError(t, err)
			return kib << 10
		}
	}
	t.Fatalf("no %s", name)
	return 0
}
