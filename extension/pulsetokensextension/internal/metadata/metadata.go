// SPDX-License-Identifier: Apache-2.0

// Package metadata holds the facts about the component that its factory and tests share.
package metadata

import "go.opentelemetry.io/collector/component"

// Type is the component type used in configurations.
var Type = component.MustNewType("pulse_tokens")

// ScopeName is the instrumentation scope of the component's own telemetry.
const ScopeName = "github.com/qpoint-io/otelcol-qpoint/extension/pulsetokensextension"

// ExtensionStability is the stability level of the extension.
const ExtensionStability = component.StabilityLevelAlpha
