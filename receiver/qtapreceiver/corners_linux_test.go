// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// cornerServer answers as few servers do, but may.
const cornerServer = `
import socket, sys, threading, time
answers = {
    "/early": b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly",
    "/close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    "/trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n5\r\nchunk\r\n2;x=y\r\ned\r\n0\r\nSum: 7\r\n\r\n",
    "/ten": b"HTTP/1.0 200 OK\r\n\r\nold times",
    "/folded": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Folded: one\r\n two\r\n\r\nfolded",
    "/poll": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnews",
    "/continue": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntaken",
}
def serve(c):
    f = c.makefile("rb")
    while line := f.readline():
        method, path, _ = line.decode().split()
        head = line
        length = 0
        while (line := f.readline()) != b"\r\n":
            head += line
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            if line.lower().startswith(b"expect:"):
                c.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        f.read(length)
        if path == "/poll":
            time.sleep(2)
        if method == "TRACE":
            head += b"\r\n"
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: message/http\r\nContent-Length: %d\r\n\r\n" % len(head) + head)
            continue
        c.sendall(answers[path])
        if path in ("/close", "/ten"):
            break
    f.close()
    c.close()
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
`

// TestE2ECorners asks with curl what is seldom asked, and compares what both ends report with what
// curl got.
func TestE2ECorners(t *testing.T) {
	l := newLab(t, "corners")
	l.start(nil)
	port, upgrading := freePort(t), freePort(t)
	l.serve(port, "python3", "-c", cornerServer, strconv.Itoa(port))
	l.background(l.command(goPeer(t), "-upgrade", "-listen", fmt.Sprintf("127.0.0.1:%d", upgrading)), upgrading)
	for _, c := range []struct {
		path, method, version string
		answered              string // version of the response, when it is another
		args                  []string
		incomplete            string // when a recipient has to refuse it
	}{
		{path: "/early"},
		{path: "/close"},
		{path: "/trailers"},
		{path: "/ten", version: "1.0", args: []string{"--http1.0"}},
		{path: "/folded", incomplete: "not_parseable"},
		{path: "/poll"},
		{path: "/continue", method: "POST", args: []string{"-d", "question", "-H", "Expect: 100-continue"}},
		{path: "/trace", method: "TRACE", args: []string{"-X", "TRACE", "-H", "X-Mine: mine"}},
		{path: "/1", method: "POST", version: "1.1", args: []string{"--http2", "-d", "seq=1 port=0 pid=0"}}, // a body forbids the upgrade
		{path: "/2", version: "1.1", answered: "2", args: []string{"--http2"}},
		{path: "/3", version: "2", args: []string{"--http2-prior-knowledge"}},
	} {
		t.Run(c.path[1:], func(t *testing.T) {
			to := port
			if c.path < "/a" {
				to = upgrading
			}
			got := l.run("curl", append(c.args, "-sS", fmt.Sprintf("http://127.0.0.1:%d%s", to, c.path))...)
			require.NotEmpty(t, got)
			var client, server *seen
			require.Eventually(t, func() bool { client, server = l.spans(c.path); return client != nil && server != nil }, testkit.Patience, 20*time.Millisecond)
			require.Equal(t, client.span.TraceID(), server.span.TraceID())
			require.Equal(t, client.span.SpanID(), server.span.ParentSpanID())
			for _, x := range []*seen{client, server} {
				var lr plog.LogRecord
				require.Eventually(t, func() bool { var ok bool; lr, _, ok = l.payload(x.span.SpanID()); return ok }, testkit.Patience, 20*time.Millisecond)
				body, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
				m := x.span.Attributes()
				if c.incomplete != "" {
					require.Equal(t, c.incomplete, text(m, semantic.ErrorType))
					continue
				}
				require.Equal(t, "200", text(m, semantic.HTTPResponseStatusCode))
				require.Empty(t, text(m, semantic.ErrorType))
				require.Equal(t, string(got), string(body.Bytes().AsRaw()))
				if c.method != "" {
					require.Equal(t, c.method, x.span.Name())
				}
				if c.answered != "" {
					require.Equal(t, c.answered, text(lr.Attributes(), semantic.PayloadResponseVersion))
				}
				if c.version != "" {
					require.Equal(t, c.version, text(m, semantic.NetworkProtocolVersion))
				}
			}
		})
	}
	l.stop()
}
