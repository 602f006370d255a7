// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// selfSigned writes a certificate and its key, and returns their paths.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
		"-subj", "/CN=localhost", "-keyout", key, "-out", cert).CombinedOutput()
	require.NoError(t, err, string(out))
	return cert, key
}

// keyLogLines reads a key log as secrets, without those that decrypt nothing.
func keyLogLines(t *testing.T, path string) map[string]bool {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	lines := map[string]bool{}
	s := bufio.NewScanner(f)
	for s.Scan() {
		if !strings.HasPrefix(s.Text(), "#") && !strings.HasPrefix(s.Text(), "EXPORTER") {
			lines[s.Text()] = true
		}
	}
	require.NoError(t, s.Err())
	return lines
}

// keyLogOf are the captured secrets of a process in the form of a key log.
func (h *host) keyLogOf(pid int) map[string]bool {
	lines := map[string]bool{}
	for _, s := range h.secretsOf(uint32(pid)) {
		require.Equal(h.t, event.SecretKeyLog, s.Kind)
		lines[fmt.Sprintf("%s %s %s", s.Label, hex.EncodeToString(s.Context), hex.EncodeToString(s.Secret))] = true
	}
	return lines
}

// TestGoSecrets compares what is captured of Go programs with their own key logs, at both ends.
func TestGoSecrets(t *testing.T) {
	h := openHost(t)
	cert, key := selfSigned(t)
	for name, build := range map[string][]string{
		"plain":        nil,
		"stripped":     {"-ldflags=-s -w"},
		"pie stripped": {"-buildmode=pie", "-ldflags=-s -w"},
	} {
		path := buildGo(t, []string{"CGO_ENABLED=0"}, build...)
		for version, c := range map[string]struct {
			flags          []string
			secrets, conns int
		}{
			"1.3":        {nil, 4, 20},
			"1.3 mutual": {[]string{"-mutual"}, 4, 5},
			"1.2":        {[]string{"-tls12"}, 1, 20},
			"1.2 mutual": {[]string{"-tls12", "-mutual"}, 1, 5},
		} {
			t.Run(name+" TLS "+version, func(t *testing.T) {
				dir, port := t.TempDir(), freePort(t)
				addr := fmt.Sprintf("127.0.0.1:%d", port)
				flags := append([]string{"-cert", cert, "-key", key}, c.flags...)
				server := startIn(t, h.cgroup, path, append(flags, "-listen", addr, "-keylog", dir+"/server")...)
				waitListening(t, port)
				// The first start of a program gives no more time than this to find it.
				client := h.command(path, append(flags, "-wait", "300ms", "-conns", fmt.Sprint(c.conns), "-keylog", dir+"/client", "https://"+addr)...)
				out, err := client.CombinedOutput()
				require.NoError(t, err, string(out))
				want := keyLogLines(t, dir+"/client")
				require.Len(t, want, c.secrets*c.conns)
				require.Equal(t, want, keyLogLines(t, dir+"/server"))
				require.Equal(t, want, h.keyLogOf(client.Process.Pid), "of the client")
				require.Equal(t, want, h.keyLogOf(server.Process.Pid), "of the server")
			})
		}
	}
}

// TestGoRunningAlready attaches while a server runs.
func TestGoRunningAlready(t *testing.T) {
	dir := newCgroup(t)
	cert, key := selfSigned(t)
	log, port := filepath.Join(t.TempDir(), "keys"), freePort(t)
	server := startIn(t, dir, buildGo(t, []string{"CGO_ENABLED=0"}), "-cert", cert, "-key", key, "-listen", fmt.Sprintf("127.0.0.1:%d", port), "-keylog", log)
	waitListening(t, port)
	h := openHostIn(t, dir, nil)
	h.curl(fmt.Sprintf("https://127.0.0.1:%d/x", port))
	want := keyLogLines(t, log)
	require.Len(t, want, 4)
	require.Equal(t, want, h.keyLogOf(server.Process.Pid))
	// This test is a Go program with TLS too, and the collector that captures.
	self, err := os.Executable()
	require.NoError(t, err)
	require.NotContains(t, h.capture.Summary().Libraries, self)
}
