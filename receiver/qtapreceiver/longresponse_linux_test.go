// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
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
)

// slowServer answers /events with a stream of events, /slow with a body that comes in pieces, and
// /poll when there is something to say.
const slowServer = `
import http.server, sys, time
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_GET(self):
        if self.path == "/poll":
            time.sleep(2)
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"news")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if self.path == "/events" else "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(30):
            b = b"event: tick\nid: %d\ndata: %s\n\n" % (i, b"x" * 100)
            for part in (b[:50], b[50:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.flush()
            time.sleep(0.1)
        self.wfile.write(b"0\r\n\r\n")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
`

// slowServer2 is the same stream of events over HTTP/2.
const slowServer2 = `
require('node:http2').createServer().on('stream', async stream => {
  stream.respond({ ':status': 200, 'content-type': 'text/event-stream' })
  for (let i = 0; i < 30; i++) {
    stream.write('event: tick\nid: ' + i + '\ndata: ' + 'x'.repeat(100) + '\n\n')
    await new Promise(done => setTimeout(done, 100))
  }
  stream.end()
}).listen(+process.argv[1], '127.0.0.1')
`

// TestE2ELongResponse: what came of a response is emitted while it goes on.
func TestE2ELongResponse(t *testing.T) {
	var whole strings.Builder
	for i := range 30 {
		fmt.Fprintf(&whole, "event: tick\nid: %d\ndata: %s\n\n", i, strings.Repeat("x", 100))
	}
	for _, path := range []string{"/events", "/events2", "/slow", "/poll"} {
		t.Run(path[1:], func(t *testing.T) {
			l := newLab(t, "long"+path[1:])
			const limit = 1000 // less than the whole
			l.start(func(_ *Config, p *PayloadConfig) { p.MaxBodySize = limit })
			port := freePort(t)
			args := []string{"-sN"}
			if path == "/events2" {
				l.serve(port, "node", "-e", slowServer2, strconv.Itoa(port))
				args = append(args, "--http2-prior-knowledge")
			} else {
				l.serve(port, "python3", "-c", slowServer, strconv.Itoa(port))
			}
			client := l.command("curl", append(args, fmt.Sprintf("http://127.0.0.1:%d%s", port, path))...)
			var out strings.Builder
			client.Stdout = &out
			started := time.Now()
			require.NoError(t, client.Start())
			if path != "/poll" {
				require.Eventually(t, func() bool { return len(l.partsOf(ptrace.SpanKindServer)) > 0 }, 3*time.Second, 20*time.Millisecond, "parts")
				require.Less(t, time.Since(started), 3*time.Second, "while it goes on")
			}
			require.NoError(t, client.Wait())
			want := whole.String()
			if path == "/poll" {
				want = "news"
			}
			require.Equal(t, want, out.String())
			require.Eventually(t, func() bool { c, s := l.spans(path); return c != nil && s != nil && l.mains() == 2 }, 5*time.Second, 20*time.Millisecond)
			l.stop()

			for _, kind := range []ptrace.SpanKind{ptrace.SpanKindClient, ptrace.SpanKindServer} {
				var own ptrace.Span
				for _, s := range l.everySpan() {
					if _, part := s.Attributes().Get(semantic.ExchangePart); !part && s.Kind() == kind {
						own = s
					}
				}
				require.Equal(t, strconv.Itoa(len(want)), text(own.Attributes(), semantic.HTTPResponseBodySize))
				require.Greater(t, time.Duration(own.EndTimestamp()-own.StartTimestamp()), 1900*time.Millisecond)
				lr, _, ok := l.payload(own.SpanID())
				require.True(t, ok)
				body, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
				require.Equal(t, want[:min(len(want), limit)], string(body.Bytes().AsRaw()))

				parts := l.partsOf(kind)
				got, events := "", 0
				for i, s := range parts {
					require.Equal(t, own.SpanID(), s.ParentSpanID())
					require.Equal(t, own.TraceID(), s.TraceID())
					require.Equal(t, strconv.Itoa(i+1), text(s.Attributes(), semantic.ExchangePart))
					lr, _, ok := l.payload(s.SpanID())
					require.True(t, ok)
					b, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
					got += string(b.Bytes().AsRaw())
					if strings.HasPrefix(path, "/events") {
						require.True(t, strings.HasSuffix(got, "\n\n"), "a part ends with an event")
						events += eventsOf(t, lr)
						arrivals, ok := lr.Attributes().Get(semantic.PayloadResponseBodyArrivals)
						require.True(t, ok)
						require.NotZero(t, arrivals.Slice().Len())
					}
				}
				switch path {
				case "/events", "/events2":
					require.Equal(t, want, got, "the parts are the whole stream, whatever the cap of one")
					require.Equal(t, 30, events)
					require.GreaterOrEqual(t, len(parts), 4, "its bytes alone fill four")
				case "/slow":
					require.NotEmpty(t, parts)
					require.Equal(t, want[:limit], got, "up to the cap")
				case "/poll":
					require.Empty(t, parts)
				}
			}
		})
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
func (l *lab) partsOf(kind ptrace.SpanKind) (out []ptrace.Span) {
	for _, s := range l.everySpan() {
		if _, part := s.Attributes().Get(semantic.ExchangePart); part && s.Kind() == kind {
			if _, _, ok := l.payload(s.SpanID()); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// mains counts the spans that are no parts.
func (l *lab) mains() (n int) {
	for _, s := range l.everySpan() {
		if _, part := s.Attributes().Get(semantic.ExchangePart); !part {
			n++
		}
	}
	return n
}
