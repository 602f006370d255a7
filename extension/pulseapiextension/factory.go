// SPDX-License-Identifier: Apache-2.0

// Package pulseapiextension is the query API of Pulse and its page: who asked whom for what,
// read from ClickHouse. Payloads are not its business: it signs a short-lived link and the
// browser fetches the object from the user's bucket.
package pulseapiextension

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/extension"

	"github.com/qpoint-io/otelcol-qpoint/extension/pulseapiextension/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// NewFactory returns the factory of the `pulse_api` extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, createDefaultConfig, create, metadata.ExtensionStability)
}

func createDefaultConfig() component.Config {
	server := confighttp.NewDefaultServerConfig()
	server.NetAddr.Endpoint = defaultEndpoint
	limits := pulsestore.DefaultLimits()
	return &Config{
		ServerConfig: server, LocalTokenFile: defaultTokenFile, RequestsPerSecond: 50,
		Queries: QueriesConfig{Concurrent: 8, QueueTimeout: 2 * time.Second, Timeout: limits.Time, MaxMemoryMiB: limits.Memory >> 20},
	}
}

func create(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
	return newExtension(set, cfg.(*Config))
}
