// SPDX-License-Identifier: Apache-2.0

package locals3extension

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/qpoint-io/otelcol-qpoint/extension/locals3extension/internal/metadata"
)

func TestConfig(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	for name, want := range map[string]string{
		"":         "",
		"all":      "",
		"public":   "`endpoint`: \"0.0.0.0\" is not a loopback address",
		"origin":   "is not an origin",
		"reserved": "`bucket` must be",
		"unknown":  "invalid keys: datadir",
	} {
		t.Run(name, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			sub, err := conf.Sub(component.NewIDWithName(metadata.Type, name).String())
			require.NoError(t, err)
			if err = sub.Unmarshal(cfg); err == nil {
				err = confmap.Validate(cfg)
			}
			if want != "" {
				require.ErrorContains(t, err, want)
				return
			}
			require.NoError(t, err)
			if name == "all" {
				require.Equal(t, &Config{
					Endpoint: "localhost:9001", DataDir: "/var/lib/qpoint/s3", Bucket: "payloads", Region: "eu-central-1",
					CORS: CORSConfig{AllowedOrigins: []string{"https://pulse.example.com"}},
				}, cfg)
			}
		})
	}
}

func TestEndpointIsLoopback(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"127.0.0.1:8687": true, "[::1]:8687": true, "localhost:1": true, "127.9.9.9:80": true,
		":8687": false, "0.0.0.0:8687": false, "10.0.0.1:8687": false, "example.com:8687": false,
		"127.0.0.1": false, "127.0.0.1:0": false, "127.0.0.1:99999": false, "http://127.0.0.1:8687": false,
		"[::ffff:10.0.0.1]:80": false,
	} {
		cfg := createDefaultConfig().(*Config)
		cfg.Endpoint = endpoint
		if err := cfg.Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}
