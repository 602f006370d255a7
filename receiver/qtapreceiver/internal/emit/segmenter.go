// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

const (
	// maxOpenSegments bounds the groups that have a segment open at once.
	maxOpenSegments = 256
	// maxOpenBytes bounds the payload bytes in open segments.
	maxOpenBytes = 64 << 20
	// payloadDepth and payloadBytes bound the segments that wait for the pipeline.
	payloadDepth = 32
	payloadBytes = 64 << 20
)

// SegmentConfig bounds a segment. It closes at whichever comes first.
type SegmentConfig struct {
	MaxAge     time.Duration
	MaxBytes   int64 // uncompressed payload
	MaxEntries int
	// Inspect is asked about the records of each process before they are handed over, from the segmenter's own goroutine. It
	// may change them: they become at most *room bytes larger, which it counts down. A segment's room is MaxBytes. What it
	// returns, n log records that fill writes, is reported. nil: nobody is asked.
	Inspect func(records plog.LogRecordSlice, room *int64) (n int, fill func(i int, lr plog.LogRecord))
}

// Group is what the exchanges of a segment have in common: an object has one retention class and holds what one
// service may see.
type Group struct{ Class, Service string }

// PayloadConsumer takes whole segments: one plog.Logs each, n records.
type PayloadConsumer func(ctx context.Context, ld plog.Logs, n int) error

// segment is open: records are still added.
type segment[R Resource] struct {
	group   Group
	key     string
	opened  time.Time
	closed  time.Time
	entries int
	bytes   int64
	ld      plog.Logs
	scopes  map[R]plog.ScopeLogs
	first   R
}

// Segmenter packs payload records into segments, one open per group, and reports each
// that was handed over or lost. Add, Tick and Flush are for one goroutine.
type Segmenter[R Resource] struct {
	cfg    SegmentConfig
	host   string
	scope  Scope
	report func(ld plog.Logs, n int)

	Payloads *Ledger // exchanges with their payload
	Bytes    *Ledger // payload bytes
	Segments *Ledger

	lane *lane[*segment[R]]

	mu     sync.Mutex
	open   map[Group]*segment[R]
	held   int64
	closed bool
}

// NewSegmenter starts a segmenter. host is the host id of the object keys; report emits a
// `qpoint.segment` record, or what was found in segments, and may be called from another goroutine until Close returns.
func NewSegmenter[R Resource](cfg SegmentConfig, host string, scope Scope, consume PayloadConsumer, report func(ld plog.Logs, n int), books *PayloadBooks) *Segmenter[R] {
	s := &Segmenter[R]{
		cfg: cfg, host: host, scope: scope, report: report, open: map[Group]*segment[R]{},
		Payloads: books.Payloads, Bytes: books.Bytes, Segments: books.Segments,
	}
	s.lane = newLane(payloadDepth, payloadBytes,
		func(ctx context.Context, seg *segment[R], n int) error {
			s.inspect(seg)
			return consume(ctx, seg.ld, n)
		},
		func(b batch[*segment[R]], err error) {
			if err != nil {
				s.settle(b.data, DropRefused)
			} else {
				s.settle(b.data, "")
			}
		})
	return s
}

// PayloadBooks count the payload path. They outlive a Segmenter, which lives as long as its
// `qtap_payload` receiver.
type PayloadBooks struct{ Payloads, Bytes, Segments, Inspected *Ledger }

// NewPayloadBooks returns empty books.
func NewPayloadBooks() *PayloadBooks {
	return &PayloadBooks{
		Payloads:  NewLedger("payloads", "{exchange}"),
		Bytes:     NewLedger("payload_bytes", "By"),
		Segments:  NewLedger("segments", "{segment}"),
		Inspected: NewLedger("inspected", "{message}"),
	}
}

// Add puts one record of the given payload size, written by fill, into the open segment of the
// group and returns the segment's key; "" when the segmenter is closed. now is in Unix
// nanoseconds.
func (s *Segmenter[R]) Add(group Group, r R, size, now int64, fill func(plog.LogRecord)) (key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ""
	}
	s.Payloads.Enter(1)
	s.Bytes.Enter(uint64(size))
	// An exchange that does not fit beside others gets a segment of its own.
	alone := size >= s.cfg.MaxBytes
	seg := s.open[group]
	if seg != nil && (alone || seg.bytes+size > s.cfg.MaxBytes || seg.entries >= s.cfg.MaxEntries) {
		s.hand(seg, now)
		seg = nil
	}
	for s.held > 0 && s.held+size > maxOpenBytes || seg == nil && len(s.open) >= maxOpenSegments {
		largest := s.largest()
		if largest == seg {
			seg = nil
		}
		s.hand(largest, now)
	}
	if seg == nil {
		at := time.Unix(0, now)
		seg = &segment[R]{group: group, key: objectkey.New(group.Class, s.host, at), opened: at, ld: plog.NewLogs(), scopes: map[R]plog.ScopeLogs{}, first: r}
		s.open[group] = seg
		s.Segments.Enter(1)
	}
	sl, ok := seg.scopes[r]
	if !ok {
		sl = appendResourceLogs(seg.ld, s.scope, r)
		seg.scopes[r] = sl
	}
	seg.entries++
	seg.bytes += size
	s.held += size
	fill(sl.LogRecords().AppendEmpty())
	return seg.key
}

