// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// skipped are the bytes that the kernel did not copy, by reason.
func (c *collector) skipped(t *testing.T) map[string]float64 {
	t.Helper()
	bytes := map[string]float64{}
	for _, s := range c.scrape(t) {
		if s.name == "otelcol_receiver_qtap_skipped" {
			bytes[s.labels["reason"]] = s.value
		}
	}
	return bytes
}

// allConnections lists the rows of all connections.
func (c *collector) allConnections(t *testing.T) []connection {
	t.Helper()
	var page struct {
		Connections []connection `json:"connections"`
	}
	require.NoError(t, json.Unmarshal(c.get(t, "/api/v1/connections?limit=1000"), &page))
	return page.Connections
}

// TestSteering drives large downloads through rules that can be decided early: by process, by the name in the TLS
// handshake, and a level that is raised for one domain. What is not wanted is not copied, and is counted.
func TestSteering(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`rules:
  - match: process.executable.name == "wget"
    level: none
  - match: like(tls.client.server_name, "*.quiet.test")
    level: connections
  - match: server.address == "whole.test"
    level: full
`), 0o600))
	c := startCollector(t, "receivers::qtap::rules_file: "+file, "receivers::qtap::level: headers", "receivers::qtap::max_level: full", "receivers::qtap::coverage_interval: 10s")
	nginx := startNginx(t, c.cgroup)
	const size = 20_000_000
	page := pattern(5000)
	require.NoError(t, os.WriteFile(filepath.Join(nginx.dir, "big.bin"), pattern(size), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(nginx.dir, "page.bin"), page, 0o644))
	since := time.Now()
	curl := func(scheme, host, path string) int {
		port := map[string]int{"http": nginx.http, "https": nginx.https}[scheme]
		out := c.cgroup.run(t, "curl", "-sSk", "--limit-rate", "30M", "-o", "/dev/null", "-w", "%{local_port} %{size_download}", "--resolve", fmt.Sprintf("%s:%d:127.0.0.1", host, port),
			fmt.Sprintf("%s://%s:%d%s", scheme, host, port, path))
		var local, got int
		_, err := fmt.Sscan(string(out), &local, &got)
		require.NoError(t, err)
		require.NotZero(t, got)
		return local
	}

	// By process: nothing of wget, while the server's end of the same connection is reported.
	c.cgroup.run(t, "wget", "-q", "-O", "/dev/null", "--no-check-certificate", "--limit-rate=30M", nginx.url("http", "/big.bin?wget"))
	var after map[string]float64
	require.EventuallyWithT(t, func(col *assert.CollectT) {
		after = c.skipped(t)
		require.Greater(col, after["rule"], 0.6*size)
		rows := c.requestsAt(t, since, "/big.bin")
		require.Len(col, rows, 1)
		require.Equal(col, "server", rows[0].Kind)
	}, testkit.Patience, 100*time.Millisecond)

	// By the name in the handshake.
	local := curl("https", "a.quiet.test", "/big.bin")
	require.EventuallyWithT(t, func(col *assert.CollectT) {
		require.Greater(col, c.skipped(t)["rule"]-after["rule"], 1.5*size, "both ends")
		ends := 0
		for _, x := range c.allConnections(t) {
			if x.State == "closed" && x.ServerAddress == "a.quiet.test" {
				ends++
				require.Equal(col, "not_visible rule", x.Visibility+" "+x.Reason)
				require.Greater(col, x.ReceivedBytes+x.SentBytes, int64(size), "the kernel's counters are whole")
			}
		}
		require.Equal(col, 2, ends)
	}, testkit.Patience, 100*time.Millisecond)
	require.NotZero(t, local)

	// A body past what is wanted of it, and a level that is raised.
	before := c.skipped(t)["body_cap"]
	curl("http", "big.test", "/big.bin")
	require.EventuallyWithT(t, func(col *assert.CollectT) {
		require.Greater(col, c.skipped(t)["body_cap"]-before, 1.5*size, "both ends")
	}, testkit.Patience, 100*time.Millisecond)
	curl("http", "whole.test", "/big.bin")
	curl("https", "whole.test", "/page.bin")
	curl("https", "other.test", "/page.bin")
	var rows []request
	require.Eventually(t, func() bool {
		rows = append(c.requestsAt(t, since, "/big.bin"), c.requestsAt(t, since, "/page.bin")...)
		return len(rows) == 9
	}, testkit.Patience, 100*time.Millisecond, "%v", &rows)
	for _, row := range rows {
		state := row.Payload.State + " " + row.Payload.Reason
		switch {
		case row.Path == "/big.bin" && row.ServerAddress == "whole.test":
			require.Equal(t, "truncated max_body_size", state)
			require.Equal(t, pattern(size)[:65536], c.payload(t, row).responseBody(t))
		case row.ServerAddress == "whole.test":
			require.Contains(t, []string{"pending ", "sent "}, state)
			require.Equal(t, page, c.payload(t, row).responseBody(t))
		default:
			require.Equal(t, "truncated level", state, "%+v", row)
			require.Empty(t, c.payload(t, row).responseBody(t))
		}
		if row.Path == "/big.bin" {
			require.EqualValues(t, size, row.ResponseBodySize)
		}
	}
	for _, x := range c.allConnections(t) {
		require.NotEqual(t, "wget", x.Executable)
	}
	// The account says so, too.
	require.EventuallyWithT(t, func(col *assert.CollectT) {
		found := map[string]string{}
		for _, r := range c.coverage(t, "") {
			if r.Subject == "drops" && r.Name == "kernel" || r.Subject == "process" && r.Reason == "rule" {
				found[r.Subject+" "+r.Name+" "+r.Reason] = r.Advice
			}
		}
		for _, key := range []string{"drops kernel rule", "drops kernel body_cap", "process curl rule", "process nginx rule"} {
			require.NotEmpty(col, found[key], "%s in %v", key, found)
		}
	}, testkit.Patience, 200*time.Millisecond)
	var captured, lost float64
	for _, s := range c.scrape(t) {
		switch {
		case s.name == "otelcol_receiver_qtap_stage_in" && s.labels["stage"] == "capture":
			captured = s.value
		case s.name == "otelcol_receiver_qtap_events_lost", s.name == "otelcol_receiver_qtap_orders_failed":
			lost += s.value
		}
	}
	all := 0.0
	for _, n := range c.skipped(t) {
		all += n
	}
	t.Logf("copied %.0f, skipped %s", captured, strconv.FormatFloat(all, 'f', 0, 64))
	require.Zero(t, lost)
	require.GreaterOrEqual(t, captured+all, 8.0*size)
	require.Less(t, captured, 2.0*size)
	c.requireConserved(t)
	require.Zero(t, c.stop().ExitCode())
}
