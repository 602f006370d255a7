// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/quic"
)

const (
	// reasonQUIC: QUIC is not decrypted.
	reasonQUIC = "quic"
	// maxQUIC bounds the flows that are known, maxHellos the ids in one of them whose first packets were seen. helloTTL is
	// how long a ClientHello is waited for.
	maxQUIC   = 4096
	maxHellos = 8
	helloTTL  = time.Minute
	// quicIdle is how long a connection may be silent before it counts as closed: its end cannot be seen from outside, and
	// both ends give up by themselves after what they agreed on, which is seldom more than 30 s (RFC 9000 §10.1).
	quicIdle = time.Minute
)

// quicKey is one peer of a socket.
type quicKey struct {
	cookie event.Cookie
	remote netip.AddrPort
}

// quicFlow is what is known of it.
type quicFlow struct {
	client event.Direction // in which the client speaks
	hellos []*hello
	latest int64 // of the first packets
	open   *quicConn
}

// hello is a ClientHello that comes in Initial packets to one id.
type hello struct {
	quic.Assembler
	dcid string
	done bool
}

// quicConn is a connection whose ClientHello was seen.
type quicConn struct {
	conn
	hello    quic.Hello
	flow     event.Flow // the latest counters; zero when there are none
	heard    int64      // when they came
	shared   bool       // another connection had the flow before, so the counters are not of this alone
	reported event.Flow // what the latest record said
}

// quic looks for the ClientHello of a new connection. Packets of the other direction, and later ones
// of this, look alike, but their keys do not follow from their own id.
func (e *Engine) quic(d *event.Datagram) (read bool) {
	key := quicKey{d.Cookie, unmap(d.Remote)}
	f := e.quicFlows[key]
	for p := range quic.Initials(d.Data) {
		if f != nil && f.client != d.Dir {
			return false
		}
		next := f
		if next == nil {
			next = &quicFlow{client: d.Dir}
		}
		h, proven, whole := next.add(p)
		if !proven {
			continue
		}
		if f == nil {
			if len(e.quicFlows) >= maxQUIC {
				return false
			}
			f = next
			e.quicFlows[key] = f
		}
		read = true
		f.latest = d.Time
		// After a Retry (RFC 9000 §17.2.5) the same ClientHello comes again, to another id.
		if whole && (f.open == nil || f.open.hello.Random != h.Random) {
			e.openQUIC(f, d, h)
		}
	}
	return read
}

// add gives a packet to the ClientHello that it belongs to.
func (f *quicFlow) add(p quic.Initial) (out quic.Hello, proven, whole bool) {
	i := slices.IndexFunc(f.hellos, func(h *hello) bool { return h.dcid == p.DCID })
	if i >= 0 && f.hellos[i].done {
		return out, true, false
	}
	h := &hello{dcid: p.DCID}
	if i >= 0 {
		h = f.hellos[i]
	}
	out, proven, whole = h.Add(p)
	if !proven && i < 0 {
		// The server has told the client its own id before it had the whole ClientHello.
		for _, h = range f.hellos {
			if h.done {
				continue
			}
			if out, proven, whole = h.Add(p); proven {
				break
			}
		}
	} else if proven && i < 0 {
		if len(f.hellos) >= maxHellos {
			f.hellos = slices.Delete(f.hellos, 0, 1)
		}
		f.hellos = append(f.hellos, h)
	}
	if whole {
		h.done, h.Assembler = true, quic.Assembler{}
	}
	return out, proven, whole
}

// openQUIC says that a connection began.
func (e *Engine) openQUIC(f *quicFlow, d *event.Datagram, h quic.Hello) {
	q := &quicConn{hello: h, heard: e.now}
	if f.open != nil {
		q.shared = true
		e.recordQUIC(f.open, stateClosed, d.Time, "")
		f.open = nil
	}
	c := &q.conn
	c.e, c.tuple, c.role, c.start = e, newTuple(d.Local, d.Remote, 0), event.RoleServer, d.Time
	if d.Dir == event.Egress {
		c.role = event.RoleClient
	}
	if !e.wanted(c) {
		return
	}
	c.localText, c.remoteText = addr(c.tuple.local), addr(c.tuple.remote)
	c.proc = e.set.Processes.Resolve(d.TGID, d.UID, d.Comm, d.Time)
	// A socket may carry many connections, the client random is each one's own.
	c.id = connectionID(e.host, d.Cookie^event.Cookie(binary.BigEndian.Uint64(h.Random[:])), 0)
	f.open = q
	e.recordQUIC(q, stateOpen, d.Time, "")
}

