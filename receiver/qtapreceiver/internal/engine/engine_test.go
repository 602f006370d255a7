// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

func str(t *testing.T, m pcommon.Map, key string) string {
	t.Helper()
	v, ok := m.Get(key)
	require.True(t, ok, "no %s", key)
	return v.AsString()
}

func TestBothEndsJoinOneTrace(t *testing.T) {
	b := newBench(t, withPayloads(1<<16))
	w := b.dial(1).open()
	w.send(true, getRequest)
	w.own()
	w.send(false, okResponse)
	w.send(true, getRequest)
	w.send(false, okResponse)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()

	spans := b.spans()
	require.Len(t, spans, 4)
	byKind := map[ptrace.SpanKind][]ptrace.Span{}
	for _, s := range spans {
		byKind[s.Kind()] = append(byKind[s.Kind()], s)
	}
	clients, servers := byKind[ptrace.SpanKindClient], byKind[ptrace.SpanKindServer]
	require.Len(t, clients, 2)
	require.Len(t, servers, 2)
	for i := range clients {
		require.Equal(t, clients[i].TraceID(), servers[i].TraceID())
		require.Equal(t, clients[i].SpanID(), servers[i].ParentSpanID())
		require.NotEqual(t, clients[i].SpanID(), servers[i].SpanID())
		require.True(t, clients[i].ParentSpanID().IsEmpty())
		require.Equal(t, "http://api.example:8080/users/42?token=s3cret", str(t, clients[i].Attributes(), semantic.URLFull))
		_, has := servers[i].Attributes().Get(semantic.URLFull)
		require.False(t, has)
		require.Equal(t, "pending", str(t, clients[i].Attributes(), semantic.PayloadState))
	}
	require.NotEqual(t, clients[0].TraceID(), clients[1].TraceID(), "each exchange is a trace of its own")
	require.NotEqual(t, str(t, clients[0].Attributes(), semantic.ConnectionID), str(t, servers[0].Attributes(), semantic.ConnectionID))

	records := b.records(semantic.EventConnection)
	require.Len(t, records, 2, "short connections have one record per end")
	require.Len(t, b.records(semantic.EventSegment), 2, "one per service")
	require.Len(t, b.segs, 2)
	golden(t, b, "both_ends")
}

func TestTraceparent(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).open()
	w.send(true, "GET / HTTP/1.1\r\nHost: a\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n")
	w.send(false, okResponse)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	spans := b.spans()
	require.Len(t, spans, 2)
	for _, s := range spans {
		require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", s.TraceID().String())
		require.Equal(t, "00f067aa0ba902b7", s.ParentSpanID().String())
		require.Equal(t, "filtered", str(t, s.Attributes(), semantic.PayloadState))
		require.Equal(t, "payload_capture_off", str(t, s.Attributes(), semantic.PayloadReason))
	}
	require.NotEqual(t, spans[0].SpanID(), spans[1].SpanID())
}

func TestPacketsBeforeTheirSocket(t *testing.T) {
	b := newBench(t)
	w := b.dial(1)
	// The request overtakes every event of its socket, and comes under the listener's cookie (a
	// deferred accept); the client's own packet comes under a cookie not announced yet.
	w.packet(77, event.Ingress, event.FlagACK, w.seq[0], getRequest)
	w.packet(w.client, event.Egress, event.FlagACK, w.seq[0], getRequest)
	w.open()
	w.seq[0] += uint32(len(getRequest))
	w.own()
	w.send(false, okResponse)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Len(t, b.spans(), 2)
	for _, s := range b.spans() {
		require.Equal(t, "200", str(t, s.Attributes(), semantic.HTTPResponseStatusCode))
	}
}

func TestSYNAnchors(t *testing.T) {
	b := newBench(t)
	w := b.dial(1)
	w.connect()
	// No Established event ever comes: the handshake's own packets say where the streams begin.
	w.packet(w.client, event.Egress, event.FlagSYN, w.seq[0]-1, "")
	w.packet(w.client, event.Ingress, event.FlagSYN|event.FlagACK, w.seq[1]-1, "")
	w.packet(w.client, event.Egress, event.FlagACK, w.seq[0], getRequest)
	b.now += 5e6
	w.packet(w.client, event.Ingress, event.FlagACK, w.seq[1], okResponse)
	b.idle(200 * time.Millisecond)
	b.close()
	require.Len(t, b.spans(), 1)
	require.Equal(t, ptrace.SpanKindClient, b.spans()[0].Kind())
}

