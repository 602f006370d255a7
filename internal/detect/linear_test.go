// SPDX-License-Identifier: Apache-2.0

//go:build linux

package detect

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestScanIsLinear makes hostile inputs 16 times as long, which takes a quadratic detector 256 times as long. It counts the
// CPU time of its own thread: the machine may be busy.
func TestScanIsLinear(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now := func() time.Duration {
		var ts unix.Timespec
		require.NoError(t, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts))
		return time.Duration(ts.Nano())
	}
	for _, unit := range hostile {
		measure := func(size int) time.Duration {
			b := []byte(strings.Repeat(unit, size/len(unit)))
			best := time.Hour
			for range 3 {
				start := now()
				Scan(b, func(Kind, int, int) bool { return true })
				best = min(best, now()-start)
			}
			return best
		}
		small, large := max(measure(16<<10), 50*time.Microsecond), measure(256<<10)
		require.Less(t, large, 80*small, "%q", unit)
	}
}
