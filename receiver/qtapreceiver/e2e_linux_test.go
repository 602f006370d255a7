// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestE2EPlain(t *testing.T) {
	l := newLab(t, "plain")
	l.start(nil)
	dir, port := t.TempDir(), freePort(t)
	body := randomFile(t, filepath.Join(dir, "file.bin"), 200_000)
	l.serve(port, "python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", dir, strconv.Itoa(port))
	url := fmt.Sprintf("http://127.0.0.1:%d/file.bin?q=1", port)
	require.Equal(t, body, l.run("curl", "-s", url))
	l.verify("/file.bin", body, "curl", "python", "http", url)
	l.stop()
}

// selfSigned writes a certificate and its key into dir.
func selfSigned(t *testing.T, dir string) {
	t.Helper()
	openssl, err := exec.LookPath("openssl")
	need(t, err == nil, "openssl")
	out, err := exec.Command(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
		"-subj", "/CN=lab.test", "-addext", "subjectAltName=DNS:lab.test,IP:127.0.0.1", "-keyout", filepath.Join(dir, "key.pem"), "-out", filepath.Join(dir, "cert.pem")).CombinedOutput()
	require.NoError(t, err, string(out))
}

// nginxConfig writes a configuration with the given directives inside its server block, for a folder of its own, and returns its path.
func nginxConfig(t *testing.T, dir, server string) string {
	t.Helper()
	conf := fmt.Sprintf(`daemon off; user root; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 256; }
http { access_log off; keepalive_requests 1000000;
  client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
  server { root %[1]s; %[2]s } }
`, dir, server)
	path := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.WriteFile(path, []byte(conf), 0o644))
	return path
}

// nginx runs a server with the given directives inside its server block.
func (l *lab) nginx(port int, dir, server string) {
	l.t.Helper()
	l.serve(port, "nginx", "-c", nginxConfig(l.t, dir, server), "-e", filepath.Join(dir, "error.log"))
}

func TestE2ETLS(t *testing.T) {
	for _, c := range []struct{ name, version, cipher string }{
		{"aes256", "1.3", "TLS_AES_256_GCM_SHA384"},
		{"aes128", "1.3", "TLS_AES_128_GCM_SHA256"},
		{"chacha20", "1.3", "TLS_CHACHA20_POLY1305_SHA256"},
		{"tls12", "1.2", ""},
	} {
		t.Run(c.name, func(t *testing.T) { testE2ETLS(t, c.name, c.version, c.cipher) })
	}
}

func testE2ETLS(t *testing.T, name, version, cipher string) {
	l := newLab(t, name)
	dir, port := t.TempDir(), freePort(t)
	body := randomFile(t, filepath.Join(dir, "secret.bin"), 150_000)
	selfSigned(t, dir)
	l.start(nil)
	l.nginx(port, dir, fmt.Sprintf("listen 127.0.0.1:%[1]d ssl; ssl_certificate %[2]s/cert.pem; ssl_certificate_key %[2]s/key.pem; ssl_protocols TLSv%[3]s;", port, dir, version))
	url := fmt.Sprintf("https://lab.test:%d/secret.bin", port)
	args := []string{"-sk", "--http1.1", "--resolve", fmt.Sprintf("lab.test:%d:127.0.0.1", port)}
	if cipher != "" {
		args = append(args, "--tls13-ciphers", cipher)
	}
	got := l.run("curl", append(args, url)...)
	require.Equal(t, sha256.Sum256(body), sha256.Sum256(got))
	l.verify("/secret.bin", body, "curl", "nginx", "https", url)
	c, s := l.spans("/secret.bin")
	for _, x := range []*seen{c, s} {
		require.Equal(t, version, text(x.span.Attributes(), semantic.TLSProtocolVersion))
		require.Contains(t, text(x.span.Attributes(), semantic.TLSCipher), cipher)
		require.Equal(t, "lab.test", text(x.span.Attributes(), semantic.ServerAddress))
	}
	l.stop()
}

