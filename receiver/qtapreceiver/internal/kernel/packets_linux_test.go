// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// TestTransfer downloads a large file over IPv4 and IPv6 and finds it whole in all four views:
// both directions of both ends. Counters are held against curl's own.
func TestTransfer(t *testing.T) {
	h := openHost(t)
	n := startNginx(t, h.cgroup, 10_000_000)
	for _, ip := range []string{"127.0.0.1", "[::1]"} {
		t.Run(ip, func(t *testing.T) {
			start := time.Now()
			c := h.curl(fmt.Sprintf("http://%s:%d/file", ip, n.http))
			require.True(t, bytes.Equal(n.file, c.body))
			h.ended(c.localPort, uint16(n.http))
			require.Empty(t, h.lost)

			client := h.connection(c.localPort, uint16(n.http))
			server := h.connection(uint16(n.http), c.localPort)
			for _, end := range []map[event.SocketKind]event.Socket{client, server} {
				require.Contains(t, end, event.SocketEstablished)
				require.Contains(t, end, event.SocketClosed)
				closed := end[event.SocketClosed]
				require.Equal(t, event.CloseFIN, closed.CloseReason)
				require.False(t, closed.PreExisting)
				require.WithinRange(t, time.Unix(0, closed.Time), start, time.Now())
				require.NotZero(t, closed.RTTMicros)
				require.NotZero(t, closed.CgroupID)
				require.Contains(t, ip, closed.Local.Addr().String())
				require.Equal(t, closed.Local.Addr(), closed.Remote.Addr())
			}
			require.NotEqual(t, client[event.SocketClosed].Cookie, server[event.SocketClosed].Cookie)
			require.Equal(t, event.RoleClient, client[event.SocketClosed].Role)
			require.Equal(t, event.RoleServer, server[event.SocketClosed].Role)

			require.Equal(t, c.pid, client[event.SocketConnect].TGID)
			require.Equal(t, "curl", client[event.SocketConnect].Comm)
			require.Contains(t, n.workers(t), server[event.SocketOwner].TGID)
			require.Equal(t, "nginx", server[event.SocketOwner].Comm)
			require.NotZero(t, server[event.SocketOwner].UID, "the worker has dropped root")

			require.Equal(t, c.request, client[event.SocketClosed].BytesSent)
			require.Equal(t, c.request, server[event.SocketClosed].BytesReceived)
			require.Equal(t, c.header+c.payload, client[event.SocketClosed].BytesReceived)
			require.Equal(t, c.header+c.payload, server[event.SocketClosed].BytesSent)

			ce, se := client[event.SocketEstablished], server[event.SocketEstablished]
			require.Equal(t, ce.SndNxt, se.RcvNxt)
			require.Equal(t, ce.RcvNxt, se.SndNxt)
			for _, view := range []struct {
				cookie event.Cookie
				dir    event.Direction
			}{{se.Cookie, event.Egress}, {ce.Cookie, event.Ingress}} {
				got := h.stream(t, view.cookie, view.dir, ce.RcvNxt, int(c.header+c.payload))
				require.True(t, bytes.Equal(n.file, got[c.header:]), "%+v", view)
			}
			request := h.stream(t, ce.Cookie, event.Egress, ce.SndNxt, int(c.request))
			require.True(t, bytes.HasPrefix(request, []byte("GET /file HTTP/1.1\r\n")))
			require.Equal(t, request, h.stream(t, se.Cookie, event.Ingress, ce.SndNxt, int(c.request)))
		})
	}
}

