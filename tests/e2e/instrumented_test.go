// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// otlpSink starts a collector of another file, so that it is not taken for one of ours, and returns where it takes OTLP.
func otlpSink(t *testing.T, cg *cgroup) (grpc, http string) {
	t.Helper()
	dir := t.TempDir()
	program, err := os.ReadFile(binary(t))
	require.NoError(t, err)
	file := filepath.Join(dir, "another-collector")
	require.NoError(t, os.WriteFile(file, program, 0o755))
	g, h := freePort(t), freePort(t)
	grpc, http = fmt.Sprintf("127.0.0.1:%d", g), fmt.Sprintf("127.0.0.1:%d", h)
	cg.start(t, file, "--config", fmt.Sprintf(`yaml:{receivers: {otlp: {protocols: {grpc: {endpoint: "%s"}, http: {endpoint: "%s"}}}}, exporters: {debug: {}}, service: {telemetry: {metrics: {level: none}}, pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}}`, grpc, http))
	waitPort(t, g)
	waitPort(t, h)
	return grpc, http
}

// TestInstrumented runs a program that traces itself with the OpenTelemetry SDK, as a server and as a client, and sends its
// spans over gRPC or HTTP to another collector, or to the one that watches it.
func TestInstrumented(t *testing.T) {
	app := filepath.Join(t.TempDir(), "shop")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", app, "./instrumented").CombinedOutput()
	require.NoError(t, err, "%s", out)
	own := fmt.Sprintf("127.0.%d.%d", 10+os.Getpid()%200, 1+os.Getpid()/200%250) // whose port 4318 nobody has
	for mode, ways := range map[string][]string{"annotate": {"grpc"}, "suppress": {"grpc", "http", "here"}} {
		for _, way := range ways {
			t.Run(mode+" "+way, func(t *testing.T) {
				c := startCollector(t, "receivers::qtap::instrumented: "+mode, "exporters::debug::verbosity: detailed",
					"service::pipelines::traces::exporters: [pulse, debug]",
					fmt.Sprintf(`{receivers: {otlp: {protocols: {http: {endpoint: "%s:4318"}}}}, service: {pipelines: {traces/otlp: {receivers: [otlp], processors: [anonymize], exporters: [debug]}}}}`, own))
				nginx := startNginx(t, c.cgroup)
				grpc, http := otlpSink(t, c.cgroup)
				port := freePort(t)
				args := []string{"-listen", fmt.Sprintf("127.0.0.1:%d", port), "-call", nginx.url("http", "/empty"), "-otlp"}
				switch way {
				case "grpc":
					args = append(args, grpc, "-grpc")
				case "http":
					args = append(args, http)
				case "here":
					args = append(args, own+":4318")
				}
				c.cgroup.start(t, app, args...)
				waitPort(t, port)
				get := func(path string) {
					c.cgroup.run(t, "curl", "-sSf", fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
				}
				want := map[string]int{"curl client": 1, "nginx server": 1}
				if mode == "annotate" {
					want["shop server"], want["shop client"] = 1, 1
				}
				// Until the SDK has sent spans for the first time nobody knows that it does.
				get("/first")
				require.EventuallyWithT(t, func(col *assert.CollectT) {
					since := time.Now()
					get("/next")
					kinds := map[string]int{}
					require.Eventually(col, func() bool {
						clear(kinds)
						for _, row := range c.requests(t, since) {
							if row.Path == "/next" || row.Path == "/empty" {
								kinds[row.Executable[strings.LastIndex(row.Executable, "/")+1:]+" "+row.Kind]++
							}
						}
						return kinds["curl client"] > 0 && kinds["nginx server"] > 0
					}, testkit.Patience, 100*time.Millisecond)
					require.Equal(col, want, kinds)
					require.True(col, mode != "annotate" || strings.Contains(c.log.String(), "qpoint.instrumented: Str(otlp)"))
				}, testkit.Patience, time.Second)
				ends := 0
				require.Eventually(t, func() bool {
					ends = 0
					for _, x := range c.allConnections(t) {
						if strings.HasSuffix(x.Executable, "/shop") {
							ends++
						}
					}
					return ends >= 3
				}, testkit.Patience, 100*time.Millisecond, "its connections have their records: %d", ends)
				if mode == "suppress" {
					require.Eventually(t, func() bool {
						dropped := 0.0
						for _, s := range c.scrape(t) {
							if s.name == "otelcol_receiver_qtap_stage_dropped" && s.labels["reason"] == "instrumented" {
								dropped += s.value
							}
						}
						return dropped >= 2
					}, testkit.Patience, 100*time.Millisecond)
				}
				c.requireConserved(t)
				require.Zero(t, c.stop().ExitCode())
			})
		}
	}
}
