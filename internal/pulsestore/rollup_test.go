// SPDX-License-Identifier: Apache-2.0

//go:build linux

package pulsestore_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

func dial(t testing.TB, opts *clickhouse.Options) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(opts)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close()) })
	return conn
}

// TestRollups holds the sums by minute and hour against the rows, with a retry, with parts, and in two pushes.
func TestRollups(t *testing.T) {
	opts := engine(t)
	s := openStore(t, opts)
	conn := dial(t, opts)
	ctx := context.Background()
	require.NoError(t, s.Migrate(ctx, keep(0)))
	const n = 30_000
	push := func(from, to int) *pulsestore.Rows {
		rows := pulsestore.NewRows()
		for i := from; i < to; i++ {
			r := request(i)
			r.Time = base.Add(time.Duration(i) * 50 * time.Millisecond) // 25 minutes
			r.Duration = time.Duration(math.Exp(10+float64(i%1000)/100)) + 1
			if i%5 != 4 {
				r.ErrorType = ""
			}
			if i%10 == 0 {
				r.Part = 1
			}
			rows.AddRequest(&r)
		}
		return rows
	}
	require.NoError(t, s.Insert(ctx, push(0, n/2)))
	require.NoError(t, s.Insert(ctx, push(n/2, n)))
	require.NoError(t, s.Insert(ctx, push(n/2, n)), "a retry whose first answer was lost")

	type figures struct {
		requests, errors, sent, received, sum, most uint64
		first, last                                 time.Time
		buckets                                     []uint8
		latency                                     []uint64
	}
	var want figures
	require.NoError(t, conn.QueryRow(ctx, `SELECT count(), countIf(error_type != ''), sum(request_body_size), sum(response_body_size), sum(duration), max(duration),
		min(time), max(time) FROM qpoint.requests WHERE part = 0`).
		Scan(&want.requests, &want.errors, &want.sent, &want.received, &want.sum, &want.most, &want.first, &want.last))
	require.EqualValues(t, n*9/10, want.requests)
	for _, table := range []string{"requests_1m", "requests_1h", "processes_1m", "processes_1h", "services_1m", "services_1h"} {
		var got figures
		require.NoError(t, conn.QueryRow(ctx, `SELECT sum(requests), sum(errors), sum(request_bytes), sum(response_bytes), sum(duration_sum), max(duration_max),
			min(first_seen), max(last_seen), (sumMap(durations) AS d).1, d.2 FROM qpoint.`+table).
			Scan(&got.requests, &got.errors, &got.sent, &got.received, &got.sum, &got.most, &got.first, &got.last, &got.buckets, &got.latency))
		total := uint64(0)
		for i, count := range got.latency {
			bucket := got.buckets[i]
			total += count
			var exact uint64
			low, high := math.Exp2(13+(float64(bucket)-1)/8), math.Exp2(13+float64(bucket)/8)
			if bucket == 0 {
				low = 0
			}
			require.NoError(t, conn.QueryRow(ctx, "SELECT count() FROM qpoint.requests WHERE part = 0 AND duration > {low:Float64} AND duration <= {high:Float64}",
				clickhouse.Named("low", low), clickhouse.Named("high", high)).Scan(&exact))
			assert.Equal(t, exact, count, "%s, bucket %d", table, bucket)
		}
		assert.Equal(t, want.requests, total, table)
		got.buckets, got.latency = nil, nil
		assert.Equal(t, want, got, table)
	}
	var minutes, byStatus uint64
	require.NoError(t, conn.QueryRow(ctx, "SELECT uniqExact(time), sumIf(requests, status_class = 5) FROM qpoint.requests_1m").Scan(&minutes, &byStatus))
	assert.GreaterOrEqual(t, minutes, uint64(25))
	require.NoError(t, conn.QueryRow(ctx, "SELECT count() FROM qpoint.requests WHERE part = 0 AND status >= 500 AND status < 600").Scan(&want.requests))
	assert.Equal(t, want.requests, byStatus)
}

