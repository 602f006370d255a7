// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// npmProgram is a program that an npm package of tests/ brings.
func npmProgram(t *testing.T, path string) string {
	t.Helper()
	exe, err := filepath.Abs(filepath.Join("../../tests/node_modules", path))
	require.NoError(t, err)
	_, err = os.Stat(exe)
	need(t, err == nil, path+" (npm ci in tests)")
	return exe
}

// bunMusl is Bun on musl, as scripts/bun-musl.sh sets it up.
func bunMusl(t *testing.T) string {
	t.Helper()
	exe, err := filepath.Abs("../../_build/bun-musl/run")
	require.NoError(t, err)
	_, err = os.Stat(exe)
	need(t, err == nil, "Bun: make packages-test")
	return exe
}

// chromium prints a page that it loads, and ends.
func (l *lab) chromium(url string, args ...string) string {
	l.t.Helper()
	return string(l.run("chromium", append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--ignore-certificate-errors", "--user-data-dir=" + l.t.TempDir(), "--dump-dom", url,
	}, args...)...))
}

// TestE2EBoringSSL reads Chromium, which is stripped, and Bun, which is also on musl, as client and server by their secrets alone.
func TestE2EBoringSSL(t *testing.T) {
	page := []byte(`<html><head><link rel="icon" href="data:,"></head><body>` + strings.Repeat("boring ", 5000) + `</body></html>`)
	for _, version := range []string{"1.3", "1.2"} {
		t.Run("chromium "+version, func(t *testing.T) {
			l := newLab(t, "chromium-"+version)
			l.start(func(c *Config, _ *PayloadConfig) { c.TLS.DenyProcesses = []string{"nginx"} })
			dir, port := t.TempDir(), freePort(t)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "page.html"), page, 0o644))
			l.nginxTLS(port, dir, "TLSv"+version)
			url := fmt.Sprintf("https://127.0.0.1:%d/page.html", port)
			require.Contains(t, l.chromium(url), "boring boring")
			l.verify("/page.html", page, "chromium", "nginx", "https", url)
			client, _ := l.spans("/page.html")
			require.Equal(t, version, text(client.span.Attributes(), semantic.TLSProtocolVersion))
			l.stop()
		})
	}
	t.Run("bun client", func(t *testing.T) {
		bun := bunMusl(t)
		l := newLab(t, "bun-client")
		l.start(func(c *Config, _ *PayloadConfig) { c.TLS.DenyProcesses = []string{"nginx"} })
		dir, port := t.TempDir(), freePort(t)
		body := randomFile(t, filepath.Join(dir, "file"), 150_000)
		l.nginxTLS(port, dir, "TLSv1.2 TLSv1.3")
		url := fmt.Sprintf("https://127.0.0.1:%d/file", port)
		l.run(bun, "-e", "await Bun.sleep(1000)") // the program has been found by then
		require.Equal(t, body, l.run(bun, "-e", `
const r = await fetch(process.argv[1], {tls: {rejectUnauthorized: false}, headers: {connection: "close"}})
await Bun.write(Bun.stdout, await r.arrayBuffer())`, url))
		l.verify("/file", body, "bun", "nginx", "https", url)
		l.stop()
	})
	t.Run("bun server", func(t *testing.T) {
		bun := bunMusl(t)
		l := newLab(t, "bun-server")
		l.start(func(c *Config, _ *PayloadConfig) { c.TLS.DenyProcesses = []string{"curl"} })
		dir, port := t.TempDir(), freePort(t)
		selfSigned(t, dir)
		server := l.serve(port, bun, "-e", `
const [dir, port] = process.argv.slice(1)
Bun.serve({hostname: "127.0.0.1", port: +port, tls: {key: Bun.file(dir + "/key.pem"), cert: Bun.file(dir + "/cert.pem")},
  fetch: q => new Response(new URL(q.url).pathname.repeat(1000))})`, dir, strconv.Itoa(port))
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", server.Process.Pid))
		require.NoError(t, err)
		require.Contains(t, string(maps), "-linux-musl/libc.so")
		time.Sleep(300 * time.Millisecond) // the program has been found by then
		for _, version := range []string{"1.3", "1.2"} {
			path := "/bun" + version
			url := fmt.Sprintf("https://127.0.0.1:%d%s", port, path)
			body := []byte(strings.Repeat(path, 1000))
			require.Equal(t, body, l.run("curl", "-sk", "--http1.1", "--tls-max", version, url))
			l.verify(path, body, "curl", "bun", "https", url)
			client, _ := l.spans(path)
			require.Equal(t, version, text(client.span.Attributes(), semantic.TLSProtocolVersion))
		}
		l.stop()
	})
}

