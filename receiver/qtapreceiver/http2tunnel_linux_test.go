// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// webSocketServer2 takes WebSockets in streams of HTTP/2 (RFC 8441), and serves a page that opens one; the page is loaded
// when that has closed.
const webSocketServer2 = `
const { readFileSync } = require('node:fs')
const [port, dir] = process.argv.slice(1)
const { Receiver, Sender } = require('ws')
let image
require('node:http2').createSecureServer({
  key: readFileSync(dir + '/key.pem'), cert: readFileSync(dir + '/cert.pem'), settings: { enableConnectProtocol: true },
}).on('stream', (stream, headers) => {
  stream.on('error', () => {})
  if (headers[':path'] === '/image') { image = stream; return }
  if (headers[':method'] !== 'CONNECT') {
    stream.respond({ ':status': 200, 'content-type': 'text/html' })
    stream.end("<img src=/image><script>const ws = new WebSocket('wss://' + location.host + '/chat')\n" +
      "ws.onopen = () => ws.send('hello from a browser')\n" +
      "ws.onmessage = e => { document.title = e.data; ws.close(1000, 'enough') }</script>")
    return
  }
  stream.respond({ ':status': 200 })
  const receiver = new Receiver({ isServer: true }), sender = new Sender(stream)
  receiver.on('message', data => sender.send('echo ' + data, { fin: true, binary: false, mask: false, compress: false }))
  receiver.on('conclude', code => {
    sender.close(code, '', false, () => stream.end())
    setTimeout(() => image.respond({ ':status': 204 }, { endStream: true }), 100)
  })
  stream.pipe(receiver)
}).listen(+port, '127.0.0.1')
`

// TestE2EWebSocketHTTP2 has a browser open a WebSocket in the HTTP/2 connection that its page came over.
func TestE2EWebSocketHTTP2(t *testing.T) {
	l := newLab(t, "ws2")
	l.start(nil)
	t.Setenv("NODE_PATH", modules(t, "ws"))
	dir, port := t.TempDir(), freePort(t)
	selfSigned(t, dir)
	l.serve(port, "node", "-e", webSocketServer2, strconv.Itoa(port), dir)
	browser := l.command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--user-data-dir="+t.TempDir(),
		"--ignore-certificate-errors", "--timeout=60000", "--dump-dom", fmt.Sprintf("https://127.0.0.1:%d/", port))
	browser.SysProcAttr.Setpgid = true
	var out strings.Builder
	browser.Stdout = &out
	require.NoError(t, browser.Start())
	t.Cleanup(func() { _ = syscall.Kill(-browser.Process.Pid, syscall.SIGKILL) }) // and its children
	require.NoError(t, browser.Wait())
	require.Contains(t, out.String(), "<title>echo hello from a browser</title>")

	for _, kind := range []ptrace.SpanKind{ptrace.SpanKindClient, ptrace.SpanKindServer} {
		said := func() map[string]int {
			got := map[string]int{}
			for _, m := range l.messages(kind) {
				data, _ := m.Get(semantic.MessageData)
				s := data.Str()
				if data.Type() == pcommon.ValueTypeBytes {
					s = string(data.Bytes().AsRaw())
				}
				got[text(m, semantic.MessageClient)+" "+text(m, semantic.MessageOpcode)+" "+s]++
			}
			return got
		}
		require.Eventually(t, func() bool { return len(said()) == 4 }, testkit.Patience, 50*time.Millisecond, "%v", said())
		require.Equal(t, map[string]int{"true 1 hello from a browser": 1, "false 1 echo hello from a browser": 1, "true 8 \x03\xe8enough": 1, "false 8 \x03\xe8": 1}, said())
		own := l.own("/chat", port, kind)
		require.NotNil(t, own)
		require.Equal(t, "CONNECT", own.Name())
		require.Equal(t, "200", text(own.Attributes(), semantic.HTTPResponseStatusCode))
		require.Equal(t, "2", text(own.Attributes(), semantic.NetworkProtocolVersion))
		require.Equal(t, "https", text(own.Attributes(), semantic.URLScheme))
		parts := l.partsOf("/chat", port, kind)
		require.NotEmpty(t, parts)
		for _, s := range parts {
			require.Equal(t, own.SpanID(), s.ParentSpanID())
			require.Equal(t, "websocket", text(s.Attributes(), semantic.NetworkProtocolName))
			require.Equal(t, "1.3", text(s.Attributes(), semantic.TLSProtocolVersion))
		}
		require.Eventually(t, func() bool { return l.own("/image", port, kind) != nil }, testkit.Patience, 50*time.Millisecond, "the connection goes on")
	}
	l.stop()
}

