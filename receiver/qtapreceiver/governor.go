// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/engine"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/governor"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

// budget returns what keeps the process within `limits`; nil without any.
func (t *tap) budget(host component.Host) *engine.Budget {
	l := t.cfg.Limits
	if l.CPU == 0 && l.MemoryMiB == 0 {
		return nil
	}
	g := governor.New(governor.Limits{CPU: l.CPU, Memory: uint64(l.MemoryMiB) * mib}, rules.Level(t.cfg.maxLevel()))
	return &engine.Budget{Governor: g, Measure: t.measure, OnStep: func(s governor.State) { t.stepped(host, g, s) }}
}

// stepped says in the log and as the component's status how deep connections are looked into.
func (t *tap) stepped(host component.Host, g *governor.Governor, s governor.State) {
	fields := []zap.Field{
		zap.String("level", string(s.Level)), zap.Float64("cpu", s.CPU), zap.Float64("limits_cpu", t.cfg.Limits.CPU),
		zap.Uint64("memory_mib", s.Memory/mib), zap.Int("limits_memory_mib", t.cfg.Limits.MemoryMiB),
	}
	if s.Level == g.Top() {
		t.set.Logger.Info("Within the limits again: everything is looked into that was wanted", fields...)
		componentstatus.ReportStatus(host, componentstatus.NewEvent(componentstatus.StatusOK))
		return
	}
	t.set.Logger.Warn("Over the limits, or not long enough below them: connections are looked into less deep", append(fields, zap.String("limit", s.Reason))...)
	componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(
		fmt.Errorf("`limits::%s` was exceeded: connections are looked into at level %s, not %s", keyOf(s.Reason), s.Level, g.Top())))
}

// keyOf is the key of a resource's limit.
func keyOf(resource string) string {
	if resource == governor.Memory {
		return "memory_mib"
	}
	return resource
}
