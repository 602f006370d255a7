// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

type res string

func (r res) Fill(m pcommon.Map) { m.PutStr("service.name", string(r)) }

func TestBatchesGroupByResource(t *testing.T) {
	var got []ptrace.Traces
	e := New[res](Scope{"s", "v"}, Consumers{Traces: func(_ context.Context, td ptrace.Traces, n int) error {
		require.Equal(t, td.SpanCount(), n)
		got = append(got, td)
		return nil
	}})
	e.Tick(1)
	for range 3 {
		e.Span("a").SetName("x")
		e.Span("b").SetName("y")
	}
	e.Log("a") // no logs pipeline
	e.Tick(2)
	require.EqualValues(t, 6, e.Spans.Totals().InFlight, "waits for its batch")
	e.Tick(int64(flushEvery) + 1)
	e.Close(context.Background())
	require.Len(t, got, 1)
	require.Equal(t, 2, got[0].ResourceSpans().Len())
	require.Equal(t, "s", got[0].ResourceSpans().At(0).ScopeSpans().At(0).Scope().Name())
	require.Equal(t, semantic.SchemaURL, got[0].ResourceSpans().At(0).SchemaUrl())
	require.EqualValues(t, 6, e.Spans.Totals().Out)
	require.Equal(t, map[string]uint64{DropDetached: 1}, e.Logs.Totals().Dropped)
	require.True(t, e.Logs.Totals().Balanced())
}

// TestClockSetBack: a batch and a segment do not wait until the clock is where it was when they began.
func TestClockSetBack(t *testing.T) {
	e := New[res](Scope{}, Consumers{Logs: func(context.Context, plog.Logs, int) error { return nil }})
	defer e.Close(context.Background())
	hour := int64(time.Hour)
	e.Tick(hour)
	e.Log("a")
	e.Tick(1)
	require.Zero(t, e.records, "handed over")
	e.Log("a")
	e.Tick(2)
	require.Equal(t, 1, e.records, "waits for its batch again")

	s, _ := newPacked(t, SegmentConfig{MaxAge: time.Second, MaxBytes: 100, MaxEntries: 3}, &packed{})
	first := s.Add(Group{"default", "g"}, "a", 1, hour, none)
	s.Tick(1)
	second := s.Add(Group{"default", "g"}, "a", 1, 1, none)
	require.NotEqual(t, first, second)
	s.Tick(2)
	require.Equal(t, second, s.Add(Group{"default", "g"}, "a", 1, 2, none))
}

func TestSlowPipelineDropsAndCounts(t *testing.T) {
	release := make(chan struct{})
	e := New[res](Scope{}, Consumers{Logs: func(context.Context, plog.Logs, int) error {
		<-release
		return errors.New("no")
	}})
	for range laneDepth + 5 {
		e.Log("a")
		e.Flush()
	}
	require.NotZero(t, e.Logs.Totals().Dropped[DropQueueFull])
	close(release)
	e.Close(context.Background())
	n := e.Logs.Totals()
	require.True(t, n.Balanced(), "%+v", n)
	require.Zero(t, n.InFlight)
	require.Zero(t, n.Out)
	require.NotZero(t, n.Dropped[DropRefused])
}

