// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// coverage is what the tests read of one row of GET /api/v1/coverage.
type coverage struct {
	Subject    string `json:"subject"`
	Name       string `json:"name"`
	State      string `json:"state"`
	Reason     string `json:"reason"`
	Advice     string `json:"advice"`
	Count      int    `json:"count"`
	Executable string `json:"executable"`
}

func (c *collector) coverage(t *testing.T, query string) []coverage {
	t.Helper()
	var answer struct {
		Coverage []coverage `json:"coverage"`
	}
	require.NoError(t, json.Unmarshal(c.get(t, "/api/v1/coverage"+query), &answer))
	return answer.Coverage
}

// TestCoverage holds the report against programs that are seen, curl and nginx, and one that is not: what openssl says
// inside TLS is no protocol that is read.
func TestCoverage(t *testing.T) {
	c := startCollector(t)
	nginx := startNginx(t, c.cgroup)
	c.cgroup.run(t, "curl", "-sS", "--cacert", nginx.cert, nginx.url("https", "/empty"))
	_, key := certificate(t)
	cert := filepath.Join(filepath.Dir(key), "cert.pem")
	port := freePort(t)
	c.cgroup.start(t, "openssl", "s_server", "-rev", "-accept", fmt.Sprint("127.0.0.1:", port), "-cert", cert, "-key", key)
	waitPort(t, port)
	c.cgroup.run(t, "sh", "-c", fmt.Sprintf(`(head -c 40000 /dev/zero | tr '\000' x; echo; sleep 1) | openssl s_client -connect 127.0.0.1:%d -CAfile %s`, port, cert))
	var rows []coverage
	find := func(subject, name, state string) *coverage {
		for i := range rows {
			if r := &rows[i]; r.Subject == subject && r.Name == name && r.State == state {
				return r
			}
		}
		return nil
	}
	require.Eventually(t, func() bool {
		rows = c.coverage(t, "")
		return find("process", "curl", "seen") != nil && find("process", "nginx", "seen") != nil &&
			find("process", "openssl", "not_seen") != nil
	}, testkit.Patience, 100*time.Millisecond, "%v", &rows)
	require.Equal(t, "/usr/bin/curl", find("process", "curl", "seen").Executable)
	require.Equal(t, "unknown_protocol", find("process", "openssl", "not_seen").Reason)
	require.NotNil(t, find("feature", "CAP_BPF", "supported"))
	require.NotNil(t, find("feature", "kernel BTF", "supported"))
	libraries := 0
	for _, r := range rows {
		if r.Subject == "library" && strings.Contains(r.Name, "libcrypto.so.3") {
			libraries++
		}
		if r.State == "missing" || r.State == "not_seen" {
			require.NotEmpty(t, r.Advice, "%+v", r)
		}
	}
	t.Logf("%d rows, %d of libcrypto", len(rows), libraries)
	for _, r := range c.coverage(t, "?subject=feature") {
		require.Equal(t, "feature", r.Subject)
	}
	c.requireConserved(t)
	require.Zero(t, c.stop().ExitCode())
}

