// SPDX-License-Identifier: Apache-2.0

//go:build linux

package pulsestore_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/qpoint-io/otelcol-qpoint/extension/localclickhouseextension"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// engine starts the embedded ClickHouse for one test.
func engine(t testing.TB) *clickhouse.Options {
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
	return ext.(pulsestore.Engine).ClickHouseOptions()
}

func openStore(t testing.TB, opts *clickhouse.Options) *pulsestore.Store {
	t.Helper()
	s, err := pulsestore.Open(opts, "qpoint")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

func newStore(t testing.TB) *pulsestore.Store {
	t.Helper()
	s := openStore(t, engine(t))
	require.NoError(t, s.Migrate(context.Background(), keep(30*24*time.Hour)))
	return s
}

// everything asks for all rows of all environments.
var everything = pulsestore.Selection{Scope: pulsestore.EveryEnvironment()}

// all asks for all rows of one environment in a time range.
func all(environment string, from, to time.Time) pulsestore.Selection {
	return pulsestore.Selection{Scope: pulsestore.OnlyEnvironment(environment), From: from, To: to}
}

func keep(ttl time.Duration) pulsestore.SchemaOptions {
	return pulsestore.SchemaOptions{Retention: pulsestore.Retention{TTL: ttl}}
}

// origin has a different value in every field, so that a column that is swapped shows.
var origin = pulsestore.Origin{
	Environment: "production", ServiceName: "shop", ServiceNamespace: "sales", HostID: "host-1", HostName: "h1", PID: 4242, Executable: "/usr/bin/curl", User: "www",
	ContainerID: "c0ffee", PodUID: "pod-1", PodName: "shop-abc", K8sNamespace: "store", K8sNode: "node-7", K8sContainer: "app", K8sDeployment: "shop-d",
}

// base is a recent time with nanoseconds, as TTL would drop an old one.
var base = time.Now().Add(-time.Hour).UTC().Truncate(time.Second).Add(123456789)

// request has a different value in every field, so that a column that is swapped shows.
func request(n int) pulsestore.Request {
	r := pulsestore.Request{
		Origin: origin, Time: base.Add(time.Duration(n) * time.Millisecond), Kind: "client", ConnectionID: 1<<63 + uint64(n%10), ExchangeSequence: 7,
		Method: "GET", Scheme: "https", ServerAddress: fmt.Sprintf("api%d.example.com", n%3), ServerPort: 443, ClientAddress: netip.MustParseAddr("10.1.2.3"),
		ClientPort: 50123, PeerAddress: netip.MustParseAddr("2001:db8::1"), PeerPort: 8443, Path: fmt.Sprintf("/items/{id}/%d", n), Template: "/items/{id}/{n}", Query: "a=&b=",
		Status: uint16(200 + n%5*100), ErrorType: "e", ProtocolVersion: "1.1", TLSVersion: "1.3", TLSCipher: "TLS_AES_128_GCM_SHA256", Duration: 1111 * time.Microsecond,
		TimingSend: 11 * time.Microsecond, TimingWait: 22 * time.Microsecond, TimingReceive: 33 * time.Microsecond, RequestBodySize: 5, ResponseBodySize: 1 << 40,
		PayloadState: "pending", PayloadReason: "r", PayloadObject: "default/2026/01/01/00/h/01.zip", PayloadVisible: true,
		RPCSystem: "grpc", RPCMethod: "pkg.Service/Method", RPCStatus: "OK", RequestMessages: 21, ResponseMessages: 22, CloseCode: 1000,
	}
	binary.BigEndian.PutUint64(r.TraceID[8:], uint64(n))
	binary.BigEndian.PutUint64(r.SpanID[:], uint64(n)|1<<60)
	binary.BigEndian.PutUint64(r.ParentSpanID[:], uint64(n)|1<<61)
	return r
}

func connection(id uint64, sequence uint32) pulsestore.Connection {
	return pulsestore.Connection{
		Time: base.Add(time.Duration(sequence) * time.Second), Start: base.Add(time.Duration(id) * time.Millisecond), ConnectionID: id, Sequence: sequence, State: "established",
		Role: "client", CloseReason: "fin", Origin: origin, LocalAddress: netip.MustParseAddr("10.1.2.3"), LocalPort: 50123, PeerAddress: netip.MustParseAddr("2001:db8::1"),
		PeerPort: 443, ServerAddress: "api.example.com", Protocol: "http", ProtocolVersion: "1.1", TLSVersion: "1.3", TLSCipher: "c", TLSNextProtocol: "http/1.1",
		SentBytes: 1, ReceivedBytes: 2, SentPackets: 3, ReceivedPackets: 4, Retransmits: 5, RTT: 6 * time.Millisecond, Duration: 7 * time.Second, Requests: 8,
		Visibility: "visible", Reason: "why", Transport: "tcp", NameSource: "dns",
		Handshake: pulsestore.Handshake{
			TLSClientJA3: "ja3", TLSClientJA4: "ja4", TLSServerSubject: "CN=a", TLSServerIssuer: "CN=b",
			TLSServerNotBefore: base.Truncate(time.Second), TLSServerNotAfter: time.Date(2262, 4, 11, 23, 47, 16, 0, time.UTC),
		},
	}
}

func object(key, state string, at time.Time) pulsestore.PayloadObject {
	return pulsestore.PayloadObject{Time: at, Key: key, Environment: "production", HostID: "h", State: state, Reason: "r", Entries: 3, Bytes: 4, Opened: base, Closed: base.Add(time.Second),
		Size: 9, SHA256: [32]byte{1, 31: 2}, Expires: base.Truncate(time.Second), RetentionClass: "short"}
}

func TestRoundTrip(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	rows := pulsestore.NewRows()
	want := make([]pulsestore.Request, 25)
	for n := range want {
		want[n] = request(n)
		rows.AddRequest(&want[n])
	}
	bare := pulsestore.Request{Time: base.Add(-time.Minute), TraceID: [16]byte{1}, SpanID: [8]byte{1}}
	rows.AddRequest(&bare)
	part := request(1000)
	part.Part, part.Time = 2, want[3].Time
	rows.AddRequest(&part)
	entry := pulsestore.PayloadEntry{Time: base, TraceID: want[3].TraceID, SpanID: want[3].SpanID, Environment: "production", HostID: "h", ConnectionID: 7, Key: "k1", Offset: 11, Length: 12}
	rows.AddPayloadEntry(&entry)
	query := pulsestore.DNSQuery{Origin: origin, Time: base, Role: "client", Name: "api.example.com", Type: "AAAA", ResponseCode: "NOERROR", ErrorType: "e", Answers: 3,
		Duration: 4 * time.Millisecond, Transport: "udp", LocalAddress: netip.MustParseAddr("10.1.2.3"), LocalPort: 5, PeerAddress: netip.MustParseAddr("10.1.2.4"), PeerPort: 53}
	rows.AddDNSQuery(&query)
	found := pulsestore.Finding{Origin: origin, Time: base, TraceID: want[3].TraceID, SpanID: want[3].SpanID, Kind: "card", Message: "request", Location: "json", Place: "user.cards[].number", Role: "client",
		ServerAddress: "api.example.com", ServerPort: 443, Count: 3}
	again, skipped, elsewhere := found, found, found
	again.Time, again.SpanID, again.Count = base.Add(time.Second), want[4].SpanID, 4
	again.HostID = "host-2"
	skipped.Kind, skipped.Reason, skipped.Location, skipped.Place, skipped.Count = "", "cpu_budget", "", "", 1
	elsewhere.Environment = "staging"
	for _, f := range []*pulsestore.Finding{&found, &again, &skipped, &elsewhere} {
		rows.AddFinding(f)
	}
	event := pulsestore.AuditEvent{Time: base, ID: [16]byte{7}, Environment: "production", Actor: "ann", Role: "payload:read", Address: netip.MustParseAddr("10.1.2.9"), Action: "payload.link",
		Outcome: "allowed", Reason: "r", TraceID: want[3].TraceID, SpanID: want[3].SpanID, Detail: "d", Count: 1}
	rows.AddAuditEvent(&event)
	old, newer := connection(1, 0), connection(1, 2)
	newer.State, newer.TLSResumed = "closed", new(true)
	other := connection(2, 0)
	for _, c := range []*pulsestore.Connection{&newer, &old, &other} {
		rows.AddConnection(c)
	}
	lost, sent := object("k1", "lost", base), object("k1", "sent", base.Add(time.Second))
	rows.AddPayloadObject(&sent)
	rows.AddPayloadObject(&lost)
	seen := pulsestore.Coverage{Origin: origin, Time: base, Subject: "process", Name: "curl", State: "seen", Count: 7}
	unseen := seen
	unseen.State, unseen.Reason, unseen.Advice, unseen.Count = "not_seen", "no_secret", "do this", 2
	lacks := pulsestore.Coverage{Origin: pulsestore.Origin{Environment: "production", HostID: "host-1"}, Time: base, Subject: "feature", Name: "CAP_BPF", State: "missing", Reason: "capability"}
	has := lacks
	has.Time, has.State, has.Reason = base.Add(time.Second), "supported", ""
	for _, c := range []*pulsestore.Coverage{&has, &seen, &unseen, &lacks} {
		rows.AddCoverage(c)
	}
	require.NoError(t, s.Insert(ctx, rows))
	assert.Equal(t, map[string]int{"requests": 27, "connections": 3, "payload_objects": 2, "payload_entries": 1, "coverage": 4, "dns": 1, "findings": 4, "audit": 1}, rows.Counts())

	covered, err := s.Coverage(ctx, pulsestore.CoverageQuery{Selection: all("production", base.Add(-time.Hour), base.Add(time.Hour)), Limit: 10})
	require.NoError(t, err)
	assert.Equal(t, []pulsestore.Coverage{has, unseen, seen}, covered, "the newest of each, by subject")
	covered, err = s.Coverage(ctx, pulsestore.CoverageQuery{Selection: all("", base.Add(-time.Hour), base.Add(time.Hour)), Limit: 10, HostID: "host-1", Subject: "feature"})
	require.NoError(t, err)
	assert.Equal(t, []pulsestore.Coverage{has}, covered)
	covered, err = s.Coverage(ctx, pulsestore.CoverageQuery{Selection: all("staging", time.Time{}, time.Time{}), Limit: 10})
	require.NoError(t, err)
	assert.Empty(t, covered)

	entries, err := s.PayloadEntries(ctx, pulsestore.OnlyEnvironment("production"), want[3].TraceID, want[3].SpanID)
	require.NoError(t, err)
	assert.Equal(t, []pulsestore.PayloadEntry{entry}, entries)
	queries, err := s.DNSQueries(ctx, pulsestore.DNSFilter{Selection: all("production", time.Time{}, time.Time{}), Limit: 10, Name: "api.example.com"})
	require.NoError(t, err)
	assert.Equal(t, []pulsestore.DNSQuery{query}, queries)
	groups, err := s.Findings(ctx, pulsestore.FindingQuery{Selection: all("production", time.Time{}, time.Time{}), Limit: 10})
	require.NoError(t, err)
	require.Len(t, groups, 2)
	newest := again
	newest.Origin, newest.Count = pulsestore.Origin{Environment: origin.Environment, ServiceName: origin.ServiceName, Executable: origin.Executable}, 7
	assert.Equal(t, pulsestore.FindingGroup{Finding: newest, FirstSeen: base, Hosts: 2}, groups[0])
	assert.Equal(t, "cpu_budget", groups[1].Reason)
	groups, err = s.Findings(ctx, pulsestore.FindingQuery{Selection: pulsestore.Selection{Scope: pulsestore.EveryEnvironment(), Filter: parse(t, pulsestore.OfFindings, "kind:card place:*cards* server:api.* -env:staging")}, Limit: 10})
	require.NoError(t, err)
	assert.Len(t, groups, 1)
	events, err := s.AuditEvents(ctx, pulsestore.AuditFilter{Selection: all("production", time.Time{}, time.Time{}), Limit: 10, Actor: "ann", Action: "payload.link"})
	require.NoError(t, err)
	assert.Equal(t, []pulsestore.AuditEvent{event}, events)
	require.Error(t, s.Audit(ctx, pulsestore.AuditEvent{Time: base}), "an event without an id could be replaced")
	withParts, _, err := s.Requests(ctx, pulsestore.RequestQuery{Selection: pulsestore.Selection{Scope: pulsestore.EveryEnvironment(), Filter: parse(t, pulsestore.OfRequests, "part:>=0")}, Limit: 100})
	require.NoError(t, err)
	assert.Len(t, withParts, 27)
	assert.Contains(t, withParts, part)
	named, err := s.Request(ctx, pulsestore.EveryEnvironment(), part.TraceID, part.SpanID)
	require.NoError(t, err)
	assert.Equal(t, &part, named, "a part is found by its name")

	one, err := s.Request(ctx, pulsestore.OnlyEnvironment("production"), want[3].TraceID, want[3].SpanID)
	require.NoError(t, err)
	assert.Equal(t, &want[3], one)
	none, err := s.Request(ctx, pulsestore.OnlyEnvironment("staging"), want[3].TraceID, want[3].SpanID)
	require.NoError(t, err)
	assert.Nil(t, none)
	one, err = s.Request(ctx, pulsestore.OnlyEnvironment(""), bare.TraceID, bare.SpanID)
	require.NoError(t, err)
	assert.Equal(t, &bare, one, "zero values must come back as such")

	// Pages, newest first, without a gap or a repetition.
	q := pulsestore.RequestQuery{Selection: all("production", base, base.Add(time.Hour)), Limit: 10}
	var got []pulsestore.Request
	for pages := 1; ; pages++ {
		page, next, err := s.Requests(ctx, q)
		require.NoError(t, err)
		got = append(got, page...)
		if next == nil {
			assert.Equal(t, 3, pages)
			break
		}
		q.After = next
	}
	require.Len(t, got, 25)
	for i := range got {
		assert.Equal(t, want[24-i], got[i])
	}

	connections, _, err := s.Connections(ctx, pulsestore.ConnectionQuery{Selection: everything, Limit: 10})
	require.NoError(t, err)
	assert.Equal(t, []pulsestore.Connection{other, newer}, connections)

	// An agent that was restarted begins anew with a connection that is still open.
	superseding := pulsestore.NewRows()
	restarted := connection(2, 0)
	restarted.Start, restarted.State = restarted.Start.Add(time.Minute), "closed"
	superseding.AddConnection(&restarted)
	require.NoError(t, s.Insert(ctx, superseding))
	connections, _, err = s.Connections(ctx, pulsestore.ConnectionQuery{Selection: everything, Limit: 10})
	require.NoError(t, err)
	assert.Equal(t, []pulsestore.Connection{restarted, newer}, connections, "what the one before said last is superseded")
	var paged []pulsestore.Connection
	for q := (pulsestore.ConnectionQuery{Selection: everything, Limit: 1}); ; {
		page, next, err := s.Connections(ctx, q)
		require.NoError(t, err)
		paged = append(paged, page...)
		if q.After = next; next == nil {
			break
		}
	}
	assert.Equal(t, connections, paged, "nor does it come on a later page")
	established := everything
	established.Filter = parse(t, pulsestore.OfConnections, "-state:closed connection:"+fmt.Sprintf("%016x", restarted.ConnectionID))
	filtered, _, err := s.Connections(ctx, pulsestore.ConnectionQuery{Selection: established, Limit: 10})
	require.NoError(t, err)
	assert.Empty(t, filtered, "nor when the newer one is not asked for")
	only, err := s.Connection(ctx, pulsestore.EveryEnvironment(), 1)
	require.NoError(t, err)
	assert.Equal(t, &newer, only)
	only, err = s.Connection(ctx, pulsestore.OnlyEnvironment("staging"), 1)
	require.NoError(t, err)
	assert.Nil(t, only)

	objects, err := s.PayloadObjects(ctx, pulsestore.EveryEnvironment(), []string{"k1", "missing"})
	require.NoError(t, err)
	assert.Equal(t, map[pulsestore.ObjectID]pulsestore.PayloadObject{{Environment: "production", Key: "k1"}: sent}, objects)
	objects, err = s.PayloadObjects(ctx, pulsestore.EveryEnvironment(), nil)
	require.NoError(t, err)
	assert.Empty(t, objects)
}

func TestFilters(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	rows := pulsestore.NewRows()
	for n := range 100 {
		r := request(n)
		if n == 42 {
			r.Path, r.Executable, r.Method = "/it's\t\\n {x:String} 'q' ü", "/usr/bin/python3", "POST"
		}
		rows.AddRequest(&r)
	}
	require.NoError(t, s.Insert(ctx, rows))
	for text, want := range map[string]int{
		"":                                       100,
		"env:staging":                            0,
		"env:\"' OR 1=1 --\"":                    0,
		"connection:8000000000000004":            10,
		"server:api1.example.com":                33,
		"server:api*.example.com":                100,
		"-server:api1*":                          67,
		"method:POST":                            1,
		"status:4xx":                             20,
		"status:>=500":                           40,
		"status:(200 OR 500..599)":               40,
		"exe:/usr/bin/python3":                   1,
		"path:/9":                                11,
		`path:"it's"`:                            1,
		`"it's	\\n {x:String} 'q' ü"`:            1,
		"path:%":                                 0,
		"path:/items/{id}/1*":                    11,
		`path:="/items/{id}/1"`:                  1,
		"peer:2001:db8::/32":                     100,
		"client:10.0.0.0/8":                      100,
		"client:10.1.2.3 -peer:::1":              100,
		"client:10.1.2.4":                        0,
		"dur:>1ms dur:<1.2ms":                    100,
		"dur:>2ms":                               0,
		"bytes:>1tb":                             100,
		"request_bytes:5":                        100,
		"visible:true payload:pending":           100,
		"visible:false OR error:!=e":             0,
		"parent:* tls:* -query:*":                0,
		"span:100000000000002a":                  1,
		"trace:0000000000000000000000000000002a": 1,
		"status:* pid:*":                         100,
	} {
		t.Run(text, func(t *testing.T) {
			e, err := filter.Parse(strings.ReplaceAll(text, `\t`, "\t"), pulsestore.FieldsOf(pulsestore.OfRequests))
			require.NoError(t, err)
			got, next, err := s.Requests(ctx, pulsestore.RequestQuery{Selection: pulsestore.Selection{Scope: pulsestore.EveryEnvironment(), Filter: e}, Limit: 1000})
			require.NoError(t, err)
			assert.Nil(t, next)
			assert.Len(t, got, want)
		})
	}
	got, _, err := s.Requests(ctx, pulsestore.RequestQuery{Selection: all("production", base.Add(10*time.Millisecond), base.Add(20*time.Millisecond)), Limit: 1000})
	require.NoError(t, err)
	assert.Len(t, got, 10)
	for _, limit := range []int{0, -1, 1001} {
		_, _, err := s.Requests(ctx, pulsestore.RequestQuery{Selection: everything, Limit: limit})
		assert.Error(t, err)
	}
}

// TestInsertOfEnvironments stores rows that differ by their environment alone.
func TestInsertOfEnvironments(t *testing.T) {
	opts := engine(t)
	s := openStore(t, opts)
	ctx := context.Background()
	require.NoError(t, s.Migrate(ctx, keep(0)))
	conn, err := clickhouse.Open(opts)
	require.NoError(t, err)
	defer conn.Close()
	for _, environment := range []string{"one", "two"} {
		rows := pulsestore.NewRows()
		r, c, o := request(1), connection(1, 1), object("k", "sent", base)
		origin := pulsestore.Origin{Environment: environment, HostID: "h"}
		r.Environment, c.Environment, o.Environment = environment, environment, environment
		rows.AddRequest(&r)
		rows.AddConnection(&c)
		rows.AddPayloadObject(&o)
		rows.AddPayloadEntry(&pulsestore.PayloadEntry{Time: base, Environment: environment, Key: "k", Length: 1})
		rows.AddCoverage(&pulsestore.Coverage{Origin: origin, Time: base, Subject: "process", Name: "p", State: "seen"})
		rows.AddDNSQuery(&pulsestore.DNSQuery{Origin: origin, Time: base, Name: "example.com", Type: "A"})
		require.NoError(t, s.Insert(ctx, rows))
	}
	for _, table := range []string{"requests", "connections", "payload_objects", "payload_entries", "coverage", "dns"} {
		var n uint64
		require.NoError(t, conn.QueryRow(ctx, "SELECT count() FROM qpoint."+table+" FINAL").Scan(&n))
		assert.EqualValues(t, 2, n, table)
	}
}

// TestInsertTwice stores the same push twice, as a retry does, and then the same rows in another
// push, as a queue does that was cut anew after a crash.
func TestInsertTwice(t *testing.T) {
	opts := engine(t)
	s := openStore(t, opts)
	ctx := context.Background()
	require.NoError(t, s.Migrate(ctx, keep(0)))
	push := func(from, to int) *pulsestore.Rows {
		rows := pulsestore.NewRows()
		for n := from; n < to; n++ {
			r, c, o := request(n), connection(uint64(n), 1), object(fmt.Sprint("k", n), "sent", base)
			rows.AddRequest(&r)
			rows.AddConnection(&c)
			rows.AddPayloadObject(&o)
			rows.AddCoverage(&pulsestore.Coverage{Origin: pulsestore.Origin{HostID: "h"}, Time: base, Subject: "process", Name: fmt.Sprint("p", n), State: "seen"})
		}
		return rows
	}
	const n = 30_000 // several pieces of an insert
	conn, err := clickhouse.Open(opts)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.Exec(ctx, "SYSTEM STOP MERGES")) // they would make one row of two before these are counted
	require.NoError(t, s.Insert(ctx, push(0, n)))
	require.NoError(t, s.Insert(ctx, push(0, n)))
	count := func(table, final string) (count uint64) {
		require.NoError(t, conn.QueryRow(ctx, "SELECT count() FROM qpoint."+table+" "+final).Scan(&count))
		return count
	}
	for _, table := range []string{"requests", "connections", "payload_objects", "coverage"} {
		assert.EqualValues(t, n, count(table, ""), "%s: a retry is stored twice", table)
	}
	require.NoError(t, s.Insert(ctx, push(n-10, n+10)))
	for _, table := range []string{"requests", "connections", "payload_objects", "coverage"} {
		assert.EqualValues(t, n+20, count(table, ""), table)
		assert.EqualValues(t, n+10, count(table, "FINAL"), table)
	}
	got, _, err := s.Requests(ctx, pulsestore.RequestQuery{Selection: everything, Limit: 1000})
	require.NoError(t, err)
	seen := map[[8]byte]bool{}
	for _, r := range got {
		assert.False(t, seen[r.SpanID], "a row twice")
		seen[r.SpanID] = true
	}
	assert.Len(t, seen, 1000)
	connections, _, err := s.Connections(ctx, pulsestore.ConnectionQuery{Selection: everything, Limit: 15})
	require.NoError(t, err)
	ids := map[uint64]bool{}
	for _, c := range connections {
		ids[c.ConnectionID] = true
	}
	assert.Len(t, ids, 15)
}

