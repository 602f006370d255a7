// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// backlog is a ring that was not read for a while: a process each millisecond, the last one now.
type backlog struct {
	begin int64
	n     int
}

func (b *backlog) ReadInto(r *ringbuf.Record) error {
	if b.n == 0 {
		return os.ErrDeadlineExceeded
	}
	b.n--
	r.RawSample = make([]byte, 64)
	r.RawSample[0], r.RawSample[1] = bpf.RecordProcess, 1
	binary.NativeEndian.PutUint64(r.RawSample[8:], uint64(b.begin))
	b.begin += int64(time.Millisecond)
	return nil
}

// timeline notes the times of events and of Idle, as they come.
type timeline struct {
	lastEvent
	t      *testing.T
	latest int64
	idles  []int64
}

func (o *timeline) Process(p *event.Process) {
	require.NotZero(o.t, p.Time)
	o.latest = p.Time
	if n := len(o.idles); n > 0 {
		require.GreaterOrEqual(o.t, p.Time, o.idles[n-1], "an event is of before what was said to be all")
	}
}

func (o *timeline) Idle(now int64) { o.idles = append(o.idles, now) }

// TestTimeIsThatOfTheRing: while the reader is behind, so is the time that the handler is told. By the clock, what it waits
// for would be late as soon as more than its patience lies in the ring.
func TestTimeIsThatOfTheRing(t *testing.T) {
	const n = 10 * 1024
	now, err := monotonic()
	require.NoError(t, err)
	ring := &backlog{begin: now - n*int64(time.Millisecond), n: n}
	o := &timeline{t: t}
	d := decoder{handler: o}
	d.offset, err = clockOffset()
	require.NoError(t, err)
	beat := func(d *decoder) error {
		d.handler.Idle(d.read + d.offset)
		return nil
	}
	require.NoError(t, d.drain(t.Context(), ring, beat))
	require.Len(t, o.idles, n/1024, "a ring that does not get empty does not starve who waits for time")
	require.IsIncreasing(t, o.idles)
	require.Equal(t, o.latest, o.idles[len(o.idles)-1])
	// Empty: it is as late as when the reading began.
	require.NoError(t, beat(&d))
	require.GreaterOrEqual(t, o.idles[len(o.idles)-1], now+d.offset)
}

func TestClockOffset(t *testing.T) {
	require.Eventually(t, func() bool {
		offset, err := clockOffset()
		require.NoError(t, err)
		mono, err := monotonic()
		require.NoError(t, err)
		return time.Since(time.Unix(0, mono+offset)).Abs() < time.Second
	}, time.Minute, time.Millisecond)
}
