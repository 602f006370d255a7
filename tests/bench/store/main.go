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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	rows := flag.Int("rows", 50_000_000, "rows of `requests`")
	base := flag.Int("base", 1_000_000, "rows of them that are stored through a client; the server makes the others of these")
	span := flag.Duration("span", 24*time.Hour, "time within which they are, up to now")
	dir := flag.String("data", "", "folder of the database, which is kept; default: a temporary one")
	times := flag.Int("times", 20, "how often each question is asked")
	random := flag.Int("hostile", 1000, "how many random filters are asked after the questions")
	out := flag.String("out", "questions.json", "results file")
	flag.Parse()
	err := run(ctx, *rows, *base, *span, *dir, *times, *random, *out)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "store:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rows, base int, span time.Duration, dir string, times, random int, out string) (err error) {
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
	// The server remembers which parts of a table have nothing for a condition: the second of equal questions would cost nothing.
	opts.Settings = clickhouse.Settings{"use_query_condition_cache": 0}
	s, err := pulsestore.Open(opts, pulsestore.DefaultDatabase)
	if err != nil {
		return err
	}
	defer s.Close()
	begin := time.Now()
	if err := s.Migrate(ctx, pulsestore.SchemaOptions{}); err != nil {
		return err
	}
	migrated := time.Since(begin)
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return err
	}
	defer conn.Close()
	var stored uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM qpoint.requests").Scan(&stored); err != nil {
		return err
	}
	report := map[string]any{"time": time.Now().UTC().Format(time.RFC3339), "host": map[string]any{"cpus": runtime.NumCPU(), "arch": runtime.GOARCH}, "rows": rows, "span_hours": span.Hours(), "migrate_seconds": migrated.Seconds()}
	if stored == 0 {
		to := time.Now().UTC()
		begin := time.Now()
		var mu sync.Mutex
		last := begin
		if err := fill.StoreMany(ctx, s, conn, pulsestore.DefaultDatabase, base, fill.Options{Rows: rows, From: to.Add(-span), To: to, Seed: 1, Progress: func(n int) {
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
	engine, err := engineProcess()
	if err != nil {
		return err
	}
	report["load_average_before"] = loadAverage()
	var results []result
	s.SetLimits(pulsestore.Limits{Time: time.Minute, Memory: 1 << 30})
	for _, q := range questions() {
		r, err := measure(ctx, s, q, newest.Add(time.Nanosecond), times, engine)
		if err != nil {
			return err
		}
		over := ""
		if r.P95 > r.Aim {
			over = fmt.Sprintf(" (aim %.0f)", r.Aim)
		}
		fmt.Printf("%-60s median %6.0f ms, p95 %6.0f ms, engine's CPU %6.0f ms%s\n", r.Name, r.Median, r.P95, r.CPU, over)
		results = append(results, r)
	}
	report["questions"], report["load_average_after"] = results, loadAverage()
	if random > 0 {
		outcomes, err := hostile(ctx, s, newest, random)
		if err != nil {
			return err
		}
		fmt.Printf("%d random filters: %v\n", random, outcomes)
		report["hostile"] = outcomes
	}
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(b, '\n'), 0o644)
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
