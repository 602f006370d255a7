// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// logged waits until exactly the given lines were read of key logs.
func (h *host) logged(want map[string]bool) {
	h.t.Helper()
	require.NotEmpty(h.t, want)
	var got map[string]bool
	require.Eventually(h.t, func() bool {
		h.look()
		got = map[string]bool{}
		for _, s := range h.secrets {
			got[fmt.Sprintf("%s %s %s", s.Label, hex.EncodeToString(s.Context), hex.EncodeToString(s.Secret))] = true
		}
		return len(got) >= len(want)
	}, testkit.Patience, 10*time.Millisecond)
	require.Equal(h.t, want, got)
}

// TestKeyLogFiles reads what programs write themselves: to a file that is there, to one that
// comes later, to one that is replaced and one that is cut, and to a FIFO.
func TestKeyLogFiles(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	old := "CLIENT_RANDOM " + hex.EncodeToString(make([]byte, 32)) + " " + hex.EncodeToString(make([]byte, 48)) + "\n"
	require.NoError(t, os.WriteFile(path("there.log"), []byte(old), 0o600))
	require.NoError(t, unix.Mkfifo(path("fifo.log"), 0o600))
	require.NoError(t, os.Mkdir(path("folder.log"), 0o700)) // matches, but is no file
	h := openHostIn(t, newCgroup(t), func(c *Config) { c.Keys, c.KeyLogFiles = false, []string{path("*.log")} })
	n := startNginx(t, h.cgroup, 1000)
	url := fmt.Sprintf("https://127.0.0.1:%d/file", n.https)
	all := map[string]bool{}
	add := func(name string) {
		for line := range keyLogLines(t, path(name)) {
			if line+"\n" != old {
				all[line] = true
			}
		}
		h.logged(all)
	}
	curl := func(name string, args ...string) {
		curlIn(t, h.cgroup, []string{"SSLKEYLOGFILE=" + path(name)}, append(args, url)...)
	}

	curl("there.log")
	add("there.log")
	curl("there.log", "--tls-max", "1.2")
	add("there.log")
	curl("later.log")
	add("later.log")
	require.NoError(t, os.Remove(path("later.log")))
	curl("later.log")
	add("later.log")
	require.NoError(t, os.Truncate(path("there.log"), 0))
	time.Sleep(2 * keyFileInterval)
	curl("there.log")
	add("there.log")

	python := h.command("python3", "-c", `
import ssl, sys, urllib.request
c = ssl._create_unverified_context()
c.keylog_filename = sys.argv[2]
assert len(urllib.request.urlopen(sys.argv[1], context=c).read()) == 1000`, url, path("python.log"))
	out, err := python.CombinedOutput()
	require.NoError(t, err, string(out))
	add("python.log")

	// A FIFO cannot be read twice, so a second writer tells what goes in.
	for range 2 { // writers come and go
		curl("copy")
		b, err := os.ReadFile(path("copy"))
		require.NoError(t, err)
		f, err := os.OpenFile(path("fifo.log"), os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.Write(b)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		add("copy")
	}
	h.look()
	before := len(h.secrets)
	curl("fifo.log")
	require.Eventually(t, func() bool { h.look(); return len(h.secrets)-before >= 4 }, testkit.Patience, 10*time.Millisecond)
}
