// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"

	"github.com/qpoint-io/otelcol-qpoint/internal/privacy"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/emit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/engine"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/inspect"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
)

// payloadReceiver hands the payloads of a `qtap` receiver's engine to its pipeline.
type payloadReceiver struct {
	cfg  *PayloadConfig
	set  receiver.Settings
	obs  *receiverhelper.ObsReport
	next consumer.Logs

	slot     *slot
	payloads *engine.Payloads // while started
}

func newPayloadReceiver(cfg *PayloadConfig, set receiver.Settings, next consumer.Logs) (*payloadReceiver, error) {
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: set.ID, Transport: "ebpf", LongLivedCtx: true, ReceiverCreateSettings: set,
	})
	if err != nil {
		return nil, err
	}
	return &payloadReceiver{cfg: cfg, set: set, obs: obs, next: next, slot: slotOf(cfg.Receiver)}, nil
}

// Start attaches to the engine, which may start later.
func (r *payloadReceiver) Start(_ context.Context, host component.Host) error {
	if !r.cfg.Unguarded && !guarded(host) {
		return fmt.Errorf("%s: no `privacy_guard` extension checks where payloads go: add it to `service::extensions`, or set `unguarded: true`", r.set.ID)
	}
	// The collector creates every receiver before it starts the first one.
	if !r.slot.exists() {
		return fmt.Errorf("%s: `receiver` %q is not in any pipeline of this collector: name the id of the qtap receiver whose payloads are to be kept", r.set.ID, r.cfg.Receiver)
	}
	look, err := r.inspector()
	if err != nil {
		return fmt.Errorf("%s: %w", r.set.ID, err)
	}
	scope := emit.Scope{Name: metadata.ScopeName, Version: r.set.BuildInfo.Version}
	seg := emit.NewSegmenter[*process.Info](emit.SegmentConfig{
		MaxAge: r.cfg.Segment.MaxAge, MaxBytes: r.cfg.Segment.MaxBytes, MaxEntries: r.cfg.Segment.MaxEntries, Inspect: look,
	}, process.ReadHost("/").ID, scope, consumeLogs(r.obs, r.next), r.slot.report, r.slot.books)
	p := &engine.Payloads{MaxBody: r.cfg.MaxBodySize, PartAge: r.cfg.Segment.MaxAge, Segmenter: seg}
	if err := r.slot.attachPayload(p); err != nil {
		seg.Close(context.Background(), time.Now().UnixNano())
		return fmt.Errorf("%s: `receiver` %q: %w", r.set.ID, r.cfg.Receiver, err)
	}
	r.payloads = p
	return nil
}

// inspector returns who looks at payloads before they are handed over; nil for nobody.
func (r *payloadReceiver) inspector() (func(plog.LogRecordSlice, *int64) (int, func(int, plog.LogRecord)), error) {
	policy, err := r.cfg.Redact.Compile()
	f := r.cfg.Findings
	if err != nil || policy == nil && !f.Enabled {
		return nil, err
	}
	return inspect.New(inspect.Settings{Findings: f.Enabled, CPU: f.CPU, MaxSize: f.MaxBodySize, Redact: policy}, r.slot.books.Inspected).Inspect, nil
}

// Shutdown hands over what is packed so far.
func (r *payloadReceiver) Shutdown(ctx context.Context) error {
	if r.payloads == nil {
		return nil
	}
	r.slot.detachPayload()
	r.payloads.Segmenter.Close(ctx, time.Now().UnixNano())
	r.payloads = nil
	return nil
}

func guarded(host component.Host) bool {
	for _, ext := range host.GetExtensions() {
		if g, ok := ext.(privacy.Guard); ok && g.GuardsPayloads() {
			return true
		}
	}
	return false
}