// TestControlPackets checks that SYN and FIN are reported and bare acknowledgements are not.
func TestControlPackets(t *testing.T) {
	h := openHost(t)
	n := startNginx(t, h.cgroup, 1000)
	c := h.curl(fmt.Sprintf("http://127.0.0.1:%d/file", n.http))
	h.settle()
	client := h.connection(c.localPort, uint16(n.http))[event.SocketEstablished]
	flags := map[event.Direction]uint8{}
	for _, p := range h.packets {
		require.False(t, p.Len == 0 && p.Flags&(event.FlagSYN|event.FlagFIN|event.FlagRST) == 0, "%+v", p)
		if p.Cookie != client.Cookie {
			continue
		}
		flags[p.Dir] |= p.Flags
		if p.Flags&event.FlagSYN != 0 {
			want := map[event.Direction]uint32{event.Egress: client.SndNxt, event.Ingress: client.RcvNxt}
			require.Equal(t, want[p.Dir]-1, p.Seq)
		}
	}
	require.Equal(t, map[event.Direction]uint8{
		event.Egress:  event.FlagSYN | event.FlagACK | event.FlagPSH | event.FlagFIN,
		event.Ingress: event.FlagSYN | event.FlagACK | event.FlagPSH | event.FlagFIN,
	}, flags)
}

// TestPorts checks that an excluded server leaves no trace.
func TestPorts(t *testing.T) {
	dir := newCgroup(t)
	a, b := startNginx(t, dir, 1000), startNginx(t, dir, 1000)
	for name, change := range map[string]func(*Config){
		"include":   func(c *Config) { c.Ports.Include = []uint16{uint16(a.http)} },
		"exclude":   func(c *Config) { c.Ports.Exclude = []uint16{uint16(b.http)} },
		"ingress":   func(c *Config) { c.Direction = DirectionIngress },
		"egress":    func(c *Config) { c.Direction = DirectionEgress },
		"not level": func(c *Config) { c.Level = LevelConnections },
	} {
		t.Run(name, func(t *testing.T) {
			h := openHostIn(t, dir, change)
			ca := h.curl(fmt.Sprintf("http://127.0.0.1:%d/file", a.http))
			cb := h.curl(fmt.Sprintf("http://127.0.0.1:%d/file", b.http))
			h.settle()
			seen := func(local, remote uint16) bool { return len(h.connection(local, remote)) > 0 }
			require.Equal(t, name != "ingress", seen(ca.localPort, uint16(a.http)))
			require.Equal(t, name != "egress", seen(uint16(a.http), ca.localPort))
			excluded := name == "include" || name == "exclude"
			require.Equal(t, name != "ingress" && !excluded, seen(cb.localPort, uint16(b.http)))
			require.Equal(t, name != "egress" && !excluded, seen(uint16(b.http), cb.localPort))
			require.Equal(t, name != "not level", len(h.packets) > 0)
			for _, p := range h.packets {
				require.False(t, excluded && (p.Local.Port() == uint16(b.http) || p.Remote.Port() == uint16(b.http)))
				require.False(t, name == "ingress" && p.Local.Port() != uint16(a.http) && p.Local.Port() != uint16(b.http))
			}
		})
	}
}

// TestRingFull lets a small ring overflow while nobody reads it.
func TestRingFull(t *testing.T) {
	dir := newCgroup(t)
	n := startNginx(t, dir, 10_000_000)
	c, err := Open(Config{CgroupPath: dir, Level: LevelFull, RingBytes: 1})
	require.NoError(t, err)
	defer c.Close()
	got := curlIn(t, dir, nil, fmt.Sprintf("http://127.0.0.1:%d/file", n.http))
	require.True(t, bytes.Equal(n.file, got.body))

	h := &host{t: t, cgroup: dir, capture: c, rec: newRecorder()}
	h.run()
	h.ended(got.localPort, uint16(n.http))
	require.NotZero(t, h.lost["packet"])
	require.NotEmpty(t, h.packets)
	// Packets leave room: the life of the connection is whole.
	require.Zero(t, h.lost["socket"])
	require.Contains(t, h.connection(got.localPort, uint16(n.http)), event.SocketClosed)
	var bytes int
	for _, p := range h.packets {
		bytes += len(p.Data)
	}
	require.Less(t, bytes, 1<<16)

	// The ring works again once it has been drained.
	got = h.curl(fmt.Sprintf("http://127.0.0.1:%d/none", n.http))
	h.ended(got.localPort, uint16(n.http))
	require.Contains(t, h.connection(got.localPort, uint16(n.http)), event.SocketClosed)
}