// Flow implements event.DatagramHandler.
func (e *Engine) Flow(ev *event.Flow) {
	f := e.quicFlows[quicKey{ev.Cookie, unmap(ev.Remote)}]
	if f == nil || f.open == nil {
		return
	}
	q := f.open
	q.flow, q.heard = *ev, e.now
	switch {
	case e.now-ev.Latest >= int64(quicIdle):
		e.closeQUIC(f, "timeout")
	case q.flow != q.reported && e.now-q.start >= int64(e.set.Interval)/2: // the record of the beginning is not old
		e.recordQUIC(q, stateEstablished, e.now, "")
	}
}

// closeQUIC ends the connection of a flow at its latest datagram.
func (e *Engine) closeQUIC(f *quicFlow, reason string) {
	q := f.open
	f.open = nil
	e.recordQUIC(q, stateClosed, max(q.start, q.flow.Latest), reason)
}

func (e *Engine) tickQUIC(now int64) {
	for key, f := range e.quicFlows {
		if f.open != nil && now-f.open.heard >= int64(2*e.set.Interval+quicIdle) {
			e.closeQUIC(f, "") // the kernel has forgotten it
		}
		if f.open == nil && now-f.latest >= int64(helloTTL) {
			delete(e.quicFlows, key)
		}
	}
}

// endQUIC says the last of connections that go on without being watched.
func (e *Engine) endQUIC() {
	var open []*quicConn
	for f := range maps.Values(e.quicFlows) {
		if f.open != nil {
			open = append(open, f.open)
		}
	}
	slices.SortFunc(open, func(a, b *quicConn) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.id, b.id)) })
	for _, q := range open {
		if q.flow != q.reported {
			e.recordQUIC(q, stateEstablished, e.now, "")
		}
	}
	clear(e.quicFlows)
}

// recordQUIC emits a connection record. reason is that of the close, "" when it is not known.
func (e *Engine) recordQUIC(q *quicConn, state string, t int64, reason string) {
	c := &q.conn
	lr := e.set.Emitter.Log(c.proc)
	lr.SetEventName(semantic.EventConnection)
	lr.SetTimestamp(pcommon.Timestamp(t))
	lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	lr.SetSeverityNumber(plog.SeverityNumberInfo)
	m := lr.Attributes()
	m.EnsureCapacity(32)
	m.PutStr(semantic.ConnectionID, c.id)
	m.PutInt(semantic.ConnectionSequence, c.sequence)
	c.sequence++
	m.PutStr(semantic.ConnectionState, state)
	m.PutStr(semantic.ConnectionRole, roleName(c.role))
	m.PutInt(semantic.ConnectionStart, c.start)
	if state != stateOpen {
		m.PutInt(semantic.ConnectionDuration, max(0, t-c.start))
	}
	if state == stateClosed {
		if reason == "" {
			reason = "unknown"
		}
		m.PutStr(semantic.ConnectionCloseReason, reason)
	}
	if f := &q.flow; f.Latest != 0 && !q.shared {
		m.PutInt(semantic.ConnectionSentBytes, int64(f.BytesSent))
		m.PutInt(semantic.ConnectionReceivedBytes, int64(f.BytesReceived))
		m.PutInt(semantic.ConnectionSentPackets, int64(f.DatagramsSent))
		m.PutInt(semantic.ConnectionRecvPackets, int64(f.DatagramsRcvd))
	}
	q.reported = q.flow
	c.putNetwork(m)
	m.PutStr(semantic.NetworkTransport, "udp")
	server := q.hello.SNI
	if server == "" {
		if server = c.askedName(); server != "" {
			m.PutStr(semantic.ServerNameSource, "dns")
		} else {
			server = c.serverText()
		}
	}
	putStr(m, semantic.ServerAddress, server)
	m.PutInt(semantic.ServerPort, int64(c.serverEnd().Port()))
	m.PutStr(semantic.NetworkProtocolName, "quic")
	version := "1"
	if q.hello.Version != 1 {
		version = "2" // RFC 9369, whatever its number
	}
	m.PutStr(semantic.NetworkProtocolVersion, version)
	putStr(m, semantic.TLSClientJA3, q.hello.JA3)
	putStr(m, semantic.TLSClientJA4, q.hello.JA4)
	m.PutStr(semantic.PayloadVisibility, semantic.PayloadNotVisible)
	m.PutStr(semantic.PayloadReason, reasonQUIC)
}
