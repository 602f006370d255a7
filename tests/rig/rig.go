// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package rig is what the tests share that start the built distribution and drive real programs against it: cgroups of
// their own, processes that end with the test, ports, and the collector's own metrics.
package rig

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// Root is the checkout's root. Tests that import this package are two folders below it.
var Root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// Binary returns the path of the built distribution: $QPOINT_BINARY, or what `make build` makes.
func Binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("QPOINT_BINARY")
	if path == "" {
		path = filepath.Join(Root, "_build", "otelcol-qpoint")
	}
	require.FileExists(t, path, "build the distribution first: make build")
	require.Zero(t, os.Geteuid(), "these tests load eBPF programs: run them as root")
	return path
}

// Cgroup is a cgroup of one test: the capture is scoped to it, so tests neither see each other
// nor the rest of the machine.
type Cgroup struct {
	Path string
	dir  *os.File
}

// NewCgroup makes a cgroup that goes with the test.
func NewCgroup(t testing.TB) *Cgroup {
	t.Helper()
	path, err := os.MkdirTemp(cgroup2Mount(t), "qpoint-e2e-")
	require.NoError(t, err)
	dir, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = dir.Close()
		// The kernel lets go of a cgroup a moment after its last process was reaped.
		require.Eventually(t, func() bool {
			err := os.Remove(path)
			return err == nil || errors.Is(err, os.ErrNotExist)
		}, testkit.Patience, 50*time.Millisecond, "a process was left in %s", path)
	})
	return &Cgroup{Path: path, dir: dir}
}

func cgroup2Mount(t testing.TB) string {
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
func (c *Cgroup) Run(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	cmd := c.Command(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), stderr.String())
	return out
}

// Start starts a server inside the cgroup; it is ended with the test.
func (c *Cgroup) Start(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := c.Command(context.Background(), name, args...)
	var output Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		Stop(cmd, 10*time.Second)
		if t.Failed() {
			t.Logf("%s:\n%s", name, Tail(output.String(), 30))
		}
	})
	return cmd
}

// Stop ends a process the gentle way and, after the grace, the hard way.
func Stop(cmd *exec.Cmd, grace time.Duration) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(grace, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	timer.Stop()
}

// FreePort returns a port of 127.0.0.1 that nothing listens on, and that nobody else is given.
func FreePort(t testing.TB) int { return testkit.Port(t) }

// WaitPort waits until something listens on a port of 127.0.0.1.
func WaitPort(t testing.TB, port int) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(port), time.Second)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	}, testkit.Patience, 20*time.Millisecond, "nothing listens on port %d", port)
}

// Sample is one line of the collector's own metrics.
type Sample struct {
	Name   string
	Labels map[string]string
	Value  float64
}

var (
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)
	labelPair  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
)

// Scrape reads metrics in Prometheus' text format.
func Scrape(t testing.TB, url string) (samples []Sample) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		m := sampleLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			continue
		}
		s := Sample{Name: m[1], Labels: map[string]string{}, Value: value}
		for _, pair := range labelPair.FindAllStringSubmatch(m[2], -1) {
			s.Labels[pair[1]] = pair[2]
		}
		samples = append(samples, s)
	}
	return samples
}

// Buffer collects a process's output while a test reads it.
type Buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Tail returns the last lines of a text.
func Tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
