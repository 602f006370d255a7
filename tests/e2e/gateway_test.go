// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// gateway is what the processes of one gateway test share.
type gateway struct {
	data, cert, key, tokens string
	grpc, http, s3, api     int
}

// start starts the gateway with configs/pulse.yaml on its data; the bucket of the test runs beside it.
func (g *gateway) start(t *testing.T) *collector {
	t.Helper()
	metrics := freePort(t)
	c := &collector{cgroup: newCgroup(t), data: g.data, metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics)}
	args := []string{"--config", filepath.Join(root, "distributions/otelcol-qpoint/configs/pulse.yaml")}
	for _, overlay := range []string{
		fmt.Sprintf("extensions::pulse_api::endpoint: 127.0.0.1:%d", g.api),
		fmt.Sprintf("extensions::local_s3: {endpoint: '127.0.0.1:%d', data_dir: %s/s3}", g.s3, g.data),
		"service::extensions: [privacy_guard, pulse_tokens, local_clickhouse, file_storage, pulse_api, local_s3]",
		fmt.Sprintf("service::telemetry::metrics::readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %d}}}}]", metrics),
	} {
		args = append(args, "--config", "yaml:"+overlay)
	}
	c.begin(t, args, "PULSE_TOKENS_FILE="+g.tokens, "PULSE_TLS_CERT="+g.cert, "PULSE_TLS_KEY="+g.key,
		fmt.Sprintf("PULSE_GRPC_ENDPOINT=127.0.0.1:%d", g.grpc), fmt.Sprintf("PULSE_HTTP_ENDPOINT=127.0.0.1:%d", g.http))
	c.ready(t)
	return c
}

var credential = regexp.MustCompile(`(?m)^aws_(access_key_id|secret_access_key)\s*=\s*(\S+)$`)

// agent starts an agent with configs/agent.yaml and the token.
func (g *gateway) agent(t *testing.T, environment, token string, overlays ...string) *collector {
	t.Helper()
	metrics := freePort(t)
	c := &collector{cgroup: newCgroup(t), data: t.TempDir(), metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics)}
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(token), 0o600))
	args := []string{"--config", filepath.Join(root, "distributions/otelcol-qpoint/configs/agent.yaml")}
	for _, overlay := range append([]string{
		"receivers::qtap::cgroup: " + c.cgroup.path,
		fmt.Sprintf("service::telemetry::metrics::readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %d}}}}]", metrics),
	}, overlays...) {
		args = append(args, "--config", "yaml:"+overlay)
	}
	keys, err := os.ReadFile(filepath.Join(g.data, "s3", "credentials"))
	require.NoError(t, err)
	found := credential.FindAllSubmatch(keys, -1)
	require.Len(t, found, 2, "%s", keys)
	c.begin(t, args, "PULSE_TOKEN_FILE="+file, fmt.Sprintf("PULSE_ENDPOINT=localhost:%d", g.grpc), "PULSE_CA_FILE="+g.cert,
		fmt.Sprintf("S3_ENDPOINT=http://127.0.0.1:%d", g.s3), "S3_BUCKET=qpoint", "PULSE_ENVIRONMENT="+environment,
		"S3_ACCESS_KEY="+string(found[0][2]), "S3_SECRET_KEY="+string(found[1][2]))
	c.ready(t)
	return c
}

// total adds up one of the collector's own counters.
func (c *collector) total(t *testing.T, name string) (sum float64) {
	t.Helper()
	for _, s := range c.scrape(t) {
		if s.name == name || s.name == name+"_total" {
			sum += s.value
		}
	}
	return sum
}