func TestE2EDeferredIPv6(t *testing.T) {
	l := newLab(t, "v6")
	l.start(nil)
	dir, port := t.TempDir(), freePort(t)
	body := randomFile(t, filepath.Join(dir, "six"), 300_000)
	// With a deferred accept the request arrives under the listener's cookie.
	l.nginx(port, dir, fmt.Sprintf("listen 127.0.0.1:%[1]d; listen [::1]:%[1]d deferred;", port))
	url := fmt.Sprintf("http://[::1]:%d/six", port)
	require.Equal(t, body, l.run("curl", "-s", "-g", url))
	l.verify("/six", body, "curl", "nginx", "http", url)
	c, _ := l.spans("/six")
	require.Equal(t, "ipv6", text(c.span.Attributes(), semantic.NetworkType))
	l.stop()
}

// TestE2EOwnTraffic asks a server inside the collector's own process: neither end may leave a
// trace, or a page that reads a payload would be captured itself.
func TestE2EOwnTraffic(t *testing.T) {
	l := newLab(t, "own")
	l.start(nil)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "own") }))
	defer srv.Close()
	for range 20 {
		require.Equal(t, "own", string(l.run("curl", "-s", srv.URL+"/own")))
	}
	dir, port := t.TempDir(), freePort(t)
	body := randomFile(t, filepath.Join(dir, "other"), 10)
	l.nginx(port, dir, fmt.Sprintf("listen 127.0.0.1:%d;", port))
	url := fmt.Sprintf("http://127.0.0.1:%d/other", port)
	l.run("curl", "-s", url)
	l.verify("/other", body, "curl", "nginx", "http", url)
	time.Sleep(announceLatest)
	l.stop()
	c, s := l.spans("/own")
	require.Nil(t, c)
	require.Nil(t, s)
	own := strings.TrimPrefix(srv.URL, "http://127.0.0.1:")
	require.Empty(t, l.records(semantic.EventConnection, func(m pcommon.Map) bool {
		return text(m, semantic.NetworkPeerPort) == own || text(m, semantic.NetworkLocalPort) == own
	}))
	require.Zero(t, countPayloads(l, func(m pcommon.Map) bool { return text(m, semantic.PayloadRequestTarget) == "/own" }))
}

// announceLatest is a little more than the engine waits before it speaks of a silent connection.
const announceLatest = 2200 * time.Millisecond

func countPayloads(l *lab, match func(pcommon.Map) bool) (n int) {
	for _, ld := range l.payloads.AllLogs() {
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					if match(lr.Attributes()) {
						n++
					}
				}
			}
		}
	}
	return n
}

