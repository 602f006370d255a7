// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shown is a block of commands on a page, and the output that the page shows after it: "" if none.
type shown struct{ command, output string }

// commands returns the blocks of commands of a page.
func commands(t *testing.T, page string) (out []shown) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		switch {
		case m[1] == "sh":
			out = append(out, shown{command: strings.TrimSpace(m[2])})
		case m[1] == "text" && len(out) > 0 && out[len(out)-1].output == "":
			out[len(out)-1].output = strings.TrimSpace(m[2])
		}
	}
	return out
}

// find returns the block that begins so.
func find(t *testing.T, blocks []shown, begin string) shown {
	t.Helper()
	for _, b := range blocks {
		if strings.HasPrefix(b.command, begin) {
			return b
		}
	}
	require.Fail(t, "no such block", "%s", begin)
	return shown{}
}

// matches makes a pattern of what a page shows: … stands for what differs from run to run, and lines are broken for the eye.
func (s shown) matches() *regexp.Regexp {
	var parts []string
	for _, part := range strings.Split(strings.ReplaceAll(s.output, "\n", ""), "…") {
		parts = append(parts, regexp.QuoteMeta(strings.TrimSpace(part)))
	}
	return regexp.MustCompile("(?s)" + strings.Join(parts, ".*"))
}

// TestReadmePage does what README.md tells a new user to, with the commands as they stand there, and then what docs/operate.md says of
// backups. example.com is a server of the test's.
func TestReadmePage(t *testing.T) {
	if inOwnNamespace(t, *canaries) {
		return
	}
	readme, operate, api := commands(t, "README.md"), commands(t, "docs/operate.md"), commands(t, "extension/pulseapiextension/README.md")
	dir, err := os.MkdirTemp("/tmp", "qpoint-readme-") // the embedded store's own user has to reach it
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	group := newCgroup(t)
	home := exampleCom(t, dir)
	say := func(command string) (string, error) {
		cmd := group.command(t.Context(), "bash", "-euo", "pipefail", "-c", command)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CURL_HOME="+home)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}

	run := find(t, readme, "make run")
	demo := makeRun(t, group, dir, run.command)
	require.Eventually(t, func() bool { return run.matches().MatchString(demo.String()) }, 90*time.Second, 50*time.Millisecond, "%s does not print what README.md shows:\n%s", run.command, demo)
	require.Eventually(t, func() bool { return strings.Contains(demo.String(), "Everything is ready") }, 90*time.Second, 50*time.Millisecond, "%s", demo)

	out, err := say(find(t, readme, "curl https://example.com/").command)
	require.NoError(t, err, out)
	ask := find(t, readme, "curl -s")
	require.NotEmpty(t, ask.output, "README.md shows the answer")
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		out, err := say(ask.command)
		require.NoError(c, err, out)
		require.Regexp(c, ask.matches(), out)
	}, 60*time.Second, 200*time.Millisecond)
	before, err := say(ask.command)
	require.NoError(t, err)
	for _, begin := range []string{`curl -H "Authorization: Bearer $(cat`, `curl -H "Authorization: Bearer $TOKEN" -G`} {
		out, err := say("export TOKEN=$(cat data/token); " + find(t, api, begin).command)
		require.NoError(t, err, out)
		require.Contains(t, out, `"requests":[`, begin)
	}
	// Names without a suffix, as docs/operate.md and the alerts have them.
	out, err = say("curl -s http://127.0.0.1:8888/metrics")
	require.NoError(t, err)
	for _, name := range []string{"otelcol_receiver_qtap_stage_in", "otelcol_exporter_pulse_rows", "otelcol_exporter_queue_size", "otelcol_exporter_sent_spans"} {
		require.Contains(t, out, "\n"+name+"{", "as it is written on pages")
	}
	demo.interrupt(t)

	out, err = say(find(t, operate, "tar --xattrs -c").command)
	require.NoError(t, err, out)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "data")))
	out, err = say(find(t, operate, "tar --xattrs -x").command)
	require.NoError(t, err, out)
	demo = makeRun(t, group, dir, run.command)
	require.Eventually(t, func() bool { return strings.Contains(demo.String(), "Everything is ready") }, 90*time.Second, 50*time.Millisecond, "%s", demo)
	after, err := say(ask.command)
	require.NoError(t, err)
	require.Equal(t, before, after, "the row of before is in the restored store")
	demo.interrupt(t)
}

