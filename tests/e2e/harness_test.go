// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package e2e starts the built distribution with its demo config and drives real programs
// against it: what a user does, and what ClickHouse, the bucket and the page then hold.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
)

// root is the checkout's root, two folders up.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("QPOINT_BINARY")
	if path == "" {
		path = filepath.Join(root, "_build", "otelcol-qpoint")
	}
	require.FileExists(t, path, "build the distribution first: make build")
	require.Zero(t, os.Geteuid(), "the e2e tests load eBPF programs: run them as root")
	return path
}

// cgroup is a cgroup of one test: the capture is scoped to it, so tests neither see each other
// nor the rest of the machine.
type cgroup struct {
	path string
	dir  *os.File
}

func newCgroup(t *testing.T) *cgroup {
	t.Helper()
	mount := cgroup2Mount(t)
	path, err := os.MkdirTemp(mount, "qpoint-e2e-")
	require.NoError(t, err)
	dir, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = dir.Close()
		// The kernel lets go of a cgroup a moment after its last process was reaped.
		require.Eventually(t, func() bool {
			err := os.Remove(path)
			return err == nil || errors.Is(err, os.ErrNotExist)
		}, 10*time.Second, 50*time.Millisecond, "a process was left in %s", path)
	})
	return &cgroup{path: path, dir: dir}
}

func cgroup2Mount(t *testing.T) string {
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

// command makes a command that will start inside the cgroup and die with the test process.
func (c *cgroup) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(c.dir.Fd()), Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run runs a command inside the cgroup to its end and returns its standard output.
func (c *cgroup) run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := c.command(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), stderr.String())
	return out
}

// start starts a server inside the cgroup; it is ended with the test.
func (c *cgroup) start(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := c.command(context.Background(), name, args...)
	var output lockedBuffer
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stop(cmd, 10*time.Second)
		if t.Failed() {
			t.Logf("%s:\n%s", name, tail(output.String(), 30))
		}
	})
	return cmd
}

// stop ends a process the gentle way and, after the grace, the hard way.
func stop(cmd *exec.Cmd, grace time.Duration) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(grace, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	timer.Stop()
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func waitPort(t *testing.T, port int) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(port), time.Second)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	}, 15*time.Second, 20*time.Millisecond, "nothing listens on port %d", port)
}

// collector is a running otelcol-qpoint with the demo config.
type collector struct {
	cgroup  *cgroup
	cmd     *exec.Cmd
	data    string
	api     string // http://127.0.0.1:port
	s3      string // 127.0.0.1:port
	metrics string // http://127.0.0.1:port/metrics
	token   string
	out     lockedBuffer // standard output: what is printed for the user
	log     lockedBuffer // standard error: the collector's log
	stopped sync.Once
	state   *os.ProcessState
}

// demoArgs are the arguments that move the demo config's ports and scope to a test's own.
func demoArgs(c *collector, apiPort, s3Port, metricsPort int, overlays []string) []string {
	args := []string{"--config", filepath.Join(root, "distributions/otelcol-qpoint/configs/demo.yaml")}
	for _, overlay := range append([]string{
		"receivers::qtap::cgroup: " + c.cgroup.path,
		fmt.Sprintf("extensions::pulse_api::endpoint: 127.0.0.1:%d", apiPort),
		fmt.Sprintf("extensions::local_s3::endpoint: 127.0.0.1:%d", s3Port),
		fmt.Sprintf("extensions::local_s3::cors::allowed_origins: [http://127.0.0.1:%d]", apiPort),
		fmt.Sprintf("service::telemetry::metrics::readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %d}}}}]", metricsPort),
	}, overlays...) {
		args = append(args, "--config", "yaml:"+overlay)
	}
	return args
}

// launch starts the collector without waiting for it to be ready.
func launch(t *testing.T, data string, overlays ...string) *collector {
	t.Helper()
	return launchIn(t, newCgroup(t), data, overlays...)
}

func launchIn(t *testing.T, in *cgroup, data string, overlays ...string) *collector {
	t.Helper()
	c := &collector{cgroup: in, data: data}
	apiPort, s3Port, metricsPort := freePort(t), freePort(t), freePort(t)
	c.api = fmt.Sprintf("http://127.0.0.1:%d", apiPort)
	c.s3 = fmt.Sprintf("127.0.0.1:%d", s3Port)
	c.metrics = fmt.Sprintf("http://127.0.0.1:%d/metrics", metricsPort)
	c.begin(t, demoArgs(c, apiPort, s3Port, metricsPort, overlays))
	return c
}

// begin starts the binary on the collector's data folder; it is ended with the test.
func (c *collector) begin(t *testing.T, args []string, env ...string) {
	t.Helper()
	c.cmd = c.cgroup.command(context.Background(), binary(t), args...)
	c.cmd.Env = append(append(os.Environ(), "QPOINT_DATA_DIR="+c.data), env...)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.log
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() {
		c.stop()
		if t.Failed() {
			t.Logf("collector:\n%s", tail(c.log.String(), 60))
		}
	})
}

// ready waits until the collector captures and answers.
func (c *collector) ready(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		return c.cmd.ProcessState != nil || strings.Contains(c.log.String(), "Everything is ready")
	}, 60*time.Second, 50*time.Millisecond, "the collector did not become ready:\n%s", &c.log)
}

// startCollector starts the collector and waits until it captures.
func startCollector(t *testing.T, overlays ...string) *collector {
	t.Helper()
	c := launch(t, t.TempDir(), overlays...)
	c.ready(t)
	c.login(t)
	return c
}

// login takes the token that the collector has made for its user.
func (c *collector) login(t *testing.T) {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(c.data, "token"))
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(c.data, "token"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	c.token = strings.TrimSpace(string(token))
}

// stop shuts the collector down as a user would (SIGTERM) and waits.
func (c *collector) stop() *os.ProcessState {
	c.stopped.Do(func() {
		stop(c.cmd, 30*time.Second)
		c.state = c.cmd.ProcessState
	})
	return c.state
}

// exits waits for the collector to end by itself and returns its exit code.
func (c *collector) exits(t *testing.T, within time.Duration) int {
	t.Helper()
	timer := time.AfterFunc(within, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	c.stopped.Do(func() {
		_ = c.cmd.Wait()
		c.state = c.cmd.ProcessState
	})
	require.NotEqual(t, -1, c.state.ExitCode(), "the collector had to be killed after %s:\n%s", within, &c.log)
	return c.state.ExitCode()
}

// get asks the query API.
func (c *collector) get(t *testing.T, path string) []byte {
	t.Helper()
	return c.request(t, http.MethodGet, path, nil)
}

func (c *collector) request(t *testing.T, method, path string, body io.Reader) []byte {
	t.Helper()
	answer, status := c.try(t, method, path, body)
	require.Less(t, status, 300, "%s %s: %s", method, path, answer)
	return answer
}

// try returns the answer and its status, whatever it is.
func (c *collector) try(t *testing.T, method, path string, body io.Reader) ([]byte, int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.api+path, body)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer, res.StatusCode
}

// sample is one line of the collector's own metrics.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

var (
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)
	labelPair  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
)

// scrape reads the collector's own metrics.
func (c *collector) scrape(t *testing.T) []sample {
	t.Helper()
	res, err := http.Get(c.metrics)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	var samples []sample
	for line := range strings.Lines(string(text)) {
		m := sampleLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			continue
		}
		s := sample{name: m[1], labels: map[string]string{}, value: value}
		for _, pair := range labelPair.FindAllStringSubmatch(m[2], -1) {
			s.labels[pair[1]] = pair[2]
		}
		samples = append(samples, s)
	}
	return samples
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
