// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// preExisting tells of both ends of w as the first scan of open sockets does.
func (w *wire) preExisting() *wire {
	w.b.e.Socket(&event.Socket{Kind: event.SocketStats, Cookie: w.client, Time: w.b.now, Local: w.ca, Remote: w.sa, TGID: 100, PreExisting: true,
		Role: event.RoleClient, RcvNxt: w.seq[1], SndNxt: w.seq[0], BytesReceived: 900, BytesSent: 500})
	w.b.e.Socket(&event.Socket{Kind: event.SocketStats, Cookie: w.server, Time: w.b.now, Local: w.sa, Remote: w.ca, TGID: 200, PreExisting: true,
		Role: event.RoleServer, RcvNxt: w.seq[0], SndNxt: w.seq[1], BytesReceived: 500, BytesSent: 900})
	return w
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
	for range 8 {
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
	require.GreaterOrEqual(t, paired, 2*4)
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
