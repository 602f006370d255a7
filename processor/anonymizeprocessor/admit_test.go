// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
	"golang.org/x/time/rate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/qpoint-io/otelcol-qpoint/internal/identity"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/processor/anonymizeprocessor/internal/metadata"
)

// TestEnvironmentFromClient: who sends says nothing about its environment, the token does.
func TestEnvironmentFromClient(t *testing.T) {
	t.Parallel()
	var spans consumertest.TracesSink
	var records consumertest.LogsSink
	cfg := createDefaultConfig().(*Config)
	cfg.EnvironmentFromClient = true
	traces, err := NewFactory().CreateTraces(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, &spans)
	require.NoError(t, err)
	logs, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, &records)
	require.NoError(t, err)
	require.NoError(t, traces.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, logs.Start(t.Context(), componenttest.NewNopHost()))
	defer func() {
		require.NoError(t, traces.Shutdown(t.Context()))
		require.NoError(t, logs.Shutdown(t.Context()))
	}()

	span := func() ptrace.Traces {
		td := ptrace.NewTraces()
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr(semantic.Environment, "forged")
		rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		return td
	}
	record := func() plog.Logs {
		ld := plog.NewLogs()
		ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().SetEventName(semantic.EventConnection)
		return ld
	}
	require.Equal(t, codes.Unauthenticated, status.Code(traces.ConsumeTraces(t.Context(), span())))
	require.Equal(t, codes.Unauthenticated, status.Code(logs.ConsumeLogs(t.Context(), record())))
	require.Zero(t, spans.SpanCount()+records.LogRecordCount(), "nothing of a refused batch passes")

	ctx := client.NewContext(t.Context(), client.Info{Auth: &identity.Sender{Environment: "eu", Quota: rate.NewLimiter(0.5, 2)}})
	require.NoError(t, traces.ConsumeTraces(ctx, span()))
	require.NoError(t, logs.ConsumeLogs(ctx, record()))
	for _, attributes := range []map[string]any{
		spans.AllTraces()[0].ResourceSpans().At(0).Resource().Attributes().AsRaw(),
		records.AllLogs()[0].ResourceLogs().At(0).Resource().Attributes().AsRaw(),
	} {
		require.Equal(t, "eu", attributes[semantic.Environment])
	}
	err = traces.ConsumeTraces(ctx, span())
	s, ok := status.FromError(err)
	require.True(t, ok)
	require.Equal(t, codes.ResourceExhausted, s.Code())
	require.Len(t, s.Details(), 1)
	require.Positive(t, s.Details()[0].(*errdetails.RetryInfo).RetryDelay.AsDuration(), "without a delay OTLP takes it as final")
	require.Equal(t, 1, spans.SpanCount())
}
