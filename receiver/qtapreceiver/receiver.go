// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/emit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/engine"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/governor"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/restart"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

// openFunc opens the source of events. fields describe what it can and cannot see, for one
// line in the log.
type openFunc func(cfg *Config, logger *zap.Logger) (src event.Source, fields []zap.Field, err error)

// signal is one signal's component of a `qtap` receiver. All of them share one tap.
type signal struct {
	tap     *tap
	started bool
}

func (s *signal) Start(ctx context.Context, host component.Host) error {
	if err := s.tap.start(ctx, host); err != nil {
		return err
	}
	s.started = true
	return nil
}

func (s *signal) Shutdown(ctx context.Context) error {
	if !s.started {
		s.tap.abandon()
		return nil
	}
	s.started = false
	return s.tap.stop(ctx)
}

// tap runs one engine for the signals of a `qtap` receiver.
type tap struct {
	cfg    *Config
	set    receiver.Settings
	open   openFunc
	slot   *slot
	obs    *receiverhelper.ObsReport
	traces consumer.Traces
	logs   consumer.Logs

	measure   func() governor.Usage
	lookEvery time.Duration // at the engine, whether it goes on

	mu      sync.Mutex
	running bool
	over    bool

	capture   *capture
	sessions  *restart.Store // nil without `tls::restart_state`
	engine    *engine.Engine
	emitter   *emit.Emitter[*process.Info]
	telemetry *telemetry
	cancel    context.CancelFunc
	wg        sync.WaitGroup
}

func newTap(cfg *Config, set receiver.Settings, open openFunc) (*tap, error) {
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: set.ID, Transport: "ebpf", LongLivedCtx: true, ReceiverCreateSettings: set,
	})
	if err != nil {
		return nil, err
	}
	return &tap{cfg: cfg, set: set, open: open, slot: slotOf(set.ID), obs: obs, measure: governor.Measure, lookEvery: time.Second}, nil
}

func (t *tap) ended() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.over
}

// abandon notes that a signal was shut down without ever being started.
func (t *tap) abandon() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = !t.running
}

func (t *tap) start(_ context.Context, host component.Host) (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running {
		return nil
	}
	if t.cfg.Doctor {
		return t.startDoctor()
	}
	src, fields, err := t.open(t.cfg, t.set.Logger)
	if err != nil {
		return fmt.Errorf("%s: %w", t.set.ID, err)
	}
	t.capture, t.sessions = newCapture(src), nil
	parts := &conditions{}
	if r := t.cfg.TLS.RestartState; r.Directory != "" {
		if t.sessions, err = restart.Open(r.Directory, r.TTL, t.set.Logger); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", t.set.ID, err), src.Close())
		}
	}

	control, _ := src.(event.Controller)
	scope := emit.Scope{Name: metadata.ScopeName, Version: t.set.BuildInfo.Version}
	t.emitter = emit.New[*process.Info](scope, t.consumers())
	settings := engine.Settings{
		Include:   t.cfg.Ports.Include,
		Exclude:   t.cfg.Ports.Exclude,
		Egress:    slices.Contains(t.cfg.Directions, DirectionEgress),
		Ingress:   slices.Contains(t.cfg.Directions, DirectionIngress),
		Interval:  t.cfg.ConnectionInterval,
		Level:     rules.Level(t.cfg.Level),
		Control:   control,
		NoPackets: t.cfg.maxLevel() == LevelConnections,
		Suppress:  t.cfg.Instrumented == InstrumentedSuppress,
		Emitter:   t.emitter,
		Processes: process.NewResolver("/", process.ReadHost("/")),
		Coverage:  engine.CoverageSettings{Interval: t.cfg.CoverageInterval, Host: hostCoverage(src), Books: t.books},
		UnreadTLS: unreadTLS(src),
		Budget:    t.budget(parts.of("limits", host)),
	}
	if t.sessions != nil {
		settings.Sessions = t.sessions
		settings.DenyProcesses, settings.NoSecrets = t.cfg.TLS.DenyProcesses, !t.cfg.TLS.Enabled
	}
	t.engine = engine.New(settings)
	watchRules, err := t.startRules()
	if err == nil {
		t.telemetry, err = newTelemetry(t.set.TelemetrySettings, t.engine, t.books, t.cfg.Limits)
	}
	if err == nil {
		err = t.slot.attachEngine(t.engine, t.emitter)
	}
	if err != nil {
		t.emitter.Close(context.Background())
		t.telemetry.close()
		return errors.Join(fmt.Errorf("%s: %w", t.set.ID, err), t.sessions.Close(), src.Close())
	}

	var ctx context.Context
	ctx, t.cancel = context.WithCancel(context.Background())
	c := t.capture
	c.engine, c.cancel = t.engine, t.cancel
	go t.run(ctx, host, c) // stop waits for it, unless it is stuck
	t.wg.Go(func() { t.watch(host, c) })
	if watchRules != nil {
		t.wg.Go(func() { watchRules(ctx, parts.of("rules_file", host)) })
	}
	t.running, t.over = true, false
	t.set.Logger.Info("Watching connections", fields...)
	return nil
}

// stop ends the engine when the first signal stops: first the source, then what the streams hold, then the queues. Not when
// the last one does: the collector stops a pipeline as soon as its receivers are stopped, and what is handed over at the end
// is for all pipelines.
func (t *tap) stop(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.running {
		return nil
	}
	t.running, t.over = false, true
	t.cancel()
	if t.cfg.Doctor {
		t.wg.Wait()
		return nil
	}
	now := time.Now().UnixNano()
	rests, err := t.capture.end(now)
	t.wg.Wait()
	err = errors.Join(err, t.sessions.Close())
	if p := t.slot.payloads(); p != nil && rests {
		// Its segments are reported through this receiver, so they go before it does.
		p.Segmenter.Drain(ctx, now)
	}
	t.slot.detachEngine()
	if rests {
		t.emitter.Close(ctx)
	} else {
		t.emitter.Stop(ctx)
	}
	t.telemetry.close()
	if err != nil {
		return fmt.Errorf("%s: %w", t.set.ID, err)
	}
	return nil
}

// books returns every stage of the conservation identity.
func (t *tap) books() []engine.Stage {
	stages := t.engine.Stats().Stages
	b := t.slot.books
	for _, l := range []*emit.Ledger{t.emitter.Spans, t.emitter.Logs, b.Payloads, b.Bytes, b.Segments, b.Inspected} {
		stages = append(stages, engine.Stage{Name: l.Stage, Unit: l.Unit, Totals: l.Totals()})
	}
	return stages
}

func (t *tap) consumers() (c emit.Consumers) {
	if t.traces != nil {
		c.Traces = func(ctx context.Context, td ptrace.Traces, n int) error {
			ctx = t.obs.StartTracesOp(ctx)
			err := t.traces.ConsumeTraces(ctx, td)
			t.obs.EndTracesOp(ctx, "qtap", n, err)
			return err
		}
	}
	if t.logs != nil {
		c.Logs = consumeLogs(t.obs, t.logs)
	}
	return c
}

func consumeLogs(obs *receiverhelper.ObsReport, next consumer.Logs) func(context.Context, plog.Logs, int) error {
	return func(ctx context.Context, ld plog.Logs, n int) error {
		ctx = obs.StartLogsOp(ctx)
		err := next.ConsumeLogs(ctx, ld)
		obs.EndLogsOp(ctx, "qtap", n, err)
		return err
	}
}
