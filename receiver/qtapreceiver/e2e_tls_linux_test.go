// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// goTLS builds testdata/gotls and returns its path.
func goTLS(t *testing.T, args ...string) string {
	t.Helper()
	return buildTool(t, "testdata/gotls", args...)
}

// buildTool builds a program of testdata.
func buildTool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), filepath.Base(dir))
	cmd := exec.Command("go", append(append([]string{"build", "-o", out}, args...), ".")...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	b, err := cmd.CombinedOutput()
	require.NoError(t, err, string(b))
	return out
}

// nginxTLS serves dir over https, with versions of TLS as nginx names them.
func (l *lab) nginxTLS(port int, dir, protocols string) {
	l.t.Helper()
	selfSigned(l.t, dir)
	l.nginx(port, dir, fmt.Sprintf("listen 127.0.0.1:%[1]d ssl; ssl_certificate %[2]s/cert.pem; ssl_certificate_key %[2]s/key.pem; ssl_protocols %[3]s;", port, dir, protocols))
}

// TestE2EGo reads Go programs at both ends: with and without symbols, relocated, with TLS 1.3
// and 1.2 and with client certificates.
func TestE2EGo(t *testing.T) {
	for _, c := range []struct {
		name  string
		build []string
		flags []string
		tls   string
	}{
		{"plain", nil, nil, "1.3"},
		{"stripped", []string{"-ldflags=-s -w"}, []string{"-mutual"}, "1.3"},
		{"pie", []string{"-buildmode=pie", "-ldflags=-s -w"}, []string{"-tls12", "-mutual"}, "1.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, "go-"+c.name)
			exe, dir, port := goTLS(t, c.build...), t.TempDir(), freePort(t)
			selfSigned(t, dir)
			flags := append([]string{"-cert", filepath.Join(dir, "cert.pem"), "-key", filepath.Join(dir, "key.pem")}, c.flags...)
			l.start(nil)
			addr := fmt.Sprintf("127.0.0.1:%d", port)
			l.serve(port, exe, append(flags, "-listen", addr)...)
			l.found(exe)
			url := "https://" + addr + "/marker"
			body := []byte(strings.Repeat("/marker", 3))
			require.Equal(t, body, l.run(exe, append(flags, url)...))
			l.verify("/marker", body, "gotls", "gotls", "https", url)
			client, _ := l.spans("/marker")
			require.Equal(t, c.tls, text(client.span.Attributes(), semantic.TLSProtocolVersion))
			l.stop()
		})
	}
}

// TestE2EGnuTLS reads wget and git, which use GnuTLS, by their secrets alone: the server's are not read.
func TestE2EGnuTLS(t *testing.T) {
	l := newLab(t, "gnutls")
	l.start(func(c *Config, _ *PayloadConfig) { c.TLS.DenyProcesses = []string{"nginx"} })
	dir, port := t.TempDir(), freePort(t)
	body := randomFile(t, filepath.Join(dir, "file"), 150_000)
	git := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"}, args...)...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	git("init", "-q")
	git("add", "file")
	git("commit", "-qm", "x")
	git("update-server-info")
	l.nginxTLS(port, dir, "TLSv1.2 TLSv1.3")
	base := fmt.Sprintf("https://127.0.0.1:%d", port)
	require.Equal(t, body, l.run("wget", "-q", "--no-check-certificate", "-O", "-", base+"/file"))
	l.verify("/file", body, "wget", "nginx", "https", base+"/file")

	clone := filepath.Join(t.TempDir(), "clone")
	l.run("git", "-c", "http.sslVerify=false", "clone", "-q", base+"/.git", clone)
	got, err := os.ReadFile(filepath.Join(clone, "file"))
	require.NoError(t, err)
	require.Equal(t, body, got)
	require.Eventually(t, func() bool {
		client, server := l.spans("/.git/HEAD")
		return client != nil && server != nil && strings.HasPrefix(text(client.res, semantic.ProcessExecutableName), "git-remote-http")
	}, testkit.Patience, 20*time.Millisecond)
	l.stop()
}