func TestExcludedLeavesNoTrace(t *testing.T) {
	for name, exclude := range map[string]func(w *wire){
		"accepted by the collector": func(w *wire) {
			w.b.e.Socket(&event.Socket{Kind: event.SocketExcluded, Cookie: w.server, Time: w.b.now, Local: w.sa, Remote: w.ca})
		},
		"opened by the collector": func(w *wire) {
			w.b.e.Socket(&event.Socket{Kind: event.SocketExcluded, Cookie: w.client, Time: w.b.now, Local: w.ca, Remote: w.sa})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, withPayloads(1<<16))
			w := b.dial(1).open()
			w.send(true, getRequest)
			exclude(w)
			w.own()
			w.send(false, okResponse)
			b.idle(5 * time.Second)
			w.hangup(event.CloseFIN)
			b.idle(time.Second)
			b.close()
			require.Empty(t, b.spans())
			require.Empty(t, b.records(semantic.EventConnection))
			require.Empty(t, b.segs)
			require.EqualValues(t, 2, b.e.Stats().Excluded)
		})
	}
}

func TestExcludedBeforeItsPeer(t *testing.T) {
	b := newBench(t)
	w := b.dial(1)
	// Marked when its connect began: the port is not chosen yet.
	w.b.e.Socket(&event.Socket{Kind: event.SocketExcluded, Cookie: w.client, Time: b.now, Remote: w.sa})
	w.open()
	w.send(true, getRequest)
	w.own()
	w.send(false, okResponse)
	w.hangup(event.CloseFIN)
	b.idle(3 * time.Second)
	b.close()
	require.Empty(t, b.spans())
	require.Empty(t, b.records(semantic.EventConnection))
}

func TestRecordsOfALongConnection(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).open()
	w.send(true, getRequest)
	w.send(false, okResponse)
	b.idle(100 * time.Millisecond)
	for range 2 {
		b.now += 30e9
		b.e.Socket(&event.Socket{Kind: event.SocketStats, Cookie: w.client, Time: b.now, Local: w.ca, Remote: w.sa, BytesSent: 84})
		b.e.Socket(&event.Socket{Kind: event.SocketStats, Cookie: w.server, Time: b.now, Local: w.sa, Remote: w.ca})
	}
	w.hangup(event.CloseReset)
	b.idle(time.Second)
	b.close()
	var states []string
	var last pcommon.Map
	for _, r := range b.records(semantic.EventConnection) {
		if str(t, r.Attributes(), semantic.ConnectionRole) == "client" {
			require.Equal(t, int64(len(states)), func() int64 { v, _ := r.Attributes().Get(semantic.ConnectionSequence); return v.Int() }())
			states = append(states, str(t, r.Attributes(), semantic.ConnectionState))
			last = r.Attributes()
		}
	}
	require.Equal(t, []string{"open", "established", "established", "closed"}, states)
	require.Equal(t, "reset", str(t, last, semantic.ConnectionCloseReason))
	require.Equal(t, strconv.Itoa(len(getRequest)), str(t, last, semantic.ConnectionSentBytes))
	require.Equal(t, "api.example", str(t, last, semantic.ServerAddress))
	require.Equal(t, "visible", str(t, last, semantic.PayloadVisibility))
}

func TestRefusedConnection(t *testing.T) {
	b := newBench(t)
	w := b.dial(1)
	w.connect()
	b.e.Socket(&event.Socket{Kind: event.SocketClosed, Cookie: w.client, Time: b.now, Local: w.ca, Remote: w.sa, CloseReason: event.CloseRefused})
	b.idle(time.Second)
	b.close()
	r := b.records(semantic.EventConnection)
	require.Len(t, r, 1)
	require.Equal(t, "closed", str(t, r[0].Attributes(), semantic.ConnectionState))
	require.Equal(t, "refused", str(t, r[0].Attributes(), semantic.ConnectionCloseReason))
}

