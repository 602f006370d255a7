// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// leastRights are the capabilities that the documentation names.
const leastRights = "+bpf,+perfmon,+net_admin,+sys_ptrace,+dac_read_search"

// TestLeastRights runs the whole demo as an unprivileged user with the documented capabilities and no others, neither in its
// bounding set: capture, TLS secrets, the embedded ClickHouse's child, the S3 server and the page.
func TestLeastRights(t *testing.T) {
	const uid = "65534"
	dir, err := os.MkdirTemp("/tmp", "qpoint-rights-") // a folder of the test may not be reachable for others
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	data := filepath.Join(dir, "data")
	require.NoError(t, os.Mkdir(data, 0o700))
	require.NoError(t, os.Chown(data, 65534, 65534))
	program, err := os.ReadFile(binary(t))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "otelcol-qpoint"), program, 0o755))
	demo, err := os.ReadFile(filepath.Join(root, "distributions/otelcol-qpoint/configs/demo.yaml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "demo.yaml"), demo, 0o644))

	c := &collector{cgroup: newCgroup(t), data: data}
	apiPort, s3Port, metricsPort := freePort(t), freePort(t), freePort(t)
	c.api, c.s3, c.metrics = fmt.Sprintf("http://127.0.0.1:%d", apiPort), fmt.Sprintf("127.0.0.1:%d", s3Port), fmt.Sprintf("http://127.0.0.1:%d/metrics", metricsPort)
	args := demoArgs(c, apiPort, s3Port, metricsPort, nil)
	args[1] = filepath.Join(dir, "demo.yaml")
	c.cmd = c.cgroup.command(context.Background(), "setpriv", append([]string{
		"--reuid=" + uid, "--regid=" + uid, "--clear-groups", "--bounding-set=-all," + leastRights, "--inh-caps=-all," + leastRights, "--ambient-caps=-all," + leastRights,
		"--no-new-privs", filepath.Join(dir, "otelcol-qpoint"),
	}, args...)...)
	c.cmd.Env = append(os.Environ(), "QPOINT_DATA_DIR="+data, "QPOINT_CHDB_LIB="+chdbIn(t, dir))
	c.cmd.Dir = dir
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.log
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() {
		c.stop()
		if t.Failed() {
			t.Logf("collector:\n%s", tail(c.log.String(), 60))
		}
	})
	require.Eventually(t, func() bool { return strings.Contains(c.log.String(), "Everything is ready") }, testkit.Patience, 50*time.Millisecond, "%s", &c.log)
	token, err := os.ReadFile(filepath.Join(data, "token"))
	require.NoError(t, err)
	c.token = strings.TrimSpace(string(token))

	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	require.NoError(t, err)
	rights := ""
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == "Uid:" || strings.HasPrefix(f[0], "Cap") {
			rights += strings.Join(f, " ") + "\n"
		}
	}
	// CAP_DAC_READ_SEARCH 2, CAP_NET_ADMIN 12, CAP_SYS_PTRACE 19, CAP_PERFMON 38, CAP_BPF 39
	set := fmt.Sprintf("%016x", 1<<2|1<<12|1<<19|1<<38|1<<39)
	require.Equal(t, fmt.Sprintf("Uid: 65534 65534 65534 65534\nCapInh: %[1]s\nCapPrm: %[1]s\nCapEff: %[1]s\nCapBnd: %[1]s\nCapAmb: %[1]s\n", set), rights)

	nginx := startNginx(t, c.cgroup)
	page := pattern(5000)
	require.NoError(t, os.WriteFile(filepath.Join(nginx.dir, "page.bin"), page, 0o644))
	since := time.Now()
	c.cgroup.run(t, "curl", "-sS", "--cacert", nginx.cert, "-o", "/dev/null", nginx.url("https", "/page.bin"))
	client, server := c.pair(t, since, "GET", "/page.bin")
	for _, row := range []request{client, server} {
		require.Equal(t, page, c.payload(t, row).responseBody(t))
		require.NotEmpty(t, row.Executable, "the processes of other users are known")
	}
	require.Equal(t, "/usr/bin/curl", client.Executable)
	require.Equal(t, "root", client.User)
	c.requireConserved(t)
	require.Zero(t, c.stop().ExitCode())
}

// TestEachRightIsNeeded takes one of the documented capabilities away at a time: the collector does not start, and names it. And the page that
// documents them has these and no others.
func TestEachRightIsNeeded(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/security.md"))
	require.NoError(t, err)
	require.Equal(t, 3, strings.Count(string(page), "caps=-all,"+leastRights+" ")+strings.Count(string(page), "-set=-all,"+leastRights+" "))
	dir, err := os.MkdirTemp("/tmp", "qpoint-rights-") // a folder of the test may not be reachable for others
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	program, err := os.ReadFile(binary(t))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "otelcol-qpoint"), program, 0o755))
	group := newCgroup(t)
	config := "yaml:{extensions: {privacy_guard: }, receivers: {qtap: {cgroup: " + group.path + "}}, processors: {anonymize: }, exporters: {debug: }, " +
		"service: {extensions: [privacy_guard], pipelines: {traces: {receivers: [qtap], processors: [anonymize], exporters: [debug]}}, telemetry: {metrics: {level: none}}}}"
	all := strings.Split(leastRights, ",")
	for i, right := range all {
		name := "CAP_" + strings.ToUpper(right[1:])
		t.Run(name, func(t *testing.T) {
			require.Regexp(t, "(?m)^\\| `"+name+"` \\|", string(page))
			rights := strings.Join(slices.Delete(slices.Clone(all), i, i+1), ",")
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			cmd := group.command(ctx, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all,"+rights,
				"--inh-caps=-all,"+rights, "--ambient-caps=-all,"+rights, "--no-new-privs", filepath.Join(dir, "otelcol-qpoint"), "--config", config)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			require.NoError(t, ctx.Err(), "it started:\n%s", out)
			require.Error(t, err)
			require.Contains(t, string(out), name)
			for _, other := range all {
				if other != right {
					require.NotContains(t, string(out), "CAP_"+strings.ToUpper(other[1:])+" ", "only what is missing is named")
				}
			}
		})
	}
}

// chdbIn makes the embedded engine's library reachable for other users, below dir.
func chdbIn(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(root, "scripts/fetch-chdb.sh")).Output()
	require.NoError(t, err)
	from, to := strings.TrimSpace(string(out)), filepath.Join(dir, "libchdb.so")
	if os.Link(from, to) != nil { // another file system
		require.NoError(t, exec.CommandContext(t.Context(), "cp", from, to).Run())
	}
	return to
}
