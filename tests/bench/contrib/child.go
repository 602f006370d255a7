// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/clickhouseexporter"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/exporter/pulseexporter"
	"github.com/qpoint-io/otelcol-qpoint/internal/privacy"
	"github.com/qpoint-io/otelcol-qpoint/tests/fill"
)

const (
	contribVersion = "clickhouseexporter v0.161.0"
	contribTable   = "otel_traces_contrib" // `otel_traces` is the view of `pulse`
)

// childConfig is what one exporter does in one round.
type childConfig struct {
	Exporter, Endpoint string
	Round, Rows, Batch int
}

func (c childConfig) exporter() (exporter.Factory, map[string]any) {
	// Neither has a queue, compresses, or waits in the server for more rows: each ConsumeTraces is one insert that is done when it returns.
	common := map[string]any{"endpoint": c.Endpoint, "database": "qpoint", "timeout": "60s", "sending_queue": map[string]any{"enabled": false}, "retry_on_failure": map[string]any{"enabled": false}}
	if c.Exporter == contrib {
		common["traces_table_name"], common["compress"], common["async_insert"] = contribTable, "none", false
		return clickhouseexporter.NewFactory(), common
	}
	common["compression"] = "none"
	return pulseexporter.NewFactory(), common
}

func (c childConfig) run(ctx context.Context) error {
	const policy = "policy-of-the-bench"
	defer privacy.RegisterPolicy(policy)()
	from := time.Now().UTC().Truncate(24 * time.Hour).Add(-20 * time.Hour).Add(time.Duration(c.Round) * time.Hour / 4)
	rows, err := fill.Requests(c.Rows, fill.Options{From: from, To: from.Add(time.Duration(c.Rows/600) * time.Second), Seed: uint64(c.Round) + 1})
	if err != nil {
		return err
	}
	var batches []ptrace.Traces
	for i := 0; i < len(rows); i += c.Batch {
		td := fill.Traces(rows[i:min(i+c.Batch, len(rows))], policy)
		td.MarkReadOnly()
		batches = append(batches, td)
	}
	rows = nil
	factory, settings := c.exporter()
	cfg := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(settings).Unmarshal(cfg); err != nil {
		return err
	}
	if err := confmap.Validate(cfg); err != nil {
		return err
	}
	exp, err := factory.CreateTraces(ctx, exportertest.NewNopSettings(factory.Type()), cfg)
	if err != nil {
		return err
	}
	if err := exp.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	runtime.GC()
	fmt.Print(".")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	before, begin := cpu(), time.Now()
	for _, td := range batches {
		if err := exp.ConsumeTraces(ctx, td); err != nil {
			return err
		}
	}
	s := sample{Exporter: c.Exporter, Round: c.Round, Rows: c.Rows, Seconds: time.Since(begin).Seconds(), CPU: cpu() - before}
	if err := exp.Shutdown(ctx); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

// cpu returns the user and system time of this process in seconds.
func cpu() float64 {
	var r unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
}
