// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"context"

	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/privacy"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// The gates stand before the queue: data that was not anonymized must not even reach a disk
// queue, and the processor whose policy is asked for is certainly running while it hands data
// over, which it is not when a queue is drained at start or at shutdown.

// stamped says whether a processor of this process anonymized the resource.
func stamped(resource pcommon.Resource) bool {
	hash, ok := resource.Attributes().Get(semantic.Anonymized)
	return ok && hash.Type() == pcommon.ValueTypeStr && privacy.PolicyRegistered(hash.Str())
}

type tracesGate struct {
	exporter.Traces
	pulse *pulse
}

// ConsumeTraces hands on what is stamped and refuses the rest.
func (g tracesGate) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	refused := 0
	for _, rs := range td.ResourceSpans().All() {
		if !stamped(rs.Resource()) {
			for _, ss := range rs.ScopeSpans().All() {
				refused += max(1, ss.Spans().Len())
			}
		}
	}
	if refused == 0 {
		return g.Traces.ConsumeTraces(ctx, td)
	}
	good := ptrace.NewTraces() // td is shared with other consumers
	td.CopyTo(good)
	good.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool { return !stamped(rs.Resource()) })
	if good.SpanCount() > 0 {
		if err := g.Traces.ConsumeTraces(ctx, good); err != nil {
			return err // whoever sends again sends all, and what is refused is then answered for
		}
	}
	return g.pulse.answer(ctx, refusals{reasonUnstamped: refused})
}

type logsGate struct {
	exporter.Logs
	pulse *pulse
}

// ConsumeLogs hands on what is stamped and refuses the rest.
func (g logsGate) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	refused := 0
	for _, rl := range ld.ResourceLogs().All() {
		if !stamped(rl.Resource()) {
			for _, sl := range rl.ScopeLogs().All() {
				refused += max(1, sl.LogRecords().Len())
			}
		}
	}
	if refused == 0 {
		return g.Logs.ConsumeLogs(ctx, ld)
	}
	good := plog.NewLogs() // ld is shared with other consumers
	ld.CopyTo(good)
	good.ResourceLogs().RemoveIf(func(rl plog.ResourceLogs) bool { return !stamped(rl.Resource()) })
	if good.LogRecordCount() > 0 {
		if err := g.Logs.ConsumeLogs(ctx, good); err != nil {
			return err // whoever sends again sends all, and what is refused is then answered for
		}
	}
	return g.pulse.answer(ctx, refusals{reasonUnstamped: refused})
}
