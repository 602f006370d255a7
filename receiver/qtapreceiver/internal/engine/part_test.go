// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

const (
	upgradeRequest  = "GET /chat HTTP/1.1\r\nHost: ws.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	upgradeResponse = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	streamResponse  = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)

func withPartAge(d time.Duration) option {
	return func(_ *Settings, b *bench) {
		p := *b.e.payloads.Load()
		p.PartAge = d
		b.e.SetPayloads(&p)
	}
}

func chunk(s string) string { return strconv.FormatInt(int64(len(s)), 16) + "\r\n" + s + "\r\n" }

// text is a server's frame of at most 125 bytes.
func text(s string) string { return "\x81" + string([]byte{byte(len(s))}) + s }

// payloadRecords returns every payload record so far.
func (b *bench) payloadRecords() (out []plog.LogRecord) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ld := range b.segs {
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					out = append(out, lr)
				}
			}
		}
	}
	return out
}

func parts(spans []ptrace.Span) (out []ptrace.Span) {
	for _, s := range spans {
		if _, ok := s.Attributes().Get(semantic.ExchangePart); ok {
			out = append(out, s)
		}
	}
	return out
}

func number(t *testing.T, s ptrace.Span, key string) int64 {
	t.Helper()
	v, ok := s.Attributes().Get(key)
	require.True(t, ok, key)
	return v.Int()
}

func TestWebSocketParts(t *testing.T) {
	b := newBench(t, withPayloads(100), withPartAge(time.Second))
	w := b.dial(1).open()
	w.own()
	w.send(true, upgradeRequest)
	w.send(false, upgradeResponse)
	w.send(true, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58") // RFC 6455 §5.7: a masked "Hello"
	w.send(false, text("a")+text("b"))
	b.idle(900 * time.Millisecond)
	b.idle(0)
	require.Empty(t, parts(b.spans()))
	b.idle(200 * time.Millisecond)
	b.idle(200 * time.Millisecond) // the emitter's own batch
	require.Len(t, parts(b.spans()), 2)
	for _, s := range parts(b.spans()) {
		require.Equal(t, int64(1), number(t, s, semantic.ExchangePart))
		require.Equal(t, int64(1), number(t, s, semantic.WebSocketClientMessages))
		require.Equal(t, int64(2), number(t, s, semantic.WebSocketServerMessages))
		require.Equal(t, int64(5), number(t, s, semantic.WebSocketClientBytes))
	}
	// Silence for longer than a connection is looked at makes no part; what then comes does.
	for range 20 {
		b.idle(time.Second)
	}
	w.send(false, text(repeat("long", 30)))
	w.send(true, "\x88\x82\x00\x00\x00\x00\x03\xe8")
	for range 3 {
		b.idle(time.Second)
	}
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	all := parts(b.spans())
	require.Len(t, all, 4)
	for _, s := range all[2:] {
		require.Equal(t, int64(2), number(t, s, semantic.ExchangePart))
		require.Equal(t, int64(1000), number(t, s, semantic.WebSocketCloseCode))
		require.Equal(t, semantic.PayloadTruncated, str(t, s.Attributes(), semantic.PayloadState))
	}
	golden(t, b, "websocket")
}

// TestWebSocketNumbers: where no payload is wanted there are the numbers, in no hurry.
func TestWebSocketNumbers(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).open()
	w.own()
	w.send(true, upgradeRequest)
	w.send(false, upgradeResponse)
	for range 2500 {
		w.send(false, text("tick"))
		b.idle(time.Millisecond)
	}
	b.idle(time.Second)
	require.Empty(t, parts(b.spans()))
	for range 40 {
		b.idle(time.Second)
	}
	b.close()
	all := parts(b.spans())
	require.Len(t, all, 2)
	for _, s := range all {
		require.Equal(t, int64(2500), number(t, s, semantic.WebSocketServerMessages))
		require.Equal(t, semantic.PayloadFiltered, str(t, s.Attributes(), semantic.PayloadState))
	}
}

// TestWebSocketBurst: a part that is full goes before its time, and the next goes on.
func TestWebSocketBurst(t *testing.T) {
	b := newBench(t, withPayloads(100), withPartAge(time.Hour))
	w := b.dial(1).open()
	w.own()
	w.send(true, upgradeRequest)
	w.send(false, upgradeResponse)
	for range 25 {
		w.send(false, repeat(text("tick"), 100))
	}
	b.close()
	counts := map[int64]int{}
	messages := 0
	for _, s := range parts(b.spans()) {
		counts[number(t, s, semantic.WebSocketServerMessages)]++
	}
	require.Equal(t, map[int64]int{1000: 4, 500: 2}, counts)
	for _, lr := range b.payloadRecords() {
		if v, ok := lr.Attributes().Get(semantic.PayloadWebSocketMessages); ok {
			messages += v.Slice().Len()
		}
	}
	require.Equal(t, 5000, messages)
}

