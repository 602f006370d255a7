// SPDX-License-Identifier: Apache-2.0

package privacyguardextension

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/otelcol/otelcoltest"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/collector/receiver"

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

// probe is a receiver that notes whether it was started, and whether a guard was there.
type probe struct {
	started, guarded *atomic.Int32
}

func (p probe) Start(_ context.Context, host component.Host) error {
	p.started.Add(1)
	for _, e := range host.GetExtensions() {
		if g, ok := e.(privacy.Guard); ok && g.GuardsPayloads() {
			p.guarded.Add(1)
		}
	}
	return nil
}

func (probe) Shutdown(context.Context) error { return nil }

// factories has the real guard and components that carry nothing under the names of ours:
// the guard judges a graph by types, so types are what this test needs.
func factories(p probe) func() (otelcol.Factories, error) {
	return func() (otelcol.Factories, error) {
		f, err := otelcoltest.NopFactories()
		if err != nil {
			return f, err
		}
		none := func() component.Config { return &struct{}{} }
		for _, name := range []string{typeMetadata, typePayload} {
			typ := component.MustNewType(name)
			f.Receivers[typ] = receiver.NewFactory(typ, none,
				receiver.WithLogs(func(context.Context, receiver.Settings, component.Config, consumer.Logs) (receiver.Logs, error) {
					return p, nil
				}, component.StabilityLevelAlpha),
				receiver.WithTraces(func(context.Context, receiver.Settings, component.Config, consumer.Traces) (receiver.Traces, error) {
					return p, nil
				}, component.StabilityLevelAlpha))
		}
		nop := exportertest.NewNopFactory()
		for _, name := range []string{typeObjects, "pulse", "debug"} {
			typ := component.MustNewType(name)
			f.Exporters[typ] = exporter.NewFactory(typ, none,
				exporter.WithLogs(func(ctx context.Context, _ exporter.Settings, _ component.Config) (exporter.Logs, error) {
					return nop.CreateLogs(ctx, exportertest.NewNopSettings(nop.Type()), nop.CreateDefaultConfig())
				}, component.StabilityLevelAlpha),
				exporter.WithTraces(func(ctx context.Context, _ exporter.Settings, _ component.Config) (exporter.Traces, error) {
					return nop.CreateTraces(ctx, exportertest.NewNopSettings(nop.Type()), nop.CreateDefaultConfig())
				}, component.StabilityLevelAlpha))
		}
		pass := processortest.NewNopFactory()
		typ := component.MustNewType(typeAnonymize)
		f.Processors[typ] = processor.NewFactory(typ, none,
			processor.WithLogs(func(ctx context.Context, _ processor.Settings, _ component.Config, next consumer.Logs) (processor.Logs, error) {
				return pass.CreateLogs(ctx, processortest.NewNopSettings(pass.Type()), pass.CreateDefaultConfig(), next)
			}, component.StabilityLevelAlpha),
			processor.WithTraces(func(ctx context.Context, _ processor.Settings, _ component.Config, next consumer.Traces) (processor.Traces, error) {
				return pass.CreateTraces(ctx, processortest.NewNopSettings(pass.Type()), pass.CreateDefaultConfig(), next)
			}, component.StabilityLevelAlpha))
		f.Extensions[metadata.Type] = NewFactory()
		return f, nil
	}
}

const components = `
receivers: {qtap: , qtap_payload: }
processors: {anonymize: }
exporters: {qpoint_s3: , pulse: , debug: }
connectors: {nop: }
extensions: {privacy_guard: }
`

func collector(t *testing.T, yaml string, p probe) *otelcol.Collector {
	t.Helper()
	c, err := otelcol.NewCollector(otelcol.CollectorSettings{
		Factories:               factories(p),
		BuildInfo:               component.NewDefaultBuildInfo(),
		DisableGracefulShutdown: true,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs:              []string{"yaml:" + components + yaml},
			ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory()},
		}},
		SkipSettingGRPCLogger: true,
	})
	require.NoError(t, err)
	return c
}

func TestRealCollectorStartsASafeGraph(t *testing.T) {
	p := probe{started: new(atomic.Int32), guarded: new(atomic.Int32)}
	c := collector(t, `
service:
  extensions: [privacy_guard]
  pipelines:
    traces: {receivers: [qtap], processors: [anonymize], exporters: [pulse, debug]}
    logs: {receivers: [qtap], processors: [anonymize], exporters: [pulse]}
    logs/payload: {receivers: [qtap_payload], exporters: [qpoint_s3]}
`, p)
	done := make(chan error, 1)
	go func() { done <- c.Run(t.Context()) }()
	require.Eventually(t, func() bool { return c.GetState() == otelcol.StateRunning }, 10*time.Second, 10*time.Millisecond)
	c.Shutdown()
	require.NoError(t, <-done)
	require.EqualValues(t, 3, p.started.Load())
	require.EqualValues(t, 3, p.guarded.Load(), "the guard vouches before the first receiver starts")
}

func TestRealCollectorDoesNotStartAnUnsafeGraph(t *testing.T) {
	for name, tc := range map[string]struct{ yaml, want string }{
		"payload": {`
service:
  extensions: [privacy_guard]
  pipelines:
    logs/x: {receivers: [qtap_payload], exporters: [qpoint_s3, debug]}
`, "receiver qtap_payload -> pipeline logs/x -> exporter debug"},
		"metadata": {`
service:
  extensions: [privacy_guard]
  pipelines:
    traces: {receivers: [qtap], exporters: [pulse]}
`, "receiver qtap -> pipeline traces -> exporter pulse"},
		"behind a connector": {`
service:
  extensions: [privacy_guard]
  pipelines:
    traces: {receivers: [qtap], processors: [anonymize], exporters: [pulse, nop]}
    traces/out: {receivers: [nop], exporters: [debug]}
`, "connector nop -> pipeline traces/out -> exporter debug: connector `nop` comes after `anonymize`"},
	} {
		t.Run(name, func(t *testing.T) {
			p := probe{started: new(atomic.Int32), guarded: new(atomic.Int32)}
			err := collector(t, tc.yaml, p).Run(t.Context())
			require.ErrorContains(t, err, tc.want)
			require.Zero(t, p.started.Load(), "no receiver may have started")
		})
	}
}
