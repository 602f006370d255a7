// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/netip"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/coverage"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/stream"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/tls"
)

// tuple is a connection as one end sees it: two network namespaces may use the same addresses.
type tuple struct {
	local, remote netip.AddrPort
	netns         uint32
}

func newTuple(local, remote netip.AddrPort, netns uint32) tuple {
	return tuple{unmap(local), unmap(remote), netns}
}

// shared is what both ends know of a tuple: they share the namespace for sure on loopback only.
func (t tuple) shared() tuple {
	if !t.remote.Addr().IsLoopback() {
		t.netns = 0
	}
	return t
}

// peer is the other end's shared tuple.
func (t tuple) peer() tuple {
	t = t.shared()
	t.local, t.remote = t.remote, t.local
	return t
}

// complete is false while the kernel has not chosen the local port, or for a listener.
func (t tuple) complete() bool { return t.local.Port() != 0 && t.remote.Port() != 0 }

// unmap makes an IPv4 connection of a dual-stack socket look like the other end's.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// conn is one observed end of a connection.
type conn struct {
	e      *Engine
	cookie event.Cookie // 0 until a Socket event names it
	tuple  tuple
	// localText and remoteText are the tuple's addresses as attributes.
	localText, remoteText string
	id                    string
	attempt               uint32 // of the socket to connect, 0 for the first
	proc                  *process.Info
	role                  event.Role
	asServer              bool // it was joined before its role was known

	start int64 // first event
	seen  int64 // latest event

	excluded bool // an end belongs to the collector: leave no trace
	ignored  bool // not wanted by configuration
	active   bool // in Engine.active
	// blind: it is not read, as the budget does not allow it; wasBlind: it is read again.
	blind, wasBlind bool

	announced  bool  // its first record was emitted
	announceAt int64 // when it shall be, 0: not decided by traffic yet
	sequence   int64 // of the next record
	requests   int64
	missing    uint64       // bytes that were not seen
	books      event.Socket // the latest counters

	closing  bool
	closedAt int64
	linger   int64

	dirs     [2]half // by event.Direction
	held     []event.Packet
	heldSize int
	heldAt   int64
	ready    bool // streams are fed, nothing is held any more
	app      application
	steering steering

	covered *coverage.Entry
	kept    keptSession
}

// half is one direction of a connection.
type half struct {
	c      *conn
	dir    event.Direction
	stream *stream.Stream
	// isn is the initial sequence number; base is the offset in the whole TCP stream of this
	// stream's first byte (not 0 when the connection was joined in the middle).
	isn    uint32
	hasISN bool
	base   uint64
	joined bool // there may have been bytes before the first one
}

// Data implements stream.Sink.
func (h *half) Data(t int64, off uint64, b []byte) {
	h.c.data(h.dir, t, h.base+off, b)
}

// Gap implements stream.Sink.
func (h *half) Gap(t int64, off, n uint64) {
	h.c.gap(h.dir, t, h.base+off, n)
}

// end says how many bytes the direction had: what did not come of them is missing.
func (h *half) end(t int64, total uint64) {
	if h.hasISN && total > h.base {
		h.stream.End(t, total-h.base)
	}
}

// anchor says which sequence number the stream's first byte has.
func (h *half) anchor(next uint32) {
	if h.stream.Anchored() {
		return
	}
	h.isn, h.hasISN = next-1, true
	h.stream.Anchor(next)
}

// join anchors a stream in the middle, at sequence number next: before bytes went before it, give or
// take those that are on their way. isn counts when the socket's books gave it.
func (h *half) join(next uint32, before uint64, isn uint32, hasISN bool) {
	if h.stream.Anchored() {
		return
	}
	if h.hasISN { // known since before it was not read for a while, and maybe corrected since: see opened
		isn, hasISN = h.isn, true
	}
	h.base, h.isn, h.hasISN = before, isn, hasISN
	if hasISN {
		h.base += uint64(int64(int32(next - 1 - isn - uint32(before))))
	}
	// A server that has received nothing has missed nothing. Of a client's bytes those before may be only
	// the acknowledged ones: a request may be on its way.
	h.joined = h.base > 0 || !hasISN && h.c.role != event.RoleServer
	h.stream.Anchor(next)
}

// opened sets the role. What a scan told of the sent bytes before, it told as for a socket that accepted
// its connection.
func (c *conn) opened(r event.Role) {
	if out := &c.dirs[event.Egress]; c.asServer && r == event.RoleClient && out.hasISN {
		out.isn++
		out.base--
	}
	c.role, c.asServer = r, false
}

// joined says that the connection's beginning was not seen.
func (c *conn) joined() bool { return c.dirs[0].joined || c.dirs[1].joined }

// lateReason is why TLS is not read whose handshake was not seen.
func (c *conn) lateReason() string {
	if c.wasBlind {
		return reasonOverBudget
	}
	return tls.ReasonAttachedLate
}

// fromClient says whether bytes of direction dir come from the end that opened the connection;
// known is false while the role is not.
func (c *conn) fromClient(dir event.Direction) (client, known bool) {
	switch c.role {
	case event.RoleClient:
		return dir == event.Egress, true
	case event.RoleServer:
		return dir == event.Ingress, true
	}
	return false, false
}

// serverEnd and clientEnd are the addresses by role; by the local end when the role is unknown.
func (c *conn) serverEnd() netip.AddrPort {
	if c.role == event.RoleServer {
		return c.tuple.local
	}
	return c.tuple.remote
}

func (c *conn) clientEnd() netip.AddrPort {
	if c.role == event.RoleServer {
		return c.tuple.remote
	}
	return c.tuple.local
}

// serverText and clientText are their addresses as attributes.
func (c *conn) serverText() string {
	if c.role == event.RoleServer {
		return c.localText
	}
	return c.remoteText
}

func (c *conn) clientText() string {
	if c.role == event.RoleServer {
		return c.remoteText
	}
	return c.localText
}

// isns returns the initial sequence numbers of the client's and the server's direction.
func (c *conn) isns() (client, server uint32, ok bool) {
	out, in := &c.dirs[event.Egress], &c.dirs[event.Ingress]
	if !out.hasISN || !in.hasISN {
		return 0, 0, false
	}
	if c.role == event.RoleServer {
		return in.isn, out.isn, true
	}
	return out.isn, in.isn, true
}

// connectionID names one observed end for ever: a cookie is unique within one boot of a host. A socket
// may try to connect more than once.
func connectionID(host process.Host, cookie event.Cookie, attempt uint32) string {
	h := sha256.New()
	h.Write([]byte(host.ID))
	h.Write([]byte{0})
	h.Write([]byte(host.BootID))
	h.Write([]byte{0})
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(cookie))
	h.Write(b[:])
	if attempt > 0 {
		binary.BigEndian.PutUint64(b[:], uint64(attempt))
		h.Write(b[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// data takes the next bytes of one direction.
func (c *conn) data(dir event.Direction, t int64, pos uint64, b []byte) {
	if client, known := c.fromClient(dir); known && !client && c.announceAt == 0 {
		// The other end has answered. Had it been the collector's, its exclusion would have come
		// by now, give or take the order in which two CPUs write to the ring.
		c.announceAt = t + int64(announceDelay)
	}
	c.app.data(dir, t, pos, b)
}

func (c *conn) gap(dir event.Direction, t int64, pos, n uint64) {
	unwanted := c.unwanted(dir, pos, n)
	c.missing += n - unwanted
	c.e.counts.unwanted += unwanted
	if unwanted == n {
		c.e.counts.unwantedGaps++
	}
	c.app.gap(dir, t, pos, n)
}
