// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// peerProgram is a copy of the test's binary: a process of the same file would be the collector's own.
func peerProgram(t *testing.T) string {
	t.Helper()
	from, err := os.Open("/proc/self/exe")
	require.NoError(t, err)
	defer from.Close()
	path := filepath.Join(t.TempDir(), "gopeer")
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(to, from)
	require.NoError(t, err)
	require.NoError(t, to.Close())
	return path
}

// background runs a server until the end of the test. Its port is awaited without a connection.
func (l *lab) background(cmd *exec.Cmd, port int) {
	l.t.Helper()
	cmd.Stderr = os.Stderr
	require.NoError(l.t, cmd.Start())
	l.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	})
	awaitListening(l.t, cmd, port)
}

// awaitListening waits until a program listens on a port, without a connection.
func awaitListening(t *testing.T, cmd *exec.Cmd, port int) {
	t.Helper()
	want := fmt.Sprintf(":%04X 0", port) // local address, then a remote address of zeros
	require.Eventually(t, func() bool {
		net := fmt.Sprintf("/proc/%d/net/", cmd.Process.Pid) // it may be in a namespace of its own
		v4, _ := os.ReadFile(net + "tcp")
		v6, _ := os.ReadFile(net + "tcp6")
		return strings.Contains(string(v4)+string(v6), want)
	}, testkit.Patience, 20*time.Millisecond)
}

// owners checks that each end of an exchange names its process.
func (l *lab) owners(path string, client, server int) {
	l.t.Helper()
	c, s := l.spans(path)
	require.Equal(l.t, strconv.Itoa(client), text(c.res, semantic.ProcessPID))
	require.Equal(l.t, strconv.Itoa(server), text(s.res, semantic.ProcessPID))
}

// TestE2EGoPeers captures an http server and client in Go, over IPv4 and IPv6.
func TestE2EGoPeers(t *testing.T) {
	for name, host := range map[string]string{"v4": "127.0.0.1", "v6": "::1"} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, "go"+name)
			l.start(nil)
			program, dir, port := peerProgram(t), t.TempDir(), freePort(t)
			body := randomFile(t, filepath.Join(dir, "go.bin"), 500_000)
			address := net.JoinHostPort(host, strconv.Itoa(port))
			server := l.command(program, "serve", address, dir)
			server.Env = append(os.Environ(), peerEnv+"=1")
			l.background(server, port)
			url := "http://" + address + "/go.bin"
			client := l.command(program, "get", url)
			client.Env = server.Env
			got, err := client.Output()
			require.NoError(t, err)
			require.Equal(t, sha256.Sum256(body), sha256.Sum256(got))
			l.verify("/go.bin", body, "gopeer", "gopeer", "http", url)
			l.owners("/go.bin", client.Process.Pid, server.Process.Pid)
			l.stop()
		})
	}
}

// TestE2EOpenSSL captures openssl's own server and curl, over TLS 1.3.
func TestE2EOpenSSL(t *testing.T) {
	for name, host := range map[string]string{"v4": "127.0.0.1", "v6": "[::1]"} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, "openssl"+name)
			dir, port := t.TempDir(), freePort(t)
			body := randomFile(t, filepath.Join(dir, "tls.bin"), 100_000)
			selfSigned(t, dir)
			l.start(nil)
			address := fmt.Sprintf("%s:%d", host, port)
			server := l.command("openssl", "s_server", "-quiet", "-WWW", "-accept", address, "-tls1_3",
				"-cert", filepath.Join(dir, "cert.pem"), "-key", filepath.Join(dir, "key.pem"))
			server.Dir = dir
			l.background(server, port)
			url := "https://" + address + "/tls.bin"
			client := l.command("curl", "-sSkg", url)
			got, err := client.Output()
			require.NoError(t, err)
			require.Equal(t, sha256.Sum256(body), sha256.Sum256(got))
			l.verify("/tls.bin", body, "curl", "openssl", "https", url)
			l.owners("/tls.bin", client.Process.Pid, server.Process.Pid)
			c, _ := l.spans("/tls.bin")
			require.Equal(t, "1.3", text(c.span.Attributes(), semantic.TLSProtocolVersion))
			l.stop()
		})
	}
}
