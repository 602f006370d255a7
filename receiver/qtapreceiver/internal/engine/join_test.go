// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// scanned is what a scan of open sockets tells of one end of w: what of the bytes that went before is
// acknowledged may be less, by inFlight.
func (w *wire) scanned(client bool, role event.Role, sent, received, inFlight uint64) {
	s := event.Socket{Kind: event.SocketStats, Cookie: w.client, Time: w.b.now, Local: w.ca, Remote: w.sa, TGID: 100, PreExisting: true, Role: role, HasISN: true}
	out, in := w.seq[0], w.seq[1]
	if !client {
		s.Cookie, s.Local, s.Remote, s.TGID = w.server, w.sa, w.ca, 200
		out, in = in, out
	}
	s.SndNxt, s.RcvNxt, s.BytesSent, s.BytesReceived = out, in, sent-inFlight, received
	s.SndISN, s.RcvISN = out-1-uint32(sent), in-1-uint32(received)
	if client && role == event.RoleUnknown { // as for a server, whose SYN is not counted
		s.SndISN--
		s.BytesSent++
	}
	w.b.e.Socket(&s)
}

// preExisting tells of both ends of w as the first scan of open sockets does.
func (w *wire) preExisting() *wire {
	w.sent = [2]uint64{500, 900}
	w.scanned(true, event.RoleClient, 500, 900, 0)
	w.scanned(false, event.RoleServer, 900, 500, 0)
	return w
}

// TestPreExistingJoinOneTrace scans both ends at different times, with bytes on their way, and without
// knowing who opened the connection.
func TestPreExistingJoinOneTrace(t *testing.T) {
	for name, roles := range map[string][2]event.Role{
		"roles known":           {event.RoleClient, event.RoleServer},
		"client's role unknown": {event.RoleUnknown, event.RoleServer},
		"server's role unknown": {event.RoleClient, event.RoleUnknown},
		"no role known":         {event.RoleUnknown, event.RoleUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			w := b.dial(1)
			const before = 1 << 33 // more than sequence numbers count
			w.scanned(true, roles[0], before+500, 900, 120)
			w.send(true, "the rest of what was on its way")
			w.send(false, "HTTP/1.1 204 No Content\r\n\r\n")
			w.scanned(false, roles[1], 900+27, before+500+31, 27)
			for range 3 {
				w.send(true, getRequest)
				w.send(false, okResponse)
			}
			w.hangup(event.CloseFIN)
			b.idle(time.Second)
			b.close()
			spans := b.spans()
			require.Len(t, spans, 6)
			traces := map[string]int{}
			for _, s := range spans {
				traces[s.TraceID().String()]++
			}
			require.Len(t, traces, 3, "each request is one trace, whichever end it is seen from")
		})
	}
}

// TestPreExistingWithoutBooksDoNotJoin: what was read while it changed names nothing.
func TestPreExistingWithoutBooksDoNotJoin(t *testing.T) {
	b := newBench(t)
	w := b.dial(1)
	b.e.Socket(&event.Socket{Kind: event.SocketStats, Cookie: w.client, Time: b.now, Local: w.ca, Remote: w.sa, TGID: 100, PreExisting: true,
		Role: event.RoleClient, RcvNxt: w.seq[1], SndNxt: w.seq[0], BytesReceived: 900, BytesSent: 500})
	w.scanned(false, event.RoleServer, 900, 500, 0)
	w.send(true, getRequest)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	spans := b.spans()
	require.Len(t, spans, 2)
	require.NotEqual(t, spans[0].TraceID(), spans[1].TraceID())
}

// TestEqualTuplesInTwoNamespaces: what has no known cookie goes to the connection of its own namespace.
func TestEqualTuplesInTwoNamespaces(t *testing.T) {
	for name, addr := range map[string]string{"loopback": "127.0.0.1", "private": "10.0.0.1"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			local, remote := netip.MustParseAddrPort(addr+":8080"), netip.MustParseAddrPort(addr+":40000")
			for i, netns := range []uint32{7, 8} {
				b.e.Socket(&event.Socket{Kind: event.SocketEstablished, Cookie: event.Cookie(10 + i), Time: b.now, Local: local, Remote: remote, Netns: netns,
					TGID: uint32(100 * (i + 1)), Role: event.RoleServer, RcvNxt: 1000, SndNxt: 2000})
			}
			// A deferred accept: the request comes under the cookie of its listener.
			for i, netns := range []uint32{7, 8} {
				request := fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", netns)
				b.e.Packet(&event.Packet{Cookie: 99, Time: b.now, Dir: event.Ingress, Flags: event.FlagACK, Seq: 1000, Len: uint32(len(request)), Data: []byte(request),
					Local: local, Remote: remote, Netns: netns})
				b.e.Packet(&event.Packet{Cookie: event.Cookie(10 + i), Time: b.now, Dir: event.Egress, Flags: event.FlagACK, Seq: 2000, Len: uint32(len(okResponse)),
					Data: []byte(okResponse), Local: local, Remote: remote, Netns: netns})
			}
			if name == "loopback" { // the collector's own connection in one of them is none in the other
				b.e.Socket(&event.Socket{Kind: event.SocketExcluded, Cookie: 20, Time: b.now, Local: remote, Remote: local, Netns: 9})
			}
			b.idle(time.Second)
			b.close()
			require.Equal(t, map[string][]string{"/7": {"200"}, "/8": {"200"}}, statusOf(t, b))
			pids := map[string]int64{}
			for _, rs := range b.td.ResourceSpans().All() {
				pid, _ := rs.Resource().Attributes().Get(semantic.ProcessPID)
				for _, s := range rs.ScopeSpans().At(0).Spans().All() {
					pids[str(t, s.Attributes(), semantic.URLPath)] = pid.Int()
				}
			}
			require.Equal(t, map[string]int64{"/7": 100, "/8": 200}, pids)
		})
	}
}

