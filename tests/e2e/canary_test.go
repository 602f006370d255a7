// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// canary is a secret that exists once: 32 hex digits, as tokens and session ids look.
func canary(t *testing.T) string {
	t.Helper()
	b := make([]byte, 16)
	_, err := rand.Read(b)
	require.NoError(t, err)
	return hex.EncodeToString(b)
}

// TestCanaries plants secrets wherever a request can carry one. All of them must be in the object; none of
// them in the ClickHouse folder, in any table, in an answer of the API, in the collector's log or metrics.
func TestCanaries(t *testing.T) {
	c := startCollector(t)
	nginx := startNginx(t, c.cgroup)
	python := startPython(t, c.cgroup)

	inHeader, inBody, inQuery, inUser, inPath, inCookie, inFragment, inHeaderName := canary(t), canary(t), canary(t), canary(t), canary(t), canary(t), canary(t), canary(t)
	canaries := []string{inHeader, inBody, inQuery, inUser, inPath, inCookie, inHeaderName}
	for _, scheme := range []string{"http", "https"} {
		since := time.Now()
		target := python.url(scheme, "/accounts/"+inPath+"/orders?token="+inQuery+"#"+inFragment)
		u, err := url.Parse(target)
		require.NoError(t, err)
		u.User = url.UserPassword("alice", inUser)
		c.cgroup.run(t, "curl", "-sS", "--cacert", python.cert, "-H", "X-Api-Key: "+inHeader, "-H", "X-"+inHeaderName+": 1",
			"-b", "session="+inCookie, "-d", `{"secret":"`+inBody+`"}`, u.String())

		var rows []request
		require.Eventually(t, func() bool {
			rows = c.requests(t, since)
			return len(rows) >= 2
		}, 10*time.Second, 50*time.Millisecond)
		for _, row := range rows {
			require.Contains(t, row.Path, "/accounts/{", "the secret segment became a template")
			entry := c.payload(t, row)
			var text bytes.Buffer
			text.WriteString(entry.Request.URL)
			for _, h := range entry.Request.Headers {
				text.WriteString("\n" + h.Name + ": " + h.Value)
				if h.Name == "Authorization" {
					basic, err := base64.StdEncoding.DecodeString(h.Value[len("Basic "):])
					require.NoError(t, err)
					text.Write(basic)
				}
			}
			text.Write(entry.requestBody(t))
			text.Write(entry.responseBody(t))
			for _, secret := range canaries {
				require.Contains(t, text.String(), secret, "payloads are kept whole, in the bucket")
			}
		}
	}
	// A request that is no HTTP at all, and one with a method nobody knows, carry canaries too.
	c.cgroup.run(t, "curl", "-sS", "-X", "X"+inHeaderName, nginx.url("http", "/"+inPath))
	canaries = append(canaries, inFragment)

	leaks := func(where string, data []byte) {
		for _, secret := range canaries {
			raw, err := hex.DecodeString(secret)
			require.NoError(t, err)
			for form, needle := range map[string]string{
				"as it is": secret, "in base64": base64.StdEncoding.EncodeToString([]byte(secret))[:40], "as bytes": string(raw),
			} {
				require.NotContains(t, string(data), needle, "a secret is %s in %s", form, where)
			}
		}
	}
	time.Sleep(time.Second) // the last rows are on their way
	leaks("GET /api/v1/requests", c.get(t, "/api/v1/requests?limit=1000"))
	leaks("GET /api/v1/connections", c.get(t, "/api/v1/connections?limit=1000"))
	for _, table := range []string{"requests", "connections", "payload_objects"} {
		rows := c.sql(t, "qpoint."+table)
		require.NotEmpty(t, rows, "table %s", table)
		leaks("table "+table, rows)
	}
	leaks("the metrics", c.metricsText(t))
	require.Zero(t, c.stop().ExitCode())
	leaks("the log", []byte(c.log.String()))
	files := 0
	require.NoError(t, filepath.WalkDir(filepath.Join(c.data, "clickhouse"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		if err == nil {
			leaks(path, data)
		}
		return err
	}))
	require.NotZero(t, files)
}
