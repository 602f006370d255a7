// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// Clients take a URL's port and path and a version of TLS, and print the body. Servers take a folder with a
// certificate, a port and a version, and answer with the path, a thousand times. asyncio and node do TLS in memory,
// far from their sockets.
const (
	askSClient = `printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' $2 $1 | exec openssl s_client -quiet -tls$(echo $3 | tr . _) -connect 127.0.0.1:$1 2>/dev/null | sed '1,/^\r$/d'`
	askHTTP    = `
import http.client, ssl, sys
port, path, version = sys.argv[1:]
c = ssl._create_unverified_context()
c.minimum_version = c.maximum_version = ssl.TLSVersion["TLSv" + version.replace(".", "_")]
h = http.client.HTTPSConnection("127.0.0.1", int(port), context=c)
h.request("GET", path, headers={"Connection": "close"})
sys.stdout.buffer.write(h.getresponse().read())`
	askAsyncio = `
import asyncio, ssl, sys
port, path, version = sys.argv[1:]
async def main():
    c = ssl._create_unverified_context()
    c.minimum_version = c.maximum_version = ssl.TLSVersion["TLSv" + version.replace(".", "_")]
    r, w = await asyncio.open_connection("127.0.0.1", int(port), ssl=c)
    w.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
    sys.stdout.buffer.write((await r.read(-1)).split(b"\r\n\r\n", 1)[1])
asyncio.run(main())`
	askFetch = `
const [port, path, version] = process.argv.slice(1)
process.removeAllListeners("warning")
process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0"
require("tls").DEFAULT_MIN_VERSION = require("tls").DEFAULT_MAX_VERSION = "TLSv" + version
fetch("https://127.0.0.1:" + port + path).then(r => r.arrayBuffer()).then(b => process.stdout.write(new Uint8Array(b), () => process.exit(0)))`

	serveHTTP = `
import http.server, ssl, sys
folder, port, version = sys.argv[1:]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.path.encode() * 1000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
c.minimum_version = c.maximum_version = ssl.TLSVersion["TLSv" + version.replace(".", "_")]
c.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
s = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
s.socket = c.wrap_socket(s.socket, server_side=True)
s.serve_forever()`
	serveAsyncio = `
import asyncio, ssl, sys
folder, port, version = sys.argv[1:]
async def answer(r, w):
    body = (await r.readuntil(b"\r\n\r\n")).split()[1] * 1000
    w.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await w.drain()
    w.close()
async def main():
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.minimum_version = c.maximum_version = ssl.TLSVersion["TLSv" + version.replace(".", "_")]
    c.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
    await (await asyncio.start_server(answer, "127.0.0.1", int(port), ssl=c)).serve_forever()
asyncio.run(main())`
	serveNode = `
const fs = require("fs"), [dir, port, version] = process.argv.slice(1), v = "TLSv" + version
require("https").createServer({key: fs.readFileSync(dir + "/key.pem"), cert: fs.readFileSync(dir + "/cert.pem"), minVersion: v, maxVersion: v},
  (q, r) => r.end(q.url.repeat(1000))).listen(+port, "127.0.0.1")`
)

