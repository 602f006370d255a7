// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package exactness starts the built distribution and numbered traffic for it (tests/load), reads back what it kept,
// and says what became of each number.
package exactness

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Patience is how long something is awaited that must happen: far longer than it takes on a machine that is slow.
const Patience = 2 * time.Minute

// Cgroup is a cgroup of one test: the capture is scoped to it, so tests neither see each other nor the rest of the
// machine.
type Cgroup struct {
	Path string
	dir  *os.File
}

// NewCgroup makes a cgroup that is removed with the test.
func NewCgroup(t testing.TB) *Cgroup {
	t.Helper()
	path, err := os.MkdirTemp(Cgroup2Mount(t), "qpoint-rig-")
	require.NoError(t, err)
	dir, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = dir.Close()
		// The kernel lets go of a cgroup a moment after its last process was reaped.
		require.Eventually(t, func() bool {
			below, _ := filepath.Glob(filepath.Join(path, "*", "cgroup.procs"))
			deeper, _ := filepath.Glob(filepath.Join(path, "*", "*", "cgroup.procs"))
			for _, procs := range append(deeper, below...) { // what a test that failed has left
				_ = os.Remove(filepath.Dir(procs))
			}
			err := os.Remove(path)
			return err == nil || errors.Is(err, os.ErrNotExist)
		}, Patience, 20*time.Millisecond, "a process was left in %s", path)
	})
	return &Cgroup{Path: path, dir: dir}
}

// Cgroup2Mount is where cgroup v2 is mounted.
func Cgroup2Mount(t testing.TB) string {
	t.Helper()
	info, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	for line := range strings.Lines(string(info)) {
		before, after, ok := strings.Cut(line, " - ")
		if ok && strings.HasPrefix(after, "cgroup2 ") {
			return strings.Fields(before)[4]
		}
	}
	t.Fatal("no cgroup v2 mount on this machine")
	return ""
}

// Command makes a command that will start inside the cgroup and die with the test process.
func (c *Cgroup) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(c.dir.Fd()), Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Run runs a command inside the cgroup to its end and returns its standard output.
func (c *Cgroup) Run(t testing.TB, within time.Duration, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := c.Command(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.Output()
	require.NoError(t, err, "%s %s: %s", filepath.Base(name), strings.Join(args, " "), stderr.String())
	return out
}

// stop ends a process the gentle way and, after the grace, the hard way.
func stop(cmd *exec.Cmd, grace time.Duration) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(grace, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	timer.Stop()
}
