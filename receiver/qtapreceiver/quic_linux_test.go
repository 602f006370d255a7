// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// quicRecords are the connection records of QUIC at a server's port, by role, in order.
func (l *lab) quicRecords(port int) map[string][]pcommon.Map {
	out := map[string][]pcommon.Map{}
	for _, m := range l.records(semantic.EventConnection, func(m pcommon.Map) bool {
		return text(m, semantic.NetworkProtocolName) == "quic" && text(m, semantic.ServerPort) == strconv.Itoa(port)
	}) {
		role := text(m, semantic.ConnectionRole)
		out[role] = append(out[role], m)
	}
	return out
}

// quicServer runs a server of golang.org/x/net/quic that sends back what it is sent.
func (l *lab) quicServer(port int, flags ...string) (program string) {
	l.t.Helper()
	dir := l.t.TempDir()
	selfSigned(l.t, dir)
	program = buildTool(l.t, "testdata/quicpeer")
	server := l.command(program, append(flags, "-listen", fmt.Sprintf("127.0.0.1:%d", port), "-cert", filepath.Join(dir, "cert.pem"), "-key", filepath.Join(dir, "key.pem"))...)
	out, err := server.StdoutPipe()
	require.NoError(l.t, err)
	require.NoError(l.t, server.Start())
	l.t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	_, err = out.Read(make([]byte, 6))
	require.NoError(l.t, err)
	return program
}

// TestE2EQUIC has a megabyte sent there and back: each end has a record of the beginning with the name, also when the server
// asks the client to begin anew, and then of what was carried.
func TestE2EQUIC(t *testing.T) {
	l := newLab(t, "quic")
	l.start(func(c *Config, _ *PayloadConfig) { c.ConnectionInterval = time.Second })
	for name, flags := range map[string][]string{"plain": nil, "retry": {"-retry"}} {
		t.Run(name, func(t *testing.T) {
			const size = 1 << 20
			port := freePort(t)
			program := l.quicServer(port, flags...)
			require.Equal(t, strconv.Itoa(size), strings.TrimSpace(string(l.run(program, "-bytes", strconv.Itoa(size), fmt.Sprintf("127.0.0.1:%d", port)))))
			counted := func(m pcommon.Map, key string) int64 {
				v, _ := m.Get(key)
				return v.Int()
			}
			for _, role := range []string{"client", "server"} {
				require.Eventually(t, func() bool { return len(l.quicRecords(port)[role]) == 2 }, testkit.Patience, 50*time.Millisecond, "%s", role)
			}
			all := l.quicRecords(port)
			for role, ms := range all {
				for i, m := range ms {
					require.Equal(t, "peer.lab.test", text(m, semantic.ServerAddress), role)
					require.Equal(t, "udp", text(m, semantic.NetworkTransport))
					require.Equal(t, "not_visible", text(m, semantic.PayloadVisibility))
					require.Equal(t, "quic", text(m, semantic.PayloadReason))
					require.Equal(t, "1", text(m, semantic.NetworkProtocolVersion))
					require.Equal(t, strconv.Itoa(i), text(m, semantic.ConnectionSequence))
					require.Equal(t, []string{"open", "established"}[i], text(m, semantic.ConnectionState))
					require.Equal(t, text(ms[0], semantic.ConnectionID), text(m, semantic.ConnectionID))
				}
				for _, key := range []string{semantic.ConnectionSentBytes, semantic.ConnectionReceivedBytes} {
					n := counted(ms[1], key)
					require.Greater(t, n, int64(size), "%s %s", role, key)
					require.Less(t, n, int64(size*3/2), "%s %s", role, key)
				}
				for _, key := range []string{semantic.ConnectionSentPackets, semantic.ConnectionRecvPackets} {
					require.Greater(t, counted(ms[1], key), int64(size/1500), "%s %s", role, key)
				}
			}
			client, server := all["client"][1], all["server"][1]
			require.NotEqual(t, text(client, semantic.ConnectionID), text(server, semantic.ConnectionID))
			require.Equal(t, counted(client, semantic.ConnectionSentBytes), counted(server, semantic.ConnectionReceivedBytes), "what one sends the other receives")
			require.Equal(t, counted(server, semantic.ConnectionSentBytes), counted(client, semantic.ConnectionReceivedBytes))
		})
	}
	l.stop()
}

// TestE2EQUICBrowser lets a browser connect: its ClientHello is larger than a datagram, and shuffled.
func TestE2EQUICBrowser(t *testing.T) {
	l := newLab(t, "quicbrowser")
	l.start(func(c *Config, _ *PayloadConfig) { c.ConnectionInterval = time.Second })
	port := freePort(t)
	l.quicServer(port)
	browser := l.command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--user-data-dir="+t.TempDir(),
		"--enable-quic", "--origin-to-force-quic-on=quic.lab.test:443", fmt.Sprintf("--host-resolver-rules=MAP quic.lab.test:443 127.0.0.1:%d", port),
		"--timeout=8000", "--dump-dom", "https://quic.lab.test/")
	browser.SysProcAttr.Setpgid = true
	require.NoError(t, browser.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-browser.Process.Pid, syscall.SIGKILL) // and its children
		_ = browser.Wait()
	})
	for _, role := range []string{"client", "server"} {
		var m pcommon.Map
		// The browser refuses the certificate and may try again, so there may be several that have just begun.
		require.Eventually(t, func() bool {
			for _, m = range l.quicRecords(port)[role] {
				if text(m, semantic.ConnectionState) != "open" && text(m, semantic.ConnectionSentBytes) != "" {
					return true
				}
			}
			return false
		}, testkit.Patience, 100*time.Millisecond, role)
		require.Equal(t, "quic.lab.test", text(m, semantic.ServerAddress), role)
		require.Regexp(t, "^q13d[0-9]{4}h3_", text(m, semantic.TLSClientJA4), role)
		require.Equal(t, "1", text(m, semantic.NetworkProtocolVersion))
		for _, key := range []string{semantic.ConnectionSentBytes, semantic.ConnectionReceivedBytes} {
			v, _ := m.Get(key)
			require.Greater(t, v.Int(), int64(1200), "%s %s", role, key)
		}
	}
	l.stop()
}
