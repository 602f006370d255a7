// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPage is the user's way: the page is open, a curl runs, its request shows within 2 s and its payload,
// loaded by the browser from the bucket, within 4 s. Opening a payload again and again is not captured itself.
func TestPage(t *testing.T) {
	c := startCollector(t)
	nginx := startNginx(t, c.cgroup)
	require.NoError(t, os.WriteFile(filepath.Join(nginx.dir, "hello.json"), []byte(`{"greeting": "hello from the bucket"}`), 0o644))
	artifacts := filepath.Join(root, "tests", "artifacts")
	require.NoError(t, os.MkdirAll(artifacts, 0o755))

	const opens = 20
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// The browser runs inside the captured cgroup: what it and the collector say to each other must not show.
	cmd := c.cgroup.command(ctx, "node", filepath.Join(root, "tests/e2e/page.mjs"), c.api+"/#token="+c.token,
		"/hello.json", "hello from the bucket", "20", filepath.Join(artifacts, "exchange.png"))
	var out lockedBuffer
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var sent time.Time
	var complaints strings.Builder
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if lines.Text() == "loaded" {
			c.cgroup.run(t, "curl", "-sS", "--cacert", nginx.cert, "-H", "X-Question: what", nginx.url("https", "/hello.json"))
			sent = time.Now()
		}
		complaints.WriteString(lines.Text() + "\n")
	}
	require.NoError(t, cmd.Wait(), complaints.String())

	var saw struct {
		Listed, Shown int64
		Headers       string
		Errors        []string
		Loads         []struct{ Method, URL, Range string }
	}
	require.NoError(t, json.Unmarshal([]byte(out.String()), &saw), out.String())
	require.Empty(t, saw.Errors)
	require.Contains(t, saw.Headers, "X-Question")
	require.Less(t, time.UnixMilli(saw.Listed).Sub(sent), 2*time.Second+listSlack, "listed too late")
	require.Less(t, time.UnixMilli(saw.Shown).Sub(sent), 4*time.Second+listSlack, "payload shown too late")

	fromBucket := 0
	for _, load := range saw.Loads {
		u, err := url.Parse(load.URL)
		require.NoError(t, err)
		switch "http://" + u.Host {
		case c.api:
		case "http://" + c.s3:
			fromBucket++
			require.Equal(t, "GET", load.Method, "no preflight")
		default:
			require.Contains(t, []string{"data", "blob"}, u.Scheme, "the page asked a third party: %s", load.URL)
		}
	}
	require.GreaterOrEqual(t, fromBucket, opens, "payloads come from the bucket")
	for _, r := range c.requests(t, sent.Add(-time.Hour)) {
		require.Equal(t, "/hello.json", r.Path, "the collector captured its own traffic: %s %s by %s", r.Method, r.Path, r.Executable)
	}
	require.Len(t, c.requests(t, sent.Add(-time.Hour)), 2, "one request, two ends; the %d openings made no row", opens)
	require.Contains(t, c.out.String(), c.api+"/#token="+c.token, "the page's address is printed")
	require.NotContains(t, c.log.String(), c.token, "the token is in the log")
	c.requireConserved(t)
}
