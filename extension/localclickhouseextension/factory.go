// SPDX-License-Identifier: Apache-2.0

// Package localclickhouseextension is the `local_clickhouse` extension: ClickHouse embedded as
// a library (libchdb) in an unprivileged child process of the same binary.
package localclickhouseextension

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"

	"github.com/qpoint-io/otelcol-qpoint/extension/localclickhouseextension/internal/metadata"
)

// NewFactory returns the factory of `local_clickhouse`.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type,
		func() component.Config { return newDefaultConfig() },
		func(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
			return newExtension(set, cfg.(*Config)), nil
		},
		metadata.ExtensionStability)
}