// TestOlderRows brings a database of old to the schema of today, twice at the same time: what it had is in the sums, once.
func TestOlderRows(t *testing.T) {
	opts := engine(t)
	s := openStore(t, opts)
	conn := dial(t, opts)
	ctx := context.Background()
	push := func(from, n int) *pulsestore.Rows {
		rows := pulsestore.NewRows()
		for i := from; i < from+n; i++ {
			r := request(i)
			r.Time = base.Truncate(time.Hour).Add(-40*time.Hour + time.Duration(i)*10*time.Second)
			r.Duration = time.Duration(math.Exp(10+float64(i%1000)/100)) + 1
			rows.AddRequest(&r)
		}
		return rows
	}
	require.NoError(t, s.MigrateTo(ctx, keep(0), 4))
	require.NoError(t, s.Insert(ctx, push(0, 3600)), "ten hours without sums")
	require.NoError(t, s.MigrateTo(ctx, keep(0), 5))
	require.NoError(t, s.Insert(ctx, push(3600, 3600)), "ten hours without sums of processes")
	require.NoError(t, s.MigrateTo(ctx, keep(0), 8))
	require.NoError(t, s.Insert(ctx, push(7200, 3600)))
	other := openStore(t, opts)
	errs := make(chan error, 2)
	for _, store := range []*pulsestore.Store{s, other} {
		go func() { errs <- store.Migrate(ctx, keep(0)) }()
	}
	require.NoError(t, <-errs)
	require.NoError(t, <-errs)
	require.NoError(t, s.Insert(ctx, push(10_800, 3600)))

	var want, got [3]uint64
	require.NoError(t, conn.QueryRow(ctx, "SELECT count(), sum(request_body_size), toUInt64(sum(duration)) FROM qpoint.requests").Scan(&want[0], &want[1], &want[2]))
	require.EqualValues(t, 14_400, want[0])
	for _, table := range []string{"requests_1m", "requests_1h", "processes_1m", "processes_1h", "services_1m", "services_1h"} {
		var durations uint64
		require.NoError(t, conn.QueryRow(ctx, "SELECT sum(requests), sum(request_bytes), sum(duration_sum), arraySum(sumMap(durations).2) FROM qpoint."+table).
			Scan(&got[0], &got[1], &got[2], &durations))
		assert.Equal(t, want, got, table)
		assert.Equal(t, want[0], durations, table)
	}
	var first time.Time
	require.NoError(t, conn.QueryRow(ctx, "SELECT min(first_seen) FROM qpoint.endpoints").Scan(&first))
	assert.Equal(t, base.Truncate(time.Hour).Add(-40*time.Hour), first)

	// Sums of half octaves became counts within them.
	sel := all("production", base.Truncate(time.Hour).Add(-21*time.Hour), base.Truncate(time.Hour).Add(-11*time.Hour))
	latency, err := s.Latency(ctx, pulsestore.TimeQuery{Selection: sel, Of: pulsestore.OfRequests, Step: time.Hour})
	require.NoError(t, err)
	require.NotEmpty(t, latency)
	for _, b := range latency {
		sel.From, sel.To = b.Time, b.Time.Add(time.Hour)
		var exact float64
		require.NoError(t, conn.QueryRow(ctx, "SELECT toFloat64(quantileExact(0.9)(duration)) FROM qpoint.requests WHERE toStartOfHour(time) = {hour:DateTime}",
			clickhouse.Named("hour", b.Time.Format(time.DateTime))).Scan(&exact))
		assert.InEpsilon(t, exact, float64(b.P90), 0.25)
	}
}