// verifyNotVisible lets a program ask or be asked until one of its connections says why it was not read. The program may
// have ended before anybody looked at it, on a busy machine: then its connection says only that it was not read.
func (l *lab) verifyNotVisible(exe string, port int, reason string, ask func()) {
	l.t.Helper()
	for range 10 {
		before := len(l.closedBy(exe, port))
		ask()
		require.Eventually(l.t, func() bool { return len(l.closedBy(exe, port)) > before }, testkit.Patience, 50*time.Millisecond, "closing record of %s", exe)
		for _, m := range l.closedBy(exe, port) {
			require.Equal(l.t, "not_visible", text(m, semantic.PayloadVisibility))
			require.Equal(l.t, "1.3", text(m, semantic.TLSProtocolVersion))
			require.NotEmpty(l.t, text(m, semantic.TLSCipher))
			if got := text(m, semantic.PayloadReason); got != "no_secret" {
				require.Equal(l.t, reason, got)
				require.Zero(l.t, l.traces.SpanCount())
				return
			}
		}
	}
	l.t.Fatalf("no connection of %s has the reason %s", exe, reason)
}

// closedBy are the closing records of a program's TLS connections to or from a port.
func (l *lab) closedBy(exe string, port int) (out []pcommon.Map) {
	for _, ld := range l.logs.AllLogs() {
		for _, rl := range ld.ResourceLogs().All() {
			for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
				if m := lr.Attributes(); lr.EventName() == semantic.EventConnection && text(rl.Resource().Attributes(), semantic.ProcessExecutableName) == exe &&
					text(m, semantic.ConnectionState) == "closed" && text(m, semantic.ServerPort) == strconv.Itoa(port) && text(m, semantic.TLSProtocolVersion) != "" {
					out = append(out, m)
				}
			}
		}
	}
	return out
}

// TestE2ERustls says of Deno why it is not read, and reads it by its own key log.
func TestE2ERustls(t *testing.T) {
	deno := npmProgram(t, "@deno/linux-x64-glibc/deno")
	l := newLab(t, "rustls")
	logs, dir, port := t.TempDir(), t.TempDir(), freePort(t)
	l.start(func(c *Config, _ *PayloadConfig) {
		c.TLS.DenyProcesses, c.TLS.KeyLogFiles = []string{"nginx"}, []string{filepath.Join(logs, "*.log")}
	})
	body := randomFile(t, filepath.Join(dir, "file"), 150_000)
	l.nginxTLS(port, dir, "TLSv1.2 TLSv1.3")
	url := fmt.Sprintf("https://127.0.0.1:%d/file", port)
	fetch := func(env ...string) {
		cmd := l.command(deno, "eval", "--unsafely-ignore-certificate-errors=127.0.0.1", `
const r = await fetch(Deno.args[0])
await r.body.pipeTo(Deno.stdout.writable)`, url)
		cmd.Env = append(append(os.Environ(), "DENO_DIR="+t.TempDir(), "DENO_NO_UPDATE_CHECK=1"), env...)
		out, err := cmd.Output()
		require.NoError(t, err)
		require.Equal(t, body, out)
	}
	l.verifyNotVisible("deno", port, "no_secret_rustls", func() { fetch() })
	fetch("SSLKEYLOGFILE=" + filepath.Join(logs, "deno.log"))
	l.verify("/file", body, "deno", "nginx", "https", url)
	l.stop()
}

