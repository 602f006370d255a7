// SPDX-License-Identifier: Apache-2.0

// Package qpointeraseextension is the `qpoint_erase` extension: it may change the bucket of payloads, and erases in it what
// `pulse_api` is told to erase. Pulse itself cannot write there.
package qpointeraseextension

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"

	"github.com/qpoint-io/otelcol-qpoint/extension/qpointeraseextension/internal/metadata"
)

// NewFactory returns the factory of the `qpoint_erase` extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, createDefaultConfig, create, metadata.Stability)
}

func createDefaultConfig() component.Config { return &Config{Region: "us-east-1"} }

func create(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
	return newEraser(set, cfg.(*Config))
}