// TestFillBesideHours: sums by the hour outlive those by the minute, and are not added again when the rows are there longer than the minutes.
// An hour that the sums begin in the middle of becomes whole.
func TestFillBesideHours(t *testing.T) {
	opts := engine(t)
	s := openStore(t, opts)
	conn := dial(t, opts)
	ctx := context.Background()
	begin := base.Truncate(time.Hour).Add(-40 * time.Hour)
	push := func(from, n int) *pulsestore.Rows {
		rows := pulsestore.NewRows()
		for i := from; i < from+n; i++ {
			r := request(i)
			r.Time = begin.Add(time.Duration(i) * time.Minute)
			rows.AddRequest(&r)
		}
		return rows
	}
	for _, minutesFrom := range []time.Duration{0, 10*time.Hour + 20*time.Minute} {
		require.NoError(t, conn.Exec(ctx, "DROP DATABASE IF EXISTS qpoint SYNC"))
		require.NoError(t, s.MigrateTo(ctx, keep(0), 4))
		require.NoError(t, s.Insert(ctx, push(0, 90)), "an hour and a half without sums")
		require.NoError(t, s.MigrateTo(ctx, keep(0), 8))
		require.NoError(t, s.Insert(ctx, push(90, 1000)))
		for _, table := range []string{"requests_1m", "processes_1m"} {
			require.NoError(t, conn.Exec(ctx, "ALTER TABLE qpoint."+table+" DELETE WHERE time < {before:DateTime('UTC')} SETTINGS mutations_sync = 2",
				clickhouse.Named("before", begin.Add(minutesFrom).Format(time.DateTime))))
		}
		require.NoError(t, s.Migrate(ctx, keep(0)))
		for _, table := range []string{"requests_1h", "processes_1h", "services_1h"} {
			var requests uint64
			var twice []time.Time
			require.NoError(t, conn.QueryRow(ctx, "SELECT sum(n), groupArrayIf(time, n > 60) FROM (SELECT time, sum(requests) AS n FROM qpoint."+table+" GROUP BY time)").Scan(&requests, &twice))
			assert.Empty(t, twice, "%s, minutes from %s", table, minutesFrom)
			// Where minutes are gone it cannot be told how much of the first hour is there: nothing is added to it.
			want := uint64(90 + 1000)
			if minutesFrom > 0 {
				want -= 30
			}
			assert.Equal(t, want, requests, "%s, minutes from %s", table, minutesFrom)
		}
	}
}

// otelColumns are the columns of the collector's clickhouse exporter v0.161.0, which Grafana and HyperDX ask for.
// tests/bench/contrib holds them against the exporter itself.
var otelColumns = map[string]string{
	"otel_traces": `Timestamp DateTime64(9, 'UTC')
TraceId String
SpanId String
ParentSpanId String
TraceState String
SpanName LowCardinality(String)
SpanKind LowCardinality(String)
ServiceName LowCardinality(String)
ResourceAttributes Map(LowCardinality(String), String)
ScopeName String
ScopeVersion String
SpanAttributes Map(LowCardinality(String), String)
Duration UInt64
StatusCode LowCardinality(String)
StatusMessage String
Events.Timestamp Array(DateTime64(9))
Events.Name Array(LowCardinality(String))
Events.Attributes Array(Map(LowCardinality(String), String))
Links.TraceId Array(String)
Links.SpanId Array(String)
Links.TraceState Array(String)
Links.Attributes Array(Map(LowCardinality(String), String))
`,
	"otel_traces_trace_id_ts": "TraceId String\nStart DateTime('UTC')\nEnd DateTime('UTC')\n",
	"otel_logs": `Timestamp DateTime64(9, 'UTC')
TimestampTime DateTime('UTC')
TraceId String
SpanId String
TraceFlags UInt8
SeverityText LowCardinality(String)
SeverityNumber UInt8
ServiceName LowCardinality(String)
Body String
ResourceSchemaUrl LowCardinality(String)
ResourceAttributes Map(LowCardinality(String), String)
ScopeSchemaUrl LowCardinality(String)
ScopeName String
ScopeVersion LowCardinality(String)
ScopeAttributes Map(LowCardinality(String), String)
LogAttributes Map(LowCardinality(String), String)
EventName String
`,
}

