// SPDX-License-Identifier: Apache-2.0

//go:build linux

package pulseexporter

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/exporter/pulseexporter/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/extension/localclickhouseextension"
	"github.com/qpoint-io/otelcol-qpoint/internal/privacy"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const policy = "policy-of-the-test"

// host has a real local_clickhouse and remembers status events.
type host struct {
	extensions map[component.ID]component.Component
	events     []*componentstatus.Event
}

func (h *host) GetExtensions() map[component.ID]component.Component { return h.extensions }
func (h *host) Report(e *componentstatus.Event)                     { h.events = append(h.events, e) }

var engineID = component.MustNewID("local_clickhouse")

func newHost(t testing.TB) *host {
	t.Helper()
	factory := localclickhouseextension.NewFactory()
	cfg := factory.CreateDefaultConfig().(*localclickhouseextension.Config)
	cfg.DataDir = t.TempDir()
	ext, err := factory.Create(context.Background(), extensiontest.NewNopSettings(factory.Type()), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, ext.Shutdown(context.Background())) })
	if err := ext.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		if strings.Contains(err.Error(), "libchdb (the embedded ClickHouse) was not found") && os.Getenv("CI") != "true" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(privacy.RegisterPolicy(policy))
	return &host{extensions: map[component.ID]component.Component{engineID: ext}}
}

// direct is a config without a queue: a push answers its caller.
func direct() *Config {
	cfg := newDefaultConfig()
	cfg.ClickHouse = &engineID
	cfg.Queue = configoptional.None[exporterhelper.QueueBatchConfig]()
	cfg.Retry.Enabled = false
	return cfg
}

func (h *host) reader(t testing.TB) (*pulsestore.Store, func(table string) uint64) {
	t.Helper()
	opts := h.extensions[engineID].(pulsestore.Engine).ClickHouseOptions()
	store, err := pulsestore.Open(opts, "qpoint")
	require.NoError(t, err)
	conn, err := clickhouse.Open(opts)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()); assert.NoError(t, conn.Close()) })
	return store, func(table string) (n uint64) {
		require.NoError(t, conn.QueryRow(context.Background(), "SELECT count() FROM qpoint."+table).Scan(&n))
		return n
	}
}

func putResource(r pcommon.Resource, stamp string) {
	m := r.Attributes()
	for k, v := range map[string]string{
		semantic.Environment: "production", semantic.ServiceName: "shop", semantic.HostID: "host-1", semantic.HostName: "h1",
		semantic.ProcessExecutablePath: "/usr/bin/curl", semantic.ProcessOwner: "www", semantic.ContainerID: "c0ffee", semantic.K8sPodUID: "pod-1",
	} {
		m.PutStr(k, v)
	}
	m.PutInt(semantic.ProcessPID, 4242)
	if stamp != "" {
		m.PutStr(semantic.Anonymized, stamp)
	}
}

var testTime = time.Now().Add(-time.Minute).UTC().Truncate(time.Second).Add(123456789)

const testKey = "default/2026/11/24/07/host-1/01ARZ3NDEKTSV4RRFFQ69G5FAV.zip"