func TestCloseDoesNotOutliveItsContext(t *testing.T) {
	e := New[res](Scope{}, Consumers{Logs: func(ctx context.Context, _ plog.Logs, _ int) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	e.Log("a")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	e.Close(ctx)
	require.EqualValues(t, 1, e.Logs.Totals().Dropped[DropRefused])
}

type packed struct {
	mu      sync.Mutex
	segs    []plog.Logs
	reports []pcommon.Map
	err     error
}

func (p *packed) consume(_ context.Context, ld plog.Logs, _ int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.segs = append(p.segs, ld)
	return p.err
}

func (p *packed) report(ld plog.Logs, _ int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reports = append(p.reports, ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes())
}

func (p *packed) state(i int) string {
	v, _ := p.reports[i].Get(semantic.SegmentState)
	return v.Str()
}

func newPacked(t *testing.T, cfg SegmentConfig, p *packed) (*Segmenter[res], *PayloadBooks) {
	books := NewPayloadBooks()
	s := NewSegmenter[res](cfg, "host", Scope{"s", "v"}, p.consume, p.report, books)
	t.Cleanup(func() {
		s.Close(context.Background(), 0)
		for _, l := range []*Ledger{books.Payloads, books.Bytes, books.Segments} {
			n := l.Totals()
			require.True(t, n.Balanced(), "%s %+v", l.Stage, n)
			require.Zero(t, n.InFlight)
		}
	})
	return s, books
}

func none(plog.LogRecord) {}

// TestRoom: the processes of a segment share what it may grow by.
func TestRoom(t *testing.T) {
	var rooms []int64 // of the segmenter's goroutine until Drain returns
	cfg := SegmentConfig{MaxAge: time.Second, MaxBytes: 100, MaxEntries: 9, Inspect: func(_ plog.LogRecordSlice, room *int64) (int, func(int, plog.LogRecord)) {
		rooms = append(rooms, *room)
		*room -= 30
		return 0, nil
	}}
	s, _ := newPacked(t, cfg, &packed{})
	for range 2 {
		s.Add(Group{"default", "g"}, "a", 10, 0, none)
		s.Add(Group{"default", "g"}, "b", 10, 0, none)
		s.Drain(context.Background(), 0)
	}
	require.Equal(t, []int64{100, 70, 100, 70}, rooms)
}

func TestSegmentBounds(t *testing.T) {
	cfg := SegmentConfig{MaxAge: time.Second, MaxBytes: 100, MaxEntries: 3}
	p := &packed{}
	s, _ := newPacked(t, cfg, p)
	k1 := s.Add(Group{"default", "g"}, "a", 10, 0, none)
	require.NoError(t, objectkey.Validate(k1))
	require.Equal(t, k1, s.Add(Group{"default", "g"}, "b", 10, 0, none))
	require.Equal(t, k1, s.Add(Group{"default", "g"}, "a", 10, 0, none))
	k2 := s.Add(Group{"default", "g"}, "a", 60, 0, none)
	require.NotEqual(t, k1, k2, "entries")
	k3 := s.Add(Group{"default", "g"}, "a", 60, 0, none)
	require.NotEqual(t, k2, k3, "bytes")
	k4 := s.Add(Group{"default", "g"}, "a", 500, 0, none)
	require.NotEqual(t, k3, k4, "larger than a segment")
	k5 := s.Add(Group{"default", "g"}, "a", 1, 0, none)
	require.NotEqual(t, k4, k5, "and nothing beside it")
	require.NotEqual(t, k5, s.Add(Group{"default", "other"}, "a", 1, 0, none), "groups do not mix")
	s.Tick(int64(time.Second) - 1)
	s.Tick(int64(time.Second))
	s.Drain(context.Background(), 0)

	require.Len(t, p.segs, 6)
	require.Equal(t, 2, p.segs[0].ResourceLogs().Len())
	at := func(i int, key string) int64 {
		v, ok := p.segs[0].ResourceLogs().At(i).ScopeLogs().At(0).Scope().Attributes().Get(key)
		require.True(t, ok)
		return v.Int()
	}
	require.EqualValues(t, 0, at(0, semantic.SegmentIndex))
	require.EqualValues(t, 2, at(1, semantic.SegmentIndex), "after the two of the first resource")
	require.EqualValues(t, 3, at(1, semantic.SegmentCount))
	require.Equal(t, "sent", p.state(0))
}

func TestRefusedSegmentIsLost(t *testing.T) {
	p := &packed{err: errors.New("bucket refuses")}
	s, books := newPacked(t, SegmentConfig{MaxAge: time.Second, MaxBytes: 100, MaxEntries: 3}, p)
	s.Add(Group{"default", "g"}, "a", 10, 0, none)
	s.Drain(context.Background(), 5)
	require.Equal(t, "lost", p.state(0))
	v, _ := p.reports[0].Get(semantic.SegmentReason)
	require.Equal(t, DropRefused, v.Str())
	require.EqualValues(t, 10, books.Bytes.Totals().Dropped[DropRefused])
	s.Close(context.Background(), 5)
	require.Empty(t, s.Add(Group{"default", "g"}, "a", 10, 0, none), "closed")
}

func TestOpenSegmentsAreBounded(t *testing.T) {
	p := &packed{}
	s, _ := newPacked(t, SegmentConfig{MaxAge: time.Hour, MaxBytes: 32 << 20, MaxEntries: 3}, p)
	for i := range 6 {
		s.Add(Group{"default", string(rune('a' + i))}, "r", 30<<20, 0, none)
		require.LessOrEqual(t, s.held, int64(maxOpenBytes))
		s.lane.drain(context.Background())
	}
	for i := range maxOpenSegments + 10 {
		s.Add(Group{"default", string(rune(1000 + i))}, "r", 1, 0, none)
		require.LessOrEqual(t, len(s.open), maxOpenSegments)
		s.lane.drain(context.Background())
	}
}

func BenchmarkSpan(b *testing.B) {
	e := New[res](Scope{}, Consumers{Traces: func(context.Context, ptrace.Traces, int) error { return nil }})
	defer e.Close(context.Background())
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e.Span("a").SetName("GET")
		e.Tick(int64(i))
	}
}
