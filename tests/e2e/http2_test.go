// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// TestCaptureHTTP2 drives curl (nghttp2) against nginx over HTTP/2: by ALPN within TLS 1.3, and in the clear
// by prior knowledge and by upgrade.
func TestCaptureHTTP2(t *testing.T) {
	c := startCollector(t)
	nginx := startNginx(t, c.cgroup)
	page, sent, big := pattern(50_000), pattern(20_000), pattern(200_000)
	require.NoError(t, os.WriteFile(filepath.Join(nginx.dir, "page.bin"), page, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(nginx.dir, "big.bin"), big, 0o644))
	upload := filepath.Join(t.TempDir(), "upload.bin")
	require.NoError(t, os.WriteFile(upload, sent, 0o644))
	const cap64 = 64 << 10
	for scheme, how := range map[string]string{"h2": "--http2", "h2c": "--http2-prior-knowledge"} {
		t.Run(scheme, func(t *testing.T) {
			out := t.TempDir()
			for _, tc := range []struct {
				name           string
				args           []string
				method, path   string
				status         int
				request, reply []byte
				size           int
			}{
				{"get", nil, "GET", "/page.bin", 200, nil, page, 0},
				{"over the cap", nil, "GET", "/big.bin", 200, nil, big[:cap64], len(big)},
				{"post", []string{"--data-binary", "@" + upload}, "POST", "/proxied", 200, sent, []byte("ok\n"), 0},
				{"head", []string{"-I"}, "HEAD", "/page.bin", 200, nil, nil, 0},
				{"not found", nil, "GET", "/missing", 404, nil, []byte("nothing here\n"), 0},
				{"no content", nil, "GET", "/empty", 204, nil, nil, 0},
			} {
				t.Run(tc.name, func(t *testing.T) {
					since := time.Now()
					file := filepath.Join(out, "body")
					c.cgroup.run(t, "curl", append(tc.args, "-sS", "--cacert", nginx.cert, how, "-o", file, nginx.url(scheme, tc.path))...)
					client, server := c.pair(t, since, tc.method, tc.path)
					require.Equal(t, client.TraceID, server.TraceID, "both ends join one trace")
					require.Equal(t, client.SpanID, server.ParentSpanID)
					for _, row := range []request{client, server} {
						require.Equal(t, "2", row.ProtocolVersion)
						require.Equal(t, tc.status, row.Status)
						if scheme == "h2" {
							require.Equal(t, "https", row.Scheme)
							require.Equal(t, "1.3", row.TLSVersion)
						}
						if tc.size > 0 {
							require.EqualValues(t, tc.size, row.ResponseBodySize)
						}
						entry := c.payload(t, row)
						require.Equal(t, tc.method, entry.Request.Method)
						require.Equal(t, nginx.url(scheme, tc.path), entry.Request.URL)
						require.Equal(t, sha256.Sum256(tc.request), sha256.Sum256(entry.requestBody(t)), "%s: request body", row.Kind)
						require.Equal(t, sha256.Sum256(tc.reply), sha256.Sum256(entry.responseBody(t)), "%s: response body", row.Kind)
						require.Equal(t, tc.size > 0, entry.Response.Content.Truncated)
					}
				})
			}
		})
	}
	t.Run("many streams of one connection", func(t *testing.T) {
		since := time.Now()
		args := []string{"-sS", "--cacert", nginx.cert, "--http2", "-Z", "--parallel-max", "20"}
		for range 40 {
			args = append(args, "-o", filepath.Join(t.TempDir(), "body"), nginx.url("h2", "/page.bin?again"))
		}
		c.cgroup.run(t, "curl", args...)
		var rows []request
		require.Eventually(t, func() bool {
			rows = c.requestsAt(t, since, "/page.bin")
			return len(rows) >= 80
		}, testkit.Patience, 50*time.Millisecond, "both ends of forty requests")
		require.Len(t, rows, 80)
		traces, connections := map[string]int{}, map[string]int{}
		for _, row := range rows {
			traces[row.TraceID]++
			connections[row.ConnectionID]++
			require.EqualValues(t, len(page), row.ResponseBodySize)
			entry := c.payload(t, row)
			require.Equal(t, sha256.Sum256(page), sha256.Sum256(entry.responseBody(t)))
		}
		require.Len(t, traces, 40)
		for trace, n := range traces {
			require.Equal(t, 2, n, "trace %s", trace)
		}
		t.Logf("requests by connection end: %v", connections)
	})
	c.requireConserved(t)
	require.Zero(t, c.stop().ExitCode(), "a clean shutdown")
}