// TestE2EEveryRequest counts: so many requests, so many spans at either end, so many payloads.
func TestE2EEveryRequest(t *testing.T) {
	l := newLab(t, "count")
	l.start(func(c *Config, _ *PayloadConfig) { c.ConnectionInterval, c.RingSizeMiB = time.Second, 64 })
	dir, port := t.TempDir(), freePort(t)
	randomFile(t, filepath.Join(dir, "f"), 1000)
	l.nginx(port, dir, fmt.Sprintf("listen 127.0.0.1:%d;", port))
	const clients, each = 8, 500
	var wg sync.WaitGroup
	for i := range clients {
		cmd := l.command("curl", "-s", "-o", "/dev/null", fmt.Sprintf("http://127.0.0.1:%d/f?c=%d&n=[1-%d]", port, i, each))
		wg.Go(func() {
			if err := cmd.Run(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Eventually(t, func() bool { return l.traces.SpanCount() >= 2*clients*each }, testkit.Patience, 50*time.Millisecond,
		"%d spans", l.traces.SpanCount())
	l.stop()
	require.Equal(t, 2*clients*each, l.traces.SpanCount())
	require.Equal(t, 2*clients*each, l.payloads.LogRecordCount())
	ids := map[pcommon.SpanID]bool{}
	traces := map[pcommon.TraceID]int{}
	for _, td := range l.traces.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			for _, s := range rs.ScopeSpans().At(0).Spans().All() {
				ids[s.SpanID()] = true
				traces[s.TraceID()]++
			}
		}
	}
	require.Len(t, ids, 2*clients*each)
	require.Len(t, traces, clients*each, "both ends of each exchange are one trace")
	t.Log(l.slot.tap.engine.Stats().Stages)
}

// keepAlive is a client that asks once per line of its input, on one connection.
const keepAlive = `
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for line in sys.stdin:
    c.request("GET", line.strip())
    print(len(c.getresponse().read()), flush=True)
`

// TestE2ELongConnection joins a connection that was open before, and follows it to its end.
func TestE2ELongConnection(t *testing.T) {
	l := newLab(t, "long")
	dir, port := t.TempDir(), freePort(t)
	randomFile(t, filepath.Join(dir, "before"), 1000)
	randomFile(t, filepath.Join(dir, "waits"), 1000)
	body := randomFile(t, filepath.Join(dir, "after"), 2000)
	l.nginx(port, dir, fmt.Sprintf("listen 127.0.0.1:%d;", port))
	cmd := l.command("python3", "-c", keepAlive, strconv.Itoa(port))
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	answers := bufio.NewScanner(out)
	ask := func(path string) string {
		fmt.Fprintln(in, path)
		require.True(t, answers.Scan())
		return answers.Text()
	}
	require.Equal(t, "1000", ask("/before"))
	l.start(func(c *Config, _ *PayloadConfig) { c.ConnectionInterval = time.Second })
	time.Sleep(500 * time.Millisecond) // the first scan of open sockets
	// Whether a response was owed when the capture began is only known when the client's waits have shown it.
	require.Equal(t, "1000", ask("/before?again"))
	known := func() bool {
		c, s := l.spans("/waits")
		return c != nil && s != nil && text(c.span.Attributes(), semantic.HTTPResponseStatusCode) != "" && text(s.span.Attributes(), semantic.HTTPResponseStatusCode) != ""
	}
	for i := 0; i < 60 && !known(); i++ {
		time.Sleep(time.Duration(10+i%2*490) * time.Millisecond)
		require.Equal(t, "1000", ask("/waits"))
	}
	require.Equal(t, "2000", ask("/after"))
	time.Sleep(2500 * time.Millisecond)
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait())
	l.verify("/after", body, "python", "nginx", "http", fmt.Sprintf("http://127.0.0.1:%d/after", port))
	c, _ := l.spans("/before")
	require.NotNil(t, c, "requests are reported all the same")
	_, answered := c.span.Attributes().Get(semantic.HTTPResponseStatusCode)
	require.False(t, answered)
	c, _ = l.spans("/after")
	id := text(c.span.Attributes(), semantic.ConnectionID)
	records := l.records(semantic.EventConnection, func(m pcommon.Map) bool { return text(m, semantic.ConnectionID) == id })
	require.GreaterOrEqual(t, len(records), 4)
	for i, m := range records {
		require.Equal(t, strconv.Itoa(i), text(m, semantic.ConnectionSequence))
		want := "established"
		switch i {
		case 0:
			want = "open"
		case len(records) - 1:
			want = "closed"
		}
		require.Equal(t, want, text(m, semantic.ConnectionState))
		require.Equal(t, "client", text(m, semantic.ConnectionRole))
	}
	last := records[len(records)-1]
	require.Equal(t, "fin", text(last, semantic.ConnectionCloseReason))
	received, _ := last.Get(semantic.ConnectionReceivedBytes)
	require.Greater(t, received.Int(), int64(3000), "the bytes from before are counted by the kernel")
	l.stop()
}

func TestE2ENotVisible(t *testing.T) {
	l := newLab(t, "dark")
	l.start(func(c *Config, _ *PayloadConfig) { c.TLS.Enabled = false })
	dir, port := t.TempDir(), freePort(t)
	randomFile(t, filepath.Join(dir, "x"), 1000)
	selfSigned(t, dir)
	l.nginx(port, dir, fmt.Sprintf("listen 127.0.0.1:%[1]d ssl; ssl_certificate %[2]s/cert.pem; ssl_certificate_key %[2]s/key.pem;", port, dir))
	l.run("curl", "-sk", "--resolve", fmt.Sprintf("lab.test:%d:127.0.0.1", port), fmt.Sprintf("https://lab.test:%d/x", port))
	var closed []pcommon.Map
	require.Eventually(t, func() bool {
		closed = l.records(semantic.EventConnection, func(m pcommon.Map) bool {
			return text(m, semantic.ConnectionState) == "closed" && text(m, semantic.ServerPort) == strconv.Itoa(port)
		})
		return len(closed) == 2
	}, testkit.Patience, 50*time.Millisecond)
	for _, m := range closed {
		require.Equal(t, "not_visible", text(m, semantic.PayloadVisibility))
		require.Equal(t, "no_secret", text(m, semantic.PayloadReason))
		require.Equal(t, "lab.test", text(m, semantic.ServerAddress), "the SNI is in the clear")
		require.NotEmpty(t, text(m, semantic.TLSProtocolVersion))
	}
	l.stop()
	require.Zero(t, l.traces.SpanCount())
	require.Zero(t, l.payloads.LogRecordCount())
}

func TestE2EConnectionsOnly(t *testing.T) {
	l := newLab(t, "meta")
	l.start(func(c *Config, _ *PayloadConfig) { c.Level = LevelConnections })
	dir, port := t.TempDir(), freePort(t)
	randomFile(t, filepath.Join(dir, "x"), 1000)
	l.nginx(port, dir, fmt.Sprintf("listen 127.0.0.1:%d;", port))
	l.run("curl", "-s", fmt.Sprintf("http://127.0.0.1:%d/x", port))
	require.Eventually(t, func() bool {
		return len(l.records(semantic.EventConnection, func(m pcommon.Map) bool {
			sent, _ := m.Get(semantic.ConnectionSentBytes)
			received, _ := m.Get(semantic.ConnectionReceivedBytes)
			return text(m, semantic.ConnectionState) == "closed" && sent.Int()+received.Int() > 1000
		})) == 2
	}, testkit.Patience, 20*time.Millisecond)
	l.stop()
	require.Zero(t, l.traces.SpanCount())
	require.Zero(t, l.payloads.LogRecordCount())
	for _, s := range l.slot.tap.books() {
		if s.Name == "capture" {
			require.Zero(t, s.In, "no payload is copied")
		}
	}
}

// TestE2EShortLived asks who was behind clients that are gone within milliseconds.
func TestE2EShortLived(t *testing.T) {
	l := newLab(t, "short")
	l.start(nil)
	dir, port := t.TempDir(), freePort(t)
	randomFile(t, filepath.Join(dir, "f"), 10)
	l.nginx(port, dir, fmt.Sprintf("listen 127.0.0.1:%d;", port))
	curl, err := exec.LookPath("curl")
	require.NoError(t, err)
	const n = 30
	for range n {
		l.run("curl", "-s", fmt.Sprintf("http://127.0.0.1:%d/f", port))
	}
	require.Eventually(t, func() bool { return l.traces.SpanCount() == 2*n }, testkit.Patience, 20*time.Millisecond)
	l.stop()
	paths := map[string]int{}
	for _, td := range l.traces.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			m := rs.Resource().Attributes()
			if name := text(m, semantic.ProcessExecutableName); name == "curl" {
				paths[text(m, semantic.ProcessExecutablePath)] += rs.ScopeSpans().At(0).Spans().Len()
			}
		}
	}
	t.Log(paths)
	require.Equal(t, n, paths[curl]+paths[""], "every client span names curl")
}