// TestE2EKeyLogFile reads by key logs alone, which come later than what they decrypt.
func TestE2EKeyLogFile(t *testing.T) {
	for _, version := range []string{"1.2", "1.3"} {
		t.Run(version, func(t *testing.T) {
			l := newLab(t, "keylog-"+version)
			logs, dir, port := t.TempDir(), t.TempDir(), freePort(t)
			l.start(func(c *Config, _ *PayloadConfig) {
				c.TLS.Enabled, c.TLS.KeyLogFiles = false, []string{filepath.Join(logs, "*.log")}
			})
			body := randomFile(t, filepath.Join(dir, "file"), 150_000)
			l.nginxTLS(port, dir, "TLSv"+version)
			url := fmt.Sprintf("https://127.0.0.1:%d/file", port)
			cmd := l.command("curl", "-sk", "--http1.1", url)
			cmd.Env = append(os.Environ(), "SSLKEYLOGFILE="+filepath.Join(logs, "curl.log"))
			got, err := cmd.Output()
			require.NoError(t, err)
			require.True(t, bytes.Equal(body, got))
			l.verify("/file", body, "curl", "nginx", "https", url)
			l.stop()
		})
	}
}

// nodeServer answers with the path and the client's port; nodeClient asks on connections of its own
// and checks both.
const (
	nodeServer = `
const fs = require("fs"), [dir, port] = process.argv.slice(1)
require("https").createServer({key: fs.readFileSync(dir + "/key.pem"), cert: fs.readFileSync(dir + "/cert.pem")},
  (q, r) => r.end(JSON.stringify({path: q.url, port: q.socket.remotePort}))).listen(+port, "127.0.0.1", 1024)`
	nodeClient = `
process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0"
process.removeAllListeners("warning")
const https = require("https"), [port, conns, requests] = process.argv.slice(1).map(Number)
let open = conns
for (let c = 0; c < conns; c++) {
  const agent = new https.Agent({keepAlive: true, maxSockets: 1})
  const ask = n => {
    if (n == requests) { agent.destroy(); if (--open == 0) process.exit(0); return }
    const q = https.get({host: "127.0.0.1", port, path: "/node/" + c + "-" + n, agent}, r => {
      let b = ""
      r.on("data", d => b += d)
      r.on("end", () => {
        const a = JSON.parse(b)
        if (a.path != "/node/" + c + "-" + n || a.port != q.socket.localPort) process.exit(1)
        ask(n + 1)
      })
    })
  }
  ask(0)
}`
)

// TestE2EManyNode reads 150 connections at once between node programs, whose TLS is far from its
// sockets: every exchange must be on the connection that its own answer names.
func TestE2EManyNode(t *testing.T) {
	const conns, requests = 150, 5
	l := newLab(t, "node")
	l.start(func(c *Config, _ *PayloadConfig) { c.RingSizeMiB = 64 })
	dir, port := t.TempDir(), freePort(t)
	selfSigned(t, dir)
	l.serve(port, "node", "-e", nodeServer, dir, strconv.Itoa(port))
	l.run("node", "-e", nodeClient, strconv.Itoa(port), strconv.Itoa(conns), strconv.Itoa(requests))
	require.Eventually(t, func() bool { return l.traces.SpanCount() >= 2*conns*requests }, testkit.Patience, 50*time.Millisecond, "%d spans", l.traces.SpanCount())
	time.Sleep(time.Second)
	l.stop()
	require.Equal(t, 2*conns*requests, l.traces.SpanCount())
	l.verifyMarkers("/node/", func(path, clientPort string) string {
		return fmt.Sprintf(`{"path":%q,"port":%s}`, path, clientPort)
	})
}

// verifyMarkers checks that the body of each exchange is what want says of its path and client port.
func (l *lab) verifyMarkers(prefix string, want func(path, clientPort string) string) {
	l.t.Helper()
	seen := map[string]int{}
	for _, td := range l.traces.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			for _, s := range rs.ScopeSpans().At(0).Spans().All() {
				path := text(s.Attributes(), semantic.URLPath)
				if !strings.HasPrefix(path, prefix) {
					continue
				}
				port := text(s.Attributes(), semantic.NetworkLocalPort)
				if s.Kind() == ptrace.SpanKindServer {
					port = text(s.Attributes(), semantic.NetworkPeerPort)
				}
				lr, _, ok := l.payload(s.SpanID())
				require.True(l.t, ok, "payload of %s", path)
				body, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
				require.Equal(l.t, want(path, port), string(body.Bytes().AsRaw()))
				seen[path]++
			}
		}
	}
	require.NotEmpty(l.t, seen)
	for path, n := range seen {
		require.Equal(l.t, 2, n, path)
	}
}
