// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const recipes = "distributions/otelcol-qpoint/configs/recipes"

// startRecipe starts the binary with recipes, merged in order, as they are shipped; overlays give it a cgroup and ports of the test's own.
func startRecipe(t *testing.T, in *cgroup, files, env []string, overlays ...string) *collector {
	t.Helper()
	metrics := freePort(t)
	c := &collector{cgroup: in, data: t.TempDir(), metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics)}
	var args []string
	for _, file := range files {
		args = append(args, "--config", filepath.Join(root, recipes, file))
	}
	for _, overlay := range overlays {
		args = append(args, "--config", "yaml:"+overlay)
	}
	c.begin(t, args, append(env, fmt.Sprintf("QPOINT_METRICS_PORT=%d", metrics))...)
	c.ready(t)
	return c
}

// recipeSecret is in the path and the query of what the recipes' tests ask for.
const recipeSecret = "8f14e45fceea167a5a36dedd4bea2543"

// ask makes one request over TLS whose path has a secret, and returns the page that it was answered with.
func ask(t *testing.T, in *cgroup) (page []byte) {
	t.Helper()
	nginx := startNginx(t, in)
	page = pattern(5000)
	require.NoError(t, os.Mkdir(filepath.Join(nginx.dir, recipeSecret), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(nginx.dir, recipeSecret, "page.bin"), page, 0o644))
	in.run(t, "curl", "-sS", "--fail", "--cacert", nginx.cert, "-o", "/dev/null", nginx.url("https", "/"+recipeSecret+"/page.bin?token="+recipeSecret))
	return page
}

// templated is what anonymize makes of the path that ask has asked for.
const templated = "/{hex}/page.bin"

// TestRecipesAreTested: every recipe is named by a test and by the documentation.
func TestRecipesAreTested(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, recipes, "*.yaml"))
	require.NoError(t, err)
	require.Len(t, files, 6)
	page, err := os.ReadFile(filepath.Join(root, "docs/install.md"))
	require.NoError(t, err)
	var tests string
	for _, name := range []string{"recipes_test.go", "recipes_s3_test.go"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		tests += string(text)
	}
	for _, file := range files {
		require.Contains(t, string(page), "configs/recipes/"+filepath.Base(file))
		require.Contains(t, tests, `"`+filepath.Base(file)+`"`)
	}
}

// TestRecipeOTLP sends to somebody else's collector: both ends' spans and their connections arrive, the secret does not.
func TestRecipeOTLP(t *testing.T) {
	other, in := startStranger(t), newCgroup(t)
	c := startRecipe(t, in, []string{"otlp.yaml"}, []string{
		fmt.Sprintf("OTLP_ENDPOINT=127.0.0.1:%d", other.grpc), "OTLP_INSECURE=true", "QPOINT_ENVIRONMENT=recipe",
	}, "receivers::qtap::cgroup: "+in.path)
	ask(t, in)
	closed := regexp.MustCompile(`EventName: qpoint\.connection\n(?:[^E]|E[^v])*qpoint\.connection\.state: Str\(closed\)`)
	require.Eventually(t, func() bool {
		text := other.log.String()
		return strings.Count(text, "url.template: Str("+templated+")") == 2 && closed.MatchString(text)
	}, 60*time.Second, 100*time.Millisecond, "%s", &other.log)
	require.Zero(t, c.stop().ExitCode())
	text := string(other.stop())
	require.Regexp(t, `Kind +: Client`, text)
	require.Regexp(t, `Kind +: Server`, text)
	require.Contains(t, text, "qpoint.environment: Str(recipe)")
	require.Contains(t, text, "process.executable.path: Str(/usr/bin/curl)")
	require.NotContains(t, text, recipeSecret)
}

