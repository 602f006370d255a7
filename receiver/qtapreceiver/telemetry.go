// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"context"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/engine"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/governor"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

// telemetry publishes the books of the engine and of what follows it, stage by stage. The
// values are read when they are collected, so a busy host pays nothing for them.
type telemetry struct{ reg metric.Registration }

func newTelemetry(set component.TelemetrySettings, e *engine.Engine, books func() []engine.Stage, limits LimitsConfig) (*telemetry, error) {
	m := set.MeterProvider.Meter(metadata.ScopeName)
	var errs error
	counter := func(name, unit, desc string) metric.Int64ObservableCounter {
		c, err := m.Int64ObservableCounter("otelcol_receiver_qtap_"+name, metric.WithUnit(unit), metric.WithDescription(desc))
		errs = firstError(errs, err)
		return c
	}
	gauge := func(name, unit, desc string) metric.Int64ObservableGauge {
		g, err := m.Int64ObservableGauge("otelcol_receiver_qtap_"+name, metric.WithUnit(unit), metric.WithDescription(desc))
		errs = firstError(errs, err)
		return g
	}
	in := counter("stage_in", "1", "What entered a stage: in = out + dropped + in flight.")
	out := counter("stage_out", "1", "What a stage handed on.")
	dropped := counter("stage_dropped", "1", "What a stage gave up, by reason.")
	inFlight := gauge("stage_in_flight", "1", "What is inside a stage.")
	lost := counter("events_lost", "{event}", "Kernel events that did not fit into the ring, by kind; of secrets also those while nobody read the ring for 30 s.")
	missing := counter("missing", "By", "Bytes of streams that were on the wire and not captured: gaps for the parsers.")
	gaps := counter("gaps", "{gap}", "Runs of such bytes.")
	refused := counter("packets_refused", "{packet}", "Packets that were not believed: forged or damaged.")
	conns := gauge("connections", "{connection}", "Connections in the table.")
	opened := counter("connections_opened", "{connection}", "Connections that were seen.")
	evicted := counter("connections_evicted", "{connection}", "Connections given up because the table was full.")
	expired := counter("connections_expired", "{connection}", "Connections whose end was never reported.")
	excluded := counter("connections_excluded", "{connection}", "Connection ends left out because they are the collector's.")
	secrets := counter("tls_secrets", "{secret}", "TLS secrets captured.")
	unreadable := counter("tls_secrets_unreadable", "{secret}", "Those that could not be read from their program's memory.")
	ruleErrors := counter("rule_errors", "{exchange}", "Exchanges whose payload was not kept because a rule's expression failed.")
	rulesUnknown := counter("rules_unknown", "{exchange}", "Exchanges whose payload was not kept because a rule looks at what is not known.")
	stopped := counter("connections_stopped", "{connection}", "Connections whose bytes the kernel was told not to copy any more, by reason.")
	skipped := counter("skipped", "By", "Payload bytes that the kernel did not copy because nobody wants them, by reason.")
	ordersFailed := counter("orders_failed", "{order}", "Orders about connections that the kernel did not take: it copies more than is wanted.")
	level := gauge("level", "1", "How deep connections are looked into within the limits: 1 at the present level, else 0.")
	levelSteps := counter("level_steps", "{step}", "Steps of that level, by direction.")
	used, err := m.Float64ObservableGauge("otelcol_receiver_qtap_limit_used", metric.WithUnit("1"), metric.WithDescription("Part of each limit that is used."))
	errs = firstError(errs, err)
	processes := gauge("processes", "{process}", "Processes in the cache.")
	if errs != nil {
		return nil, fmt.Errorf("own metrics: %w", errs)
	}
	reg, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		st := e.Stats()
		for _, s := range books() {
			stage, unit := attribute.String("stage", s.Name), attribute.String("unit", s.Unit)
			with := metric.WithAttributes(stage, unit)
			o.ObserveInt64(in, int64(s.In), with)
			o.ObserveInt64(out, int64(s.Out), with)
			o.ObserveInt64(inFlight, s.InFlight, with)
			for reason, n := range s.Dropped {
				o.ObserveInt64(dropped, int64(n), metric.WithAttributes(stage, unit, attribute.String("reason", reason)))
			}
		}
		for kind, n := range st.Lost {
			o.ObserveInt64(lost, int64(n), metric.WithAttributes(attribute.String("kind", kind)))
		}
		o.ObserveInt64(missing, int64(st.Missing))
		o.ObserveInt64(gaps, int64(st.Gaps))
		o.ObserveInt64(refused, int64(st.Refused))
		o.ObserveInt64(conns, int64(st.Connections))
		o.ObserveInt64(opened, int64(st.Opened))
		o.ObserveInt64(evicted, int64(st.Evicted))
		o.ObserveInt64(expired, int64(st.Expired))
		o.ObserveInt64(excluded, int64(st.Excluded))
		o.ObserveInt64(secrets, int64(st.Secrets))
		o.ObserveInt64(unreadable, int64(st.SecretsUnreadable))
		o.ObserveInt64(ruleErrors, int64(st.RuleErrors))
		o.ObserveInt64(rulesUnknown, int64(st.RulesUnknown))
		for i := range st.Skipped {
			with := metric.WithAttributes(attribute.String("reason", event.SkipReason(i).String()))
			o.ObserveInt64(skipped, int64(st.Skipped[i]), with)
			if event.SkipReason(i) != event.SkipCap {
				o.ObserveInt64(stopped, int64(st.Stopped[i]), with)
			}
		}
		o.ObserveInt64(ordersFailed, int64(st.OrdersFailed))
		o.ObserveInt64(processes, int64(st.Processes))
		if b := st.Budget; b.Level != "" {
			for _, l := range []rules.Level{rules.LevelFull, rules.LevelHeaders, rules.LevelConnections} {
				var is int64
				if l == b.Level {
					is = 1
				}
				o.ObserveInt64(level, is, metric.WithAttributes(attribute.String("level", string(l))))
			}
			o.ObserveInt64(levelSteps, int64(b.Down), metric.WithAttributes(attribute.String("direction", "down")))
			o.ObserveInt64(levelSteps, int64(b.Up), metric.WithAttributes(attribute.String("direction", "up")))
			if limit := limits.CPU; limit > 0 {
				o.ObserveFloat64(used, b.CPU/limit, metric.WithAttributes(attribute.String("limit", governor.CPU)))
			}
			if limit := limits.MemoryMiB; limit > 0 {
				o.ObserveFloat64(used, float64(b.Memory)/float64(limit*mib), metric.WithAttributes(attribute.String("limit", governor.Memory)))
			}
		}
		return nil
	}, in, out, dropped, inFlight, lost, missing, gaps, refused, conns, opened, evicted, expired, excluded, secrets, unreadable, ruleErrors, rulesUnknown, stopped, skipped, ordersFailed, processes, level, levelSteps, used)
	if err != nil {
		return nil, fmt.Errorf("own metrics: %w", err)
	}
	return &telemetry{reg: reg}, nil
}

func (t *telemetry) close() {
	if t != nil {
		_ = t.reg.Unregister()
	}
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
