// SPDX-License-Identifier: Apache-2.0

// Package pulseexporter is the `pulse` exporter: it stores anonymized request spans, connection
// and segment records in ClickHouse. Payloads cannot pass it.
package pulseexporter

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/qpoint-io/otelcol-qpoint/exporter/pulseexporter/internal/metadata"
)

// NewFactory returns the factory of `pulse`.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(metadata.Type,
		func() component.Config { return newDefaultConfig() },
		exporter.WithTraces(newTraces, metadata.TracesStability),
		exporter.WithLogs(newLogs, metadata.LogsStability))
}

func options(cfg *Config, p *pulse) []exporterhelper.Option {
	return []exporterhelper.Option{
		exporterhelper.WithStart(p.start), exporterhelper.WithShutdown(p.shutdown),
		exporterhelper.WithTimeout(cfg.Timeout), exporterhelper.WithQueue(cfg.Queue), exporterhelper.WithRetry(cfg.Retry),
	}
}

func newTraces(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Traces, error) {
	c := cfg.(*Config)
	p, err := newPulse(set, c)
	if err != nil {
		return nil, err
	}
	inner, err := exporterhelper.NewTraces(ctx, set, cfg, p.pushTraces, options(c, p)...)
	if err != nil {
		return nil, err
	}
	return tracesGate{inner, p}, nil
}

func newLogs(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Logs, error) {
	c := cfg.(*Config)
	p, err := newPulse(set, c)
	if err != nil {
		return nil, err
	}
	inner, err := exporterhelper.NewLogs(ctx, set, cfg, p.pushLogs, options(c, p)...)
	if err != nil {
		return nil, err
	}
	return logsGate{inner, p}, nil
}