func TestMigrate(t *testing.T) {
	opts := engine(t)
	ctx := context.Background()
	conn, err := clickhouse.Open(opts)
	require.NoError(t, err)
	defer conn.Close()

	// Several collectors at once.
	var wg sync.WaitGroup
	for range 8 {
		s := openStore(t, opts)
		wg.Go(func() { assert.NoError(t, s.Migrate(ctx, keep(time.Hour))) })
	}
	wg.Wait()
	var versions uint64
	require.NoError(t, conn.QueryRow(ctx, "SELECT uniqExact(version) FROM qpoint.schema_migrations").Scan(&versions))
	files, err := os.ReadDir("migrations")
	require.NoError(t, err)
	assert.EqualValues(t, len(files), versions)

	s := openStore(t, opts)
	ddl := func() (ddl string) {
		require.NoError(t, conn.QueryRow(ctx, "SELECT create_table_query FROM system.tables WHERE database = 'qpoint' AND name = 'requests'").Scan(&ddl))
		return ddl
	}
	assert.Contains(t, ddl(), "TTL toDateTime(time) + toIntervalSecond(3600)")
	r := request(0)
	r.Time = r.Time.Add(time.Hour) // now: younger than every TTL here
	rows := pulsestore.NewRows()
	rows.AddRequest(&r)
	require.NoError(t, s.Insert(ctx, rows))
	require.NoError(t, s.Migrate(ctx, keep(2*time.Hour)))
	assert.Contains(t, ddl(), "TTL toDateTime(time) + toIntervalSecond(7200)")
	require.NoError(t, s.Migrate(ctx, keep(0)))
	assert.NotContains(t, ddl(), " TTL ")
	require.NoError(t, s.Migrate(ctx, keep(3*time.Hour)))
	assert.Contains(t, ddl(), "TTL toDateTime(time) + toIntervalSecond(10800)")
	found, err := s.Request(ctx, pulsestore.OnlyEnvironment(""), r.TraceID, r.SpanID)
	require.NoError(t, err)
	assert.NotNil(t, found, "a change of TTL lost a row that is not old")
}

