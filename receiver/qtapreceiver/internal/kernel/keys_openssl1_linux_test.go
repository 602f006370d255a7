// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// openssl1Command is openssl of OpenSSL 1.1 with its libraries, as scripts/openssl-1.1.sh unpacks it.
func openssl1Command(t *testing.T) (exe, libs string) {
	t.Helper()
	root, err := filepath.Abs("../../../../_build/openssl-1.1")
	require.NoError(t, err)
	found, err := filepath.Glob(filepath.Join(root, "usr/lib/*/libcrypto.so.1.1"))
	require.NoError(t, err)
	if len(found) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs OpenSSL 1.1: make packages-test")
		}
		t.Skip("needs OpenSSL 1.1: make packages-test")
	}
	return filepath.Join(root, "usr/bin/openssl"), filepath.Dir(found[0])
}

// waitLibrary waits until a library is probed.
func (h *host) waitLibrary(path string) {
	h.t.Helper()
	require.Eventually(h.t, func() bool { return slices.Contains(h.capture.Summary().Libraries, path) }, testkit.Patience, 10*time.Millisecond, path)
}

// TestOpenSSL1Secrets runs openssl of OpenSSL 1.1 as server, and as client of a server with OpenSSL 3.
func TestOpenSSL1Secrets(t *testing.T) {
	exe, libs := openssl1Command(t)
	h := openHost(t)
	n := startNginx(t, h.cgroup, 1000)
	cert, key := selfSigned(t)
	port := freePort(t)
	server := h.command(exe, "s_server", "-quiet", "-WWW", "-cert", cert, "-key", key, "-port", fmt.Sprint(port))
	server.Env, server.Dir = append(os.Environ(), "LD_LIBRARY_PATH="+libs), filepath.Dir(cert)
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	waitListening(t, port)
	h.waitLibrary(filepath.Join(libs, "libcrypto.so.1.1"))
	url := fmt.Sprintf("https://127.0.0.1:%d/cert.pem", port)

	t.Run("server TLS 1.3", func(t *testing.T) {
		log := filepath.Join(t.TempDir(), "keys")
		curlIn(t, h.cgroup, []string{"SSLKEYLOGFILE=" + log}, url)
		requireDerived(t, h.secretsOf(uint32(server.Process.Pid)), log)
	})
	t.Run("server TLS 1.2", func(t *testing.T) {
		log := filepath.Join(t.TempDir(), "keys")
		curlIn(t, h.cgroup, []string{"SSLKEYLOGFILE=" + log}, "--tls-max", "1.2", url)
		got := h.secretsOf(uint32(server.Process.Pid))
		require.Len(t, got, 3, "two of the handshake before")
		secret, random := keyLog(t, log)
		require.Equal(t, event.SecretKeyLog, got[2].Kind)
		require.Equal(t, "CLIENT_RANDOM", got[2].Label)
		require.Equal(t, secret["CLIENT_RANDOM"], got[2].Secret)
		require.Equal(t, random["CLIENT_RANDOM"], got[2].Context)
	})
	client := func(t *testing.T, log string, args ...string) []event.Secret {
		cmd := h.command(exe, append([]string{"s_client", "-keylogfile", log, "-connect", fmt.Sprintf("127.0.0.1:%d", n.https)}, args...)...)
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libs)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return h.secretsOf(uint32(cmd.Process.Pid))
	}
	for _, cipher := range []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"} {
		t.Run("client "+cipher, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "keys")
			requireDerived(t, client(t, log, "-ciphersuites", cipher), log)
		})
	}
	t.Run("client TLS 1.2", func(t *testing.T) {
		log := filepath.Join(t.TempDir(), "keys")
		got := client(t, log, "-tls1_2")
		secret, random := keyLog(t, log)
		require.Len(t, got, 1)
		require.Equal(t, secret["CLIENT_RANDOM"], got[0].Secret)
		require.Equal(t, random["CLIENT_RANDOM"], got[0].Context)
	})
}
