// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/restart"
)

// kept is a Sessions that a later engine is given.
type kept map[event.Cookie]restart.Session

func (k kept) Load(c event.Cookie) *restart.Session {
	if s, ok := k[c]; ok {
		return &s
	}
	return nil
}
func (k kept) Save(c event.Cookie, s *restart.Session) { k[c] = *s }
func (k kept) Delete(c event.Cookie)                   { delete(k, c) }
func (k kept) Tick()                                   {}

func withSessions(k kept) option { return func(s *Settings, _ *bench) { s.Sessions = k } }

// restartable plays exchanges over TLS up to a message of the client, restarts the engine, lets skip messages go by
// that nobody sees, and plays the rest in the second one. One that is killed saves nothing at its end.
func restartable(t *testing.T, killed bool, at, skip int) *bench {
	t.Helper()
	const exchanges = 20
	wire, log := exchangesOverTLS(t, "http/1.1", exchanges, getRequest, okResponse)
	start := len(wire) - 2*(exchanges-at) // the client's message at
	require.True(t, wire[start].client)
	sessions := kept{}
	b := newBench(t, withSessions(sessions))
	w := b.dial(1).open()
	first := w.seq
	b.keyLog(log)
	for _, s := range wire[:start] {
		w.send(s.client, string(s.b))
		b.idle(200 * time.Millisecond)
	}
	require.Len(t, sessions, 2)
	if killed {
		saved := kept{}
		for c, s := range sessions {
			saved[c] = s
		}
		b.close()
		sessions = saved
	} else {
		b.close()
	}
	require.Len(t, sessions, 2, "the connections go on")

	next := newBench(t, withSessions(sessions))
	next.now = b.now + int64(time.Minute)
	w.b = next
	for _, s := range wire[start:][:skip] {
		w.seq[map[bool]int{true: 0, false: 1}[s.client]] += uint32(len(s.b))
	}
	before := func(i int) uint64 { return uint64(w.seq[i] - first[i]) }
	w.scanned(true, event.RoleClient, before(0), before(1), 0)
	w.scanned(false, event.RoleServer, before(1), before(0), 0)
	for _, s := range wire[start:][skip:] {
		w.send(s.client, string(s.b))
		next.idle(10 * time.Millisecond)
	}
	w.hangup(event.CloseFIN)
	next.idle(2 * time.Second)
	next.close()
	require.Empty(t, sessions, "they ended, and what was kept with them")
	return next
}

func TestRestartWithNothingMissed(t *testing.T) {
	for _, killed := range []bool{false, true} {
		b := restartable(t, killed, 5, 0)
		status := statusOf(t, b)["/users/42"]
		require.Len(t, status, 2*15)
		require.NotContains(t, status, "none")
		for _, s := range b.spans() {
			n, _ := s.Attributes().Get(semantic.ExchangeSequence)
			require.GreaterOrEqual(t, n.Int(), int64(5), "the count goes on")
			require.Equal(t, "h", str(t, b.records(semantic.EventConnection)[0].Attributes(), semantic.ServerAddress))
		}
		last := b.records(semantic.EventConnection)
		for _, r := range last[len(last)-2:] {
			require.Equal(t, "closed", str(t, r.Attributes(), semantic.ConnectionState))
			requests, _ := r.Attributes().Get(semantic.ConnectionRequests)
			require.EqualValues(t, 20, requests.Int())
			start, _ := r.Attributes().Get(semantic.ConnectionStart)
			require.Less(t, start.Int(), t0+int64(time.Second), "it is the same connection")
			sequence, _ := r.Attributes().Get(semantic.ConnectionSequence)
			require.NotZero(t, sequence.Int())
		}
	}
}

func TestRestartWithSomethingMissed(t *testing.T) {
	for _, skip := range []int{1, 2, 7} {
		b := restartable(t, true, 5, skip)
		status := statusOf(t, b)["/users/42"]
		require.GreaterOrEqual(t, len(status), 2*(15-(skip+1)/2-1))
		answered := slices.DeleteFunc(status, func(s string) bool { return s == "none" })
		require.GreaterOrEqual(t, len(answered), 2*(15-(skip+1)/2-5), "the client was known to wait")
	}
}

// TestRestartBelievesTheSameConnectionOnly: a cookie alone proves nothing.
func TestRestartBelievesTheSameConnectionOnly(t *testing.T) {
	sessions := kept{1001: {Role: event.RoleClient, ClientISN: 1, ServerISN: 2}, 2001: {Role: event.RoleServer}}
	b := newBench(t, withSessions(sessions))
	w := b.dial(1).preExisting()
	require.Empty(t, sessions)
	w.send(true, getRequest)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Equal(t, map[string][]string{"/users/42": {"none", "none"}}, statusOf(t, b))
}
