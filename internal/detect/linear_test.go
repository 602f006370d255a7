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

// requireLinear holds f to linear time on a unit that is repeated: what is 16 times as long takes a quadratic f 256 times as long. It counts the
// CPU time of its own thread, and measures as often as it takes to see the one ratio or to be sure of the other: what else a machine does makes
// a measurement longer now and then, and never makes a quadratic f linear.
func requireLinear(t *testing.T, unit string, f func([]byte)) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now := func() time.Duration {
		var ts unix.Timespec
		require.NoError(t, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts))
		return time.Duration(ts.Nano())
	}
	measure := func(size int) time.Duration {
		b := []byte(strings.Repeat(unit, size/len(unit)))
		start := now()
		f(b)
		return now() - start
	}
	small, large := time.Hour, time.Hour
	for begin, tries := time.Now(), 0; tries < 5 || time.Since(begin) < 20*time.Second; tries++ {
		small, large = min(small, measure(16<<10)), min(large, measure(256<<10))
		if large < 80*max(small, 50*time.Microsecond) {
			return
		}
	}
	t.Fatalf("%q: 16 times as much took %s instead of %s", unit, large, small)
}

// TestScanIsLinear makes hostile inputs long.
func TestScanIsLinear(t *testing.T) {
	for _, unit := range hostile {
		requireLinear(t, unit, func(b []byte) { Scan(b, func(Kind, int, int) bool { return true }) })
	}
}

// TestLinear holds the detectors of single values to linear time on the inputs that break backtracking ones.
func TestLinear(t *testing.T) {
	for _, unit := range []string{"a", "1", "a1", "eyJ.", "a@", "%40", "1-", "x.", "A"} {
		for _, f := range []func(string){
			func(s string) { Segment(s) }, func(s string) { IsCard(s) }, func(s string) { IsIBAN(s) },
		} {
			requireLinear(t, unit, func(b []byte) { f(string(b)) })
		}
	}
}
