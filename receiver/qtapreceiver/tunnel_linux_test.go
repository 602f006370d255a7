// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"fmt"
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

// connectProxy is a forward proxy: it answers CONNECT and passes bytes on.
const connectProxy = `
import socket, ssl, sys, threading
def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    try:
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass
def serve(c):
    head = b""
    while b"\r\n\r\n" not in head:
        more = c.recv(4096)
        if not more:
            return c.close()
        head += more
    host, _, port = head.split()[1].decode().rpartition(":")
    s = socket.create_connection(("127.0.0.1", int(port)))
    c.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    t = threading.Thread(target=pump, args=(s, c))
    t.start()
    pump(c, s)
    t.join()
    s.close()
    c.close()
def secure(c):
    if len(sys.argv) > 2:
        ctx = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ctx.load_cert_chain(sys.argv[2] + "/cert.pem", sys.argv[2] + "/key.pem")
        try:
            c = ctx.wrap_socket(c, server_side=True)
        except OSError:
            return c.close()
    serve(c)
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    threading.Thread(target=secure, args=(l.accept()[0],), daemon=True).start()
`

// TestE2EConnectTunnel asks for a file through a forward proxy: the request is seen at all four
// ends of the two connections, with TLS and without it inside the tunnel.
func TestE2EConnectTunnel(t *testing.T) {
	for _, version := range []string{"plain", "1.2", "1.3", "tls in tls"} {
		t.Run(version, func(t *testing.T) {
			scheme, proxyScheme := "http", "http"
			var proxyArgs []string
			if version != "plain" {
				scheme = "https"
			}
			l := newLab(t, "tunnel"+strings.ReplaceAll(version, " ", ""))
			l.start(nil)
			dir, port, proxy := t.TempDir(), freePort(t), freePort(t)
			if version == "tls in tls" {
				version, proxyScheme, proxyArgs = "1.3", "https", []string{dir}
			}
			body := randomFile(t, filepath.Join(dir, "inner"), 120_000)
			listen := fmt.Sprintf("listen 127.0.0.1:%d;", port)
			if scheme == "https" {
				selfSigned(t, dir)
				listen = fmt.Sprintf("listen 127.0.0.1:%[1]d ssl; ssl_certificate %[2]s/cert.pem; ssl_certificate_key %[2]s/key.pem; ssl_protocols TLSv%[3]s;", port, dir, version)
			}
			l.nginx(port, dir, listen)
			l.serve(proxy, "python3", append([]string{"-c", connectProxy, strconv.Itoa(proxy)}, proxyArgs...)...)
			url := fmt.Sprintf("%s://lab.test:%d/inner", scheme, port)
			require.Equal(t, body, l.run("curl", "-sk", "--http1.1", "-p", "--proxy-insecure", "-x", fmt.Sprintf("%s://127.0.0.1:%d", proxyScheme, proxy), url))

			type end struct{ exe, kind, sequence string }
			ends := func() map[end]pcommon.TraceID {
				out := map[end]pcommon.TraceID{}
				for _, td := range l.traces.AllTraces() {
					for _, rs := range td.ResourceSpans().All() {
						for _, s := range rs.ScopeSpans().At(0).Spans().All() {
							m := s.Attributes()
							if text(m, semantic.URLPath) != "/inner" {
								require.Equal(t, "CONNECT", s.Name())
								require.Equal(t, proxyScheme, text(m, semantic.URLScheme))
								require.Equal(t, "0", text(m, semantic.ExchangeSequence))
								continue
							}
							require.Equal(t, scheme, text(m, semantic.URLScheme))
							require.Equal(t, "lab.test", text(m, semantic.ServerAddress))
							if scheme == "https" {
								require.Equal(t, version, text(m, semantic.TLSProtocolVersion))
							}
							lr, _, ok := l.payload(s.SpanID())
							if !ok {
								continue
							}
							got, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
							require.Equal(t, body, got.Bytes().AsRaw())
							exe := text(rs.Resource().Attributes(), semantic.ProcessExecutableName)
							if len(exe) > 6 {
								exe = exe[:6] // python3.11
							}
							out[end{exe, s.Kind().String(), text(m, semantic.ExchangeSequence)}] = s.TraceID()
						}
					}
				}
				return out
			}
			require.Eventually(t, func() bool { return len(ends()) == 4 }, testkit.Patience, 50*time.Millisecond, "four ends")
			got := ends()
			near, far := got[end{"curl", "Client", "1"}], got[end{"python", "Client", "0"}]
			require.False(t, near.IsEmpty())
			require.False(t, far.IsEmpty())
			require.Equal(t, map[end]pcommon.TraceID{
				{"curl", "Client", "1"}: near, {"python", "Server", "1"}: near,
				{"python", "Client", "0"}: far, {"nginx", "Server", "0"}: far,
			}, got)
			require.NotEqual(t, near, far, "two connections")
			l.stop()
			require.Equal(t, 6, l.traces.SpanCount(), "with the two ends of CONNECT")
		})
	}
}