func putSpan(span ptrace.Span, n int) {
	var trace [16]byte
	var id [8]byte
	binary.BigEndian.PutUint64(trace[8:], uint64(n)+1)
	binary.BigEndian.PutUint64(id[:], uint64(n)+1)
	span.SetTraceID(trace)
	span.SetSpanID(id)
	span.SetParentSpanID([8]byte{9})
	span.SetKind(ptrace.SpanKindClient)
	span.SetName("GET")
	span.SetStartTimestamp(pcommon.NewTimestampFromTime(testTime))
	span.SetEndTimestamp(pcommon.NewTimestampFromTime(testTime.Add(5 * time.Millisecond)))
	m := span.Attributes()
	for k, v := range map[string]string{
		semantic.ConnectionID: "ffffffff00000001", semantic.HTTPRequestMethod: "GET", semantic.URLScheme: "https", semantic.ServerAddress: "api.example.com",
		semantic.NetworkLocalAddress: "10.1.2.3", semantic.NetworkPeerAddress: "2001:db8::1", semantic.URLPath: "/items/{id}", semantic.URLTemplate: "/items/{id}",
		semantic.URLQuery: "a=", semantic.ErrorType: "404", semantic.NetworkProtocolVersion: "1.1", semantic.TLSProtocolVersion: "1.3", semantic.TLSCipher: "c",
		semantic.PayloadState: "pending", semantic.PayloadReason: "r", semantic.PayloadVisibility: "visible",
	} {
		m.PutStr(k, v)
	}
	for k, v := range map[string]int64{
		semantic.ExchangeSequence: 3, semantic.ServerPort: 443, semantic.NetworkLocalPort: 50123, semantic.NetworkPeerPort: 8443, semantic.HTTPResponseStatusCode: 404,
		semantic.TimingSend: 1, semantic.TimingWait: 2, semantic.TimingReceive: 3, semantic.HTTPRequestBodySize: 4, semantic.HTTPResponseBodySize: 5,
	} {
		m.PutInt(k, v)
	}
	m.PutEmptySlice(semantic.PayloadObjects).AppendEmpty().SetStr(testKey)
}

func traces(n int, stamp string) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	putResource(rs.Resource(), stamp)
	spans := rs.ScopeSpans().AppendEmpty().Spans()
	for i := range n {
		putSpan(spans.AppendEmpty(), i)
	}
	return td
}

func logs(stamp string) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	putResource(rl.Resource(), stamp)
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	for sequence, state := range []string{"open", "closed"} {
		r := records.AppendEmpty()
		r.SetEventName(semantic.EventConnection)
		r.SetTimestamp(pcommon.NewTimestampFromTime(testTime.Add(time.Duration(sequence) * time.Second)))
		m := r.Attributes()
		for k, v := range map[string]string{
			semantic.ConnectionID: "ffffffff00000001", semantic.ConnectionState: state, semantic.ConnectionRole: "client", semantic.ConnectionCloseReason: "fin",
			semantic.NetworkLocalAddress: "10.1.2.3", semantic.NetworkPeerAddress: "::ffff:10.9.9.9", semantic.ServerAddress: "api.example.com",
			semantic.NetworkProtocolName: "http", semantic.NetworkProtocolVersion: "1.1", semantic.TLSProtocolVersion: "1.3", semantic.TLSCipher: "c",
			semantic.TLSClientJA3: "ada70206e40642a3e4461f35503241d5", semantic.TLSClientJA4: "t13d1516h2_8daaf6152771_e5627efa2ab1",
			semantic.TLSServerSubject: "CN=a", semantic.TLSServerIssuer: "CN=b", semantic.TLSServerNotBefore: "2026-01-31T23:59:59.000Z", semantic.TLSServerNotAfter: "9999-12-31T23:59:59.000Z",
			semantic.TLSNextProtocol: "http/1.1", semantic.PayloadVisibility: "visible", semantic.PayloadReason: "why",
		} {
			m.PutStr(k, v)
		}
		for k, v := range map[string]int64{
			semantic.ConnectionSequence: int64(sequence), semantic.ConnectionStart: testTime.UnixNano(), semantic.ConnectionDuration: 1, semantic.ConnectionSentBytes: 2,
			semantic.ConnectionReceivedBytes: 3, semantic.ConnectionSentPackets: 4, semantic.ConnectionRecvPackets: 5, semantic.ConnectionRetransmits: 6,
			semantic.ConnectionRTT: 7, semantic.ConnectionRequests: 8, semantic.NetworkLocalPort: 50123, semantic.NetworkPeerPort: 443,
		} {
			m.PutInt(k, v)
		}
		m.PutBool(semantic.TLSResumed, false)
	}
	r := records.AppendEmpty()
	r.SetEventName(semantic.EventSegment)
	r.SetTimestamp(pcommon.NewTimestampFromTime(testTime))
	m := r.Attributes()
	m.PutStr(semantic.SegmentKey, testKey)
	m.PutStr(semantic.SegmentState, "sent")
	m.PutInt(semantic.SegmentEntries, 1)
	m.PutInt(semantic.SegmentBytes, 2)
	m.PutInt(semantic.SegmentOpened, testTime.UnixNano())
	m.PutInt(semantic.SegmentClosed, testTime.Add(time.Second).UnixNano())
	return ld
}