// TestRecipePrometheus scrapes what the recipe offers: each end of the request is counted once, by template.
func TestRecipePrometheus(t *testing.T) {
	in, port := newCgroup(t), freePort(t)
	c := startRecipe(t, in, []string{"prometheus.yaml"}, []string{
		fmt.Sprintf("PROMETHEUS_ENDPOINT=127.0.0.1:%d", port), "SPAN_METRICS_INTERVAL=1s",
	}, "receivers::qtap::cgroup: "+in.path)
	ask(t, in)
	offered := &collector{metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", port)}
	count := func(name string) map[string]float64 { // by kind of span
		found := map[string]float64{}
		for _, s := range offered.scrape(t) {
			if s.name == name && s.labels["url_template"] == templated && s.labels["http_response_status_code"] == "200" && s.labels["http_request_method"] == "GET" && s.labels["server_address"] == "localhost" {
				found[s.labels["span_kind"]] += s.value
			}
		}
		return found
	}
	once := map[string]float64{"SPAN_KIND_CLIENT": 1, "SPAN_KIND_SERVER": 1}
	require.Eventually(t, func() bool { return maps.Equal(count("traces_span_metrics_calls_total"), once) }, 60*time.Second, 200*time.Millisecond, "%s", lazy(func() string { return string(offered.metricsText(t)) }))
	require.Equal(t, once, count("traces_span_metrics_duration_seconds_count"))
	require.NotContains(t, string(offered.metricsText(t)), recipeSecret)
	require.Zero(t, c.stop().ExitCode())
}

// TestRecipeGatewayCluster: agent, gateway, and in the place of the cluster the embedded engine, behind a port. The recipe as it stands is valid;
// the engine is one server, so it is run without the cluster's name and without compression. Statements for a cluster are held against golden files in internal/pulsestore.
func TestRecipeGatewayCluster(t *testing.T) {
	e := startEngine(t)
	g := &gateway{data: e.data, grpc: freePort(t), s3: e.bucketPort, tokens: filepath.Join(t.TempDir(), "tokens.yaml")}
	g.cert, g.key = certificate(t)
	token := strings.Repeat("c", 48)
	require.NoError(t, os.WriteFile(g.tokens, fmt.Appendf(nil, "environments:\n  cluster:\n    tokens:\n      - {name: first, sha256: \"%x\"}\n", sha256.Sum256([]byte(token))), 0o600))
	env := []string{"PULSE_TOKENS_FILE=" + g.tokens, "PULSE_TLS_CERT=" + g.cert, "PULSE_TLS_KEY=" + g.key, fmt.Sprintf("PULSE_GRPC_ENDPOINT=127.0.0.1:%d", g.grpc), "CLICKHOUSE_PASSWORD=x"}

	validate := exec.CommandContext(t.Context(), binary(t), "validate", "--config", filepath.Join(root, recipes, "gateway-cluster.yaml"))
	validate.Env = append(slices.Concat(os.Environ(), env), "CLICKHOUSE_ENDPOINT=clickhouse://ch-1:9440,ch-2:9440?secure=true", "CLICKHOUSE_CLUSTER=qpoint", "CLICKHOUSE_USER=qpoint")
	out, err := validate.CombinedOutput()
	require.NoError(t, err, "%s", out)

	gate := startRecipe(t, newCgroup(t), []string{"gateway-cluster.yaml"}, slices.Concat(env, []string{"CLICKHOUSE_ENDPOINT=" + e.url, "CLICKHOUSE_CLUSTER=", "CLICKHOUSE_PASSWORD="}),
		"exporters::pulse::compression: none") // of which the engine has none
	agent := g.agent(t, "cluster", token)
	ask(t, agent.cgroup)
	e.expect(t, `('client','cluster','`+templated+`',200)
('server','cluster','`+templated+`',200)`, "(SELECT kind, environment, template, status FROM qpoint.requests FINAL ORDER BY kind)")
	e.expect(t, "(2)", "(SELECT uniqExact(span_id) FROM qpoint.payload_entries FINAL WHERE environment = 'cluster')")
	require.Zero(t, agent.stop().ExitCode())
	require.Zero(t, gate.stop().ExitCode())
}
