// SPDX-License-Identifier: Apache-2.0

//go:build linux

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// TestStuckEnvironment: a process whose memory cannot be read now stops nobody. A FIFO without a writer is one.
func TestStuckEnvironment(t *testing.T) {
	root := t.TempDir()
	var fifos []string
	at := func(tgid int) string {
		dir := filepath.Join(root, "proc", fmt.Sprint(tgid))
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.Symlink("/bin/prog", filepath.Join(dir, "exe")))
		return filepath.Join(dir, "environ")
	}
	for i := range maxStuck {
		fifos = append(fifos, at(100+i))
		require.NoError(t, syscall.Mkfifo(fifos[i], 0o600))
	}
	for _, tgid := range []int{200, 201} {
		require.NoError(t, os.WriteFile(at(tgid), []byte("A=b\x00OTEL_SERVICE_NAME=shop\x00"), 0o600))
	}
	r := NewResolver(root, Host{ID: "host"})
	r.environs.wait = time.Millisecond
	for i := range fifos {
		require.Equal(t, "prog", r.Resolve(uint32(100+i), 0, "", 1).ServiceName)
	}
	r.environs.wait = testkit.Patience
	require.Equal(t, "prog", r.Resolve(200, 0, "", 1).ServiceName, "no more than these are waited for")

	for _, path := range fifos { // they go on
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	require.Eventually(t, func() bool { return r.environs.reading.Load() == 0 }, testkit.Patience, time.Millisecond)
	require.Equal(t, "shop", r.Resolve(201, 0, "", 1).ServiceName)
}
