// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// Config configures the exporter.
type Config struct {
	// ClickHouse is the id of an extension that brings a ClickHouse of its own, such as `local_clickhouse`.
	ClickHouse *component.ID `mapstructure:"clickhouse"`
	// Endpoint is the URL of a ClickHouse server: clickhouse://host:9000 (native protocol,
	// ?secure=true for TLS), http://host:8123 or https://host:8443; several hosts with commas.
	Endpoint string `mapstructure:"endpoint"`
	// TLS is used with https:// and, when it is set, with clickhouse://.
	TLS configoptional.Optional[configtls.ClientConfig] `mapstructure:"tls"`
	// Compression of what is sent to Endpoint: lz4, zstd or none.
	Compression string `mapstructure:"compression"`
	// Cluster is the name of the cluster that the servers at Endpoint are of, as their configuration has it. The tables
	// are then made on all of it: replicated, and Distributed over its shards.
	Cluster string `mapstructure:"cluster"`
	// Database holds the tables.
	Database string `mapstructure:"database"`
	// Username and Password of the server at Endpoint.
	Username string              `mapstructure:"username"`
	Password configopaque.String `mapstructure:"password"`
	// TTL is how long rows are kept; 0 keeps them for ever.
	TTL time.Duration `mapstructure:"ttl"`
	// EnvironmentTTL is the same for rows of single environments, and TableTTL, which goes first, for tables.
	EnvironmentTTL map[string]time.Duration `mapstructure:"environment_ttl"`
	TableTTL       map[string]time.Duration `mapstructure:"table_ttl"`
	// CreateSchema creates the database and its tables and brings them up to date.
	CreateSchema bool `mapstructure:"create_schema"`

	Timeout exporterhelper.TimeoutConfig                             `mapstructure:",squash"`
	Queue   configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	Retry   configretry.BackOffConfig                                `mapstructure:"retry_on_failure"`

	_ struct{}
}

// Defaults of the queue: ClickHouse wants few large inserts, a person who watches wants rows
// within a second, and memory has a bound.
const (
	defaultQueueSize    = 200_000
	defaultBatchSize    = 10_000
	defaultFlushTimeout = time.Second
	defaultConsumers    = 4
)

func newDefaultConfig() *Config {
	batch := exporterhelper.NewDefaultBatchConfig()
	batch.FlushTimeout = defaultFlushTimeout
	batch.Sizer = exporterhelper.RequestSizerTypeItems
	batch.MinSize = defaultBatchSize
	batch.MaxSize = 2 * defaultBatchSize
	queue := exporterhelper.NewDefaultQueueConfig()
	queue.Sizer = exporterhelper.RequestSizerTypeItems
	queue.QueueSize = defaultQueueSize
	queue.NumConsumers = defaultConsumers
	queue.Batch = configoptional.Some(batch)
	timeout := exporterhelper.NewDefaultTimeoutConfig()
	timeout.Timeout = 30 * time.Second
	return &Config{
		Compression: compressionLZ4, Database: pulsestore.DefaultDatabase, TTL: 30 * 24 * time.Hour, CreateSchema: true,
		Timeout: timeout, Queue: configoptional.Some(queue), Retry: configretry.NewDefaultBackOffConfig(),
	}
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	switch {
	case c.ClickHouse != nil && c.Endpoint != "":
		errs = append(errs, errors.New("`clickhouse` and `endpoint` exclude each other"))
	case c.ClickHouse != nil && (c.Username != "" || c.Password != ""):
		errs = append(errs, errors.New("`username` and `password` belong to `endpoint`; the engine of `clickhouse` has none"))
	case c.ClickHouse == nil && c.Endpoint == "":
		errs = append(errs, errors.New("set `clickhouse` to the id of a `local_clickhouse` extension, or `endpoint` to the URL of a ClickHouse server"))
	case c.Endpoint != "":
		if _, err := c.endpointOptions(context.Background()); err != nil {
			errs = append(errs, err)
		}
	}
	if c.ClickHouse != nil && (c.Cluster != "" || c.TLS.HasValue()) {
		errs = append(errs, errors.New("`cluster` and `tls` belong to `endpoint`; the engine of `clickhouse` is on this host alone"))
	}
	if c.Database == "" {
		errs = append(errs, errors.New("`database` must not be empty"))
	}
	return errors.Join(append(errs, c.retention().Validate())...)
}

func (c *Config) retention() pulsestore.Retention {
	return pulsestore.Retention{TTL: c.TTL, Environments: c.EnvironmentTTL, Tables: c.TableTTL}
}
