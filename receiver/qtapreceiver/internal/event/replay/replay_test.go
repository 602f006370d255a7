// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

var (
	_ event.Handler = (*Recorder)(nil)
	_ event.Source  = (*Source)(nil)
)

// play gives h one event of each kind.
func play(h event.Handler) {
	a, b := netip.MustParseAddrPort("127.0.0.1:1000"), netip.MustParseAddrPort("[2001:db8::1]:443")
	h.Socket(&event.Socket{Kind: event.SocketConnect, Cookie: 1 << 60, Time: 1, Local: a, Remote: b, TGID: 7, Comm: "c\xc3\xa4t", Role: event.RoleClient})
	h.Packet(&event.Packet{Cookie: 1 << 60, Time: 2, Dir: event.Ingress, Flags: event.FlagACK, Seq: 1<<32 - 1, Ack: 5, Len: 9, Off: 3, Data: []byte("\x00\xffhello"), Local: a, Remote: b})
	h.Secret(&event.Secret{Kind: event.SecretKeyLog, Label: "CLIENT_RANDOM", Secret: []byte{1, 2}, Context: []byte{3}})
	h.Process(&event.Process{TGID: 7, Exited: true})
	h.Lost("packet", 3)
	h.Idle(42)
}

func TestRoundTrip(t *testing.T) {
	var first, second, third bytes.Buffer
	inner := NewRecorder(&second, nil)
	outer := NewRecorder(&first, inner)
	play(outer)
	require.NoError(t, outer.Flush())
	require.NoError(t, inner.Flush())
	require.Equal(t, first.String(), second.String(), "events are passed on")
	require.Equal(t, 6, strings.Count(first.String(), "\n"))

	again := NewRecorder(&third, nil)
	s := NewSource(bytes.NewReader(first.Bytes()))
	require.NoError(t, s.Run(context.Background(), again))
	require.NoError(t, s.Close())
	require.NoError(t, again.Flush())
	require.Equal(t, first.String(), third.String())
}

func TestBadRecording(t *testing.T) {
	for _, text := range []string{"{}\n", "x\n", `{"Packet":{"Data":"?"}}`, strings.Repeat("a", maxLine+1)} {
		require.Error(t, NewSource(strings.NewReader(text)).Run(context.Background(), NewRecorder(&bytes.Buffer{}, nil)))
	}
}

func TestStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, NewSource(strings.NewReader("x\n")).Run(ctx, nil))
}

func FuzzSource(f *testing.F) {
	var b bytes.Buffer
	r := NewRecorder(&b, nil)
	play(r)
	require.NoError(f, r.Flush())
	f.Add(b.Bytes())
	f.Add([]byte(`{"Idle":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		out := NewRecorder(&bytes.Buffer{}, nil)
		if NewSource(bytes.NewReader(b)).Run(context.Background(), out) == nil && out.Flush() != nil {
			t.Fatal("what can be played can be recorded")
		}
	})
}