var wantOrigin = pulsestore.Origin{
	Environment: "production", ServiceName: "shop", HostID: "host-1", HostName: "h1", PID: 4242, Executable: "/usr/bin/curl", User: "www", ContainerID: "c0ffee", PodUID: "pod-1",
}

var wantRequest = pulsestore.Request{
	Origin: wantOrigin, Time: testTime, TraceID: [16]byte{15: 1}, SpanID: [8]byte{7: 1}, ParentSpanID: [8]byte{9}, Kind: "client", ConnectionID: 0xffffffff00000001,
	ExchangeSequence: 3, Method: "GET", Scheme: "https", ServerAddress: "api.example.com", ServerPort: 443, ClientAddress: netip.MustParseAddr("10.1.2.3"), ClientPort: 50123,
	PeerAddress: netip.MustParseAddr("2001:db8::1"), PeerPort: 8443, Path: "/items/{id}", Template: "/items/{id}", Query: "a=", Status: 404, ErrorType: "404",
	ProtocolVersion: "1.1", TLSVersion: "1.3", TLSCipher: "c", Duration: 5 * time.Millisecond, TimingSend: 1, TimingWait: 2, TimingReceive: 3, RequestBodySize: 4,
	ResponseBodySize: 5, PayloadState: "pending", PayloadReason: "r", PayloadObject: testKey, PayloadVisible: true,
}

func TestStore(t *testing.T) {
	h := newHost(t)
	ctx := context.Background()
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(ctx)) }()
	set := exportertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	te, err := newTraces(ctx, set, direct())
	require.NoError(t, err)
	le, err := newLogs(ctx, set, direct())
	require.NoError(t, err)
	require.NoError(t, te.Start(ctx, h))
	require.NoError(t, le.Start(ctx, h))
	defer func() { require.NoError(t, te.Shutdown(ctx)); require.NoError(t, le.Shutdown(ctx)) }()

	// Twice, as a retry does whose first answer was lost.
	for range 2 {
		require.NoError(t, te.ConsumeTraces(ctx, traces(3, policy)))
		require.NoError(t, le.ConsumeLogs(ctx, logs(policy)))
	}
	store, count := h.reader(t)
	assert.EqualValues(t, 3, count("requests"))
	assert.EqualValues(t, 1, count("connections"), "an insert keeps the newest of its own rows")
	assert.EqualValues(t, 1, count("payload_objects"))

	r, err := store.Request(ctx, pulsestore.OnlyEnvironment("production"), wantRequest.TraceID, wantRequest.SpanID)
	require.NoError(t, err)
	assert.Equal(t, &wantRequest, r)
	connections, _, err := store.Connections(ctx, pulsestore.ConnectionQuery{Selection: pulsestore.Selection{Scope: pulsestore.EveryEnvironment()}, Limit: 10})
	require.NoError(t, err)
	assert.Equal(t, []pulsestore.Connection{{
		Time: testTime.Add(time.Second), Start: testTime, ConnectionID: 0xffffffff00000001, Sequence: 1, State: "closed", Role: "client", CloseReason: "fin",
		Origin: wantOrigin, LocalAddress: netip.MustParseAddr("10.1.2.3"), LocalPort: 50123, PeerAddress: netip.MustParseAddr("10.9.9.9"), PeerPort: 443,
		ServerAddress: "api.example.com", Protocol: "http", ProtocolVersion: "1.1", TLSVersion: "1.3", TLSCipher: "c", TLSNextProtocol: "http/1.1", SentBytes: 2,
		ReceivedBytes: 3, SentPackets: 4, ReceivedPackets: 5, Retransmits: 6, RTT: 7, Duration: 1, Requests: 8, Visibility: "visible", Reason: "why",
		Handshake: pulsestore.Handshake{
			TLSResumed: new(false), TLSClientJA3: "ada70206e40642a3e4461f35503241d5", TLSClientJA4: "t13d1516h2_8daaf6152771_e5627efa2ab1", TLSServerSubject: "CN=a", TLSServerIssuer: "CN=b",
			TLSServerNotBefore: time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC), TLSServerNotAfter: time.Date(2262, 4, 11, 23, 47, 16, 0, time.UTC),
		},
	}}, connections)
	objects, err := store.PayloadObjects(ctx, pulsestore.EveryEnvironment(), []string{testKey})
	require.NoError(t, err)
	assert.Equal(t, map[pulsestore.ObjectID]pulsestore.PayloadObject{{Environment: "production", Key: testKey}: {
		Time: testTime, Key: testKey, Environment: "production", HostID: "host-1", State: "sent", Entries: 1, Bytes: 2, Opened: testTime, Closed: testTime.Add(time.Second),
		RetentionClass: "default",
	}}, objects)
	assert.EqualValues(t, 6, sum(t, tel, "otelcol_exporter_pulse_rows", "table", "requests"))
	assert.Empty(t, h.events)
}

