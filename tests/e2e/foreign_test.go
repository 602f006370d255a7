// SPDX-License-Identifier: Apache-2.0

//go:build linux && foreign

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// buildForeign builds a manifest of tests/foreign in a folder outside of the tree, with a `replaces` to the checkout.
func buildForeign(t *testing.T, name, program string) string {
	t.Helper()
	dir := t.TempDir()
	manifest, err := os.ReadFile(filepath.Join(root, "tests/foreign", name+".manifest.yaml"))
	require.NoError(t, err)
	text := string(manifest)
	if !strings.Contains(text, "\nreplaces:\n") {
		text += "replaces:\n"
	}
	text += "  - github.com/qpoint-io/otelcol-qpoint => " + root + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "manifest.yaml"), []byte(text), 0o644))
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	builder := filepath.Join(dir, "ocb")
	tool := exec.CommandContext(ctx, "go", "build", "-modfile=tools/go.mod", "-o", builder, "go.opentelemetry.io/collector/cmd/builder")
	tool.Dir = root
	out, err := tool.CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := exec.CommandContext(ctx, builder, "--config", "manifest.yaml")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	start := time.Now()
	out, err = cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s was built in %.0f s", name, time.Since(start).Seconds())
	return filepath.Join(dir, "build", program)
}

// startForeign starts a stranger's collector with its configuration.
func startForeign(t *testing.T, in *cgroup, program, name string, env []string, overlays ...string) *collector {
	t.Helper()
	metrics := freePort(t)
	c := &collector{cgroup: in, data: t.TempDir(), metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics)}
	args := []string{"--config", filepath.Join(root, "tests/foreign", name+".config.yaml")}
	for _, overlay := range overlays {
		args = append(args, "--config", "yaml:"+overlay)
	}
	c.beginProgram(t, program, args, append(env, fmt.Sprintf("QPOINT_METRICS_PORT=%d", metrics))...)
	return c
}

// TestForeign builds two collectors of somebody else that take parts of this project, lets a request be seen by one and stored by both.
func TestForeign(t *testing.T) {
	e := startEngine(t)
	gateway := buildForeign(t, "pulse", "gateway")
	capture := buildForeign(t, "capture", "capture")
	store, refuse := freePort(t), freePort(t)
	in, out := newCgroup(t), newCgroup(t)
	clickhouse := "CLICKHOUSE_ENDPOINT=" + e.url

	kept := startForeign(t, out, gateway, "pulse", []string{clickhouse, fmt.Sprintf("OTLP_ENDPOINT=127.0.0.1:%d", store)})
	kept.ready(t)
	// The same without anonymize: what another process has stamped counts for nothing.
	refused := startForeign(t, out, gateway, "pulse", []string{clickhouse, "CLICKHOUSE_DATABASE=refused", fmt.Sprintf("OTLP_ENDPOINT=127.0.0.1:%d", refuse)},
		"service::pipelines::traces::processors: []", "service::pipelines::logs::processors: []")
	refused.ready(t)

	t.Run("the guard holds in a build of others", func(t *testing.T) {
		c := startForeign(t, in, capture, "capture", []string{clickhouse, fmt.Sprintf("OTLP_ENDPOINT=127.0.0.1:%d", store)},
			"receivers::qtap::cgroup: "+in.path, "service::pipelines::traces::processors: []", "service::telemetry::metrics::level: none")
		require.Equal(t, 1, c.exits(t, testkit.Patience))
		require.Contains(t, c.log.String(), "receiver qtap -> pipeline traces -> exporter clickhouse")
	})

	c := startForeign(t, in, capture, "capture", []string{clickhouse, fmt.Sprintf("OTLP_ENDPOINT=127.0.0.1:%d", store)}, "receivers::qtap::cgroup: "+in.path,
		fmt.Sprintf("exporters::otlp_grpc/refused: {endpoint: '127.0.0.1:%d', tls: {insecure: true}}", refuse),
		"service::pipelines::traces::exporters: [clickhouse, otlp_grpc, otlp_grpc/refused]", "service::telemetry::metrics::level: none")
	c.ready(t)
	ask(t, in)

	const columns = "SpanKind, SpanName, SpanAttributes['url.template'], SpanAttributes['http.response.status_code'], SpanAttributes['tls.protocol.version'], ResourceAttributes['qpoint.environment']"
	e.expect(t, `('Client','GET /{hex}/page.bin','/{hex}/page.bin','200','1.3','stranger')
('Server','GET /{hex}/page.bin','/{hex}/page.bin','200','1.3','stranger')`, "(SELECT "+columns+" FROM stranger.otel_traces ORDER BY SpanKind)")
	e.expect(t, "(1)", "(SELECT uniqExact(TraceId) FROM stranger.otel_traces)")
	e.expect(t, "('/usr/bin/curl','client')\n('/usr/sbin/nginx','server')", "(SELECT ResourceAttributes['process.executable.path'] AS path, LogAttributes['qpoint.connection.role'] FROM stranger.otel_logs "+
		"WHERE EventName = 'qpoint.connection' AND LogAttributes['qpoint.connection.state'] = 'closed' AND LogAttributes['qpoint.connection.requests'] = '1' ORDER BY path)")
	// Through the stranger's gateway: its environment, for it trusts no agent.
	e.expect(t, `('client','gateway','/{hex}/page.bin',200)
('server','gateway','/{hex}/page.bin',200)`, "(SELECT kind, environment, template, status FROM qpoint.requests FINAL ORDER BY kind)")
	e.expect(t, "(2)", "(SELECT uniqExact(connection_id, host_id, role) FROM qpoint.connections FINAL WHERE requests = 1)")

	require.Eventually(t, func() bool { return refused.total(t, "otelcol_exporter_pulse_refused") >= 2 }, testkit.Patience, 200*time.Millisecond, "%s", lazy(func() string { return string(refused.metricsText(t)) }))
	require.Contains(t, string(refused.metricsText(t)), `{reason="unstamped"}`)
	rows, err := e.query(t.Context(), "(SELECT sum(total_rows) FROM system.tables WHERE database = 'refused' AND name IN ('requests', 'connections'))")
	require.NoError(t, err)
	require.Contains(t, []string{"(0)\n", "(NULL)\n"}, string(rows), "nothing is stored that was not anonymized here")
	for _, table := range []string{"stranger.otel_traces", "stranger.otel_logs", "qpoint.requests", "qpoint.connections"} {
		require.NotContains(t, string(e.sql(t, table)), recipeSecret, table)
	}
	for _, one := range []*collector{c, kept, refused} {
		require.Zero(t, one.stop().ExitCode())
	}
}
