// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processorhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

const (
	scopeName = "github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver"
	object    = "default/2026/11/24/06/host-1/01ARZ3NDEKTSV4RRFFQ69G5FAV.zip"
)

func newTestAnonymizer(tb testing.TB) *anonymizer {
	tb.Helper()
	a, err := newAnonymizer(componenttest.NewNopTelemetrySettings(), testConfig("test"))
	require.NoError(tb, err)
	return a
}

func resourceAttributes() map[string]any {
	return map[string]any{
		"service.name": "checkout", "host.id": "4c4c4544-0051-3010-8050-b9c04f4b4e32", "host.name": "node-1.example.com", "os.type": "linux",
		"process.pid": int64(4242), "process.executable.name": "python3.13", "process.executable.path": "/usr/bin/python3.13", "process.owner": "www-data",
		"container.id": strings.Repeat("0a", 32), "k8s.pod.uid": "123e4567-e89b-12d3-a456-426614174000",
	}
}

// clientSpan is what `qtap` emits for a request of a client, as DESIGN has it.
func clientSpan(s ptrace.Span) {
	s.SetTraceID([16]byte{1})
	s.SetSpanID([8]byte{2})
	s.SetParentSpanID([8]byte{3})
	s.SetKind(ptrace.SpanKindClient)
	s.SetName("GET")
	s.SetStartTimestamp(1)
	s.SetEndTimestamp(2)
	s.SetFlags(0x101)
	s.Status().SetCode(ptrace.StatusCodeError)
	must(s.Attributes().FromRaw(map[string]any{
		"http.request.method": "GET", "http.response.status_code": int64(404), "http.response.body.size": int64(1024),
		"url.full":       "https://user:secret@api.example.com:8443/users/42/orders?page=2&token=secret#top",
		"server.address": "api.example.com", "server.port": int64(8443), "error.type": "404",
		"network.peer.address": "2001:db8::1", "network.peer.port": int64(8443), "network.protocol.version": "1.1", "network.transport": "tcp", "network.type": "ipv6",
		"tls.established": true, "tls.protocol.version": "1.3", "tls.cipher": "TLS_AES_128_GCM_SHA256",
		"qpoint.connection.id": "0123456789abcdef", "qpoint.exchange.sequence": int64(0), "qpoint.timing.wait": int64(1000),
		"qpoint.payload.objects": []any{object}, "qpoint.payload.state": "pending", "qpoint.payload.visibility": "visible",
	}))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func oneSpan(fill func(ptrace.Span)) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.SetSchemaUrl(semantic.SchemaURL)
	must(rs.Resource().Attributes().FromRaw(resourceAttributes()))
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName(scopeName)
	ss.Scope().SetVersion("0.1.0")
	fill(ss.Spans().AppendEmpty())
	return td
}

// TestWhatQtapEmitsStays is the other half of the canary test: nothing that the product
// needs is lost.
func TestWhatQtapEmitsStays(t *testing.T) {
	t.Parallel()
	a := newTestAnonymizer(t)
	td, err := a.processTraces(t.Context(), oneSpan(clientSpan))
	require.NoError(t, err)
	rs := td.ResourceSpans().At(0)
	want := resourceAttributes()
	want["qpoint.anonymized"] = a.hash
	want["qpoint.environment"] = "test"
	require.Equal(t, want, rs.Resource().Attributes().AsRaw())
	require.Equal(t, semantic.SchemaURL, rs.SchemaUrl())
	require.Equal(t, scopeName, rs.ScopeSpans().At(0).Scope().Name())
	require.Equal(t, "0.1.0", rs.ScopeSpans().At(0).Scope().Version())

	got := rs.ScopeSpans().At(0).Spans().At(0)
	plain := ptrace.NewSpan()
	clientSpan(plain)
	attrs := plain.Attributes().AsRaw()
	attrs["url.full"] = "https://api.example.com:8443/users/{id}/orders?page=&token="
	attrs["url.path"] = "/users/{id}/orders"
	attrs["url.template"] = "/users/{id}/orders"
	require.Equal(t, attrs, got.Attributes().AsRaw())
	require.Equal(t, "GET /users/{id}/orders", got.Name())
	require.Equal(t, plain.TraceID(), got.TraceID())
	require.Equal(t, plain.SpanID(), got.SpanID())
	require.Equal(t, plain.ParentSpanID(), got.ParentSpanID())
	require.Equal(t, plain.Kind(), got.Kind())
	require.Equal(t, plain.StartTimestamp(), got.StartTimestamp())
	require.Equal(t, plain.EndTimestamp(), got.EndTimestamp())
	require.Equal(t, plain.Flags(), got.Flags())
	require.Equal(t, ptrace.StatusCodeError, got.Status().Code())
}

