// SPDX-License-Identifier: Apache-2.0

package privacyguardextension

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/otelcol/otelcoltest"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/collector/receiver"

	"github.com/qpoint-io/otelcol-qpoint/extension/privacyguardextension/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/privacy"
)

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

// settings take whatever the tables of graphs configure.
type settings struct {
	Rest map[string]any `mapstructure:",remain"`
}

// realFactories has the real guard and, for every other type of a graph, a component that carries nothing under that name, for every signal: the
// guard judges a graph by types, and the collector builds it.
func realFactories(t *testing.T, g *graph, extensions []any, p probe) otelcol.Factories {
	t.Helper()
	f, err := otelcoltest.NopFactories()
	require.NoError(t, err)
	none := func() component.Config { return &settings{} }
	const alpha = component.StabilityLevelAlpha
	nopProcessor, nopExporter, nopConnector := processortest.NewNopFactory(), exportertest.NewNopFactory(), connectortest.NewNopFactory()
	processorSet, exporterSet := processortest.NewNopSettings(nopProcessor.Type()), exportertest.NewNopSettings(nopExporter.Type())
	connectorSet := connectortest.NewNopSettings(nopConnector.Type())
	for _, flow := range g.pipelines {
		for _, id := range flow.Receivers {
			f.Receivers[id.Type()] = receiver.NewFactory(id.Type(), none,
				receiver.WithLogs(func(context.Context, receiver.Settings, component.Config, consumer.Logs) (receiver.Logs, error) {
					return p, nil
				}, alpha),
				receiver.WithMetrics(func(context.Context, receiver.Settings, component.Config, consumer.Metrics) (receiver.Metrics, error) {
					return p, nil
				}, alpha),
				receiver.WithTraces(func(context.Context, receiver.Settings, component.Config, consumer.Traces) (receiver.Traces, error) {
					return p, nil
				}, alpha))
		}
		for _, id := range flow.Processors {
			f.Processors[id.Type()] = processor.NewFactory(id.Type(), none,
				processor.WithLogs(func(ctx context.Context, _ processor.Settings, c component.Config, next consumer.Logs) (processor.Logs, error) {
					return nopProcessor.CreateLogs(ctx, processorSet, c, next)
				}, alpha),
				processor.WithMetrics(func(ctx context.Context, _ processor.Settings, c component.Config, next consumer.Metrics) (processor.Metrics, error) {
					return nopProcessor.CreateMetrics(ctx, processorSet, c, next)
				}, alpha),
				processor.WithTraces(func(ctx context.Context, _ processor.Settings, c component.Config, next consumer.Traces) (processor.Traces, error) {
					return nopProcessor.CreateTraces(ctx, processorSet, c, next)
				}, alpha))
		}
		for _, id := range flow.Exporters {
			f.Exporters[id.Type()] = exporter.NewFactory(id.Type(), none,
				exporter.WithLogs(func(ctx context.Context, _ exporter.Settings, c component.Config) (exporter.Logs, error) {
					return nopExporter.CreateLogs(ctx, exporterSet, c)
				}, alpha),
				exporter.WithMetrics(func(ctx context.Context, _ exporter.Settings, c component.Config) (exporter.Metrics, error) {
					return nopExporter.CreateMetrics(ctx, exporterSet, c)
				}, alpha),
				exporter.WithTraces(func(ctx context.Context, _ exporter.Settings, c component.Config) (exporter.Traces, error) {
					return nopExporter.CreateTraces(ctx, exporterSet, c)
				}, alpha))
		}
	}
	for id := range g.connectors {
		f.Connectors[id.Type()] = connector.NewFactory(id.Type(), none,
			connector.WithLogsToLogs(func(ctx context.Context, _ connector.Settings, c component.Config, next consumer.Logs) (connector.Logs, error) {
				return nopConnector.CreateLogsToLogs(ctx, connectorSet, c, next)
			}, alpha),
			connector.WithTracesToTraces(func(ctx context.Context, _ connector.Settings, c component.Config, next consumer.Traces) (connector.Traces, error) {
				return nopConnector.CreateTracesToTraces(ctx, connectorSet, c, next)
			}, alpha),
			connector.WithTracesToLogs(func(ctx context.Context, _ connector.Settings, c component.Config, next consumer.Logs) (connector.Traces, error) {
				return nopConnector.CreateTracesToLogs(ctx, connectorSet, c, next)
			}, alpha),
			connector.WithTracesToMetrics(func(ctx context.Context, _ connector.Settings, c component.Config, next consumer.Metrics) (connector.Traces, error) {
				return nopConnector.CreateTracesToMetrics(ctx, connectorSet, c, next)
			}, alpha),
			connector.WithLogsToMetrics(func(ctx context.Context, _ connector.Settings, c component.Config, next consumer.Metrics) (connector.Logs, error) {
				return nopConnector.CreateLogsToMetrics(ctx, connectorSet, c, next)
			}, alpha))
	}
	nopExtension := extensiontest.NewNopFactory()
	for _, name := range extensions {
		typ := component.MustNewType(name.(string))
		f.Extensions[typ] = extension.NewFactory(typ, none, func(ctx context.Context, _ extension.Settings, c component.Config) (extension.Extension, error) {
			return nopExtension.Create(ctx, extensiontest.NewNopSettings(nopExtension.Type()), c)
		}, alpha)
	}
	f.Extensions[metadata.Type] = NewFactory()
	return f
}

