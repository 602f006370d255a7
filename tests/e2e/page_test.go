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
	"strconv"
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
	artifacts := filepath.Join(root, "tests", "artifacts")
	require.NoError(t, os.MkdirAll(artifacts, 0o755))

	type view struct {
		Listed, Shown int64
		Headers       string
		Errors        []string
		Loads         []struct{ Method, URL, Range string }
	}
	// The browser runs inside the captured cgroup: what it and the collector say to each other must not show.
	open := func(path string, times int) (saw view, listed, shown time.Duration) {
		require.NoError(t, os.WriteFile(filepath.Join(nginx.dir, path), []byte(`{"greeting": "hello from the bucket"}`), 0o644))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := c.cgroup.command(ctx, "node", filepath.Join(root, "tests/e2e/page.mjs"), c.api+"/#token="+c.token,
			path, "hello from the bucket", strconv.Itoa(times), filepath.Join(artifacts, "exchange.png"))
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
				c.cgroup.run(t, "curl", "-sS", "--cacert", nginx.cert, "-H", "X-Question: what", nginx.url("https", path))
				sent = time.Now()
			}
			complaints.WriteString(lines.Text() + "\n")
		}
		require.NoError(t, cmd.Wait(), complaints.String())
		require.NoError(t, json.Unmarshal([]byte(out.String()), &saw), out.String())
		require.Empty(t, saw.Errors)
		require.Contains(t, saw.Headers, "X-Question")
		return saw, time.UnixMilli(saw.Listed).Sub(sent), time.UnixMilli(saw.Shown).Sub(sent)
	}

	const opens = 20
	saw, listed, shown := open("/hello.json", opens)
	if *measured {
		require.Less(t, listed, 2*time.Second, "listed too late")
		require.Less(t, shown, 4*time.Second, "payload shown too late")
	}
	t.Logf("listed after %s, payload shown after %s", listed, shown)

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
	rows := c.requests(t, time.Now().Add(-time.Hour))
	for _, r := range rows {
		require.Equal(t, "/hello.json", r.Path, "the collector captured its own traffic: %s %s by %s", r.Method, r.Path, r.Executable)
	}
	require.Len(t, rows, 2, "one request, two ends; the %d openings made no row", opens)
	require.Contains(t, c.out.String(), c.api+"/#token="+c.token, "the page's address is printed")
	require.NotContains(t, c.log.String(), c.token, "the token is in the log")
	c.requireConserved(t)
}
