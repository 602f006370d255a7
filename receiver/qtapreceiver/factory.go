// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/metadata"
)

// NewFactory returns the factory of `qtap`: spans of requests, logs of connections and segments.
func NewFactory() receiver.Factory { return newFactory(openKernel) }

// newFactory returns a `qtap` factory that reads events from what open gives.
func newFactory(open openFunc) receiver.Factory {
	shared := func(set receiver.Settings, cfg component.Config) (*tap, error) {
		c := cfg.(*Config)
		return slotOf(set.ID).tapOf(c, func() (*tap, error) { return newTap(c, set, open) })
	}
	return receiver.NewFactory(
		metadata.Type,
		func() component.Config { return createDefaultConfig() },
		receiver.WithTraces(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Traces) (receiver.Traces, error) {
			t, err := shared(set, cfg)
			if err != nil {
				return nil, err
			}
			t.traces = next
			return &signal{tap: t}, nil
		}, metadata.TracesStability),
		receiver.WithLogs(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
			t, err := shared(set, cfg)
			if err != nil {
				return nil, err
			}
			t.logs = next
			return &signal{tap: t}, nil
		}, metadata.LogsStability),
	)
}

// NewPayloadFactory returns the factory of `qtap_payload`: payloads, and nothing else.
func NewPayloadFactory() receiver.Factory {
	return receiver.NewFactory(
		metadata.PayloadType,
		func() component.Config { return createDefaultPayloadConfig() },
		receiver.WithLogs(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
			return newPayloadReceiver(cfg.(*PayloadConfig), set, next)
		}, metadata.PayloadStability),
	)
}
