// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/qpoint-io/otelcol-qpoint/extension/pulseapiextension/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

func someAuth(id component.ID) configoptional.Optional[confighttp.AuthConfig] {
	return configoptional.Some(confighttp.AuthConfig{Config: configauth.Config{AuthenticatorID: id}})
}

func load(t *testing.T, name string) *Config {
	t.Helper()
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	sub, err := conf.Sub(name)
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, sub.Unmarshal(cfg))
	return cfg
}

func TestConfig(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))

	demo := load(t, "pulse_api")
	require.NoError(t, confmap.Validate(demo))
	require.Equal(t, "127.0.0.1:8686", demo.NetAddr.Endpoint)
	require.Equal(t, "./data/token", demo.LocalTokenFile)
	require.Equal(t, "local_clickhouse", demo.clickHouseID().String())
	require.Equal(t, "local_s3", demo.Storage.String())

	server := load(t, "pulse_api/server")
	require.NoError(t, confmap.Validate(server))
	require.True(t, server.clickHouseIsURL())
	require.Equal(t, "clickhouse://pulse:secret@db.example.com:9440/qpoint?secure=true", string(server.ClickHouse))
	require.Equal(t, "bearertokenauth", server.Auth.Get().Config.AuthenticatorID.String())
	require.Equal(t, &S3Config{Endpoint: "https://s3.example.com", Bucket: "payloads", Region: "eu-central-1", PathStyle: true, AccessKey: "AKID", SecretKey: "secret"}, server.S3)
	require.Equal(t, "team-a/", server.Prefix)
	require.Equal(t, "prod", server.Environment)

	people := load(t, "pulse_api/people")
	require.NoError(t, confmap.Validate(people))
	require.False(t, people.local())
	require.Equal(t, "email", people.OIDC.UsernameClaim)
	require.Equal(t, []string{"shop", "auditor"}, people.Access.Grants[0].Roles)
	require.Equal(t, pulsestore.Limits{Time: 5 * time.Second, Memory: 512 << 20, Rows: 1_000_000}, people.Queries.limits())
	require.Equal(t, 10, people.RequestsPerSecond)
}

func TestValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*Config)
		want []string
	}{
		"no engine":         {func(c *Config) { c.ClickHouse = "" }, []string{"`clickhouse`", "local_clickhouse"}},
		"bad engine":        {func(c *Config) { c.ClickHouse = "a/b/c d" }, []string{"`clickhouse`"}},
		"bad url":           {func(c *Config) { c.ClickHouse = "clickhouse://" }, []string{"`clickhouse`"}},
		"secret in bad url": {func(c *Config) { c.ClickHouse = "clickhouse://u:hunter2@ho st:1/d" }, []string{"`clickhouse`"}},
		"bad scheme":        {func(c *Config) { c.ClickHouse = "ftp://u:hunter2@host/d" }, []string{"`clickhouse`"}},
		"open":              {func(c *Config) { c.NetAddr.Endpoint = "0.0.0.0:8686" }, []string{"`endpoint`", "`auth`"}},
		"open on all":       {func(c *Config) { c.NetAddr.Endpoint = ":8686" }, []string{"`endpoint`", "`auth`"}},
		"open by name":      {func(c *Config) { c.NetAddr.Endpoint = "pulse.example.com:8686" }, []string{"`auth`"}},
		"no port":           {func(c *Config) { c.NetAddr.Endpoint = "127.0.0.1" }, []string{"`endpoint`"}},
		"unix":              {func(c *Config) { c.NetAddr.Transport = "unix" }, []string{"`transport`"}},
		"bad environment":   {func(c *Config) { c.Environment = "Prod EU" }, []string{"`environment`"}},
		"no token file":     {func(c *Config) { c.LocalTokenFile = "" }, []string{"`local_token_file`"}},
		"two buckets":       {func(c *Config) { id := component.MustNewID("local_s3"); c.Storage = &id }, []string{"`storage`", "`s3`"}},
		"half a key":        {func(c *Config) { c.S3.SecretKey = "" }, []string{"`s3::secret_key`", "`s3::access_key`", "neither"}},
		"no bucket":         {func(c *Config) { c.S3.Bucket, c.S3.Region = "", "" }, []string{"`s3::bucket`", "`s3::region`"}},
		"bad s3 endpoint":   {func(c *Config) { c.S3.Endpoint = "s3.example.com" }, []string{"`s3::endpoint`"}},
		"path in endpoint":  {func(c *Config) { c.S3.Endpoint = "https://s3.example.com/bucket" }, []string{"`s3::endpoint`"}},
		"bad prefix":        {func(c *Config) { c.Prefix = "a/../b" }, []string{"`prefix`"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			require.NoError(t, cfg.Validate())
			tc.edit(cfg)
			err := cfg.Validate()
			for _, want := range tc.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	open := testConfig(t)
	open.NetAddr.Endpoint = "0.0.0.0:8686"
	open.Auth = someAuth(component.MustNewID("bearertokenauth"))
	require.NoError(t, open.Validate())
}

func TestLifecycle(t *testing.T) {
	e, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), testConfig(t))
	require.NoError(t, err)
	require.NoError(t, e.Shutdown(t.Context()), "Shutdown without Start")

	cfg := testConfig(t)
	s := start(t, cfg, &rows{})
	for range 2 {
		require.NoError(t, s.Shutdown(t.Context()))
		require.NoError(t, s.Start(t.Context(), componenttest.NewNopHost()))
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	cfg := testConfig(t)
	cfg.NetAddr.Endpoint = taken.Addr().String()
	e, err := newExtension(extensiontest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	err = e.Start(t.Context(), componenttest.NewNopHost())
	require.ErrorContains(t, err, "`pulse_api`: `endpoint` "+cfg.NetAddr.Endpoint+" is in use")
	require.NotContains(t, err.Error(), "\n")
	require.NoError(t, e.Shutdown(t.Context()))
}

func TestMissingExtensions(t *testing.T) {
	cfg := testConfig(t)
	cfg.S3 = nil
	id := component.MustNewID("local_s3")
	cfg.Storage = &id
	e, err := newExtension(extensiontest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.Equal(t, []component.ID{component.MustNewID("local_clickhouse"), id}, e.Dependencies())
	require.ErrorContains(t, e.Start(t.Context(), componenttest.NewNopHost()), "`service::extensions`")
	require.ErrorContains(t, e.Start(t.Context(), host{id: bearer{}}), "does not serve a bucket")
	cfg.Storage = nil
	require.ErrorContains(t, e.Start(t.Context(), componenttest.NewNopHost()), "`clickhouse`")
	cfg.Auth = someAuth(component.MustNewID("nobody"))
	require.ErrorContains(t, e.Start(t.Context(), componenttest.NewNopHost()), "`auth`")
}

func TestStoreOptions(t *testing.T) {
	cfg := testConfig(t)
	cfg.ClickHouse = "clickhouse://pulse:hunter2@db.example.com:9440/metadata?secure=true"
	e := &apiExtension{cfg: cfg}
	require.Empty(t, e.Dependencies())
	opts, err := e.storeOptions(host{})
	require.NoError(t, err)
	require.Equal(t, []string{"db.example.com:9440"}, opts.Addr)
	require.Equal(t, "metadata", opts.Auth.Database)
	require.NotNil(t, opts.TLS)
	cfg.ClickHouse = "clickhouse://pulse:hunter2@db.example.com/x?dial_timeout=soon"
	_, err = e.storeOptions(host{})
	require.ErrorContains(t, err, "`clickhouse`")
	require.NotContains(t, err.Error(), "hunter2")
	cfg.ClickHouse = "local_clickhouse"
	_, err = e.storeOptions(host{component.MustNewID("local_clickhouse"): bearer{}})
	require.ErrorContains(t, err, "brings no ClickHouse")
}
