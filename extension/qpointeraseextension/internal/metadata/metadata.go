// SPDX-License-Identifier: Apache-2.0

// Package metadata holds the extension's type, scope name and stability.
package metadata

import "go.opentelemetry.io/collector/component"

// Type is the component type.
var Type = component.MustNewType("qpoint_erase")

// ScopeName is the instrumentation scope of the extension's own telemetry.
const ScopeName = "github.com/qpoint-io/otelcol-qpoint/extension/qpointeraseextension"

// Stability is the stability of the extension.
const Stability = component.StabilityLevelAlpha