// TestValidate: the binary takes every configuration that is shipped, as docs/configure.md says to check one. kubernetes.yaml goes over pulse.yaml.
func TestValidate(t *testing.T) {
	configs := filepath.Join(root, "distributions/otelcol-qpoint/configs")
	files, err := os.ReadDir(configs)
	require.NoError(t, err)
	for _, f := range files {
		if f.IsDir() { // recipes_test.go runs the recipes
			continue
		}
		args := []string{"validate"}
		if f.Name() == "kubernetes.yaml" {
			args = append(args, "--config", filepath.Join(configs, "pulse.yaml"))
		}
		args = append(args, "--config", filepath.Join(configs, f.Name()))
		cmd := exec.CommandContext(t.Context(), binary(t), args...)
		cmd.Env = append(os.Environ(), "PULSE_ENDPOINT=localhost:4317", "S3_BUCKET=payloads", "QPOINT_DATA_DIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", f.Name(), out)
	}
	cmd := exec.CommandContext(t.Context(), binary(t), "validate", "--config", "yaml:{receivers: {qtap: {colour: blue}}, exporters: {debug: }, service: {pipelines: {logs: {receivers: [qtap], exporters: [debug]}}}}")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "colour", "what is wrong is named")
}

// exampleCom serves https://example.com/ on loopback, and returns the folder of a .curlrc that leads there.
func exampleCom(t *testing.T, dir string) (home string) {
	t.Helper()
	cert, key := certificate(t, func(c *x509.Certificate) { c.DNSNames = []string{"example.com"} })
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:443", &tls.Config{Certificates: []tls.Certificate{pair}}) // in a network namespace of the test's
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<h1>Example Domain</h1>\n")
	}), ReadHeaderTimeout: time.Minute, BaseContext: func(net.Listener) context.Context { return t.Context() }}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	home = filepath.Join(dir, "home")
	require.NoError(t, os.Mkdir(home, 0o755))
	curlrc := fmt.Sprintf("resolve = \"example.com:443:127.0.0.1\"\ncacert = \"%s\"\n", cert)
	require.NoError(t, os.WriteFile(filepath.Join(home, ".curlrc"), []byte(curlrc), 0o644))
	return home
}

// terminal is `make run` in a terminal.
type terminal struct {
	lockedBuffer
	cmd   *exec.Cmd
	ended bool
}

// makeRun starts it with the binary that is there, scoped to a cgroup, with its data in dir.
func makeRun(t *testing.T, group *cgroup, dir, command string) *terminal {
	t.Helper()
	scope := filepath.Join(dir, "scope.yaml")
	require.NoError(t, os.WriteFile(scope, []byte("receivers: {qtap: {cgroup: "+group.path+"}}\n"), 0o644))
	// A link that is younger than every source (make -L): the binary that is there is run, and none is built in the test.
	link := filepath.Join(dir, "otelcol-qpoint")
	_ = os.Remove(link)
	require.NoError(t, os.Symlink(binary(t), link))
	term := &terminal{cmd: group.command(context.Background(), "bash", "-c", command)}
	term.cmd.Dir = root
	term.cmd.Env = append(os.Environ(), "QPOINT_DATA_DIR="+filepath.Join(dir, "data"),
		"MAKEFLAGS=L -- BINARY="+link+` CONFIG=distributions/otelcol-qpoint/configs/demo.yaml\ --config\ `+scope)
	term.cmd.SysProcAttr.Setpgid = true // as a shell does
	term.cmd.Stdout, term.cmd.Stderr = &term.lockedBuffer, &term.lockedBuffer
	require.NoError(t, term.cmd.Start())
	t.Cleanup(func() {
		if !term.ended {
			_ = syscall.Kill(-term.cmd.Process.Pid, syscall.SIGKILL)
			_ = term.cmd.Wait()
			t.Logf("%s:\n%s", command, tail(term.String(), 60))
		}
	})
	return term
}

// interrupt is Ctrl-C.
func (term *terminal) interrupt(t *testing.T) {
	t.Helper()
	require.NoError(t, syscall.Kill(-term.cmd.Process.Pid, syscall.SIGINT))
	_ = term.cmd.Wait() // make says that it was interrupted
	term.ended = true
	require.Contains(t, term.String(), "Shutdown complete", "Ctrl-C ends the collector in order")
}
