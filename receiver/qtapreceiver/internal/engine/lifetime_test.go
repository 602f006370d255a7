// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

func TestSocketThatConnectsAgain(t *testing.T) {
	b := newBench(t)
	w := b.dial(1)
	w.connect()
	b.e.Socket(&event.Socket{Kind: event.SocketClosed, Cookie: w.client, Time: b.now, Local: w.ca, Remote: w.sa, CloseReason: event.CloseRefused})
	b.now += 1e6
	w.connect()
	w.establish(true)
	w.establish(false)
	b.idle(time.Second) // the end of the first attempt is not the end of the second
	w.send(true, getRequest)
	w.send(false, okResponse)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Equal(t, map[string][]string{"/users/42": {"200", "200"}}, statusOf(t, b))
	reasons := map[string]string{} // close reason → requests
	for _, r := range b.records(semantic.EventConnection) {
		if m := r.Attributes(); str(t, m, semantic.ConnectionState) == "closed" && str(t, m, semantic.ConnectionRole) == "client" {
			reasons[str(t, m, semantic.ConnectionCloseReason)] = str(t, m, semantic.ConnectionRequests)
		}
	}
	require.Equal(t, map[string]string{"refused": "0", "fin": "1"}, reasons)
}

func TestDeferredAcceptAfterSameAddresses(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).open()
	w.send(true, getRequest)
	w.send(false, okResponse)
	w.hangup(event.CloseReset)
	// The same addresses again, while the first connection is kept for stragglers; sequence
	// numbers only moved on a little. The request comes under the listener's cookie.
	again := &wire{b: b, client: 3001, server: 3002, ca: w.ca, sa: w.sa, seq: [2]uint32{w.seq[0] + 5000, w.seq[1] + 5000}}
	again.packet(77, event.Ingress, event.FlagACK, again.seq[0], "GET /again HTTP/1.1\r\nHost: a\r\n\r\n")
	again.establish(false)
	again.packet(again.server, event.Egress, event.FlagACK, again.seq[1], okResponse)
	b.idle(time.Second)
	b.close()
	require.Equal(t, map[string][]string{"/users/42": {"200", "200"}, "/again": {"200"}}, statusOf(t, b))
}

func TestEvictedConnectionDidNotClose(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).open()
	w.send(true, getRequest)
	b.e.evict(maxConns, func(x, _ *conn) bool { return x.cookie == w.client })
	b.idle(time.Second)
	b.e.Close(b.now)
	b.close()
	for _, r := range b.records(semantic.EventConnection) {
		require.NotEqual(t, "closed", str(t, r.Attributes(), semantic.ConnectionState))
	}
	require.Len(t, b.spans(), 2)
	for _, s := range b.spans() {
		_, failed := s.Attributes().Get(semantic.ErrorType)
		require.False(t, failed, "the request goes on, it is only not watched any more")
		require.Equal(t, ptrace.StatusCodeUnset, s.Status().Code())
	}
}

func TestWhatTheCaptureMissedIsNoError(t *testing.T) {
	b := newBench(t, withPayloads(1<<16))
	w := b.dial(1).preExisting()
	w.send(true, getRequest)
	w.send(false, okResponse)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Len(t, b.spans(), 2)
	for _, s := range b.spans() {
		_, failed := s.Attributes().Get(semantic.ErrorType)
		require.False(t, failed)
		require.Equal(t, ptrace.StatusCodeUnset, s.Status().Code())
		require.Equal(t, "truncated", str(t, s.Attributes(), semantic.PayloadState))
		require.Equal(t, "gap", str(t, s.Attributes(), semantic.PayloadReason))
	}
}