// TestE2EOpenSSLPrograms reads programs that use OpenSSL, each by its own secrets alone: as clients those of a server
// that is on the deny-list, as servers those of a client that is.
func TestE2EOpenSSLPrograms(t *testing.T) {
	t.Run("clients", func(t *testing.T) {
		l := newLab(t, "clients")
		l.start(func(c *Config, _ *PayloadConfig) { c.TLS.DenyProcesses = []string{"nginx"} })
		dir, port := t.TempDir(), freePort(t)
		body := randomFile(t, filepath.Join(dir, "file"), 150_000)
		l.nginxTLS(port, dir, "TLSv1.2 TLSv1.3")
		for _, c := range []struct {
			exe  string
			args []string
		}{
			{"openssl", []string{"sh", "-c", askSClient, "sh"}},
			{"curl", []string{"sh", "-c", `exec curl -sSk --http1.1 --tls-max $3 https://127.0.0.1:$1$2`, "sh"}},
			{"python3", []string{"python3", "-c", askHTTP}},
			{"python3", []string{"python3", "-c", askAsyncio}},
			{"node", []string{"node", "-e", askFetch}},
		} {
			for _, version := range []string{"1.2", "1.3"} {
				path := fmt.Sprintf("/%s-%d-%s", c.exe, len(c.args[2]), version)
				require.NoError(t, os.Link(filepath.Join(dir, "file"), filepath.Join(dir, path)))
				require.Equal(t, body, l.run(c.args[0], append(c.args[1:len(c.args):len(c.args)], strconv.Itoa(port), path, version)...), path)
				l.verify(path, body, c.exe, "nginx", "https", fmt.Sprintf("https://127.0.0.1:%d%s", port, path))
				client, _ := l.spans(path)
				require.Equal(t, version, text(client.span.Attributes(), semantic.TLSProtocolVersion))
			}
		}
		l.stop()
	})
	t.Run("servers", func(t *testing.T) {
		l := newLab(t, "servers")
		l.start(func(c *Config, _ *PayloadConfig) { c.TLS.DenyProcesses = []string{"curl"} })
		dir := t.TempDir()
		selfSigned(t, dir)
		for _, c := range []struct {
			exe  string
			args []string
		}{
			{"openssl", []string{"sh", "-c", `cd $1; exec openssl s_server -quiet -WWW -cert cert.pem -key key.pem -accept 127.0.0.1:$2 -tls$(echo $3 | tr . _)`, "sh"}},
			{"python3", []string{"python3", "-c", serveHTTP}},
			{"python3", []string{"python3", "-c", serveAsyncio}},
			{"node", []string{"node", "-e", serveNode}},
		} {
			for _, version := range []string{"1.2", "1.3"} {
				port, path := freePort(t), fmt.Sprintf("/%s-%d-%s", c.exe, len(c.args[2]), version)
				body := []byte(strings.Repeat(path, 1000))
				require.NoError(t, os.WriteFile(filepath.Join(dir, path), body, 0o644)) // for openssl
				l.background(l.command(c.args[0], append(c.args[1:len(c.args):len(c.args)], dir, strconv.Itoa(port), version)...), port)
				url := fmt.Sprintf("https://127.0.0.1:%d%s", port, path)
				require.Equal(t, body, l.run("curl", "-sSk", "--http1.1", url), path)
				l.verify(path, body, "curl", c.exe, "https", url)
				client, _ := l.spans(path)
				require.Equal(t, version, text(client.span.Attributes(), semantic.TLSProtocolVersion))
			}
		}
		l.stop()
	})
}

