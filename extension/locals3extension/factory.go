// SPDX-License-Identifier: Apache-2.0

// Package locals3extension is the `local_s3` extension: an S3 server on loopback that keeps one
// bucket in a folder, for a demo or a small install.
package locals3extension

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"

	"github.com/qpoint-io/otelcol-qpoint/extension/locals3extension/internal/metadata"
)

// NewFactory returns the factory of the `local_s3` extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, createDefaultConfig, create, metadata.Stability)
}

func createDefaultConfig() component.Config {
	return &Config{
		Endpoint: "127.0.0.1:8687",
		DataDir:  "./data/s3",
		Bucket:   "qpoint",
		Region:   "us-east-1",
		CORS:     CORSConfig{AllowedOrigins: []string{"http://127.0.0.1:8686", "http://localhost:8686"}},
	}
}

func create(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
	return newServer(set, cfg.(*Config))
}