// TestE2ENSS says of NSS's own client and server why they are not read.
func TestE2ENSS(t *testing.T) {
	for _, program := range []string{"tstclnt", "selfserv", "certutil", "pk12util"} {
		_, err := exec.LookPath(program)
		need(t, err == nil, program)
	}
	t.Run("client", func(t *testing.T) {
		l := newLab(t, "nss-client")
		l.start(func(c *Config, _ *PayloadConfig) { c.TLS.DenyProcesses = []string{"nginx"} })
		dir, port := t.TempDir(), freePort(t)
		randomFile(t, filepath.Join(dir, "file"), 1000)
		l.nginxTLS(port, dir, "TLSv1.3")
		request := filepath.Join(t.TempDir(), "request")
		require.NoError(t, os.WriteFile(request, []byte("GET /file HTTP/1.0\r\n\r\n"), 0o644))
		l.verifyNotVisible("tstclnt", port, "no_secret_nss", func() {
			require.Contains(t, string(l.run("tstclnt", "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-D", "-o", "-A", request)), "200 OK")
		})
		l.stop()
	})
	t.Run("server", func(t *testing.T) {
		l := newLab(t, "nss-server")
		l.start(func(c *Config, _ *PayloadConfig) { c.TLS.DenyProcesses = []string{"curl"} })
		dir, port := t.TempDir(), freePort(t)
		keyStore(t, dir)
		for _, args := range [][]string{
			{"certutil", "-N", "-d", "sql:" + dir, "--empty-password"},
			{"pk12util", "-i", filepath.Join(dir, "store.p12"), "-d", "sql:" + dir, "-W", "secret", "-K", ""},
		} {
			out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
			require.NoError(t, err, string(out))
		}
		l.serve(port, "selfserv", "-d", "sql:"+dir, "-n", "lab", "-p", strconv.Itoa(port))
		l.verifyNotVisible("selfserv", port, "no_secret_nss", func() {
			require.Contains(t, string(l.run("curl", "-sk", "--http0.9", fmt.Sprintf("https://127.0.0.1:%d/file", port))), "GET /file")
		})
		l.stop()
	})
}

// keyStore makes a certificate in a folder, also as a file with both it and its key, under the password "secret".
func keyStore(t *testing.T, dir string) {
	t.Helper()
	selfSigned(t, dir)
	out, err := exec.Command("openssl", "pkcs12", "-export", "-in", filepath.Join(dir, "cert.pem"), "-inkey", filepath.Join(dir, "key.pem"),
		"-out", filepath.Join(dir, "store.p12"), "-passout", "pass:secret", "-name", "lab").CombinedOutput()
	require.NoError(t, err, string(out))
}

// TestE2EJava says of Java's own TLS why it is not read, at both ends, and reads it by the key log that an agent writes
// which is not ours.
func TestE2EJava(t *testing.T) {
	for _, program := range []string{"java", "javac", "jar"} {
		_, err := exec.LookPath(program)
		need(t, err == nil, program)
	}
	const asm = "java.base/jdk.internal.org.objectweb.asm=ALL-UNNAMED" // what the agent changes classes with
	classes := t.TempDir()
	agent, manifest := filepath.Join(classes, "agent.jar"), filepath.Join(classes, "manifest")
	require.NoError(t, os.WriteFile(manifest, []byte("Premain-Class: KeyLog\n"), 0o644))
	sources, err := filepath.Glob("testdata/javatls/*.java")
	require.NoError(t, err)
	for _, args := range [][]string{
		append([]string{"javac", "--add-exports", asm, "-d", classes}, sources...),
		{"jar", "cfm", agent, manifest, "-C", classes, "."},
	} {
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		require.NoError(t, err, string(out))
	}

	l := newLab(t, "java")
	logs, dir, port := t.TempDir(), t.TempDir(), freePort(t)
	l.start(func(c *Config, _ *PayloadConfig) { c.TLS.KeyLogFiles = []string{filepath.Join(logs, "*.log")} })
	keyStore(t, dir)
	l.serve(port, "java", "-cp", classes, "Serve", filepath.Join(dir, "store.p12"), strconv.Itoa(port))
	ask := func(path string, flags ...string) string {
		url := fmt.Sprintf("https://127.0.0.1:%d%s", port, path)
		require.Equal(t, strings.Repeat(path, 1000), string(l.run("java", append(flags, "-cp", classes, "Ask", url)...)))
		return url
	}
	l.verifyNotVisible("java", port, "no_secret_java", func() { ask("/dark") })
	url := ask("/light", "--add-exports", asm, "-javaagent:"+agent+"="+filepath.Join(logs, "java.log"))
	l.verify("/light", []byte(strings.Repeat("/light", 1000)), "java", "java", "https", url)
	l.stop()
}