func sum(t *testing.T, tel *componenttest.Telemetry, name, key, value string) (n int64) {
	t.Helper()
	m, err := tel.GetMetric(name)
	if err != nil {
		return 0
	}
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		if v, ok := p.Attributes.Value(attribute.Key(key)); ok && v.AsString() == value {
			n += p.Value
		}
	}
	return n
}

func TestRefusals(t *testing.T) {
	h := newHost(t)
	ctx := context.Background()
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(ctx)) }()
	set := exportertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	te, err := newTraces(ctx, set, direct())
	require.NoError(t, err)
	le, err := newLogs(ctx, set, direct())
	require.NoError(t, err)
	require.NoError(t, te.Start(ctx, h))
	require.NoError(t, le.Start(ctx, h))
	defer func() { require.NoError(t, te.Shutdown(ctx)); require.NoError(t, le.Shutdown(ctx)) }()
	_, count := h.reader(t)

	stored := uint64(0)
	refuse := func(name string, why reason, td ptrace.Traces) {
		t.Run(name, func(t *testing.T) {
			before := sum(t, tel, "otelcol_exporter_pulse_refused", "reason", string(why))
			h.events = nil
			// A good resource beside the bad one must still be stored.
			good := traces(1, policy)
			span := good.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
			stored++
			putSpan(span, 1000+int(stored))
			good.ResourceSpans().MoveAndAppendTo(td.ResourceSpans())
			err := te.ConsumeTraces(ctx, td)
			require.Error(t, err)
			assert.True(t, consumererror.IsPermanent(err), "%v", err)
			assert.EqualValues(t, stored, count("requests"))
			assert.EqualValues(t, 1, sum(t, tel, "otelcol_exporter_pulse_refused", "reason", string(why))-before)
			require.NotEmpty(t, h.events)
			assert.Equal(t, componentstatus.StatusRecoverableError, h.events[len(h.events)-1].Status())
		})
	}
	change := func(f func(ptrace.Span)) ptrace.Traces {
		td := traces(1, policy)
		f(td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0))
		return td
	}
	refuse("no stamp", reasonUnstamped, traces(1, ""))
	refuse("a stamp of another process", reasonUnstamped, traces(1, "forged"))
	refuse("foreign span", reasonForeign, change(func(s ptrace.Span) { s.Attributes().Clear() }))
	refuse("internal span", reasonForeign, change(func(s ptrace.Span) { s.SetKind(ptrace.SpanKindInternal) }))
	refuse("connection id", reasonMalformed, change(func(s ptrace.Span) { s.Attributes().PutStr(semantic.ConnectionID, "not-hex-at-all!!") }))
	refuse("no trace id", reasonMalformed, change(func(s ptrace.Span) { s.SetTraceID([16]byte{}) }))
	refuse("object key", reasonMalformed, change(func(s ptrace.Span) {
		s.Attributes().PutEmptySlice(semantic.PayloadObjects).AppendEmpty().SetStr("../../etc/passwd")
	}))
	refuse("too old", reasonTime, change(func(s ptrace.Span) { s.SetStartTimestamp(1) }))
	refuse("future", reasonTime, change(func(s ptrace.Span) {
		s.SetStartTimestamp(pcommon.NewTimestampFromTime(time.Now().Add(48 * time.Hour)))
	}))

	// A payload record, stamped by mistake, is as foreign as any other log.
	ld := logs(policy)
	payload := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().AppendEmpty()
	payload.SetEventName(semantic.EventPayload)
	payload.Attributes().PutEmptyBytes(semantic.PayloadResponseBody).FromRaw([]byte("secret"))
	err = le.ConsumeLogs(ctx, ld)
	require.True(t, consumererror.IsPermanent(err))
	assert.NotContains(t, err.Error(), "secret")
	assert.EqualValues(t, 1, count("connections"))
	assert.True(t, consumererror.IsPermanent(le.ConsumeLogs(ctx, logs(""))))

	// The status recovers with a push that is all good.
	h.events = nil
	require.NoError(t, te.ConsumeTraces(ctx, change(func(s ptrace.Span) { putSpan(s, 5000) })))
	require.Len(t, h.events, 1)
	assert.Equal(t, componentstatus.StatusOK, h.events[0].Status())
}