// statusOf returns the statuses that the spans of each path have, "none" without a response.
func statusOf(t *testing.T, b *bench) map[string][]string {
	out := map[string][]string{}
	for _, s := range b.spans() {
		status := "none"
		if v, ok := s.Attributes().Get(semantic.HTTPResponseStatusCode); ok {
			status = v.AsString()
		}
		path := str(t, s.Attributes(), semantic.URLPath)
		out[path] = append(out[path], status)
	}
	return out
}

func TestPipeliningClientJoinedMidStreamIsNotMispaired(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).preExisting()
	// A request is out already: each response that comes answers the request before the latest.
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n" }
	answer := "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	w.send(true, get("/1"))
	w.send(false, answer)
	w.send(true, get("/2"))
	w.send(false, answer)
	// Here it shows that it does not wait.
	w.send(true, get("/3"))
	w.send(true, get("/4"))
	for range 5 {
		w.send(false, answer)
		w.send(true, get("/5"))
	}
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Equal(t, map[string][]string{
		"/1": {"none", "none"}, "/2": {"none", "none"}, "/3": {"none", "none"}, "/4": {"none", "none"},
		"/5": {"none", "none", "none", "none", "none", "none", "none", "none", "none", "none"},
	}, statusOf(t, b), "every request is reported, and none with the response of another")
}

func TestJoinedKeepAliveIsPairedAgain(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).preExisting()
	// A client whose waits have nothing to do with the server: 30 ms, 530 ms, 30 ms, …
	for i := range 20 {
		b.now += int64(30+i%2*500) * 1e6
		w.send(true, getRequest)
		w.send(false, okResponse)
	}
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	paired := 0
	for _, status := range statusOf(t, b)["/users/42"] {
		if status == "200" {
			paired++
		}
	}
	require.GreaterOrEqual(t, paired, 2*12)
}

func TestConstantlyPipeliningClientJoinedMidStreamIsNotPaired(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).preExisting()
	// Always one more request than responses, in strict alternation and each packet after the other.
	for i := range 1000 {
		w.send(true, fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i))
		b.now += int64(i%7) * 1e6
		w.send(false, okResponse)
	}
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	for path, status := range statusOf(t, b) {
		require.Equal(t, []string{"none", "none"}, status, path)
	}
}

func TestConnectionWhoseBeginningWasLostIsJoined(t *testing.T) {
	b := newBench(t)
	w := b.dial(1)
	// Only its owner is known: the ring was full when it was established.
	w.own()
	w.packet(w.server, event.Ingress, event.FlagACK, w.seq[0], "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	w.packet(w.server, event.Egress, event.FlagACK, w.seq[1], "HTTP/1.1 500 of another request\r\nContent-Length: 0\r\n\r\n")
	b.idle(2 * time.Second)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Equal(t, map[string][]string{"/2": {"none"}}, statusOf(t, b))
}

func TestTLSJoinedAfterItsHandshakeSaysSo(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).preExisting()
	w.send(true, "\x17\x03\x03\x00\x20"+repeat("x", 32))
	w.send(false, "\x17\x03\x03\x00\x20"+repeat("y", 32)+"\x17\x03\x03\x40")
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Empty(t, b.spans())
	require.Len(t, b.records(semantic.EventConnection), 2)
	for _, r := range b.records(semantic.EventConnection) {
		require.Equal(t, "not_visible", str(t, r.Attributes(), semantic.PayloadVisibility))
		require.Equal(t, "attached_late", str(t, r.Attributes(), semantic.PayloadReason))
	}
}

func TestServerThatHadReceivedNothingIsPaired(t *testing.T) {
	b := newBench(t)
	w := b.dial(1)
	b.e.Socket(&event.Socket{Kind: event.SocketStats, Cookie: w.server, Time: b.now, Local: w.sa, Remote: w.ca, TGID: 200, PreExisting: true,
		Role: event.RoleServer, RcvNxt: w.seq[0], SndNxt: w.seq[1]})
	w.packet(w.server, event.Ingress, event.FlagACK, w.seq[0], getRequest)
	b.now += 1e6
	w.packet(w.server, event.Egress, event.FlagACK, w.seq[1], okResponse)
	b.idle(time.Second)
	b.close()
	require.Equal(t, map[string][]string{"/users/42": {"200"}}, statusOf(t, b))
}

// A lost SYN is sent again after a second, or three: its connection is no older for that.
func TestConnectionWhoseHandshakeTookLongIsNotJoined(t *testing.T) {
	b := newBench(t)
	w := b.dial(1)
	w.connect()
	w.packet(w.client, event.Egress, event.FlagSYN, w.seq[0]-1, "")
	for range 30 {
		b.idle(100 * time.Millisecond)
	}
	w.packet(w.client, event.Egress, event.FlagSYN, w.seq[0]-1, "")
	w.establish(true)
	w.packet(w.client, event.Egress, event.FlagACK, w.seq[0], getRequest)
	b.now += 1e6
	w.packet(w.client, event.Ingress, event.FlagACK, w.seq[1], okResponse)
	b.idle(time.Second)
	b.close()
	require.Equal(t, map[string][]string{"/users/42": {"200"}}, statusOf(t, b))
}
