// SPDX-License-Identifier: Apache-2.0

//go:build linux

package faults

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/tests/exactness"
)

// TestCaptureUpgrade replaces the collector's program by rename while connections are live and requests are under way, and
// starts the new one; then it kills that one and starts another. TLS connections are read on (`tls::restart_state`), and
// what was captured before and after is whole.
func TestCaptureUpgrade(t *testing.T) {
	bpffs := t.TempDir()
	require.NoError(t, unix.Mount("qpoint-test", bpffs, "bpf", 0, "mode=0700"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(bpffs, unix.MNT_DETACH)) })
	program := filepath.Join(t.TempDir(), "otelcol-qpoint")
	captureCopy(t, exactness.Binary(t), program)
	o := exactness.Options{
		Cgroup: exactness.NewCgroup(t), Data: t.TempDir(), Binary: program,
		Overlays: []string{"receivers::qtap::tls::restart_state::directory: " + filepath.Join(bpffs, "qpoint")},
	}
	c, tr := captureStart(t, o)
	// These connections live through all of it. Their requests are not numbered: who misses some, misses them.
	under := tr.Begin(t, exactness.Load{Rate: 100, Duration: captureRestartLoad, Path: "/under-way", Connections: 8, Fresh: 1 << 40})
	served := func(why string) {
		t.Helper()
		had := c.Number(t, "SELECT count() FROM qpoint.requests WHERE path = '/under-way' AND scheme = 'https'")
		require.Eventually(t, func() bool {
			return c.Number(t, "SELECT count() FROM qpoint.requests WHERE path = '/under-way' AND scheme = 'https'") >= had+20
		}, exactness.Patience, 100*time.Millisecond, "%s: connections that were open are read", why)
	}
	served("the first")

	next := program + ".new"
	captureCopy(t, exactness.Binary(t), next)
	require.NoError(t, os.Rename(next, program), "the running one keeps its file")
	served("the first, whose file was replaced")
	require.Zero(t, c.Stop().ExitCode())
	c = exactness.Start(t, o)
	served("the new one")
	require.Contains(t, c.Log(), "TLS connections that an earlier process read are taken over")

	c.Kill()
	c = exactness.Start(t, o)
	served("the one after a SIGKILL")
	under.End(t)
	captureWell(t, c, tr)
	captureEnd(t, c)
}

// captureRestartLoad is longer than any of it takes: the load is ended by the test.
const captureRestartLoad = time.Hour

func captureCopy(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	require.NoError(t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(out, in)
	require.NoError(t, err)
	require.NoError(t, out.Close())
}
