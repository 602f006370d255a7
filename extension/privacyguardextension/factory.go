// SPDX-License-Identifier: Apache-2.0

package privacyguardextension

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"

	"github.com/qpoint-io/otelcol-qpoint/extension/privacyguardextension/internal/metadata"
)

// Config of the privacy guard. It has no keys: a guard that can be told to look away is none.
type Config struct {
	_ struct{}
}

// NewFactory returns the factory of the `privacy_guard` extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, createDefaultConfig, create, metadata.ExtensionStability)
}

func createDefaultConfig() component.Config { return &Config{} }

func create(_ context.Context, set extension.Settings, _ component.Config) (extension.Extension, error) {
	return &guard{logger: set.Logger}, nil
}
