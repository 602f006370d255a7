// SPDX-License-Identifier: Apache-2.0

package pulsetokensextension

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"

	"github.com/qpoint-io/otelcol-qpoint/extension/pulsetokensextension/internal/metadata"
)

// NewFactory returns the factory of the `pulse_tokens` extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, createDefaultConfig, create, metadata.ExtensionStability)
}

func createDefaultConfig() component.Config { return &Config{} }

func create(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
	return newTokens(set.TelemetrySettings, cfg.(*Config))
}
