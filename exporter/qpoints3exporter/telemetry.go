// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter

import (
	"errors"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter/internal/metadata"
)

// telemetry are the exporter's own metrics. Every entry that reaches the exporter is in the end
// counted once, in entries or in dropped, unless exporterhelper gives it up (queue full, retries
// exhausted), which exporterhelper counts.
type telemetry struct {
	objects    metric.Int64Counter
	bytes      metric.Int64Counter
	entries    metric.Int64Counter
	duplicates metric.Int64Counter
	failures   metric.Int64Counter
	dropped    metric.Int64Counter
	undeclared metric.Int64Counter
}

func newTelemetry(set component.TelemetrySettings) (*telemetry, error) {
	meter := set.MeterProvider.Meter(metadata.ScopeName)
	var t telemetry
	var errs error
	for _, c := range []struct {
		to               *metric.Int64Counter
		name, unit, desc string
	}{
		{&t.objects, "objects", "{object}", "Objects stored."},
		{&t.bytes, "bytes", "By", "Bytes of the objects stored."},
		{&t.entries, "entries", "{entry}", "Exchanges that are in the bucket: stored now, or found there when a segment was sent again."},
		{&t.duplicates, "duplicates", "{object}", "Objects that were already there with the same content."},
		{&t.failures, "failures", "{request}", "Failed requests to the bucket, by class."},
		{&t.undeclared, "entries_undeclared_class", "{entry}", "Exchanges of a retention class that is not declared, which are kept under the default one, by attempt."},
		{&t.dropped, "entries_dropped", "{entry}", "Exchanges given up, by reason."},
	} {
		var err error
		*c.to, err = meter.Int64Counter("otelcol_exporter_qpoint_s3_"+c.name, metric.WithUnit(c.unit), metric.WithDescription(c.desc))
		errs = errors.Join(errs, err)
	}
	return &t, errs
}

func class(c string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("class", c))
}

func reason(r string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("reason", r))
}
