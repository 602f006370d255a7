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

// oldGo has the first layout of .gopclntab that is read.
const oldGo = "go1.19.13"

// buildOldGo builds the test's program with an older toolchain, stripped.
func buildOldGo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile("../../testdata/gotls/main.go")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), b, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module gotls\n\ngo 1.18\n"), 0o644))
	out := filepath.Join(dir, "gotls")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", out, "main.go")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN="+oldGo)
	b, err = cmd.CombinedOutput()
	require.NoError(t, err, string(b))
	return out
}

// TestGoSecrets compares what is captured of Go programs with their own key logs, at both ends.
func TestGoSecrets(t *testing.T) {
	h := openHost(t)
	cert, key := selfSigned(t)
	static := []string{"CGO_ENABLED=0"}
	for name, path := range map[string]string{
		"plain":        buildGo(t, static),
		"stripped":     buildGo(t, static, "-ldflags=-s -w"),
		"pie stripped": buildGo(t, static, "-buildmode=pie", "-ldflags=-s -w"),
		oldGo:          buildOldGo(t),
	} {
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
