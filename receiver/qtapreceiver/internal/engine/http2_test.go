// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// frames makes one direction of an HTTP/2 connection.
type frames struct {
	bytes.Buffer
	fr    *http2.Framer
	enc   *hpack.Encoder
	block bytes.Buffer
}

func newFrames() *frames {
	f := &frames{}
	f.fr = http2.NewFramer(f, nil)
	f.enc = hpack.NewEncoder(&f.block)
	return f
}

func (f *frames) headers(id uint32, end bool, pairs ...string) *frames {
	f.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = f.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	_ = f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block.Bytes(), EndHeaders: true, EndStream: end})
	return f
}

func (f *frames) data(id uint32, end bool, b string) *frames {
	_ = f.fr.WriteData(id, end, []byte(b))
	return f
}

func (f *frames) take() string {
	s := f.String()
	f.Reset()
	return s
}

func (f *frames) hello(client bool) *frames {
	if client {
		f.WriteString(http2.ClientPreface)
	}
	_ = f.fr.WriteSettings()
	return f
}

func (f *frames) get(id uint32, path string) *frames {
	return f.headers(id, true, ":method", "GET", ":scheme", "http", ":authority", "api.example:8080", ":path", path, "user-agent", "t")
}

func TestHTTP2(t *testing.T) {
	b := newBench(t, withPayloads(1<<16))
	w := b.dial(1).open()
	c, s := newFrames(), newFrames()
	w.send(false, s.hello(false).take()) // a server may speak first
	w.own()
	w.send(true, c.hello(true).get(1, "/users/42?token=s3cret").get(3, "/b").take())
	w.send(false, s.headers(3, false, ":status", "404").data(3, true, "none").headers(1, false, ":status", "200", "x", "1").take())
	w.send(false, s.data(1, true, "hello").take())
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	spans := b.spans()
	require.Len(t, spans, 4)
	traces := map[string]map[ptrace.SpanKind]string{}
	for _, sp := range spans {
		m := sp.Attributes()
		id := sp.TraceID().String()
		if traces[id] == nil {
			traces[id] = map[ptrace.SpanKind]string{}
		}
		traces[id][sp.Kind()] = str(t, m, semantic.URLPath) + " " + str(t, m, semantic.HTTPResponseStatusCode)
		require.Equal(t, "2", str(t, m, semantic.NetworkProtocolVersion))
		require.Equal(t, "GET", sp.Name())
		require.Equal(t, "pending", str(t, m, semantic.PayloadState))
		require.Equal(t, "api.example", str(t, m, semantic.ServerAddress))
	}
	require.Len(t, traces, 2, "both ends join one trace per stream")
	for _, ends := range traces {
		require.Len(t, ends, 2)
		require.Equal(t, ends[ptrace.SpanKindClient], ends[ptrace.SpanKindServer])
	}
	for _, r := range b.records(semantic.EventConnection) {
		require.Equal(t, "http", str(t, r.Attributes(), semantic.NetworkProtocolName))
		require.Equal(t, "2", str(t, r.Attributes(), semantic.NetworkProtocolVersion))
		require.Equal(t, "2", str(t, r.Attributes(), semantic.ConnectionRequests))
	}
	golden(t, b, "http2")
}

func TestGRPC(t *testing.T) {
	for _, c := range []struct {
		code, name     string
		client, server string // error.type
	}{
		{"0", "OK", "", ""},
		{"5", "NOT_FOUND", "NOT_FOUND", ""},
		{"13", "INTERNAL", "INTERNAL", "INTERNAL"},
		{"77", "77", "77", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			w := b.dial(1).open()
			q, s := newFrames(), newFrames()
			const message = "\x00\x00\x00\x00\x02ab"
			w.send(true, q.hello(true).headers(1, false, ":method", "POST", ":scheme", "http", ":path", "/pkg.Echo/Say", ":authority", "e:1", "content-type", "application/grpc").data(1, true, message).take())
			w.own()
			w.send(false, s.hello(false).headers(1, false, ":status", "200", "content-type", "application/grpc").data(1, false, message+message).headers(1, true, "grpc-status", c.code).take())
			w.hangup(event.CloseFIN)
			b.idle(time.Second)
			b.close()
			require.Len(t, b.spans(), 2)
			for _, sp := range b.spans() {
				m := sp.Attributes()
				require.Equal(t, "pkg.Echo/Say", sp.Name())
				require.Equal(t, "grpc", str(t, m, semantic.RPCSystemName))
				require.Equal(t, "pkg.Echo/Say", str(t, m, semantic.RPCMethod))
				require.Equal(t, c.name, str(t, m, semantic.RPCResponseStatusCode))
				require.Equal(t, "1", str(t, m, semantic.RPCRequestMessages))
				require.Equal(t, "2", str(t, m, semantic.RPCResponseMessages))
				want := c.client
				if sp.Kind() == ptrace.SpanKindServer {
					want = c.server
				}
				v, ok := m.Get(semantic.ErrorType)
				require.Equal(t, want != "", ok)
				if ok {
					require.Equal(t, want, v.Str())
				}
				require.Equal(t, want != "", sp.Status().Code() == ptrace.StatusCodeError)
			}
		})
	}
}