// connectProxy2 is a forward proxy over HTTP/2.
const connectProxy2 = `
require('node:http2').createServer().on('stream', (stream, headers) => {
  stream.on('error', () => {})
  const far = require('node:net').connect(+headers[':authority'].split(':')[1], '127.0.0.1', () => {
    stream.respond({ ':status': 200 })
    far.pipe(stream).pipe(far)
  }).on('error', () => {})
}).listen(+process.argv[1], '127.0.0.1')
`

// connectClient2 asks for two files at once, through two tunnels of one connection: one in the clear, one with TLS in it.
const connectClient2 = `
const [proxy, plain, secure] = process.argv.slice(1).map(Number)
const session = require('node:http2').connect('http://127.0.0.1:' + proxy)
const tunnel = port => session.request({ ':method': 'CONNECT', ':authority': 'lab.test:' + port })
const ask = (module, options) => new Promise((done, fail) => module.get(options, async res => {
  let n = 0
  for await (const b of res) n += b.length
  done(n)
}).on('error', fail))
const a = tunnel(plain), b = tunnel(secure)
Promise.all([
  ask(require('node:http'), { path: '/clear', headers: { host: 'lab.test:' + plain }, createConnection: () => a }),
  ask(require('node:https'), { path: '/inner', headers: { host: 'lab.test:' + secure }, createConnection: () => require('node:tls').connect({ socket: b, servername: 'lab.test', rejectUnauthorized: false }) }),
]).then(n => { console.log(n.join()); session.destroy() })
`

// TestE2EConnectHTTP2 asks through a proxy that is spoken to over HTTP/2.
func TestE2EConnectHTTP2(t *testing.T) {
	l := newLab(t, "connect2")
	l.start(nil)
	dir, proxy, plain, secure := t.TempDir(), freePort(t), freePort(t), freePort(t)
	selfSigned(t, dir)
	clear, inner := randomFile(t, filepath.Join(dir, "clear"), 100_000), randomFile(t, filepath.Join(dir, "inner"), 120_000)
	l.nginx(plain, dir, fmt.Sprintf("listen 127.0.0.1:%d; listen 127.0.0.1:%d ssl; ssl_certificate %[3]s/cert.pem; ssl_certificate_key %[3]s/key.pem;", plain, secure, dir))
	l.serve(proxy, "node", "-e", connectProxy2, strconv.Itoa(proxy))
	require.Equal(t, "100000,120000\n", string(l.run("node", "-e", connectClient2, strconv.Itoa(proxy), strconv.Itoa(plain), strconv.Itoa(secure))))

	for path, want := range map[string]struct {
		body   []byte
		scheme string
		port   int
	}{"/clear": {clear, "http", plain}, "/inner": {inner, "https", secure}} {
		ends := func() map[pcommon.TraceID][]ptrace.Span {
			out := map[pcommon.TraceID][]ptrace.Span{}
			for _, kind := range []ptrace.SpanKind{ptrace.SpanKindClient, ptrace.SpanKindServer} {
				for _, s := range l.at(path, want.port, kind) {
					out[s.TraceID()] = append(out[s.TraceID()], s)
				}
			}
			return out
		}
		require.Eventually(t, func() bool {
			n := 0
			for _, spans := range ends() {
				for _, s := range spans {
					if _, _, ok := l.payload(s.SpanID()); ok {
						n++
					}
				}
			}
			return n == 4
		}, testkit.Patience, 50*time.Millisecond, "%s at four ends", path)
		require.Len(t, ends(), 2, "two connections, two traces")
		for _, spans := range ends() {
			require.Len(t, spans, 2)
			require.Equal(t, spans[0].SpanID(), spans[1].ParentSpanID(), "both ends are one trace")
			for _, s := range spans {
				lr, _, _ := l.payload(s.SpanID())
				got, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
				require.Equal(t, want.body, got.Bytes().AsRaw())
				require.Equal(t, want.scheme, text(s.Attributes(), semantic.URLScheme))
				require.Equal(t, "lab.test", text(s.Attributes(), semantic.ServerAddress))
				_, encrypted := s.Attributes().Get(semantic.TLSProtocolVersion)
				require.Equal(t, want.scheme == "https", encrypted)
			}
		}
	}
	l.stop()
}
