// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/qpoint-io/otelcol-qpoint/processor/anonymizeprocessor/internal/metadata"
)

// reason says why an attribute was removed.
type reason uint8

const (
	notAllowed   reason = iota // the key is not on the allow-list
	wrongType                  // the key is, but not with a value of this type
	invalidValue               // the value breaks the rules of its class
	inScope                    // scope attributes are removed whole
	reasons
)

var reasonNames = [reasons]string{"not_allowed", "wrong_type", "invalid_value", "scope"}

// tally counts what was done to one batch. It holds no values and no keys: an event or key
// that is not ours is attacker-chosen text, and a metric label is a way out of the host.
type tally struct {
	removed  [reasons]int64
	cleaned  int64
	payloads int64 // qpoint.payload records
	foreign  int64 // records of any other event
}

// Why a batch was refused; attributes of the metric.
var (
	refusedNoIdentity = metric.WithAttributeSet(attribute.NewSet(attribute.String("reason", "no_identity")))
	refusedQuota      = metric.WithAttributeSet(attribute.NewSet(attribute.String("reason", "quota")))
)

type telemetry struct {
	refusedItems      metric.Int64Counter
	removedAttributes metric.Int64Counter
	cleanedAttributes metric.Int64Counter
	removedRecords    metric.Int64Counter
	byReason          [reasons]metric.MeasurementOption
	payload, other    metric.MeasurementOption
}

func newTelemetry(set component.TelemetrySettings) (*telemetry, error) {
	m := set.MeterProvider.Meter(metadata.ScopeName)
	var (
		t    telemetry
		errs [4]error
	)
	t.removedAttributes, errs[0] = m.Int64Counter("otelcol_processor_anonymize_removed_attributes",
		metric.WithDescription("Attributes removed, by reason."), metric.WithUnit("{attribute}"))
	t.cleanedAttributes, errs[1] = m.Int64Counter("otelcol_processor_anonymize_cleaned_attributes",
		metric.WithDescription("Attributes kept with a value that was cleaned."), metric.WithUnit("{attribute}"))
	t.removedRecords, errs[2] = m.Int64Counter("otelcol_processor_anonymize_removed_records",
		metric.WithDescription("Log records removed whole, by event."), metric.WithUnit("{record}"))
	t.refusedItems, errs[3] = m.Int64Counter("otelcol_processor_anonymize_refused_items",
		metric.WithDescription("Spans and log records of batches that were refused, by reason. The sender knows."), metric.WithUnit("{item}"))
	for i, name := range reasonNames {
		t.byReason[i] = metric.WithAttributeSet(attribute.NewSet(attribute.String("reason", name)))
	}
	t.payload = metric.WithAttributeSet(attribute.NewSet(attribute.String("event", "qpoint.payload")))
	t.other = metric.WithAttributeSet(attribute.NewSet(attribute.String("event", "other")))
	return &t, errors.Join(errs[:]...)
}

func (t *telemetry) refuse(ctx context.Context, why metric.MeasurementOption, items int) {
	t.refusedItems.Add(ctx, int64(items), why)
}

func (t *telemetry) add(ctx context.Context, n *tally) {
	for i, v := range n.removed {
		if v > 0 {
			t.removedAttributes.Add(ctx, v, t.byReason[i])
		}
	}
	if n.cleaned > 0 {
		t.cleanedAttributes.Add(ctx, n.cleaned)
	}
	if n.payloads > 0 {
		t.removedRecords.Add(ctx, n.payloads, t.payload)
	}
	if n.foreign > 0 {
		t.removedRecords.Add(ctx, n.foreign, t.other)
	}
}