func TestServerSpan(t *testing.T) {
	t.Parallel()
	td, err := newTestAnonymizer(t).processTraces(t.Context(), oneSpan(func(s ptrace.Span) {
		s.SetKind(ptrace.SpanKindServer)
		s.SetName("BREW /pots/7")
		must(s.Attributes().FromRaw(map[string]any{
			"http.request.method": "BREW", "url.scheme": "http", "url.path": "/pots/7;v=1", "url.query": "a=1&b", "http.route": "/pots/:id",
			"client.address": "10.0.0.1", "client.port": int64(40000), "http.request.method_original": "BREW", "url.template": "/pots/7",
		}))
	}))
	require.NoError(t, err)
	s := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	require.Equal(t, "HTTP", s.Name())
	require.Equal(t, map[string]any{
		"http.request.method": "_OTHER", "url.scheme": "http", "url.path": "/pots/{id}", "url.query": "a=&b=", "url.template": "/pots/{id}",
		"client.address": "10.0.0.1", "client.port": int64(40000),
	}, s.Attributes().AsRaw())
}

func TestProcedureSpan(t *testing.T) {
	t.Parallel()
	for was, want := range map[string]string{
		"grpc.health.v1.Health/Check":                             "grpc.health.v1.Health/Check",
		"helloworld.Greeter/alice@example.com":                    "helloworld.Greeter/{email}",
		"helloworld.Greeter/3f2b8c1e-0d4a-4c55-9b0e-7d6f5a4b3c2d": "helloworld.Greeter/{uuid}",
	} {
		td, err := newTestAnonymizer(t).processTraces(t.Context(), oneSpan(func(s ptrace.Span) {
			s.SetName(was)
			must(s.Attributes().FromRaw(map[string]any{
				"http.request.method": "POST", "url.path": "/" + was, "rpc.system.name": "grpc", "rpc.method": was, "rpc.response.status_code": "NOT_FOUND",
				"qpoint.rpc.request.messages": int64(1), "qpoint.rpc.response.messages": "many",
			}))
		}))
		require.NoError(t, err)
		s := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
		require.Equal(t, want, s.Name())
		require.Equal(t, map[string]any{
			"http.request.method": "POST", "url.path": "/" + want, "url.template": "/" + want, "rpc.system.name": "grpc", "rpc.method": want,
			"rpc.response.status_code": "NOT_FOUND", "qpoint.rpc.request.messages": int64(1),
		}, s.Attributes().AsRaw())
	}
}

func TestStampIsNeverTakenFromTheData(t *testing.T) {
	t.Parallel()
	a := newTestAnonymizer(t)
	td := oneSpan(clientSpan)
	attrs := td.ResourceSpans().At(0).Resource().Attributes()
	attrs.PutStr(semantic.Anonymized, a.hash)
	attrs.PutStr(semantic.Environment, "production")
	td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().PutStr(semantic.Environment, "production")
	td, err := a.processTraces(t.Context(), td)
	require.NoError(t, err)
	v, _ := td.ResourceSpans().At(0).Resource().Attributes().Get(semantic.Environment)
	require.Equal(t, "test", v.Str())
	_, ok := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().Get(semantic.Environment)
	require.False(t, ok)

	// Another policy's data comes out with this policy's stamp alone.
	b, err := newAnonymizer(componenttest.NewNopTelemetrySettings(), testConfig("gateway"))
	require.NoError(t, err)
	td, err = b.processTraces(t.Context(), td)
	require.NoError(t, err)
	raw := td.ResourceSpans().At(0).Resource().Attributes().AsRaw()
	require.Equal(t, b.hash, raw[semantic.Anonymized])
	require.Equal(t, "gateway", raw[semantic.Environment])
}

