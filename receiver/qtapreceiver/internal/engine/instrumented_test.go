// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// TestInstrumented: what makes a process one that sends spans itself, and what does not.
func TestInstrumented(t *testing.T) {
	const (
		traced    = "GET /a HTTP/1.1\r\nHost: x\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"
		plain     = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
		ok        = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
		notFound  = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
		otlpPorts = "127.0.0.1:4318"
	)
	post := func(path, media string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: collector\r\nContent-Type: %s\r\nContent-Length: 0\r\n\r\n", path, media)
	}
	for name, c := range map[string]struct {
		before, answer string
		own            string // a connection to the collector itself
		then           string
		want           string
	}{
		"spans":                            {post("/v1/traces", "application/x-protobuf"), ok, "", plain, "otlp"},
		"spans below a prefix":             {post("/otlp/v1/traces?x=1", "application/json; charset=utf-8"), ok, "", plain, "otlp"},
		"spans nobody takes":               {post("/v1/traces", "application/x-protobuf"), notFound, "", plain, ""},
		"something else at that path":      {post("/v1/traces", "text/plain"), ok, "", plain, ""},
		"metrics":                          {post("/v1/metrics", "application/x-protobuf"), ok, "", plain, ""},
		"a context":                        {plain, ok, "", traced, "trace_context"},
		"a context before":                 {traced, ok, "", plain, ""},
		"to this collector":                {plain, ok, otlpPorts, plain, ""},
		"to this collector, and a context": {traced, ok, otlpPorts, plain, "otlp"},
		"to this collector's page":         {traced, ok, "127.0.0.1:8686", plain, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, suppress := range []bool{false, true} {
				b := newBench(t, func(s *Settings, _ *bench) { s.Suppress = suppress })
				w := b.dial(1).open()
				w.own()
				w.send(true, c.before)
				w.send(false, c.answer)
				if c.own != "" {
					o := b.dial(2)
					o.sa = netip.MustParseAddrPort(c.own)
					o.connect()
					b.e.Socket(&event.Socket{Kind: event.SocketExcluded, Cookie: o.client, Time: b.now, Local: o.ca, Remote: o.sa})
				}
				w.send(true, c.then)
				w.send(false, ok)
				w.hangup(event.CloseFIN)
				b.close()
				clients, marked, servers := 0, "", 0
				for _, s := range b.spans() {
					if s.Kind().String() == "Server" {
						servers++
						require.Empty(t, attr(s.Attributes(), semantic.Instrumented))
					} else if clients++; attr(s.Attributes(), semantic.ExchangeSequence) == "1" {
						marked = attr(s.Attributes(), semantic.Instrumented)
					}
				}
				require.Equal(t, 2, servers)
				switch {
				case suppress && c.want == "otlp":
					require.Less(t, clients, 2)
					require.NotZero(t, b.e.counts.exchangesDropped[dropInstrumented])
				default:
					require.Equal(t, 2, clients)
					require.Equal(t, c.want, marked)
				}
			}
		})
	}
}