func TestUpgradeToHTTP2(t *testing.T) {
	b := newBench(t, withPayloads(1<<16))
	w := b.dial(1).open()
	c, s := newFrames(), newFrames()
	w.send(true, "GET /up HTTP/1.1\r\nHost: api.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n")
	w.own()
	// The response to the first request may come before the client's preface.
	w.send(false, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"+s.hello(false).headers(1, true, ":status", "200").take())
	w.send(true, c.hello(true).get(3, "/next").take())
	w.send(false, s.headers(3, true, ":status", "204").take())
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	got := map[string]int{}
	ids := map[string]int{}
	for _, sp := range b.spans() {
		m := sp.Attributes()
		got[str(t, m, semantic.URLPath)+" "+str(t, m, semantic.HTTPResponseStatusCode)+" "+str(t, m, semantic.ExchangeSequence)]++
		ids[sp.TraceID().String()]++
	}
	require.Equal(t, map[string]int{"/up 101 0": 2, "/up 200 1": 2, "/next 204 2": 2}, got)
	require.Len(t, ids, 3, "each exchange is a trace of its own")
}

func TestPreExistingHTTP2IsJoined(t *testing.T) {
	b := newBench(t)
	w := b.dial(1)
	w.scanned(true, event.RoleUnknown, 500, 1000, 0)
	w.scanned(false, event.RoleUnknown, 1000, 500, 0)
	c, s := newFrames(), newFrames()
	c.get(1, "/before").take() // into the table only
	w.send(false, s.data(7, false, "the middle of something").take())
	for i := range 12 {
		id := uint32(101 + 2*i)
		w.send(true, c.get(id, "/"+strings.Repeat("p", i+1)).take())
		w.send(false, s.headers(id, true, ":status", "200").take())
	}
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	spans := b.spans()
	require.Len(t, spans, 2*9, "the frames are found again after three turns")
	traces := map[string]bool{}
	for _, sp := range spans {
		m := sp.Attributes()
		require.Equal(t, "200", str(t, m, semantic.HTTPResponseStatusCode))
		require.NotEqual(t, "/before", str(t, m, semantic.URLPath))
		// The authority was said before the capture began, so the server's address is that of the connection.
		require.Equal(t, "127.0.0.1", str(t, m, semantic.ServerAddress))
		traces[sp.TraceID().String()] = true
	}
	require.Len(t, traces, 9)
}

// TestMethodUnknown: the conventions want a method on every span, and what stores spans refuses those without.
func TestMethodUnknown(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).open()
	c, s := newFrames(), newFrames()
	w.send(true, c.hello(true).headers(1, true, ":scheme", "http", ":authority", "a", ":path", "/").take())
	w.send(false, s.hello(false).headers(1, true, ":status", "200").take())
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Len(t, b.spans(), 2)
	for _, sp := range b.spans() {
		require.Equal(t, "_OTHER", str(t, sp.Attributes(), semantic.HTTPRequestMethod))
		require.Equal(t, "HTTP", sp.Name())
	}
}

func TestHTTP2PayloadsMayComeLate(t *testing.T) {
	b := newBench(t, withPayloads(1<<16))
	p := b.e.payloads.Load()
	b.e.SetPayloads(nil)
	w := b.dial(1).open()
	c, s := newFrames(), newFrames()
	w.own()
	w.send(true, c.hello(true).get(1, "/early").take())
	w.send(false, s.hello(false).headers(1, false, ":status", "200").data(1, false, "ab").take())
	b.e.SetPayloads(p)
	w.send(false, s.data(1, true, "cd").take())
	w.send(true, c.get(3, "/late").take())
	w.send(false, s.headers(3, false, ":status", "200").data(3, true, "efgh").take())
	require.Zero(t, b.e.byCookie[w.client].app.http2.Pending())
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	states := map[string]int{}
	for _, sp := range b.spans() {
		reason := ""
		if v, ok := sp.Attributes().Get(semantic.PayloadReason); ok {
			reason = v.Str()
		}
		states[str(t, sp.Attributes(), semantic.URLPath)+" "+str(t, sp.Attributes(), semantic.PayloadState)+" "+reason]++
	}
	require.Equal(t, map[string]int{"/early truncated payload_capture_off": 2, "/late pending ": 2}, states)
	require.Zero(t, b.e.charged)
}
