// SPDX-License-Identifier: Apache-2.0

// Package metadata names the component.
package metadata

import "go.opentelemetry.io/collector/component"

// Type is the component type.
var Type = component.MustNewType("pulse")

// ScopeName is the instrumentation scope of the component's own telemetry.
const ScopeName = "github.com/qpoint-io/otelcol-qpoint/exporter/pulseexporter"

// Stability of the signals.
const (
	TracesStability = component.StabilityLevelAlpha
	LogsStability   = component.StabilityLevelAlpha
)