// TestQueueOutlivesThePolicy drains the queue after the processor, and so its policy, is gone, as
// every shutdown does.
func TestQueueOutlivesThePolicy(t *testing.T) {
	h := newHost(t)
	ctx := context.Background()
	cfg := newDefaultConfig()
	cfg.ClickHouse = &engineID
	cfg.Queue.Get().Batch.Get().FlushTimeout = time.Hour
	te, err := newTraces(ctx, exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	for range 2 { // Start, Shutdown, Start
		unregister := privacy.RegisterPolicy("short-lived")
		require.NoError(t, te.Start(ctx, h))
		require.NoError(t, te.ConsumeTraces(ctx, traces(5, "short-lived")))
		unregister()
		require.NoError(t, te.Shutdown(ctx))
		te, err = newTraces(ctx, exportertest.NewNopSettings(metadata.Type), cfg)
		require.NoError(t, err)
	}
	require.NoError(t, te.Shutdown(ctx), "Shutdown without Start")
	_, count := h.reader(t)
	assert.EqualValues(t, 5, count("requests"))
}

func TestStartFailures(t *testing.T) {
	ctx := context.Background()
	start := func(cfg *Config, h component.Host) error {
		te, err := newTraces(ctx, exportertest.NewNopSettings(metadata.Type), cfg)
		require.NoError(t, err)
		defer func() { require.NoError(t, te.Shutdown(ctx)) }()
		return te.Start(ctx, h)
	}
	require.ErrorContains(t, start(direct(), &host{}), "not an extension of this service")
	require.ErrorContains(t, start(direct(), &host{extensions: map[component.ID]component.Component{engineID: nopExtension{}}}), "brings no ClickHouse")

	// A server that is away does not keep the collector from starting.
	away := direct()
	away.ClickHouse, away.Endpoint = nil, "http://127.0.0.1:1"
	h := &host{}
	require.NoError(t, start(away, h))
	require.Len(t, h.events, 1)
	assert.Equal(t, componentstatus.StatusRecoverableError, h.events[0].Status())
}

// TestOlderSchema: who may not make tables says at the start that they are not there, or not those of today.
func TestOlderSchema(t *testing.T) {
	h := newHost(t)
	ctx := context.Background()
	cfg := direct()
	cfg.CreateSchema = false
	start := func() error {
		te, err := newTraces(ctx, exportertest.NewNopSettings(metadata.Type), cfg)
		require.NoError(t, err)
		defer func() { require.NoError(t, te.Shutdown(ctx)) }()
		return te.Start(ctx, h)
	}
	require.ErrorContains(t, start(), "database \"qpoint\" has no tables of ours: let one collector make them by `pulse` with `create_schema: true`")
	store, _ := h.reader(t)
	require.NoError(t, store.Migrate(ctx, pulsestore.SchemaOptions{}))
	require.NoError(t, start())
	conn, err := clickhouse.Open(h.extensions[engineID].(pulsestore.Engine).ClickHouseOptions())
	require.NoError(t, err)
	defer func() { assert.NoError(t, conn.Close()) }()
	require.NoError(t, conn.Exec(ctx, "DELETE FROM qpoint.schema_migrations WHERE version > 7"))
	require.ErrorContains(t, start(), "lacks version 8 (process_rollups) of its tables")
	require.NoError(t, conn.Exec(ctx, "INSERT INTO qpoint.schema_migrations SELECT number, 'later', now64(3) FROM numbers(8, 100)"))
	require.NoError(t, start(), "newer tables have all that is written")
}

type nopExtension struct {
	component.StartFunc
	component.ShutdownFunc
}

// cpuPerRow reports the CPU time of this process, which a busy machine distorts less than the clock.
func cpuPerRow(b *testing.B, run func() (rows int)) {
	var before, after unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &before))
	rows := run()
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &after))
	used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(used)/float64(rows), "cpu-ns/row")
}

