// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/coverage"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/emit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/tls"
)

// TestCoverageReports goes through the whole report at start, the report of a change, and the regular one.
func TestCoverageReports(t *testing.T) {
	b := newBench(t)
	b.e.set.Coverage = CoverageSettings{
		Interval: time.Minute, Host: []coverage.Row{{Subject: coverage.SubjectFeature, Name: "kernel BTF", State: coverage.StateSupported}},
		Books: func() []Stage { return b.e.Stats().Stages },
	}
	b.e.coverage = coverer{set: b.e.set.Coverage, tracker: coverage.NewTracker(), host: process.Collector(b.e.host)}
	seen := func() map[string]int {
		n := map[string]int{}
		for _, r := range b.records(semantic.EventCoverage) {
			subject, _ := r.Attributes().Get(semantic.CoverageSubject)
			n[subject.Str()]++
		}
		return n
	}
	b.idle(time.Second)
	require.Equal(t, map[string]int{"feature": 1}, seen(), "at start")
	b.idle(time.Second)
	require.Equal(t, map[string]int{"feature": 1}, seen(), "nothing new")

	c := &conn{e: b.e, proc: &process.Info{TGID: 7, ExecutablePath: "/usr/bin/x", ExecutableName: "x"}}
	c.app.encrypted, c.app.reason = true, tls.ReasonNoSecret
	b.e.cover(c, false)
	b.e.counts.lost["packet"] = 3
	b.idle(coverageChange)
	require.Equal(t, map[string]int{"feature": 1, "process": 1}, seen(), "what is new")
	plain := &conn{e: b.e, proc: c.proc}
	plain.app.protocol = "http"
	b.e.cover(plain, true)
	require.Nil(t, plain.covered, "without TLS there is nothing to cover")
	short := &conn{e: b.e, proc: c.proc}
	short.app.encrypted = true
	b.e.cover(short, false)
	require.Nil(t, short.covered, "not known yet")
	b.e.cover(short, true)
	require.Equal(t, reasonNoRequest, short.covered.Reason)
	require.NotEmpty(t, short.covered.Advice)
	b.idle(time.Minute)
	require.Equal(t, map[string]int{"feature": 2, "process": 3, "drops": 1}, seen(), "everything again")
	for _, r := range b.records(semantic.EventCoverage) {
		for key := range r.Attributes().All() {
			require.NotEqual(t, semantic.Removed, semantic.ClassOf(key), key)
		}
	}
}

// TestEveryReasonHasAdvice: whoever reads that something was given up is told whether it matters, and what to do.
func TestEveryReasonHasAdvice(t *testing.T) {
	b := newBench(t)
	reasons := []string{
		dropFiltered, dropHeldFull, dropUnclaimed, dropOpaque, dropRefused, dropRule, dropInstrumented, dropMalformed, dropTooMany,
		reasonRule, reasonRuleError, reasonRuleUnknown, reasonUnknownProtocol, reasonProtocolUnsupported, reasonNoRequest,
		emit.DropQueueFull, emit.DropRefused, emit.DropDetached, "ring_full",
	}
	for i := range event.SkipReasons {
		reasons = append(reasons, event.SkipReason(i).String())
	}
	for _, s := range b.e.stats().Stages {
		reasons = slices.AppendSeq(reasons, maps.Keys(s.Dropped))
	}
	for _, reason := range reasons {
		require.NotEmpty(t, coverage.Advice(reason), "no advice for %q", reason)
	}
	b.e.Skipped(event.SkipCap, 7)
	rows := b.e.dropRows()
	require.Equal(t, []coverage.Row{{Subject: coverage.SubjectDrops, Name: "kernel", State: coverage.StateDropped, Reason: "body_cap", Advice: coverage.Advice("body_cap"), Count: 7}}, rows)
}