// TestGateway: two agents with a token each; the gateway is killed in the middle; every span is there once, and
// none in the other's environment.
func TestGateway(t *testing.T) {
	g := &gateway{data: t.TempDir(), grpc: freePort(t), http: freePort(t), s3: freePort(t), api: freePort(t), tokens: filepath.Join(t.TempDir(), "tokens.yaml")}
	g.cert, g.key = certificate(t)
	tokens := map[string]string{"eu": strings.Repeat("e", 48), "us": strings.Repeat("u", 48)}
	text := "environments:\n"
	for environment, token := range tokens {
		text += fmt.Sprintf("  %s:\n    tokens:\n      - {name: first, sha256: \"%x\"}\n", environment, sha256.Sum256([]byte(token)))
	}
	small := strings.Repeat("s", 48)
	text += fmt.Sprintf("  small:\n    items_per_second: 0.1\n    tokens:\n      - {name: first, sha256: \"%x\"}\n", sha256.Sum256([]byte(small)))
	require.NoError(t, os.WriteFile(g.tokens, []byte(text), 0o600))

	pulse := g.start(t)
	agents := map[string]*collector{
		"eu": g.agent(t, "eu", tokens["eu"]),
		// What an agent says of its environment counts for nothing.
		"us": g.agent(t, "us", tokens["us"], "processors::anonymize::environment: eu"),
	}
	paths := map[string]string{"eu": "/empty", "us": "/missing"}
	urls := map[string]string{}
	for environment, agent := range agents {
		urls[environment] = startNginx(t, agent.cgroup).url("http", paths[environment])
	}
	const each = 200 // requests of each agent in each of three phases
	drive := func() {
		for environment, agent := range agents {
			agent.cgroup.run(t, "curl", "-sS", "-o", "/dev/null", fmt.Sprintf("%s?n=[1-%d]", urls[environment], each))
		}
	}
	count := func() string {
		return strings.TrimSpace(string(pulse.sql(t, "(SELECT environment, path, count(), uniqExact(trace_id, span_id) FROM qpoint.requests FINAL GROUP BY ALL ORDER BY ALL)")))
	}

	drive()
	require.Eventually(t, func() bool { return count() != "" }, testkit.Patience, 200*time.Millisecond, "nothing arrived")
	drive()
	require.NoError(t, pulse.cmd.Process.Kill()) // with what it has taken, and not yet stored
	pulse.stop()
	drive()
	pulse = g.start(t)

	const want = 3 * each * 2 // a span of each end
	expected := fmt.Sprintf("('eu','/empty',%d,%d)\n('us','/missing',%d,%d)", want, want, want, want)
	require.Eventually(t, func() bool { return count() == expected }, testkit.Patience, 500*time.Millisecond, "want:\n%s\nhave:\n%s", expected, lazy(count))
	for environment, agent := range agents {
		require.EqualValues(t, want, agent.total(t, "otelcol_receiver_accepted_spans"), environment)
		require.Zero(t, agent.total(t, "otelcol_exporter_send_failed_spans"), environment)
		require.Positive(t, agent.total(t, "otelcol_exporter_sent_log_records"), environment)
	}

	// Whoever has no token of the gateway leaves nothing behind.
	for _, header := range []string{"", "Bearer " + strings.Repeat("x", 48), "Bearer " + fmt.Sprintf("%x", sha256.Sum256([]byte(tokens["eu"])))} {
		require.Equal(t, "401 ", g.post(t, pulse, header))
	}
	// A sender above the quota of its environment is told when to send again.
	require.Equal(t, "200 ", g.post(t, pulse, "Bearer "+small))
	require.Regexp(t, `^429 \d+$`, g.post(t, pulse, "Bearer "+small))
	for _, c := range append([]*collector{pulse}, agents["eu"], agents["us"]) {
		for _, token := range tokens {
			require.NotContains(t, c.log.String(), token)
			require.NotContains(t, string(c.metricsText(t)), token)
		}
	}
}

// post sends one span over HTTP and returns the status and Retry-After.
func (g *gateway) post(t *testing.T, c *collector, authorization string) string {
	t.Helper()
	const span = `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","kind":2}]}]}]}`
	return string(c.cgroup.run(t, "curl", "-sS", "--cacert", g.cert, "-o", "/dev/null", "-w", "%{http_code} %header{retry-after}",
		"-H", "Authorization: "+authorization, "-H", "Content-Type: application/json", "-d", span, fmt.Sprintf("https://localhost:%d/v1/traces", g.http)))
}

// lazy is printed when it is needed.
type lazy func() string

func (l lazy) String() string { return l() }
