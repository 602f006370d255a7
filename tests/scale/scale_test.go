// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/tests/fill"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func spansOf(td ptrace.Traces) (out []ptrace.Span) {
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				out = append(out, s)
			}
		}
	}
	return out
}

// TestRender: what is sent again differs in ids and times and in nothing else, and belongs together as it did.
func TestRender(t *testing.T) {
	to := time.Now()
	rows, err := fill.Requests(300, fill.Options{Seed: 1, From: to.Add(-time.Minute), To: to})
	require.NoError(t, err)
	td := fill.Traces(rows, "agent")
	original := spansOf(td)
	f, err := newFrame(td)
	require.NoError(t, err)
	require.Len(t, f.spans, len(rows))
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[pcommon.SpanID]bool{}
	parents := 0
	for range 3 {
		sent := ptraceotlp.NewExportRequest()
		now := time.Now()
		require.NoError(t, sent.UnmarshalProto(f.render(r, now)))
		spans := spansOf(sent.Traces())
		require.Len(t, spans, len(original))
		traces, ids := map[pcommon.TraceID]pcommon.TraceID{}, map[pcommon.SpanID]pcommon.SpanID{{}: {}}
		for i, s := range spans {
			o := original[i]
			require.NotEqual(t, o.TraceID(), s.TraceID())
			require.False(t, seen[s.SpanID()], "an id twice")
			seen[s.SpanID()] = true
			if was, ok := traces[o.TraceID()]; ok {
				require.Equal(t, was, s.TraceID(), "a trace was torn apart")
			}
			traces[o.TraceID()], ids[o.SpanID()] = s.TraceID(), s.SpanID()
			require.Equal(t, o.EndTimestamp()-o.StartTimestamp(), s.EndTimestamp()-s.StartTimestamp())
			require.False(t, s.EndTimestamp().AsTime().After(now))
			require.Equal(t, o.Attributes().AsRaw(), s.Attributes().AsRaw())
			require.Equal(t, o.Name(), s.Name())
		}
		for i, s := range spans {
			if parent, ok := ids[original[i].ParentSpanID()]; ok && !parent.IsEmpty() {
				parents++
				require.Equal(t, parent, s.ParentSpanID())
			}
		}
	}
	require.NotZero(t, parents)
}

func TestHosts(t *testing.T) {
	rows, err := hosts(30, 10)
	require.NoError(t, err)
	require.Len(t, rows, 30)
	seen := map[string]bool{}
	for _, of := range rows {
		require.NotEmpty(t, of)
		require.False(t, seen[of[0].HostID], "a host twice")
		seen[of[0].HostID] = true
		for _, r := range of {
			require.Equal(t, of[0].HostID, r.HostID)
		}
	}
}

func TestFit(t *testing.T) {
	at := func(requests, rows float64) step {
		return step{Requests: requests, Accepted: rows, Gateway: 0.01 + requests*80e-6 + rows*20e-6}
	}
	c, err := fit(0.01, []step{at(100, 100), at(400, 4000), at(200, 8000)})
	require.NoError(t, err)
	assert.InDelta(t, 80, c.PerRequest, 1e-6)
	assert.InDelta(t, 20, c.PerRow, 1e-6)
	assert.InDelta(t, 0.99/100e-6, c.RowsOne, 1e-3)
	assert.InDelta(t, 0.99/20.08e-6, c.RowsLarge, 1e-3)
	_, err = fit(0, []step{at(1, 10), at(2, 20)})
	require.Error(t, err, "one kind of request says nothing of two unknowns")
}

func TestVerdict(t *testing.T) {
	held := step{Offered: 1000, Accepted: 999, P99: 200, QueuedMiddle: 900, QueuedEnd: 1500}
	require.Empty(t, held.verdict())
	for name, change := range map[string]func(*step){
		"refused": func(s *step) { s.Refused = map[string]int{"Unavailable": 1} },
		"skipped": func(s *step) { s.Skipped = 1 },
		"late":    func(s *step) { s.P99 = 1001 },
		"growing": func(s *step) { s.QueuedEnd = 4000 },
		"few":     func(s *step) { s.Accepted = 900 },
	} {
		s := held
		change(&s)
		assert.NotEmpty(t, s.verdict(), name)
	}
}

func TestSaturated(t *testing.T) {
	assert.Equal(t, "gateway", step{Gateway: 0.99, Engine: 0.3, Fleet: 0.4}.saturated())
	assert.Equal(t, "engine and agents", step{Gateway: 0.6, Engine: 0.5, Fleet: 0.49}.saturated())
	assert.Equal(t, "machine", step{Gateway: 0.3, Engine: 0.1, Fleet: 0.1, Other: 1.4}.saturated())
	assert.Equal(t, "none", step{Gateway: 0.3, Engine: 0.1, Fleet: 0.1}.saturated())
}

func TestByStage(t *testing.T) {
	parts := byStage([]byte(`File: otelcol-qpoint
Type: cpu
Duration: 10s, Total samples = 40ms
-----------+-------------------------------------------------------
      10ms   runtime.memmove
             github.com/qpoint-io/otelcol-qpoint/processor/anonymizeprocessor.(*anonymizer).processTraces
             google.golang.org/grpc.(*Server).processUnaryRPC
-----------+-------------------------------------------------------
      20ms   go.etcd.io/bbolt.(*node).spill
             google.golang.org/grpc.(*Server).processUnaryRPC
-----------+-------------------------------------------------------
      10ms   runtime.futex
-----------+-------------------------------------------------------
`))
	assert.InDelta(t, 0.25, parts["anonymize"], 1e-9)
	assert.InDelta(t, 0.5, parts["queue on disk"], 1e-9)
	assert.InDelta(t, 0.25, parts["other"], 1e-9)
	assert.Len(t, parts, 3)
}
