// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command store fills an embedded ClickHouse with a day of rows and measures the questions that dashboards ask. See
// ../README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/qpoint-io/otelcol-qpoint/extension/localclickhouseextension"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/tests/fill"
)

// questions are asked of the last day, or hour. Each is a panel of a dashboard or a list.
var questions = []struct{ Name, SQL string }{
	{"24 h: requests by minute and status", "SELECT time, status_class, sum(requests) FROM qpoint.processes_1m WHERE time >= {from:DateTime} GROUP BY time, status_class ORDER BY time"},
	{"24 h: requests by hour and status", "SELECT time, status_class, sum(requests) FROM qpoint.processes_1h WHERE time >= {from:DateTime} GROUP BY time, status_class ORDER BY time"},
	{"24 h: quantiles by hour", "SELECT time, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(duration_quantiles) FROM qpoint.processes_1h WHERE time >= {from:DateTime} GROUP BY time ORDER BY time"},
	{"1 h: quantiles by minute", "SELECT time, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(duration_quantiles) FROM qpoint.processes_1m WHERE time >= {hour:DateTime} GROUP BY time ORDER BY time"},
	{"24 h: heat map by hour", "SELECT time, sumForEachMerge(latency) FROM qpoint.processes_1h WHERE time >= {from:DateTime} GROUP BY time ORDER BY time"},
	{"24 h: endpoints with quantiles, first and last seen", "SELECT server_address, method, template, sum(requests) AS n, sum(errors), quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(duration_quantiles), min(first_seen), max(last_seen) FROM qpoint.requests_1h WHERE time >= {from:DateTime} GROUP BY server_address, method, template ORDER BY n DESC LIMIT 100"},
	{"24 h: processes", "SELECT host_name, service_name, executable, sum(requests) AS n, sum(errors), sum(request_bytes + response_bytes) FROM qpoint.processes_1h WHERE time >= {from:DateTime} GROUP BY host_name, service_name, executable ORDER BY n DESC LIMIT 100"},
	{"24 h: service map", "SELECT service_name, server_address, sum(requests), sum(errors) FROM qpoint.requests_1h WHERE time >= {from:DateTime} AND kind = 'client' GROUP BY service_name, server_address"},
	{"newest 100", "SELECT * FROM qpoint.requests WHERE part = 0 ORDER BY toStartOfFiveMinutes(time) DESC, time DESC, span_id DESC LIMIT 100"},
	{"newest 100 by executable", "SELECT * FROM qpoint.requests WHERE part = 0 AND executable = '/usr/lib/jvm/bin/java' ORDER BY toStartOfFiveMinutes(time) DESC, time DESC, span_id DESC LIMIT 100"},
	{"newest 100 by service and status", "SELECT * FROM qpoint.requests WHERE part = 0 AND service_name = 'cart-api' AND status >= 500 ORDER BY toStartOfFiveMinutes(time) DESC, time DESC, span_id DESC LIMIT 100"},
	{"newest 100 by an executable that is not there", "SELECT * FROM qpoint.requests WHERE part = 0 AND executable = '/usr/bin/none' ORDER BY toStartOfFiveMinutes(time) DESC, time DESC, span_id DESC LIMIT 100"},
	{"one trace", "SELECT * FROM qpoint.requests WHERE lower(hex(trace_id)) = (SELECT lower(hex(any(trace_id))) FROM (SELECT trace_id FROM qpoint.requests WHERE time >= {hour:DateTime} LIMIT 1))"},
	{"24 h: path contains, frequent", "SELECT * FROM qpoint.requests WHERE part = 0 AND position(path, 'history') > 0 ORDER BY toStartOfFiveMinutes(time) DESC, time DESC, span_id DESC LIMIT 100"},
	{"24 h: path contains, never", "SELECT * FROM qpoint.requests WHERE part = 0 AND position(path, 'qqqq') > 0 ORDER BY toStartOfFiveMinutes(time) DESC, time DESC, span_id DESC LIMIT 100"},
}

