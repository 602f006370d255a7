// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// pulse stores what exporterhelper pushes. Each signal has one of its own.
type pulse struct {
	cfg       *Config
	logger    *zap.Logger
	telemetry *telemetry

	host  component.Host
	store *pulsestore.Store

	schemaMu    sync.Mutex
	schemaReady bool
	// troubled is set while the component status is not OK.
	troubled atomic.Bool
}

func newPulse(set exporter.Settings, cfg *Config) (*pulse, error) {
	t, err := newTelemetry(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	return &pulse{cfg: cfg, logger: set.Logger, telemetry: t}, nil
}

func (p *pulse) start(ctx context.Context, host component.Host) error {
	p.host = host
	opts, err := p.options(ctx, host)
	if err != nil {
		return err
	}
	if p.store, err = pulsestore.Open(opts, p.cfg.Database); err != nil {
		return err
	}
	if err := p.ensureSchema(ctx); err != nil {
		if classify(err) == permanent || errors.Is(err, pulsestore.ErrSchema) {
			return errors.Join(fmt.Errorf("`pulse` cannot use the database: %w", err), p.shutdown(ctx))
		}
		// A server that is away must not keep the collector from receiving: the queue holds the data.
		p.logger.Error("ClickHouse cannot be reached yet; the schema is made with the first push", zap.Error(err))
		p.trouble(err)
	}
	return nil
}

// options says how to reach ClickHouse.
func (p *pulse) options(ctx context.Context, host component.Host) (*clickhouse.Options, error) {
	if p.cfg.ClickHouse == nil {
		return p.cfg.endpointOptions(ctx)
	}
	extension, ok := host.GetExtensions()[*p.cfg.ClickHouse]
	if !ok {
		return nil, fmt.Errorf("`clickhouse` names %q, which is not an extension of this service: add it to `service::extensions`", p.cfg.ClickHouse)
	}
	engine, ok := extension.(pulsestore.Engine)
	if !ok {
		return nil, fmt.Errorf("`clickhouse` names %q, which brings no ClickHouse: name a `local_clickhouse`", p.cfg.ClickHouse)
	}
	return engine.ClickHouseOptions(), nil
}

// ensureSchema makes the schema once.
func (p *pulse) ensureSchema(ctx context.Context) error {
	p.schemaMu.Lock()
	defer p.schemaMu.Unlock()
	if p.schemaReady {
		return nil
	}
	if !p.cfg.CreateSchema {
		if err := p.store.CheckSchema(ctx); err != nil {
			return err
		}
	} else if err := p.store.Migrate(ctx, pulsestore.SchemaOptions{Retention: p.cfg.retention(), Cluster: p.cfg.Cluster}); err != nil {
		return err
	}
	p.schemaReady = true
	return nil
}

func (p *pulse) shutdown(context.Context) error {
	if p.store == nil {
		return nil
	}
	store := p.store
	p.store, p.schemaReady = nil, false
	return store.Close()
}

func (p *pulse) pushTraces(ctx context.Context, td ptrace.Traces) error {
	c := newConverter(time.Now(), p.cfg.retention())
	defer c.release()
	c.traces(td)
	return p.push(ctx, c)
}

func (p *pulse) pushLogs(ctx context.Context, ld plog.Logs) error {
	c := newConverter(time.Now(), p.cfg.retention())
	defer c.release()
	c.logs(ld)
	return p.push(ctx, c)
}

// push stores the rows and then answers for what was refused. The same push again stores nothing twice.
func (p *pulse) push(ctx context.Context, c *converter) error {
	err := p.ensureSchema(ctx)
	if err == nil && c.rows.Len() > 0 {
		err = p.store.Insert(ctx, c.rows)
	}
	if err != nil {
		p.failed(err, c.rows.Len())
		return forHelper(err)
	}
	p.telemetry.stored(ctx, c.rows.Counts())
	return p.answer(ctx, c.refused)
}

// failed makes visible that ClickHouse did not take rows. exporterhelper alone would say so, for what is tried
// again, at a level that is not shown.
func (p *pulse) failed(err error, rows int) {
	p.trouble(err)
	fields := []zap.Field{zap.Int("rows", rows), zap.Error(err)}
	switch classify(err) {
	case permanent:
		p.logger.Error("ClickHouse refuses rows, and would again: they are dropped", fields...)
	case throttle:
		p.logger.Warn("ClickHouse has too much to do or no room: rows wait", append(fields, zap.Duration("for", throttleDelay))...)
	default:
		p.logger.Warn("ClickHouse did not take rows: they are sent again as `retry_on_failure` says", fields...)
	}
}

// answer counts and reports refused records. Their error is permanent: sent again, they would be refused again.
func (p *pulse) answer(ctx context.Context, refused refusals) error {
	if refused.total() == 0 {
		if p.troubled.Swap(false) {
			componentstatus.ReportStatus(p.host, componentstatus.NewEvent(componentstatus.StatusOK))
		}
		return nil
	}
	p.telemetry.refuse(ctx, refused)
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(refused)) {
		parts = append(parts, fmt.Sprintf("%d %s", refused[why], why))
	}
	err := fmt.Errorf("refused records that are not anonymized records of the schema: %s", strings.Join(parts, ", "))
	p.trouble(err)
	p.logger.Error("records were refused and dropped", zap.Error(err))
	return consumererror.NewPermanent(err)
}

func (p *pulse) trouble(err error) {
	p.troubled.Store(true)
	componentstatus.ReportStatus(p.host, componentstatus.NewRecoverableErrorEvent(err))
}