func TestSocketThatConnectsAgainIsAnotherConnection(t *testing.T) {
	b := newBench(t)
	w := b.dial(1)
	w.connect()
	b.e.Socket(&event.Socket{Kind: event.SocketClosed, Cookie: w.client, Time: b.now, Local: w.ca, Remote: w.sa, CloseReason: event.CloseRefused})
	b.now += 1e6
	w.connect()
	w.establish(true)
	b.idle(3 * time.Second)
	b.close()
	r := b.records(semantic.EventConnection)
	require.GreaterOrEqual(t, len(r), 2)
	first, second := r[0].Attributes(), r[1].Attributes()
	require.Equal(t, "refused", str(t, first, semantic.ConnectionCloseReason))
	require.NotEqual(t, str(t, first, semantic.ConnectionID), str(t, second, semantic.ConnectionID))
}

func TestFilters(t *testing.T) {
	exchange := func(b *bench) {
		w := b.dial(1).open()
		w.send(true, getRequest)
		w.own()
		w.send(false, okResponse)
		w.hangup(event.CloseFIN)
		b.idle(time.Second)
		b.close()
	}
	for _, c := range []struct {
		name string
		set  func(*Settings)
		want int
	}{
		{"all", func(*Settings) {}, 2},
		{"egress", func(s *Settings) { s.Ingress = false }, 1},
		{"ingress", func(s *Settings) { s.Egress = false }, 1},
		{"included", func(s *Settings) { s.Include = []uint16{80, 8080} }, 2},
		{"not included", func(s *Settings) { s.Include = []uint16{443} }, 0},
		{"excluded", func(s *Settings) { s.Exclude = []uint16{8080} }, 0},
		{"the client's port is not the server's", func(s *Settings) { s.Exclude = []uint16{40001} }, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, func(s *Settings, _ *bench) { c.set(s) })
			exchange(b)
			require.Len(t, b.spans(), c.want)
			require.Len(t, b.records(semantic.EventConnection), c.want)
		})
	}
}

func TestIncompleteAndErrors(t *testing.T) {
	for _, c := range []struct {
		name, response string
		reason         event.CloseReason
		client, server string // error.type
	}{
		{"not found", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", event.CloseFIN, "404", ""},
		{"server error", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", event.CloseFIN, "503", "503"},
		{"closed", "", event.CloseFIN, "connection_closed", "connection_closed"},
		{"reset", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", event.CloseReset, "connection_reset", "connection_reset"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			w := b.dial(1).open()
			w.send(true, getRequest)
			if c.response != "" {
				w.send(false, c.response)
			}
			w.hangup(c.reason)
			b.idle(time.Second)
			b.close()
			require.Len(t, b.spans(), 2)
			for _, s := range b.spans() {
				want := c.client
				if s.Kind() == ptrace.SpanKindServer {
					want = c.server
				}
				v, ok := s.Attributes().Get(semantic.ErrorType)
				if want == "" {
					require.False(t, ok)
					require.Equal(t, ptrace.StatusCodeUnset, s.Status().Code())
				} else {
					require.Equal(t, want, v.Str())
					require.Equal(t, ptrace.StatusCodeError, s.Status().Code())
				}
			}
		})
	}
}

func TestOpaqueConnectionSaysSo(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).open()
	w.send(false, "220 mail ESMTP\r\n")
	w.send(true, "EHLO me\r\n")
	w.send(true, "\x00\x01\x02 not http at all\r\n\r\n")
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Empty(t, b.spans())
	for _, r := range b.records(semantic.EventConnection) {
		require.Equal(t, "not_visible", str(t, r.Attributes(), semantic.PayloadVisibility))
		require.Equal(t, "unknown_protocol", str(t, r.Attributes(), semantic.PayloadReason))
	}
}

func TestPreExistingIsJoined(t *testing.T) {
	b := newBench(t)
	w := b.dial(1)
	w.scanned(true, event.RoleUnknown, 500, 1<<33, 0)
	w.scanned(false, event.RoleUnknown, 1<<33, 500, 0)
	w.send(false, "the end of a body that began before")
	w.send(true, getRequest)
	w.send(false, okResponse)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	spans := b.spans()
	require.Len(t, spans, 2)
	require.Equal(t, spans[0].TraceID(), spans[1].TraceID())
	require.NotEqual(t, spans[0].Kind(), spans[1].Kind())
}

