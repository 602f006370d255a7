// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package e2e starts the built distribution with its demo config and drives real programs
// against it: what a user does, and what ClickHouse, the bucket and the page then hold.
package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/tests/rig"
)

// root is the checkout's root, two folders up.
var root = rig.Root

func binary(t *testing.T) string { return rig.Binary(t) }

// cgroup is a cgroup of one test; see rig.Cgroup.
type cgroup struct {
	*rig.Cgroup
	path string
}

func newCgroup(t *testing.T) *cgroup {
	t.Helper()
	c := rig.NewCgroup(t)
	return &cgroup{c, c.Path}
}

func (c *cgroup) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return c.Command(ctx, name, args...)
}

func (c *cgroup) run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	return c.Run(t, name, args...)
}

func (c *cgroup) start(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	return c.Start(t, name, args...)
}

func stop(cmd *exec.Cmd, grace time.Duration) { rig.Stop(cmd, grace) }

func freePort(t *testing.T) int { return rig.FreePort(t) }

func waitPort(t *testing.T, port int) {
	t.Helper()
	rig.WaitPort(t, port)
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
	c.beginProgram(t, binary(t), args, env...)
}

// beginProgram starts another collector than ours.
func (c *collector) beginProgram(t *testing.T, program string, args []string, env ...string) {
	t.Helper()
	c.cmd = c.cgroup.command(context.Background(), program, args...)
	c.cmd.Env = append(append(os.Environ(), "QPOINT_DATA_DIR="+c.data), env...)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.log
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() {
		c.stop()
		if t.Failed() {
			t.Logf("collector:\n%s", rig.Tail(c.log.String(), 60))
		}
	})
}

// ready waits until the collector captures and answers.
func (c *collector) ready(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		return c.cmd.ProcessState != nil || strings.Contains(c.log.String(), "Everything is ready")
	}, testkit.Patience, 50*time.Millisecond, "the collector did not become ready:\n%s", &c.log)
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

// scrape reads the collector's own metrics.
func (c *collector) scrape(t *testing.T) (samples []sample) {
	t.Helper()
	for _, s := range rig.Scrape(t, c.metrics) {
		samples = append(samples, sample{s.Name, s.Labels, s.Value})
	}
	return samples
}

type lockedBuffer = rig.Buffer

func tail(text string, lines int) string { return rig.Tail(text, lines) }
