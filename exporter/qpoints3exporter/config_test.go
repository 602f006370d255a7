// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
)

func load(t *testing.T, name string) (*Config, error) {
	t.Helper()
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	sub, err := conf.Sub(component.NewIDWithName(metadata.Type, name).String())
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	if err := sub.Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, confmap.Validate(cfg)
}

func TestConfig(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))

	cfg, err := load(t, "")
	require.NoError(t, err)
	require.Equal(t, 30*time.Second, cfg.Timeout.Timeout)
	require.Equal(t, int64(256<<20), cfg.Queue.Get().QueueSize)
	require.Equal(t, exporterhelper.RequestSizerTypeBytes, cfg.Queue.Get().Sizer)
	require.Equal(t, 4, cfg.Queue.Get().NumConsumers)
	require.True(t, cfg.Retry.Enabled)
	set, err := cfg.settings()
	require.NoError(t, err)
	require.Equal(t, s3settings.Settings{Bucket: "payloads", Region: "us-east-1"}, set)

	cfg, err = load(t, "all")
	require.NoError(t, err)
	set, err = cfg.settings()
	require.NoError(t, err)
	require.Equal(t, s3settings.Settings{
		Endpoint: "https://s3.example.com:9000", Bucket: "payloads", Region: "eu-central-1",
		AccessKey: "AKIAEXAMPLE", SecretKey: "topsecretvalue",
	}, set)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg), "topsecretvalue")
	require.Equal(t, "team-a/", cfg.Prefix)
	require.Equal(t, 10*time.Second, cfg.Timeout.Timeout)
	require.Equal(t, "file_storage", cfg.Queue.Get().StorageID.String())

	cfg, err = load(t, "storage")
	require.NoError(t, err)
	require.Equal(t, "local_s3", cfg.Storage.String())
}

func TestConfigErrors(t *testing.T) {
	for name, want := range map[string]string{
		"both":        "`storage` takes the place of",
		"no_bucket":   "`bucket` is required",
		"one_key":     "`access_key` and `secret_key` go together",
		"ssl":         "`ssl: true` contradicts the scheme of `endpoint`, http://",
		"userinfo":    "must not hold credentials",
		"path":        "must not hold a path",
		"scheme":      "`endpoint` must be host:port or a URL",
		"batch":       "`sending_queue::batch` must not be set",
		"small_queue": "`sending_queue::queue_size` is 1000 bytes",
		"sse":         "`sse` is \"yes please\"",
		"kms":         "`sse_kms_key_id` needs `sse: aws:kms`",
		"prefix":      "`prefix` must not begin with '/'",
		"tag":         "`tags`: \"a&b\"",
		"unknown":     "s3_bucket",
		"recipient":   "`encryption::age_recipients`: entry 1 is not a recipient of age",
		"secret":      "`encryption::age_recipients`: entry 1 is a secret key",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, name)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "topsecretvalue")
		})
	}
}

func TestEndpointForms(t *testing.T) {
	on, off := true, false
	for _, c := range []struct {
		endpoint  string
		ssl       *bool
		base      string
		pathStyle bool
	}{
		{"127.0.0.1:9000", nil, "https://127.0.0.1:9000", true},
		{"127.0.0.1:9000", &on, "https://127.0.0.1:9000", true},
		{"127.0.0.1:9000", &off, "http://127.0.0.1:9000", true},
		{"http://minio:9000/", nil, "http://minio:9000", true},
		{"http://minio:9000", &off, "http://minio:9000", true},
		{"https://s3.eu-central-1.amazonaws.com", nil, "https://s3.eu-central-1.amazonaws.com", false},
		{"s3.cn-north-1.amazonaws.com.cn", nil, "https://s3.cn-north-1.amazonaws.com.cn", false},
		{"https://amazonaws.com.evil.example", nil, "https://amazonaws.com.evil.example", true},
		{"[::1]:9000", &off, "http://[::1]:9000", true},
		{"", nil, "", false},
	} {
		cfg := createDefaultConfig().(*Config)
		cfg.Bucket, cfg.Endpoint, cfg.SSL = "payloads", c.endpoint, c.ssl
		require.NoError(t, cfg.Validate(), c.endpoint)
		set, err := cfg.settings()
		require.NoError(t, err)
		require.Equal(t, c.base, set.Endpoint)
		require.Equal(t, c.pathStyle, set.PathStyle, c.endpoint)
	}
}
