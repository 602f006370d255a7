// SPDX-License-Identifier: Apache-2.0

// Package qpoints3exporter is the `qpoint_s3` exporter: it stores payload segments as ZIP files
// of HAR in the user's own S3-compatible bucket.
package qpoints3exporter

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

const (
	defaultRegion    = "us-east-1"
	defaultTimeout   = 30 * time.Second
	defaultConsumers = 4
	// defaultQueueBytes bounds the memory of a bucket that is down: a request is a whole segment
	// of up to 8 MiB and more, so that their number would be no bound.
	defaultQueueBytes = 256 << 20
)

// NewFactory returns the factory of the `qpoint_s3` exporter.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(metadata.Type, createDefaultConfig,
		exporter.WithLogs(createLogs, metadata.LogsStability))
}

func createDefaultConfig() component.Config {
	queue := exporterhelper.NewDefaultQueueConfig()
	queue.Sizer = exporterhelper.RequestSizerTypeBytes
	queue.QueueSize = defaultQueueBytes
	queue.NumConsumers = defaultConsumers
	return &Config{
		Environment: semantic.DefaultEnvironment,
		Lifecycle:   LifecycleVerify,
		Timeout:     exporterhelper.TimeoutConfig{Timeout: defaultTimeout},
		Queue:       configoptional.Some(queue),
		Retry:       configretry.NewDefaultBackOffConfig(),
	}
}

func createLogs(ctx context.Context, set exporter.Settings, config component.Config) (exporter.Logs, error) {
	return create(ctx, set, config, nil)
}

func create(ctx context.Context, set exporter.Settings, config component.Config, receipts consumer.Logs) (exporter.Logs, error) {
	cfg := config.(*Config)
	e, err := newExporter(set, cfg, receipts)
	if err != nil {
		return nil, err
	}
	recipients, err := cfg.Encryption.recipients()
	if err != nil {
		return nil, err
	}
	logs, err := exporterhelper.NewLogs(ctx, set, cfg, e.push,
		exporterhelper.WithCapabilities(consumer.Capabilities{MutatesData: recipients != nil}),
		exporterhelper.WithStart(e.start),
		exporterhelper.WithShutdown(e.shutdown),
		exporterhelper.WithTimeout(cfg.Timeout),
		exporterhelper.WithQueue(cfg.Queue),
		exporterhelper.WithRetry(cfg.Retry),
	)
	if err != nil || recipients == nil {
		return logs, err
	}
	return seal(logs, recipients), nil
}

// NewConnectorFactory returns the factory of the `qpoint_s3` connector: the exporter, with the receipts of what
// it stored as logs for another pipeline.
func NewConnectorFactory() connector.Factory {
	return connector.NewFactory(metadata.Type, createDefaultConfig,
		connector.WithLogsToLogs(createConnector, metadata.LogsStability))
}

func createConnector(ctx context.Context, set connector.Settings, config component.Config, next consumer.Logs) (connector.Logs, error) {
	return create(ctx, exporter.Settings{ID: set.ID, TelemetrySettings: set.TelemetrySettings, BuildInfo: set.BuildInfo}, config, next)
}