func TestPayloadsThatAreAttachedLater(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).open()
	post := "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
	w.send(true, post[:len(post)-2])
	withPayloads(1<<16)(nil, b)
	w.send(true, post[len(post)-2:])
	w.send(false, okResponse)
	w.send(true, post)
	w.send(false, okResponse)
	w.hangup(event.CloseFIN)
	b.idle(2 * time.Second)
	b.close()
	var states []string
	for _, s := range b.spans() {
		if s.Kind() == ptrace.SpanKindClient {
			states = append(states, str(t, s.Attributes(), semantic.PayloadState))
		}
	}
	require.Equal(t, []string{"truncated", "pending"}, states, "a body that was not kept is not passed off as empty")
	last := b.segs[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(1).Attributes()
	body, ok := last.Get(semantic.PayloadRequestBody)
	require.True(t, ok)
	require.Equal(t, "body", string(body.Bytes().AsRaw()))
}

func TestUserinfoGoesNowhere(t *testing.T) {
	for _, request := range []string{
		"GET /a HTTP/1.1\r\nHost: bob:hunter2@a.example:80\r\n\r\n",
		"GET http://bob:hunter2@a.example/a HTTP/1.1\r\nHost: a\r\n\r\n",
		"CONNECT bob:hunter2@a.example:443 HTTP/1.1\r\nHost: bob:hunter2@a.example:443\r\n\r\n",
		"GET bob:hunter2@a.example HTTP/1.1\r\nHost: bob:hunter2@a.example\r\n\r\n",
	} {
		b := newBench(t)
		w := b.dial(1).open()
		w.send(true, request)
		w.send(false, okResponse)
		w.hangup(event.CloseFIN)
		b.idle(time.Second)
		b.close()
		require.Len(t, b.spans(), 2)
		for _, s := range b.spans() {
			for k, v := range s.Attributes().All() {
				if k != semantic.URLPath && k != semantic.URLFull || request[:5] != "GET b" { // a path may look like anything
					require.NotContains(t, v.AsString(), "hunter2", "%s of %q", k, request)
				}
			}
			require.Equal(t, "a.example", str(t, s.Attributes(), semantic.ServerAddress))
		}
		for _, r := range b.records(semantic.EventConnection) {
			require.NotContains(t, str(t, r.Attributes(), semantic.ServerAddress), "hunter2")
		}
	}
}

func TestPipelinedBodiesAreBounded(t *testing.T) {
	b := newBench(t, withPayloads(1<<20))
	part := repeat("x", 50000)
	head := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"
	for i := range 8 { // 100 MB of bodies each, and nobody answers
		w := b.dial(i)
		w.connect()
		w.establish(true)
		say := func(s string) {
			w.packet(w.client, event.Egress, event.FlagACK, w.seq[0], s)
			w.seq[0] += uint32(len(s))
		}
		for range 100 {
			say(head)
			for range 20 {
				say(part)
			}
		}
		kept := 0
		for _, c := range b.e.byCookie {
			if c.app.http1 != nil {
				kept += c.app.http1.Held()
			}
		}
		require.LessOrEqual(t, kept, maxCharged)
	}
	require.NotZero(t, b.e.stats().Evicted)
	b.close()
	require.Zero(t, b.e.charged)
}

func TestNothingIsSaidOfWhatIsIgnoredLater(t *testing.T) {
	b := newBench(t, func(s *Settings, _ *bench) { s.Ingress = false })
	w := b.dial(1)
	stats := event.Socket{Kind: event.SocketStats, Cookie: w.server, Time: b.now, Local: w.sa, Remote: w.ca, PreExisting: true, RcvNxt: w.seq[0], SndNxt: w.seq[1]}
	b.e.Socket(&stats)
	b.idle(3 * time.Second) // announced: nobody knows who opened it
	before := len(b.records(semantic.EventConnection))
	w.packet(w.server, event.Ingress, event.FlagACK, w.seq[0], getRequest) // now it is known
	stats.Time = b.now
	b.e.Socket(&stats)
	b.idle(time.Second)
	require.Len(t, b.records(semantic.EventConnection), before)
	b.close()
	require.Empty(t, b.spans())
}