// TestE2EOpenSSLInside reads a program that has OpenSSL and musl linked into it and exports nothing, also stripped.
func TestE2EOpenSSLInside(t *testing.T) {
	sentry := npmProgram(t, "@sentry/cli-linux-x64/bin/sentry-cli")
	l := newLab(t, "inside")
	l.start(func(c *Config, _ *PayloadConfig) { c.TLS.DenyProcesses = []string{"nginx"} })
	dir, home := t.TempDir(), t.TempDir()
	body := []byte(`{"version": "0", "user": null, "auth": null}`)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "api/0"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "api/0/index.html"), body, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(home, ".sentryclirc"), []byte("[http]\nverify_ssl=false\n"), 0o644))
	stripped := filepath.Join(t.TempDir(), "stripped")
	withoutSymbols(t, sentry, stripped)
	ask := func(exe string, port int) {
		cmd := l.command(exe, "--url", fmt.Sprintf("https://127.0.0.1:%d/", port), "--auth-token", "none", "info")
		cmd.Dir, cmd.Env = home, append(os.Environ(), "HOME="+home, "SENTRY_DISABLE_UPDATE_CHECK=1")
		_, _ = cmd.CombinedOutput() // it says that nobody is logged in
	}
	// One that does not look as expected is left alone.
	odd, port := filepath.Join(t.TempDir(), "odd"), freePort(t)
	b, err := os.ReadFile(stripped)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(odd, bytes.Replace(b, []byte("\x00CLIENT_RANDOM\x00"), []byte("\x00CLIENT_RANDOX\x00"), 1), 0o755))
	l.nginxTLS(port, dir, "TLSv1.3")
	l.verifyNotVisible("odd", port, "no_secret_openssl", func() { ask(odd, port) })

	for _, exe := range []string{sentry, stripped} {
		for _, version := range []string{"1.3", "1.2"} {
			port := freePort(t)
			l.nginxTLS(port, dir, "TLSv"+version)
			// It ends so soon that it may have to come again until it is found.
			for range 20 {
				ask(exe, port)
				time.Sleep(500 * time.Millisecond)
				if client, server := l.spans("/api/0/"); client != nil && server != nil {
					break
				}
			}
			l.verify("/api/0/", body, filepath.Base(exe), "nginx", "https", fmt.Sprintf("https://127.0.0.1:%d/api/0/", port))
			client, _ := l.spans("/api/0/")
			require.Equal(t, version, text(client.span.Attributes(), semantic.TLSProtocolVersion))
			l.traces.Reset()
		}
	}
	l.stop()
}

// withoutSymbols copies a program without its symbols for debuggers.
func withoutSymbols(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	f, err := elf.NewFile(bytes.NewReader(b))
	require.NoError(t, err)
	at, size := binary.LittleEndian.Uint64(b[0x28:]), uint64(binary.LittleEndian.Uint16(b[0x3a:])) // e_shoff, e_shentsize
	for i, s := range f.Sections {
		if s.Type == elf.SHT_SYMTAB {
			clear(b[s.Offset : s.Offset+s.FileSize])
			binary.LittleEndian.PutUint32(b[at+uint64(i)*size+4:], uint32(elf.SHT_NULL))
		}
	}
	require.NoError(t, os.WriteFile(to, b, 0o755))
}

// forkAndExec prints its process's number, and asks first in a child that is a copy of it, then as another program
// that takes its place. The library is mapped all along, and then anew.
const forkAndExec = `
import http.client, os, ssl, sys
port = sys.argv[1]
child = os.fork()
if child == 0:
    h = http.client.HTTPSConnection("127.0.0.1", int(port), context=ssl._create_unverified_context())
    h.request("GET", "/forked", headers={"Connection": "close"})
    h.getresponse().read()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(child, os.getpid(), flush=True)
os.execvp("curl", ["curl", "-sSk", "-o", "/dev/null", f"https://127.0.0.1:{port}/execed"])`

// TestE2EForkAndExec names the processes that asked.
func TestE2EForkAndExec(t *testing.T) {
	l := newLab(t, "fork")
	l.start(func(c *Config, _ *PayloadConfig) { c.TLS.DenyProcesses = []string{"nginx"} })
	dir, port := t.TempDir(), freePort(t)
	forked := randomFile(t, filepath.Join(dir, "forked"), 10_000)
	execed := randomFile(t, filepath.Join(dir, "execed"), 10_000)
	l.nginxTLS(port, dir, "TLSv1.2 TLSv1.3")
	var child, parent int
	_, err := fmt.Sscan(string(l.run("python3", "-c", forkAndExec, strconv.Itoa(port))), &child, &parent)
	require.NoError(t, err)
	l.verify("/forked", forked, "python3", "nginx", "https", fmt.Sprintf("https://127.0.0.1:%d/forked", port))
	l.verify("/execed", execed, "curl", "nginx", "https", fmt.Sprintf("https://127.0.0.1:%d/execed", port))
	for path, pid := range map[string]int{"/forked": child, "/execed": parent} {
		client, _ := l.spans(path)
		require.Equal(t, strconv.Itoa(pid), text(client.res, semantic.ProcessPID), path)
	}
	l.stop()
}