func TestObjectKeys(t *testing.T) {
	t.Parallel()
	many := make([]any, 100)
	for i := range many {
		many[i] = object
	}
	for name, tc := range map[string]struct {
		in   any
		want any
	}{
		"one":     {[]any{object}, []any{object}},
		"mixed":   {[]any{"secret", object, int64(1), []any{object}, object}, []any{object, object}},
		"bounded": {many, many[:maxObjects]},
		"none":    {[]any{"secret"}, nil},
		"empty":   {[]any{}, nil},
		"string":  {object, nil},
	} {
		td, err := newTestAnonymizer(t).processTraces(t.Context(), oneSpan(func(s ptrace.Span) {
			must(s.Attributes().FromRaw(map[string]any{semantic.PayloadObjects: tc.in}))
		}))
		require.NoError(t, err)
		require.Equal(t, tc.want, td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().AsRaw()[semantic.PayloadObjects], name)
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	sl := rl.ScopeLogs().AppendEmpty()
	for _, event := range []string{semantic.EventPayload, semantic.EventConnection, "", semantic.EventSegment, "exception", semantic.EventCoverage, semantic.EventDNS, semantic.EventFinding} {
		r := sl.LogRecords().AppendEmpty()
		r.SetEventName(event)
		r.Body().SetStr("secret")
		r.SetSeverityText("secret")
		r.SetSeverityNumber(plog.SeverityNumberInfo)
		r.SetTimestamp(1)
		r.SetObservedTimestamp(2)
		r.Attributes().PutStr(semantic.ConnectionState, "closed")
		r.Attributes().PutStr(semantic.SegmentKey, object)
		r.Attributes().PutStr(semantic.PayloadRequestTarget, "/secret")
	}
	onlyPayload := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	onlyPayload.SetEventName(semantic.EventPayload)

	a := newTestAnonymizer(t)
	ld, err := a.processLogs(t.Context(), ld)
	require.NoError(t, err)
	require.Equal(t, 1, ld.ResourceLogs().Len(), "what is empty goes")
	records := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	require.Equal(t, 5, records.Len())
	for i, event := range []string{semantic.EventConnection, semantic.EventSegment, semantic.EventCoverage, semantic.EventDNS, semantic.EventFinding} {
		r := records.At(i)
		require.Equal(t, event, r.EventName())
		require.Equal(t, pcommon.ValueTypeEmpty, r.Body().Type())
		require.Empty(t, r.SeverityText())
		require.Equal(t, plog.SeverityNumberInfo, r.SeverityNumber())
		require.EqualValues(t, 1, r.Timestamp())
		require.EqualValues(t, 2, r.ObservedTimestamp())
		require.Equal(t, map[string]any{semantic.ConnectionState: "closed", semantic.SegmentKey: object}, r.Attributes().AsRaw())
	}

	ld = plog.NewLogs()
	ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().SetEventName(semantic.EventPayload)
	_, err = a.processLogs(t.Context(), ld)
	require.ErrorIs(t, err, processorhelper.ErrSkipProcessingData)
	_, err = a.processTraces(t.Context(), ptrace.NewTraces())
	require.ErrorIs(t, err, processorhelper.ErrSkipProcessingData)
}

// TestEveryPlace holds the cleaner against pdata: a new setter or part of a type means that
// OTLP has a new place for values, and someone must decide about it in clean.go.
func TestEveryPlace(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		v    any
		want string
	}{
		{ptrace.NewResourceSpans(), "Resource SchemaUrl ScopeSpans"},
		{ptrace.NewScopeSpans(), "SchemaUrl Scope Spans"},
		{ptrace.NewSpan(), "Attributes DroppedAttributesCount DroppedEventsCount DroppedLinksCount EndTimestamp Events Flags Kind Links Name ParentSpanID SpanID StartTimestamp Status TraceID TraceState"},
		{ptrace.NewStatus(), "Code Message"},
		{plog.NewResourceLogs(), "Resource SchemaUrl ScopeLogs"},
		{plog.NewScopeLogs(), "LogRecords SchemaUrl Scope"},
		{plog.NewLogRecord(), "Attributes Body DroppedAttributesCount EventName Flags ObservedTimestamp SeverityNumber SeverityText SpanID Timestamp TraceID"},
		{pcommon.NewResource(), "Attributes DroppedAttributesCount"},
		{pcommon.NewInstrumentationScope(), "Attributes DroppedAttributesCount Name Version"},
		{pcommon.NewTraceState(), "AsRaw"},
	} {
		typ := reflect.TypeOf(tc.v)
		var parts []string
		for i := range typ.NumMethod() {
			if m := typ.Method(i); m.Type.NumIn() == 1 {
				parts = append(parts, m.Name)
			}
		}
		require.Equal(t, tc.want, strings.Join(parts, " "), typ)
	}
	require.Equal(t, []pcommon.ValueType{0, 1, 2, 3, 4, 5, 6, 7}, []pcommon.ValueType{pcommon.ValueTypeEmpty, pcommon.ValueTypeStr, pcommon.ValueTypeInt,
		pcommon.ValueTypeDouble, pcommon.ValueTypeBool, pcommon.ValueTypeMap, pcommon.ValueTypeSlice, pcommon.ValueTypeBytes})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	a, err := newAnonymizer(tel.NewTelemetrySettings(), testConfig("test"))
	require.NoError(t, err)

	td := oneSpan(func(s ptrace.Span) {
		must(s.Attributes().FromRaw(map[string]any{
			"http.request.header.cookie": "secret", "secret.key": "secret", semantic.ServerPort: "443", semantic.ServerAddress: "a b", semantic.URLPath: "/users/42",
		}))
	})
	td.ResourceSpans().At(0).ScopeSpans().At(0).Scope().Attributes().PutStr("secret", "secret")
	_, err = a.processTraces(t.Context(), td)
	require.NoError(t, err)
	ld := plog.NewLogs()
	sl := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	for _, e := range []string{semantic.EventPayload, semantic.EventPayload, "secret", semantic.EventConnection} {
		sl.LogRecords().AppendEmpty().SetEventName(e)
	}
	_, err = a.processLogs(t.Context(), ld)
	require.NoError(t, err)

	labels := map[string]int64{}
	for _, name := range []string{"removed_attributes", "cleaned_attributes", "removed_records"} {
		m, err := tel.GetMetric("otelcol_processor_anonymize_" + name)
		require.NoError(t, err)
		for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
			labels[name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Value
		}
	}
	require.Equal(t, map[string]int64{
		"removed_attributes reason=not_allowed":   2,
		"removed_attributes reason=wrong_type":    1,
		"removed_attributes reason=invalid_value": 1,
		"removed_attributes reason=scope":         1,
		"cleaned_attributes ":                     1,
		"removed_records event=qpoint.payload":    2,
		"removed_records event=other":             1,
	}, labels)
}
