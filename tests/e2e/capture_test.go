// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// TestCapture drives curl and python against nginx and python, over http and https, v4 and v6, and holds what
// the API and the bucket have against what was sent, byte for byte.
func TestCapture(t *testing.T) {
	c := startCollector(t)
	nginx := startNginx(t, c.cgroup)
	python := startPython(t, c.cgroup)

	big := pattern(200_000) // over the body cap: truncated, and the size still told
	page := pattern(50_000)
	require.NoError(t, os.WriteFile(filepath.Join(nginx.dir, "page.bin"), page, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(nginx.dir, "big.bin"), big, 0o644))
	upload := filepath.Join(t.TempDir(), "upload.bin")
	sent := pattern(20_000)
	require.NoError(t, os.WriteFile(upload, sent, 0o644))
	chunked := []byte{}
	for i := range 20 {
		chunked = append(chunked, strings.Repeat(fmt.Sprintf("part %d ", i), 50)...)
	}

	const cap64 = 64 << 10
	var listed, readable []time.Duration // how long after the exchange
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			curl := func(s *server, args ...string) []byte {
				return c.cgroup.run(t, "curl", append([]string{"-sS", "--cacert", s.cert}, args...)...)
			}
			cases := []struct {
				name           string
				run            func(t *testing.T)
				path           string
				method         string
				status         int
				request, reply []byte
				replySize      int
				truncated      bool
			}{
				{
					name: "curl gets a file from nginx", method: "GET", path: "/page.bin", status: 200, reply: page,
					run: func(t *testing.T) { require.Equal(t, page, curl(nginx, "-4", nginx.url(scheme, "/page.bin"))) },
				},
				{
					name: "curl gets a file over IPv6", method: "GET", path: "/page.bin", status: 200, reply: page,
					run: func(t *testing.T) { require.Equal(t, page, curl(nginx, "-6", nginx.url(scheme, "/page.bin"))) },
				},
				{
					name: "a body over the cap is truncated and says so", method: "GET", path: "/big.bin", status: 200,
					reply: big[:cap64], replySize: len(big), truncated: true,
					run: func(t *testing.T) { require.Equal(t, big, curl(nginx, nginx.url(scheme, "/big.bin"))) },
				},
				{
					name: "curl posts to nginx", method: "POST", path: "/echo", status: 200, request: sent, reply: []byte("ok\n"),
					run: func(t *testing.T) { curl(nginx, "--data-binary", "@"+upload, nginx.url(scheme, "/echo")) },
				},
				{
					name: "404", method: "GET", path: "/missing", status: 404, reply: []byte("nothing here\n"),
					run: func(t *testing.T) { curl(nginx, nginx.url(scheme, "/missing")) },
				},
				{
					name: "204 has no body", method: "GET", path: "/empty", status: 204,
					run: func(t *testing.T) { curl(nginx, nginx.url(scheme, "/empty")) },
				},
				{
					name: "HEAD has a length and no body", method: "HEAD", path: "/head", status: 200,
					run: func(t *testing.T) { curl(python, "-I", python.url(scheme, "/head")) },
				},
				{
					name: "100-continue", method: "POST", path: "/continue", status: 200, request: sent, reply: sent,
					run: func(t *testing.T) {
						got := curl(python, "-H", "Expect: 100-continue", "--data-binary", "@"+upload, python.url(scheme, "/continue"))
						require.Equal(t, sent, got)
					},
				},
				{
					name: "chunked", method: "GET", path: "/chunked", status: 200, reply: chunked,
					run: func(t *testing.T) { require.Equal(t, chunked, curl(python, python.url(scheme, "/chunked"))) },
				},
			}
			for _, tc := range cases {
				t.Run(tc.name, func(t *testing.T) {
					since := time.Now()
					tc.run(t)
					done := time.Now()
					client, server := c.pair(t, since, tc.method, tc.path)
					listed = append(listed, time.Since(done))
					require.Equal(t, client.TraceID, server.TraceID, "both ends join one trace")
					require.Equal(t, client.SpanID, server.ParentSpanID)
					for _, row := range []request{client, server} {
						require.Equal(t, tc.status, row.Status)
						require.Equal(t, scheme, row.Scheme)
						require.NotZero(t, row.PID)
						require.Equal(t, "root", row.User)
						if scheme == "https" {
							require.Equal(t, "1.3", row.TLSVersion)
							require.NotEmpty(t, row.TLSCipher)
						}
						entry := c.payload(t, row)
						require.Equal(t, tc.method, entry.Request.Method)
						require.Equal(t, sha256.Sum256(tc.request), sha256.Sum256(entry.requestBody(t)), "%s: request body", row.Kind)
						require.Equal(t, sha256.Sum256(tc.reply), sha256.Sum256(entry.responseBody(t)), "%s: response body", row.Kind)
						require.Equal(t, tc.truncated, entry.Response.Content.Truncated)
						if tc.replySize != 0 {
							require.Equal(t, tc.replySize, int(row.ResponseBodySize))
						}
					}
					readable = append(readable, time.Since(done))
				})
			}
			t.Run("python keeps one connection alive", func(t *testing.T) {
				since := time.Now()
				out := c.cgroup.run(t, "/usr/bin/python3", "-c", pythonClient, scheme, strconv.Itoa(map[string]int{"http": python.http, "https": python.https}[scheme]), "10", python.cert)
				require.Len(t, bytes.Fields(out), 10)
				var rows []request
				require.Eventually(t, func() bool {
					rows = c.requestsAt(t, since, "/python/{id}")
					return len(rows) >= 20
				}, testkit.Patience, 50*time.Millisecond, "both ends of ten requests")
				require.Len(t, rows, 20)
				connections, traces := map[string]bool{}, map[string][]string{}
				for _, row := range rows {
					connections[row.Kind+row.ConnectionID] = true
					traces[row.TraceID] = append(traces[row.TraceID], row.Kind)
					want := fmt.Sprintf(`{"n": %d, "pad": "%s"}`, row.ExchangeSequence, strings.Repeat("x", 500))
					entry := c.payload(t, row)
					require.Equal(t, want, string(entry.requestBody(t)))
					require.Equal(t, want, string(entry.responseBody(t)))
				}
				require.Len(t, traces, 10)
				for trace, kinds := range traces {
					require.ElementsMatch(t, []string{"client", "server"}, kinds, "trace %s", trace)
				}
				require.Len(t, connections, 2, "one keep-alive connection, two ends")
			})
		})
	}
	if *measured {
		require.Less(t, median(listed), 2*time.Second, "requests are listed too late")
		require.Less(t, median(readable), 4*time.Second, "payloads are readable too late")
	}
	t.Logf("listed after %s, payload readable after %s (medians)", median(listed), median(readable))
	c.requireConserved(t)
	t.Run("connections", func(t *testing.T) { c.requireConnections(t) })
	require.Zero(t, c.stop().ExitCode(), "a clean shutdown")
}

// median is the middle value: one slow moment of a shared machine does not move it.
func median(values []time.Duration) time.Duration {
	slices.Sort(values)
	return values[len(values)/2]
}

// pattern returns n bytes that repeat nowhere within 64 KiB.
func pattern(n int) []byte {
	b := make([]byte, 0, n+32)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%08d %x\n", i, sha256.Sum256(strconv.AppendInt(nil, int64(i), 10)))
	}
	return b[:n]
}
