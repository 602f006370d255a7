// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// slowServer answers /poll when there is something to say, and everything else with a body that comes in pieces: its
// type is the query.
const slowServer = `
import http.server, sys, time
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_GET(self):
        path, _, kind = self.path.partition("?")
        if path == "/poll":
            time.sleep(2)
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"news")
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if path == "/thing":
            self.send_header("Content-Length", "3720")
        else:
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Trailer", "Checksum")
        self.end_headers()
        for i in range(30):
            b = b"event: tick\nid: %02d\ndata: %s\n\n" % (i, b"x" * 97)
            for part in (b[:50], b[50:]):
                self.wfile.write(part if path == "/thing" else b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.flush()
            time.sleep(0.1)
        if path != "/thing":
            self.wfile.write(b"0\r\nChecksum: none\r\n\r\n")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
`

// slowServer2 is the same over HTTP/2, with the coding that the path names.
const slowServer2 = `
const zlib = require('node:zlib')
require('node:http2').createServer().on('stream', async (stream, headers) => {
  const [path, kind] = headers[':path'].split('?'), coding = { '/gzip': 'gzip', '/br': 'br' }[path]
  const head = { ':status': 200, 'content-type': kind }
  let out = stream
  if (coding) {
    head['content-encoding'] = coding
    out = coding === 'br' ? zlib.createBrotliCompress() : zlib.createGzip()
    out.pipe(stream)
  }
  stream.respond(head, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ checksum: 'none' }))
  for (let i = 0; i < 30; i++) {
    out.write('event: tick\nid: ' + String(i).padStart(2, '0') + '\ndata: ' + 'x'.repeat(97) + '\n\n')
    if (coding) out.flush()
    await new Promise(done => setTimeout(done, 100))
  }
  out.end()
}).listen(+process.argv[1], '127.0.0.1')
`

// TestE2ELongResponse: what came of a response is emitted while it goes on, whatever the protocol, type and coding.
func TestE2ELongResponse(t *testing.T) {
	var whole strings.Builder
	for i := range 30 {
		fmt.Fprintf(&whole, "event: tick\nid: %02d\ndata: %s\n\n", i, strings.Repeat("x", 97))
	}
	const limit = 1000 // less than the whole
	l := newLab(t, "long")
	l.start(func(_ *Config, p *PayloadConfig) { p.MaxBodySize = limit })
	plain, second, front := freePort(t), freePort(t), freePort(t)
	l.serve(plain, "python3", "-c", slowServer, strconv.Itoa(plain))
	l.serve(second, "node", "-e", slowServer2, strconv.Itoa(second))
	// A proxy that compresses what it passes on.
	l.nginx(front, t.TempDir(), fmt.Sprintf("listen 127.0.0.1:%d; gzip on; gzip_types *; gzip_min_length 0; location / { proxy_pass http://127.0.0.1:%d; proxy_http_version 1.1; proxy_buffering off; }", front, plain))

	type question struct {
		path, kind string
		port       int
		args       []string
		parts      string // what they are together
		body       string // of the exchange, when it is not coded
		trailers   bool
	}
	h2 := []string{"--http2-prior-knowledge"}
	all := whole.String()
	questions := []question{
		{path: "/events", kind: "text/event-stream", port: plain, parts: all, body: all[:limit], trailers: true},
		{path: "/slow", kind: "text/plain", port: plain, parts: all, body: all[:limit], trailers: true},
		{path: "/thing", kind: "text/plain", port: plain, parts: all[:limit], body: all[:limit]},
		{path: "/poll", kind: "none", port: plain, body: "news"},
		{path: "/zipped", kind: "text/event-stream", port: front, args: []string{"--compressed"}, parts: all},
		{path: "/events2", kind: "text/event-stream", port: second, args: h2, parts: all, body: all[:limit], trailers: true},
		{path: "/lines2", kind: "application/x-ndjson", port: second, args: h2, parts: all, body: all[:limit], trailers: true},
		{path: "/gzip", kind: "application/x-ndjson", port: second, args: append(h2, "--compressed"), parts: all, trailers: true},
		{path: "/br", kind: "text/event-stream", port: second, args: append(h2, "--compressed"), parts: all, trailers: true},
	}
	outs := make([]strings.Builder, len(questions))
	clients := make([]*exec.Cmd, len(questions))
	for i, q := range questions {
		clients[i] = l.command("curl", append([]string{"-sN", fmt.Sprintf("http://127.0.0.1:%d%s?%s", q.port, q.path, q.kind)}, q.args...)...)
		clients[i].Stdout = &outs[i]
		require.NoError(t, clients[i].Start())
	}
	// Each of the streams is in parts before any of them ends.
	for _, q := range questions {
		if q.path != "/poll" {
			require.Eventually(t, func() bool { return len(l.partsOf(q.path, q.port, ptrace.SpanKindServer)) > 0 }, testkit.Patience, 20*time.Millisecond, q.path)
		}
	}
	require.Nil(t, l.own("/events", plain, ptrace.SpanKindServer), "parts come while it goes on")
	for i, q := range questions {
		require.NoError(t, clients[i].Wait())
		want := all
		if q.path == "/poll" {
			want = "news"
		}
		require.Equal(t, want, outs[i].String(), q.path)
		for _, kind := range []ptrace.SpanKind{ptrace.SpanKindClient, ptrace.SpanKindServer} {
			require.Eventually(t, func() bool {
				s := l.own(q.path, q.port, kind)
				if s == nil {
					return false
				}
				_, _, ok := l.payload(s.SpanID())
				return ok
			}, testkit.Patience, 20*time.Millisecond, q.path)
		}
	}
	l.stop()

	for _, q := range questions {
		for _, kind := range []ptrace.SpanKind{ptrace.SpanKindClient, ptrace.SpanKindServer} {
			t.Run(q.path[1:]+kind.String(), func(t *testing.T) {
				own := l.own(q.path, q.port, kind)
				require.Greater(t, time.Duration(own.EndTimestamp()-own.StartTimestamp()), 1900*time.Millisecond)
				lr, _, _ := l.payload(own.SpanID())
				if q.body != "" {
					body, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
					require.Equal(t, q.body, string(body.Bytes().AsRaw()))
				}
				trailers, ok := lr.Attributes().Get(semantic.PayloadResponseTrailers)
				require.Equal(t, q.trailers, ok)
				if ok {
					require.Equal(t, `[["checksum","none"]]`, strings.ToLower(trailers.AsString()))
				}
				got, events := "", 0
				parts := l.partsOf(q.path, q.port, kind)
				for i, s := range parts {
					require.Equal(t, own.SpanID(), s.ParentSpanID())
					require.Equal(t, own.TraceID(), s.TraceID())
					require.Equal(t, strconv.Itoa(i+1), text(s.Attributes(), semantic.ExchangePart))
					lr, _, ok := l.payload(s.SpanID())
					require.True(t, ok)
					b, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
					got += string(b.Bytes().AsRaw())
					_, coded := lr.Attributes().Get(semantic.PayloadResponseBodyDecoded)
					require.Equal(t, q.body == "", coded)
					if q.kind != "text/plain" {
						require.True(t, strings.HasSuffix(got, "\n"), "a part ends with a record")
					}
					if q.kind == "text/event-stream" {
						require.True(t, strings.HasSuffix(got, "\n\n"), "a part ends with an event")
						events += eventsOf(t, lr)
					}
				}
				require.Equal(t, q.parts, got, "the parts are the whole stream, whatever the cap of one")
				if q.parts == all {
					require.GreaterOrEqual(t, len(parts), 4, "its bytes alone fill four")
				}
				if q.kind == "text/event-stream" {
					require.Equal(t, 30, events)
				}
			})
		}
	}
}

