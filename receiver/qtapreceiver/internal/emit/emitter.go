// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

const (
	// flushEvery is the longest a record waits in a batch.
	flushEvery = 100 * time.Millisecond
	// flushItems ends a batch early.
	flushItems = 1000
	// laneDepth is how many batches may wait for a pipeline: at flushItems each this is more than
	// a minute of a busy host's exchanges.
	laneDepth = 64
)

// Resource is what describes one observed process. Its identity (pointer) groups records.
type Resource interface {
	comparable
	Fill(pcommon.Map)
}

// Scope names who emits.
type Scope struct{ Name, Version string }

// Consumers are where batches go. A nil func means that no pipeline takes the signal. n is the
// number of records.
type Consumers struct {
	Traces func(ctx context.Context, td ptrace.Traces, n int) error
	Logs   func(ctx context.Context, ld plog.Logs, n int) error
}

// Emitter batches spans and log records. Span, Log, Tick and Flush are for one goroutine;
// what it owns otherwise is safe for concurrent use.
type Emitter[R Resource] struct {
	scope Scope
	Spans *Ledger // exchanges as spans
	Logs  *Ledger // connection and segment records

	traces *lane[ptrace.Traces]
	logs   *lane[plog.Logs]

	td      ptrace.Traces
	spansOf map[R]ptrace.SpanSlice
	spans   int
	ld      plog.Logs
	logsOf  map[R]plog.LogRecordSlice
	records int
	since   int64
}

// New starts an emitter.
func New[R Resource](scope Scope, c Consumers) *Emitter[R] {
	e := &Emitter[R]{scope: scope, Spans: NewLedger("spans", "{span}"), Logs: NewLedger("logs", "{record}")}
	if c.Traces != nil {
		e.traces = newLane(laneDepth, 0, c.Traces, settle[ptrace.Traces](e.Spans))
	}
	if c.Logs != nil {
		e.logs = newLane(laneDepth, 0, c.Logs, settle[plog.Logs](e.Logs))
	}
	e.reset()
	return e
}

func settle[T any](l *Ledger) func(batch[T], error) {
	return func(b batch[T], err error) {
		if err != nil {
			l.Drop(DropRefused, uint64(b.items))
		} else {
			l.Leave(uint64(b.items))
		}
	}
}

func (e *Emitter[R]) reset() {
	e.td, e.spansOf, e.spans = ptrace.NewTraces(), map[R]ptrace.SpanSlice{}, 0
	e.ld, e.logsOf, e.records = plog.NewLogs(), map[R]plog.LogRecordSlice{}, 0
}

// Span returns a new span of the resource, to be filled before the next call of the emitter.
func (e *Emitter[R]) Span(r R) ptrace.Span {
	e.Spans.Enter(1)
	e.spans++
	s, ok := e.spansOf[r]
	if !ok {
		rs := e.td.ResourceSpans().AppendEmpty()
		rs.SetSchemaUrl(semantic.SchemaURL)
		r.Fill(rs.Resource().Attributes())
		ss := rs.ScopeSpans().AppendEmpty()
		ss.SetSchemaUrl(semantic.SchemaURL)
		e.scope.put(ss.Scope())
		s = ss.Spans()
		e.spansOf[r] = s
	}
	return s.AppendEmpty()
}

// Log returns a new log record of the resource, to be filled before the next call of the emitter.
func (e *Emitter[R]) Log(r R) plog.LogRecord {
	e.Logs.Enter(1)
	e.records++
	s, ok := e.logsOf[r]
	if !ok {
		s = appendResourceLogs(e.ld, e.scope, r).LogRecords()
		e.logsOf[r] = s
	}
	return s.AppendEmpty()
}

// LogNow hands n log records to the pipeline, by themselves. It may be called from any goroutine
// until Close.
func (e *Emitter[R]) LogNow(ld plog.Logs, n int) {
	e.Logs.Enter(uint64(n))
	offer(e.logs, e.Logs, batch[plog.Logs]{data: ld, items: n})
}

// Tick flushes what waited long enough, and what waits for a time that is far ahead because the clock was set back. now is
// in Unix nanoseconds.
func (e *Emitter[R]) Tick(now int64) {
	n := e.spans + e.records
	switch {
	case n == 0:
		e.since = now
	case n >= flushItems || now-e.since >= int64(flushEvery) || now < e.since:
		e.Flush()
		e.since = now
	}
}

// Flush hands the batches over.
func (e *Emitter[R]) Flush() {
	if e.spans > 0 {
		offer(e.traces, e.Spans, batch[ptrace.Traces]{data: e.td, items: e.spans})
	}
	if e.records > 0 {
		offer(e.logs, e.Logs, batch[plog.Logs]{data: e.ld, items: e.records})
	}
	if e.spans+e.records > 0 {
		e.reset()
	}
}

func offer[T any](l *lane[T], book *Ledger, b batch[T]) {
	switch {
	case l == nil:
		book.Drop(DropDetached, uint64(b.items))
	case !l.offer(b):
		book.Drop(DropQueueFull, uint64(b.items))
	}
}

// Abandon drops the batches that are being made: who made them has failed, and one of their records may be half done.
func (e *Emitter[R]) Abandon() {
	e.Spans.Drop(DropFailed, uint64(e.spans))
	e.Logs.Drop(DropFailed, uint64(e.records))
	e.reset()
}

// Close flushes, hands everything over and ends the goroutines; see lane.close for ctx.
func (e *Emitter[R]) Close(ctx context.Context) {
	e.Flush()
	e.Stop(ctx)
}

// Stop is Close without what is in no batch yet. It may be called from any goroutine.
func (e *Emitter[R]) Stop(ctx context.Context) {
	if e.traces != nil {
		e.traces.close(ctx)
	}
	if e.logs != nil {
		e.logs.close(ctx)
	}
}

func appendResourceLogs[R Resource](ld plog.Logs, scope Scope, r R) plog.ScopeLogs {
	rl := ld.ResourceLogs().AppendEmpty()
	rl.SetSchemaUrl(semantic.SchemaURL)
	r.Fill(rl.Resource().Attributes())
	sl := rl.ScopeLogs().AppendEmpty()
	sl.SetSchemaUrl(semantic.SchemaURL)
	scope.put(sl.Scope())
	return sl
}

func (s Scope) put(to pcommon.InstrumentationScope) {
	to.SetName(s.Name)
	to.SetVersion(s.Version)
}

func ts(t time.Time) pcommon.Timestamp { return pcommon.NewTimestampFromTime(t) }
