// SPDX-License-Identifier: Apache-2.0

// Package metadata names the component.
package metadata

import "go.opentelemetry.io/collector/component"

// Type is the component type that configurations use.
var Type = component.MustNewType("pulse_api")

const (
	// ScopeName is the instrumentation scope of the component's own telemetry.
	ScopeName = "github.com/qpoint-io/otelcol-qpoint/extension/pulseapiextension"
	// ExtensionStability is what users may expect of the component.
	ExtensionStability = component.StabilityLevelDevelopment
)
