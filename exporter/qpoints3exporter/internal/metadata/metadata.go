// SPDX-License-Identifier: Apache-2.0

// Package metadata holds the exporter's type, scope name and stability.
package metadata

import "go.opentelemetry.io/collector/component"

// Type is the component type.
var Type = component.MustNewType("qpoint_s3")

// ScopeName is the instrumentation scope of the exporter's own telemetry.
const ScopeName = "github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter"

// LogsStability is the stability of the logs signal.
const LogsStability = component.StabilityLevelAlpha