// TestClusterParses: no cluster runs here, but the engine's own parser takes every statement for one.
func TestClusterParses(t *testing.T) {
	conn := dial(t, engine(t))
	text, err := os.ReadFile("testdata/schema_cluster.sql")
	require.NoError(t, err)
	statements, replicated, distributed := 0, 0, 0
	for statement := range strings.SplitSeq(string(text), ";\n") {
		for strings.HasPrefix(statement, "--") {
			_, statement, _ = strings.Cut(statement, "\n")
		}
		if statement == "" {
			continue
		}
		statements++
		if strings.HasPrefix(statement, "INSERT INTO ") { // one server reads and writes what all have
			assert.NotContains(t, statement, "_local`")
			statement = strings.NewReplacer("{from:Int64}", "0", "{to:Int64}", "1").Replace(statement)
		} else {
			assert.Contains(t, statement, "ON CLUSTER `it's`")
		}
		if strings.Contains(statement, "ENGINE = Replicated") {
			replicated++
		}
		if strings.Contains(statement, "ENGINE = Distributed('it\\'s', 'qpoint', '") {
			distributed++
		}
		require.NoError(t, conn.Exec(context.Background(), "EXPLAIN AST "+statement), statement)
	}
	assert.Equal(t, len(pulsestore.Tables()), distributed, "one for each table that holds data")
	assert.Equal(t, distributed+1, replicated, "and the table of migrations")
	assert.Greater(t, statements, 30)
}
