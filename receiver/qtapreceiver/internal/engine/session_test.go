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
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

// kept is a Sessions that a later engine is given.
type kept map[event.Cookie]restart.Session

func (k kept) Load(c event.Cookie) *restart.Session {
	if s, ok := k[c]; ok {
		return &s
	}
	return nil
}
func (k kept) Save(c event.Cookie, s *restart.Session, again bool) bool {
	if _, ok := k[c]; again && !ok {
		return false
	}
	k[c] = *s
	return true
}
func (k kept) Delete(c event.Cookie) { delete(k, c) }
func (k kept) Tick()                 {}

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

// TestRestartWithAnotherPolicy: what is policy now goes for a session that was kept before.
func TestRestartWithAnotherPolicy(t *testing.T) {
	const exchanges = 6
	for name, c := range map[string]struct {
		set   func(*Settings)
		rules []rules.Config
		read  bool
	}{
		"the same":           {set: func(*Settings) {}, read: true},
		"another is denied":  {set: func(s *Settings) { s.DenyProcesses = []string{"vault"} }, read: true},
		"denied by name":     {set: func(s *Settings) { s.DenyProcesses = []string{"vault", "a-name-of-16-byt"} }},
		"denied by rules":    {set: func(*Settings) {}, rules: []rules.Config{{Match: `process.executable.name == "curl"`, Level: rules.LevelConnections}}},
		"no secrets anymore": {set: func(s *Settings) { s.NoSecrets = true }},
	} {
		t.Run(name, func(t *testing.T) {
			wire, log := exchangesOverTLS(t, "http/1.1", exchanges, getRequest, okResponse)
			sessions := kept{}
			b := newBench(t, withSessions(sessions))
			w := b.dial(1).open()
			first := w.seq
			b.keyLog(log)
			start := len(wire) - exchanges
			for _, s := range wire[:start] {
				w.send(s.client, string(s.b))
				b.idle(200 * time.Millisecond)
			}
			b.close()
			require.Len(t, sessions, 2)
			delete(sessions, w.server)

			k := &control{orders: map[event.Cookie][]event.Order{}, denied: map[uint32]bool{}}
			next := newBench(t, withSessions(sessions), func(s *Settings, _ *bench) { s.Control = k; c.set(s) })
			next.now = b.now + int64(time.Minute)
			next.e.SetRules(ruleSet(t, c.rules...))
			w.b = next
			comm := "curl"
			if name == "denied by name" {
				comm = "a-name-of-16-by"
			}
			next.e.Socket(&event.Socket{
				Kind: event.SocketStats, Cookie: w.client, Time: next.now, Local: w.ca, Remote: w.sa, TGID: 100, Comm: comm, PreExisting: true, Role: event.RoleClient,
				HasISN: true, SndNxt: w.seq[0], RcvNxt: w.seq[1], SndISN: first[0] - 1, RcvISN: first[1] - 1, BytesSent: uint64(w.seq[0] - first[0]), BytesReceived: uint64(w.seq[1] - first[1]),
			})
			require.Equal(t, c.read, len(sessions) == 1)
			require.Equal(t, c.read, next.e.byCookie[w.client].session() != nil)
			for _, s := range wire[start:] {
				w.send(s.client, string(s.b))
				next.idle(time.Second)
			}
			require.Equal(t, c.read, len(sessions) == 1, "nor kept again")
			w.hangup(event.CloseFIN)
			next.idle(2 * time.Second)
		})
	}
}

// TestNoSessionOfAnEndedConnection: the kernel removes what is kept when the connection ends, and nothing would remove
// what came after it.
func TestNoSessionOfAnEndedConnection(t *testing.T) {
	const exchanges = 6
	wire, log := exchangesOverTLS(t, "http/1.1", exchanges, getRequest, okResponse)
	sessions := kept{}
	b := newBench(t, withSessions(sessions))
	w := b.dial(1).open()
	b.keyLog(log)
	for _, s := range wire[:len(wire)-4] {
		w.send(s.client, string(s.b))
		b.idle(time.Second)
	}
	require.Len(t, sessions, 2)
	delete(sessions, w.client) // by the kernel: its end is still to be told
	for _, s := range wire[len(wire)-4:] {
		w.send(s.client, string(s.b))
		b.idle(time.Second)
	}
	require.NotContains(t, sessions, w.client)
	require.Contains(t, sessions, w.server)
	c := b.e.byCookie[w.server]
	c.closing, c.linger, c.kept.at = true, b.now+int64(time.Minute), 0
	b.idle(time.Second)
	require.Empty(t, sessions)
}