// start runs a real collector with the graph and the guard until it runs or refuses.
func start(t *testing.T, yaml string) (p probe, err error) {
	t.Helper()
	whole := conf(t, yaml)
	g, err := parse(whole)
	require.NoError(t, err)
	var raw struct {
		Service struct {
			Extensions []any `mapstructure:"extensions"`
		} `mapstructure:"service"`
	}
	require.NoError(t, whole.Unmarshal(&raw, confmap.WithIgnoreUnused()))
	sections := map[string]map[string]any{"receivers": {}, "processors": {}, "exporters": {}, "extensions": {"privacy_guard": nil}}
	for _, flow := range g.pipelines {
		for section, ids := range map[string][]component.ID{"receivers": flow.Receivers, "processors": flow.Processors, "exporters": flow.Exporters} {
			for _, id := range ids {
				if !g.connectors[id] {
					sections[section][id.String()] = nil
				}
			}
		}
	}
	for _, name := range raw.Service.Extensions {
		sections["extensions"][name.(string)] = nil
	}
	all := map[string]any{}
	for section, ids := range sections {
		all[section] = ids
	}
	merged := confmap.NewFromStringMap(all)
	require.NoError(t, merged.Merge(whole))
	require.NoError(t, merged.Merge(confmap.NewFromStringMap(map[string]any{"service": map[string]any{"extensions": append([]any{"privacy_guard"}, raw.Service.Extensions...)}})))
	json, err := json.Marshal(merged.ToStringMap()) // which is YAML, too
	require.NoError(t, err)
	p = probe{started: new(atomic.Int32), guarded: new(atomic.Int32)}
	f := realFactories(t, g, raw.Service.Extensions, p)
	c, err := otelcol.NewCollector(otelcol.CollectorSettings{
		Factories:               func() (otelcol.Factories, error) { return f, nil },
		BuildInfo:               component.NewDefaultBuildInfo(),
		DisableGracefulShutdown: true,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs:              []string{"yaml:" + string(json)},
			ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory()},
		}},
		SkipSettingGRPCLogger: true,
	})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- c.Run(t.Context()) }()
	for c.GetState() != otelcol.StateRunning {
		select {
		case err := <-done:
			return p, err
		case <-time.After(time.Millisecond):
		}
	}
	c.Shutdown()
	require.NoError(t, <-done)
	return p, nil
}

func TestRealCollectorStartsEverySafeGraph(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(safeGraphs)) {
		if name == "no pipelines" {
			continue // the collector itself refuses it
		}
		t.Run(name, func(t *testing.T) {
			p, err := start(t, safeGraphs[name])
			require.NoError(t, err)
			require.Positive(t, p.started.Load())
			require.Equal(t, p.started.Load(), p.guarded.Load(), "the guard vouches before the first receiver starts")
		})
	}
}

func TestRealCollectorStartsNoUnsafeGraph(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(unsafeGraphs)) {
		t.Run(name, func(t *testing.T) {
			p, err := start(t, unsafeGraphs[name].yaml)
			require.Zero(t, p.started.Load(), "no receiver may have started")
			if strings.HasPrefix(name, "a cycle") {
				require.ErrorContains(t, err, "cycle detected") // by the collector, before any extension starts
				return
			}
			require.ErrorContains(t, err, "`privacy_guard` refuses the pipelines")
			for _, want := range unsafeGraphs[name].want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}
