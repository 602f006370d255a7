// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// TestHTTP2Tunnels: WebSockets, a tunnel with a request and one with what nobody knows, all in one connection beside
// an ordinary request.
func TestHTTP2Tunnels(t *testing.T) {
	b := newBench(t, withPayloads(1000), withPartAge(time.Second))
	w := b.dial(1).open()
	c, s := newFrames(), newFrames()
	w.own()
	w.send(true, c.hello(true).take())
	w.send(false, s.hello(false).take())
	for i, id := range []uint32{1, 3} {
		w.send(true, c.headers(id, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "ws.example:8080", ":path", fmt.Sprintf("/chat%d", i)).take())
		w.send(false, s.headers(id, false, ":status", "200").take())
		w.send(true, c.data(id, false, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58").take())
	}
	w.send(false, s.data(1, false, text("one")).data(3, false, text("two")[:2]).data(1, false, text("three")).take())
	w.send(false, s.data(3, false, text("two")[2:]).take())
	w.send(true, c.headers(5, false, ":method", "CONNECT", ":authority", "api.example:8080").headers(7, false, ":method", "CONNECT", ":authority", "ssh.example:22").take())
	w.send(false, s.headers(5, false, ":status", "200").headers(7, false, ":status", "200").take())
	w.send(true, c.data(5, false, getRequest).data(7, false, "SSH-2.0-OpenSSH_9.2\r\n").get(9, "/beside").take())
	w.send(false, s.data(5, false, okResponse).headers(9, false, ":status", "204").data(9, true, "").take())
	require.Len(t, b.e.byCookie[w.client].app.inner, 2)
	w.send(true, c.data(5, true, "").data(7, true, "").take())
	w.send(false, s.data(5, true, "").data(7, true, "").take())
	require.Empty(t, b.e.byCookie[w.client].app.inner, "what has ended is forgotten")
	b.idle(1100 * time.Millisecond)
	w.send(false, s.data(3, true, text("last")).take())
	w.send(true, c.data(3, true, "").take())
	require.Len(t, b.e.byCookie[w.client].app.ongoing, 1)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()

	got := map[string]int{}
	for _, sp := range b.spans() {
		m := sp.Attributes()
		name := sp.Name() + " " + str(t, m, semantic.ServerAddress)
		if v, part := m.Get(semantic.ExchangePart); part {
			name += fmt.Sprintf(" part %d: %d up, %d down", v.Int(), number(t, sp, semantic.WebSocketClientMessages), number(t, sp, semantic.WebSocketServerMessages))
			require.Equal(t, "websocket", str(t, m, semantic.NetworkProtocolName))
		}
		_, failed := m.Get(semantic.ErrorType)
		require.False(t, failed)
		got[name]++
		if sp.Kind() == ptrace.SpanKindClient {
			require.NotEmpty(t, str(t, m, semantic.URLFull))
		}
	}
	require.Equal(t, map[string]int{
		"CONNECT ws.example": 4, "CONNECT api.example": 2, "CONNECT ssh.example": 2, "GET api.example": 4,
		"CONNECT ws.example part 1: 1 up, 2 down": 2, "CONNECT ws.example part 1: 1 up, 1 down": 2, "CONNECT ws.example part 2: 0 up, 1 down": 2,
	}, got)
	for _, r := range b.records(semantic.EventConnection) {
		require.Equal(t, "http", str(t, r.Attributes(), semantic.NetworkProtocolName), "beside the tunnels it goes on")
		if str(t, r.Attributes(), semantic.ConnectionState) == stateClosed {
			require.Equal(t, "visible", str(t, r.Attributes(), semantic.PayloadVisibility))
		}
	}
}

// TestHTTP2TunnelsAreBounded: a tunnel in a tunnel in a tunnel ends somewhere.
func TestHTTP2TunnelsAreBounded(t *testing.T) {
	b := newBench(t, withPayloads(1000))
	w := b.dial(1).open()
	w.own()
	wrapC, wrapS := func(s string) string { return s }, func(s string) string { return s }
	for range maxTunnels + 2 {
		c, s := newFrames(), newFrames()
		w.send(true, wrapC(c.hello(true).headers(1, false, ":method", "CONNECT", ":authority", "h:1").take()))
		w.send(false, wrapS(s.hello(false).headers(1, false, ":status", "200").take()))
		outerC, outerS := wrapC, wrapS
		wrapC = func(x string) string { return outerC(c.data(1, false, x).take()) }
		wrapS = func(x string) string { return outerS(s.data(1, false, x).take()) }
	}
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Len(t, b.spans(), 2*(maxTunnels+1))
}
