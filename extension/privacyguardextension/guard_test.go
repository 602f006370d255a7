// SPDX-License-Identifier: Apache-2.0

package privacyguardextension

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/featuregate"

	"github.com/qpoint-io/otelcol-qpoint/extension/privacyguardextension/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/privacy"
)

func newGuard(t *testing.T) extension.Extension {
	t.Helper()
	f := NewFactory()
	e, err := f.Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), f.CreateDefaultConfig())
	require.NoError(t, err)
	return e
}

func TestConfig(t *testing.T) {
	t.Parallel()
	f := NewFactory()
	require.NoError(t, componenttest.CheckConfigStruct(f.CreateDefaultConfig()))
	all, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	sub, err := all.Sub("privacy_guard")
	require.NoError(t, err)
	require.NoError(t, sub.Unmarshal(f.CreateDefaultConfig()))
	require.ErrorContains(t, confmap.NewFromStringMap(map[string]any{"allow": "debug"}).Unmarshal(f.CreateDefaultConfig()), "allow")
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	require.NoError(t, newGuard(t).Shutdown(t.Context()), "shutdown without start")

	e := newGuard(t)
	g, watcher := e.(privacy.Guard), e.(extensioncapabilities.ConfigSnapshotWatcher)
	for range 2 {
		require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
		require.False(t, g.GuardsPayloads(), "nothing was checked yet")
		require.NoError(t, watcher.NotifyConfigSnapshot(t.Context(), extensioncapabilities.NewConfigSnapshot(conf(t, usual), nil)))
		require.True(t, g.GuardsPayloads())
		require.NoError(t, e.Shutdown(t.Context()))
		require.False(t, g.GuardsPayloads(), "the next start must check again")
	}
}

func TestUnsafeSnapshotIsNotGuarded(t *testing.T) {
	t.Parallel()
	e := newGuard(t)
	g, watcher := e.(privacy.Guard), e.(extensioncapabilities.ConfigSnapshotWatcher)
	require.NoError(t, watcher.NotifyConfigSnapshot(t.Context(), extensioncapabilities.NewConfigSnapshot(conf(t, usual), nil)))
	require.ErrorContains(t, watcher.NotifyConfigSnapshot(t.Context(), extensioncapabilities.NewConfigSnapshot(nil, nil)), "not shown the configuration")
	require.False(t, g.GuardsPayloads())
	require.ErrorContains(t, watcher.NotifyConfigSnapshot(t.Context(), extensioncapabilities.NewConfigSnapshot(
		conf(t, `service: {pipelines: {logs/x: {receivers: [qtap_payload], exporters: [debug]}}}`), nil)),
		"receiver qtap_payload -> pipeline logs/x -> exporter debug")
	require.False(t, g.GuardsPayloads())
}

func TestPartialReloadIsRefused(t *testing.T) {
	t.Parallel()
	gates := featuregate.NewRegistry()
	gate := gates.MustRegister(partialReload, featuregate.StageAlpha)
	require.NoError(t, refusePartialReload(gates))
	require.NoError(t, gates.Set(gate.ID(), true))
	require.ErrorContains(t, refusePartialReload(gates), partialReload)

	// The collector has a gate of this name still, or the refusal would guard nothing.
	found := false
	featuregate.GlobalRegistry().VisitAll(func(g *featuregate.Gate) { found = found || g.ID() == partialReload })
	require.True(t, found)
}