// TestRules drives requests through a rules file and then changes it under the running collector.
func TestRules(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	write := func(text string) {
		require.NoError(t, os.WriteFile(file+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
	write(`rules:
  - match: url.path == "/empty"
    level: connections
  - match: direction == "ingress" and url.path == "/missing"
    level: none
  - match: url.path == "/page.bin"
    level: headers
  - match: url.path == "/small.bin" and http.response.status_code == 200 and cidr(network.peer.address, "127.0.0.0/8")
    max_body_size: 100
  - match: http.request.method == "POST"
    sample_rate: 0
  - match: url.path startsWith "/sampled"
    sample_rate: 0.5
`)
	c := startCollector(t, "receivers::qtap::rules_file: "+file)
	nginx := startNginx(t, c.cgroup)
	page := pattern(5000)
	for _, name := range []string{"page.bin", "small.bin", "plain.bin"} {
		require.NoError(t, os.WriteFile(filepath.Join(nginx.dir, name), page, 0o644))
	}
	since := time.Now()
	get := func(path string, args ...string) {
		c.cgroup.run(t, "curl", append(args, "-sS", "--cacert", nginx.cert, "-o", "/dev/null", nginx.url("https", path))...)
	}
	get("/empty")
	get("/missing")
	get("/page.bin")
	get("/small.bin")
	get("/proxied", "--data-binary", "secret-body")
	const sampled = 30
	for i := range sampled {
		get(fmt.Sprintf("/sampled%d", i))
	}
	get("/plain.bin")

	client, server := c.pair(t, since, "GET", "/plain.bin")
	for _, row := range []request{client, server} {
		require.Equal(t, page, c.payload(t, row).responseBody(t), "what no rule matches is kept whole")
	}
	client, server = c.pair(t, since, "GET", "/page.bin")
	for _, row := range []request{client, server} {
		require.Equal(t, "truncated rule", row.Payload.State+" "+row.Payload.Reason)
		entry := c.payload(t, row)
		require.Empty(t, entry.responseBody(t))
		require.NotEmpty(t, entry.Response.Headers)
	}
	client, server = c.pair(t, since, "GET", "/small.bin")
	for _, row := range []request{client, server} {
		require.Equal(t, "truncated max_body_size", row.Payload.State+" "+row.Payload.Reason)
		require.Equal(t, page[:100], c.payload(t, row).responseBody(t))
		require.EqualValues(t, len(page), row.ResponseBodySize)
	}
	kept, traces := 0, map[string]map[string]string{}
	posts := 0
	for _, row := range c.requests(t, since) {
		require.NotEqual(t, "/empty", row.Path, "no span at level connections")
		switch {
		case row.Path == "/missing":
			require.Equal(t, "client", row.Kind, "the server's end is left out")
		case row.Method == http.MethodPost:
			posts++
			require.Equal(t, "filtered rule", row.Payload.State+" "+row.Payload.Reason)
		case strings.HasPrefix(row.Path, "/sampled"):
			if traces[row.TraceID] == nil {
				traces[row.TraceID] = map[string]string{}
			}
			traces[row.TraceID][row.Kind] = row.Payload.State
			if row.Payload.State != "sampled_out" {
				kept++
			}
		}
	}
	require.GreaterOrEqual(t, posts, 2)
	require.Len(t, traces, sampled)
	for trace, ends := range traces {
		require.Len(t, ends, 2)
		require.Equal(t, ends["client"] == "sampled_out", ends["server"] == "sampled_out", "trace %s: both ends agree", trace)
	}
	require.True(t, kept > 0 && kept < 2*sampled, "%d kept", kept)

	// A file with an error changes nothing; the next good one does, without a restart.
	write("rules: [{match: url.pth == '/plain.bin', level: none}]")
	require.Eventually(t, func() bool { return strings.Contains(c.log.String(), "What was read before stays") }, testkit.Patience, 50*time.Millisecond)
	requireOneLine(t, c.log.String(), file, "rule 1 of `rules`", "pth")
	since = time.Now()
	get("/small.bin")
	client, _ = c.pair(t, since, "GET", "/small.bin")
	require.Equal(t, "max_body_size", client.Payload.Reason)
	write("rules: [{match: 'url.path == \"/small.bin\"', level: none}]")
	require.Eventually(t, func() bool { return strings.Contains(c.log.String(), "File read anew") }, testkit.Patience, 50*time.Millisecond)
	since = time.Now()
	get("/small.bin")
	get("/page.bin")
	client, _ = c.pair(t, since, "GET", "/page.bin")
	require.Equal(t, page, c.payload(t, client).responseBody(t))
	require.Empty(t, c.requestsAt(t, since, "/small.bin"))
	c.requireConserved(t)
	require.Zero(t, c.stop().ExitCode(), "a clean shutdown")
}

// TestDoctor runs the doctor config as root while curl and nginx talk TLS, and as nobody.
func TestDoctor(t *testing.T) {
	config := filepath.Join(root, "distributions/otelcol-qpoint/configs/doctor.yaml")
	t.Run("root", func(t *testing.T) {
		cg := newCgroup(t)
		nginx := startNginx(t, cg)
		cmd := exec.CommandContext(t.Context(), binary(t), "--config", config, "--config", "yaml:receivers::qtap::cgroup: "+cg.path)
		var out, log lockedBuffer
		cmd.Stdout, cmd.Stderr = &out, &log
		require.NoError(t, cmd.Start())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		var err error
		for ended := false; !ended; {
			cg.run(t, "curl", "-sS", "--cacert", nginx.cert, nginx.url("https", "/empty"))
			select {
			case err = <-done:
				ended = true
			case <-time.After(200 * time.Millisecond):
			}
		}
		require.NoError(t, err, "exit code 0\n%s%s", &out, &log)
		requireOneLine(t, out.String(), "ok", "every program was loaded and attached")
		requireOneLine(t, out.String(), "seen", "/usr/bin/curl")
		requireOneLine(t, out.String(), "Result: `qtap` can work here")
		require.Empty(t, strings.TrimSpace(log.String()), "nothing went wrong")
	})
	t.Run("nobody", func(t *testing.T) {
		// The checkout may not be readable to others.
		dir, err := os.MkdirTemp("/tmp", "qpoint-doctor-")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
		require.NoError(t, os.Chmod(dir, 0o755))
		program, err := os.ReadFile(binary(t))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "otelcol"), program, 0o755))
		text, err := os.ReadFile(config)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "doctor.yaml"), text, 0o644))
		cmd := exec.CommandContext(t.Context(), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
			filepath.Join(dir, "otelcol"), "--config", filepath.Join(dir, "doctor.yaml"))
		cmd.Dir = "/"
		var out, log lockedBuffer
		cmd.Stdout, cmd.Stderr = &out, &log
		err = cmd.Run()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, "%s%s", &out, &log)
		require.Equal(t, 1, exit.ExitCode())
		for _, name := range []string{"CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"} {
			requireOneLine(t, out.String(), "MISSING", name, "run as root or grant it")
		}
		requireOneLine(t, out.String(), "ok", "kernel BTF")
		requireOneLine(t, out.String(), "Result: `qtap` cannot work here")
		requireOneLine(t, log.String(), "what is missing: CAP_BPF")
	})
}
