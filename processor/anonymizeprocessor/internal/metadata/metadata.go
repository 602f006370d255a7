// SPDX-License-Identifier: Apache-2.0

// Package metadata holds the facts about the component that its factory and tests share.
package metadata

import "go.opentelemetry.io/collector/component"

// Type is the component type used in configurations.
var Type = component.MustNewType("anonymize")

// ScopeName is the instrumentation scope of the component's own telemetry.
const ScopeName = "github.com/qpoint-io/otelcol-qpoint/processor/anonymizeprocessor"

const (
	// TracesStability is the stability level for traces.
	TracesStability = component.StabilityLevelAlpha
	// LogsStability is the stability level for logs.
	LogsStability = component.StabilityLevelAlpha
)
