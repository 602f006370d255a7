// SPDX-License-Identifier: Apache-2.0

//go:build linux

package exactness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/stretchr/testify/require"
)

// Root is the checkout's root: tests of this module run in their package's folder.
var Root = func() string {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "builder-config.yaml")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	panic("not within the checkout")
}()

// Binary is the built distribution.
func Binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("QPOINT_BINARY")
	if path == "" {
		path = filepath.Join(Root, "_build", "otelcol-qpoint")
	}
	require.FileExists(t, path, "build the distribution first: make build")
	require.Zero(t, os.Geteuid(), "the tests load eBPF programs: run them as root")
	return path
}

// Options are how a collector differs from the demo.
type Options struct {
	// Cgroup is what it watches, and where it runs; nil: a new one.
	Cgroup *Cgroup
	// Data is its data folder; empty: a new one.
	Data string
	// Binary is the program; empty: that of Binary.
	Binary string
	// Overlays are changes of the configuration, as in --config yaml:….
	Overlays []string
	// Env is added to the environment.
	Env []string
	// Wrap is put before the command line.
	Wrap []string
}

// Collector is a running otelcol-qpoint with the demo config.
type Collector struct {
	Cgroup *Cgroup
	Cmd    *exec.Cmd
	Data   string

	api, s3, metrics string // URLs
	token            string
	client           *http.Client
	log              lockedBuffer
	ended            chan struct{} // closed when the process was reaped
	rows, receipts   uint64        // that ClickHouse had when it started
	stopped          sync.Once
}

// Start starts the collector and waits until it captures. It is ended with the test.
func Start(t testing.TB, o Options) *Collector {
	t.Helper()
	if o.Cgroup == nil {
		o.Cgroup = NewCgroup(t)
	}
	if o.Data == "" {
		o.Data = t.TempDir()
	}
	if o.Binary == "" {
		o.Binary = Binary(t)
	}
	for try := 1; ; try++ {
		c := begin(t, o)
		require.Eventually(t, func() bool {
			return !c.Alive() || strings.Contains(c.Log(), "Everything is ready")
		}, Patience, 20*time.Millisecond, "the collector did not become ready:\n%s", &c.log)
		if !c.Alive() && try < 5 && strings.Contains(c.Log(), "in use") {
			continue // somebody else took a port in between
		}
		require.True(t, c.Alive(), "the collector ended:\n%s", &c.log)
		token, err := os.ReadFile(filepath.Join(c.Data, "token"))
		require.NoError(t, err)
		c.token = strings.TrimSpace(string(token))
		c.rows, c.receipts = c.Number(t, rows), c.Number(t, receipts)
		return c
	}
}

// begin starts the process.
func begin(t testing.TB, o Options) *Collector {
	t.Helper()
	c := &Collector{Cgroup: o.Cgroup, Data: o.Data, ended: make(chan struct{})}
	ports := []int{testkit.Port(t), testkit.Port(t), testkit.Port(t)}
	c.api = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	c.s3 = fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	c.metrics = fmt.Sprintf("http://127.0.0.1:%d/metrics", ports[2])
	// No connection outlives its answer: nothing is left when the test ends.
	c.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: Patience}

	args := append(slices.Clone(o.Wrap), o.Binary, "--config", filepath.Join(Root, "distributions/otelcol-qpoint/configs/demo.yaml"))
	for _, overlay := range append([]string{
		"receivers::qtap::cgroup: " + c.Cgroup.Path,
		fmt.Sprintf("extensions::pulse_api::endpoint: 127.0.0.1:%d", ports[0]),
		fmt.Sprintf("extensions::local_s3::endpoint: 127.0.0.1:%d", ports[1]),
		fmt.Sprintf("service::telemetry::metrics::readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %d}}}}]", ports[2]),
	}, o.Overlays...) {
		args = append(args, "--config", "yaml:"+overlay)
	}
	c.Cmd = c.Cgroup.Command(context.Background(), args[0], args[1:]...)
	c.Cmd.Env = append(append(os.Environ(), "QPOINT_DATA_DIR="+c.Data), o.Env...)
	c.Cmd.Stderr = &c.log
	require.NoError(t, c.Cmd.Start())
	go func() { // ends with the process, which Stop awaits
		_ = c.Cmd.Wait()
		close(c.ended)
	}()
	t.Cleanup(func() {
		c.Stop()
		if t.Failed() {
			t.Logf("collector:\n%s", tail(c.Log(), 30))
		}
	})
	return c
}

// Alive says whether the process is still there.
func (c *Collector) Alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// Stop shuts the collector down as a user would (SIGTERM) and returns its state.
func (c *Collector) Stop() *os.ProcessState {
	c.stopped.Do(func() {
		_ = c.Cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(Patience, func() { _ = c.Cmd.Process.Kill() })
		<-c.ended
		timer.Stop()
	})
	return c.Cmd.ProcessState
}

// Kill ends the collector as a crash would (SIGKILL).
func (c *Collector) Kill() {
	c.stopped.Do(func() {
		_ = c.Cmd.Process.Kill()
		<-c.ended
	})
}

// Log is what the collector has logged.
func (c *Collector) Log() string { return c.log.String() }

// Get asks the query API.
func (c *Collector) Get(t testing.TB, path string) []byte {
	t.Helper()
	answer, status := c.ask(t, http.MethodGet, c.api+path, nil)
	require.Equal(t, http.StatusOK, status, "%s: %s", path, answer)
	return answer
}

func (c *Collector) ask(t testing.TB, method, url string, body []byte) ([]byte, int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := c.client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer, res.StatusCode
}

// lockedBuffer collects a process's output while a test reads it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