// eventsOf counts what the archive's file of a record lists as events.
func eventsOf(t *testing.T, lr plog.LogRecord) int {
	x := archive.FromRecord(pcommon.NewResource(), lr)
	a, err := archive.NewPacker().Pack(func(yield func(archive.Exchange) bool) { yield(x) })
	require.NoError(t, err)
	zr, err := zip.NewReader(bytes.NewReader(a.Bytes), int64(len(a.Bytes)))
	require.NoError(t, err)
	require.Len(t, zr.File, 1)
	require.Equal(t, x.SpanID+archive.Extension, zr.File[0].Name)
	f, err := zr.File[0].Open()
	require.NoError(t, err)
	defer f.Close()
	var har struct {
		Log struct {
			Entries []struct {
				Events []struct {
					Time      float64
					Event, ID string
				} `json:"_eventStream"`
			}
		}
	}
	require.NoError(t, json.NewDecoder(f).Decode(&har))
	last := 0.0
	for _, e := range har.Log.Entries[0].Events {
		require.Equal(t, "tick", e.Event)
		require.Greater(t, e.Time, last, "each has its own time")
		last = e.Time
	}
	return len(har.Log.Entries[0].Events)
}

// partsOf returns the spans of parts whose payload record has come, in order.
func (l *lab) partsOf(path string, port int, kind ptrace.SpanKind) (out []ptrace.Span) {
	for _, s := range l.at(path, port, kind) {
		if _, part := s.Attributes().Get(semantic.ExchangePart); part {
			if _, _, ok := l.payload(s.SpanID()); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// own returns the span of an exchange, as far as it has come.
func (l *lab) own(path string, port int, kind ptrace.SpanKind) *ptrace.Span {
	for _, s := range l.at(path, port, kind) {
		if _, part := s.Attributes().Get(semantic.ExchangePart); !part {
			return &s
		}
	}
	return nil
}

func (l *lab) at(path string, port int, kind ptrace.SpanKind) (out []ptrace.Span) {
	for _, s := range l.everySpan() {
		if s.Kind() == kind && text(s.Attributes(), semantic.URLPath) == path && text(s.Attributes(), semantic.ServerPort) == strconv.Itoa(port) {
			out = append(out, s)
		}
	}
	return out
}