// TestEndpoint stores through an HTTP URL; a loopback proxy to the embedded engine stands in for a server.
func TestEndpoint(t *testing.T) {
	h := newHost(t)
	server := httptest.NewServer(h.handler())
	defer server.Close()
	cfg := at(server.URL)
	require.NoError(t, cfg.Validate())
	ctx := context.Background()
	te, err := newTraces(ctx, exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, te.Start(ctx, &host{}))
	require.NoError(t, te.ConsumeTraces(ctx, traces(7, policy)))
	require.NoError(t, te.Shutdown(ctx))
	_, count := h.reader(t)
	assert.EqualValues(t, 7, count("requests"))
}

// BenchmarkPush measures pdata to stored rows, the engine's work included.
func BenchmarkPush(b *testing.B) {
	h := newHost(b)
	ctx := context.Background()
	te, err := newTraces(ctx, exportertest.NewNopSettings(metadata.Type), direct())
	require.NoError(b, err)
	require.NoError(b, te.Start(ctx, h))
	defer func() { _ = te.Shutdown(ctx) }()
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			td := traces(n, policy)
			b.ReportAllocs()
			cpuPerRow(b, func() int {
				round := 0
				for b.Loop() {
					round++
					// New identities, or the engine would skip the insert.
					for i, span := range td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().All() {
						var id [8]byte
						binary.BigEndian.PutUint64(id[:], uint64(n)<<48|uint64(round)<<20|uint64(i))
						span.SetSpanID(id)
					}
					if err := te.ConsumeTraces(ctx, td); err != nil {
						b.Fatal(err)
					}
				}
				return n * round
			})
		})
	}
}

// BenchmarkConvert measures pdata to columns alone.
func BenchmarkConvert(b *testing.B) {
	td := traces(10_000, policy)
	b.ReportAllocs()
	cpuPerRow(b, func() (rows int) {
		for b.Loop() {
			c := newConverter(time.Now(), pulsestore.Retention{})
			c.traces(td)
			if c.rows.Len() != 10_000 {
				b.Fatal(c.refused)
			}
			rows += c.rows.Len()
			c.release()
		}
		return rows
	})
}
