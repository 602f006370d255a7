// SPDX-License-Identifier: Apache-2.0

// Package metadata names the components of package qtapreceiver.
package metadata

import "go.opentelemetry.io/collector/component"

var (
	// Type is the receiver of spans and connection logs.
	Type = component.MustNewType("qtap")
	// PayloadType is the receiver of payload logs.
	PayloadType = component.MustNewType("qtap_payload")
)

const (
	// ScopeName is the instrumentation scope of what the receivers emit, and of their own metrics.
	ScopeName = "github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver"

	// TracesStability is the level of `qtap`'s spans.
	TracesStability = component.StabilityLevelAlpha
	// LogsStability is the level of `qtap`'s connection and segment logs.
	LogsStability = component.StabilityLevelAlpha
	// PayloadStability is the level of `qtap_payload`.
	PayloadStability = component.StabilityLevelAlpha
)
