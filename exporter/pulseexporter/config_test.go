// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"context"
	"encoding/xml"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
)

func load(t *testing.T, name string) (*Config, error) {
	t.Helper()
	all, err := confmaptest.LoadConf("testdata/config.yaml")
	require.NoError(t, err)
	sub, err := all.Sub("pulse/" + name)
	require.NoError(t, err)
	cfg := newDefaultConfig()
	require.NoError(t, sub.Unmarshal(cfg))
	return cfg, confmap.Validate(cfg)
}

func TestConfig(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(newDefaultConfig()))

	cfg, err := load(t, "local")
	require.NoError(t, err)
	assert.Equal(t, component.MustNewID("local_clickhouse"), *cfg.ClickHouse)
	assert.Equal(t, "qpoint", cfg.Database)
	assert.Equal(t, 720*time.Hour, cfg.TTL)
	assert.True(t, cfg.CreateSchema)
	batch := cfg.Queue.Get().Batch.Get()
	assert.Equal(t, time.Second, batch.FlushTimeout)
	assert.EqualValues(t, 10_000, batch.MinSize)

	cfg, err = load(t, "server")
	require.NoError(t, err)
	assert.Equal(t, 500*time.Millisecond, cfg.Queue.Get().Batch.Get().FlushTimeout)
	assert.EqualValues(t, 10_000, cfg.Queue.Get().Batch.Get().MinSize, "the other defaults stay")
	assert.False(t, cfg.CreateSchema)
	opts, err := cfg.endpointOptions(context.Background())
	require.NoError(t, err)
	assert.Equal(t, []string{"ch1:9000", "ch2:9000"}, opts.Addr)
	assert.Equal(t, clickhouse.Auth{Username: "writer", Password: "secret"}, opts.Auth)
	assert.Equal(t, clickhouse.Native, opts.Protocol)
	assert.Nil(t, opts.TLS)
	assert.Equal(t, clickhouse.CompressionLZ4, opts.Compression.Method)

	cfg, err = load(t, "cluster")
	require.NoError(t, err)
	opts, err = cfg.endpointOptions(context.Background())
	require.NoError(t, err)
	assert.Equal(t, clickhouse.Native, opts.Protocol)
	assert.Equal(t, "clickhouse.internal", opts.TLS.ServerName)
	assert.Equal(t, clickhouse.CompressionZSTD, opts.Compression.Method)
	assert.Equal(t, "main", cfg.Cluster)
	keep := cfg.retention()
	assert.Equal(t, 168*time.Hour, keep.Of("requests", "production"))
	assert.Equal(t, 24*time.Hour, keep.Of("requests", "staging"))
	assert.Zero(t, keep.Of("audit", "staging"), "what is said of a table goes first")

	cfg, err = load(t, "https")
	require.NoError(t, err)
	opts, err = cfg.endpointOptions(context.Background())
	require.NoError(t, err)
	assert.Equal(t, clickhouse.HTTP, opts.Protocol)
	assert.NotNil(t, opts.TLS)
	assert.Equal(t, 3*time.Second, opts.DialTimeout)
	assert.Equal(t, clickhouse.CompressionNone, opts.Compression.Method)
}

func TestBadConfig(t *testing.T) {
	for name, want := range map[string]string{
		"neither":                      "set `clickhouse`",
		"both":                         "exclude each other",
		"credentials_in_url":           "use `username` and `password`",
		"credentials_without_endpoint": "belong to `endpoint`",
		"scheme":                       "`endpoint` must be a URL",
		"path":                         "use `database`",
		"port":                         "`endpoint`: \"99999\" is not a port",
		"ttl":                          "`ttl`",
		"database":                     "`database`",
		"compression":                  "`compression` must be lz4, zstd or none",
		"tls_over_http":                "use https://",
		"tls_off":                      "leave `tls` out",
		"tls_ca":                       "`tls`: ",
		"tls_of_engine":                "belong to `endpoint`",
		"cluster_of_engine":            "belong to `endpoint`",
		"environment_ttl":              "`environment_ttl`: \"Not a name\"",
		"table_ttl":                    "there is no table \"request\"",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, name)
			require.ErrorContains(t, err, want)
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

// TestClusterExample holds the example of a cluster to what the exporter takes, and its parts to each other.
func TestClusterExample(t *testing.T) {
	const dir = "../../distributions/otelcol-qpoint/clickhouse-cluster/"
	all, err := confmaptest.LoadConf(dir + "pulse.yaml")
	require.NoError(t, err)
	sub, err := all.Sub("exporters::pulse")
	require.NoError(t, err)
	cfg := newDefaultConfig()
	require.NoError(t, sub.Unmarshal(cfg))
	require.NoError(t, confmap.Validate(cfg))
	opts, err := cfg.endpointOptions(context.Background())
	require.NoError(t, err)
	compose, err := os.ReadFile(dir + "compose.yaml")
	require.NoError(t, err)
	for _, addr := range opts.Addr {
		assert.Contains(t, string(compose), `"`+addr+`:9000"`)
	}
	_, err = confmaptest.LoadConf(dir + "compose.yaml")
	require.NoError(t, err)
	var servers struct {
		Clusters struct {
			Cluster []struct {
				XMLName xml.Name
				Shard   []struct {
					Replica []struct {
						Host string `xml:"host"`
					} `xml:"replica"`
				} `xml:"shard"`
			} `xml:",any"`
		} `xml:"remote_servers"`
	}
	text, err := os.ReadFile(dir + "cluster.xml")
	require.NoError(t, err)
	require.NoError(t, xml.Unmarshal(text, &servers))
	require.Len(t, servers.Clusters.Cluster, 1)
	assert.Equal(t, cfg.Cluster, servers.Clusters.Cluster[0].XMLName.Local)
	for _, shard := range servers.Clusters.Cluster[0].Shard {
		for _, replica := range shard.Replica {
			assert.Contains(t, string(compose), "\n  "+replica.Host+":\n")
		}
	}
	text, err = os.ReadFile(dir + "keeper.xml")
	require.NoError(t, err)
	require.NoError(t, xml.Unmarshal(text, &struct{}{}))
}
