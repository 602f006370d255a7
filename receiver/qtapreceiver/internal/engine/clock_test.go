// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/coverage"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
)

// clientStates returns what is said of the client's end of all connections, in order.
func (b *bench) clientStates(t *testing.T) (out []string) {
	t.Helper()
	for _, r := range b.records(semantic.EventConnection) {
		if str(t, r.Attributes(), semantic.ConnectionRole) == "client" {
			out = append(out, str(t, r.Attributes(), semantic.ConnectionState))
		}
	}
	return out
}

// TestClockSetForward: an hour that never was is no silence of a connection, which goes on being read.
func TestClockSetForward(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).open()
	w.own()
	w.send(true, getRequest)
	w.send(false, okResponse)
	b.idle(100 * time.Millisecond)
	b.idle(time.Hour)
	b.idle(time.Second)
	require.Zero(t, b.e.Stats().Expired)
	w.send(true, getRequest)
	w.send(false, okResponse)
	b.idle(100 * time.Millisecond)
	b.delivered()
	require.Len(t, b.spans(), 4, "two ends of two exchanges")
	require.NotContains(t, b.clientStates(t), "closed")
	// Real silence is still noticed: nothing is heard for longer than the kernel is silent of an open socket.
	for range 40 {
		b.idle(5 * time.Second)
	}
	require.EqualValues(t, 2, b.e.Stats().Expired)
}

// TestClockSetBack: what waits for a moment does not wait for it an hour longer.
func TestClockSetBack(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).open()
	w.own()
	w.send(true, getRequest)
	w.send(false, okResponse)
	b.idle(100 * time.Millisecond)
	w.hangup(event.CloseFIN)
	b.now -= int64(time.Hour)
	b.idle(10 * time.Millisecond)
	require.Zero(t, b.e.Stats().Connections, "its end was waited for no longer")

	w = b.dial(2).open()
	w.own()
	w.send(true, getRequest)
	w.send(false, okResponse)
	b.idle(100 * time.Millisecond)
	w.hangup(event.CloseFIN)
	b.idle(3 * time.Second)
	b.delivered()
	require.Equal(t, []string{"open", "closed", "open", "closed"}, b.clientStates(t))
	spans := b.spans()
	require.Len(t, spans, 4)
	for _, s := range spans {
		require.GreaterOrEqual(t, s.EndTimestamp(), s.StartTimestamp())
	}
}

// TestClockSetBackMovesWhatIsDue: reports, bounds in time and reminders do not wait for the hour to pass once more.
func TestClockSetBackMovesWhatIsDue(t *testing.T) {
	b := newBench(t)
	b.e.set.Coverage = CoverageSettings{Interval: time.Minute, Host: []coverage.Row{{Subject: coverage.SubjectFeature, Name: "kernel BTF", State: coverage.StateSupported}}}
	b.e.coverage = coverer{set: b.e.set.Coverage, tracker: coverage.NewTracker(), host: process.Collector(b.e.host)}
	b.idle(time.Second)
	require.Len(t, b.records(semantic.EventCoverage), 1, "at start")
	key := nameKey{tgid: 7, addr: netip.MustParseAddr("192.0.2.1")}
	b.e.names[key] = nameEntry{"api.example", b.e.now + int64(nameTTL)}
	b.e.Secret(&event.Secret{Kind: event.SecretKeyLog, Time: b.now, Label: "CLIENT_RANDOM", Secret: make([]byte, 48), Context: make([]byte, 32)})
	w := b.dial(1)
	b.e.Socket(&event.Socket{Kind: event.SocketExcluded, Cookie: w.client, Time: b.now, Local: w.ca, Remote: w.sa})
	require.Len(t, b.e.excluded, 1)

	b.now -= int64(24 * time.Hour)
	b.idle(time.Second)
	b.idle(time.Minute)
	require.Len(t, b.records(semantic.EventCoverage), 2, "the regular report")
	require.Zero(t, b.e.keys.Stats().Entries, "a secret is kept no longer")
	require.Empty(t, b.e.excluded)
	require.Contains(t, b.e.names, key)
	b.idle(nameTTL)
	require.NotContains(t, b.e.names, key)
}

// TestClockSlewed: a clock that is corrected by a little makes nothing overdue.
func TestClockSlewed(t *testing.T) {
	b := newBench(t)
	w := b.dial(1).open()
	w.own()
	w.send(true, getRequest)
	b.idle(10 * time.Millisecond)
	w.hangup(event.CloseFIN)
	b.idle(10 * time.Millisecond)
	b.idle(-100 * time.Millisecond)
	require.Equal(t, 2, len(b.e.byCookie), "what follows an end is still awaited")
	b.idle(time.Second)
	require.Empty(t, b.e.byCookie)
}
