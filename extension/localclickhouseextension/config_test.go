// SPDX-License-Identifier: Apache-2.0

package localclickhouseextension

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
)

func TestConfig(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(newDefaultConfig()))
	all, err := confmaptest.LoadConf("testdata/config.yaml")
	require.NoError(t, err)
	for name, want := range map[string]*Config{
		"local_clickhouse": newDefaultConfig(),
		"local_clickhouse/all": {
			DataDir: "/var/lib/otelcol-qpoint/clickhouse", Library: "/opt/chdb/libchdb.so", User: "clickhouse", MaxMemoryMiB: 4096,
			MaxThreads: 4, MaxStatements: 8, StartTimeout: 30 * time.Second, ShutdownTimeout: 5 * time.Second,
		},
	} {
		sub, err := all.Sub(name)
		require.NoError(t, err)
		cfg := newDefaultConfig()
		require.NoError(t, sub.Unmarshal(cfg))
		require.NoError(t, confmap.Validate(cfg))
		assert.Equal(t, want, cfg)
	}
}

func TestValidate(t *testing.T) {
	for key, change := range map[string]func(*Config){
		"`data_dir`":         func(c *Config) { c.DataDir = "" },
		"`user`":             func(c *Config) { c.User = "root" },
		"`max_memory_mib`":   func(c *Config) { c.MaxMemoryMiB = 511 },
		"`max_threads`":      func(c *Config) { c.MaxThreads = 0 },
		"`max_statements`":   func(c *Config) { c.MaxStatements = 0 },
		"`start_timeout`":    func(c *Config) { c.StartTimeout = 0 },
		"`shutdown_timeout`": func(c *Config) { c.ShutdownTimeout = -1 },
	} {
		cfg := newDefaultConfig()
		change(cfg)
		assert.ErrorContains(t, cfg.Validate(), key)
	}
}

func TestFindLibrary(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir)
	t.Setenv(libraryEnv, "")
	if path, err := findLibrary(""); err == nil {
		assert.Contains(t, []string{"/usr/local/lib/libchdb.so", "/usr/lib/libchdb.so"}, path)
	} else {
		for _, way := range []string{"make chdb", "`library`", "$QPOINT_CHDB_LIB", dir, "/usr/local/lib/libchdb.so", "/usr/lib/libchdb.so"} {
			assert.ErrorContains(t, err, way)
		}
	}
	file := func(path string) string {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o644))
		return path
	}
	cached := file(filepath.Join(dir, "otelcol-qpoint/chdb", libraryVersion, "libchdb.so"))
	byEnv, bySetting := file(filepath.Join(dir, "env.so")), file(filepath.Join(dir, "setting.so"))
	find := func(setting string) string {
		path, err := findLibrary(setting)
		require.NoError(t, err)
		return path
	}
	assert.Equal(t, cached, find(""))
	t.Setenv(libraryEnv, byEnv)
	assert.Equal(t, byEnv, find(""))
	assert.Equal(t, bySetting, find(bySetting))
	_, err := findLibrary(filepath.Join(dir, "missing.so"))
	assert.ErrorContains(t, err, "`library` names", "what is named is not silently replaced")
	t.Setenv(libraryEnv, filepath.Join(dir, "missing.so"))
	_, err = findLibrary("")
	assert.ErrorContains(t, err, "$QPOINT_CHDB_LIB names")
}

// TestFetchedVersion holds the script and the lookup to one version.
func TestFetchedVersion(t *testing.T) {
	script, err := os.ReadFile("../../scripts/fetch-chdb.sh")
	require.NoError(t, err)
	assert.Contains(t, string(script), "\nversion="+libraryVersion+"\n")
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	assert.Contains(t, string(readme), libraryVersion)
}
