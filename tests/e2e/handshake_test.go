// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// TestHandshake holds what the API tells of TLS handshakes against what curl and nginx did: two connections, the
// second of which goes on with the first one's session.
func TestHandshake(t *testing.T) {
	c := startCollector(t)
	nginx := startNginx(t, c.cgroup)
	since := time.Now()
	url := nginx.url("https", "/empty")
	c.cgroup.run(t, "curl", "-sS", "--http1.1", "--cacert", nginx.cert, "-H", "Connection: close", url, url)

	type connection struct {
		State      string    `json:"state"`
		Role       string    `json:"role"`
		Start      time.Time `json:"start"`
		TLSVersion string    `json:"tls_version"`
		TLSCipher  string    `json:"tls_cipher"`
		ALPN       string    `json:"tls_next_protocol"`
		Resumed    *bool     `json:"tls_resumed"`
		JA3        string    `json:"tls_client_ja3"`
		JA4        string    `json:"tls_client_ja4"`
		Subject    string    `json:"tls_server_subject"`
		Issuer     string    `json:"tls_server_issuer"`
		NotBefore  time.Time `json:"tls_server_not_before"`
		NotAfter   time.Time `json:"tls_server_not_after"`
	}
	var found []connection
	require.Eventually(t, func() bool {
		var page struct {
			Connections []connection `json:"connections"`
		}
		require.NoError(t, json.Unmarshal(c.get(t, "/api/v1/connections?limit=1000"), &page))
		found = nil
		for _, conn := range page.Connections {
			if conn.State == "closed" && conn.TLSVersion != "" && conn.Start.After(since) {
				found = append(found, conn)
			}
		}
		return len(found) == 4
	}, testkit.Patience, 100*time.Millisecond, "both ends of two connections: %+v", found)
	roles := map[string]int{}
	for _, conn := range found {
		require.NotNil(t, conn.Resumed)
		roles[conn.Role]++
		require.Equal(t, "1.3", conn.TLSVersion)
		require.NotEmpty(t, conn.TLSCipher)
		require.Equal(t, "http/1.1", conn.ALPN)
		require.Len(t, conn.JA3, 32)
		require.Regexp(t, "^t13d[0-9]{4}h1_[0-9a-f]{12}_[0-9a-f]{12}$", conn.JA4)
		if *conn.Resumed {
			require.Empty(t, conn.Subject)
			require.Zero(t, conn.NotAfter)
			continue
		}
		roles["whole "+conn.Role]++
		require.Equal(t, "CN=localhost", conn.Subject)
		require.NotEmpty(t, conn.Issuer)
		require.WithinDuration(t, time.Now(), conn.NotBefore, 48*time.Hour)
		require.True(t, conn.NotAfter.After(time.Now()))
	}
	require.Equal(t, map[string]int{"client": 2, "server": 2, "whole client": 1, "whole server": 1}, roles)
	c.requireConserved(t)
	require.Zero(t, c.stop().ExitCode())
}
