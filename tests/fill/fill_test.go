// SPDX-License-Identifier: Apache-2.0

//go:build linux

package fill_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/qpoint-io/otelcol-qpoint/extension/localclickhouseextension"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/tests/fill"
)

func TestMain(m *testing.M) { testkit.Main(m) }

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

// TestStoreMany holds the copies to be rows of their own that belong together as those of the base do, and to be in the sums.
func TestStoreMany(t *testing.T) {
	opts := engine(t)
	ctx := context.Background()
	s, err := pulsestore.Open(opts, "qpoint")
	require.NoError(t, err)
	defer func() { assert.NoError(t, s.Close()) }()
	conn, err := clickhouse.Open(opts)
	require.NoError(t, err)
	defer func() { assert.NoError(t, conn.Close()) }()
	require.NoError(t, s.Migrate(ctx, pulsestore.SchemaOptions{}))
	from := time.Now().UTC().Truncate(time.Hour).Add(-3 * time.Hour)
	o := fill.Options{Rows: 60_000, From: from, To: from.Add(time.Hour), Seed: 1}
	require.Error(t, fill.StoreMany(ctx, s, conn, "qpoint", 7, o), "no whole number of copies")
	require.NoError(t, fill.StoreMany(ctx, s, conn, "qpoint", 20_000, o))

	one := func(sql string) (n uint64) {
		t.Helper()
		require.NoError(t, conn.QueryRow(ctx, "SELECT toUInt64("+sql).Scan(&n), sql)
		return n
	}
	assert.EqualValues(t, 60_000, one("count()) FROM qpoint.requests"))
	assert.EqualValues(t, 60_000, one("uniqExact(trace_id, span_id)) FROM qpoint.requests"))
	assert.Zero(t, one("count()) FROM qpoint.requests WHERE time < '"+from.Format(time.DateTime)+"'"))
	pairs := "sum(c)) FROM (SELECT count() - 1 AS c FROM qpoint.requests GROUP BY trace_id, intDiv(toUnixTimestamp(time), 1200) HAVING c > 0)"
	assert.Positive(t, one(pairs))
	children := "count()) FROM qpoint.requests WHERE parent_span_id IN (SELECT span_id FROM qpoint.requests)"
	assert.Equal(t, one("countIf(parent_span_id != toFixedString('', 8))) FROM qpoint.requests"), one(children), "every parent is there")
	assert.Equal(t, one("uniqExact(connection_id)) FROM qpoint.requests"), one("count()) FROM qpoint.connections FINAL WHERE connection_id IN (SELECT connection_id FROM qpoint.requests)"))
	assert.Equal(t, one("uniqExact(payload_object)) FROM qpoint.requests"), one("count()) FROM qpoint.payload_objects FINAL WHERE key IN (SELECT payload_object FROM qpoint.requests)"))
	wrong := "countIf(NOT match(key, '^default/[0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9]{2}/[^/]+/[0-9A-Z]{26}[.]zip$') OR " +
		"abs(toUnixTimestamp(parseDateTimeOrZero(substring(key, 9, 13), '%Y/%m/%d/%H', 'UTC')) - toUnixTimestamp(opened)) > 7200)) FROM qpoint.payload_objects"
	assert.Zero(t, one(wrong), "keys have the form of keys, and the hour")
	assert.EqualValues(t, 60_000, one("sum(requests)) FROM qpoint.requests_1m"))
	assert.EqualValues(t, 60_000, one("sum(requests)) FROM qpoint.processes_1h"))
	assert.Less(t, 3*one("uniqExact(duration)) FROM qpoint.requests WHERE time < '"+from.Add(20*time.Minute).Format(time.DateTime)+"'"), 4*one("uniqExact(duration)) FROM qpoint.requests"),
		"figures do not repeat")
}

// maxBytes is how much of the disk a row of `requests` may take beside its trace and span id.
const maxBytes = 60

// TestBytesPerRow measures rows that do not repeat, merged, with their indexes.
func TestBytesPerRow(t *testing.T) {
	opts := engine(t)
	ctx := context.Background()
	s, err := pulsestore.Open(opts, "qpoint")
	require.NoError(t, err)
	defer func() { assert.NoError(t, s.Close()) }()
	conn, err := clickhouse.Open(opts)
	require.NoError(t, err)
	defer func() { assert.NoError(t, conn.Close()) }()
	require.NoError(t, s.Migrate(ctx, pulsestore.SchemaOptions{}))
	const rows = 200_000
	// 600 rows a second, within one day.
	from := time.Now().UTC().Truncate(24 * time.Hour).Add(-20 * time.Hour)
	require.NoError(t, fill.Store(ctx, s, fill.Options{Rows: rows, From: from, To: from.Add(rows / 600 * time.Second), Seed: 1}))
	require.NoError(t, conn.Exec(ctx, "OPTIMIZE TABLE qpoint.requests FINAL"))

	var stored, distinct, bytes uint64
	require.NoError(t, conn.QueryRow(ctx, "SELECT count(), uniqExact(trace_id, span_id) FROM qpoint.requests").Scan(&stored, &distinct))
	assert.EqualValues(t, rows, stored)
	assert.EqualValues(t, rows, distinct)
	require.NoError(t, conn.QueryRow(ctx, "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'qpoint' AND table = 'requests'").Scan(&bytes))
	perRow := float64(bytes)/rows - 24
	t.Logf("%.1f bytes per row beside trace and span id", perRow)
	assert.Less(t, perRow, float64(maxBytes))
	columns, err := conn.Query(ctx, `SELECT column, round(sum(column_data_compressed_bytes) / any(t.rows), 2) AS b FROM system.parts_columns AS p,
		(SELECT sum(rows) AS rows FROM system.parts WHERE active AND database = 'qpoint' AND table = 'requests') AS t
		WHERE active AND database = 'qpoint' AND table = 'requests' GROUP BY column HAVING b > 0.05 ORDER BY b DESC`)
	require.NoError(t, err)
	defer columns.Close()
	for columns.Next() {
		var name string
		var size float64
		require.NoError(t, columns.Scan(&name, &size))
		t.Logf("%-20s %.2f", name, size)
	}
	require.NoError(t, columns.Err())
}

// TestSameSeed: what a benchmark fills a store with must not depend on the number of workers or on the day of the week.
func TestSameSeed(t *testing.T) {
	from := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	o := fill.Options{From: from, To: from.Add(time.Hour), Seed: 7, Environments: []string{"production", "staging"}}
	a, err := fill.Requests(5000, o)
	require.NoError(t, err)
	b, err := fill.Requests(5000, o)
	require.NoError(t, err)
	assert.Equal(t, a, b)
	kinds, environments := map[string]int{}, map[string]int{}
	for _, r := range a {
		kinds[r.Kind]++
		environments[r.Environment]++
		assert.NotZero(t, r.ConnectionID)
		assert.Positive(t, r.Duration)
	}
	assert.Greater(t, kinds["client"], 1000)
	assert.Greater(t, kinds["server"], 1000)
	assert.Len(t, environments, 2)
	assert.WithinDuration(t, o.To, a[len(a)-1].Time, 10*time.Minute)
	_, err = fill.Requests(0, o)
	assert.Error(t, err)
}

// BenchmarkRequests says what making a row costs, so that it can be told from storing it.
func BenchmarkRequests(b *testing.B) {
	from := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	for b.Loop() {
		if _, err := fill.Requests(100_000, fill.Options{From: from, To: from.Add(time.Hour), Seed: 7}); err != nil {
			b.Fatal(err)
		}
	}
}
