// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// needProgram skips a test that cannot run here. In CI it has to run.
func needProgram(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// requireDerived checks that secrets of one full TLS 1.3 handshake give what its key log has.
func requireDerived(t *testing.T, got []event.Secret, log string) {
	t.Helper()
	want, _ := keyLog(t, log)
	require.Len(t, got, 2)
	for i, label := range []string{"c hs traffic", "c ap traffic"} {
		s := got[i]
		require.Equal(t, event.SecretTLS13Derive, s.Kind)
		require.Equal(t, label, s.Label)
		names := [][2]string{{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"}, {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}}[i]
		require.Equal(t, want[names[0]], expandLabel(t, s.Secret, label, s.Context))
		require.Equal(t, want[names[1]], expandLabel(t, s.Secret, "s"+label[1:], s.Context))
	}
}

// requireMaster checks the secret of a TLS 1.2 handshake against its key log.
func requireMaster(t *testing.T, got []event.Secret, log string) {
	t.Helper()
	secret, random := keyLog(t, log)
	require.Len(t, got, 1)
	require.Equal(t, event.SecretKeyLog, got[0].Kind)
	require.Equal(t, "CLIENT_RANDOM", got[0].Label)
	require.Equal(t, secret["CLIENT_RANDOM"], got[0].Secret)
	require.Equal(t, random["CLIENT_RANDOM"], got[0].Context)
}

// TestGnuTLSSecrets compares what is captured with GnuTLS's own key log, as client and server.
func TestGnuTLSSecrets(t *testing.T) {
	h := openHost(t)
	n := startNginx(t, h.cgroup, 1000)
	for _, cipher := range []string{"AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305"} {
		t.Run("gnutls-cli "+cipher, func(t *testing.T) {
			needProgram(t, "gnutls-cli")
			log := filepath.Join(t.TempDir(), "keys")
			cmd := h.command("gnutls-cli", "--insecure", "--logfile", os.DevNull, "--priority", "NORMAL:-CIPHER-ALL:+"+cipher, "-p", fmt.Sprint(n.https), "127.0.0.1")
			cmd.Env = append(os.Environ(), "SSLKEYLOGFILE="+log)
			cmd.Stdin = bytes.NewBufferString("GET /file HTTP/1.0\r\n\r\n")
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			requireDerived(t, h.secretsOf(uint32(cmd.Process.Pid)), log)
		})
	}
	t.Run("wget", func(t *testing.T) {
		needProgram(t, "wget")
		log := filepath.Join(t.TempDir(), "keys")
		cmd := h.command("wget", "-q", "--no-check-certificate", "-O", os.DevNull, fmt.Sprintf("https://127.0.0.1:%d/file", n.https))
		cmd.Env = append(os.Environ(), "SSLKEYLOGFILE="+log)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		requireDerived(t, h.secretsOf(uint32(cmd.Process.Pid)), log)
	})
	t.Run("gnutls-serv", func(t *testing.T) {
		needProgram(t, "gnutls-serv")
		cert, key := selfSigned(t)
		port := freePort(t)
		server := startIn(t, h.cgroup, "gnutls-serv", "--quiet", "--http", "-p", fmt.Sprint(port), "--x509certfile", cert, "--x509keyfile", key)
		waitListening(t, port)
		log := filepath.Join(t.TempDir(), "keys")
		curlIn(t, h.cgroup, []string{"SSLKEYLOGFILE=" + log}, fmt.Sprintf("https://127.0.0.1:%d/", port))
		requireDerived(t, h.secretsOf(uint32(server.Process.Pid)), log)
	})
	for _, cipher := range []string{"AES-128-GCM", "AES-256-GCM", "AES-128-CBC"} {
		t.Run("gnutls-cli TLS 1.2 "+cipher, func(t *testing.T) {
			needProgram(t, "gnutls-cli")
			log := filepath.Join(t.TempDir(), "keys")
			cmd := h.command("gnutls-cli", "--insecure", "--logfile", os.DevNull, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+"+cipher, "-p", fmt.Sprint(n.https), "127.0.0.1")
			cmd.Env = append(os.Environ(), "SSLKEYLOGFILE="+log)
			cmd.Stdin = bytes.NewBufferString("GET /file HTTP/1.0\r\n\r\n")
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			requireMaster(t, h.secretsOf(uint32(cmd.Process.Pid)), log)
		})
	}
	t.Run("gnutls-serv TLS 1.2", func(t *testing.T) {
		needProgram(t, "gnutls-serv")
		cert, key := selfSigned(t)
		port := freePort(t)
		server := startIn(t, h.cgroup, "gnutls-serv", "--quiet", "--http", "-p", fmt.Sprint(port), "--x509certfile", cert, "--x509keyfile", key)
		waitListening(t, port)
		log := filepath.Join(t.TempDir(), "keys")
		curlIn(t, h.cgroup, []string{"SSLKEYLOGFILE=" + log}, "--tls-max", "1.2", fmt.Sprintf("https://127.0.0.1:%d/", port))
		requireMaster(t, h.secretsOf(uint32(server.Process.Pid)), log)
	})
	t.Run("not TLS", func(t *testing.T) {
		needProgram(t, "certtool")
		cert, key := selfSigned(t)
		// A key file under a password is HMAC with the same functions, thousands of times.
		cmd := h.command("certtool", "--to-p12", "--outder", "--load-certificate", cert, "--load-privkey", key, "--p12-name", "x", "--password", "secret", "--outfile", os.DevNull)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.Empty(t, h.secretsOf(uint32(cmd.Process.Pid)))
	})
}
