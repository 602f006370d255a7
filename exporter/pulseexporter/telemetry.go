// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/qpoint-io/otelcol-qpoint/exporter/pulseexporter/internal/metadata"
)

// reason says why a record was refused. It is a value of the metric's attribute.
type reason string

const (
	reasonUnstamped   reason = "unstamped"         // the resource was not anonymized by a policy of this process
	reasonForeign     reason = "foreign"           // not a record of our schema
	reasonMalformed   reason = "malformed"         // a record of our schema that lacks its identity
	reasonEnvironment reason = "environment"       // the object lies below another environment than the record's: no link would find it
	reasonTime        reason = "time_out_of_range" // older than what is kept, or of the future
)

// refusals counts the refused records of one push by reason.
type refusals map[reason]int

func (r refusals) total() (n int) {
	for _, c := range r {
		n += c
	}
	return n
}

type telemetry struct {
	rows, refused metric.Int64Counter
}

func newTelemetry(set component.TelemetrySettings) (*telemetry, error) {
	meter := set.MeterProvider.Meter(metadata.ScopeName)
	rows, err1 := meter.Int64Counter("otelcol_exporter_pulse_rows", metric.WithUnit("{row}"), metric.WithDescription("Rows stored, by table."))
	refused, err2 := meter.Int64Counter("otelcol_exporter_pulse_refused", metric.WithUnit("{record}"),
		metric.WithDescription("Records refused because they are not anonymized records of the schema, by reason."))
	return &telemetry{rows: rows, refused: refused}, errors.Join(err1, err2)
}

func (t *telemetry) stored(ctx context.Context, counts map[string]int) {
	for table, n := range counts {
		if n > 0 {
			t.rows.Add(ctx, int64(n), metric.WithAttributes(attribute.String("table", table)))
		}
	}
}

func (t *telemetry) refuse(ctx context.Context, r refusals) {
	for why, n := range r {
		t.refused.Add(ctx, int64(n), metric.WithAttributes(attribute.String("reason", string(why))))
	}
}
