// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/coverage"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/tls"
)

const (
	// coverageChange is the least time between two reports because of a change.
	coverageChange = 10 * time.Second
	// maxDropRows bounds the rows of what was dropped; there are as many as stages and reasons.
	maxDropRows = 256
	// reasonNoRequest: a TLS connection ended before what it carries was known.
	reasonNoRequest = "no_request"
)

// CoverageSettings say what `qpoint.coverage` reports. A zero Interval reports nothing.
type CoverageSettings struct {
	// Interval is the time between two whole reports.
	Interval time.Duration
	// Host are the rows that do not change: features and libraries.
	Host []coverage.Row
	// Books are all stages of the receiver.
	Books func() []Stage
}

// coverer reports coverage from the engine's goroutine.
type coverer struct {
	set     CoverageSettings
	tracker *coverage.Tracker
	host    *process.Info
	next    int64 // the next whole report
	changed int64 // the earliest report of a change
}

// cover counts a connection, as far as it is known what it carries. A connection is counted once and moves
// when more becomes known; one that closes before anything is known is not seen either.
func (e *Engine) cover(c *conn, closed bool) {
	a := &c.app
	late := a.reason == tls.ReasonAttachedLate || a.reason == reasonOverBudget && (closed || !c.blind)
	if e.coverage.tracker == nil || !a.encrypted && !late {
		return
	}
	visibility, reason := a.visibility()
	if visibility == "" && closed {
		visibility, reason = semantic.PayloadNotVisible, reasonNoRequest
	}
	if visibility != "" {
		c.covered = e.coverage.tracker.Note(c.proc, reason, c.covered)
	}
}

func (e *Engine) coverageTick(now int64) {
	r := &e.coverage
	switch {
	case r.tracker == nil:
	case now >= r.next:
		r.next, r.changed = now+int64(r.set.Interval), now+int64(coverageChange)
		e.emitCoverage(now, true)
	case now >= r.changed && r.tracker.Changed():
		r.changed = now + int64(coverageChange)
		e.emitCoverage(now, false)
	}
}

// emitCoverage emits the whole report, or what is new.
func (e *Engine) emitCoverage(now int64, all bool) {
	rows := e.coverage.tracker.Report(all)
	if all {
		rows = append(slices.Clone(e.coverage.set.Host), rows...)
		if e.set.Budget != nil {
			rows = append(rows, e.budgetRow())
		}
		rows = append(rows, e.dropRows()...)
	}
	e.emitRows(now, rows)
}

func (e *Engine) emitRows(now int64, rows []coverage.Row) {
	for i := range rows {
		row := &rows[i]
		p := row.Process
		if p == nil {
			p = e.coverage.host
		}
		lr := e.set.Emitter.Log(p)
		lr.SetEventName(semantic.EventCoverage)
		lr.SetTimestamp(pcommon.Timestamp(now))
		lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		lr.SetSeverityNumber(plog.SeverityNumberInfo)
		m := lr.Attributes()
		m.PutStr(semantic.CoverageSubject, row.Subject)
		putStr(m, semantic.CoverageName, row.Name)
		m.PutStr(semantic.CoverageState, row.State)
		putStr(m, semantic.CoverageReason, row.Reason)
		putStr(m, semantic.CoverageAdvice, row.Advice)
		m.PutInt(semantic.CoverageCount, int64(row.Count))
	}
}

// dropRows are what every stage gave up, by reason.
func (e *Engine) dropRows() (rows []coverage.Row) {
	add := func(stage, reason, advice string, n uint64) {
		if n > 0 && len(rows) < maxDropRows {
			rows = append(rows, coverage.Row{Subject: coverage.SubjectDrops, Name: stage, State: coverage.StateDropped, Reason: reason, Advice: coverage.Advice(advice), Count: n})
		}
	}
	lost := e.counts.lost
	for _, kind := range slices.Sorted(maps.Keys(lost)) {
		add("ring", kind, "ring_full", lost[kind])
	}
	for i, n := range e.counts.skipped {
		reason := event.SkipReason(i).String()
		add("kernel", reason, reason, n)
	}
	if e.coverage.set.Books == nil {
		return rows
	}
	for _, s := range e.coverage.set.Books() {
		for _, reason := range slices.Sorted(maps.Keys(s.Dropped)) {
			add(s.Name, reason, reason, s.Dropped[reason])
		}
	}
	return rows
}