func TestTableIsBounded(t *testing.T) {
	b := newBench(t)
	for i := range maxConns + 100 {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 40000)
		b.e.Socket(&event.Socket{Kind: event.SocketEstablished, Cookie: event.Cookie(i + 1), Time: b.now + int64(i), Local: a, Remote: netip.MustParseAddrPort("10.9.9.9:80"), Role: event.RoleClient})
	}
	st := b.e.stats()
	require.LessOrEqual(t, st.Connections, maxConns)
	require.EqualValues(t, 100, st.Evicted)
}

func TestHeldPacketsAreBounded(t *testing.T) {
	b := newBench(t)
	w := b.dial(1)
	for i := range 40 {
		w.packet(5, event.Ingress, event.FlagACK, uint32(i*16384), repeat("x", 16384))
	}
	require.LessOrEqual(t, b.e.held, maxHeldConn)
	b.idle(6 * time.Second)
	b.idle(6 * time.Second)
	require.Zero(t, b.e.held, "nobody claimed them")
	require.Empty(t, b.e.byTuple)
}

func TestBodyCapAndRawBytes(t *testing.T) {
	b := newBench(t, withPayloads(10))
	w := b.dial(1).open()
	w.send(true, "POST /a HTTP/1.1\r\nHost: x\r\nX-Odd: \xff\xfe\r\nx-odd: 2\r\nContent-Length: 20\r\n\r\n01234567890123456789")
	w.own()
	w.send(false, okResponse)
	b.idle(3 * time.Second)
	b.close()
	for _, s := range b.spans() {
		require.Equal(t, "truncated", str(t, s.Attributes(), semantic.PayloadState))
		require.Equal(t, "max_body_size", str(t, s.Attributes(), semantic.PayloadReason))
	}
	require.Len(t, b.segs, 2)
	m := b.segs[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes()
	body, _ := m.Get(semantic.PayloadRequestBody)
	require.Equal(t, "0123456789", string(body.Bytes().AsRaw()))
	require.Equal(t, "20", str(t, m, semantic.PayloadRequestBodySize))
	require.Equal(t, "true", str(t, m, semantic.PayloadRequestBodyTruncated))
	hs, _ := m.Get(semantic.PayloadRequestHeaders)
	require.Equal(t, "X-Odd", hs.Slice().At(1).Slice().At(0).Str())
	require.Equal(t, []byte("\xff\xfe"), hs.Slice().At(1).Slice().At(1).Bytes().AsRaw())
	require.Equal(t, "x-odd", hs.Slice().At(2).Slice().At(0).Str())
}

func TestUnfinishedExchangesAreBounded(t *testing.T) {
	b := newBench(t, withPayloads(16<<20))
	part := repeat("x", 60000)
	for i := range 30 { // each sends 15 MB of a body and never ends
		w := b.dial(i)
		w.connect()
		w.establish(true)
		w.packet(w.client, event.Egress, event.FlagACK, w.seq[0], "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 16000000\r\n\r\n")
		w.seq[0] += 54
		for range 250 {
			w.packet(w.client, event.Egress, event.FlagACK, w.seq[0], part)
			w.seq[0] += uint32(len(part))
			require.LessOrEqual(t, b.e.charged, maxCharged)
		}
	}
	require.NotZero(t, b.e.stats().Evicted)
	b.close()
	require.Zero(t, b.e.charged)
}

// TestTurnsAreBounded: TLS is looked for in the dialogue of a protocol that is not known, and not for ever.
func TestTurnsAreBounded(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).open()
	w.own()
	w.send(false, "220 mail.example ESMTP\r\n")
	for i := range maxTurns + 1 {
		a := &b.e.byCookie[w.client].app
		require.Equal(t, i > maxTurns, a.opaque)
		w.send(true, "NOOP\r\n")
		w.send(false, "250 OK\r\n")
	}
	require.True(t, b.e.byCookie[w.client].app.opaque)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Empty(t, b.spans())
}