// Tick closes the segments that are full or old, or that are of the future because the clock was set back. now is in Unix
// nanoseconds.
func (s *Segmenter[R]) Tick(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.open {
		age := now - seg.opened.UnixNano()
		if age >= int64(s.cfg.MaxAge) || age < 0 || seg.bytes >= s.cfg.MaxBytes || seg.entries >= s.cfg.MaxEntries {
			s.hand(seg, now)
		}
	}
}

// Drain closes every open segment and waits until all are handed over, or ctx ends.
func (s *Segmenter[R]) Drain(ctx context.Context, now int64) {
	s.flush(now, false)
	s.lane.drain(ctx)
}

// Close closes every open segment, hands everything over and ends the goroutine; see lane.close
// for ctx. Nothing is added any more.
func (s *Segmenter[R]) Close(ctx context.Context, now int64) {
	s.flush(now, true)
	s.lane.close(ctx)
}

func (s *Segmenter[R]) flush(now int64, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = s.closed || closed
	for _, seg := range s.open {
		s.hand(seg, now)
	}
}

func (s *Segmenter[R]) largest() (l *segment[R]) {
	for _, seg := range s.open {
		if l == nil || seg.bytes > l.bytes {
			l = seg
		}
	}
	return l
}

// hand closes a segment: its scopes say where in it they stand, so that what a pipeline split
// can be put together again.
func (s *Segmenter[R]) hand(seg *segment[R], now int64) {
	delete(s.open, seg.group)
	s.held -= seg.bytes
	seg.closed = time.Unix(0, now)
	index := 0
	for _, rl := range seg.ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			m := sl.Scope().Attributes()
			m.PutStr(semantic.SegmentKey, seg.key)
			m.PutInt(semantic.SegmentIndex, int64(index))
			m.PutInt(semantic.SegmentCount, int64(seg.entries))
			index += sl.LogRecords().Len()
		}
	}
	if !s.lane.offer(batch[*segment[R]]{data: seg, items: seg.entries, bytes: seg.bytes}) {
		s.settle(seg, DropQueueFull)
	}
}

// settle books the outcome of a segment and reports it; reason is "" when it was taken.
func (s *Segmenter[R]) settle(seg *segment[R], reason string) {
	seg.ld = plog.Logs{} // it belongs to the pipeline now, or to nobody
	if reason == "" {
		s.Payloads.Leave(uint64(seg.entries))
		s.Bytes.Leave(uint64(seg.bytes))
		s.Segments.Leave(1)
	} else {
		s.Payloads.Drop(reason, uint64(seg.entries))
		s.Bytes.Drop(reason, uint64(seg.bytes))
		s.Segments.Drop(reason, 1)
	}
	ld := plog.NewLogs()
	s.fillReport(appendResourceLogs(ld, s.scope, seg.first).LogRecords().AppendEmpty(), seg, reason)
	s.report(ld, 1)
}

// inspect has the records of a segment looked at, process by process.
func (s *Segmenter[R]) inspect(seg *segment[R]) {
	if s.cfg.Inspect == nil {
		return
	}
	ld, total, room := plog.NewLogs(), 0, s.cfg.MaxBytes
	for r, sl := range seg.scopes {
		n, fill := s.cfg.Inspect(sl.LogRecords(), &room)
		if n == 0 {
			continue
		}
		to := appendResourceLogs(ld, s.scope, r).LogRecords()
		for i := range n {
			fill(i, to.AppendEmpty())
		}
		total += n
	}
	if total > 0 {
		s.report(ld, total)
	}
}

// fillReport writes what became of a segment.
func (s *Segmenter[R]) fillReport(lr plog.LogRecord, seg *segment[R], reason string) {
	lr.SetEventName(semantic.EventSegment)
	lr.SetTimestamp(ts(seg.closed))
	lr.SetObservedTimestamp(ts(time.Now()))
	lr.SetSeverityNumber(plog.SeverityNumberInfo)
	m := lr.Attributes()
	m.PutStr(semantic.SegmentKey, seg.key)
	m.PutInt(semantic.SegmentEntries, int64(seg.entries))
	m.PutInt(semantic.SegmentBytes, seg.bytes)
	m.PutInt(semantic.SegmentOpened, seg.opened.UnixNano())
	m.PutInt(semantic.SegmentClosed, seg.closed.UnixNano())
	if reason == "" {
		m.PutStr(semantic.SegmentState, "sent")
	} else {
		lr.SetSeverityNumber(plog.SeverityNumberWarn)
		m.PutStr(semantic.SegmentState, "lost")
		m.PutStr(semantic.SegmentReason, reason)
	}
}
