// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"net/netip"
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
	// maxHellos bounds the connections whose ClientHello is awaited or was just seen, helloTTL how
	// long they are remembered: a client repeats its Initial packets for some seconds.
	maxHellos = 4096
	helloTTL  = time.Minute
)

// helloKey is a QUIC connection at one end: by the id that its first packets go to.
type helloKey struct {
	cookie event.Cookie
	dir    event.Direction
	remote netip.AddrPort
	dcid   string
}

type hello struct {
	quic.Assembler
	done bool
	at   int64
}

// quic looks for the ClientHello of a new connection. Packets of the other direction, and later ones
// of this, look alike, but their keys do not follow from their own id.
func (e *Engine) quic(d *event.Datagram) bool {
	p, ok := quic.ParseInitial(d.Data)
	if !ok {
		return false
	}
	key := helloKey{d.Cookie, d.Dir, unmap(d.Remote), p.DCID}
	h := e.hellos[key]
	if h == nil {
		h = &hello{at: d.Time}
	}
	if h.done {
		return true
	}
	hello, proven, done := h.Add(p)
	if !proven {
		return false
	}
	if e.hellos[key] == nil && len(e.hellos) >= maxHellos {
		return false
	}
	e.hellos[key] = h
	if done {
		h.done = true
		h.Assembler = quic.Assembler{}
		e.quicRecord(d, &hello)
	}
	return true
}

func (e *Engine) tickQUIC(now int64) {
	for key, h := range e.hellos {
		if now-h.at >= int64(helloTTL) {
			delete(e.hellos, key)
		}
	}
}

// quicRecord says that a connection began. There is no other record of it: UDP has no end.
func (e *Engine) quicRecord(d *event.Datagram, h *quic.Hello) {
	c := conn{e: e, tuple: newTuple(d.Local, d.Remote, 0), role: event.RoleServer, start: d.Time}
	if d.Dir == event.Egress {
		c.role = event.RoleClient
	}
	if !e.wanted(&c) {
		return
	}
	c.localText, c.remoteText = addr(c.tuple.local), addr(c.tuple.remote)
	c.proc = e.set.Processes.Resolve(d.TGID, d.UID, d.Comm, d.Time)
	// A socket may carry many connections, the client random is each one's own.
	c.id = connectionID(e.host, d.Cookie^event.Cookie(binary.BigEndian.Uint64(h.Random[:])), 0)

	lr := e.set.Emitter.Log(c.proc)
	lr.SetEventName(semantic.EventConnection)
	lr.SetTimestamp(pcommon.Timestamp(d.Time))
	lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	lr.SetSeverityNumber(plog.SeverityNumberInfo)
	m := lr.Attributes()
	m.PutStr(semantic.ConnectionID, c.id)
	m.PutInt(semantic.ConnectionSequence, 0)
	m.PutStr(semantic.ConnectionState, stateOpen)
	m.PutStr(semantic.ConnectionRole, roleName(c.role))
	m.PutInt(semantic.ConnectionStart, d.Time)
	c.putNetwork(m)
	m.PutStr(semantic.NetworkTransport, "udp")
	server := h.SNI
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
	if h.Version != 1 {
		version = "2" // RFC 9369, whatever its number
	}
	m.PutStr(semantic.NetworkProtocolVersion, version)
	putStr(m, semantic.TLSClientJA3, h.JA3)
	putStr(m, semantic.TLSClientJA4, h.JA4)
	m.PutStr(semantic.PayloadVisibility, semantic.PayloadNotVisible)
	m.PutStr(semantic.PayloadReason, reasonQUIC)
}