type result struct {
	Name   string  `json:"question"`
	Median float64 `json:"median_ms"`
	P95    float64 `json:"p95_ms"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rows := flag.Int("rows", 50_000_000, "rows of `requests`")
	span := flag.Duration("span", 24*time.Hour, "time within which they are, up to now")
	dir := flag.String("data", "", "folder of the database, which is kept; default: a temporary one")
	times := flag.Int("times", 20, "how often each question is asked")
	out := flag.String("out", "questions.json", "results file")
	flag.Parse()
	if err := run(ctx, *rows, *span, *dir, *times, *out); err != nil {
		fmt.Fprintln(os.Stderr, "store:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rows int, span time.Duration, dir string, times int, out string) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "bench-store"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	factory := localclickhouseextension.NewFactory()
	cfg := factory.CreateDefaultConfig().(*localclickhouseextension.Config)
	cfg.DataDir = filepath.Join(dir, "clickhouse")
	ext, err := factory.Create(ctx, extensiontest.NewNopSettings(factory.Type()), cfg)
	if err != nil {
		return err
	}
	if err := ext.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ext.Shutdown(context.Background())) }()
	opts := ext.(pulsestore.Engine).ClickHouseOptions()
	s, err := pulsestore.Open(opts, pulsestore.DefaultDatabase)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Migrate(ctx, pulsestore.SchemaOptions{}); err != nil {
		return err
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return err
	}
	defer conn.Close()
	var stored uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM qpoint.requests").Scan(&stored); err != nil {
		return err
	}
	report := map[string]any{"time": time.Now().UTC().Format(time.RFC3339), "host": map[string]any{"cpus": runtime.NumCPU(), "arch": runtime.GOARCH}, "rows": rows, "span_hours": span.Hours()}
	if stored == 0 {
		to := time.Now().UTC()
		begin := time.Now()
		var mu sync.Mutex
		last := begin
		if err := fill.Store(ctx, s, fill.Options{Rows: rows, From: to.Add(-span), To: to, Seed: 1, Progress: func(n int) {
			mu.Lock()
			defer mu.Unlock()
			if time.Since(last) > 10*time.Second {
				last = time.Now()
				fmt.Printf("%d rows, %.0f a second\n", n, float64(n)/time.Since(begin).Seconds())
			}
		}}); err != nil {
			return err
		}
		report["fill_seconds"] = time.Since(begin).Seconds()
		fmt.Printf("%d rows in %s\n", rows, time.Since(begin).Round(time.Second))
	}
	sizes, err := sizesOf(ctx, conn)
	if err != nil {
		return err
	}
	report["tables"] = sizes
	var newest time.Time
	if err := conn.QueryRow(ctx, "SELECT max(time) FROM qpoint.requests").Scan(&newest); err != nil {
		return err
	}
	var results []result
	for _, q := range questions {
		r, err := ask(ctx, conn, q.Name, q.SQL, newest, times)
		if err != nil {
			return fmt.Errorf("%s: %w", q.Name, err)
		}
		fmt.Printf("%-60s median %6.0f ms, p95 %6.0f ms\n", r.Name, r.Median, r.P95)
		results = append(results, r)
	}
	report["questions"] = results
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(b, '\n'), 0o644)
}

func ask(ctx context.Context, conn driver.Conn, name, sql string, newest time.Time, times int) (result, error) {
	ms := make([]float64, 0, times)
	for range times {
		begin := time.Now()
		rows, err := conn.Query(ctx, sql, clickhouse.Named("from", newest.Add(-24*time.Hour).Format(time.DateTime)), clickhouse.Named("hour", newest.Add(-time.Hour).Format(time.DateTime)))
		if err != nil {
			return result{}, err
		}
		for rows.Next() {
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return result{}, err
		}
		ms = append(ms, time.Since(begin).Seconds()*1000)
	}
	slices.Sort(ms)
	return result{Name: name, Median: ms[len(ms)/2], P95: ms[min(len(ms)-1, len(ms)*95/100)]}, nil
}

// sizesOf returns rows and bytes of each table.
func sizesOf(ctx context.Context, conn driver.Conn) (map[string]any, error) {
	rows, err := conn.Query(ctx, "SELECT table, sum(rows), sum(bytes_on_disk), count() FROM system.parts WHERE active AND database = 'qpoint' GROUP BY table ORDER BY table")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	sizes := map[string]any{}
	for rows.Next() {
		var table string
		var n, bytes, parts uint64
		if err := rows.Scan(&table, &n, &bytes, &parts); err != nil {
			return nil, err
		}
		fmt.Printf("%-20s %10d rows, %7.1f MB, %5.1f bytes a row, %d parts\n", table, n, float64(bytes)/1e6, float64(bytes)/float64(max(n, 1)), parts)
		sizes[table] = map[string]uint64{"rows": n, "bytes": bytes, "parts": parts}
	}
	return sizes, rows.Err()
}
