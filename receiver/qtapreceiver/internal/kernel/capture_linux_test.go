// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// needRoot skips a test that cannot run here. In CI it has to run.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}

// host is a cgroup of its own in which a test runs programs, and the capture of it.
type host struct {
	t       *testing.T
	cgroup  string
	capture *Capture
	*recorder
}

// newCgroup makes a cgroup below the cgroup v2 mount.
func newCgroup(t *testing.T) string {
	t.Helper()
	needRoot(t)
	root, err := resolveCgroup("")
	require.NoError(t, err)
	dir, err := os.MkdirTemp(root.mount, "qpoint-test-")
	require.NoError(t, err)
	t.Cleanup(func() {
		// A process that was just killed may still be leaving.
		require.Eventually(t, func() bool { return os.Remove(dir) == nil }, 5*time.Second, 20*time.Millisecond)
	})
	return dir
}

// openHost captures a new cgroup.
func openHost(t *testing.T, change func(*Config)) *host {
	t.Helper()
	return openHostIn(t, newCgroup(t), change)
}

func openHostIn(t *testing.T, dir string, change func(*Config)) *host {
	t.Helper()
	cfg := Config{CgroupPath: dir, Level: LevelFull, Keys: true, RingBytes: 32 << 20, Logger: zaptest.NewLogger(t)}
	if change != nil {
		change(&cfg)
	}
	c, err := Open(cfg)
	require.NoError(t, err)
	h := &host{t: t, cgroup: dir, capture: c, recorder: newRecorder()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, h.recorder) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, c.Close())
	})
	return h
}

// command is a program that will run in the host's cgroup.
func (h *host) command(name string, args ...string) *exec.Cmd {
	h.t.Helper()
	return commandIn(h.t, h.cgroup, name, args...)
}

func commandIn(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	f, err := os.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())}
	return cmd
}

// start runs a server until the test ends.
func (h *host) start(name string, args ...string) *exec.Cmd {
	h.t.Helper()
	return startIn(h.t, h.cgroup, name, args...)
}

func startIn(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := commandIn(t, dir, name, args...)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	return cmd
}

// settle waits until the ring has been drained after now.
func (h *host) settle() {
	h.t.Helper()
	h.mu.Lock()
	was := h.idles
	h.mu.Unlock()
	require.Eventually(h.t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.idles >= was+3
	}, 5*time.Second, time.Millisecond)
}

// recorder keeps events.
type recorder struct {
	mu        sync.Mutex
	packets   []event.Packet
	sockets   []event.Socket
	secrets   []event.Secret
	processes []event.Process
	lost      map[string]uint64
	idles     int
}

func newRecorder() *recorder { return &recorder{lost: map[string]uint64{}} }

func (r *recorder) Packet(p *event.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := *p
	c.Data = append([]byte(nil), p.Data...)
	r.packets = append(r.packets, c)
}

func (r *recorder) Socket(s *event.Socket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sockets = append(r.sockets, *s)
}

func (r *recorder) Secret(s *event.Secret) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := *s
	c.Secret = append([]byte(nil), s.Secret...)
	c.Context = append([]byte(nil), s.Context...)
	r.secrets = append(r.secrets, c)
}

func (r *recorder) Process(p *event.Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.processes = append(r.processes, *p)
}

func (r *recorder) Lost(kind string, n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost[kind] += n
}

func (r *recorder) Idle(int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idles++
}