func TestEventStreamParts(t *testing.T) {
	b := newBench(t, withPayloads(1000), withPartAge(time.Second))
	w := b.dial(1).open()
	w.own()
	w.send(true, getRequest)
	w.send(false, streamResponse+chunk("data: 1\n\nda"))
	b.idle(1100 * time.Millisecond)
	w.send(false, chunk("ta: 2\n\n"))
	b.idle(1100 * time.Millisecond)
	b.idle(1100 * time.Millisecond)
	w.send(false, chunk("data: 3\n\n")+"0\r\n\r\n")
	w.send(true, getRequest)
	w.send(false, okResponse) // the connection goes on
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	var bodies []string
	for _, lr := range b.payloadRecords() {
		if n, ok := lr.Attributes().Get(semantic.ExchangePart); ok {
			v, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
			bodies = append(bodies, n.AsString()+string(v.Bytes().AsRaw()))
		}
	}
	require.ElementsMatch(t, []string{
		"1data: 1\n\n", "1data: 1\n\n", "2data: 2\n\n", "2data: 2\n\n", "3data: 3\n\n", "3data: 3\n\n",
	}, bodies, "both ends")
	require.Len(t, b.spans(), 4+6)
	golden(t, b, "event_stream")
}

// TestShortEventStream has no parts: the exchange says all.
func TestShortEventStream(t *testing.T) {
	b := newBench(t, withPayloads(1000), withPartAge(time.Second))
	w := b.dial(1).open()
	w.own()
	w.send(true, getRequest)
	w.send(false, streamResponse+chunk("data: 1\n\n")+"0\r\n\r\n")
	b.close()
	require.Len(t, b.spans(), 2)
	require.Len(t, b.payloadRecords(), 2)
	for _, lr := range b.payloadRecords() {
		_, ok := lr.Attributes().Get(semantic.PayloadResponseBodyArrivals)
		require.True(t, ok)
	}
}

// TestCutEventStream: a stream whose end is never seen is an exchange all the same, and its parts
// are not lost.
func TestCutEventStream(t *testing.T) {
	b := newBench(t, withPayloads(1000), withPartAge(time.Second))
	w := b.dial(1).open()
	w.own()
	w.send(true, getRequest)
	w.send(false, streamResponse+chunk("data: 1\n\n"))
	b.idle(1100 * time.Millisecond)
	w.send(false, chunk("data: 2"))
	w.hangup(event.CloseReset)
	b.idle(time.Second)
	b.close()
	require.Len(t, parts(b.spans()), 4)
	require.Len(t, b.spans(), 6)
}

func TestConnectTunnel(t *testing.T) {
	b := newBench(t, withPayloads(1000))
	w := b.dial(1).open()
	w.own()
	// A proxy behind a proxy: one tunnel in another.
	for range 2 {
		w.send(true, "CONNECT api.example:8080 HTTP/1.1\r\nHost: api.example:8080\r\n\r\n")
		w.send(false, "HTTP/1.1 200 Connection established\r\n\r\n")
	}
	w.send(true, getRequest)
	w.send(false, okResponse)
	w.send(true, upgradeRequest) // a WebSocket in a tunnel
	w.send(false, upgradeResponse)
	w.send(false, text("in a tunnel"))
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	sequences := map[string]int{}
	ids := map[string]bool{}
	for _, s := range b.spans() {
		ids[s.SpanID().String()] = true
		if _, part := s.Attributes().Get(semantic.ExchangePart); !part {
			sequences[s.Name()+strconv.FormatInt(number(t, s, semantic.ExchangeSequence), 10)]++
		}
	}
	require.Equal(t, map[string]int{"CONNECT0": 2, "CONNECT1": 2, "GET2": 2, "GET3": 2}, sequences)
	require.Len(t, ids, 10)
	require.Len(t, parts(b.spans()), 2)
}

// TestOpaqueTunnel: what nobody can read is said so, and does not end in a request.
func TestOpaqueTunnel(t *testing.T) {
	for name, first := range map[string]string{"ssh": "SSH-2.0-OpenSSH_9.2\r\n", "depth": ""} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, withPayloads(1000))
			w := b.dial(1).open()
			w.own()
			n := 1
			if first == "" {
				n, first = maxTunnels+1, getRequest
			}
			for range n {
				w.send(true, "CONNECT h:22 HTTP/1.1\r\nHost: h:22\r\n\r\n")
				w.send(false, "HTTP/1.1 200 OK\r\n\r\n")
			}
			w.send(true, first)
			w.send(false, okResponse)
			w.hangup(event.CloseFIN)
			b.idle(time.Second)
			b.close()
			require.Len(t, b.spans(), 2*n)
			for _, lr := range b.records(semantic.EventConnection) {
				if str(t, lr.Attributes(), semantic.ConnectionState) == stateClosed {
					require.Equal(t, semantic.PayloadNotVisible, str(t, lr.Attributes(), semantic.PayloadVisibility))
				}
			}
		})
	}
}

func TestLastEvent(t *testing.T) {
	for in, want := range map[string]int{"": 0, "data: x\n": 0, "a\n\n": 3, "a\r\n\r\nb": 5, "a\r\rb\n\nc": 6, strings.Repeat("a\n\n", 3) + "b": 9} {
		n, _ := wholeEvents([]byte(in))
		require.Equal(t, want, n, "%q", in)
	}
}