// TestOtelViews asks what Grafana's ClickHouse data source and HyperDX ask of the tables that they know.
func TestOtelViews(t *testing.T) {
	opts := engine(t)
	s := openStore(t, opts)
	conn := dial(t, opts)
	ctx := context.Background()
	require.NoError(t, s.Migrate(ctx, keep(0)))
	rows := pulsestore.NewRows()
	for n := range 20_000 {
		r := request(n)
		spread(&r, n)
		r.RPCMethod = ""
		rows.AddRequest(&r)
	}
	old, newer := connection(1<<60, 0), connection(1<<60, 2)
	newer.State, newer.Start = "closed", old.Start
	rows.AddConnection(&newer)
	rows.AddConnection(&old)
	rows.AddDNSQuery(&pulsestore.DNSQuery{Origin: origin, Time: base, Name: "api.example.com", Type: "A", ErrorType: "timeout"})
	require.NoError(t, s.Insert(ctx, rows))

	for view, want := range otelColumns {
		var columns strings.Builder
		described, err := conn.Query(ctx, "SELECT name, type FROM system.columns WHERE database = 'qpoint' AND table = {view:String} ORDER BY position", clickhouse.Named("view", view))
		require.NoError(t, err)
		for described.Next() {
			var name, typ string
			require.NoError(t, described.Scan(&name, &typ))
			columns.WriteString(name + " " + typ + "\n")
		}
		require.NoError(t, described.Close())
		assert.Equal(t, want, columns.String(), view)
	}

	// Grafana: one trace, by way of the table of its times.
	r := request(7)
	spread(&r, 7)
	var traceID, name, kind, service, status, method, environment string
	var tags map[string]string
	require.NoError(t, conn.QueryRow(ctx, `WITH {trace:String} AS trace_id,
		(SELECT min(Start) FROM qpoint.otel_traces_trace_id_ts WHERE TraceId = trace_id) AS trace_start,
		(SELECT max(End) + 1 FROM qpoint.otel_traces_trace_id_ts WHERE TraceId = trace_id) AS trace_end
		SELECT TraceId, SpanName, SpanKind, ServiceName, StatusCode, SpanAttributes['http.request.method'], ResourceAttributes['deployment.environment.name'], SpanAttributes
		FROM qpoint.otel_traces WHERE TraceId = trace_id AND Timestamp >= trace_start AND Timestamp <= trace_end ORDER BY Timestamp LIMIT 1000`,
		clickhouse.Named("trace", hexOf(r.TraceID[:]))).Scan(&traceID, &name, &kind, &service, &status, &method, &environment, &tags))
	assert.Equal(t, []string{hexOf(r.TraceID[:]), "GET /items/{id}/{n}", "Client", "shop", "Error", "GET", "production"}, []string{traceID, name, kind, service, status, method, environment})
	assert.Equal(t, "8000000000000007", tags["qpoint.connection.id"])
	assert.Equal(t, "10.1.2.3", strings.TrimPrefix(tags["client.address"], "::ffff:"))
	assert.NotContains(t, tags, "qpoint.exchange.part", "an absent value is no attribute")

	// A trace is found by the index and not by reading all.
	var plan strings.Builder
	explained, err := conn.Query(ctx, "EXPLAIN indexes = 1 SELECT * FROM qpoint.otel_traces WHERE TraceId = '"+hexOf(r.TraceID[:])+"'")
	require.NoError(t, err)
	for explained.Next() {
		var line string
		require.NoError(t, explained.Scan(&line))
		plan.WriteString(line + "\n")
	}
	require.NoError(t, explained.Close())
	assert.Regexp(t, `Name: trace\n(.*\n)*?.*Granules: 1/`, plan.String())

	// HyperDX: the newest lines, and a histogram by severity.
	var count uint64
	require.NoError(t, conn.QueryRow(ctx, `SELECT count() FROM qpoint.otel_logs WHERE TimestampTime >= now() - INTERVAL 2 HOUR AND SeverityText = 'INFO'`).Scan(&count))
	assert.EqualValues(t, 2, count, "one line per connection, its newest")
	var body, event string
	require.NoError(t, conn.QueryRow(ctx, `SELECT Body, EventName, LogAttributes FROM qpoint.otel_logs WHERE EventName = 'qpoint.connection' ORDER BY Timestamp DESC LIMIT 1`).Scan(&body, &event, &tags))
	assert.Equal(t, "connection closed client api.example.com", body)
	assert.Equal(t, "1000000000000000", tags["qpoint.connection.id"])
	require.NoError(t, conn.QueryRow(ctx, `SELECT Body FROM qpoint.otel_logs WHERE EventName = 'qpoint.dns'`).Scan(&body))
	assert.Equal(t, "dns A api.example.com timeout", body)
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// spread gives a request a trace id that is like none before it.
func spread(r *pulsestore.Request, n int) {
	binary.BigEndian.PutUint64(r.TraceID[:], uint64(n)*0x9e3779b97f4a7c15)
}
